package datafile

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
)

// int64At reads single values of arrays whose values are whole numbers, or is nil for others. Validity is the caller's.
func int64At(a arrow.Array) func(int) int64 {
	switch a := a.(type) {
	case *array.Boolean:
		return func(i int) int64 {
			if a.Value(i) {
				return 1
			}
			return 0
		}
	case *array.Int32:
		return at32(a.Int32Values())
	case *array.Int64:
		v := a.Int64Values()
		return func(i int) int64 { return v[i] }
	case *array.Date32:
		return at32(a.Date32Values())
	case *array.Time64:
		v := a.Time64Values()
		return func(i int) int64 { return int64(v[i]) }
	case *array.Timestamp:
		v := a.TimestampValues()
		return func(i int) int64 { return int64(v[i]) }
	}
	return nil
}

func at32[T ~int32](v []T) func(int) int64 { return func(i int) int64 { return int64(v[i]) } }

// float64At reads single values of arrays of floating-point numbers, or is nil for others.
func float64At(a arrow.Array) func(int) float64 {
	switch a := a.(type) {
	case *array.Float32:
		v := a.Float32Values()
		return func(i int) float64 { return float64(v[i]) }
	case *array.Float64:
		v := a.Float64Values()
		return func(i int) float64 { return v[i] }
	}
	return nil
}

// bytesAt reads single values of arrays of strings and bytes, or is nil for others.
func bytesAt(a arrow.Array) func(int) []byte {
	switch a := a.(type) {
	case *array.String:
		b := a.Data().Buffers()[2]
		if b == nil { // only empty strings
			return func(int) []byte { return nil }
		}
		offsets, data := a.ValueOffsets(), b.Bytes()
		return func(i int) []byte { return data[offsets[i]:offsets[i+1]] }
	case *array.Binary:
		return a.Value
	case *array.FixedSizeBinary:
		return a.Value
	case array.ExtensionArray:
		return bytesAt(a.Storage())
	}
	return nil
}

// int64Boxer turns a whole number into the Go value that iceberg-go uses for a type, or is nil for types of other values.
func int64Boxer(t iceberg.Type) func(int64) any {
	switch t.(type) {
	case iceberg.BooleanType:
		return func(v int64) any { return v != 0 }
	case iceberg.Int32Type:
		return boxInt32
	case iceberg.Int64Type:
		return func(v int64) any { return v }
	case iceberg.DateType:
		return func(v int64) any { return iceberg.Date(v) }
	case iceberg.TimeType:
		return func(v int64) any { return iceberg.Time(v) }
	case iceberg.TimestampType, iceberg.TimestampTzType:
		return func(v int64) any { return iceberg.Timestamp(v) }
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return func(v int64) any { return iceberg.TimestampNano(v) }
	}
	return nil
}

// int64Word orders as the number does, as one without a sign.
func int64Word(v int64) uint64 { return uint64(v) ^ 1<<63 }

// appendInt64Key appends a number so that bytes order as numbers do.
func appendInt64Key(dst []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(dst, int64Word(v))
}

// appendBytesKey appends bytes so that no key is a prefix of another: zeros are escaped and two zeros end it.
func appendBytesKey(dst, v []byte) []byte {
	for _, b := range v {
		dst = append(dst, b)
		if b == 0 {
			dst = append(dst, 0xff)
		}
	}
	return append(dst, 0, 0)
}

// floatBits orders as the specification wants floats sorted: -NaN < -infinity < ... < -0 < 0 < ... < infinity < NaN.
func floatBits(v float64) uint64 {
	bits := math.Float64bits(v)
	if bits>>63 != 0 {
		return ^bits
	}
	return bits | 1<<63
}

// allocator is where arrays of this package live: Go's heap, whose limit (GOMEMLIMIT) then bounds them.
var allocator = memory.DefaultAllocator
