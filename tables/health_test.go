package tables_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/merge"
)

func TestHealth(t *testing.T) {
	lake := newLake(t)
	def := pairs(t)
	def.PartitionBy = []string{"v"}
	tbl := ensure(t, lake, def)
	empty, err := tbl.Health(ctx, 0)
	require.NoError(t, err)
	require.Zero(t, empty.Files)
	require.Nil(t, empty.Oldest)
	require.Positive(t, empty.MetadataBytes)

	for n := range 3 {
		put(t, tbl, token("w", n), fmt.Sprintf("a%d 1", n), fmt.Sprintf("b%d 1", n))
	}
	put(t, tbl, token("w", 3), "c 2")
	_, err = reload(t, tbl).Delete(ctx, token("d", 1), meant(t, tbl, `id == "a1"`, merge.MergeOnRead))
	require.NoError(t, err)
	h, err := reload(t, tbl).Health(ctx, 0)
	require.NoError(t, err)
	require.Equal(t, 4, h.Files)
	require.EqualValues(t, 7, h.Rows)
	require.Equal(t, 1, h.DeleteFiles)
	require.EqualValues(t, 1, h.DeletedRows)
	require.InDelta(t, 1./7, h.DeletedShare, 1e-9)
	require.Equal(t, 4, h.SmallFiles)
	require.EqualValues(t, 1, h.SmallShare)
	require.Equal(t, 2, h.PartitionCount)
	require.Equal(t, tables.PartitionHealth{Path: "v=1", Files: 3, Bytes: h.Partitions[0].Bytes, Rows: 6, SmallFiles: 3, DeletedRows: 1}, h.Partitions[0], "the worst first")
	files := 0
	for _, c := range h.Sizes {
		files += c.Files
	}
	require.Equal(t, h.Files, files)
	require.Equal(t, 5, h.Snapshots)
	require.Len(t, h.Commits, 5)
	require.Equal(t, []int{2, 1, 4}, []int{h.Commits[1].Files, h.Commits[4].Added, h.Commits[4].Files})

	h, err = reload(t, tbl).Health(ctx, 100)
	require.NoError(t, err)
	require.Zero(t, h.SmallFiles, "by a target of 100 bytes")
}
