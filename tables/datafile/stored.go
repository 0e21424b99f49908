package datafile

import (
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/tables/internal/rows"
)

// stored is where an array's buffers lie in a spill file, as they lie in memory, or in fewer bytes a value: so that any rows of it can
// be read back alone.
type stored struct {
	valid    int64 // a bit a value; -1 where none is null
	values   int64 // fixed-width values, bits, or offsets as 32 bits
	base     int64 // the first of the offsets
	data     int64 // bytes of texts, from base on
	children []stored
	narrow   narrowing // of fixed-width values
	coded    bool      // codes in the place of texts
}

const allValid = -1

// put stores an array.
func (s *spill) put(a arrow.Array) (out stored, err error) {
	if ext, ok := a.(array.ExtensionArray); ok {
		return s.put(ext.Storage())
	}
	out.valid = allValid
	if a.NullN() > 0 && a.DataType().ID() != arrow.NULL {
		if out.valid, err = s.write(bitsOf(a.NullBitmapBytes(), a.Data().Offset(), a.Len())); err != nil {
			return out, err
		}
	}
	switch a := a.(type) {
	case *array.Null:
		return out, nil
	case *array.Boolean:
		out.values, err = s.write(bitsOf(bufferBytes(a, 1), a.Data().Offset(), a.Len()))
		return out, err
	case *array.String, *array.Binary:
		offsets, data := rows.TextOf(a)
		if err = s.putOffsets(&out, offsets[:a.Len()+1]); err == nil {
			out.data, err = s.write(data[offsets[0]:offsets[a.Len()]])
		}
		return out, err
	case *array.Struct:
		err = s.putChildren(&out, structFields(a)...)
		return out, err
	case *array.Map:
		err = s.putList(&out, a.List, a.Keys(), a.Items())
		return out, err
	case *array.List:
		err = s.putList(&out, a, a.ListValues())
		return out, err
	}
	width, err := wholeBytes(a.DataType())
	if err != nil {
		return out, err
	}
	if b := bufferBytes(a, 1); b != nil {
		from := a.Data().Offset() * width
		out.values, out.narrow, err = s.putFixed(a.DataType(), b[from:from+a.Len()*width])
	}
	return out, err
}

func structFields(a *array.Struct) []arrow.Array {
	fields := make([]arrow.Array, a.NumField())
	for i := range fields {
		fields[i] = a.Field(i)
	}
	return fields
}

func (s *spill) putChildren(out *stored, children ...arrow.Array) error {
	for _, c := range children {
		child, err := s.put(c)
		if err != nil {
			return err
		}
		out.children = append(out.children, child)
	}
	return nil
}

func (s *spill) putOffsets(out *stored, offsets []int32) (err error) {
	out.base = int64(offsets[0])
	out.values, err = s.write(arrow.Int32Traits.CastToBytes(offsets))
	return err
}

// putList stores a list's offsets, and of each of its children the values that they reach.
func (s *spill) putList(out *stored, l *array.List, children ...arrow.Array) error {
	offsets := []int32{0} // an empty array may lack the buffer
	if l.Len() > 0 {
		offsets = l.Offsets()[l.Data().Offset() : l.Data().Offset()+l.Len()+1]
	}
	if err := s.putOffsets(out, offsets); err != nil {
		return err
	}
	for _, c := range children {
		reached := array.NewSlice(c, int64(offsets[0]), int64(offsets[len(offsets)-1]))
		err := s.putChildren(out, reached)
		reached.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// part is some rows of a stored array, from before to.
type part struct {
	*stored
	from, to int64
}

func partRows(parts []part) (n int64) {
	for _, p := range parts {
		n += p.to - p.from
	}
	return n
}

func childParts(parts []part, child int) []part {
	out := make([]part, len(parts))
	for i, p := range parts {
		out[i] = part{&p.children[child], p.from, p.to}
	}
	return out
}

// get reads parts of stored arrays as one array.
func (s *spill) get(t arrow.DataType, parts []part) (arrow.Array, error) {
	n := partRows(parts)
	switch t := t.(type) {
	case arrow.ExtensionType:
		storage, err := s.get(t.StorageType(), parts)
		if err != nil {
			return nil, err
		}
		defer storage.Release()
		return array.NewExtensionArrayWithStorage(t, storage), nil
	case *arrow.NullType:
		return array.NewNull(int(n)), nil
	}
	valid, nulls, err := s.getValid(parts, n)
	if err != nil {
		return nil, err
	}
	buffers := []*memory.Buffer{valid}
	defer func() {
		for _, b := range buffers {
			release(b)
		}
	}()
	var children []arrow.Array
	defer func() { releaseAll(children) }()
	switch t := t.(type) {
	case *arrow.BooleanType:
		var bits *memory.Buffer
		bits, err = s.getBits(parts, n, func(p part) int64 { return p.values })
		buffers = append(buffers, bits)
	case *arrow.StringType, *arrow.BinaryType:
		var starts, data *memory.Buffer
		starts, data, err = s.getTexts(t, parts, n)
		buffers = append(buffers, starts, data)
	case *arrow.StructType:
		for i, f := range t.Fields() {
			var child arrow.Array
			if child, err = s.get(f.Type, childParts(parts, i)); err != nil {
				break
			}
			children = append(children, child)
		}
	case *arrow.MapType, *arrow.ListType:
		var starts *memory.Buffer
		var values arrow.Array
		if starts, values, err = s.getList(t, parts, n); err == nil {
			children = append(children, values)
		}
		buffers = append(buffers, starts)
	default:
		var fixed *memory.Buffer
		fixed, err = s.getFixed(t, parts, n)
		buffers = append(buffers, fixed)
	}
	if err != nil {
		return nil, err
	}
	return arrayOf(t, int(n), nulls, buffers, children), nil
}

func arrayOf(t arrow.DataType, n, nulls int, buffers []*memory.Buffer, children []arrow.Array) arrow.Array {
	var data []arrow.ArrayData
	for _, c := range children {
		data = append(data, c.Data())
	}
	d := array.NewData(t, n, buffers, data, nulls, 0)
	defer d.Release()
	return array.MakeFromData(d)
}

func (s *spill) getValid(parts []part, n int64) (*memory.Buffer, int, error) {
	for _, p := range parts {
		if p.valid != allValid {
			bits, err := s.getBits(parts, n, func(p part) int64 { return p.valid })
			if err != nil {
				return nil, 0, err
			}
			return bits, int(n) - bitutil.CountSetBits(bits.Bytes(), 0, int(n)), nil
		}
	}
	return nil, 0, nil
}

// getBits reads bits that begin at the places given; all are set where that is allValid.
func (s *spill) getBits(parts []part, n int64, place func(part) int64) (*memory.Buffer, error) {
	out := newBuffer(bitutil.BytesForBits(n))
	clear(out.Bytes())
	at := int64(0)
	for _, p := range parts {
		count := p.to - p.from
		if begin := place(p); begin == allValid {
			bitutil.SetBitsTo(out.Bytes(), at, count, true)
		} else if count > 0 {
			bits := make([]byte, bitutil.BytesForBits(p.to)-p.from/8)
			if err := s.read(bits, begin+p.from/8); err != nil {
				out.Release()
				return nil, err
			}
			bitutil.CopyBitmap(bits, int(p.from%8), int(count), out.Bytes(), int(at))
		}
		at += count
	}
	return out, nil
}

func (s *spill) getFixed(t arrow.DataType, parts []part, n int64) (*memory.Buffer, error) {
	bytes, err := wholeBytes(t)
	if err != nil {
		return nil, err
	}
	width := int64(bytes)
	out := newBuffer(n * width)
	rest := out.Bytes()
	for _, p := range parts {
		size := (p.to - p.from) * width
		if err := s.readFixed(rest[:size], width, p); err != nil {
			out.Release()
			return nil, err
		}
		rest = rest[size:]
	}
	return out, nil
}

// getOffsets reads offsets, as of one array of all parts. reach says what of each part's values they reach.
func (s *spill) getOffsets(t arrow.DataType, parts []part, n int64) (offsets *memory.Buffer, reach []part, err error) {
	offsets = newBuffer(4 * (n + 1))
	starts := arrow.Int32Traits.CastFromBytes(offsets.Bytes())
	reach = make([]part, len(parts))
	at, total := int64(0), int64(0)
	for i, p := range parts {
		own := starts[at : at+p.to-p.from+1]
		if err := s.read(arrow.Int32Traits.CastToBytes(own), p.values+p.from*4); err != nil {
			offsets.Release()
			return nil, nil, err
		}
		first, last := int64(own[0]), int64(own[len(own)-1])
		if total+last-first > math.MaxInt32 {
			offsets.Release()
			return nil, nil, fmt.Errorf("%d values of type %s are more than the 2 GiB that a batch holds", n, t)
		}
		for j := range own {
			own[j] += int32(total - first)
		}
		reach[i] = part{p.stored, first - p.base, last - p.base}
		at, total = at+p.to-p.from, total+last-first
	}
	if len(parts) == 0 {
		starts[0] = 0
	}
	return offsets, reach, nil
}

func (s *spill) getTexts(t arrow.DataType, parts []part, n int64) (starts, data *memory.Buffer, err error) {
	starts, reach, err := s.getOffsets(t, parts, n)
	if err != nil {
		return nil, nil, err
	}
	data = newBuffer(partRows(reach))
	rest := data.Bytes()
	for _, p := range reach {
		size := p.to - p.from
		if err := s.read(rest[:size], p.data+p.from); err != nil {
			starts.Release()
			data.Release()
			return nil, nil, err
		}
		rest = rest[size:]
	}
	return starts, data, nil
}

func (s *spill) getList(t arrow.DataType, parts []part, n int64) (*memory.Buffer, arrow.Array, error) {
	starts, reach, err := s.getOffsets(t, parts, n)
	if err != nil {
		return nil, nil, err
	}
	values, err := s.getListValues(t, reach)
	if err != nil {
		starts.Release()
		return nil, nil, err
	}
	return starts, values, nil
}

func (s *spill) getListValues(t arrow.DataType, reach []part) (arrow.Array, error) {
	m, ok := t.(*arrow.MapType)
	if !ok {
		return s.get(t.(*arrow.ListType).Elem(), childParts(reach, 0))
	}
	keys, err := s.get(m.KeyType(), childParts(reach, 0))
	if err != nil {
		return nil, err
	}
	defer keys.Release()
	items, err := s.get(m.ItemType(), childParts(reach, 1))
	if err != nil {
		return nil, err
	}
	defer items.Release()
	return arrayOf(m.Elem(), keys.Len(), 0, []*memory.Buffer{nil}, []arrow.Array{keys, items}), nil
}

// wholeBytes is the width of a type whose values take whole bytes.
func wholeBytes(t arrow.DataType) (int, error) {
	fixed, ok := t.(arrow.FixedWidthDataType)
	if !ok || fixed.BitWidth() == 0 || fixed.BitWidth()%8 != 0 || t.ID() == arrow.DICTIONARY {
		return 0, fmt.Errorf("values of type %s cannot be spilled", t)
	}
	return fixed.BitWidth() / 8, nil
}

func newBuffer(size int64) *memory.Buffer {
	b := memory.NewResizableBuffer(allocator)
	b.Resize(int(size))
	return b
}

func bufferBytes(a arrow.Array, i int) []byte {
	if b := a.Data().Buffers()[i]; b != nil {
		return b.Bytes()
	}
	return nil
}

// bitsOf are n bits from offset on, from the first bit of a byte on.
func bitsOf(bits []byte, offset, n int) []byte {
	if offset%8 == 0 {
		return bits[offset/8 : offset/8+int(bitutil.BytesForBits(int64(n)))]
	}
	out := make([]byte, bitutil.BytesForBits(int64(n)))
	bitutil.CopyBitmap(bits, offset, n, out, 0)
	return out
}
