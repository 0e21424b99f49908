package sql_test

import (
	"bytes"
	"cmp"
	"context"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/transforms/sql"
)

// obedient is an Input that leaves out every row that it may.
type obedient struct{ *lake }

func (o *obedient) Scan(ctx context.Context, name string, v sql.Version, columns []string, filters []sql.Filter, limit int64) (array.RecordReader, error) {
	whole := o.tables[name]
	kept := &memoryTable{schema: whole.schema}
	for _, batch := range whole.batches {
		for i := range int(batch.NumRows()) {
			if limit > 0 && int64(len(kept.batches)) == limit {
				break
			}
			if passes(batch, i, filters) {
				kept.batches = append(kept.batches, batch.NewSlice(int64(i), int64(i+1)))
			}
		}
	}
	joined := kept
	if len(kept.batches) > 1 { // single rows would be slow to read
		columns := make([]arrow.Array, kept.schema.NumFields())
		for c := range columns {
			parts := make([]arrow.Array, len(kept.batches))
			for i, b := range kept.batches {
				parts[i] = b.Column(c)
			}
			columns[c], _ = array.Concatenate(parts, memory.DefaultAllocator)
		}
		joined = &memoryTable{schema: kept.schema, batches: []arrow.RecordBatch{array.NewRecordBatch(kept.schema, columns, -1)}}
	}
	return (&lake{tables: map[string]*memoryTable{name: joined}}).Scan(ctx, name, v, columns, filters, limit)
}

func passes(batch arrow.RecordBatch, row int, filters []sql.Filter) bool {
	for _, f := range filters {
		column := batch.Column(batch.Schema().FieldIndices(f.Column)[0])
		if !holds(column, row, f) {
			return false
		}
	}
	return true
}

func holds(column arrow.Array, row int, f sql.Filter) bool {
	switch {
	case f.Op == sql.IsNull:
		return column.IsNull(row)
	case column.IsNull(row):
		return false
	case f.Op == sql.NotNull:
		return true
	}
	if f.Op == sql.StartsWith {
		return strings.HasPrefix(column.(*array.String).Value(row), f.Values[0].(string))
	}
	for _, v := range f.Values {
		c := compare(column, row, v)
		ok := false
		switch f.Op {
		case sql.Equal, sql.In:
			ok = c == 0
		case sql.NotEqual:
			ok = c != 0
		case sql.Less:
			ok = c < 0
		case sql.LessOrEqual:
			ok = c <= 0
		case sql.Greater:
			ok = c > 0
		case sql.GreaterOrEqual:
			ok = c >= 0
		}
		if ok {
			return true
		}
	}
	return false
}

// compare panics if the value is not of the Go type that Filter promises.
func compare(column arrow.Array, row int, v any) int {
	switch c := column.(type) {
	case *array.Boolean:
		if c.Value(row) == v.(bool) {
			return 0
		}
		return 1
	case *array.Int32:
		return cmp.Compare(c.Value(row), v.(int32))
	case *array.Int64:
		return cmp.Compare(c.Value(row), v.(int64))
	case *array.String:
		return cmp.Compare(c.Value(row), v.(string))
	case *array.Date32:
		return cmp.Compare(c.Value(row), v.(arrow.Date32))
	case *array.Timestamp:
		return cmp.Compare(c.Value(row), v.(arrow.Timestamp))
	case *array.Decimal128:
		return c.Value(row).Cmp(v.(decimal128.Num))
	case *extensions.UUIDArray:
		value, want := c.Value(row), v.([16]byte)
		return bytes.Compare(value[:], want[:])
	}
	panic(column.DataType())
}
