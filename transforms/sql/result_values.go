package sql

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

func storageType(t arrow.DataType) arrow.DataType {
	if extension, ok := t.(arrow.ExtensionType); ok {
		return extension.StorageType()
	}
	return t
}

func storageOf(a arrow.Array) arrow.Array {
	if extension, ok := a.(array.ExtensionArray); ok {
		return extension.Storage()
	}
	return a
}

// apply converts a column.
func (c conversion) apply(in arrow.Array, mem memory.Allocator) (arrow.Array, error) {
	data, err := c.data(in, mem)
	if err != nil {
		return nil, err
	}
	defer data.Release()
	return array.MakeFromData(data), nil
}

func (c conversion) data(in arrow.Array, mem memory.Allocator) (arrow.ArrayData, error) {
	in = storageOf(in)
	if c.leaf != nil {
		return c.leaf(in, mem)
	}
	from := in.Data()
	var children []arrow.ArrayData
	defer func() {
		for _, child := range children {
			child.Release()
		}
	}()
	for i, child := range c.children {
		values := array.MakeFromData(from.Children()[i])
		data, err := child.data(values, mem)
		values.Release()
		if err != nil {
			return nil, err
		}
		children = append(children, data)
	}
	buffers := from.Buffers()
	if list, ok := in.(*array.FixedSizeList); ok {
		offsets := arrayOffsets(list, mem)
		defer offsets.Release()
		return array.NewData(c.to, from.Len(), []*memory.Buffer{buffers[0], offsets}, children, from.NullN(), from.Offset()), nil
	}
	return array.NewData(c.to, from.Len(), buffers, children, from.NullN(), from.Offset()), nil
}

// arrayOffsets gives an array of fixed length the offsets of a list.
func arrayOffsets(list *array.FixedSizeList, mem memory.Allocator) *memory.Buffer {
	from, width := list.Data(), list.DataType().(*arrow.FixedSizeListType).Len()
	buffer := memory.NewResizableBuffer(mem)
	buffer.Resize((from.Offset() + from.Len() + 1) * 4)
	offsets := arrow.Int32Traits.CastFromBytes(buffer.Bytes())
	for i := range offsets {
		offsets[i] = int32(i) * width
	}
	return buffer
}

// copyValidity is a's validity bitmap from bit 0 on, nil if nothing is null.
func copyValidity(a arrow.Array, mem memory.Allocator) *memory.Buffer {
	if a.NullN() == 0 {
		return nil
	}
	buffer := memory.NewResizableBuffer(mem)
	buffer.Resize(int(bitutil.BytesForBits(int64(a.Len()))))
	bitutil.CopyBitmap(a.NullBitmapBytes(), a.Data().Offset(), a.Len(), buffer.Bytes(), 0)
	return buffer
}

func newFixed(to arrow.DataType, a arrow.Array, values *memory.Buffer, mem memory.Allocator) arrow.ArrayData {
	validity := copyValidity(a, mem)
	defer values.Release()
	if validity != nil {
		defer validity.Release()
	}
	return array.NewData(to, a.Len(), []*memory.Buffer{validity, values}, nil, a.NullN(), 0)
}

func fromBool8(a arrow.Array, mem memory.Allocator) (arrow.ArrayData, error) {
	in, ok := a.(*array.Int8)
	if !ok {
		return nil, fmt.Errorf("a boolean came as %s", a.DataType())
	}
	buffer := memory.NewResizableBuffer(mem)
	buffer.Resize(int(bitutil.BytesForBits(int64(in.Len()))))
	bits := buffer.Bytes()
	clear(bits)
	for i, v := range in.Int8Values() {
		if v != 0 {
			bitutil.SetBit(bits, i)
		}
	}
	return newFixed(arrow.FixedWidthTypes.Boolean, a, buffer, mem), nil
}

func fromHugeint(a arrow.Array, mem memory.Allocator) (arrow.ArrayData, error) {
	return fromInt128(a, mem, "HUGEINT", func(high uint64) bool { return false })
}

func fromUhugeint(a arrow.Array, mem memory.Allocator) (arrow.ArrayData, error) {
	return fromInt128(a, mem, "UHUGEINT", func(high uint64) bool { return int64(high) < 0 })
}

// fromInt128 reads 16 bytes, the low half first, which is Arrow's layout of a decimal too.
func fromInt128(a arrow.Array, mem memory.Allocator, name string, beyond func(high uint64) bool) (arrow.ArrayData, error) {
	in, ok := a.(*array.FixedSizeBinary)
	if !ok {
		return nil, fmt.Errorf("a %s came as %s", name, a.DataType())
	}
	buffer := memory.NewResizableBuffer(mem)
	buffer.Resize(in.Len() * arrow.Decimal128SizeBytes)
	out := arrow.Decimal128Traits.CastFromBytes(buffer.Bytes())
	for i := range out {
		out[i] = decimal128.Num{}
		if in.IsNull(i) {
			continue
		}
		bytes := in.Value(i)
		low, high := binary.LittleEndian.Uint64(bytes), binary.LittleEndian.Uint64(bytes[8:])
		out[i] = decimal128.New(int64(high), low)
		if beyond(high) || !out[i].FitsInPrecision(38) {
			buffer.Release()
			return nil, &Error{Kind: Data, Offset: -1, Message: "a " + name + " has more than the 38 digits of decimal(38,0)"}
		}
	}
	return newFixed(&arrow.Decimal128Type{Precision: 38}, a, buffer, mem), nil
}

// castTo widens a leaf. None of these casts can lose anything.
func castTo(to arrow.DataType) func(arrow.Array, memory.Allocator) (arrow.ArrayData, error) {
	return func(a arrow.Array, mem memory.Allocator) (arrow.ArrayData, error) {
		ctx := compute.WithAllocator(context.Background(), mem)
		out, err := compute.CastArray(ctx, a, compute.SafeCastOptions(to))
		if err != nil {
			return nil, err
		}
		defer out.Release()
		data := out.Data()
		data.Retain()
		return data, nil
	}
}

func fromUint64(a arrow.Array, mem memory.Allocator) (arrow.ArrayData, error) {
	in, ok := a.(*array.Uint64)
	if !ok {
		return nil, fmt.Errorf("a UBIGINT came as %s", a.DataType())
	}
	buffer := memory.NewResizableBuffer(mem)
	buffer.Resize(in.Len() * arrow.Decimal128SizeBytes)
	for i, out := 0, arrow.Decimal128Traits.CastFromBytes(buffer.Bytes()); i < len(out); i++ {
		out[i] = decimal128.FromU64(in.Value(i))
	}
	return newFixed(&arrow.Decimal128Type{Precision: 20}, in, buffer, mem), nil
}

// fromDictionary writes out the values of an ENUM.
func fromDictionary(a arrow.Array, mem memory.Allocator) (arrow.ArrayData, error) {
	in, ok := a.(*array.Dictionary)
	if !ok {
		return nil, fmt.Errorf("an ENUM came as %s", a.DataType())
	}
	names, ok := in.Dictionary().(*array.String)
	if !ok {
		return nil, fmt.Errorf("an ENUM came as %s", a.DataType())
	}
	b := array.NewStringBuilder(mem)
	defer b.Release()
	b.Reserve(in.Len())
	for i := range in.Len() {
		if in.IsNull(i) {
			b.AppendNull()
		} else {
			b.Append(names.Value(in.GetValueIndex(i)))
		}
	}
	out := b.NewArray()
	defer out.Release()
	data := out.Data()
	data.Retain()
	return data, nil
}
