package tables_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

func meant(t *testing.T, tbl *tables.Table, condition string, strategy merge.Strategy) tables.Rows {
	t.Helper()
	rows, err := rowsWhere(tbl, condition, string(strategy))
	require.NoError(t, err)
	return rows
}

func reload(t *testing.T, tbl *tables.Table) *tables.Table {
	t.Helper()
	tbl, err := tbl.Refresh(ctx)
	require.NoError(t, err)
	return tbl
}

func TestTags(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	put(t, tbl, token("w", 1), "a 1")
	first, err := tbl.Tag(ctx, token("tag", 1), "audit", tables.Version{}, 10*24*time.Hour)
	require.NoError(t, err)
	s, err := stage(t, tbl, []string{"b 2"})
	require.NoError(t, err)
	_, err = tbl.Replace(ctx, token("w", 2), s)
	require.NoError(t, err)

	tbl = reload(t, tbl)
	_, err = tbl.Tag(ctx, token("tag", 2), "audit", tables.Version{}, 0)
	require.ErrorIs(t, err, tables.ErrTagged, "a tag does not move")
	_, err = tbl.Tag(ctx, token("tag", 3), "main", tables.Version{}, 0)
	require.ErrorIs(t, err, tables.ErrDefinition)
	_, err = tbl.Tag(ctx, token("tag", 4), "forever", tables.Version{SnapshotID: &first.ID}, 0)
	require.NoError(t, err)
	require.NoError(t, tbl.Untag(ctx, token("tag", 5), "forever"))
	require.ErrorIs(t, tbl.Untag(ctx, token("tag", 6), "forever"), tables.ErrNoSuchSnapshot)

	// It keeps its snapshot for its time, and no longer.
	for n, c := range []struct {
		later time.Duration
		gone  int
	}{{9 * 24 * time.Hour, 0}, {11 * 24 * time.Hour, 1}} {
		r, err := tbl.Expire(ctx, token("m", n), maintain.ExpireOptions{OlderThan: time.Hour, Now: func() time.Time { return time.Now().Add(c.later) }})
		require.NoError(t, err)
		require.Equal(t, c.gone, r.Snapshots)
		require.Equal(t, []string{"b 2"}, contents(t, tbl, tables.Version{}))
	}
	require.Len(t, reload(t, tbl).Snapshots(), 1)
}

// before is a catalog where something comes before the first commit, and after what that was planned on.
type before struct {
	commit.Catalog
	once sync.Once
	do   func()
}

func (b *before) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	b.once.Do(b.do)
	return b.Catalog.CommitTable(ctx, ident, reqs, updates)
}

// Of two who make one tag at once, of different snapshots, one does, and the other is told.
func TestTagsAtOnce(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	put(t, tbl, token("w", 1), "a 1")
	first, ok := tbl.Head()
	require.True(t, ok)
	put(t, tbl, token("w", 2), "b 2")
	second, ok := tbl.Head()
	require.True(t, ok)
	require.NotEqual(t, first.ID, second.ID)
	ident := tbl.Iceberg().Identifier()
	lake.CommitThrough(&before{Catalog: lake.Catalog(), do: func() {
		_, _, err := lake.Catalog().CommitTable(ctx, ident, nil, []table.Update{table.NewSetSnapshotRefUpdate("audit", first.ID, table.TagRef, 0, 0, 0)})
		require.NoError(t, err)
	}})
	_, err := tbl.Tag(ctx, token("tag", 1), "audit", tables.Version{SnapshotID: &second.ID}, 0)
	require.ErrorIs(t, err, tables.ErrTagged)
	require.Equal(t, first.ID, reload(t, tbl).Iceberg().SnapshotByName("audit").SnapshotID)
}

// A tag that comes after an expiry was planned, and before it is committed, keeps its snapshot.
func TestATagThatComesDuringAnExpiryKeepsItsSnapshot(t *testing.T) {
	dir := t.TempDir()
	lake, own := lakeIn(t, dir), lakeIn(t, dir)
	tbl := ensure(t, lake, pairs(t))
	for i := range 3 {
		put(t, tbl, token("w", i), fmt.Sprintf("a%d 1", i))
	}
	first := tbl.Snapshots()[0].ID
	lake.CommitThrough(&before{Catalog: lake.Catalog(), do: func() {
		same, err := own.Table(ctx, "ns.t")
		require.NoError(t, err)
		_, err = same.Tag(ctx, token("tag", 1), "audit", tables.Version{SnapshotID: &first}, 0)
		require.NoError(t, err)
	}})
	r, err := tbl.Expire(ctx, token("x", 1), maintain.ExpireOptions{OlderThan: time.Hour, Now: func() time.Time { return time.Now().Add(2 * time.Hour) }})
	require.NoError(t, err)
	require.Equal(t, 1, r.Conflicts)
	require.Equal(t, 1, r.Snapshots, "the one between")
	require.Equal(t, []string{"a0 1"}, contents(t, reload(t, tbl), tables.Version{Ref: "audit"}))
}

// What still holds erased rows is found whatever hides them, with what keeps it and until when.
func TestErasedRowsAndWhatHoldsThem(t *testing.T) {
	for _, format := range []int{2, 3} {
		t.Run(fmt.Sprint("v", format), func(t *testing.T) {
			lake := newLake(t)
			def := pairs(t)
			def.FormatVersion = format
			tbl := ensure(t, lake, def)
			put(t, tbl, token("w", 1), "a 1", "b 2")
			put(t, tbl, token("w", 2), "c 3") // of another file
			_, err := tbl.Tag(ctx, token("tag", 1), "audit", tables.Version{}, 1000*time.Hour)
			require.NoError(t, err)
			now := func() time.Time { return time.Now().Add(time.Minute) }
			policy := maintain.ExpireOptions{OlderThan: 24 * time.Hour, KeepLast: 1, Now: now}
			who := func(strategy merge.Strategy) tables.Rows { return meant(t, tbl, `id == "a"`, strategy) }
			holders := func() []tables.Holder {
				held, err := reload(t, tbl).Held(ctx, who(""), policy)
				require.NoError(t, err)
				h := held.Holders
				return h
			}
			require.Len(t, holders(), 2, "both snapshots")

			// Deleted merge-on-read, the row is in the head's file still.
			r, err := tbl.Delete(ctx, token("d", 1), who(merge.MergeOnRead))
			require.NoError(t, err)
			require.EqualValues(t, 1, r.Deleted)
			h := holders()
			require.Len(t, h, 3)
			require.True(t, h[0].Current)
			require.Contains(t, h[0].Why, "delete files hide them")

			// Rewritten, the head is free of it; the tag is what keeps it longest.
			_, err = tbl.Compact(ctx, token("m", 1), everyFile())
			require.NoError(t, err)
			h = holders()
			require.Len(t, h, 3)
			for _, one := range h {
				require.False(t, one.Current)
				require.EqualValues(t, 1, one.Rows)
				require.Equal(t, 1, one.Files)
				require.NotNil(t, one.Until)
				if len(one.Refs) > 0 {
					require.Equal(t, `tag "audit"`, one.Why)
					require.WithinDuration(t, time.Now().Add(1000*time.Hour), *one.Until, time.Hour)
				} else {
					require.Equal(t, "its age", one.Why)
					require.WithinDuration(t, time.Now().Add(24*time.Hour), *one.Until, time.Hour)
				}
			}
			// What was said comes true.
			policy.Now = func() time.Time { return time.Now().Add(25 * time.Hour) }
			_, err = reload(t, tbl).Expire(ctx, token("m", 2), policy)
			require.NoError(t, err)
			require.Len(t, holders(), 1)
			policy.Now = func() time.Time { return time.Now().Add(1001 * time.Hour) }
			_, err = reload(t, tbl).Expire(ctx, token("m", 3), policy)
			require.NoError(t, err)
			require.Empty(t, holders())
			require.Equal(t, []string{"b 2", "c 3"}, contents(t, reload(t, tbl), tables.Version{}))
		})
	}
}

func TestFatesOfTheLastSnapshotsOfABranch(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	for n := range 4 {
		put(t, tbl, token("w", n), fmt.Sprintf("a%d 1", n))
	}
	held, err := reload(t, tbl).Held(ctx, meant(t, tbl, `id == "a0"`, ""), maintain.ExpireOptions{OlderThan: time.Hour, KeepLast: 3})
	require.NoError(t, err)
	h := held.Holders
	require.Len(t, h, 4)
	require.Nil(t, h[1].Until)
	require.Equal(t, `it is one of the last 3 of branch "main"`, h[1].Why)
	require.Nil(t, h[2].Until)
	require.NotNil(t, h[3].Until)
}

// everyFile are options by which any file with a deleted row is rewritten.
func everyFile() maintain.CompactOptions {
	return maintain.CompactOptions{MaxDeleted: 0.01, MinInputFiles: 2}
}

func TestWhatBesideDataFilesMayHoldErasedRowsIsNamed(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	put(t, tbl, token("w", 1), "a 1")
	held, err := reload(t, tbl).Held(ctx, meant(t, tbl, `id == "a"`, ""), maintain.ExpireOptions{})
	require.NoError(t, err)
	beside := held.Beside
	require.Empty(t, beside, "of a table on this machine, without change data")

	_, err = stage(t, tbl, []string{"a 2"}) // and its process dies
	require.NoError(t, err)
	held, err = reload(t, tbl).Held(ctx, meant(t, tbl, `id == "a"`, ""), maintain.ExpireOptions{})
	require.NoError(t, err)
	beside = held.Beside
	require.Len(t, beside, 1)
	require.Contains(t, beside[0], "1 files in the table's folder that no snapshot names")

	remembers := token("cdc", 1)
	remembers.Memory = map[string]tables.Checkpoint{"tombstones": {Kind: "tombstones", Body: []byte(`{"files":[]}`)}}
	put(t, tbl, remembers, "b 2")
	held, err = reload(t, tbl).Held(ctx, meant(t, tbl, `id == "a"`, ""), maintain.ExpireOptions{})
	require.NoError(t, err)
	beside = held.Beside
	require.Len(t, beside, 2)
	require.Contains(t, beside[0], "tombstones")
}

// What manifests say of removed files is told, with until when: as long as the head has such a manifest, and then as long as the
// snapshots that do. That it comes true is looked for in the bytes of the manifests.
func TestBoundsOfErasedRowsInManifestsAreNamed(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	put(t, tbl, token("w", 1), "alice 1")
	put(t, tbl, token("w", 2), "bob 2")
	who := meant(t, tbl, `id == "alice"`, "")
	_, err := reload(t, tbl).Delete(ctx, token("d", 1), who)
	require.NoError(t, err)
	now := time.Now()
	policy := maintain.ExpireOptions{OlderThan: time.Hour, KeepLast: 1, Now: func() time.Time { return now }}
	beside := func() []string {
		t.Helper()
		held, err := reload(t, tbl).Held(ctx, who, policy)
		require.NoError(t, err)
		out := held.Beside
		return out
	}
	later := func(n int) {
		t.Helper()
		now = now.Add(2 * time.Hour)
		_, err := reload(t, tbl).Expire(ctx, token("x", n), policy)
		require.NoError(t, err)
	}
	require.Contains(t, strings.Join(beside(), "\n"), "manifests that say that 1 data files were removed")
	require.Contains(t, beside()[0], "until a later commit that removes files")
	later(1)
	require.Empty(t, holdersOf(t, tbl, who, policy), "no data file has the row")
	require.Contains(t, beside()[0], "until a later commit that removes files")
	require.True(t, inManifests(t, tbl, "alice"))

	put(t, tbl, token("w", 3), "carol 3")
	_, err = reload(t, tbl).Delete(ctx, token("d", 2), meant(t, tbl, `id == "carol"`, ""))
	require.NoError(t, err)
	require.Contains(t, beside()[0], "1 data files were removed", "not those of carol")
	require.Contains(t, beside()[0], "until 2", "a time")
	later(2)
	require.Empty(t, beside())
	require.False(t, inManifests(t, tbl, "alice"))
}

// Who looks for what holds erased rows opens each manifest list and each manifest once, however many snapshots name it.
func TestHeldOpensEachManifestOnce(t *testing.T) {
	lake := newLake(t)
	def := pairs(t)
	def.FormatVersion = 2
	tbl := ensure(t, lake, def)
	for n := range 4 {
		put(t, tbl, token("w", n), fmt.Sprintf("a%d 1", n), fmt.Sprintf("b%d 2", n))
	}
	for n, strategy := range []merge.Strategy{merge.CopyOnWrite, merge.MergeOnRead} {
		_, err := reload(t, tbl).Delete(ctx, token("d", n), meant(t, tbl, fmt.Sprintf(`id == "a%d"`, n), strategy))
		require.NoError(t, err)
	}
	equality(t, tbl, nil, 1, "a3")
	who := meant(t, tbl, `id >= "a"`, "")
	of := reload(t, tbl)
	s := &openings{times: map[string]int{}}
	of.ReadThrough(func(fs iceio.WriteFileIO) iceio.IO { s.WriteFileIO = fs; return s })
	held, err := of.Held(ctx, who, maintain.ExpireOptions{})
	require.NoError(t, err)
	require.Len(t, held.Holders, 7)
	require.Len(t, held.Beside, 2, "removed files, and equality deletes")
	require.Greater(t, len(s.times), 7+7, "lists, and manifests")
	for name, n := range s.times {
		require.LessOrEqual(t, n, 1, name)
	}
}

// openings counts how often files of metadata are opened.
type openings struct {
	iceio.WriteFileIO
	mu    sync.Mutex
	times map[string]int
}

// Open implements iceio.IO.
func (o *openings) Open(name string) (iceio.File, error) {
	if strings.HasSuffix(name, ".avro") {
		o.mu.Lock()
		o.times[name]++
		o.mu.Unlock()
	}
	return o.WriteFileIO.Open(name)
}

func holdersOf(t *testing.T, tbl *tables.Table, rows tables.Rows, policy maintain.ExpireOptions) []tables.Holder {
	t.Helper()
	held, err := reload(t, tbl).Held(ctx, rows, policy)
	require.NoError(t, err)
	h := held.Holders
	return h
}

// inManifests looks for a value among the bounds of all entries of the manifests of all snapshots.
func inManifests(t *testing.T, tbl *tables.Table, value string) (found bool) {
	t.Helper()
	tbl = reload(t, tbl)
	fs, err := tbl.FS(ctx)
	require.NoError(t, err)
	for _, s := range tbl.Iceberg().Metadata().Snapshots() {
		manifests, err := s.Manifests(fs)
		require.NoError(t, err)
		for _, m := range manifests {
			for entry, err := range m.Entries(fs, false) {
				require.NoError(t, err)
				for _, bound := range entry.DataFile().LowerBoundValues() {
					found = found || string(bound) == value
				}
			}
		}
	}
	return found
}
