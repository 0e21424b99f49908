package tables_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/store"
)

var ctx = context.Background()

func pairs(t *testing.T) tables.Definition {
	return tables.Definition{Name: "ns.t", Schema: schemaOf(t, []string{"id string", "v long"}), Evolve: true}
}

func ensure(t *testing.T, lake *tables.Lake, def tables.Definition) *tables.Table {
	t.Helper()
	tbl, _, err := lake.Ensure(ctx, def)
	require.NoError(t, err)
	return tbl
}

func token(writer string, n any) tables.CommitOptions {
	return tables.CommitOptions{ID: commit.ID{Writer: writer, Token: fmt.Sprint(n)}}
}

func put(t *testing.T, tbl *tables.Table, opts tables.CommitOptions, lines ...string) tables.Result {
	t.Helper()
	s, err := stage(t, tbl, lines)
	require.NoError(t, err)
	r, err := tbl.Append(ctx, opts, s)
	require.NoError(t, err)
	return r
}

func TestTwoEnsuresAtOnce(t *testing.T) {
	lake := newLake(t)
	for round, lines := range [][]string{{"id string"}, {"id string", "v long", "w long"}} {
		def := tables.Definition{Name: "ns.t", Schema: schemaOf(t, lines), Evolve: true, PartitionBy: []string{"bucket(4, id)"}}
		var wg sync.WaitGroup
		changed := make(chan tables.Changes, 8)
		for range 8 {
			wg.Go(func() {
				_, changes, err := lake.Ensure(ctx, def)
				if err != nil {
					t.Error(err)
				}
				changed <- changes
			})
		}
		wg.Wait()
		close(changed)
		n := 0
		for c := range changed {
			if c.Any() {
				n++
			}
		}
		require.Equal(t, 1, n, "round %d: one of them did it", round)
	}
	tbl, err := lake.Table(ctx, "ns.t")
	require.NoError(t, err)
	require.Contains(t, shape(t, tbl), "1 id string\n2 v long\n3 w long\n")
}

func TestAppendsDuringAReplaceAreReplacedOrComeAfter(t *testing.T) {
	lake := newLake(t)
	ensure(t, lake, pairs(t))
	var wg sync.WaitGroup
	for n := range 3 {
		wg.Go(func() {
			tbl, err := lake.Table(ctx, "ns.t")
			require.NoError(t, err)
			for i := range 4 {
				put(t, tbl, token("a", fmt.Sprint(n, "-", i)), fmt.Sprintf("a%d-%d %d", n, i, i))
			}
		})
	}
	wg.Go(func() {
		tbl, err := lake.Table(ctx, "ns.t")
		require.NoError(t, err)
		for i := range 4 {
			s, err := stage(t, tbl, []string{fmt.Sprintf("r%d %d", i, i)})
			require.NoError(t, err)
			_, err = tbl.Replace(ctx, token("r", i), s)
			require.NoError(t, err)
		}
	})
	wg.Wait()
	tbl, err := lake.Table(ctx, "ns.t")
	require.NoError(t, err)
	// The rows are those of the last replace and of the appends after it, by the order of the snapshots.
	want := map[string]bool{}
	rows := 0
	for _, s := range tbl.Snapshots() {
		if s.Summary[commit.WriterKey] == "r" {
			rows = 0
		}
		rows++
	}
	for _, row := range contents(t, tbl, tables.Version{}) {
		require.False(t, want[row], "twice: %s", row)
		want[row] = true
	}
	require.Len(t, want, rows)
	require.True(t, want["r3 3"], "the last replace's row")
}

func TestALargeCheckpointGoesToAStateFile(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	body, err := json.Marshal(strings.Repeat("x", 5000))
	require.NoError(t, err)
	opts := token("w", 1)
	opts.Checkpoint = &tables.Checkpoint{Kind: "files", Body: body}
	put(t, tbl, opts, "a 1")
	property := tbl.Properties()["varve.checkpoint.w"]
	require.Less(t, len(property), 500)
	require.Contains(t, property, tbl.Location()+"/_varve/checkpoint-")
	head, _ := tbl.Head()
	require.Equal(t, property, head.Summary["varve.checkpoint.w"], "both name it")

	tbl, err = tbl.Refresh(ctx)
	require.NoError(t, err)
	got, err := tbl.Checkpoint(ctx, "w")
	require.NoError(t, err)
	require.Equal(t, "files", got.Kind)
	require.True(t, bytes.Equal(body, got.Body))
	none, err := tbl.Checkpoint(ctx, "nobody")
	require.NoError(t, err)
	require.Nil(t, none)

	// A state file that has been tampered with is not believed.
	files, err := filepath.Glob(filepath.Join(localPath(t, tbl.Location()), "_varve", "*"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.NoError(t, os.WriteFile(files[0], []byte(`"y"`), 0o644))
	_, err = tbl.Checkpoint(ctx, "w")
	require.ErrorContains(t, err, "has digest")
}

func localPath(t *testing.T, uri string) string {
	t.Helper()
	p, err := store.Path(uri)
	require.NoError(t, err)
	return p
}

func TestTimeTravelByTimeAndTag(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	before := time.Now().Add(-time.Hour)
	put(t, tbl, token("w", 1), "a 1")
	first, ok := tbl.Head()
	require.True(t, ok)
	_, err := commit.Commit(ctx, lake.Catalog(), tbl.Iceberg().Identifier(), commit.ID{Writer: "admin", Token: "tag"},
		func(context.Context, *table.Table, int) (*commit.Change, error) {
			return &commit.Change{Updates: []table.Update{table.NewSetSnapshotRefUpdate("release", first.ID, table.TagRef, 0, 0, 0)}}, nil
		}, commit.Options{})
	require.NoError(t, err)
	def := pairs(t)
	def.Schema = schemaOf(t, []string{"id string", "v long", "more string"})
	tbl = ensure(t, lake, def)
	put(t, tbl, token("w", 2), "b 2 x")

	require.Equal(t, []string{"a 1"}, contents(t, tbl, tables.Version{Ref: "release"}))
	then, err := tbl.SchemaAt(tables.Version{Ref: "release"})
	require.NoError(t, err)
	require.Equal(t, 2, then.NumFields(), "the schema of that time")
	now, err := tbl.SchemaAt(tables.Version{Ref: "main"})
	require.NoError(t, err)
	require.Equal(t, 3, now.NumFields(), "a branch has the current one")
	at := first.Timestamp
	s, err := tbl.At(tables.Version{Timestamp: &at})
	require.NoError(t, err)
	require.Equal(t, first.ID, s.ID)
	require.Equal(t, []string{"release"}, s.Refs)
	_, err = tbl.At(tables.Version{Timestamp: &before})
	require.ErrorIs(t, err, tables.ErrNoSuchSnapshot)
}

func expire(t *testing.T, lake *tables.Lake, tbl *tables.Table, ids ...int64) {
	t.Helper()
	_, _, err := lake.Catalog().CommitTable(ctx, tbl.Iceberg().Identifier(), nil, []table.Update{table.NewRemoveSnapshotsUpdate(ids, false)})
	require.NoError(t, err)
}

func TestExpiredSnapshots(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	for i := range 4 {
		opts := token("w", i)
		opts.Checkpoint = &tables.Checkpoint{Kind: "n", Body: json.RawMessage(fmt.Sprint(i))}
		put(t, tbl, opts, fmt.Sprintf("a %d", i))
	}
	all := tbl.Snapshots()
	expire(t, lake, tbl, all[0].ID, all[2].ID)
	tbl, err := tbl.Refresh(ctx)
	require.NoError(t, err)

	_, err = tbl.AddedSince(ctx, all[0].ID)
	require.ErrorIs(t, err, tables.ErrExpired)
	// A gap in the history that only added files does not hide what was added.
	added, err := tbl.AddedSince(ctx, all[1].ID)
	require.NoError(t, err)
	require.EqualValues(t, 2, added.Rows)
	// The token of an expired snapshot that is not the writer's last is forgotten; the last one never is.
	require.Equal(t, "3", tbl.LastToken("w"))
	s, err := stage(t, tbl, []string{"a 3"})
	require.NoError(t, err)
	r, err := tbl.Append(ctx, token("w", 3), s)
	require.NoError(t, err)
	require.True(t, r.AlreadyCommitted)
}

func TestARollbackNeedsToKnowTheCheckpoints(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	opts := token("w", 1)
	opts.Checkpoint = &tables.Checkpoint{Kind: "n", Body: json.RawMessage("1")}
	put(t, tbl, opts, "a 1")
	foreign(t, lake, tbl)
	put(t, tbl, token("w", 2), "c 3")
	all := tbl.Snapshots()
	require.Len(t, all, 3)

	id := all[1].ID // another engine's snapshot: the checkpoint is that of ours before it
	_, err := tbl.Rollback(ctx, token("admin", 1), tables.Version{SnapshotID: &id})
	require.NoError(t, err)
	c, err := tbl.Checkpoint(ctx, "w")
	require.NoError(t, err)
	require.Equal(t, "1", string(c.Body))

	back := all[2].ID
	_, err = tbl.Rollback(ctx, token("admin", 2), tables.Version{SnapshotID: &back})
	require.NoError(t, err)
	expire(t, lake, tbl, all[0].ID)
	tbl, err = tbl.Refresh(ctx)
	require.NoError(t, err)
	_, err = tbl.Rollback(ctx, token("admin", 3), tables.Version{SnapshotID: &id})
	require.ErrorContains(t, err, "the checkpoints of that time are not known")
}

// Work that rests on a checkpoint does not land on a table that was rolled back behind it: the rows in between would be
// missing for good.
func TestWorkThatWasUnderWayDuringARollbackIsSuperseded(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	put(t, tbl, token("w", 1), "a 1")
	put(t, tbl, token("w", 2), "b 2")
	late := token("w", 3)
	after := tbl.LastToken("w")
	late.ID.After = &after
	s, err := stage(t, tbl, []string{"c 3"})
	require.NoError(t, err)

	first := tbl.Snapshots()[0].ID
	_, err = tbl.Rollback(ctx, token("admin", 1), tables.Version{SnapshotID: &first})
	require.NoError(t, err)
	_, err = tbl.Append(ctx, late, s)
	require.ErrorIs(t, err, tables.ErrSuperseded)
	after = tbl.LastToken("w")
	r, err := tbl.Append(ctx, late, s)
	require.NoError(t, err)
	require.True(t, r.Committed)
	require.Equal(t, []string{"a 1", "c 3"}, contents(t, tbl, tables.Version{}))
}

// foreign appends a row as another engine would.
func foreign(t *testing.T, lake *tables.Lake, tbl *tables.Table) {
	t.Helper()
	now, err := lake.Catalog().LoadTable(ctx, tbl.Iceberg().Identifier())
	require.NoError(t, err)
	schema, err := tbl.Schema()
	require.NoError(t, err)
	_, err = now.Append(ctx, rowsOf(t, schema, []string{"foreign 2"}), nil)
	require.NoError(t, err)
}

func TestStagingIsRemovedAndStateStays(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	const run = "flights/2026-01-01T00:00:00Z"
	require.Regexp(t, `/ns\.db/t/_staging/flights-2026-01-01T00-00-00Z-[0-9a-f]{12}/ns\.t$`, tbl.Staging(run))
	require.NotEqual(t, tbl.Staging("a/b"), tbl.Staging("a:b"))
	uri, err := tbl.WriteStaged(ctx, run, "files.json", []byte("x"))
	require.NoError(t, err)
	got, err := tbl.ReadStaged(ctx, uri)
	require.NoError(t, err)
	require.Equal(t, "x", string(got))
	plan, err := lake.WriteStaged(ctx, run, "plan.json", []byte("p"))
	require.NoError(t, err)
	state, err := tbl.States().Write(ctx, "s-1", []byte("state"))
	require.NoError(t, err)
	again, err := tbl.States().Write(ctx, "s-1", []byte("state"))
	require.NoError(t, err)
	require.NotEqual(t, state, again, "what one commit writes is never another's too")

	require.NoError(t, tbl.RemoveStaging(ctx, run))
	require.NoError(t, tbl.RemoveStaging(ctx, run))
	require.NoError(t, lake.RemoveStaging(ctx, run))
	_, err = tbl.ReadStaged(ctx, uri)
	require.ErrorIs(t, err, tables.ErrAbsent)
	_, err = lake.ReadStaged(ctx, plan)
	require.ErrorIs(t, err, tables.ErrAbsent)
	got, err = tbl.States().Read(ctx, state)
	require.NoError(t, err)
	require.Equal(t, "state", string(got))
}

func TestListDropAndDiscard(t *testing.T) {
	lake := newLake(t)
	none, err := lake.Tables(ctx)
	require.NoError(t, err)
	require.Empty(t, none)
	_, err = lake.Table(ctx, "ns.t")
	require.ErrorIs(t, err, tables.ErrNoSuchTable)
	tbl := ensure(t, lake, pairs(t))
	def := pairs(t)
	def.Name = "a.b.c"
	ensure(t, lake, def)
	put(t, tbl, token("w", 1), "a 1")
	names, err := lake.Tables(ctx)
	require.NoError(t, err)
	require.Equal(t, []string{"a.b.c", "ns.t"}, names)

	s, err := stage(t, tbl, []string{"b 2"})
	require.NoError(t, err)
	require.FileExists(t, localPath(t, s.Files[0].FilePath()))
	require.NoError(t, tbl.Discard(ctx, s))
	require.NoError(t, tbl.Discard(ctx, s))
	require.NoFileExists(t, localPath(t, s.Files[0].FilePath()))

	require.NoError(t, lake.Drop(ctx, "ns.t", true))
	require.NoError(t, lake.Drop(ctx, "ns.t", true))
	left := 0
	require.NoError(t, filepath.Walk(localPath(t, tbl.Location()), func(_ string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			left++
		}
		return nil
	}))
	require.Zero(t, left, "all files are gone")

	// Staged files of a table that was dropped meanwhile are not another table's.
	data, err := s.Encode()
	require.NoError(t, err)
	_, err = ensure(t, lake, pairs(t)).DecodeStaged(data)
	require.ErrorContains(t, err, "which was dropped")
}

func TestAStageThatFailsLeavesNothing(t *testing.T) {
	lake := newLake(t)
	def := pairs(t)
	def.Schema = schemaOf(t, []string{"id string required", "v long"})
	tbl := ensure(t, lake, def)
	schema := schemaOf(t, []string{"id string", "v long"})
	_, err := tbl.Stage(ctx, rowsOf(t, schema, []string{"a 1", "null 2"}), tables.StageOptions{})
	require.ErrorContains(t, err, "required")

	cancelled, cancel := context.WithCancel(ctx)
	rows := &cancelling{RecordReader: rowsOf(t, schema, []string{"a 1"}), cancel: cancel}
	_, err = tbl.Stage(cancelled, rows, tables.StageOptions{})
	require.ErrorIs(t, err, context.Canceled)
	files, err := filepath.Glob(filepath.Join(localPath(t, tbl.Location()), "data", "*"))
	require.NoError(t, err)
	require.Empty(t, files)
}

// cancelling cancels after its rows.
type cancelling struct {
	array.RecordReader
	cancel func()
	done   bool
}

func (c *cancelling) Next() bool {
	if !c.done {
		c.done = c.RecordReader.Next()
		return c.done
	}
	c.cancel()
	return true
}

func TestEveryTypeSurvives(t *testing.T) {
	lake := newLake(t)
	lines := []string{"id uuid required", "b boolean", "i int", "l long", "f float", "d double", "dec decimal(38,10)", "dt date",
		"tm time", "ts timestamp", "tz timestamptz", "s string", "fx fixed(4)", "bin binary", "st struct<x: int, y: struct<z: string>>",
		"li list<list<int>>", "mp map<string, list<long>>"}
	tbl := ensure(t, lake, tables.Definition{Name: "ns.t", Schema: schemaOf(t, lines)})
	schema, err := tbl.Schema()
	require.NoError(t, err)
	want := schemaOf(t, lines)
	for i, f := range want.Fields() {
		require.True(t, arrow.TypeEqual(f.Type, schema.Field(i).Type), "%s: %s is %s", f.Name, f.Type, schema.Field(i).Type)
		require.Equal(t, f.Nullable, schema.Field(i).Nullable)
	}
}
