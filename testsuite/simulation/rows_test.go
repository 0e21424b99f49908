package simulation

import (
	"cmp"
	"context"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
)

// change is a row of a MERGE's source.
type change struct {
	k, v int64
	del  bool
}

// source is rows in memory: k, p, v, and del unless without.
type source struct {
	rows    []change
	without bool
}

// Schema implements merge.Source.
func (s *source) Schema() *arrow.Schema {
	fields := []arrow.Field{
		{Name: "k", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "p", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "v", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	}
	if !s.without {
		fields = append(fields, arrow.Field{Name: "del", Type: arrow.FixedWidthTypes.Boolean, Nullable: true})
	}
	return arrow.NewSchema(fields, nil)
}

func (s *source) all() array.RecordReader {
	r, err := s.Open(context.Background(), nil)
	if err != nil {
		panic(err)
	}
	return r
}

// Open implements merge.Source.
func (s *source) Open(_ context.Context, names []string) (array.RecordReader, error) {
	var fields []arrow.Field
	var columns []arrow.Array
	for _, f := range s.Schema().Fields() {
		if names != nil && !slices.Contains(names, f.Name) {
			continue
		}
		fields, columns = append(fields, f), append(columns, s.column(f.Name))
	}
	if names != nil { // in the order asked for
		ordered, arrays := make([]arrow.Field, len(names)), make([]arrow.Array, len(names))
		for i, n := range names {
			at := slices.IndexFunc(fields, func(f arrow.Field) bool { return f.Name == n })
			ordered[i], arrays[i] = fields[at], columns[at]
		}
		fields, columns = ordered, arrays
	}
	schema := arrow.NewSchema(fields, nil)
	return array.NewRecordReader(schema, []arrow.RecordBatch{array.NewRecordBatch(schema, columns, int64(len(s.rows)))})
}

func (s *source) column(name string) arrow.Array {
	if name == "del" {
		b := array.NewBooleanBuilder(memory.DefaultAllocator)
		for _, r := range s.rows {
			b.Append(r.del)
		}
		return b.NewArray()
	}
	b := array.NewInt64Builder(memory.DefaultAllocator)
	for _, r := range s.rows {
		b.Append(map[string]int64{"k": r.k, "p": r.k % 2, "v": r.v}[name])
	}
	return b.NewArray()
}

// flag is the condition s.del, or its negation.
type flag struct{ not bool }

// Columns implements merge.Expression.
func (flag) Columns() []string { return []string{"s.del"} }

// Type implements merge.Expression.
func (flag) Type() arrow.DataType { return arrow.FixedWidthTypes.Boolean }

// Eval implements merge.Expression.
func (f flag) Eval(_ context.Context, batch arrow.RecordBatch) (arrow.Array, error) {
	in := batch.Column(batch.Schema().FieldIndices("s.del")[0]).(*array.Boolean)
	b := array.NewBooleanBuilder(memory.DefaultAllocator)
	defer b.Release()
	for i := range in.Len() {
		b.Append(in.Value(i) != f.not)
	}
	return b.NewArray(), nil
}

// rowsOf reads a snapshot of the table, nil the head.
func rowsOf(t *table.Table, snapshot *int64) ([]row, error) {
	return rowsIn(t, datafile.ScanOptions{SnapshotID: snapshot})
}

// rowsIn are those of a scan, sorted.
func rowsIn(t *table.Table, o datafile.ScanOptions) ([]row, error) {
	out, err := rowsInOrder(t, o)
	slices.SortFunc(out, func(a, b row) int { return cmp.Or(cmp.Compare(a.k, b.k), cmp.Compare(a.v, b.v)) })
	return out, err
}

func rowsInOrder(t *table.Table, o datafile.ScanOptions) ([]row, error) {
	o.Columns, o.Parallelism = []string{"k", "v"}, 1
	r, err := datafile.Scan(context.Background(), t, o)
	if err != nil {
		return nil, err
	}
	defer r.Release()
	var out []row
	for r.Next() {
		k, v := r.RecordBatch().Column(0).(*array.Int64), r.RecordBatch().Column(1).(*array.Int64)
		for i := range k.Len() {
			out = append(out, row{k.Value(i), v.Value(i)})
		}
	}
	return out, r.Err()
}
