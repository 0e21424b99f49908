package datafile

import (
	"bytes"
	"context"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// TestAnEmptyTextIsWithinBounds: the least value of a column of texts that repeat, which gets a dictionary, may be "".
func TestAnEmptyTextIsWithinBounds(t *testing.T) {
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "s", Type: iceberg.PrimitiveTypes.String})
	l, err := newLayoutOf(newTable(t, schema, nil, table.UnsortedSortOrder, nil), schema, WriterOptions{})
	require.NoError(t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, l.arrow)
	defer b.Release()
	for i := range 1000 {
		b.Field(0).(*array.StringBuilder).Append([]string{"b", "", "c", "a"}[i%4])
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	f := l.encodeFragment(context.Background(), []arrow.RecordBatch{batch})
	require.NoError(t, f.err)
	var out bytes.Buffer
	a, err := newAssembler(&out)
	require.NoError(t, err)
	require.NoError(t, a.add(f.file))
	footer, err := a.finish(nil)
	require.NoError(t, err)
	s := footer.RowGroups[0].Columns[0].MetaData.Statistics
	require.NotNil(t, s.MinValue)
	require.Equal(t, "", string(s.MinValue))
	require.Equal(t, "c", string(s.MaxValue))
}
