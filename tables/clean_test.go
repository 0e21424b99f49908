package tables_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// Files of few deletes are written anew as far as the budget for them goes, those with the largest share of deleted rows first; with
// none they stay.
func TestFilesOfFewDeletesAreWrittenAnew(t *testing.T) {
	for version := 2; version <= 3; version++ {
		lake := newLake(t)
		def := pairs(t)
		def.FormatVersion = version
		tbl := ensure(t, lake, def)
		for n, file := range []string{"a", "b", "c", "d"} {
			var rows []string
			for i := range 10 {
				rows = append(rows, fmt.Sprintf("%s%d %d", file, i, i))
			}
			put(t, tbl, token("w", n), rows...)
		}
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
