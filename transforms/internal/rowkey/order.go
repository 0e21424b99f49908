package rowkey

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

// EncodeOrder fills r so that bytes.Compare of two rows is the order of their values, the first column first. Nulls are
// below every value, or above with nullsHigh. NaN is above every number.
func (r *Rows) EncodeOrder(columns []arrow.Array, n int, nullsHigh bool) error {
	encoders := make([]column, len(columns))
	for i, arr := range columns {
		c, err := ordered(arr)
		if err != nil {
			return err
		}
		encoders[i] = c
	}
	r.fill(encoders, n)
	if nullsHigh {
		r.raiseNulls(encoders, n)
	}
	return nil
}

// Above tagNull and the tag of values.
const (
	tagValue    = 1
	tagNullHigh = 2
)

// raiseNulls rewrites the tags of nulls.
func (r *Rows) raiseNulls(encoders []column, n int) {
	for i := range n {
		at := r.offsets[i]
		for _, c := range encoders {
			if c.valid.IsValid(i) {
				at += c.size(i)
				continue
			}
			r.data[at] = tagNullHigh
			at++
		}
	}
}

func bigEndian(valid vector.Bits, value func(i int) uint64) column {
	return column{valid: valid, size: func(int) int { return 9 }, write: func(dst []byte, i int) {
		dst[0] = tagValue
		binary.BigEndian.PutUint64(dst[1:], value(i))
	}}
}

const signBit = uint64(1) << 63

func orderedInts[T int32 | int64](arr arrow.Array) column {
	in := vector.Values[T](arr)
	return bigEndian(vector.Validity(arr), func(i int) uint64 { return uint64(int64(in[i])) ^ signBit })
}

// orderedFloat has the bits of a positive float above those of negative ones, which it reverses.
func orderedFloat(f float64) uint64 {
	if f != f {
		return math.MaxUint64
	}
	bits := math.Float64bits(f + 0)
	if bits&signBit != 0 {
		return ^bits
	}
	return bits | signBit
}

func ordered(arr arrow.Array) (column, error) {
	valid := vector.Validity(arr)
	switch t := arr.DataType().(type) {
	case *arrow.NullType:
		return column{valid: valid}, nil
	case *arrow.BooleanType:
		in := vector.Bools(arr)
		return column{valid: valid, size: func(int) int { return 2 }, write: func(dst []byte, i int) {
			dst[0], dst[1] = tagValue, 0
			if in.Get(i) {
				dst[1] = 1
			}
		}}, nil
	case *arrow.Int32Type, *arrow.Date32Type:
		return orderedInts[int32](arr), nil
	case *arrow.Int64Type, *arrow.Time64Type, *arrow.TimestampType, *arrow.DurationType:
		return orderedInts[int64](arr), nil
	case *arrow.Float32Type:
		in := vector.Values[float32](arr)
		return bigEndian(valid, func(i int) uint64 { return orderedFloat(float64(in[i])) }), nil
	case *arrow.Float64Type:
		in := vector.Values[float64](arr)
		return bigEndian(valid, func(i int) uint64 { return orderedFloat(in[i]) }), nil
	case *arrow.Decimal128Type:
		in := vector.Values[decimal128.Num](arr)
		return column{valid: valid, size: func(int) int { return 17 }, write: func(dst []byte, i int) {
			dst[0] = tagValue
			binary.BigEndian.PutUint64(dst[1:], uint64(in[i].HighBits())^signBit)
			binary.BigEndian.PutUint64(dst[9:], in[i].LowBits())
		}}, nil
	case *arrow.StringType, *arrow.BinaryType:
		return escaped(valid, vector.TextsOf(arr).Bytes), nil
	case *arrow.FixedSizeBinaryType:
		return escaped(valid, vector.FixedBytesOf(arr, t.ByteWidth).Bytes), nil
	case *extensions.UUIDType:
		return escaped(valid, vector.FixedBytesOf(arr, 16).Bytes), nil
	}
	return column{}, fmt.Errorf("values of type %s have no order", arr.DataType())
}

// escaped ends bytes with 0 0 and writes a 0 within as 0 1, so that a prefix comes first.
func escaped(valid vector.Bits, read func(i int) []byte) column {
	return column{
		valid: valid,
		size: func(i int) int {
			b := read(i)
			return 3 + len(b) + bytes.Count(b, []byte{0})
		},
		write: func(dst []byte, i int) {
			dst[0] = tagValue
			at := 1
			for _, c := range read(i) {
				dst[at] = c
				at++
				if c == 0 {
					dst[at] = 1
					at++
				}
			}
			dst[at], dst[at+1] = 0, 0
		},
	}
}
