package datafile

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
)

// constantArray is n times one value: a column's initial default, or a partition value. It takes values as iceberg-go holds
// them and as the specification writes defaults in JSON. A nil value gives nulls.
func constantArray(v any, t iceberg.Type, to arrow.DataType, n int) (arrow.Array, error) {
	if v == nil {
		return array.MakeArrayOfNull(allocator, to, n), nil
	}
	b := array.NewBuilder(allocator, to)
	defer b.Release()
	if err := appendConstant(b, v, t); err != nil {
		return nil, fmt.Errorf("value %v of type %s: %w", v, t, err)
	}
	one := b.NewArray()
	defer one.Release()
	return gather(context.Background(), one, make([]int32, n))
}

func appendConstant(b array.Builder, v any, t iceberg.Type) error {
	v, err := parseConstant(v, t)
	if err != nil {
		return err
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		return appendAs(v, b.Append)
	case *array.Float32Builder:
		return appendFloat(v, func(f float64) { b.Append(float32(f)) })
	case *array.Float64Builder:
		return appendFloat(v, b.Append)
	case *array.StringBuilder:
		return appendAs(v, b.Append)
	case *array.BinaryBuilder:
		return appendAs(v, b.Append)
	case *array.FixedSizeBinaryBuilder:
		raw, ok := v.([]byte)
		if !ok || len(raw) != b.Type().(*arrow.FixedSizeBinaryType).ByteWidth {
			return fmt.Errorf("%T does not fit", v)
		}
		b.Append(raw)
		return nil
	case *extensions.UUIDBuilder:
		return appendAs(v, b.Append)
	case *array.Decimal128Builder:
		return appendAs(v, b.Append)
	case *array.Int32Builder:
		return appendInt(v, math.MinInt32, math.MaxInt32, func(n int64) { b.Append(int32(n)) })
	case *array.Date32Builder:
		return appendInt(v, math.MinInt32, math.MaxInt32, func(n int64) { b.Append(arrow.Date32(n)) })
	case *array.Int64Builder:
		return appendInt(v, math.MinInt64, math.MaxInt64, b.Append)
	case *array.Time64Builder:
		return appendInt(v, math.MinInt64, math.MaxInt64, func(n int64) { b.Append(arrow.Time64(n)) })
	case *array.TimestampBuilder:
		return appendInt(v, math.MinInt64, math.MaxInt64, func(n int64) { b.Append(arrow.Timestamp(n)) })
	}
	return fmt.Errorf("a constant of this type is not supported")
}

// parseConstant turns the many ways a value comes in into one Go type for each Iceberg type.
func parseConstant(v any, t iceberg.Type) (any, error) {
	switch x := v.(type) {
	case iceberg.Literal:
		v = x.Any()
	case json.Number:
		if n, err := x.Int64(); err == nil {
			v = n
		} else if f, err := x.Float64(); err == nil {
			v = f
		}
	}
	switch x := v.(type) {
	case iceberg.Decimal:
		return x.Val, nil
	case string:
		return parseText(x, t)
	case [16]byte:
		return uuid.UUID(x), nil
	case []byte:
		if _, ok := t.(iceberg.UUIDType); ok {
			return uuid.FromBytes(x)
		}
	}
	return v, nil
}

func parseText(s string, t iceberg.Type) (any, error) {
	switch t := t.(type) {
	case iceberg.StringType:
		return s, nil
	case iceberg.BinaryType, iceberg.FixedType:
		return hex.DecodeString(s)
	case iceberg.DecimalType:
		return decimal128.FromString(s, int32(t.Precision()), int32(t.Scale()))
	}
	lit, err := iceberg.StringLiteral(s).To(t)
	if err != nil {
		return nil, err
	}
	return lit.Any(), nil
}

func appendAs[T any](v any, add func(T)) error {
	x, ok := v.(T)
	if !ok {
		return fmt.Errorf("%T does not fit", v)
	}
	add(x)
	return nil
}

func appendFloat(v any, add func(float64)) error {
	switch x := v.(type) {
	case float64:
		add(x)
	case float32:
		add(float64(x))
	case int64:
		add(float64(x))
	default:
		return fmt.Errorf("%T does not fit", v)
	}
	return nil
}

func appendInt(v any, low, high int64, add func(int64)) error {
	var n int64
	switch x := v.(type) {
	case int32:
		n = int64(x)
	case int64:
		n = x
	case int:
		n = int64(x)
	case float64:
		if n = int64(x); float64(n) != x {
			return fmt.Errorf("%v is not a whole number", x)
		}
	case iceberg.Date:
		n = int64(x)
	case iceberg.Time:
		n = int64(x)
	case iceberg.Timestamp:
		n = int64(x)
	case iceberg.TimestampNano:
		n = int64(x)
	default:
		return fmt.Errorf("%T does not fit", v)
	}
	if n < low || n > high {
		return fmt.Errorf("%d is out of range", n)
	}
	add(n)
	return nil
}
