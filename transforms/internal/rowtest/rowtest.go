// Package rowtest makes batches for tests from text, and text from batches.
package rowtest

import (
	"context"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/transforms/internal/render"
)

// Schema reads "name type; name type!"; a ! makes a column required.
func Schema(t testing.TB, header string) *arrow.Schema {
	var fields []arrow.Field
	for column := range strings.SplitSeq(header, "; ") {
		name, typ, _ := strings.Cut(column, " ")
		typ, required := strings.CutSuffix(typ, "!")
		dt, err := columntype.Parse(typ)
		require.NoError(t, err, column)
		fields = append(fields, arrow.Field{Name: name, Type: dt, Nullable: !required})
	}
	return arrow.NewSchema(fields, nil)
}

// Batch reads rows, each a JSON object.
func Batch(t testing.TB, header string, rows ...string) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, Schema(t, header))
	defer b.Release()
	for _, row := range rows {
		require.NoError(t, b.UnmarshalJSON([]byte(row)), row)
	}
	return b.NewRecordBatch()
}

// Reader streams batches of one schema.
func Reader(t testing.TB, batches ...arrow.RecordBatch) array.RecordReader {
	r, err := array.NewRecordReader(batches[0].Schema(), batches)
	require.NoError(t, err)
	return r
}

// Rows are the rows of a batch as JSON.
func Rows(batch arrow.RecordBatch) []string {
	write, out := render.Rows(batch), make([]string, batch.NumRows())
	for i := range out {
		out[i] = string(write(nil, i))
	}
	return out
}

// Drain reads a stream to its end and releases it.
func Drain(r array.RecordReader) ([]string, error) {
	defer r.Release()
	var out []string
	for r.Next() {
		out = append(out, Rows(r.RecordBatch())...)
	}
	return out, r.Err()
}

// Rewindable is batches that can be read again and again; it counts the readings, by their columns.
type Rewindable struct {
	Batches []arrow.RecordBatch
	Opened  [][]string
}

// Schema is that of the batches.
func (r *Rewindable) Schema() *arrow.Schema { return r.Batches[0].Schema() }

// Open reads the columns named, or all.
func (r *Rewindable) Open(_ context.Context, columns []string) (array.RecordReader, error) {
	r.Opened = append(r.Opened, columns)
	if columns == nil {
		return array.NewRecordReader(r.Schema(), r.Batches)
	}
	var fields []arrow.Field
	for _, name := range columns {
		fields = append(fields, r.Schema().Field(r.Schema().FieldIndices(name)[0]))
	}
	schema := arrow.NewSchema(fields, nil)
	var batches []arrow.RecordBatch
	for _, b := range r.Batches {
		var picked []arrow.Array
		for _, name := range columns {
			picked = append(picked, b.Column(b.Schema().FieldIndices(name)[0]))
		}
		batches = append(batches, array.NewRecordBatch(schema, picked, b.NumRows()))
	}
	return array.NewRecordReader(schema, batches)
}
