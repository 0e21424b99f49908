package conformance

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/lakesql"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/transforms/sql"
)

// testBranch builds on a branch, which others do not see before it is merged; and two writers of different tables on one
// branch do not stand in each other's way.
func testBranch(t *testing.T, s Subject) {
	main := s.open(t, s.Config)
	tbl := s.ensure(t, main, "branched.t", 2)
	_, err := tbl.Append(ctx, by("w", 0), stage(t, tbl, row{"a", 1}))
	require.NoError(t, err)
	made, err := main.Catalog().CreateBranch(ctx, "work/one", "main")
	require.NoError(t, err)
	require.True(t, made)
	made, err = main.Catalog().CreateBranch(ctx, "work/one", "main")
	require.NoError(t, err)
	require.False(t, made, "it is there")

	cfg := s.Config
	cfg.Branch = "work/one"
	work := s.open(t, cfg)
	there, err := work.Table(ctx, "branched.t")
	require.NoError(t, err)
	require.Equal(t, texts(row{"a", 1}), contents(t, there, tables.Version{}))
	other := s.ensure(t, work, "branched.only", 2)
	_, err = there.Append(ctx, by("w", 1), stage(t, there, row{"b", 2}))
	require.NoError(t, err)
	older := there.CatalogCommit()
	r, err := other.Append(ctx, by("w", 1), stage(t, other, row{"c", 3}))
	require.NoError(t, err)
	require.Zero(t, r.Conflicts)

	tbl, err = main.Table(ctx, "branched.t")
	require.NoError(t, err)
	require.Equal(t, texts(row{"a", 1}), contents(t, tbl, tables.Version{}), "main does not see the branch")
	require.Equal(t, texts(row{"a", 1}, row{"b", 2}), contents(t, tbl, tables.Version{Ref: "work/one"}), "unless it asks for it")
	_, err = main.Table(ctx, "branched.only")
	require.ErrorIs(t, err, tables.ErrNoSuchTable)
	seen, err := main.Table(tables.OnBranch(ctx, "work/one"), "branched.only")
	require.NoError(t, err)
	require.Equal(t, texts(row{"c", 3}), contents(t, seen, tables.Version{}))

	merged, err := main.Catalog().MergeBranch(ctx, "work/one", "main")
	require.NoError(t, err)
	require.True(t, merged.Changed)
	merged, err = main.Catalog().MergeBranch(ctx, "work/one", "main")
	require.NoError(t, err)
	require.False(t, merged.Changed, "as after an answer that was lost")
	tbl, err = main.Table(ctx, "branched.t")
	require.NoError(t, err)
	require.Equal(t, texts(row{"a", 1}, row{"b", 2}), contents(t, tbl, tables.Version{}))
	_, err = main.Table(ctx, "branched.only")
	require.NoError(t, err)
	again, err := tbl.Append(ctx, by("w", 1), stage(t, tbl, row{"b", 2}))
	require.NoError(t, err)
	require.True(t, again.AlreadyCommitted, "what was committed on the branch is known on main")

	_, err = there.Append(ctx, by("w", 2), stage(t, there, row{"d", 4}))
	require.NoError(t, err)
	err = main.Catalog().DropBranch(ctx, "work/one", merged.Hash)
	require.ErrorIs(t, err, tables.ErrConflict, "what came to the branch after it was merged is not deleted with it")
	merged, err = main.Catalog().MergeBranch(ctx, "work/one", "main")
	require.NoError(t, err)
	require.True(t, merged.Changed)
	require.Len(t, contents(t, tbl, tables.Version{Ref: "main"}), 3)

	_, err = there.Append(ctx, by("w", 3), stage(t, there, row{"e", 5}))
	require.NoError(t, err)
	pinned := there.CatalogCommit()
	_, err = other.Append(ctx, by("w", 3), stage(t, other, row{"f", 6})) // by somebody else, say
	require.NoError(t, err)
	require.NotEqual(t, pinned, other.CatalogCommit())
	_, err = main.Catalog().MergeBranch(ctx, "work/one", "main", "0000000000000000000000000000000000000000000000000000000000000000")
	require.ErrorIs(t, err, tables.ErrConflict, "the branch is another one than was seen")
	for n := range 2 {
		merged, err = main.Catalog().MergeBranch(ctx, "work/one", "main", older, pinned)
		require.NoError(t, err)
		require.Equal(t, []any{pinned, n == 0}, []any{merged.Hash, merged.Changed}, "the newest that was seen")
	}
	require.Len(t, contents(t, tbl, tables.Version{Ref: "main"}), 4)
	seen, err = main.Table(ctx, "branched.only")
	require.NoError(t, err)
	require.Equal(t, texts(row{"c", 3}), contents(t, seen, tables.Version{}), "what came after it is not merged")
	require.ErrorIs(t, main.Catalog().DropBranch(ctx, "work/one", merged.Hash), tables.ErrConflict)
	merged, err = main.Catalog().MergeBranch(ctx, "work/one", "main")
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, main.Catalog().DropBranch(ctx, "work/one", merged.Hash))
	}
	all, err := main.Branches(ctx)
	require.NoError(t, err)
	require.Equal(t, "main", all[0].Name)
	for _, b := range all {
		require.NotEqual(t, "work/one", b.Name)
	}
	_, err = main.Catalog().MergeBranch(ctx, "work/one", "main")
	require.ErrorIs(t, err, tables.ErrAbsent)
	require.ErrorContains(t, err, "merge branch work/one into main")
}

// testMergeConflict: what both branches have changed is merged by nobody, and main stays as it is.
func testMergeConflict(t *testing.T, s Subject) {
	main := s.open(t, s.Config)
	tbl := s.ensure(t, main, "disputed.t", 2)
	_, err := tbl.Append(ctx, by("w", 0), stage(t, tbl, row{"a", 1}))
	require.NoError(t, err)
	_, err = main.Catalog().CreateBranch(ctx, "disputed", "main")
	require.NoError(t, err)
	on := tables.OnBranch(ctx, "disputed")
	there, err := main.Table(on, "disputed.t")
	require.NoError(t, err)
	_, err = there.Append(on, by("w", 1), stage(t, there, row{"b", 2}))
	require.NoError(t, err)
	_, err = tbl.Append(ctx, by("other", 1), stage(t, tbl, row{"c", 3}))
	require.NoError(t, err)
	_, err = main.Catalog().MergeBranch(ctx, "disputed", "main")
	require.ErrorIs(t, err, tables.ErrConflict)
	require.ErrorContains(t, err, "disputed.t")
	tbl, err = main.Table(ctx, "disputed.t")
	require.NoError(t, err)
	require.Equal(t, texts(row{"a", 1}, row{"c", 3}), contents(t, tbl, tables.Version{}))
}

// testHistory travels in time by Nessie's commits: by snapshot, time, tag, branch and hash, also in SQL.
func testHistory(t *testing.T, s Subject) {
	lake := s.open(t, s.Config)
	_, err := lake.Catalog().CreateBranch(ctx, "before-history", "main")
	require.NoError(t, err)
	tbl := s.ensure(t, lake, "told.t", 2)
	s.ensure(t, lake, "told.other", 2)
	var ids []int64
	rows := []row{{"a", 1}, {"b", 2}, {"c", 3}}
	for i, r := range rows {
		out, err := tbl.Append(ctx, by("w", i), stage(t, tbl, r))
		require.NoError(t, err)
		ids = append(ids, out.SnapshotID)
	}
	_, err = lake.Catalog().CreateBranch(ctx, "at-three", "main")
	require.NoError(t, err)
	four, err := tbl.Append(ctx, by("w", 4), stage(t, tbl, row{"d", 4}))
	require.NoError(t, err)
	ids = append(ids, four.SnapshotID)

	fresh, err := lake.Table(ctx, "told.t")
	require.NoError(t, err)
	history, err := fresh.History(ctx, 0)
	require.NoError(t, err)
	require.Len(t, history, 4)
	for i, h := range history {
		require.Equal(t, ids[i], h.ID)
		require.NotEmpty(t, h.Commit)
		require.Equal(t, i == 3, h.Current)
		want := texts(append(rows[:min(i+1, 3):min(i+1, 3)], []row{{"d", 4}}[:max(i-2, 0)]...)...)
		require.Equal(t, want, contents(t, fresh, tables.Version{SnapshotID: &h.ID}), "by snapshot %d", i)
		require.Equal(t, want, contents(t, fresh, tables.Version{Ref: h.Commit}), "by commit %d", i)
	}
	newest, err := fresh.History(ctx, 2)
	require.NoError(t, err)
	require.Equal(t, history[2:], newest)
	require.Equal(t, texts(rows...), contents(t, fresh, tables.Version{Ref: "at-three"}))

	third, _, err := fresh.AsOf(ctx, tables.Version{SnapshotID: &ids[2]})
	require.NoError(t, err)
	head, _ := third.Head()
	later := time.Now().UTC()
	require.Equal(t, texts(rows[0], rows[1], rows[2], row{"d", 4}), contents(t, fresh, tables.Version{Timestamp: &later}))
	require.Equal(t, ids[2], head.ID)
	long := later.Add(-time.Hour)
	absent := int64(42)
	for _, v := range []tables.Version{{Timestamp: &long}, {SnapshotID: &absent}, {Ref: "nowhere"}, {Ref: "before-history"}, {Ref: "0123456789abcdef0123"}} {
		_, _, err := fresh.AsOf(ctx, v)
		require.ErrorIs(t, err, tables.ErrNoSuchSnapshot, "%v", v)
		require.ErrorContains(t, err, "told.t at "+v.String())
	}

	engine, err := sql.Open(sql.Options{TempDir: t.TempDir()})
	require.NoError(t, err)
	defer engine.Close()
	out, err := engine.Run(ctx, "SELECT count(*) AS n FROM told.t FOR VERSION AS OF 'at-three' UNION ALL SELECT count(*) FROM told.t ORDER BY n", lakesql.New(lake, nil))
	require.NoError(t, err)
	defer out.Release()
	var counts []string
	for out.Next() {
		for i := range int(out.RecordBatch().NumRows()) {
			counts = append(counts, out.RecordBatch().Column(0).ValueStr(i))
		}
	}
	require.NoError(t, out.Err())
	require.Equal(t, []string{"3", "4"}, counts)
}

// testAppendsAroundCompaction: who reads what was added goes on over a compaction, though the metadata show its snapshot and no
// other; by a merge of branches, which is one commit of two snapshots, it is told that it cannot, and by a change of rows too.
func testAppendsAroundCompaction(t *testing.T, s Subject) {
	lake := s.open(t, s.Config)
	tbl := s.ensure(t, lake, "kept.t", 2)
	add := func(n int, r row) {
		t.Helper()
		_, err := tbl.Append(ctx, by("w", n), stage(t, tbl, r))
		require.NoError(t, err)
	}
	point := func() tables.ReadPoint {
		t.Helper()
		now, err := tbl.Refresh(ctx)
		require.NoError(t, err)
		head := now.Iceberg().CurrentSnapshot()
		return tables.ReadPoint{Snapshot: head.SnapshotID, ManifestList: head.ManifestList, Sequence: head.SequenceNumber}
	}
	added := func(since tables.ReadPoint) (*tables.Added, error) {
		t.Helper()
		now, err := tbl.Refresh(ctx)
		require.NoError(t, err)
		return now.AddedAfter(ctx, since)
	}
	add(1, row{"a", 1})
	add(2, row{"b", 2})
	read := point()
	compact := func(n int) {
		t.Helper()
		now, err := tbl.Refresh(ctx)
		require.NoError(t, err)
		r, err := now.Compact(ctx, by("m", n), maintain.CompactOptions{MinInputFiles: 2})
		require.NoError(t, err)
		require.True(t, r.Committed)
	}
	compact(1)
	out, err := added(read)
	require.NoError(t, err)
	require.Empty(t, out.Files, "nothing was added")
	add(3, row{"c", 3})
	compact(2)
	add(4, row{"d", 4})
	out, err = added(read)
	require.NoError(t, err)
	require.Len(t, out.Files, 2, "as they were appended")
	require.EqualValues(t, 2, out.Rows)

	// Two snapshots of another branch come in one commit.
	_, err = lake.Catalog().CreateBranch(ctx, "aside", "main")
	require.NoError(t, err)
	read = point()
	on := tables.OnBranch(ctx, "aside")
	there, err := lake.Table(on, "kept.t")
	require.NoError(t, err)
	_, err = there.Append(on, by("w", 5), stage(t, there, row{"e", 5}))
	require.NoError(t, err)
	r, err := there.Compact(on, by("m", 3), maintain.CompactOptions{MinInputFiles: 2})
	require.NoError(t, err)
	require.True(t, r.Committed)
	_, err = lake.Catalog().MergeBranch(ctx, "aside", "main")
	require.NoError(t, err)
	_, err = added(read)
	require.ErrorIs(t, err, tables.ErrExpired)

	read = point()
	now, err := tbl.Refresh(ctx)
	require.NoError(t, err)
	_, err = now.Replace(ctx, by("w", 6), stage(t, now, row{"f", 6}))
	require.NoError(t, err)
	_, err = added(read)
	require.ErrorIs(t, err, tables.ErrRewritten)
}
