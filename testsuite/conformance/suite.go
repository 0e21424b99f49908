package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/fault"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
	"github.com/varve-lake/varve/testsuite/servers"
)

// Subject is a catalog with a store, and what can be done to it.
type Subject struct {
	Config catalog.Config
	// Lossy, when set, is the same catalog behind something that lets the next n commits take effect and loses their
	// answers.
	Lossy func(t *testing.T) (cfg catalog.Config, drop func(n int))
	// Denied, when set, is the same catalog with credentials that are refused.
	Denied func(t *testing.T) catalog.Config
	// DeniedStore, when set, is the same catalog with a store whose credentials are refused.
	DeniedStore func(t *testing.T) catalog.Config
	// PyIceberg, when set, are the properties by which PyIceberg opens the same catalog.
	PyIceberg map[string]string
	// HeadOnly says that only the current snapshot is shown.
	HeadOnly bool
	// Formats are the table formats that the catalog takes; empty is 2 and 3.
	Formats []int
}

func (s Subject) open(t testing.TB, cfg catalog.Config) *tables.Lake {
	t.Helper()
	lake, err := tables.OpenLake(ctx, tables.Config{
		Catalog: cfg, TempDir: t.TempDir(), Parallelism: 2,
		Commit: commit.Options{MaxElapsed: 2 * time.Minute},
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lake.Close()) })
	return lake
}

// Run holds the subject to the suite.
func Run(t *testing.T, s Subject) {
	if len(s.Formats) == 0 {
		s.Formats = []int{2, 3}
	}
	for _, part := range []struct {
		name string
		test func(*testing.T, Subject)
	}{
		{"create and evolve", testEnsure},
		{"eight creators at once", testCreators},
		{"append, replace and checkpoints", testWrites},
		{"merge", testMerge},
		{"what is new since", testAddedSince},
		{"staging and state files", testStaging},
		{"two commits from one head", testLostUpdate},
		{"sixteen first writers", testFirstWriters},
		{"an answer that is lost", testLostAnswer},
		{"rollback and time travel", testRollback},
		{"one tag by several at once", testTags},
		{"maintenance", testMaintenance},
		{"PyIceberg reads the same rows", testPyIceberg},
		{"absent and dropped", testAbsent},
		{"credentials that are refused", testDenied},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, s) })
	}
}

func (s Subject) ensure(t testing.TB, lake *tables.Lake, name string, format int) *tables.Table {
	t.Helper()
	tbl, _, err := lake.Ensure(ctx, tables.Definition{Name: name, Schema: columns, FormatVersion: format, Evolve: true})
	require.NoError(t, err)
	return tbl
}

func testEnsure(t *testing.T, s Subject) {
	lake := s.open(t, s.Config)
	def := tables.Definition{
		Name: "made.events", Schema: columns, Identifier: []string{"id"}, PartitionBy: []string{"bucket(4, id)"},
		SortBy: []string{"value desc"}, Doc: "events", Properties: map[string]string{"team": "a"}, Evolve: true,
	}
	_, changes, err := lake.Ensure(ctx, def)
	require.NoError(t, err)
	require.True(t, changes.Created)
	_, changes, err = lake.Ensure(ctx, def)
	require.NoError(t, err)
	require.False(t, changes.Any(), "%+v", changes)

	def.Schema = arrow.NewSchema(append(columns.Fields(), arrow.Field{Name: "note", Type: arrow.BinaryTypes.String, Nullable: true}), nil)
	def.Properties = map[string]string{"team": "b"}
	_, changes, err = lake.Ensure(ctx, def)
	require.NoError(t, err)
	require.Equal(t, []string{"note"}, changes.Added)

	tbl, err := s.open(t, s.Config).Table(ctx, def.Name)
	require.NoError(t, err)
	info, err := tbl.Info(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"id"}, info.Identifier)
	require.Equal(t, "b", tbl.Properties()["team"])
	schema, err := tbl.Schema()
	require.NoError(t, err)
	require.Equal(t, 3, schema.NumFields())
	names, err := lake.Tables(ctx)
	require.NoError(t, err)
	require.Contains(t, names, def.Name)

	// Rows go through the partitioning and the sort order.
	_, err = tbl.Append(ctx, by("w", 1), stage(t, tbl, row{"a", 1}, row{"b", 2}, row{"c", 3}))
	require.NoError(t, err)
	require.Equal(t, texts(row{"a", 1}, row{"b", 2}, row{"c", 3}), contents(t, tbl, tables.Version{}))
}

// testCreators has eight processes create one table in one namespace, and the catalog's own tables where it is a database.
func testCreators(t *testing.T, s Subject) {
	var wg sync.WaitGroup
	created := make(chan bool, 8)
	for range 8 {
		wg.Go(func() {
			lake, err := tables.OpenLake(ctx, tables.Config{Catalog: s.Config})
			if err != nil {
				t.Error(err)
				return
			}
			defer lake.Close()
			_, changes, err := lake.Ensure(ctx, tables.Definition{Name: "together.t", Schema: columns, Evolve: true})
			if err != nil {
				t.Error(err)
			}
			created <- changes.Created
		})
	}
	wg.Wait()
	close(created)
	n := 0
	for c := range created {
		if c {
			n++
		}
	}
	require.Equal(t, 1, n, "one of them created it")
}

func testWrites(t *testing.T, s Subject) {
	lake := s.open(t, s.Config)
	tbl := s.ensure(t, lake, "writes.t", 2)
	large, err := json.Marshal(strings.Repeat("file ", 4000))
	require.NoError(t, err)
	for n, body := range []json.RawMessage{json.RawMessage(`{"n":1}`), large} {
		opts := by("w", n)
		opts.Checkpoint = &tables.Checkpoint{Kind: "files", Body: body}
		r, err := tbl.Append(ctx, opts, stage(t, tbl, row{fmt.Sprint("a", n), int64(n)}))
		require.NoError(t, err)
		require.True(t, r.Committed)
		require.NotZero(t, r.SnapshotID)

		// Another process sees rows and checkpoint together, and does not do the work twice.
		again, err := s.open(t, s.Config).Table(ctx, "writes.t")
		require.NoError(t, err)
		c, err := again.Checkpoint(ctx, "w")
		require.NoError(t, err)
		require.JSONEq(t, string(body), string(c.Body))
		r, err = again.Append(ctx, opts, stage(t, again, row{fmt.Sprint("a", n), int64(n)}))
		require.NoError(t, err)
		require.True(t, r.AlreadyCommitted, "%+v", r)
	}
	require.Equal(t, texts(row{"a0", 0}, row{"a1", 1}), contents(t, tbl, tables.Version{}))

	_, err = tbl.Replace(ctx, by("r", 0), stage(t, tbl, row{"new", 1}))
	require.NoError(t, err)
	fresh, err := lake.Table(ctx, "writes.t")
	require.NoError(t, err)
	require.Equal(t, texts(row{"new", 1}), contents(t, fresh, tables.Version{}))
	c, err := fresh.Checkpoint(ctx, "w")
	require.NoError(t, err)
	require.JSONEq(t, string(large), string(c.Body), "a checkpoint outlives another writer's commit")
}

func testMerge(t *testing.T, s Subject) {
	lake := s.open(t, s.Config)
	for _, format := range s.Formats {
		for _, strategy := range []merge.Strategy{merge.CopyOnWrite, merge.MergeOnRead} {
			t.Run(fmt.Sprintf("v%d %s", format, strategy), func(t *testing.T) {
				tbl := s.ensure(t, lake, strings.ReplaceAll(fmt.Sprintf("merges.v%d_%s", format, strategy), "-", "_"), format)
				_, err := tbl.Append(ctx, by("w", 0), stage(t, tbl, row{"a", 1}, row{"b", 1}, row{"c", 1}))
				require.NoError(t, err)
				for n, source := range []rowSource{{{"b", 2}, {"d", 2}}, {{"b", 3}, {"e", 3}}, {{"a", 4}, {"d", 4}}} {
					r, err := tbl.Merge(ctx, by("m", n), merge.Options{
						On: []string{"id"}, Strategy: strategy,
						Matched:    []merge.Clause{{Action: merge.Update, All: true}},
						NotMatched: []merge.Clause{{Action: merge.Insert, All: true}},
					}, source)
					require.NoError(t, err)
					require.True(t, r.Committed)
				}
				fresh, err := s.open(t, s.Config).Table(ctx, tbl.Name())
				require.NoError(t, err)
				require.Equal(t, texts(row{"a", 4}, row{"b", 3}, row{"c", 1}, row{"d", 4}, row{"e", 3}), contents(t, fresh, tables.Version{}))
			})
		}
	}
}

func testAddedSince(t *testing.T, s Subject) {
	lake := s.open(t, s.Config)
	tbl := s.ensure(t, lake, "since.t", 2)
	_, err := tbl.Append(ctx, by("w", 0), stage(t, tbl, row{"a", 1}))
	require.NoError(t, err)
	then := tbl.Iceberg().CurrentSnapshot()
	for n := 1; n <= 2; n++ {
		_, err := tbl.Append(ctx, by("w", n), stage(t, tbl, row{fmt.Sprint("b", n), 1}))
		require.NoError(t, err)
	}
	fresh, err := s.open(t, s.Config).Table(ctx, "since.t")
	require.NoError(t, err)
	added, err := fresh.AddedAfter(ctx, tables.ReadPoint{Snapshot: then.SnapshotID, ManifestList: then.ManifestList})
	require.NoError(t, err)
	require.EqualValues(t, 2, added.Rows)
	require.Len(t, added.Files, 2)
}

func testStaging(t *testing.T, s Subject) {
	lake := s.open(t, s.Config)
	tbl := s.ensure(t, lake, "staging.t", 2)
	content := bytes.Repeat([]byte("0123456789abcdef"), 3<<16) // 3 MiB
	first, err := tbl.WriteStaged(ctx, "run/1", "plan", []byte("old"))
	require.NoError(t, err)
	again, err := tbl.WriteStaged(ctx, "run/1", "plan", content)
	require.NoError(t, err)
	require.Equal(t, first, again)
	got, err := lake.ReadStaged(ctx, again)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got))
	for n := range 5 {
		_, err := tbl.WriteStaged(ctx, "run/1", fmt.Sprint("more-", n), []byte("x"))
		require.NoError(t, err)
	}
	_, err = tbl.WriteStaged(ctx, "run/2", "plan", []byte("of another run"))
	require.NoError(t, err)
	require.NoError(t, tbl.RemoveStaging(ctx, "run/1"))
	require.NoError(t, tbl.RemoveStaging(ctx, "run/1"), "that there is nothing is no error")
	left := names(t, tbl, tbl.Location()+"/_staging")
	require.Len(t, left, 1, "only the other run's: %v", left)
	_, err = tbl.ReadStaged(ctx, again)
	require.ErrorIs(t, err, tables.ErrAbsent)
	require.ErrorIs(t, err, fs.ErrNotExist)

	uri, err := tbl.States().Write(ctx, "state-of-this-content", content)
	require.NoError(t, err)
	_, err = tbl.States().Write(ctx, "state-of-this-content", content)
	require.NoError(t, err)
	got, err = tbl.States().Read(ctx, uri)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got))
	checkOrphans(t, lake, tbl)

	if lake.Catalog().Warehouse() == "" {
		_, err := lake.WriteStaged(ctx, "run/3", "plan", content)
		require.ErrorContains(t, err, "key staging")
		return
	}
	uri, err = lake.WriteStaged(ctx, "run/3", "plan", content)
	require.NoError(t, err)
	got, err = lake.ReadStaged(ctx, uri)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got))
	require.NoError(t, lake.RemoveStaging(ctx, "run/3"))
	_, err = lake.ReadStaged(ctx, uri)
	require.ErrorIs(t, err, tables.ErrAbsent)
}

// names lists the files below a folder of the table's store.
func names(t *testing.T, tbl *tables.Table, folder string) []string {
	t.Helper()
	store, err := tbl.FS(ctx)
	require.NoError(t, err)
	var out []string
	err = store.(iceio.ListableIO).WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, path)
		}
		return err
	})
	require.NoError(t, err)
	return out
}

// prepared is an append as the catalog is sent it, pinned to the head that tbl was loaded at.
func prepared(t *testing.T, tbl *tables.Table, rows ...row) table.TableCommit {
	t.Helper()
	staged := stage(t, tbl, rows...)
	tx := tbl.Iceberg().NewTransaction()
	require.NoError(t, tx.AssertRefSnapshotID(table.MainBranch))
	require.NoError(t, tx.AddDataFiles(ctx, staged.Files, nil, table.WithoutAutoNameMapping(), table.WithoutDuplicateCheck()))
	out, err := tx.TableCommit()
	require.NoError(t, err)
	return out
}

// testLostUpdate has two writers commit from one head: of an empty table, and of one with rows. The catalog lets in one.
func testLostUpdate(t *testing.T, s Subject) {
	lake := s.open(t, s.Config)
	tbl := s.ensure(t, lake, "races.t", 2)
	for n, want := range [][]string{texts(row{"first", 0}), texts(row{"first", 0}, row{"first", 1})} {
		head, err := lake.Table(ctx, "races.t")
		require.NoError(t, err)
		first, second := prepared(t, head, row{"first", int64(n)}), prepared(t, head, row{"second", int64(n)})
		_, _, err = lake.Catalog().CommitTable(ctx, tbl.Iceberg().Identifier(), first.Requirements, first.Updates)
		require.NoError(t, err)
		_, _, err = lake.Catalog().CommitTable(ctx, tbl.Iceberg().Identifier(), second.Requirements, second.Updates)
		require.ErrorIs(t, err, tables.ErrConflict, "round %d", n)
		after, err := lake.Table(ctx, "races.t")
		require.NoError(t, err)
		require.Equal(t, want, contents(t, after, tables.Version{}))
	}
}

// testFirstWriters has sixteen writers append to a table that is new and empty, each through a lake of its own. None sends
// its commit before all have seen the table empty, so that all but one meet a conflict.
func testFirstWriters(t *testing.T, s Subject) {
	const writers = 16
	s.ensure(t, s.open(t, s.Config), "crowd.t", 2)
	var wg, gate sync.WaitGroup
	gate.Add(writers)
	results := make([]tables.Result, writers)
	var want []row
	for n := range writers {
		lake := s.open(t, s.Config)
		mine := row{fmt.Sprintf("w%02d", n), int64(n)}
		want = append(want, mine)
		wg.Go(func() {
			atGate := sync.OnceFunc(gate.Done)
			defer atGate() // whatever went wrong, the others go on
			tbl, err := lake.Table(ctx, "crowd.t")
			if err != nil {
				t.Error(err)
				return
			}
			opts := by(fmt.Sprint("w", n), 1)
			opts.Require = func(context.Context, *table.Table) error {
				atGate()
				gate.Wait()
				return nil
			}
			if results[n], err = tbl.Append(ctx, opts, stage(t, tbl, mine)); err != nil || !results[n].Committed {
				t.Errorf("writer %d: %+v: %v", n, results[n], err)
			}
		})
	}
	wg.Wait()
	tbl, err := s.open(t, s.Config).Table(ctx, "crowd.t")
	require.NoError(t, err)
	require.Equal(t, texts(want...), contents(t, tbl, tables.Version{}))
	conflicts := 0
	for _, r := range results {
		conflicts += r.Conflicts
	}
	require.GreaterOrEqual(t, conflicts, writers-1)
	t.Logf("%d writers, %d conflicts", writers, conflicts)
}

func testLostAnswer(t *testing.T, s Subject) {
	if s.Lossy == nil {
		t.Skip("nothing stands between this catalog and its caller")
	}
	cfg, drop := s.Lossy(t)
	lake := s.open(t, cfg)
	tbl := s.ensure(t, lake, "lossy.t", 2)
	var want []row
	for n := range 3 { // the first one makes the first snapshot
		drop(1)
		want = append(want, row{"kept", int64(n)})
		r, err := tbl.Append(ctx, by("w", n), stage(t, tbl, row{"kept", int64(n)}))
		require.NoError(t, err)
		require.True(t, r.Committed, "%+v", r)
		require.Equal(t, 1, r.UnknownOutcomes, "%+v", r)
		require.Equal(t, 1, r.Attempts, "it landed the first time: %+v", r)
	}
	fresh, err := s.open(t, s.Config).Table(ctx, "lossy.t")
	require.NoError(t, err)
	require.Equal(t, texts(want...), contents(t, fresh, tables.Version{}))
}

func testRollback(t *testing.T, s Subject) {
	lake := s.open(t, s.Config)
	tbl := s.ensure(t, lake, "back.t", 2)
	opts := by("w", 0)
	opts.Checkpoint = &tables.Checkpoint{Kind: "files", Body: json.RawMessage(`1`)}
	first, err := tbl.Append(ctx, opts, stage(t, tbl, row{"a", 1}))
	require.NoError(t, err)
	opts = by("w", 1)
	opts.Checkpoint = &tables.Checkpoint{Kind: "files", Body: json.RawMessage(`2`)}
	_, err = tbl.Append(ctx, opts, stage(t, tbl, row{"b", 2}))
	require.NoError(t, err)

	fresh, err := s.open(t, s.Config).Table(ctx, "back.t")
	require.NoError(t, err)
	then := tables.Version{SnapshotID: &first.SnapshotID}
	if s.HeadOnly {
		require.Equal(t, texts(row{"a", 1}), contents(t, fresh, then), "by the catalog's own history")
		_, err = fresh.Rollback(ctx, by("rollback", 1), then)
		require.ErrorIs(t, err, tables.ErrNoSuchSnapshot)
		require.ErrorContains(t, err, "Nessie shows the current snapshot alone")
		return
	}
	require.Equal(t, texts(row{"a", 1}), contents(t, fresh, then))
	_, err = fresh.Rollback(ctx, by("rollback", 1), then)
	require.NoError(t, err)
	fresh, err = lake.Table(ctx, "back.t")
	require.NoError(t, err)
	require.Equal(t, texts(row{"a", 1}), contents(t, fresh, tables.Version{}))
	c, err := fresh.Checkpoint(ctx, "w")
	require.NoError(t, err)
	require.JSONEq(t, `1`, string(c.Body))
	_, err = fresh.Append(ctx, by("w", 2), stage(t, fresh, row{"c", 3}))
	require.NoError(t, err)
	require.Equal(t, texts(row{"a", 1}, row{"c", 3}), contents(t, fresh, tables.Version{}))
}

func testMaintenance(t *testing.T, s Subject) {
	lake := s.open(t, s.Config)
	tbl := s.ensure(t, lake, "kept.t", 2)
	var want []row
	for n := range 4 {
		want = append(want, row{"k", int64(n)})
		_, err := tbl.Append(ctx, by("w", n), stage(t, tbl, row{"k", int64(n)}))
		require.NoError(t, err)
	}
	r, err := tbl.Compact(ctx, by("maintenance", 1), maintain.CompactOptions{MinInputFiles: 2})
	require.NoError(t, err)
	require.Equal(t, 1, r.Groups, "%+v", r)
	fresh, err := s.open(t, s.Config).Table(ctx, "kept.t")
	require.NoError(t, err)
	require.Equal(t, texts(want...), contents(t, fresh, tables.Version{}))

	before := names(t, fresh, fresh.Location()+"/data")
	expired, err := fresh.Expire(ctx, by("maintenance", 2), maintain.ExpireOptions{OlderThan: time.Nanosecond, KeepLast: 1})
	if s.HeadOnly {
		require.ErrorIs(t, err, maintain.ErrShared, "the files are its history's")
		require.Equal(t, before, names(t, fresh, fresh.Location()+"/data"))
		return
	}
	require.NoError(t, err)
	require.NotZero(t, expired.FilesSwept, "%+v", expired)
	require.Len(t, names(t, fresh, fresh.Location()+"/data"), 1)
	fresh, err = lake.Table(ctx, "kept.t")
	require.NoError(t, err)
	require.Equal(t, texts(want...), contents(t, fresh, tables.Version{}))
}

func testPyIceberg(t *testing.T, s Subject) {
	if s.PyIceberg == nil {
		t.Skip("held by the interop suite, or not at all")
	}
	lake := s.open(t, s.Config)
	tbl := s.ensure(t, lake, "peers.t", 2)
	_, err := tbl.Append(ctx, by("w", 0), stage(t, tbl, row{"a", 1}, row{"b", 1}))
	require.NoError(t, err)
	_, err = tbl.Merge(ctx, by("m", 0), merge.Options{
		On: []string{"id"}, Strategy: merge.MergeOnRead,
		Matched:    []merge.Clause{{Action: merge.Update, All: true}},
		NotMatched: []merge.Clause{{Action: merge.Insert, All: true}},
	}, rowSource{{"b", 2}, {"c", 2}})
	require.NoError(t, err)
	properties, err := json.Marshal(s.PyIceberg)
	require.NoError(t, err)
	require.Equal(t, texts(row{"a", 1}, row{"b", 2}, row{"c", 2}), servers.PyIceberg(t, catalog.Name, string(properties), "peers.t"))
}

func testAbsent(t *testing.T, s Subject) {
	lake := s.open(t, s.Config)
	_, err := lake.Table(ctx, "nowhere.t")
	require.ErrorIs(t, err, tables.ErrNoSuchTable)
	require.NoError(t, lake.Drop(ctx, "nowhere.t", true), "dropping what is not there is no error")

	tbl := s.ensure(t, lake, "gone.t", 2)
	_, err = lake.Table(ctx, "gone.u")
	require.ErrorIs(t, err, tables.ErrNoSuchTable)
	_, err = tbl.Append(ctx, by("w", 0), stage(t, tbl, row{"a", 1}))
	require.NoError(t, err)
	location := tbl.Location()
	staged := stage(t, tbl, row{"b", 1})
	require.NoError(t, lake.Drop(ctx, "gone.t", true))
	_, err = lake.Table(ctx, "gone.t")
	require.ErrorIs(t, err, tables.ErrNoSuchTable)
	_, err = tbl.Append(ctx, by("w", 1), staged)
	require.ErrorIs(t, err, tables.ErrAbsent)
	if s.HeadOnly {
		return // the files are its history's
	}
	left := names(t, tbl, location)
	for _, name := range left {
		require.Contains(t, name, "/data/", "only the data file that was staged and never committed may be left: %v", left)
	}
}

func testDenied(t *testing.T, s Subject) {
	if s.Denied == nil && s.DeniedStore == nil {
		t.Skip("nothing here asks for credentials")
	}
	try := func(cfg catalog.Config) error {
		lake, err := tables.OpenLake(ctx, tables.Config{Catalog: cfg})
		if err != nil {
			return err
		}
		defer lake.Close()
		tbl, err := lake.Table(ctx, "writes.t")
		if err != nil {
			return err
		}
		_, err = tbl.WriteStaged(ctx, "denied", "x", []byte("x"))
		return err
	}
	for what, config := range map[string]func(*testing.T) catalog.Config{"catalog": s.Denied, "store": s.DeniedStore} {
		if config == nil {
			continue
		}
		cfg := config(t)
		err := try(cfg)
		require.ErrorIs(t, err, tables.ErrDenied, what)
		require.True(t, errors.Is(err, fault.ErrDenied))
		for _, secret := range secrets(cfg) {
			require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, cfg), secret, what)
		}
	}
}

// secrets are what must stand in no error.
func secrets(cfg catalog.Config) []string {
	all := []string{cfg.Credential}
	if cfg.Store != nil {
		all = append(all, cfg.Store.S3.SecretKey)
	}
	var out []string
	for _, s := range all {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}
