// Package vector reads and makes Arrow arrays by their buffers, which is what the kernels of transforms are written on.
//
// Arrays that it makes live in Go's memory: an array that is dropped without Release leaks nothing, unless it shares
// buffers with an array that came from outside.
package vector

import (
	"encoding/binary"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Fixed are the Go types that lie in a values buffer one after the other.
type Fixed interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~float32 | ~float64 | [16]byte | decimal128.Num
}

// Values is the values buffer of arr as T, from arr's first row. T must have arr's width.
func Values[T Fixed](arr arrow.Array) []T {
	data := arr.Data()
	return valuesOf[T](data, data.Offset(), data.Len())
}

func valuesOf[T Fixed](data arrow.ArrayData, offset, n int) []T {
	if n == 0 {
		return nil
	}
	var zero T
	size := int(unsafe.Sizeof(zero))
	raw := data.Buffers()[1].Bytes()
	raw = raw[offset*size : (offset+n)*size]
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(raw))), n)
}

// Alloc makes a zeroed slice of n values, aligned for any T.
func Alloc[T Fixed](n int) []T { return make([]T, n) }

// Buffer is the buffer over values; it shares their memory.
func Buffer[T Fixed](values []T) *memory.Buffer {
	if len(values) == 0 {
		return memory.NewBufferBytes([]byte{})
	}
	size := int(unsafe.Sizeof(values[0]))
	return memory.NewBufferBytes(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), len(values)*size))
}

// FromValues makes an array of a fixed-width type over values. Valid nil means that no value is null.
func FromValues[T Fixed](dt arrow.DataType, values []T, valid Bits) arrow.Array {
	return Make(dt, len(values), valid, Buffer(values))
}

// FromBools makes a boolean array of n rows.
func FromBools(values Bits, n int, valid Bits) arrow.Array {
	return Make(arrow.FixedWidthTypes.Boolean, n, valid, memory.NewBufferBytes(values))
}

// Make makes an array of n rows from its validity and its other buffers.
func Make(dt arrow.DataType, n int, valid Bits, buffers ...*memory.Buffer) arrow.Array {
	return MakeNested(dt, n, valid, buffers, nil)
}

// MakeNested is Make for types with children, which the array retains.
func MakeNested(dt arrow.DataType, n int, valid Bits, buffers []*memory.Buffer, children []arrow.Array) arrow.Array {
	nulls := 0
	all := make([]*memory.Buffer, 1, 1+len(buffers))
	if valid != nil {
		if nulls = n - valid.Count(n); nulls > 0 {
			all[0] = memory.NewBufferBytes(valid)
		}
	}
	all = append(all, buffers...)
	kids := make([]arrow.ArrayData, len(children))
	for i, c := range children {
		kids[i] = c.Data()
	}
	data := array.NewData(dt, n, all, kids, nulls, 0)
	defer data.Release()
	return array.MakeFromData(data)
}

// Nulls makes n nulls of any type.
func Nulls(dt arrow.DataType, n int) arrow.Array {
	return array.MakeArrayOfNull(memory.DefaultAllocator, dt, n)
}

// Retype is arr's values under another type of the same layout. The result shares arr's buffers.
func Retype(arr arrow.Array, dt arrow.DataType) arrow.Array {
	d := arr.Data()
	data := array.NewData(dt, d.Len(), d.Buffers(), d.Children(), d.NullN(), d.Offset())
	defer data.Release()
	return array.MakeFromData(data)
}

// Texts are the values of a string or binary array with 32-bit offsets.
type Texts struct {
	offsets []int32
	data    []byte
}

// TextsOf reads arr, a string or binary array.
func TextsOf(arr arrow.Array) Texts {
	d := arr.Data()
	if d.Len() == 0 {
		return Texts{offsets: []int32{0}}
	}
	raw := d.Buffers()[1].Bytes()
	all := unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(raw))), len(raw)/4)
	t := Texts{offsets: all[d.Offset() : d.Offset()+d.Len()+1]}
	if b := d.Buffers()[2]; b != nil {
		t.data = b.Bytes()
	}
	return t
}

// Bytes is row i's value; it is valid as long as the array.
func (t Texts) Bytes(i int) []byte { return t.data[t.offsets[i]:t.offsets[i+1]] }

// At is row i's value as a string that shares the array's memory.
func (t Texts) At(i int) string {
	b := t.data[t.offsets[i]:t.offsets[i+1]]
	return unsafe.String(unsafe.SliceData(b), len(b))
}

// Head is row i's first eight bytes as a number, with what follows in place of those that are missing.
func (t Texts) Head(i int) uint64 {
	at := int(t.offsets[i])
	if at+8 <= len(t.data) {
		return binary.LittleEndian.Uint64(t.data[at:])
	}
	head, _ := Head(t.data[at:])
	return head
}

// Head is the first eight bytes of b as a number, zeros in place of those that are missing, and the mask of those that
// are not.
func Head(b []byte) (head, mask uint64) {
	for i, c := range b[:min(8, len(b))] {
		head |= uint64(c) << (8 * i)
		mask |= 0xff << (8 * i)
	}
	return head, mask
}

// Len is the number of bytes of row i's value.
func (t Texts) Len(i int) int { return int(t.offsets[i+1] - t.offsets[i]) }

// Size is the number of bytes of all values.
func (t Texts) Size() int { return int(t.offsets[len(t.offsets)-1] - t.offsets[0]) }

// ListOffsets are the n+1 offsets of a list or map array into its values.
func ListOffsets(arr arrow.Array) []int32 {
	d := arr.Data()
	if d.Len() == 0 {
		return []int32{0}
	}
	raw := d.Buffers()[1].Bytes()
	all := unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(raw))), len(raw)/4)
	return all[d.Offset() : d.Offset()+d.Len()+1]
}

// FixedBytes reads a fixed-size binary array, or an extension type over one.
type FixedBytes struct {
	data  []byte
	width int
}

// FixedBytesOf reads arr, whose values are width bytes wide.
func FixedBytesOf(arr arrow.Array, width int) FixedBytes {
	d := arr.Data()
	if d.Len() == 0 {
		return FixedBytes{width: width}
	}
	raw := d.Buffers()[1].Bytes()
	return FixedBytes{data: raw[d.Offset()*width : (d.Offset()+d.Len())*width], width: width}
}

// Bytes is row i's value.
func (f FixedBytes) Bytes(i int) []byte { return f.data[i*f.width : (i+1)*f.width] }

// Allocator is where kernels that need one allocate: Go's memory.
var Allocator memory.Allocator = memory.DefaultAllocator

// MakeList makes a list or map array from the bounds of its rows and its elements, which it retains.
func MakeList(dt arrow.DataType, offsets []int32, elements arrow.Array, valid Bits) arrow.Array {
	return MakeNested(dt, len(offsets)-1, valid, []*memory.Buffer{Buffer(offsets)}, []arrow.Array{elements})
}
