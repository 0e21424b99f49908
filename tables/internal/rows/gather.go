// Package rows holds the kernels that move, compare and convert single rows of
// Arrow columns, nested ones included.
package rows

import (
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Ref names a value: its chunk in the upper half, its row there in the lower.
type Ref uint64

// Null as a Ref makes a null.
const Null Ref = math.MaxUint64

// At is the Ref of a row of a chunk.
func At(chunk, row int) Ref { return Ref(chunk)<<32 | Ref(uint32(row)) }

// Chunk is the chunk's number.
func (r Ref) Chunk() int { return int(r >> 32) }

// Row is the row in the chunk.
func (r Ref) Row() int { return int(uint32(r)) }

// Gather makes one array out of the values that refs name. All chunks have the
// same type; there is at least one. The result shares no memory with them.
func Gather(chunks []arrow.Array, refs []Ref) (arrow.Array, error) {
	t := chunks[0].DataType()
	switch t := t.(type) {
	case arrow.ExtensionType:
		storage := make([]arrow.Array, len(chunks))
		for i, c := range chunks {
			storage[i] = c.(array.ExtensionArray).Storage()
		}
		out, err := Gather(storage, refs)
		if err != nil {
			return nil, err
		}
		defer out.Release()
		return array.NewExtensionArrayWithStorage(t, out), nil
	case *arrow.NullType:
		return array.NewNull(len(refs)), nil
	case *arrow.BooleanType:
		return gatherBooleans(chunks, refs), nil
	case *arrow.StringType, *arrow.BinaryType:
		return gatherText(chunks, refs)
	case *arrow.StructType:
		return gatherStructs(t, chunks, refs)
	case *arrow.ListType, *arrow.MapType:
		return gatherLists(t, chunks, refs)
	case *arrow.DictionaryType:
		return nil, fmt.Errorf("cannot gather values of type %s", t)
	case arrow.FixedWidthDataType:
		return gatherFixed(t, chunks, refs), nil
	}
	return nil, fmt.Errorf("cannot gather values of type %s", t)
}

// GatherColumns gathers the same refs of each column. columns[i] are the chunks of column i.
func GatherColumns(columns [][]arrow.Array, refs []Ref) ([]arrow.Array, error) {
	out := make([]arrow.Array, len(columns))
	for i, chunks := range columns {
		a, err := Gather(chunks, refs)
		if err != nil {
			Release(out)
			return nil, err
		}
		out[i] = a
	}
	return out, nil
}

// Release releases those arrays that are not nil.
func Release(arrays []arrow.Array) {
	for _, a := range arrays {
		if a != nil {
			a.Release()
		}
	}
}

// Allocator is where gathered values live.
var Allocator = memory.DefaultAllocator

func newBuffer(size int) *memory.Buffer {
	b := memory.NewResizableBuffer(Allocator)
	b.Resize(size)
	return b
}

func finish(t arrow.DataType, n, nulls int, buffers []*memory.Buffer, children []arrow.ArrayData) arrow.Array {
	d := array.NewData(t, n, buffers, children, nulls, 0)
	defer d.Release()
	for _, b := range buffers {
		if b != nil {
			b.Release()
		}
	}
	return array.MakeFromData(d)
}

// gatherValidity returns the validity of the refs, nil if all are valid.
func gatherValidity(chunks []arrow.Array, refs []Ref) (*memory.Buffer, int) {
	if !anyNull(chunks, refs) {
		return nil, 0
	}
	out := newBuffer(int(bitutil.BytesForBits(int64(len(refs)))))
	bits, nulls := out.Bytes(), 0
	clear(bits)
	for i, r := range refs {
		if r == Null || chunks[r.Chunk()].IsNull(r.Row()) {
			nulls++
		} else {
			bitutil.SetBit(bits, i)
		}
	}
	if nulls == 0 {
		out.Release()
		return nil, 0
	}
	return out, nulls
}

// anyNull tells whether there may be a null. An array's own NullN counts those of a slice when it is asked first, and writes the number
// down, though several goroutines may gather from it.
func anyNull(chunks []arrow.Array, refs []Ref) bool {
	for _, c := range chunks {
		if c.Data().NullN() != 0 {
			return true
		}
	}
	for _, r := range refs {
		if r == Null {
			return true
		}
	}
	return false
}

func gatherBooleans(chunks []arrow.Array, refs []Ref) arrow.Array {
	values := newBuffer(int(bitutil.BytesForBits(int64(len(refs)))))
	bits := values.Bytes()
	clear(bits)
	for i, r := range refs {
		if r != Null && chunks[r.Chunk()].(*array.Boolean).Value(r.Row()) {
			bitutil.SetBit(bits, i)
		}
	}
	valid, nulls := gatherValidity(chunks, refs)
	return finish(chunks[0].DataType(), len(refs), nulls, []*memory.Buffer{valid, values}, nil)
}

// fixedBytes is the memory of a fixed-width array's values, from its first row on.
func fixedBytes(a arrow.Array, width int) []byte {
	b := a.Data().Buffers()[1]
	if b == nil {
		return make([]byte, width*a.Len())
	}
	return b.Bytes()[a.Data().Offset()*width:]
}

func gatherFixed(t arrow.FixedWidthDataType, chunks []arrow.Array, refs []Ref) arrow.Array {
	width := t.BitWidth() / 8
	values := newBuffer(width * len(refs))
	GatherFixed(values.Bytes(), width, chunks, refs)
	valid, nulls := gatherValidity(chunks, refs)
	return finish(t, len(refs), nulls, []*memory.Buffer{valid, values}, nil)
}

// GatherFixed fills to with the values that refs name, of so many whole bytes each: zeros for Null, whatever lies there for nulls.
func GatherFixed(to []byte, width int, chunks []arrow.Array, refs []Ref) {
	from := make([][]byte, len(chunks))
	for i, c := range chunks {
		from[i] = fixedBytes(c, width)
	}
	switch width {
	case 2:
		gatherWords(arrow.Uint16Traits.CastFromBytes, from, to, refs)
	case 4:
		gatherWords(arrow.Uint32Traits.CastFromBytes, from, to, refs)
	case 8:
		gatherWords(arrow.Uint64Traits.CastFromBytes, from, to, refs)
	case 16:
		gatherWords(arrow.Decimal128Traits.CastFromBytes, from, to, refs)
	default:
		for i, r := range refs {
			if r == Null {
				clear(to[i*width : (i+1)*width])
				continue
			}
			copy(to[i*width:(i+1)*width], from[r.Chunk()][r.Row()*width:])
		}
	}
}

func gatherWords[T uint16 | uint32 | uint64 | decimal128.Num](cast func([]byte) []T, from [][]byte, to []byte, refs []Ref) {
	words := make([][]T, len(from))
	for i, b := range from {
		words[i] = cast(b)
	}
	out := cast(to)
	for i, r := range refs {
		if r == Null {
			var zero T
			out[i] = zero
			continue
		}
		out[i] = words[r.Chunk()][r.Row()]
	}
}

// TextOf gives the offsets and bytes of a string or binary array. An empty one, which may lack the buffers, has the offset 0.
func TextOf(a arrow.Array) ([]int32, []byte) {
	if a.Len() == 0 {
		return []int32{0}, nil
	}
	var data []byte
	if b := a.Data().Buffers()[2]; b != nil {
		data = b.Bytes()
	}
	switch a := a.(type) {
	case *array.String:
		return a.ValueOffsets(), data
	case *array.Binary:
		return a.ValueOffsets(), data
	}
	return nil, nil
}

func gatherText(chunks []arrow.Array, refs []Ref) (arrow.Array, error) {
	offsets, data := make([][]int32, len(chunks)), make([][]byte, len(chunks))
	for i, c := range chunks {
		offsets[i], data[i] = TextOf(c)
	}
	starts := newBuffer(4 * (len(refs) + 1))
	ends := arrow.Int32Traits.CastFromBytes(starts.Bytes())
	total := int64(0)
	ends[0] = 0
	for i, r := range refs {
		if r != Null {
			o := offsets[r.Chunk()]
			total += int64(o[r.Row()+1] - o[r.Row()])
		}
		if total > math.MaxInt32 {
			return nil, errTooLarge(chunks[0].DataType(), len(refs))
		}
		ends[i+1] = int32(total)
	}
	values := newBuffer(int(total))
	to := values.Bytes()
	for i, r := range refs {
		if r != Null {
			o := offsets[r.Chunk()]
			copy(to[ends[i]:ends[i+1]], data[r.Chunk()][o[r.Row()]:o[r.Row()+1]])
		}
	}
	valid, nulls := gatherValidity(chunks, refs)
	return finish(chunks[0].DataType(), len(refs), nulls, []*memory.Buffer{valid, starts, values}, nil), nil
}

func errTooLarge(t arrow.DataType, n int) error {
	return fmt.Errorf("%d values of type %s are more than the 2 GiB that a batch holds", n, t)
}

func gatherStructs(t *arrow.StructType, chunks []arrow.Array, refs []Ref) (arrow.Array, error) {
	children := make([]arrow.ArrayData, t.NumFields())
	for f := range children {
		fields := make([]arrow.Array, len(chunks))
		for i, c := range chunks {
			fields[i] = c.(*array.Struct).Field(f)
		}
		child, err := Gather(fields, refs)
		if err != nil {
			return nil, err
		}
		defer child.Release()
		children[f] = child.Data()
	}
	valid, nulls := gatherValidity(chunks, refs)
	return finish(t, len(refs), nulls, []*memory.Buffer{valid}, children), nil
}

func gatherLists(t arrow.DataType, chunks []arrow.Array, refs []Ref) (arrow.Array, error) {
	values := make([]arrow.Array, len(chunks))
	for i, c := range chunks {
		values[i] = c.(array.ListLike).ListValues()
	}
	starts := newBuffer(4 * (len(refs) + 1))
	ends := arrow.Int32Traits.CastFromBytes(starts.Bytes())
	ends[0] = 0
	var elements []Ref
	for i, r := range refs {
		if r != Null && chunks[r.Chunk()].IsValid(r.Row()) {
			from, to := chunks[r.Chunk()].(array.ListLike).ValueOffsets(r.Row())
			for e := from; e < to; e++ {
				elements = append(elements, At(r.Chunk(), int(e)))
			}
		}
		if len(elements) > math.MaxInt32 {
			return nil, errTooLarge(t, len(refs))
		}
		ends[i+1] = int32(len(elements))
	}
	child, err := Gather(values, elements)
	if err != nil {
		return nil, err
	}
	defer child.Release()
	valid, nulls := gatherValidity(chunks, refs)
	return finish(t, len(refs), nulls, []*memory.Buffer{valid, starts}, []arrow.ArrayData{child.Data()}), nil
}
