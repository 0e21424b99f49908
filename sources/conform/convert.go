// Package conform turns columns as a file has them into columns as a table wants them, and tells of each value that
// does not fit, by its row.
package conform

import (
	"context"
	"fmt"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/sources/cell"
)

// Fault is told of a value that does not fit: its row in the array that was converted.
type Fault func(row int, m *cell.Mismatch)

// Convert turns an array into one of another type, of the same length. A value that does not fit becomes null, and
// fault is told. The caller owns the result.
type Convert func(mem memory.Allocator, a arrow.Array, fault Fault) (arrow.Array, error)

// New makes the conversion from one type to another. Fields of structs are matched by name; those that from lacks are
// null. The error says that no value of the one type can be one of the other.
func New(from, to arrow.DataType) (Convert, error) {
	if ext, ok := from.(arrow.ExtensionType); ok && !arrow.TypeEqual(from, to) {
		inner, err := New(ext.StorageType(), to)
		if err != nil || to.ID() == arrow.STRING {
			return shown, nil
		}
		return func(mem memory.Allocator, a arrow.Array, fault Fault) (arrow.Array, error) {
			return inner(mem, a.(array.ExtensionArray).Storage(), fault)
		}, nil
	}
	if from.ID() == arrow.NULL {
		return func(mem memory.Allocator, a arrow.Array, _ Fault) (arrow.Array, error) {
			return array.MakeArrayOfNull(mem, to, a.Len()), nil
		}, nil
	}
	if c, ok, err := newNested(from, to); ok || err != nil {
		return c, err
	}
	if nested(from) && to.ID() != arrow.STRING || nested(to) {
		return nil, fmt.Errorf("%s cannot become %s", name(from), name(to))
	}
	return newScalar(from, to), nil
}

func nested(t arrow.DataType) bool {
	return arrow.IsNested(t.ID())
}

func name(t arrow.DataType) string {
	if s, err := columntype.Format(t); err == nil {
		return s
	}
	return t.String()
}

func newScalar(from, to arrow.DataType) Convert {
	switch {
	case from.ID() == arrow.STRING && to.ID() == arrow.STRING:
		return checked
	case arrow.TypeEqual(from, to):
		return same
	case from.ID() == arrow.FIXED_SIZE_BINARY && sameStorage(from, to):
		return func(_ memory.Allocator, a arrow.Array, _ Fault) (arrow.Array, error) {
			return array.NewExtensionArrayWithStorage(to.(arrow.ExtensionType), a), nil
		}
	case from.ID() == arrow.DECIMAL128 && to.ID() == arrow.DECIMAL128:
		return rescale(from.(*arrow.Decimal128Type), to.(*arrow.Decimal128Type))
	case castable(from, to):
		return cast(to)
	}
	return byText(to)
}

func sameStorage(from, to arrow.DataType) bool {
	ext, ok := to.(arrow.ExtensionType)
	return ok && arrow.TypeEqual(ext.StorageType(), from)
}

func same(_ memory.Allocator, a arrow.Array, _ Fault) (arrow.Array, error) {
	a.Retain()
	return a, nil
}

// checked passes strings on that are valid UTF-8.
func checked(mem memory.Allocator, a arrow.Array, fault Fault) (arrow.Array, error) {
	s := a.(*array.String)
	if allValid(s) {
		return same(mem, a, fault)
	}
	return byText(arrow.BinaryTypes.String)(mem, a, fault)
}

// allValid looks at the whole buffer at once: it is valid, and no value begins in the middle of a character.
func allValid(s *array.String) bool {
	bytes := s.ValueBytes()
	if !utf8.Valid(bytes) {
		return false
	}
	base := 0
	if s.Len() > 0 {
		base = s.ValueOffset(0)
	}
	for i := range s.Len() {
		if at := s.ValueOffset(i) - base; at < len(bytes) && !utf8.RuneStart(bytes[at]) {
			return false
		}
	}
	return true
}

func rescale(from, to *arrow.Decimal128Type) Convert {
	return func(mem memory.Allocator, a arrow.Array, fault Fault) (arrow.Array, error) {
		in := a.(*array.Decimal128)
		b := array.NewDecimal128Builder(mem, to)
		defer b.Release()
		b.Reserve(in.Len())
		for i := range in.Len() {
			if in.IsNull(i) {
				b.AppendNull()
				continue
			}
			v, err := in.Value(i).Rescale(from.Scale, to.Scale)
			if err != nil || !v.FitsInPrecision(to.Precision) {
				fault(i, &cell.Mismatch{Expected: name(to), Value: in.Value(i).ToString(from.Scale)})
				b.AppendNull()
				continue
			}
			b.Append(v)
		}
		return b.NewArray(), nil
	}
}

// castable tells whether Arrow's own cast does what is meant here: no value changes but for digits below a unit of
// time, and for whole numbers that become floating.
func castable(from, to arrow.DataType) bool {
	number := func(t arrow.DataType) bool { return arrow.IsInteger(t.ID()) || arrow.IsFloating(t.ID()) }
	switch {
	case number(from) && number(to):
		narrower := arrow.IsFloating(from.ID()) && to.ID() == arrow.FLOAT32 && from.ID() == arrow.FLOAT64
		return !narrower && compute.CanCast(from, to)
	case from.ID() == arrow.TIMESTAMP && to.ID() == arrow.TIMESTAMP,
		from.ID() == arrow.DATE32 && to.ID() == arrow.TIMESTAMP,
		from.ID() == arrow.DATE64 && to.ID() == arrow.DATE32,
		from.ID() == arrow.TIME32 && to.ID() == arrow.TIME64,
		from.ID() == arrow.TIME64 && to.ID() == arrow.TIME64:
		return compute.CanCast(from, to)
	}
	return false
}

func cast(to arrow.DataType) Convert {
	return func(mem memory.Allocator, a arrow.Array, fault Fault) (arrow.Array, error) {
		opts := compute.SafeCastOptions(to)
		opts.AllowTimeTruncate = true
		opts.AllowFloatTruncate = arrow.IsInteger(a.DataType().ID()) && arrow.IsFloating(to.ID())
		return castPart(compute.WithAllocator(context.Background(), mem), mem, a, 0, opts, fault)
	}
}

// castPart casts; when a value does not fit, Arrow does not say which, and halves are tried until it stands alone.
func castPart(ctx context.Context, mem memory.Allocator, a arrow.Array, first int, opts *compute.CastOptions, fault Fault) (arrow.Array, error) {
	out, err := compute.CastArray(ctx, a, opts)
	n := a.Len()
	switch {
	case err == nil:
		return out, nil
	case n == 0:
		return nil, err
	case n == 1:
		fault(first, &cell.Mismatch{Expected: name(opts.ToType), Value: a.ValueStr(0)})
		return array.MakeArrayOfNull(mem, opts.ToType, 1), nil
	}
	halves := make([]arrow.Array, 0, 2)
	defer func() {
		for _, h := range halves {
			h.Release()
		}
	}()
	for _, span := range [][2]int{{0, n / 2}, {n / 2, n}} {
		part := array.NewSlice(a, int64(span[0]), int64(span[1]))
		half, err := castPart(ctx, mem, part, first+span[0], opts, fault)
		part.Release()
		if err != nil {
			return nil, err
		}
		halves = append(halves, half)
	}
	return array.Concatenate(halves, mem)
}

// byText converts by way of each value's text.
func byText(to arrow.DataType) Convert {
	return func(mem memory.Allocator, a arrow.Array, fault Fault) (arrow.Array, error) {
		b := array.NewBuilder(mem, to)
		defer b.Release()
		text, err := cell.NewText(b)
		if err != nil {
			return nil, err
		}
		value := texts(a)
		for i := range a.Len() {
			if a.IsNull(i) {
				b.AppendNull()
				continue
			}
			if err := text(value(i)); err != nil {
				m, ok := err.(*cell.Mismatch)
				if !ok {
					return nil, err
				}
				fault(i, m)
			}
		}
		return b.NewArray(), nil
	}
}

// texts gives the text of an array's values.
func texts(a arrow.Array) func(i int) []byte {
	switch a := a.(type) {
	case *array.String:
		return func(i int) []byte { return []byte(a.Value(i)) }
	case *array.Binary:
		return a.Value
	case *array.LargeBinary:
		return a.Value
	case *array.FixedSizeBinary:
		return a.Value
	case *array.BinaryView:
		return a.Value
	case *array.Decimal128:
		scale := a.DataType().(*arrow.Decimal128Type).Scale
		return func(i int) []byte { return []byte(a.Value(i).ToString(scale)) }
	case *array.Decimal256:
		scale := a.DataType().(*arrow.Decimal256Type).Scale
		return func(i int) []byte { return []byte(a.Value(i).ToString(scale)) }
	case *array.Dictionary:
		value := texts(a.Dictionary())
		return func(i int) []byte { return value(a.GetValueIndex(i)) }
	}
	return func(i int) []byte { return []byte(a.ValueStr(i)) }
}

// shown makes strings of values of extension types.
func shown(mem memory.Allocator, a arrow.Array, _ Fault) (arrow.Array, error) {
	b := array.NewStringBuilder(mem)
	defer b.Release()
	for i := range a.Len() {
		if a.IsNull(i) {
			b.AppendNull()
		} else {
			b.Append(a.ValueStr(i))
		}
	}
	return b.NewArray(), nil
}
