package tables_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// fourFiles is a table of four data files, a to d, of ten rows each.
func fourFiles(t *testing.T, format int) *tables.Table {
	t.Helper()
	def := pairs(t)
	def.FormatVersion = format
	tbl := ensure(t, newLake(t), def)
	for n, file := range []string{"a", "b", "c", "d"} {
		var rows []string
		for i := range 10 {
			rows = append(rows, fmt.Sprintf("%s%d %d", file, i, i))
		}
		put(t, tbl, token("w", n), rows...)
	}
	return tbl
}

// Files of few deletes are written anew as far as the budget for them goes, those with the largest share of deleted rows first; with
// none they stay.
func TestFilesOfFewDeletesAreWrittenAnew(t *testing.T) {
	for version := 2; version <= 3; version++ {
		tbl := fourFiles(t, version)
		_, err := reload(t, tbl).Delete(ctx, token("d", 1), meant(t, tbl, `id == "a1" || id == "b1" || id == "b2" || id == "c1"`, merge.MergeOnRead))
		require.NoError(t, err)
		before := contents(t, reload(t, tbl), tables.Version{})
		h, err := reload(t, tbl).Health(ctx, 0)
		require.NoError(t, err)
		one := h.Bytes / 4
		planned := func(budget int64) (files int, reason string) {
			o := maintain.CompactOptions{SmallShare: 1e-9, CleanBytes: budget}
			plan, err := reload(t, tbl).PlanCompaction(ctx, o)
			require.NoError(t, err)
			for _, g := range plan.Groups {
				files, reason = files+len(g.Files), g.Reason
			}
			return files, reason
		}
		n, _ := planned(0)
		require.Zero(t, n)
		plan, err := reload(t, tbl).PlanCompaction(ctx, maintain.CompactOptions{CleanBytes: one * 4})
		require.NoError(t, err)
		require.Len(t, plan.Groups, 1, "also small files, of which there are too few to join")
		n, reason := planned(one * 3 / 2)
		require.Equal(t, 1, n)
		require.Equal(t, "1 file with deletes, of 20 % of all rows", reason, "b's")
		n, _ = planned(one * 4)
		require.Equal(t, 3, n, "nothing is deleted from d's")
		_, err = reload(t, tbl).Compact(ctx, token("m", 1), maintain.CompactOptions{SmallShare: 1e-9, CleanBytes: one * 4})
		require.NoError(t, err)
		h, err = reload(t, tbl).Health(ctx, 0)
		require.NoError(t, err)
		require.Zero(t, h.DeleteFiles)
		require.Equal(t, before, contents(t, reload(t, tbl), tables.Version{}))
	}
}

// A delete file that several data files share makes those worth a rewrite from which it deletes a large share of the rows, and no others,
// however many rows it has; and health counts its rows once.
func TestSharedDeletesWearTheFilesTheyName(t *testing.T) {
	tbl := fourFiles(t, 2)
	paths := slices.Sorted(maps.Keys(entriesOf(t, tbl, iceberg.ManifestContentData)))
	shared(t, tbl, nil, map[string][]int64{paths[0]: {0}, paths[1]: {1, 3, 5, 7}, paths[3]: {2, 4}}) // of one file nothing is deleted
	before := contents(t, reload(t, tbl), tables.Version{})
	h, err := reload(t, tbl).Health(ctx, 0)
	require.NoError(t, err)
	require.EqualValues(t, 7, h.DeletedRows)
	for ratio, worn := range map[float64]int{0.5: 0, 0.4: 1, 0.2: 2, 0.1: 3} {
		plan, err := reload(t, tbl).PlanCompaction(ctx, maintain.CompactOptions{SmallShare: 1e-9, MaxDeleted: ratio})
		require.NoError(t, err)
		files := 0
		for _, g := range plan.Groups {
			files += len(g.Files)
		}
		require.Equal(t, worn, files, "%v", ratio)
		if ratio == 0.2 {
			require.Equal(t, "2 files with deletes, of 30 % of all rows", plan.Groups[0].Reason)
		}
	}
	_, err = reload(t, tbl).Compact(ctx, token("m", 1), maintain.CompactOptions{SmallShare: 1e-9, MaxDeleted: 0.2})
	require.NoError(t, err)
	after := slices.Sorted(maps.Keys(entriesOf(t, tbl, iceberg.ManifestContentData)))
	require.Contains(t, after, paths[0])
	require.Contains(t, after, paths[2])
	require.Equal(t, before, contents(t, reload(t, tbl), tables.Version{}))
}

// Deletes of another engine that lie in one file for a whole partition apply to all data files within the bounds of its paths; those
// of which it names no row are not written anew for it.
func TestSharedDeletesCountForTheFilesTheyName(t *testing.T) {
	tbl := fourFiles(t, 2)
	paths := slices.Sorted(maps.Keys(entriesOf(t, tbl, iceberg.ManifestContentData)))
	shared(t, tbl, nil, map[string][]int64{paths[0]: {0}, paths[3]: {5}}) // and between them lie two more
	before := contents(t, reload(t, tbl), tables.Version{})
	o := maintain.CompactOptions{SmallShare: 1e-9, CleanBytes: 1 << 30}
	plan, err := reload(t, tbl).PlanCompaction(ctx, o)
	require.NoError(t, err)
	require.Len(t, plan.Groups, 1)
	require.Contains(t, plan.Groups[0].Reason, "2 files with deletes")
	_, err = reload(t, tbl).Compact(ctx, token("m", 2), o)
	require.NoError(t, err)
	after := slices.Sorted(maps.Keys(entriesOf(t, tbl, iceberg.ManifestContentData)))
	require.Subset(t, after, paths[1:3], "nothing is deleted from them")
	require.NotContains(t, after, paths[0])
	require.NotContains(t, after, paths[3])
	require.Equal(t, before, contents(t, reload(t, tbl), tables.Version{}))
	plan, err = reload(t, tbl).PlanCompaction(ctx, o)
	require.NoError(t, err)
	require.Empty(t, plan.Groups)
}
