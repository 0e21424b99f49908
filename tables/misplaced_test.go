package tables_test

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table/dv"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// misplaced deletes a row of a data file by a delete file that is listed in another partition, as another engine might: position
// deletes, or in format 3 a deletion vector. Readers, who go by the data file's path, have the row no more.
func misplaced(t *testing.T, tbl *tables.Table, partition map[int]any, path string, row int64) {
	t.Helper()
	now := reload(t, tbl).Iceberg()
	if now.Metadata().Version() < 3 {
		schema := arrow.NewSchema([]arrow.Field{column("file_path", 2147483546, arrow.BinaryTypes.String), column("pos", 2147483545, arrow.PrimitiveTypes.Int64)}, nil)
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		defer b.Release()
		b.Field(0).(*array.StringBuilder).Append(path)
		b.Field(1).(*array.Int64Builder).Append(row)
		foreignDeletes(t, tbl, b.NewRecordBatch(), iceberg.EntryContentPosDeletes, partition, func(d *iceberg.DataFileBuilder) {
			d.LowerBoundValues(map[int][]byte{2147483546: []byte(path)}).UpperBoundValues(map[int][]byte{2147483546: []byte(path)})
		})
		return
	}
	fs, err := now.FS(ctx)
	require.NoError(t, err)
	all := now.Spec()
	spec := int32(all.ID())
	w := dv.NewDVWriter(fs.(iceio.WriteFileIO), func(id int32) *iceberg.PartitionSpec { return now.Metadata().PartitionSpecByID(int(id)) })
	require.NoError(t, w.Add(path, []int64{row}, spec, partition))
	vectors, err := w.Flush(ctx, now.Location()+"/data/foreign-"+uuid.NewString()+".puffin")
	require.NoError(t, err)
	tx := now.NewTransaction()
	require.NoError(t, tx.NewRowDelta(nil).AddDeletes(vectors...).Commit(ctx))
	_, err = tx.Commit(ctx)
	require.NoError(t, err)
}

// twoPartitions is a table of a file of three rows in partition x, and of small ones in y; and the former's path.
func twoPartitions(t *testing.T, lake *tables.Lake, format int) (*tables.Table, string) {
	t.Helper()
	tbl := ensure(t, lake, tables.Definition{Name: "ns.t", FormatVersion: format, Schema: schemaOf(t, []string{"id string", "p string"}), PartitionBy: []string{"p"}})
	put(t, tbl, token("x", 1), "a x", "b x", "c x")
	var path string
	for path = range entriesOf(t, tbl, iceberg.ManifestContentData) {
	}
	for n := range 6 {
		put(t, reload(t, tbl), token("y", n), fmt.Sprintf("%d y", n))
	}
	return reload(t, tbl), path
}

// compactAt rewrites one partition of a table, and commits that after something else.
func compactAt(t *testing.T, tbl *tables.Table, partition string, meanwhile func()) tables.CompactResult {
	t.Helper()
	tbl = reload(t, tbl)
	plan, err := tbl.PlanCompaction(ctx, maintain.CompactOptions{RewriteAll: true})
	require.NoError(t, err)
	var groups []maintain.Compacted
	for _, g := range plan.Groups {
		if g.Partition == partition {
			done, err := tbl.CompactGroup(ctx, plan.WithoutGroups(), g)
			require.NoError(t, err)
			groups = append(groups, done)
		}
	}
	require.Len(t, groups, 1)
	meanwhile()
	r, err := reload(t, tbl).CommitCompaction(ctx, token("compact", uuid.NewString()), plan.WithoutGroups(), groups)
	require.NoError(t, err)
	return r
}

func nothing() {}

// Rows that are deleted by a delete file in another partition than theirs stay deleted, whichever of the two is compacted, and also
// if the delete comes while it is.
func TestCompactionKeepsDeletesThatLieElsewhere(t *testing.T) {
	for _, format := range []int{2, 3} {
		t.Run(fmt.Sprint("v", format), func(t *testing.T) {
			tbl, path := twoPartitions(t, newLake(t), format)
			of := func(p string) map[int]any { return map[int]any{1000: p} }
			want := []string{"0 y", "1 y", "2 y", "3 y", "4 y", "5 y", "a x", "c x"}
			misplaced(t, tbl, of("y"), path, 1)
			require.Equal(t, want, contents(t, reload(t, tbl), tables.Version{}))
			r := compactAt(t, tbl, "p=y", nothing)
			require.Equal(t, []int{1, 0}, []int{r.Groups, r.DeletesGone}, "the delete is of a file that is there")
			require.Equal(t, want, contents(t, reload(t, tbl), tables.Version{}))

			r = compactAt(t, tbl, "p=x", nothing)
			require.Equal(t, []int{1, 0, 1}, []int{r.Groups, r.GroupsDropped, r.DeletesGone})
			require.Equal(t, want, contents(t, reload(t, tbl), tables.Version{}))
			require.Empty(t, deletesOf(t, tbl))

			for path, e := range entriesOf(t, tbl, iceberg.ManifestContentData) {
				if e.DataFile().Count() == 2 {
					r = compactAt(t, tbl, "p=x", func() { misplaced(t, tbl, of("z"), path, 1) })
				}
			}
			require.Equal(t, []int{0, 1}, []int{r.Groups, r.GroupsDropped}, "its file has other deletes than it was read with")
			require.Equal(t, want[:7], contents(t, reload(t, tbl), tables.Version{}))
		})
	}
}

// A data file that has a deletion vector in another partition gets no second one, after which nobody could read the table.
func TestAVectorThatLiesElsewhereIsSeen(t *testing.T) {
	lake := newLake(t)
	tbl, path := twoPartitions(t, lake, 3)
	ensure(t, lake, tables.Definition{Name: "ns.t", FormatVersion: 3, Schema: schemaOf(t, []string{"id string", "p string"}), PartitionBy: []string{"id"}})
	misplaced(t, reload(t, tbl), map[int]any{1001: "q"}, path, 1)
	del := func(n int) error {
		_, err := reload(t, tbl).Delete(ctx, token("delete", n), meant(t, tbl, `p == "x" and id == "a"`, merge.MergeOnRead))
		return err
	}
	require.ErrorContains(t, del(1), "has a deletion vector already")
	require.Len(t, contents(t, reload(t, tbl), tables.Version{}), 8)
	_, err := reload(t, tbl).Compact(ctx, token("compact", 1), maintain.CompactOptions{RewriteAll: true})
	require.NoError(t, err)
	require.Empty(t, deletesOf(t, tbl))
	require.NoError(t, del(2))
	require.Equal(t, []string{"0 y", "1 y", "2 y", "3 y", "4 y", "5 y", "c x"}, contents(t, reload(t, tbl), tables.Version{}))
}
