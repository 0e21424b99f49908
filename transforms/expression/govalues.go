package expression

import (
	"fmt"
	"math"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/varve-lake/varve/transforms/internal/civil"
	"github.com/varve-lake/varve/transforms/internal/render"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// goValues reads values as expr's VM takes them; nulls are nil.
func goValues(arr arrow.Array) func(i int) any {
	value := goValue(arr)
	valid := vector.Validity(arr)
	return func(i int) any {
		if !valid.IsValid(i) {
			return nil
		}
		return value(i)
	}
}

func goValue(arr arrow.Array) func(i int) any {
	switch t := arr.DataType().(type) {
	case *arrow.BooleanType:
		in := vector.Bools(arr)
		return func(i int) any { return in.Get(i) }
	case *arrow.Int32Type:
		in := vector.Values[int32](arr)
		return func(i int) any { return int(in[i]) }
	case *arrow.Int64Type:
		in := vector.Values[int64](arr)
		return func(i int) any { return int(in[i]) }
	case *arrow.Float32Type:
		in := vector.Values[float32](arr)
		return func(i int) any { return float64(in[i]) }
	case *arrow.Float64Type:
		in := vector.Values[float64](arr)
		return func(i int) any { return in[i] }
	case *arrow.Decimal128Type:
		in := vector.Values[decimal128.Num](arr)
		return func(i int) any { return decimalToDouble(in[i], t.Scale) }
	case *arrow.StringType:
		in := vector.TextsOf(arr)
		return func(i int) any { return in.At(i) }
	case *arrow.BinaryType:
		in := vector.TextsOf(arr)
		return func(i int) any { return in.Bytes(i) }
	case *arrow.Date32Type:
		in := vector.Values[int32](arr)
		return func(i int) any { return time.Unix(int64(in[i])*86400, 0).UTC() }
	case *arrow.TimestampType:
		in, unit := vector.Values[int64](arr), perSecond(t)
		return func(i int) any {
			seconds := civil.FloorDiv(in[i], unit)
			return time.Unix(seconds, (in[i]-seconds*unit)*(1_000_000_000/unit)).UTC()
		}
	case *arrow.DurationType:
		in, unit := vector.Values[int64](arr), perSecond(t)
		return func(i int) any { return time.Duration(in[i] * (1_000_000_000 / unit)) }
	}
	return goNested(arr)
}

func goNested(arr arrow.Array) func(i int) any {
	switch t := arr.DataType().(type) {
	case *arrow.ListType:
		offsets, element := vector.ListOffsets(arr), goValues(arr.(*array.List).ListValues())
		return func(i int) any {
			out := make([]any, 0, offsets[i+1]-offsets[i])
			for j := offsets[i]; j < offsets[i+1]; j++ {
				out = append(out, element(int(j)))
			}
			return out
		}
	case *arrow.StructType:
		fields := make([]func(int) any, t.NumFields())
		for k := range fields {
			fields[k] = goValues(arr.(*array.Struct).Field(k))
		}
		return func(i int) any {
			out := make(map[string]any, len(fields))
			for k, read := range fields {
				out[t.Field(k).Name] = read(i)
			}
			return out
		}
	case *arrow.MapType:
		entries := arr.(*array.Map).ListValues().(*array.Struct)
		offsets, key, value := vector.ListOffsets(arr), goValues(entries.Field(0)), goValues(entries.Field(1))
		return func(i int) any {
			out := make(map[any]any, offsets[i+1]-offsets[i])
			for j := int(offsets[i]); j < int(offsets[i+1]); j++ {
				out[key(j)] = value(j)
			}
			return out
		}
	}
	write := render.Text(arr)
	return func(i int) any { return string(write(nil, i)) }
}

// appendGo appends what the VM returned: one value always, a null in place of a wrong one.
func appendGo(b array.Builder, v any) error {
	if v == nil {
		b.AppendNull()
		return nil
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		if v, ok := v.(bool); ok {
			b.Append(v)
			return nil
		}
	case *array.Int32Builder, *array.Int64Builder:
		return appendInteger(b, v)
	case *array.Float32Builder:
		if f, ok := toFloat64(v); ok {
			b.Append(float32(f))
			return nil
		}
	case *array.Float64Builder:
		if f, ok := toFloat64(v); ok {
			b.Append(f)
			return nil
		}
	case *array.StringBuilder:
		if s, ok := v.(string); ok {
			b.Append(s)
			return nil
		}
	case *array.Date32Builder:
		if t, ok := v.(time.Time); ok {
			b.Append(arrow.Date32(civil.FloorDiv(t.Unix(), 86400)))
			return nil
		}
	case *array.TimestampBuilder:
		if t, ok := v.(time.Time); ok {
			unit := perSecond(b.Type())
			b.Append(arrow.Timestamp(t.Unix()*unit + int64(t.Nanosecond())/(1_000_000_000/unit)))
			return nil
		}
	default:
		return appendNested(b, v)
	}
	return wrongGo(b, v)
}

func wrongGo(b array.Builder, v any) error {
	b.AppendNull()
	return fmt.Errorf("a value of Go type %T is not %s", v, withArticle(b.Type()))
}

func appendInteger(b array.Builder, v any) error {
	n, ok := toInt64(v)
	switch b := b.(type) {
	case *array.Int32Builder:
		if ok && int64(int32(n)) == n {
			b.Append(int32(n))
			return nil
		}
	case *array.Int64Builder:
		if ok {
			b.Append(n)
			return nil
		}
	}
	b.AppendNull()
	return fmt.Errorf("%v is not %s", v, withArticle(b.Type()))
}

func toInt64(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int32:
		return int64(v), true
	case int64:
		return v, true
	case float64:
		return int64(v), v == math.Trunc(v) && math.Abs(v) < 1<<63
	}
	return 0, false
}

func toFloat64(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case float32:
		return float64(v), true
	}
	n, ok := toInt64(v)
	return float64(n), ok
}

func appendNested(b array.Builder, v any) error {
	var wrong error
	note := func(err error) {
		if wrong == nil {
			wrong = err
		}
	}
	switch b := b.(type) {
	case *array.ListBuilder:
		return appendList(b, v)
	case *array.StructBuilder:
		m, ok := v.(map[string]any)
		if !ok {
			return wrongGo(b, v)
		}
		b.Append(true)
		for k, f := range b.Type().(*arrow.StructType).Fields() {
			note(appendGo(b.FieldBuilder(k), m[f.Name]))
		}
		return wrong
	case *array.MapBuilder:
		m, ok := v.(map[any][]any)
		if !ok {
			return wrongGo(b, v)
		}
		b.Append(true)
		for _, key := range sortedKeys(m) {
			if key == nil { // a map has no null key
				continue
			}
			note(appendGo(b.KeyBuilder(), key))
			note(appendGo(b.ItemBuilder(), m[key]))
		}
		return wrong
	}
	return wrongGo(b, v)
}

func appendList(b *array.ListBuilder, v any) error {
	var list []any
	switch v := v.(type) {
	case []any:
		list = v
	case []string:
		for _, s := range v {
			list = append(list, s)
		}
	default:
		return wrongGo(b, v)
	}
	b.Append(true)
	var wrong error
	for _, e := range list {
		if err := appendGo(b.ValueBuilder(), e); err != nil && wrong == nil {
			wrong = err
		}
	}
	return wrong
}

// sortedKeys makes the order of a map's entries the same each time.
func sortedKeys(m map[any][]any) []any {
	out := make([]any, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sortAny(out)
	return out
}
