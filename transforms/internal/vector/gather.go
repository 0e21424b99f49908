package vector

import (
	"context"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Gather makes the array of arr's rows at the given places, null where a place is negative.
func Gather(ctx context.Context, arr arrow.Array, at []int32) (arrow.Array, error) {
	switch dt := arr.DataType().(type) {
	case *arrow.NullType:
		return array.NewNull(len(at)), nil
	case *arrow.BooleanType:
		return gatherBools(arr, at), nil
	case *arrow.StringType, *arrow.BinaryType:
		return gatherTexts(arr, at)
	case *arrow.StructType:
		return gatherStruct(ctx, arr, at)
	case *arrow.ListType, *arrow.MapType:
		return gatherLists(ctx, arr, at)
	case arrow.ExtensionType:
		stored, err := Gather(ctx, arr.(array.ExtensionArray).Storage(), at)
		if err != nil {
			return nil, err
		}
		defer stored.Release()
		return array.NewExtensionArrayWithStorage(dt, stored), nil
	case *arrow.DictionaryType:
		return takeOther(ctx, arr, at)
	case *arrow.StringViewType, *arrow.BinaryViewType:
		return gatherViews(arr, at), nil
	case arrow.FixedWidthDataType:
		return gatherFixed(ctx, arr, at, dt.Bytes())
	}
	return takeOther(ctx, arr, at)
}

// gatherValidity is the validity of the rows at the given places.
func gatherValidity(arr arrow.Array, at []int32) Bits {
	valid := Validity(arr)
	var out Bits
	for i, k := range at {
		if k < 0 || !valid.IsValid(int(k)) {
			if out == nil {
				out = Ones(len(at))
			}
			out.Clear(i)
		}
	}
	return out
}

func gatherBools(arr arrow.Array, at []int32) arrow.Array {
	in, out := Bools(arr), NewBits(len(at))
	for i, k := range at {
		if k >= 0 && in.Get(int(k)) {
			out.Set(i)
		}
	}
	return FromBools(out, len(at), gatherValidity(arr, at))
}

func gatherFixed(ctx context.Context, arr arrow.Array, at []int32, width int) (arrow.Array, error) {
	dt, valid := arr.DataType(), gatherValidity(arr, at)
	switch width {
	case 4:
		return FromValues(dt, pick[uint32](arr, at), valid), nil
	case 8:
		return FromValues(dt, pick[uint64](arr, at), valid), nil
	case 16:
		return FromValues(dt, pick[[16]byte](arr, at), valid), nil
	}
	if dt.ID() != arrow.FIXED_SIZE_BINARY {
		return takeOther(ctx, arr, at)
	}
	in, out := FixedBytesOf(arr, width), make([]byte, len(at)*width)
	for i, k := range at {
		if k >= 0 {
			copy(out[i*width:], in.Bytes(int(k)))
		}
	}
	return Make(dt, len(at), valid, memory.NewBufferBytes(out)), nil
}

func pick[T Fixed](arr arrow.Array, at []int32) []T {
	in, out := Values[T](arr), Alloc[T](len(at))
	for i, k := range at {
		if k >= 0 {
			out[i] = in[k]
		}
	}
	return out
}

func gatherTexts(arr arrow.Array, at []int32) (arrow.Array, error) {
	in := TextsOf(arr)
	offsets, size := make([]int32, len(at)+1), 0
	for i, k := range at {
		if k >= 0 {
			size += in.Len(int(k))
		}
		if size > math.MaxInt32 {
			return nil, fmt.Errorf("a batch's column exceeds 2 GiB")
		}
		offsets[i+1] = int32(size)
	}
	data := make([]byte, 0, size)
	for _, k := range at {
		if k >= 0 {
			data = append(data, in.Bytes(int(k))...)
		}
	}
	return Make(arr.DataType(), len(at), gatherValidity(arr, at), Buffer(offsets), memory.NewBufferBytes(data)), nil
}

// gatherViews picks the views; their text stays where it is.
func gatherViews(arr arrow.Array, at []int32) arrow.Array {
	buffers := append([]*memory.Buffer{Buffer(pick[[16]byte](arr, at))}, arr.Data().Buffers()[2:]...)
	return Make(arr.DataType(), len(at), gatherValidity(arr, at), buffers...)
}

func gatherStruct(ctx context.Context, arr arrow.Array, at []int32) (arrow.Array, error) {
	s := arr.(*array.Struct)
	children := make([]arrow.Array, s.NumField())
	for i := range children {
		child, err := Gather(ctx, s.Field(i), at)
		if err != nil {
			return nil, err
		}
		defer child.Release()
		children[i] = child
	}
	return MakeNested(arr.DataType(), len(at), gatherValidity(arr, at), nil, children), nil
}

func gatherLists(ctx context.Context, arr arrow.Array, at []int32) (arrow.Array, error) {
	in, valid := ListOffsets(arr), gatherValidity(arr, at)
	offsets := make([]int32, len(at)+1)
	var inner []int32
	for i, k := range at {
		if valid.IsValid(i) {
			for j := in[k]; j < in[k+1]; j++ {
				inner = append(inner, j)
			}
		}
		if len(inner) > math.MaxInt32 {
			return nil, fmt.Errorf("a batch's lists exceed 2^31 elements")
		}
		offsets[i+1] = int32(len(inner))
	}
	children := array.MakeFromData(arr.Data().Children()[0])
	defer children.Release()
	picked, err := Gather(ctx, children, inner)
	if err != nil {
		return nil, err
	}
	defer picked.Release()
	return MakeNested(arr.DataType(), len(at), valid, []*memory.Buffer{Buffer(offsets)}, []arrow.Array{picked}), nil
}

// takeOther gathers rows of the types that only pass through: dictionaries, large lists, unions.
func takeOther(ctx context.Context, arr arrow.Array, at []int32) (arrow.Array, error) {
	valid := Ones(len(at))
	for i, k := range at {
		if k < 0 {
			valid.Clear(i)
		}
	}
	places := make([]int32, len(at))
	for i, k := range at {
		places[i] = max(k, 0)
	}
	indices := FromValues(arrow.PrimitiveTypes.Int32, places, valid)
	defer indices.Release()
	out, err := compute.TakeArray(ctx, arr, indices)
	if err != nil {
		return nil, fmt.Errorf("take rows of a %s column: %w", arr.DataType(), err)
	}
	return out, nil
}

// GatherBatch makes the batch of batch's rows at the given places.
func GatherBatch(ctx context.Context, batch arrow.RecordBatch, at []int32) (arrow.RecordBatch, error) {
	columns := make([]arrow.Array, batch.NumCols())
	for i := range columns {
		column, err := Gather(ctx, batch.Column(i), at)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", batch.ColumnName(i), err)
		}
		defer column.Release()
		columns[i] = column
	}
	return array.NewRecordBatch(batch.Schema(), columns, int64(len(at))), nil
}

// Select makes the batch of the rows whose bit is one.
func Select(ctx context.Context, batch arrow.RecordBatch, keep Bits) (arrow.RecordBatch, error) {
	return GatherBatch(ctx, batch, Places(keep, int(batch.NumRows())))
}

// Places lists the ones among the first n bits.
func Places(keep Bits, n int) []int32 {
	at := make([]int32, 0, keep.Count(n))
	keep.Each(n, func(i int) bool {
		at = append(at, int32(i))
		return true
	})
	return at
}
