// Package conformance holds every catalog and every store to the same behaviour: what package tables promises, seen from
// its door, on servers that the suite starts.
package conformance

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
)

var ctx = context.Background()

// row is a row of the suite's tables.
type row struct {
	id    string
	value int64
}

func (r row) String() string { return fmt.Sprintf("%s=%d", r.id, r.value) }

var columns = arrow.NewSchema([]arrow.Field{
	{Name: "id", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "value", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
}, nil)

func batch(rows []row) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, columns)
	defer b.Release()
	for _, r := range rows {
		b.Field(0).(*array.StringBuilder).Append(r.id)
		b.Field(1).(*array.Int64Builder).Append(r.value)
	}
	return b.NewRecordBatch()
}

// rowSource is rows as a merge reads them.
type rowSource []row

func (s rowSource) Schema() *arrow.Schema { return columns }

func (s rowSource) Open(_ context.Context, names []string) (array.RecordReader, error) {
	whole := batch(s)
	defer whole.Release()
	if names == nil {
		return array.NewRecordReader(columns, []arrow.RecordBatch{whole})
	}
	var fields []arrow.Field
	var arrays []arrow.Array
	for _, n := range names {
		i := columns.FieldIndices(n)[0]
		fields, arrays = append(fields, columns.Field(i)), append(arrays, whole.Column(i))
	}
	schema := arrow.NewSchema(fields, nil)
	part := array.NewRecordBatch(schema, arrays, whole.NumRows())
	defer part.Release()
	return array.NewRecordReader(schema, []arrow.RecordBatch{part})
}

func stage(t testing.TB, tbl *tables.Table, rows ...row) *tables.Staged {
	t.Helper()
	staged, err := staging(tbl, rows)
	if err != nil {
		t.Fatal(err)
	}
	return staged
}

func staging(tbl *tables.Table, rows []row) (*tables.Staged, error) {
	whole := batch(rows)
	defer whole.Release()
	reader, err := array.NewRecordReader(columns, []arrow.RecordBatch{whole})
	if err != nil {
		return nil, err
	}
	return tbl.Stage(ctx, reader, tables.StageOptions{})
}

// contents are a table's rows as text, sorted.
func contents(t testing.TB, tbl *tables.Table, at tables.Version) []string {
	t.Helper()
	rows, err := tbl.Scan(ctx, tables.ScanOptions{Version: at})
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Release()
	out := []string{}
	for rows.Next() {
		b := rows.RecordBatch()
		for i := range int(b.NumRows()) {
			out = append(out, row{b.Column(0).(*array.String).Value(i), b.Column(1).(*array.Int64).Value(i)}.String())
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func texts(rows ...row) []string {
	out := []string{}
	for _, r := range rows {
		out = append(out, r.String())
	}
	slices.Sort(out)
	return out
}

func by(writer string, token any) tables.CommitOptions {
	return tables.CommitOptions{ID: commit.ID{Writer: writer, Token: fmt.Sprint(token)}}
}

func sumOf(a arrow.Array) (sum int64) {
	for _, v := range a.(*array.Int64).Int64Values() {
		sum += v
	}
	return sum
}
