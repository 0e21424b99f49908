package tables_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
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

// The depth of a clustering is in how many files of its partition a value lies; and how partitions lay before the last
// compaction is told as long as that snapshot is there.
func TestHealthOfAClustering(t *testing.T) {
	lake := newLake(t)
	def := pairs(t)
	def.PartitionBy = []string{"v"}
	tbl := ensure(t, lake, def)
	put(t, tbl, token("w", 1), "a 1", "m 1", "a 2")
	put(t, tbl, token("w", 2), "k 1", "p 1")
	put(t, tbl, token("w", 3), "n 1", "z 1")
	none, err := reload(t, tbl).Health(ctx, 0)
	require.NoError(t, err)
	require.Zero(t, none.Depth, "nothing says by what")
	require.Nil(t, none.Before)
	h, err := reload(t, tbl).Health(ctx, 0, "id")
	require.NoError(t, err)
	require.Equal(t, []string{"id"}, h.ClusteredBy)
	// Of the three files in v=1 the middle one overlaps both others, which do not overlap each other: (2+3+2)/3.
	require.InDelta(t, 7./3, h.Partitions[0].Depth, 1e-9)
	require.InDelta(t, 8./4, h.Depth, 1e-9)
	gone, err := reload(t, tbl).Health(ctx, 0, "nothing") // a column that is gone is the compaction's to say
	require.NoError(t, err)
	require.Empty(t, gone.ClusteredBy)
	require.Zero(t, gone.Depth)

	_, err = reload(t, tbl).Compact(ctx, token("m", 1), maintain.CompactOptions{MinInputFiles: 2, Strategy: maintain.Sort, Columns: []string{"id"}})
	require.NoError(t, err)
	put(t, tbl, token("w", 4), "b 2")
	h, err = reload(t, tbl).Health(ctx, 0, "id desc")
	require.NoError(t, err)
	require.InDelta(t, 3./3, h.Depth, 1e-9)
	require.Equal(t, none.Partitions[0].Files, h.Before.Partitions[0].Files)
	require.Equal(t, []string{"v=1", "v=2"}, []string{h.Before.Partitions[0].Path, h.Before.Partitions[1].Path})
	require.Equal(t, 1, h.Before.Partitions[1].Files, "before the compaction, and not before the append after it")

	_, err = reload(t, tbl).Expire(ctx, token("m", 2), maintain.ExpireOptions{OlderThan: 1, KeepLast: 1, Now: func() time.Time { return time.Now().Add(time.Hour) }})
	require.NoError(t, err)
	h, err = reload(t, tbl).Health(ctx, 0)
	require.NoError(t, err)
	require.Nil(t, h.Before, "that snapshot has expired")
}
