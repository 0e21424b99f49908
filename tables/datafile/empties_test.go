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
	theirs := l.encodeFragment(context.Background(), []arrow.RecordBatch{batch})
	require.NoError(t, theirs.err)
	ours := newGroupEncoder(l).encodeGroup(context.Background(), []arrow.RecordBatch{batch}, nil)
	require.NoError(t, ours.err)
	defer ours.release()
	require.Same(t, ours.chunks, ours.pieces[0].from, "a column of few texts goes through arrow-go")
	for name, add := range map[string]func(*assembler) error{
		"by arrow-go": func(a *assembler) error { return a.add(theirs.file) },
		"here":        func(a *assembler) error { return a.splice(ours.row, ours.pieces, ours.rows) },
	} {
		var out bytes.Buffer
		a, err := newAssembler(&out)
		require.NoError(t, err)
		require.NoError(t, add(a))
		footer, err := a.finish(nil)
		require.NoError(t, err)
		s := footer.RowGroups[0].Columns[0].MetaData.Statistics
		require.NotNil(t, s.MinValue, name)
		require.Equal(t, "", string(s.MinValue), name)
		require.Equal(t, "c", string(s.MaxValue), name)
	}
}
