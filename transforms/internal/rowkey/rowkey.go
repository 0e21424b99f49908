// Package rowkey encodes the values of some columns of a row as bytes: so that equal rows have equal bytes (Encode), or
// so that the bytes have the rows' order (EncodeOrder). It works column by column on Arrow's buffers.
//
// The encoding of Encode is stable: hashes of it may be stored. An int and a long of the same value are equal; NaN
// equals NaN and -0 equals 0; a null equals a null and nothing else.
package rowkey

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"

	"github.com/varve-lake/varve/transforms/internal/render"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// Rows are encoded rows, one after the other.
type Rows struct {
	data    []byte
	offsets []int
	cursors []int
}

// Bytes is row i; it is valid until the next Encode into the Rows.
func (r *Rows) Bytes(i int) []byte { return r.data[r.offsets[i]:r.offsets[i+1]] }

// Len is the number of rows.
func (r *Rows) Len() int { return max(len(r.offsets)-1, 0) }

// The first byte of each value.
const (
	tagNull     = 0
	tagInteger  = 1
	tagFloat    = 2
	tagBool     = 3
	tagDecimal  = 4
	tagText     = 5
	tagBytes    = 6
	tagDate     = 7
	tagTime     = 8
	tagInstant  = 9
	tagUUID     = 10
	tagNested   = 11
	tagNanos    = 12
	tagDuration = 13
)

// column encodes one column.
type column struct {
	valid vector.Bits
	size  func(i int) int // of a valid value, with its tag
	write func(dst []byte, i int)
}

// Encode fills r with n rows of the columns. Each column has n values, or one that stands for every row.
func (r *Rows) Encode(columns []arrow.Array, n int) error {
	encoders := make([]column, len(columns))
	for i, arr := range columns {
		c, err := equality(arr)
		if err != nil {
			return err
		}
		encoders[i] = stretch(c, arr.Len(), n)
	}
	r.fill(encoders, n)
	return nil
}

// stretch lets a single value stand for every row.
func stretch(c column, length, n int) column {
	if length == n || length != 1 {
		return c
	}
	isNull := !c.valid.IsValid(0)
	out := column{size: func(int) int { return c.size(0) }, write: func(dst []byte, _ int) { c.write(dst, 0) }}
	if isNull {
		out.valid = vector.NewBits(n)
	}
	return out
}

func (r *Rows) fill(encoders []column, n int) {
	r.offsets = resize(r.offsets, n+1)
	r.cursors = resize(r.cursors, n)
	clear(r.offsets)
	for _, c := range encoders {
		for i := range n {
			if c.valid.IsValid(i) {
				r.offsets[i+1] += c.size(i)
			} else {
				r.offsets[i+1]++
			}
		}
	}
	for i := range n {
		r.cursors[i] = r.offsets[i]
		r.offsets[i+1] += r.offsets[i]
	}
	r.data = resize(r.data, r.offsets[n])
	for _, c := range encoders {
		for i := range n {
			at := r.cursors[i]
			if !c.valid.IsValid(i) {
				r.data[at] = tagNull
				r.cursors[i] = at + 1
				continue
			}
			end := at + c.size(i)
			c.write(r.data[at:end], i)
			r.cursors[i] = end
		}
	}
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n, n+n/4)
	}
	return s[:n]
}

// fixed is a column whose values are a tag and eight bytes.
func fixed(valid vector.Bits, tag byte, value func(i int) uint64) column {
	return column{
		valid: valid,
		size:  func(int) int { return 9 },
		write: func(dst []byte, i int) {
			dst[0] = tag
			binary.LittleEndian.PutUint64(dst[1:], value(i))
		},
	}
}

func ints[T int32 | int64](arr arrow.Array, tag byte) column {
	in := vector.Values[T](arr)
	return fixed(vector.Validity(arr), tag, func(i int) uint64 { return uint64(int64(in[i])) })
}

func floatBits(f float64) uint64 {
	if f != f {
		return math.Float64bits(math.NaN())
	}
	return math.Float64bits(f + 0)
}

// bytesColumn is a tag, the length in four bytes, and the bytes.
func bytesColumn(valid vector.Bits, tag byte, read func(i int) []byte) column {
	return column{
		valid: valid,
		size:  func(i int) int { return 5 + len(read(i)) },
		write: func(dst []byte, i int) {
			b := read(i)
			dst[0] = tag
			binary.LittleEndian.PutUint32(dst[1:], uint32(len(b)))
			copy(dst[5:], b)
		},
	}
}

func equality(arr arrow.Array) (column, error) {
	valid := vector.Validity(arr)
	switch t := arr.DataType().(type) {
	case *arrow.NullType:
		return column{valid: valid}, nil
	case *arrow.BooleanType:
		in := vector.Bools(arr)
		return column{valid: valid, size: func(int) int { return 2 }, write: func(dst []byte, i int) {
			dst[0], dst[1] = tagBool, 0
			if in.Get(i) {
				dst[1] = 1
			}
		}}, nil
	case *arrow.Int32Type:
		return ints[int32](arr, tagInteger), nil
	case *arrow.Int64Type:
		return ints[int64](arr, tagInteger), nil
	case *arrow.Date32Type:
		return ints[int32](arr, tagDate), nil
	case *arrow.Time64Type:
		return ints[int64](arr, tagTime), nil
	case *arrow.DurationType:
		return ints[int64](arr, tagDuration), nil
	case *arrow.TimestampType:
		if t.Unit == arrow.Nanosecond {
			return ints[int64](arr, tagNanos), nil
		}
		return ints[int64](arr, tagInstant), nil
	case *arrow.Float32Type:
		in := vector.Values[float32](arr)
		return fixed(valid, tagFloat, func(i int) uint64 { return floatBits(float64(in[i])) }), nil
	case *arrow.Float64Type:
		in := vector.Values[float64](arr)
		return fixed(valid, tagFloat, func(i int) uint64 { return floatBits(in[i]) }), nil
	case *arrow.Decimal128Type:
		return decimals(arr, t), nil
	}
	return equalityOfBytes(arr, valid)
}

func equalityOfBytes(arr arrow.Array, valid vector.Bits) (column, error) {
	switch t := arr.DataType().(type) {
	case *arrow.StringType:
		return bytesColumn(valid, tagText, vector.TextsOf(arr).Bytes), nil
	case *arrow.BinaryType:
		return bytesColumn(valid, tagBytes, vector.TextsOf(arr).Bytes), nil
	case *arrow.FixedSizeBinaryType:
		return bytesColumn(valid, tagBytes, vector.FixedBytesOf(arr, t.ByteWidth).Bytes), nil
	case *extensions.UUIDType:
		return bytesColumn(valid, tagUUID, vector.FixedBytesOf(arr, 16).Bytes), nil
	case *arrow.StructType, *arrow.ListType, *arrow.MapType:
		texts := rendered(arr)
		return bytesColumn(valid, tagNested, func(i int) []byte { return texts[i] }), nil
	}
	return column{}, fmt.Errorf("values of type %s cannot be a key", arr.DataType())
}

// rendered is nested values as JSON, which is one text for equal values of one type.
func rendered(arr arrow.Array) [][]byte {
	write, out := render.JSON(arr), make([][]byte, arr.Len())
	for i := range out {
		if arr.IsValid(i) {
			out[i] = write(nil, i)
		}
	}
	return out
}

// decimals are a tag, the scale and the unscaled value.
func decimals(arr arrow.Array, t *arrow.Decimal128Type) column {
	in := vector.Values[decimal128.Num](arr)
	return column{
		valid: vector.Validity(arr),
		size:  func(int) int { return 18 },
		write: func(dst []byte, i int) {
			dst[0], dst[1] = tagDecimal, byte(t.Scale)
			binary.LittleEndian.PutUint64(dst[2:], in[i].LowBits())
			binary.LittleEndian.PutUint64(dst[10:], uint64(in[i].HighBits()))
		},
	}
}
