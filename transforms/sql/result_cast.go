package sql

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// castTo widens a leaf. None of these casts can lose anything.
func castTo(to arrow.DataType) func(arrow.Array, memory.Allocator) (arrow.ArrayData, error) {
	return func(a arrow.Array, mem memory.Allocator) (arrow.ArrayData, error) {
		switch in := a.(type) {
		case *array.Uint64:
			return fromUint64(in, to, mem), nil
		case *array.Dictionary:
			return fromDictionary(in, mem)
		}
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

func fromUint64(in *array.Uint64, to arrow.DataType, mem memory.Allocator) arrow.ArrayData {
	buffer := memory.NewResizableBuffer(mem)
	buffer.Resize(in.Len() * arrow.Decimal128SizeBytes)
	for i, out := 0, arrow.Decimal128Traits.CastFromBytes(buffer.Bytes()); i < len(out); i++ {
		out[i] = decimal128.FromU64(in.Value(i))
	}
	return newFixed(to, in, buffer, mem)
}

// fromDictionary writes out the values of an ENUM.
func fromDictionary(in *array.Dictionary, mem memory.Allocator) (arrow.ArrayData, error) {
	names, ok := in.Dictionary().(*array.String)
	if !ok {
		return nil, &Error{Kind: Unsupported, Offset: -1, Message: "an ENUM came as " + in.DataType().String()}
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
