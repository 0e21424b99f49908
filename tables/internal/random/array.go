package random

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
)

// AppendValue puts a value into an Arrow builder.
func AppendValue(b array.Builder, v any) {
	if v == nil {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(v.(bool))
	case *array.Int32Builder:
		b.Append(int32(v.(int64)))
	case *array.Int64Builder:
		b.Append(v.(int64))
	case *array.Float32Builder:
		b.Append(float32(v.(float64)))
	case *array.Float64Builder:
		b.Append(v.(float64))
	case *array.Decimal128Builder:
		b.Append(v.(decimal128.Num))
	case *array.Date32Builder:
		b.Append(arrow.Date32(v.(int64)))
	case *array.Time64Builder:
		b.Append(arrow.Time64(v.(int64)))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v.(int64)))
	case *array.StringBuilder:
		b.Append(v.(string))
	case *extensions.UUIDBuilder:
		b.Append(v.(uuid.UUID))
	case *array.BinaryBuilder:
		b.Append(v.([]byte))
	case *array.FixedSizeBinaryBuilder:
		b.Append(v.([]byte))
	case *array.MapBuilder:
		b.Append(true)
		for _, e := range v.(Dict) {
			AppendValue(b.KeyBuilder(), e[0])
			AppendValue(b.ItemBuilder(), e[1])
		}
	case *array.ListBuilder:
		b.Append(true)
		for _, e := range v.(List) {
			AppendValue(b.ValueBuilder(), e)
		}
	case *array.StructBuilder:
		b.Append(true)
		for i, e := range v.(Record) {
			AppendValue(b.FieldBuilder(i), e)
		}
	default:
		panic(fmt.Sprintf("no values for %T", b))
	}
}

// ArrayOf makes an Arrow array of values.
func ArrayOf(t arrow.DataType, values []any) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, t)
	defer b.Release()
	for _, v := range values {
		AppendValue(b, v)
	}
	return b.NewArray()
}

// ValueAt reads a value back.
func ValueAt(a arrow.Array, i int) any {
	if a.IsNull(i) {
		return nil
	}
	switch a := a.(type) {
	case *array.Boolean:
		return a.Value(i)
	case *array.Int32:
		return int64(a.Value(i))
	case *array.Int64:
		return a.Value(i)
	case *array.Float32:
		return float64(a.Value(i))
	case *array.Float64:
		return a.Value(i)
	case *array.Decimal128:
		return a.Value(i)
	case *array.Date32:
		return int64(a.Value(i))
	case *array.Time64:
		return int64(a.Value(i))
	case *array.Timestamp:
		return int64(a.Value(i))
	case *array.String:
		return a.Value(i)
	case *array.LargeString:
		return a.Value(i)
	case *array.Binary:
		return slices.Clone(a.Value(i))
	case *array.LargeBinary:
		return slices.Clone(a.Value(i))
	case *array.FixedSizeBinary:
		return slices.Clone(a.Value(i))
	case *extensions.UUIDArray:
		return a.Value(i)
	case *array.Map:
		out := Dict{}
		from, to := a.ValueOffsets(i)
		for e := from; e < to; e++ {
			out = append(out, [2]any{ValueAt(a.Keys(), int(e)), ValueAt(a.Items(), int(e))})
		}
		return out
	case *array.LargeList:
		out := List{}
		from, to := a.ValueOffsets(i)
		for e := from; e < to; e++ {
			out = append(out, ValueAt(a.ListValues(), int(e)))
		}
		return out
	case *array.List:
		out := List{}
		from, to := a.ValueOffsets(i)
		for e := from; e < to; e++ {
			out = append(out, ValueAt(a.ListValues(), int(e)))
		}
		return out
	case *array.Struct:
		out := Record{}
		for f := range a.NumField() {
			out = append(out, ValueAt(a.Field(f), i))
		}
		return out
	}
	panic(fmt.Sprintf("no values of %T", a))
}

// Normal is a value that another system wrote, as this package has it.
func Normal(v any, k *Kind) any {
	if b, ok := v.([]byte); ok && k.Name == "uuid" {
		return uuid.UUID(b)
	}
	return v
}

// Schema is the Arrow schema of columns, those named required without nulls.
func Schema(columns []Column, required ...string) *arrow.Schema {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = arrow.Field{Name: c.Name, Type: c.Kind.Type, Nullable: !slices.Contains(required, c.Name)}
	}
	return arrow.NewSchema(fields, nil)
}

// Batch is rows as a record batch.
func Batch(columns []Column, rows [][]any) arrow.RecordBatch {
	arrays := make([]arrow.Array, len(columns))
	for c := range columns {
		values := make([]any, len(rows))
		for r := range rows {
			values[r] = rows[r][c]
		}
		arrays[c] = ArrayOf(columns[c].Kind.Type, values)
	}
	return array.NewRecordBatch(Schema(columns), arrays, int64(len(rows)))
}

// BatchText is each row of a batch as text.
func BatchText(batch arrow.RecordBatch) []string {
	out := make([]string, batch.NumRows())
	for i := range out {
		var row List
		for _, c := range batch.Columns() {
			row = append(row, ValueAt(c, i))
		}
		out[i] = Text(row)
	}
	return out
}
