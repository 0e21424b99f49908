// Package rowfilter makes of a condition over a table's columns what package tables takes: an expression over target rows,
// and what Iceberg's statistics can tell of it without reading a row.
package rowfilter

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"

	"github.com/varve-lake/varve/transforms/expression"
)

// targetScope begins the names of a target row's columns in package tables.
const targetScope = "t."

// Filter is a condition on rows. It implements merge.Expression.
type Filter struct {
	program *expression.Program
	// May holds for every row that the condition holds for; nil is every row.
	May iceberg.BooleanExpression
	// Rest holds for every row that it does not hold for, also where it is unknown; nil is every row.
	Rest iceberg.BooleanExpression
}

// Compile checks a condition against a table's columns. A mistake in it is an *expression.Error.
func Compile(condition string, columns *arrow.Schema) (*Filter, error) {
	program, err := expression.Compile(condition, expression.Scope{"": columns})
	if err != nil {
		return nil, err
	}
	if id := program.Type().ID(); id != arrow.BOOL && id != arrow.NULL {
		return nil, fmt.Errorf("a condition is true or false, and %s is %s", condition, program.Type())
	}
	out := &Filter{program: program}
	out.May, out.Rest, err = bounds(condition, columns)
	return out, err
}

// Columns implements merge.Expression.
func (f *Filter) Columns() []string {
	out := f.program.Columns()
	for i, c := range out {
		out[i] = targetScope + c
	}
	return out
}

// Type implements merge.Expression.
func (f *Filter) Type() arrow.DataType { return f.program.Type() }

// Eval implements merge.Expression.
func (f *Filter) Eval(ctx context.Context, batch arrow.RecordBatch) (arrow.Array, error) {
	var fields []arrow.Field
	var columns []arrow.Array
	for _, name := range f.program.Columns() {
		at := batch.Schema().FieldIndices(targetScope + name)
		if len(at) == 0 {
			return nil, fmt.Errorf("evaluate %s: there is no column %q", f.program.Source(), name)
		}
		field := batch.Schema().Field(at[0])
		field.Name = name
		fields, columns = append(fields, field), append(columns, batch.Column(at[0]))
	}
	plain := array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, batch.NumRows())
	defer plain.Release()
	return f.program.Eval(ctx, plain)
}
