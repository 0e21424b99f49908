package rows

import (
	"bytes"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Differ sets differs[i] where row i of a is not, bit for bit, row i of b: -0.0
// differs from 0.0, a NaN from one with another payload, and a null from every
// value. Rows that are set already are not looked at. Both have one type.
func Differ(a, b arrow.Array, differs []bool) error {
	if a.DataType().ID() != b.DataType().ID() {
		return errTypes(a, b)
	}
	if t, ok := a.DataType().(arrow.FixedWidthDataType); ok && a.DataType().ID() != arrow.EXTENSION && t.BitWidth()%8 == 0 && a.NullN() == 0 && b.NullN() == 0 {
		width := t.BitWidth() / 8
		x, y := fixedBytes(a, width), fixedBytes(b, width)
		for i := range differs {
			if !differs[i] && !bytes.Equal(x[i*width:(i+1)*width], y[i*width:(i+1)*width]) {
				differs[i] = true
			}
		}
		return nil
	}
	same, err := comparer(a, b)
	if err != nil {
		return err
	}
	for i := range differs {
		differs[i] = differs[i] || !same(i, i)
	}
	return nil
}

func errTypes(a, b arrow.Array) error {
	return fmt.Errorf("cannot compare values of types %s and %s", a.DataType(), b.DataType())
}

// comparer tells whether row i of a is row j of b.
func comparer(a, b arrow.Array) (func(i, j int) bool, error) {
	values, err := valueComparer(a, b)
	if err != nil {
		return nil, err
	}
	if a.NullN() == 0 && b.NullN() == 0 {
		return values, nil
	}
	return func(i, j int) bool {
		if a.IsNull(i) || b.IsNull(j) {
			return a.IsNull(i) && b.IsNull(j)
		}
		return values(i, j)
	}, nil
}

func valueComparer(a, b arrow.Array) (func(i, j int) bool, error) {
	if a.DataType().ID() != b.DataType().ID() {
		return nil, errTypes(a, b)
	}
	switch t := a.DataType().(type) {
	case arrow.ExtensionType:
		return comparer(a.(array.ExtensionArray).Storage(), b.(array.ExtensionArray).Storage())
	case *arrow.NullType:
		return func(int, int) bool { return true }, nil
	case *arrow.BooleanType:
		x, y := a.(*array.Boolean), b.(*array.Boolean)
		return func(i, j int) bool { return x.Value(i) == y.Value(j) }, nil
	case *arrow.StringType, *arrow.BinaryType:
		xo, x := TextOf(a)
		yo, y := TextOf(b)
		return func(i, j int) bool { return bytes.Equal(x[xo[i]:xo[i+1]], y[yo[j]:yo[j+1]]) }, nil
	case *arrow.StructType:
		return structComparer(t, a.(*array.Struct), b.(*array.Struct))
	case *arrow.ListType, *arrow.MapType:
		return listComparer(a.(array.ListLike), b.(array.ListLike))
	case *arrow.DictionaryType:
	case arrow.FixedWidthDataType:
		width := t.BitWidth() / 8
		x, y := fixedBytes(a, width), fixedBytes(b, width)
		return func(i, j int) bool { return bytes.Equal(x[i*width:(i+1)*width], y[j*width:(j+1)*width]) }, nil
	}
	return nil, fmt.Errorf("cannot compare values of type %s", a.DataType())
}

func structComparer(t *arrow.StructType, a, b *array.Struct) (func(i, j int) bool, error) {
	if a.NumField() != b.NumField() {
		return nil, errTypes(a, b)
	}
	fields := make([]func(i, j int) bool, t.NumFields())
	for f := range fields {
		var err error
		if fields[f], err = comparer(a.Field(f), b.Field(f)); err != nil {
			return nil, err
		}
	}
	return func(i, j int) bool {
		for _, same := range fields {
			if !same(i, j) {
				return false
			}
		}
		return true
	}, nil
}

func listComparer(a, b array.ListLike) (func(i, j int) bool, error) {
	same, err := comparer(a.ListValues(), b.ListValues())
	if err != nil {
		return nil, err
	}
	return func(i, j int) bool {
		from, to := a.ValueOffsets(i)
		at, end := b.ValueOffsets(j)
		if to-from != end-at {
			return false
		}
		for ; from < to; from, at = from+1, at+1 {
			if !same(int(from), int(at)) {
				return false
			}
		}
		return true
	}, nil
}
