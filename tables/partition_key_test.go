package tables_test

import (
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
)

// Partitions whose values look alike when they are printed beside each other are two, and stay two.
func TestCompactionKeepsPartitionsApart(t *testing.T) {
	def := tables.Definition{
		Name: "ns.t", Schema: schemaOf(t, []string{"a string", "b string", "v long"}), PartitionBy: []string{"a", "b"},
		Properties: map[string]string{"write.parquet.row-group-limit": "1"}, // so that row groups are joined as bytes
	}
	tbl := ensure(t, newLake(t), def)
	for n := range 4 {
		rows, _, err := array.RecordFromJSON(memory.DefaultAllocator, def.Schema, strings.NewReader(`[{"a": "x 1001:y", "b": "z", "v": 1}, {"a": "x", "b": "y 1001:z", "v": 2}]`))
		require.NoError(t, err)
		reader, err := array.NewRecordReader(def.Schema, []arrow.RecordBatch{rows})
		require.NoError(t, err)
		staged, err := tbl.Stage(ctx, reader, tables.StageOptions{})
		require.NoError(t, err)
		_, err = tbl.Append(ctx, token("w", n), staged)
		require.NoError(t, err)
	}
	r, err := reload(t, tbl).Compact(ctx, token("m", 1), maintain.CompactOptions{MinInputFiles: 2})
	require.NoError(t, err)
	require.Equal(t, []int{8, 2}, []int{r.FilesRemoved, r.FilesAdded})
	for column, value := range map[string]string{"a": "x", "b": "z"} {
		rows, err := reload(t, tbl).Scan(ctx, tables.ScanOptions{Filter: iceberg.EqualTo(iceberg.Reference(column), value)})
		require.NoError(t, err)
		n := int64(0)
		for rows.Next() {
			n += rows.RecordBatch().NumRows()
		}
		require.NoError(t, rows.Err())
		rows.Release()
		require.EqualValues(t, 4, n, "%s = %s", column, value)
	}
}
