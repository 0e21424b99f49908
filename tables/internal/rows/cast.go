package rows

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// Assignable tells, by an error, why values of one type cannot be stored in a
// column of another. Numbers may be stored as other numbers; whether each value
// fits is seen when it is cast.
func Assignable(from, to arrow.DataType) error {
	if from.ID() == arrow.NULL || flat(from) && arrow.TypeEqual(from, to) {
		return nil
	}
	switch t := from.(type) {
	case *arrow.DictionaryType:
		return Assignable(t.ValueType, to)
	case *arrow.LargeStringType:
		return Assignable(arrow.BinaryTypes.String, to)
	case *arrow.LargeBinaryType:
		return Assignable(arrow.BinaryTypes.Binary, to)
	}
	ok := false
	switch to := to.(type) {
	case *arrow.StructType:
		if s, is := from.(*arrow.StructType); is {
			return assignableStruct(s, to)
		}
	case *arrow.MapType:
		if m, is := from.(*arrow.MapType); is {
			if err := Assignable(m.KeyType(), to.KeyType()); err != nil {
				return err
			}
			return Assignable(m.ItemType(), to.ItemType())
		}
	case *arrow.ListType:
		switch l := from.(type) {
		case *arrow.ListType:
			return Assignable(l.Elem(), to.Elem())
		case *arrow.LargeListType:
			return Assignable(l.Elem(), to.Elem())
		}
	case *arrow.TimestampType:
		f, is := from.(*arrow.TimestampType)
		ok = is && (f.TimeZone == "") == (to.TimeZone == "") || from.ID() == arrow.DATE32 && to.TimeZone == ""
	case *extensions.UUIDType:
		f, is := from.(*arrow.FixedSizeBinaryType)
		ok = is && f.ByteWidth == 16
	case *arrow.FixedSizeBinaryType:
		_, is := from.(*extensions.UUIDType)
		ok = is && to.ByteWidth == 16
	case *arrow.Time64Type:
		ok = from.ID() == arrow.TIME32 || from.ID() == arrow.TIME64
	default:
		ok = number(from) && number(to)
	}
	if !ok {
		return fmt.Errorf("a value of type %s cannot be stored as %s", from, to)
	}
	return nil
}

func assignableStruct(from, to *arrow.StructType) error {
	for _, f := range to.Fields() {
		i, ok := from.FieldIdx(f.Name)
		if !ok && !f.Nullable {
			return fmt.Errorf("the required field %s is missing", f.Name)
		}
		if ok {
			if err := Assignable(from.Field(i).Type, f.Type); err != nil {
				return fmt.Errorf("field %s: %w", f.Name, err)
			}
		}
	}
	return nil
}

func flat(t arrow.DataType) bool {
	switch t.ID() {
	case arrow.STRUCT, arrow.LIST, arrow.LARGE_LIST, arrow.MAP, arrow.DICTIONARY:
		return false
	}
	return true
}

func number(t arrow.DataType) bool {
	return arrow.IsInteger(t.ID()) || arrow.IsFloating(t.ID()) || t.ID() == arrow.DECIMAL128
}

// Cast gives a's values the type to, exactly: field names, metadata and
// nullability of nested types included. A value that would change is an error,
// but for the digits of a double stored as a float.
func Cast(ctx context.Context, a arrow.Array, to arrow.DataType) (arrow.Array, error) {
	from := a.DataType()
	if flat(to) && arrow.TypeEqual(from, to) {
		a.Retain()
		return a, nil
	}
	switch t := to.(type) {
	case *arrow.StructType:
		if s, ok := a.(*array.Struct); ok {
			return castStruct(ctx, s, t)
		}
	case *arrow.ListType, *arrow.MapType:
		if from.ID() == to.ID() {
			return castList(ctx, a.(array.ListLike), to)
		}
	case *extensions.UUIDType:
		if from.ID() == arrow.FIXED_SIZE_BINARY {
			return array.NewExtensionArrayWithStorage(t, a), nil
		}
	case *arrow.FixedSizeBinaryType:
		if e, ok := a.(array.ExtensionArray); ok {
			e.Storage().Retain()
			return e.Storage(), nil
		}
	case *arrow.Decimal128Type:
		if d, ok := a.(*array.Decimal128); ok {
			return rescale(d, t)
		}
	}
	if from.ID() == arrow.NULL {
		return array.MakeArrayOfNull(memory.DefaultAllocator, to, a.Len()), nil
	}
	if from.ID() == arrow.LARGE_LIST || from.ID() == arrow.DICTIONARY && !flat(to) {
		return castLoose(ctx, a, to)
	}
	opts := compute.SafeCastOptions(to)
	opts.AllowFloatTruncate = arrow.IsFloating(from.ID()) && arrow.IsFloating(to.ID())
	return compute.CastArray(ctx, a, opts)
}

// castLoose first brings a to the plain type of its kind, then to the very one.
func castLoose(ctx context.Context, a arrow.Array, to arrow.DataType) (arrow.Array, error) {
	var via arrow.DataType
	switch t := a.DataType().(type) {
	case *arrow.DictionaryType:
		via = t.ValueType
	case *arrow.LargeListType:
		via = arrow.ListOfField(t.ElemField())
	}
	plain, err := compute.CastArray(ctx, a, compute.SafeCastOptions(via))
	if err != nil {
		return nil, err
	}
	defer plain.Release()
	return Cast(ctx, plain, to)
}

func castStruct(ctx context.Context, a *array.Struct, to *arrow.StructType) (arrow.Array, error) {
	from := a.DataType().(*arrow.StructType)
	children := make([]arrow.ArrayData, to.NumFields())
	for f, field := range to.Fields() {
		var child arrow.Array
		if i, ok := from.FieldIdx(field.Name); ok {
			var err error
			if child, err = Cast(ctx, a.Field(i), field.Type); err != nil {
				return nil, fmt.Errorf("field %s: %w", field.Name, err)
			}
		} else {
			child = array.MakeArrayOfNull(memory.DefaultAllocator, field.Type, a.Len())
		}
		defer child.Release()
		children[f] = child.Data()
	}
	valid := validityOf(a)
	defer releaseBuffer(valid)
	d := array.NewData(to, a.Len(), []*memory.Buffer{valid}, children, a.NullN(), 0)
	defer d.Release()
	return array.MakeFromData(d), nil
}

func castList(ctx context.Context, a array.ListLike, to arrow.DataType) (arrow.Array, error) {
	values := a.ListValues()
	var element arrow.DataType
	switch t := to.(type) {
	case *arrow.ListType:
		element = t.Elem()
	case *arrow.MapType:
		element = t.Elem()
	}
	// Maps name their entries' fields key and value, but not all writers agree.
	if m, ok := a.DataType().(*arrow.MapType); ok {
		s, e := values.DataType().(*arrow.StructType), element.(*arrow.StructType)
		if s.Field(0).Name != e.Field(0).Name || s.Field(1).Name != e.Field(1).Name {
			renamed := arrow.StructOf(
				arrow.Field{Name: e.Field(0).Name, Type: m.KeyType()},
				arrow.Field{Name: e.Field(1).Name, Type: m.ItemType(), Nullable: true})
			d := values.Data()
			r := array.NewData(renamed, d.Len(), d.Buffers(), d.Children(), d.NullN(), d.Offset())
			defer r.Release()
			values = array.MakeFromData(r)
			defer values.Release()
		}
	}
	child, err := Cast(ctx, values, element)
	if err != nil {
		return nil, err
	}
	defer child.Release()
	d := a.Data()
	out := array.NewData(to, d.Len(), d.Buffers(), []arrow.ArrayData{child.Data()}, d.NullN(), d.Offset())
	defer out.Release()
	return array.MakeFromData(out), nil
}

// validityOf is a's validity from bit 0 on, nil if all are valid.
func validityOf(a arrow.Array) *memory.Buffer {
	refs := make([]Ref, a.Len())
	for i := range refs {
		refs[i] = At(0, i)
	}
	valid, _ := gatherValidity([]arrow.Array{a}, refs)
	return valid
}

func releaseBuffer(b *memory.Buffer) {
	if b != nil {
		b.Release()
	}
}

// rescale changes precision and scale without losing a digit. (arrow's own
// kernel panics on what exceeds 128 bits.)
func rescale(a *array.Decimal128, to *arrow.Decimal128Type) (arrow.Array, error) {
	from := a.DataType().(*arrow.Decimal128Type)
	up := to.Scale - from.Scale
	b := array.NewDecimal128Builder(memory.DefaultAllocator, to)
	defer b.Release()
	b.Reserve(a.Len())
	for i := range a.Len() {
		if a.IsNull(i) {
			b.AppendNull()
			continue
		}
		x := a.Value(i)
		ok := x.FitsInPrecision(to.Precision - max(up, 0))
		if up < 0 {
			ok = true
			reduced := x.ReduceScaleBy(-up, false)
			ok = reduced.FitsInPrecision(to.Precision) && reduced.IncreaseScaleBy(-up) == x
			x = reduced
		} else if ok {
			x = x.IncreaseScaleBy(up)
		}
		if !ok {
			return nil, fmt.Errorf("%s does not fit in %s", a.Value(i).ToString(from.Scale), describe(to))
		}
		b.Append(x)
	}
	return b.NewArray(), nil
}

func describe(t *arrow.Decimal128Type) string {
	return fmt.Sprintf("decimal(%d,%d)", t.Precision, t.Scale)
}
