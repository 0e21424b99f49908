package vector

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Convert brings an array of one of Arrow's many encodings (dictionaries, views, 8 bits, another zone) to the type in
// which tables store its values. The caller releases the result.
func Convert(ctx context.Context, arr arrow.Array, to arrow.DataType) (arrow.Array, error) {
	from := arr.DataType()
	if arrow.TypeEqual(from, to) {
		arr.Retain()
		return arr, nil
	}
	switch t := from.(type) {
	case *arrow.DictionaryType:
		return convertDictionary(ctx, arr.(*array.Dictionary), to)
	case arrow.ExtensionType:
		return Convert(ctx, arr.(array.ExtensionArray).Storage(), to)
	case *arrow.TimestampType:
		if target, ok := to.(*arrow.TimestampType); ok && t.Unit == target.Unit {
			return Retype(arr, to), nil // the same instants under another zone
		}
	case *arrow.StructType:
		return convertStruct(ctx, arr.(*array.Struct), to)
	case *arrow.ListType, *arrow.MapType:
		return convertList(ctx, arr, to)
	}
	out, err := compute.CastArray(ctx, arr, compute.UnsafeCastOptions(to))
	if err != nil {
		return nil, fmt.Errorf("convert %s to %s: %w", from, to, err)
	}
	return out, nil
}

func convertDictionary(ctx context.Context, arr *array.Dictionary, to arrow.DataType) (arrow.Array, error) {
	values, err := Convert(ctx, arr.Dictionary(), to)
	if err != nil {
		return nil, err
	}
	defer values.Release()
	at := make([]int32, arr.Len())
	for i := range at {
		at[i] = -1
		if arr.IsValid(i) {
			at[i] = int32(arr.GetValueIndex(i))
		}
	}
	return Gather(ctx, values, at)
}

func convertStruct(ctx context.Context, arr *array.Struct, to arrow.DataType) (arrow.Array, error) {
	target, ok := to.(*arrow.StructType)
	if !ok || target.NumFields() != arr.NumField() {
		return nil, fmt.Errorf("convert %s to %s: the fields differ", arr.DataType(), to)
	}
	children := make([]arrow.Array, arr.NumField())
	for i := range children {
		child, err := Convert(ctx, arr.Field(i), target.Field(i).Type)
		if err != nil {
			return nil, err
		}
		defer child.Release()
		children[i] = child
	}
	return MakeNested(to, arr.Len(), Validity(arr), nil, children), nil
}

// convertList converts the elements, or a map's entries.
func convertList(ctx context.Context, arr arrow.Array, to arrow.DataType) (arrow.Array, error) {
	nested, ok := to.(arrow.ListLikeType)
	if !ok || to.ID() != arr.DataType().ID() {
		return nil, fmt.Errorf("convert %s to %s", arr.DataType(), to)
	}
	in := ListOffsets(arr)
	all := array.MakeFromData(arr.Data().Children()[0])
	defer all.Release()
	elements, err := Convert(ctx, all, nested.Elem())
	if err != nil {
		return nil, err
	}
	defer elements.Release()
	offsets := append([]int32(nil), in...)
	return MakeNested(to, arr.Len(), Validity(arr), []*memory.Buffer{Buffer(offsets)}, []arrow.Array{elements}), nil
}
