package datafile

import (
	"context"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// newTable makes the metadata of a table in a folder of the test's own.
func newTable(t testing.TB, schema *iceberg.Schema, spec *iceberg.PartitionSpec, order table.SortOrder, props iceberg.Properties) table.Metadata {
	t.Helper()
	if spec == nil {
		spec = iceberg.UnpartitionedSpec
	}
	if props == nil {
		props = iceberg.Properties{}
	}
	if props["format-version"] == "" {
		props["format-version"] = "2"
	}
	meta, err := table.NewMetadata(schema, spec, order, t.TempDir(), props)
	require.NoError(t, err)
	return meta
}

func ordersSchema() *iceberg.Schema {
	return iceberg.NewSchemaWithIdentifiers(0, []int{1},
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 2, Name: "name", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 3, Name: "ts", Type: iceberg.PrimitiveTypes.TimestampTz},
	)
}

func orders(t testing.TB, meta table.Metadata, n int, row func(i int, b *array.RecordBuilder)) arrow.RecordBatch {
	t.Helper()
	schema, err := arrowSchema(meta.CurrentSchema())
	require.NoError(t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i := range n {
		row(i, b)
	}
	return b.NewRecordBatch()
}

func TestWriterUnpartitioned(t *testing.T) {
	meta := newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, nil)
	w, err := NewWriter(context.Background(), meta, iceio.LocalFS{}, WriterOptions{Prefix: "test"})
	require.NoError(t, err)
	batch := orders(t, meta, 1000, func(i int, b *array.RecordBuilder) {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		b.Field(1).(*array.StringBuilder).Append("name")
		b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(i) * 1_000_000)
	})
	require.NoError(t, w.Write(batch))
	files, err := w.Close()
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.EqualValues(t, 1000, files[0].Count())
	t.Log(files[0])
}
