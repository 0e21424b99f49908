package transforms

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/transforms/expression"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// ConformOptions say who hears of rows that do not fit.
type ConformOptions struct {
	Context  context.Context // nil: the stream is not cancelled
	Observer Observer
}

// conformed makes one column of the target.
type conformed struct {
	field arrow.Field
	at    int // in the rows; -1 if they do not have it
}

// Conform gives rows the columns of to, in its order: columns are cast, missing ones are null, others are left out. A
// value that does not fit its column, a fraction where a whole number belongs, and a null in a column that is not
// nullable are faults of their row. The result takes over the reference to rows.
func Conform(rows array.RecordReader, to *arrow.Schema, opts ConformOptions) (array.RecordReader, error) {
	columns, err := conformColumns(rows.Schema(), to)
	if err != nil {
		return nil, err
	}
	ctx := opts.Context
	if ctx == nil {
		ctx = context.Background()
	}
	return newStream(ctx, to, rows, func(ctx context.Context, batch arrow.RecordBatch) (arrow.RecordBatch, error) {
		return conformBatch(ctx, batch, columns, to, opts.Observer)
	}), nil
}

func conformColumns(from, to *arrow.Schema) ([]conformed, error) {
	columns := make([]conformed, to.NumFields())
	for i, field := range to.Fields() {
		columns[i] = conformed{field: field, at: -1}
		switch found := from.FieldIndices(field.Name); {
		case len(found) > 1:
			return nil, fmt.Errorf("column %q stands for %d columns of that name", field.Name, len(found))
		case len(found) == 1:
			columns[i].at = found[0]
			if err := expression.CanCast(from.Field(found[0]).Type, field.Type); err != nil {
				return nil, fmt.Errorf("column %q: %w", field.Name, err)
			}
		case !field.Nullable:
			return nil, fmt.Errorf("column %q is required, but the rows do not have it", field.Name)
		}
	}
	return columns, nil
}

func conformBatch(ctx context.Context, batch arrow.RecordBatch, columns []conformed, to *arrow.Schema, obs Observer) (arrow.RecordBatch, error) {
	f := newFrame(batch, obs)
	defer f.release()
	arrays, faults := make([]arrow.Array, len(columns)), []fault(nil)
	for i, c := range columns {
		arr, wrong, err := c.make(ctx, batch)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", c.field.Name, err)
		}
		defer arr.Release()
		arrays[i] = arr
		faults = merge(faults, wrong, c.field.Name)
		if !c.field.Nullable {
			faults = merge(faults, nullFaults(arr), c.field.Name)
		}
	}
	f.replace(array.NewRecordBatch(to, arrays, batch.NumRows()))
	keep, err := f.rejectFaults(batch, faults)
	if err != nil {
		return nil, err
	}
	if err := f.keep(ctx, keep); err != nil || f.batch.NumRows() == 0 {
		return nil, err
	}
	f.batch.Retain()
	return f.batch, nil
}

func (c conformed) make(ctx context.Context, batch arrow.RecordBatch) (arrow.Array, []expression.Fault, error) {
	if c.at < 0 {
		return vector.Nulls(c.field.Type, int(batch.NumRows())), nil, nil
	}
	arr := batch.Column(c.at)
	if arrow.TypeEqual(arr.DataType(), c.field.Type) {
		arr.Retain()
		return arr, nil, nil
	}
	return expression.CastExact(ctx, arr, c.field.Type)
}

// nullFaults are the rows that are null where a value is required.
func nullFaults(arr arrow.Array) []expression.Fault {
	valid := vector.Validity(arr)
	if valid == nil {
		return nil
	}
	var out []expression.Fault
	for i := range arr.Len() {
		if !valid.IsValid(i) {
			out = append(out, expression.Fault{Row: i, Message: "a required value is null"})
		}
	}
	return out
}
