package tables_test

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/internal/validity"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// valid holds the table's metadata and files against the specification.
func valid(t *testing.T, tbl *tables.Table) {
	t.Helper()
	require.NoError(t, validity.New().Check(ctx, reload(t, tbl).Iceberg()))
}

// entriesOf are the live entries of the table's head, by path; of deletion vectors by the data file that they name.
func entriesOf(t *testing.T, tbl *tables.Table, content iceberg.ManifestContent) map[string]iceberg.ManifestEntry {
	t.Helper()
	now := reload(t, tbl).Iceberg()
	fs, err := now.FS(ctx)
	require.NoError(t, err)
	manifests, err := now.CurrentSnapshot().Manifests(fs)
	require.NoError(t, err)
	out := map[string]iceberg.ManifestEntry{}
	for _, m := range manifests {
		if m.ManifestContent() != content {
			continue
		}
		for e, err := range m.Entries(fs, true) {
			require.NoError(t, err)
			key := e.DataFile().FilePath()
			if table.IsDeletionVector(e.DataFile()) {
				key = *e.DataFile().ReferencedDataFile()
			}
			out[key] = e
		}
	}
	return out
}

// parquetFiles counts those in the table's folder of data.
func parquetFiles(t *testing.T, tbl *tables.Table) int {
	t.Helper()
	files, err := filepath.Glob(localPath(t, tbl.Location()) + "/data/*.parquet")
	require.NoError(t, err)
	return len(files)
}

func deletesOf(t *testing.T, tbl *tables.Table) map[string]iceberg.ManifestEntry {
	t.Helper()
	return entriesOf(t, tbl, iceberg.ManifestContentDeletes)
}

// worn is a table of one data file of ten rows, of which so many were deleted, one after the other.
func worn(t *testing.T, lake *tables.Lake, deletes int) *tables.Table {
	t.Helper()
	tbl := ensure(t, lake, pairs(t))
	var rows []string
	for i := range 10 {
		rows = append(rows, fmt.Sprintf("%c %d", 'a'+i, i))
	}
	put(t, tbl, token("w", 1), rows...)
	for i := range deletes {
		deleteRow(t, tbl, rune('a'+i))
	}
	return tbl
}

func deleteRow(t *testing.T, tbl *tables.Table, id rune) {
	t.Helper()
	r, err := reload(t, tbl).Delete(ctx, token("d", string(id)), meant(t, tbl, fmt.Sprintf("id == %q", id), merge.MergeOnRead))
	require.NoError(t, err)
	require.EqualValues(t, 1, r.Deleted)
}

// between has a writer do something before the next commit, and after what that was planned on.
func between(lake *tables.Lake, do func()) {
	lake.CommitThrough(&before{Catalog: lake.Catalog(), do: func() {
		lake.CommitThrough(lake.Catalog())
		do()
	}})
}

func TestDeletesOfAFileBecomeOne(t *testing.T) {
	lake := newLake(t)
	tbl := worn(t, lake, 3)
	rows := contents(t, reload(t, tbl), tables.Version{})
	latest := int64(0)
	for _, e := range deletesOf(t, tbl) {
		latest = max(latest, e.SequenceNum())
	}
	point, _ := reload(t, tbl).Head()

	would, err := reload(t, tbl).PlanMergeDeletes(ctx, maintain.MergeDeletesOptions{})
	require.NoError(t, err)
	require.Equal(t, maintain.MergedDeletes{DataFiles: 1, Removed: 3, Added: 1, Bytes: would.Bytes}, would)
	r, err := tbl.MergeDeletes(ctx, token("m", 1), maintain.MergeDeletesOptions{})
	require.NoError(t, err)
	require.Equal(t, []int{1, 3, 1, 0}, []int{r.MergedDeletes.DataFiles, r.Removed, r.Added, r.Dropped})
	require.Zero(t, r.Result.Deleted)
	now := deletesOf(t, tbl)
	require.Len(t, now, 1)
	for _, e := range now {
		require.EqualValues(t, 3, e.DataFile().Count())
		require.Equal(t, latest, e.SequenceNum(), "as the youngest of those that it takes the place of")
	}
	valid(t, tbl)
	require.Equal(t, rows, contents(t, reload(t, tbl), tables.Version{}))
	require.Equal(t, table.OpReplace, reload(t, tbl).Iceberg().CurrentSnapshot().Summary.Operation)
	added, err := reload(t, tbl).AddedSince(ctx, point.ID)
	require.NoError(t, err, "who reads what was added goes on")
	require.Empty(t, added.Files)

	r, err = tbl.MergeDeletes(ctx, token("m", 2), maintain.MergeDeletesOptions{})
	require.NoError(t, err)
	require.False(t, r.Committed, "nothing is left to do")
	deleteRow(t, tbl, 'd')
	r, err = tbl.MergeDeletes(ctx, token("m", 3), maintain.MergeDeletesOptions{MinInputFiles: 2})
	require.NoError(t, err)
	require.Equal(t, 2, r.Removed)
	valid(t, tbl)
	_, err = tbl.MergeDeletes(ctx, token("m", 4), maintain.MergeDeletesOptions{MinInputFiles: 1})
	require.ErrorContains(t, err, "want 2 or more")
}

// What another writer deletes between the plan and the commit is deleted.
func TestDeletesThatComeMeanwhileStay(t *testing.T) {
	lake := newLake(t)
	tbl := worn(t, lake, 3)
	other, err := lake.Table(ctx, "ns.t")
	require.NoError(t, err)
	between(lake, func() { deleteRow(t, other, 'e') })
	r, err := tbl.MergeDeletes(ctx, token("m", 1), maintain.MergeDeletesOptions{})
	require.NoError(t, err)
	require.Equal(t, 1, r.Conflicts)
	require.Equal(t, 3, r.Removed)
	require.Len(t, deletesOf(t, tbl), 2, "those that were put together, and the other's")
	valid(t, tbl)
	require.Equal(t, []string{"d 3", "f 5", "g 6", "h 7", "i 8", "j 9"}, contents(t, reload(t, tbl), tables.Version{}))
}

// A MERGE whose file gets other deletes meanwhile, for the same rows, looks at the file again.
func TestAMergeMeetsDeletesThatWerePutTogether(t *testing.T) {
	lake := newLake(t)
	tbl := worn(t, lake, 3)
	other, err := lake.Table(ctx, "ns.t")
	require.NoError(t, err)
	between(lake, func() {
		_, err := other.MergeDeletes(ctx, token("m", 1), maintain.MergeDeletesOptions{})
		require.NoError(t, err)
	})
	r, err := reload(t, tbl).Delete(ctx, token("d", "late"), meant(t, tbl, `id == "e" or id == "a"`, merge.MergeOnRead))
	require.NoError(t, err)
	require.Equal(t, 1, r.Conflicts)
	require.EqualValues(t, 1, r.Deleted)
	require.Len(t, deletesOf(t, tbl), 2)
	valid(t, tbl)
	require.Equal(t, []string{"d 3", "f 5", "g 6", "h 7", "i 8", "j 9"}, contents(t, reload(t, tbl), tables.Version{}))
}

// What was written for a data file that a writer has rewritten meanwhile is dropped, and removed.
func TestDeletesOfAFileThatIsGoneAreDropped(t *testing.T) {
	lake := newLake(t)
	tbl := worn(t, lake, 3)
	rows := contents(t, reload(t, tbl), tables.Version{})
	other, err := lake.Table(ctx, "ns.t")
	require.NoError(t, err)
	between(lake, func() {
		_, err := other.Compact(ctx, token("c", 1), everyFile())
		require.NoError(t, err)
	})
	r, err := tbl.MergeDeletes(ctx, token("m", 1), maintain.MergeDeletesOptions{})
	require.NoError(t, err)
	require.False(t, r.Committed)
	require.Equal(t, []int{0, 1}, []int{r.Removed, r.Dropped})
	require.Empty(t, deletesOf(t, tbl))
	require.Equal(t, rows, contents(t, reload(t, tbl), tables.Version{}))
	files, err := reload(t, tbl).Info(ctx)
	require.NoError(t, err)
	require.Equal(t, 1, files.DataFiles)
	require.Equal(t, 5, parquetFiles(t, tbl), "two data files and three of deletes: nothing of the merge is left")
}

// Deletes that other engines write for many data files at once become one file for each, if those are fewer; nothing of them is
// lost, whatever else there is.
func TestSharedDeletesAreDivided(t *testing.T) {
	for _, later := range []int{2, 3} {
		t.Run(fmt.Sprint("v", later), func(t *testing.T) {
			lake := newLake(t)
			tbl := ensure(t, lake, pairs(t))
			put(t, tbl, token("w", 1), "a 1", "b 2", "c 3", "d 4")
			put(t, tbl, token("w", 2), "e 5", "f 6", "g 7")
			data := slices.Sorted(maps.Keys(entriesOf(t, tbl, iceberg.ManifestContentData)))
			first, second := data[0], data[1]
			shared(t, tbl, nil, map[string][]int64{first: {0}, second: {1}})
			shared(t, tbl, nil, map[string][]int64{first: {2}, second: {0}})
			deleteRow(t, tbl, 'd')
			rows := contents(t, reload(t, tbl), tables.Version{})
			if later == 3 {
				upgrade(t, lake, tbl)
			}
			r, err := tbl.MergeDeletes(ctx, token("m", 1), maintain.MergeDeletesOptions{})
			require.NoError(t, err)
			require.Equal(t, []int{2, 3, 2}, []int{r.MergedDeletes.DataFiles, r.Removed, r.Added})
			require.Equal(t, rows, contents(t, reload(t, tbl), tables.Version{}))
			for path, e := range deletesOf(t, tbl) {
				require.Equal(t, later == 3, table.IsDeletionVector(e.DataFile()), path)
			}
			valid(t, tbl)
		})
	}
}

// Where dividing would make more files than there are, the deletes of one data file go together by themselves.
func TestSharedDeletesStayWhereDividingMakesMore(t *testing.T) {
	lake := newLake(t)
	tbl := worn(t, lake, 3)
	for i := range 4 {
		put(t, tbl, token("w", 2+i), fmt.Sprintf("z%d 1", i), fmt.Sprintf("z%d 2", i))
	}
	of := map[string][]int64{}
	for path := range entriesOf(t, tbl, iceberg.ManifestContentData) {
		of[path] = []int64{1}
		if entriesOf(t, tbl, iceberg.ManifestContentData)[path].DataFile().Count() == 10 {
			of[path] = []int64{9}
		}
	}
	shared(t, tbl, nil, of)
	rows := contents(t, reload(t, tbl), tables.Version{})
	require.Len(t, rows, 10-3-1+4)
	r, err := tbl.MergeDeletes(ctx, token("m", 1), maintain.MergeDeletesOptions{})
	require.NoError(t, err)
	require.Equal(t, []int{1, 3, 1}, []int{r.MergedDeletes.DataFiles, r.Removed, r.Added})
	require.Len(t, deletesOf(t, tbl), 2)
	require.Equal(t, rows, contents(t, reload(t, tbl), tables.Version{}))
	valid(t, tbl)
}

// upgrade raises the table's format to 3, as other engines do, whatever deletes it has.
func upgrade(t *testing.T, lake *tables.Lake, tbl *tables.Table) {
	t.Helper()
	_, _, err := lake.Catalog().CommitTable(ctx, tbl.Iceberg().Identifier(), nil, []table.Update{table.NewUpgradeFormatVersionUpdate(3)})
	require.NoError(t, err)
}

// In a table whose format was raised, position deletes beside a deletion vector are what readers pass over: they go. Those without
// one become one.
func TestPositionDeletesOfFormat2InFormat3(t *testing.T) {
	lake := newLake(t)
	tbl := worn(t, lake, 3)
	upgrade(t, lake, tbl)
	rows := contents(t, reload(t, tbl), tables.Version{})
	r, err := tbl.MergeDeletes(ctx, token("m", 1), maintain.MergeDeletesOptions{})
	require.NoError(t, err)
	require.Equal(t, []int{3, 1}, []int{r.Removed, r.Added})
	require.Equal(t, rows, contents(t, reload(t, tbl), tables.Version{}))
	valid(t, tbl)

	lake = newLake(t)
	tbl = worn(t, lake, 3)
	upgrade(t, lake, tbl)
	deleteRow(t, tbl, 'd') // a deletion vector of all four
	require.Len(t, deletesOf(t, tbl), 4)
	rows = contents(t, reload(t, tbl), tables.Version{})
	r, err = tbl.MergeDeletes(ctx, token("m", 1), maintain.MergeDeletesOptions{})
	require.NoError(t, err)
	require.False(t, r.Committed)
	gone, err := tbl.RemoveDanglingDeletes(ctx, token("m", 2), maintain.DanglingOptions{})
	require.NoError(t, err)
	require.Equal(t, []int{0, 3, 0}, []int{gone.Vectors, gone.Position, gone.Equality})
	require.Equal(t, rows, contents(t, reload(t, tbl), tables.Version{}))
	valid(t, tbl)
}

// drop removes data files and leaves their deletes, as other engines do.
func drop(t *testing.T, lake *tables.Lake, tbl *tables.Table, n int, which func(iceberg.DataFile) bool) {
	t.Helper()
	files := entriesOf(t, tbl, iceberg.ManifestContentData)
	_, err := commit.Commit(ctx, lake.Catalog(), tbl.Iceberg().Identifier(), token("other", n).ID, func(context.Context, *table.Table, int) (*commit.Change, error) {
		c := &commit.Change{Operation: commit.Overwrite}
		for _, e := range files {
			if which(e.DataFile()) {
				c.RemoveData = append(c.RemoveData, e.DataFile())
			}
		}
		return c, nil
	}, commit.Options{})
	require.NoError(t, err)
}

func TestDeletesOfFilesThatAreGoneGo(t *testing.T) {
	for _, format := range []int{2, 3} {
		t.Run(fmt.Sprint("v", format), func(t *testing.T) {
			lake := newLake(t)
			def := pairs(t)
			def.FormatVersion = format
			tbl := ensure(t, lake, def)
			put(t, tbl, token("w", 1), "a 1", "b 2", "c 3")
			put(t, tbl, token("w", 2), "d 4", "e 5")
			deleteRow(t, tbl, 'a')
			deleteRow(t, tbl, 'd')
			drop(t, lake, tbl, 1, func(f iceberg.DataFile) bool { return f.Count() == 3 })
			rows := contents(t, reload(t, tbl), tables.Version{})
			require.Equal(t, []string{"e 5"}, rows)

			would, err := reload(t, tbl).PlanDanglingDeletes(ctx, maintain.DanglingOptions{})
			require.NoError(t, err)
			require.Equal(t, 1, would.Files())
			r, err := tbl.RemoveDanglingDeletes(ctx, token("m", 1), maintain.DanglingOptions{MinFiles: 2})
			require.NoError(t, err)
			require.False(t, r.Committed, "one is not worth it")

			// Meanwhile another writer deletes from the file that is left, and drops it: of that nothing is overlooked.
			other, err := lake.Table(ctx, "ns.t")
			require.NoError(t, err)
			between(lake, func() { put(t, other, token("w", 3), "f 6", "g 7"); deleteRow(t, other, 'f') })
			r, err = tbl.RemoveDanglingDeletes(ctx, token("m", 2), maintain.DanglingOptions{})
			require.NoError(t, err)
			require.Equal(t, 1, r.Conflicts)
			require.Equal(t, 1, r.Files())
			require.Equal(t, []string{"e 5", "g 7"}, contents(t, reload(t, tbl), tables.Version{}))
			require.Len(t, deletesOf(t, tbl), 2)
			valid(t, tbl)
		})
	}
}

// Equality deletes go when no data file of their partition, or of the table where they have none, is older than they.
func TestEqualityDeletesThatAreOlderThanAllGo(t *testing.T) {
	for _, partitioned := range []bool{false, true} {
		t.Run(fmt.Sprint("partitioned ", partitioned), func(t *testing.T) {
			lake := newLake(t)
			def := tables.Definition{Name: "ns.t", Schema: schemaOf(t, []string{"id string", "p string"})}
			if partitioned {
				def.PartitionBy = []string{"p"}
			}
			tbl := ensure(t, lake, def)
			of := func(p string) map[int]any {
				if !partitioned {
					return nil
				}
				return map[int]any{1000: p}
			}
			put(t, tbl, token("w", 1), "a x", "b x", "c x", "d y")
			equality(t, tbl, of("x"), 1, "a")
			equality(t, tbl, of("x"), 1, "b")
			put(t, tbl, token("w", 2), "a x", "e y")
			require.Equal(t, []string{"a x", "c x", "d y", "e y"}, contents(t, reload(t, tbl), tables.Version{}))
			r, err := tbl.RemoveDanglingDeletes(ctx, token("m", 1), maintain.DanglingOptions{})
			require.NoError(t, err)
			require.False(t, r.Committed, "both delete rows")

			drop(t, lake, tbl, 1, func(f iceberg.DataFile) bool { return f.Count() > 2 }) // the oldest of x, or of all
			r, err = tbl.RemoveDanglingDeletes(ctx, token("m", 2), maintain.DanglingOptions{})
			require.NoError(t, err)
			require.Equal(t, 2, r.Equality)
			require.Empty(t, deletesOf(t, tbl))
			want := []string{"a x", "e y"}
			if partitioned {
				want = []string{"a x", "d y", "e y"}
			}
			require.Equal(t, want, contents(t, reload(t, tbl), tables.Version{}))
		})
	}
}

// A position-delete file of many data files goes when none of them is left.
func TestSharedDeletesOfFilesThatAreGoneGo(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	put(t, tbl, token("w", 1), "a 1", "b 2", "c 3")
	put(t, tbl, token("w", 2), "d 4", "e 5")
	of := map[string][]int64{}
	for path := range entriesOf(t, tbl, iceberg.ManifestContentData) {
		of[path] = []int64{0}
	}
	shared(t, tbl, nil, of)
	put(t, tbl, token("w", 3), "f 6")
	for n, left := range [][]string{{"e 5", "f 6"}, {"f 6"}} {
		drop(t, lake, tbl, n, func(f iceberg.DataFile) bool { return int(f.Count()) == 3-n })
		r, err := tbl.RemoveDanglingDeletes(ctx, token("m", n), maintain.DanglingOptions{})
		require.NoError(t, err)
		require.Equal(t, n, r.Position)
		require.Equal(t, left, contents(t, reload(t, tbl), tables.Version{}))
	}
	require.Empty(t, deletesOf(t, tbl))
}
