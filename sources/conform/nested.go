package conform

import (
	"fmt"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/sources/cell"
)

// newNested makes the conversions between structs, lists and maps; ok is false for other pairs.
func newNested(from, to arrow.DataType) (c Convert, ok bool, err error) {
	switch to := to.(type) {
	case *arrow.StructType:
		if from, ok := from.(*arrow.StructType); ok {
			c, err = structs(from, to)
			return c, true, err
		}
	case *arrow.MapType:
		if from, ok := from.(*arrow.MapType); ok {
			c, err = maps(from, to)
			return c, true, err
		}
	case *arrow.ListType:
		if from, ok := from.(arrow.ListLikeType); ok && from.ID() != arrow.MAP {
			c, err = lists(from, to)
			return c, true, err
		}
	}
	return nil, false, nil
}

// within puts the path of a nested field before a fault's own.
func within(fault Fault, field string) Fault {
	return func(row int, m *cell.Mismatch) {
		deeper := *m
		if deeper.Path == "" {
			deeper.Path = field
		} else {
			deeper.Path = field + "." + deeper.Path
		}
		fault(row, &deeper)
	}
}

func structs(from, to *arrow.StructType) (Convert, error) {
	converts := make([]Convert, to.NumFields())
	sources := make([]int, to.NumFields())
	for i, f := range to.Fields() {
		at, ok := from.FieldIdx(f.Name)
		if sources[i] = at; !ok {
			sources[i] = -1
			continue
		}
		var err error
		if converts[i], err = New(from.Field(at).Type, f.Type); err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
	}
	return func(mem memory.Allocator, a arrow.Array, fault Fault) (arrow.Array, error) {
		in := a.(*array.Struct)
		children := make([]arrow.ArrayData, to.NumFields())
		for i, f := range to.Fields() {
			child := array.MakeArrayOfNull(mem, f.Type, in.Len())
			if sources[i] >= 0 {
				child.Release()
				var err error
				// A value below a null struct is no value.
				visible := func(row int, m *cell.Mismatch) {
					if in.IsValid(row) {
						within(fault, f.Name)(row, m)
					}
				}
				if child, err = converts[i](mem, in.Field(sources[i]), visible); err != nil {
					return nil, err
				}
			}
			children[i] = child.Data()
			defer child.Release()
		}
		return assemble(mem, to, a, nil, children...), nil
	}, nil
}

// assemble makes a nested array that is null where a is, of children that begin where a does.
func assemble(mem memory.Allocator, to arrow.DataType, a arrow.Array, o *offsets, children ...arrow.ArrayData) arrow.Array {
	buffers := []*memory.Buffer{nil}
	if a.NullN() > 0 {
		bits := memory.NewResizableBuffer(mem)
		defer bits.Release()
		bits.Resize(int(bitutil.BytesForBits(int64(a.Len()))))
		bitutil.CopyBitmap(a.NullBitmapBytes(), a.Data().Offset(), a.Len(), bits.Bytes(), 0)
		buffers[0] = bits
	}
	if o != nil {
		buffers = append(buffers, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(o.at)))
	}
	data := array.NewData(to, a.Len(), buffers, children, a.NullN(), 0)
	defer data.Release()
	return array.MakeFromData(data)
}

func lists(from arrow.ListLikeType, to *arrow.ListType) (Convert, error) {
	element, err := New(from.Elem(), to.Elem())
	if err != nil {
		return nil, fmt.Errorf("element: %w", err)
	}
	return func(mem memory.Allocator, a arrow.Array, fault Fault) (arrow.Array, error) {
		in := a.(array.ListLike)
		offsets := offsetsOf(in)
		values := array.NewSlice(in.ListValues(), int64(offsets.first), int64(offsets.first)+int64(offsets.at[in.Len()]))
		defer values.Release()
		converted, err := element(mem, values, within(offsets.fault(fault), "element"))
		if err != nil {
			return nil, err
		}
		defer converted.Release()
		return assemble(mem, to, a, offsets, converted.Data()), nil
	}, nil
}

func maps(from, to *arrow.MapType) (Convert, error) {
	key, err := New(from.KeyType(), to.KeyType())
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	item, err := New(from.ItemType(), to.ItemType())
	if err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	return func(mem memory.Allocator, a arrow.Array, fault Fault) (arrow.Array, error) {
		in := a.(*array.Map)
		offsets := offsetsOf(in)
		n := int(offsets.at[in.Len()])
		children := make([]arrow.ArrayData, 2)
		for i, side := range []struct {
			name    string
			convert Convert
			values  arrow.Array
		}{{"key", key, in.Keys()}, {"value", item, in.Items()}} {
			part := array.NewSlice(side.values, int64(offsets.first), int64(offsets.first+n))
			converted, err := side.convert(mem, part, within(offsets.fault(fault), side.name))
			part.Release()
			if err != nil {
				return nil, err
			}
			defer converted.Release()
			if i == 0 && converted.NullN() > 0 { // of faulty rows; a map's key is never null
				converted = filled(mem, converted)
				defer converted.Release()
			}
			children[i] = converted.Data()
		}
		entries := array.NewData(to.Elem(), n, []*memory.Buffer{nil}, children, 0, 0)
		defer entries.Release()
		return assemble(mem, to, a, offsets, entries), nil
	}, nil
}

// filled is an array with its nulls taken for values.
func filled(mem memory.Allocator, a arrow.Array) arrow.Array {
	d := a.Data()
	buffers := append([]*memory.Buffer{nil}, d.Buffers()[1:]...)
	data := array.NewData(d.DataType(), d.Len(), buffers, d.Children(), 0, d.Offset())
	defer data.Release()
	return array.MakeFromData(data)
}

// offsets are where each list begins in the part of the values that an array uses.
type offsets struct {
	first int
	at    []int32
}

func offsetsOf(in array.ListLike) *offsets {
	o := &offsets{at: make([]int32, in.Len()+1)}
	for i := range in.Len() {
		start, end := in.ValueOffsets(i)
		if i == 0 {
			o.first = int(start)
		}
		o.at[i], o.at[i+1] = int32(int(start)-o.first), int32(int(end)-o.first)
	}
	return o
}

// fault tells of a row for one of its elements.
func (o *offsets) fault(fault Fault) Fault {
	return func(element int, m *cell.Mismatch) {
		fault(sort.Search(len(o.at)-1, func(i int) bool { return int(o.at[i+1]) > element }), m)
	}
}
