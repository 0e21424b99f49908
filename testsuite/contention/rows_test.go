package contention

import (
	"context"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/merge"
	"github.com/varve-lake/varve/transforms/expression"
)

func number(name string) arrow.Field {
	return arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Int64, Nullable: true}
}

var (
	columns       = arrow.NewSchema([]arrow.Field{number("k"), number("p"), number("v"), number("n")}, nil)
	sourceColumns = arrow.NewSchema([]arrow.Field{
		number("k"), number("p"), number("v"), number("n"), {Name: "del", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	}, nil)
)

// source is a change's rows as a merge reads them. n is what inserted rows begin with.
type source []changed

// Schema implements merge.Source.
func (s source) Schema() *arrow.Schema { return sourceColumns }

// Open implements merge.Source.
func (s source) Open(_ context.Context, names []string) (array.RecordReader, error) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, sourceColumns)
	defer b.Release()
	for _, r := range s {
		for i, v := range []int64{r.K, r.P, r.V, 0} {
			b.Field(i).(*array.Int64Builder).Append(v)
		}
		b.Field(4).(*array.BooleanBuilder).Append(r.Del)
	}
	whole := b.NewRecordBatch()
	defer whole.Release()
	if names == nil {
		return array.NewRecordReader(sourceColumns, []arrow.RecordBatch{whole})
	}
	var fields []arrow.Field
	var arrays []arrow.Array
	for _, name := range names {
		i := sourceColumns.FieldIndices(name)[0]
		fields, arrays = append(fields, sourceColumns.Field(i)), append(arrays, whole.Column(i))
	}
	schema := arrow.NewSchema(fields, nil)
	part := array.NewRecordBatch(schema, arrays, whole.NumRows())
	defer part.Release()
	return array.NewRecordReader(schema, []arrow.RecordBatch{part})
}

// appended are the rows as they are appended.
func (s source) appended() (array.RecordReader, error) {
	return s.Open(context.Background(), []string{"k", "p", "v", "n"})
}

// mergeOf is the MERGE of the work.
func mergeOf(strategy merge.Strategy) (merge.Options, error) {
	scope := expression.Scope{"s": sourceColumns, "t": columns}
	var failed error
	compile := func(text string) merge.Expression {
		p, err := expression.Compile(text, scope)
		if err != nil {
			failed = err
		}
		return p
	}
	return merge.Options{
		On: []string{"p", "k"}, Strategy: strategy,
		Matched: []merge.Clause{
			{If: compile("s.del"), Action: merge.Delete},
			{Action: merge.Update, Set: []merge.Assign{
				{Column: "v", Value: compile("(t.v * 31 + s.v) % 1000003")}, {Column: "n", Value: compile("t.n + 1")},
			}},
		},
		NotMatched: []merge.Clause{{If: compile("not s.del"), Action: merge.Insert, All: true}},
	}, failed
}

// texts reads a table's rows, sorted, as the model writes them.
func texts(ctx context.Context, tbl *tables.Table) ([]string, error) {
	r, err := tbl.Scan(ctx, tables.ScanOptions{Columns: []string{"k", "v", "n"}})
	if err != nil {
		return nil, err
	}
	defer r.Release()
	var out []string
	for r.Next() {
		of := func(i int) []int64 { return r.RecordBatch().Column(i).(*array.Int64).Int64Values() }
		for i := range int(r.RecordBatch().NumRows()) {
			out = append(out, row{of(0)[i], of(1)[i], of(2)[i]}.String())
		}
	}
	slices.Sort(out)
	return out, r.Err()
}
