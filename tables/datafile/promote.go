package datafile

import (
	"context"
	"fmt"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// promote gives values of a file the type that the table has now: what the specification lets a column be promoted to, and
// the other physical forms in which other writers store a type. The file's type says how values lie in it, the table's what
// they mean.
func promote(ctx context.Context, a arrow.Array, to arrow.DataType) (arrow.Array, error) {
	from := a.DataType()
	if arrow.TypeEqual(from, to) {
		a.Retain()
		return a, nil
	}
	if ext, ok := a.(array.ExtensionArray); ok {
		return promote(ctx, ext.Storage(), to)
	}
	switch to := to.(type) {
	case arrow.ExtensionType:
		storage, err := promote(ctx, a, to.StorageType())
		if err != nil {
			return nil, err
		}
		defer storage.Release()
		return array.NewExtensionArrayWithStorage(to, storage), nil
	case *arrow.TimestampType:
		if out := promoteTimestamp(a, to); out != nil {
			return out, nil
		}
	case *arrow.Time64Type:
		switch a := a.(type) {
		case *array.Time32:
			unit := a.DataType().(*arrow.Time32Type).Unit
			return scaled(a.Time32Values(), a, to, int64(arrow.Microsecond-unit)), nil
		case *array.Time64:
			return scaled(a.Time64Values(), a, to, int64(arrow.Microsecond-a.DataType().(*arrow.Time64Type).Unit)), nil
		case *array.Int64:
			return retype(a, to), nil
		}
	case *arrow.Decimal128Type:
		if f, ok := from.(*arrow.Decimal128Type); ok && f.Scale == to.Scale && f.Precision <= to.Precision {
			return retype(a, to), nil
		}
	case *arrow.StringType:
		if from.ID() == arrow.BINARY {
			return retype(a, to), nil
		}
	case *arrow.BinaryType:
		if from.ID() == arrow.STRING {
			return retype(a, to), nil
		}
	case *arrow.Date32Type:
		if from.ID() == arrow.INT32 {
			return retype(a, to), nil
		}
	}
	if out := promoteNumber(a, to); out != nil {
		return out, nil
	}
	return nil, fmt.Errorf("type %s in the file cannot be read as %s", from, to)
}

// promoteNumber widens numbers, or returns nil. Arrow's casts would do it too, on goroutines whose panics cannot be caught.
func promoteNumber(a arrow.Array, to arrow.DataType) arrow.Array {
	switch to.ID() {
	case arrow.INT32:
		switch a := a.(type) {
		case *array.Int8:
			return widened[int8, int32](a.Int8Values(), a, to)
		case *array.Int16:
			return widened[int16, int32](a.Int16Values(), a, to)
		case *array.Uint8:
			return widened[uint8, int32](a.Uint8Values(), a, to)
		case *array.Uint16:
			return widened[uint16, int32](a.Uint16Values(), a, to)
		}
	case arrow.INT64:
		switch a := a.(type) {
		case *array.Int8:
			return widened[int8, int64](a.Int8Values(), a, to)
		case *array.Int16:
			return widened[int16, int64](a.Int16Values(), a, to)
		case *array.Int32:
			return widened[int32, int64](a.Int32Values(), a, to)
		case *array.Uint8:
			return widened[uint8, int64](a.Uint8Values(), a, to)
		case *array.Uint16:
			return widened[uint16, int64](a.Uint16Values(), a, to)
		case *array.Uint32:
			return widened[uint32, int64](a.Uint32Values(), a, to)
		}
	case arrow.FLOAT64:
		if a, ok := a.(*array.Float32); ok {
			return widened[float32, float64](a.Float32Values(), a, to)
		}
	}
	return nil
}

type number interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~float32 | ~float64
}

func widened[F, T number](values []F, a arrow.Array, to arrow.DataType) arrow.Array {
	return converted(values, a, to, func(v F) T { return T(v) })
}

// promoteTimestamp reads any timestamp, date or bare number as a timestamp, or returns nil. Zones are the table's business:
// both kinds are stored as the same numbers.
func promoteTimestamp(a arrow.Array, to *arrow.TimestampType) arrow.Array {
	switch a := a.(type) {
	case *array.Timestamp:
		steps := int64(to.Unit - a.DataType().(*arrow.TimestampType).Unit)
		if steps == 0 {
			return retype(a, to)
		}
		return scaled(a.TimestampValues(), a, to, steps)
	case *array.Int64:
		return retype(a, to)
	case *array.Date32:
		perDay := int64(86_400)
		for range int(to.Unit) {
			perDay *= 1000
		}
		return mapped(a.Date32Values(), a, to, func(v int64) int64 { return v * perDay })
	}
	return nil
}

// scaled multiplies by a thousand for each step towards a finer unit, or divides, rounding towards the past.
func scaled[T ~int32 | ~int64](values []T, a arrow.Array, to arrow.DataType, steps int64) arrow.Array {
	factor := int64(1)
	for range max(steps, -steps) {
		factor *= 1000
	}
	if steps >= 0 {
		return mapped(values, a, to, func(v int64) int64 { return v * factor })
	}
	return mapped(values, a, to, func(v int64) int64 { return floorDiv(v, factor) })
}

func mapped[T ~int32 | ~int64](values []T, a arrow.Array, to arrow.DataType, f func(int64) int64) arrow.Array {
	return converted(values, a, to, func(v T) int64 { return f(int64(v)) })
}

// converted is an array of converted values, null where a is.
func converted[F, T number](values []F, a arrow.Array, to arrow.DataType, f func(F) T) arrow.Array {
	buf := memory.NewResizableBuffer(allocator)
	defer buf.Release()
	buf.Resize(int(unsafe.Sizeof(T(0))) * len(values))
	out := arrow.GetData[T](buf.Bytes())
	for i, v := range values {
		out[i] = f(v)
	}
	valid := cutValidity(a)
	defer release(valid)
	d := array.NewData(to, a.Len(), []*memory.Buffer{valid, buf}, nil, a.NullN(), 0)
	defer d.Release()
	return array.MakeFromData(d)
}
