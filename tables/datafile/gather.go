package datafile

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// gatherBatch copies rows of a batch, in the order given. The copy shares nothing with the batch, so that a few rows kept do
// not keep a whole batch alive.
func gatherBatch(ctx context.Context, batch arrow.RecordBatch, rows []int32) (arrow.RecordBatch, error) {
	columns := make([]arrow.Array, 0, batch.NumCols())
	defer func() { releaseAll(columns) }()
	for i, c := range batch.Columns() {
		out, err := gather(ctx, c, rows)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", batch.ColumnName(i), err)
		}
		columns = append(columns, out)
	}
	return array.NewRecordBatch(batch.Schema(), columns, int64(len(rows))), nil
}

func releaseAll(arrays []arrow.Array) {
	for _, a := range arrays {
		if a != nil {
			a.Release()
		}
	}
}

// gather copies values of an array, as arrow's Take does but without its bounds checks and dispatch for each value, and on this
// goroutine: Take runs on another, where a malformed array of a hostile file would panic beyond anyone's reach.
func gather(ctx context.Context, a arrow.Array, rows []int32) (arrow.Array, error) {
	switch a := a.(type) {
	case *array.String:
		return gatherBinary(a, a.ValueOffsets(), rows)
	case *array.Binary:
		return gatherBinary(a, a.ValueOffsets(), rows)
	case *array.Boolean:
		return gatherBooleans(a, rows), nil
	case *array.Null:
		return array.NewNull(len(rows)), nil
	case array.ExtensionArray:
		storage, err := gather(ctx, a.Storage(), rows)
		if err != nil {
			return nil, err
		}
		defer storage.Release()
		return array.NewExtensionArrayWithStorage(a.DataType().(arrow.ExtensionType), storage), nil
	case *array.Dictionary:
		indices, err := gather(ctx, a.Indices(), rows)
		if err != nil {
			return nil, err
		}
		defer indices.Release()
		return array.NewDictionaryArray(a.DataType(), indices, a.Dictionary()), nil
	case *array.Struct:
		return gatherStruct(ctx, a, rows)
	case *array.Map:
		return gatherMap(ctx, a, rows)
	case *array.List:
		offsets, values := childRows(a, a.Offsets(), rows)
		return gatherList(a, offsets, rows, func() (arrow.ArrayData, func(), error) {
			v, err := gather(ctx, a.ListValues(), values)
			if err != nil {
				return nil, nil, err
			}
			return v.Data(), v.Release, nil
		})
	}
	if t, ok := a.DataType().(arrow.FixedWidthDataType); ok && t.BitWidth()%8 == 0 && t.BitWidth() > 0 {
		return gatherFixed(a, t.BitWidth()/8, rows), nil
	}
	b := array.NewInt32Builder(allocator)
	defer b.Release()
	b.AppendValues(rows, nil)
	indices := b.NewArray()
	defer indices.Release()
	return compute.TakeArray(ctx, a, indices)
}

func gatherBooleans(a *array.Boolean, rows []int32) arrow.Array {
	b := array.NewBooleanBuilder(allocator)
	defer b.Release()
	b.Reserve(len(rows))
	for _, r := range rows {
		if a.IsNull(int(r)) {
			b.UnsafeAppendBoolToBitmap(false)
		} else {
			b.UnsafeAppend(a.Value(int(r)))
		}
	}
	return b.NewArray()
}

func gatherStruct(ctx context.Context, a *array.Struct, rows []int32) (arrow.Array, error) {
	fields := make([]arrow.Array, 0, a.NumField())
	defer func() { releaseAll(fields) }()
	data := make([]arrow.ArrayData, 0, a.NumField())
	for i := range a.NumField() {
		f, err := gather(ctx, a.Field(i), rows)
		if err != nil {
			return nil, err
		}
		fields, data = append(fields, f), append(data, f.Data())
	}
	valid, nulls := gatherValidity(a, rows)
	defer release(valid)
	d := array.NewData(a.DataType(), len(rows), []*memory.Buffer{valid}, data, nulls, 0)
	defer d.Release()
	return array.MakeFromData(d), nil
}

func gatherMap(ctx context.Context, a *array.Map, rows []int32) (arrow.Array, error) {
	offsets, values := childRows(a, a.Offsets(), rows)
	return gatherList(a, offsets, rows, func() (arrow.ArrayData, func(), error) {
		keys, err := gather(ctx, a.Keys(), values)
		if err != nil {
			return nil, nil, err
		}
		defer keys.Release()
		items, err := gather(ctx, a.Items(), values)
		if err != nil {
			return nil, nil, err
		}
		defer items.Release()
		entries := array.NewData(a.DataType().(*arrow.MapType).Elem(), len(values), []*memory.Buffer{nil}, []arrow.ArrayData{keys.Data(), items.Data()}, 0, 0)
		return entries, entries.Release, nil
	})
}

// childRows are the values that rows of a list reach, and where those of each begin among them.
func childRows(a arrow.Array, offsets []int32, rows []int32) (*memory.Buffer, []int32) {
	buf := memory.NewResizableBuffer(allocator)
	buf.Resize(4 * (len(rows) + 1))
	starts := arrow.Int32Traits.CastFromBytes(buf.Bytes())
	first := a.Data().Offset()
	var values []int32
	starts[0] = 0
	for i, r := range rows {
		if a.IsValid(int(r)) {
			for v := offsets[first+int(r)]; v < offsets[first+int(r)+1]; v++ {
				values = append(values, v)
			}
		}
		starts[i+1] = int32(len(values))
	}
	return buf, values
}

func gatherList(a arrow.Array, offsets *memory.Buffer, rows []int32, values func() (arrow.ArrayData, func(), error)) (arrow.Array, error) {
	defer offsets.Release()
	child, free, err := values()
	if err != nil {
		return nil, err
	}
	defer free()
	valid, nulls := gatherValidity(a, rows)
	defer release(valid)
	d := array.NewData(a.DataType(), len(rows), []*memory.Buffer{valid, offsets}, []arrow.ArrayData{child}, nulls, 0)
	defer d.Release()
	return array.MakeFromData(d), nil
}

func gatherFixed(a arrow.Array, width int, rows []int32) arrow.Array {
	data := a.Data()
	out := memory.NewResizableBuffer(allocator)
	defer out.Release()
	out.Resize(width * len(rows))
	var from []byte
	if b := data.Buffers()[1]; b != nil { // an array without values, as of lists that are all empty, may lack the buffer
		from = b.Bytes()[data.Offset()*width:]
	}
	to := out.Bytes()
	switch width {
	case 2:
		for i, r := range rows {
			binary.NativeEndian.PutUint16(to[i*2:], binary.NativeEndian.Uint16(from[int(r)*2:]))
		}
	case 4:
		for i, r := range rows {
			binary.NativeEndian.PutUint32(to[i*4:], binary.NativeEndian.Uint32(from[int(r)*4:]))
		}
	case 8:
		for i, r := range rows {
			binary.NativeEndian.PutUint64(to[i*8:], binary.NativeEndian.Uint64(from[int(r)*8:]))
		}
	default:
		for i, r := range rows {
			copy(to[i*width:(i+1)*width], from[int(r)*width:])
		}
	}
	valid, nulls := gatherValidity(a, rows)
	defer release(valid)
	d := array.NewData(a.DataType(), len(rows), []*memory.Buffer{valid, out}, nil, nulls, 0)
	defer d.Release()
	return array.MakeFromData(d)
}

func gatherBinary(a arrow.Array, offsets []int32, rows []int32) (arrow.Array, error) {
	total := int64(0)
	for _, r := range rows {
		total += int64(offsets[r+1] - offsets[r])
	}
	if total > 1<<31-1 {
		return nil, fmt.Errorf("%d bytes of values in %d rows are more than a batch holds", total, len(rows))
	}
	values, newOffsets := memory.NewResizableBuffer(allocator), memory.NewResizableBuffer(allocator)
	defer values.Release()
	defer newOffsets.Release()
	values.Resize(int(total))
	newOffsets.Resize(4 * (len(rows) + 1))
	to, starts := values.Bytes(), arrow.Int32Traits.CastFromBytes(newOffsets.Bytes())
	var from []byte
	if b := a.Data().Buffers()[2]; b != nil {
		from = b.Bytes()
	}
	at := int32(0)
	starts[0] = 0
	for i, r := range rows {
		at += int32(copy(to[at:], from[offsets[r]:offsets[r+1]]))
		starts[i+1] = at
	}
	valid, nulls := gatherValidity(a, rows)
	defer release(valid)
	d := array.NewData(a.DataType(), len(rows), []*memory.Buffer{valid, newOffsets, values}, nil, nulls, 0)
	defer d.Release()
	return array.MakeFromData(d), nil
}

func gatherValidity(a arrow.Array, rows []int32) (*memory.Buffer, int) {
	if a.NullN() == 0 {
		return nil, 0
	}
	out := memory.NewResizableBuffer(allocator)
	out.Resize(int(bitutil.BytesForBits(int64(len(rows)))))
	bits := out.Bytes()
	clear(bits)
	from, offset := a.NullBitmapBytes(), a.Data().Offset()
	nulls := 0
	for i, r := range rows {
		if bitutil.BitIsSet(from, offset+int(r)) {
			bitutil.SetBit(bits, i)
		} else {
			nulls++
		}
	}
	return out, nulls
}

func release(b *memory.Buffer) {
	if b != nil {
		b.Release()
	}
}

// batchBytes is the memory that a batch's own rows take; slices of one buffer count their part.
func batchBytes(batch arrow.RecordBatch) int64 {
	total := int64(0)
	for _, c := range batch.Columns() {
		total += arrayBytes(c)
	}
	return total
}

func arrayBytes(a arrow.Array) int64 {
	n := int64(a.Len())
	size := n / 8
	switch a := a.(type) {
	case *array.String:
		return size + 4*n + int64(len(a.ValueBytes()))
	case *array.Binary:
		return size + 4*n + int64(len(a.ValueBytes()))
	case *array.Dictionary: // as the texts that it stands for, which a batch is read to have room for
		return size + 4*n + indexedBytes(a)
	case *array.Struct:
		for i := range a.NumField() {
			size += arrayBytes(a.Field(i))
		}
		return size
	case array.ExtensionArray:
		return arrayBytes(a.Storage())
	case *array.Map:
		return size + 4*n + listShare(a.List, arrayBytes(a.Keys())+arrayBytes(a.Items()))
	case *array.List:
		return size + 4*n + listShare(a, arrayBytes(a.ListValues()))
	}
	if t, ok := a.DataType().(arrow.FixedWidthDataType); ok {
		return size + (n*int64(t.BitWidth())+7)/8
	}
	return int64(a.Data().SizeInBytes())
}

// indexedBytes is what the texts take that an array names by indices, each as often as it does.
func indexedBytes(a *array.Dictionary) (total int64) {
	text, ok := a.Dictionary().(array.BinaryLike)
	if !ok {
		return 0
	}
	lengths := make([]int64, text.Len())
	for i := range lengths {
		lengths[i] = int64(text.ValueLen(i))
	}
	if indices, is := a.Indices().(*array.Int32); is && a.NullN() == 0 {
		for _, i := range indices.Int32Values() {
			total += lengths[i]
		}
		return total
	}
	for i := range a.Len() {
		if a.IsValid(i) {
			total += lengths[a.GetValueIndex(i)]
		}
	}
	return total
}

// listShare is the part of its values' size that a list, which may be a slice, reaches.
func listShare(l *array.List, size int64) int64 {
	if l.Len() == 0 || l.ListValues().Len() == 0 {
		return 0
	}
	first, _ := l.ValueOffsets(0)
	_, end := l.ValueOffsets(l.Len() - 1)
	return size * (end - first) / int64(l.ListValues().Len())
}
