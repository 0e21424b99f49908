// Package keys turns the key columns of a batch into vectors of plain words or
// bytes, and finds them in hash tables, without boxing a value.
package keys

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/extensions"
)

// form is how one key column is laid out for hashing and comparison. Equal
// values have equal forms: that is all that the tables rely on.
type form uint8

const (
	formWord  form = iota + 1 // 8 bytes: booleans, integers, dates, times
	formFloat                 // 8 bytes: a double with one NaN and one zero
	formWide                  // 16 bytes: decimals, UUIDs
	formText                  // any length
)

// shape is how a whole key is laid out.
type shape uint8

const (
	shapeWord  shape = iota + 1 // one word
	shapeWide                   // two words
	shapeBytes                  // offsets into bytes
)

// Layout says how the columns of a key become one comparable value. The source
// and the target of a merge share one, so that their vectors compare.
type Layout struct {
	types    []arrow.DataType
	forms    []form
	nullSafe bool
	shape    shape
}

// Common returns the type in which columns of types a and b are compared.
func Common(a, b arrow.DataType) (arrow.DataType, error) {
	a, b = plain(a), plain(b)
	if arrow.TypeEqual(a, b) {
		if _, err := formOf(a); err != nil {
			return nil, err
		}
		return a, nil
	}
	switch {
	case isInteger(a) && isInteger(b):
		return arrow.PrimitiveTypes.Int64, nil
	case isFloat(a) && isFloat(b):
		return arrow.PrimitiveTypes.Float64, nil
	case isDecimalLike(a) && isDecimalLike(b):
		return &arrow.Decimal128Type{Precision: 38, Scale: max(scaleOf(a), scaleOf(b))}, nil
	case a.ID() == arrow.TIMESTAMP && b.ID() == arrow.TIMESTAMP:
		x, y := a.(*arrow.TimestampType), b.(*arrow.TimestampType)
		if (x.TimeZone == "") == (y.TimeZone == "") {
			return &arrow.TimestampType{Unit: max(x.Unit, y.Unit), TimeZone: x.TimeZone}, nil
		}
	case isFixed16(a) && isFixed16(b):
		return &arrow.FixedSizeBinaryType{ByteWidth: 16}, nil
	}
	return nil, fmt.Errorf("a key of type %s cannot be compared with one of type %s: cast the source's", a, b)
}

// NewLayout returns the layout of a key whose columns compare as the given
// types, as given by Common.
func NewLayout(types []arrow.DataType, nullSafe bool) (*Layout, error) {
	l := &Layout{types: types, nullSafe: nullSafe, forms: make([]form, len(types))}
	words := 0
	for i, t := range types {
		f, err := formOf(t)
		if err != nil {
			return nil, err
		}
		l.forms[i] = f
		switch f {
		case formWord, formFloat:
			words++
		case formWide:
			words += 2
		case formText:
			words += 3
		}
	}
	switch {
	case nullSafe || words > 2:
		l.shape = shapeBytes
	case words == 2:
		l.shape = shapeWide
	default:
		l.shape = shapeWord
	}
	return l, nil
}

// Bitwise tells whether keys that are equal are so bit for bit in column i:
// not so for floating point, where -0.0 equals 0.0.
func (l *Layout) Bitwise(i int) bool { return l.forms[i] != formFloat }

// plain sees through dictionaries and the large variants of types.
func plain(t arrow.DataType) arrow.DataType {
	switch t := t.(type) {
	case *arrow.DictionaryType:
		return plain(t.ValueType)
	case *arrow.LargeStringType:
		return arrow.BinaryTypes.String
	case *arrow.LargeBinaryType:
		return arrow.BinaryTypes.Binary
	}
	return t
}

func formOf(t arrow.DataType) (form, error) {
	switch t.ID() {
	case arrow.BOOL, arrow.DATE32, arrow.TIME64, arrow.TIMESTAMP:
		return formWord, nil
	case arrow.FLOAT32, arrow.FLOAT64:
		return formFloat, nil
	case arrow.DECIMAL128:
		return formWide, nil
	case arrow.STRING, arrow.BINARY:
		return formText, nil
	case arrow.FIXED_SIZE_BINARY:
		if isFixed16(t) {
			return formWide, nil
		}
		return formText, nil
	case arrow.EXTENSION:
		if _, ok := t.(*extensions.UUIDType); ok {
			return formWide, nil
		}
	}
	if isInteger(t) {
		return formWord, nil
	}
	return 0, fmt.Errorf("a column of type %s cannot be a merge key", t)
}

func isInteger(t arrow.DataType) bool {
	switch t.ID() {
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32:
		return true
	}
	return false
}

func isFloat(t arrow.DataType) bool { return t.ID() == arrow.FLOAT32 || t.ID() == arrow.FLOAT64 }

func isDecimalLike(t arrow.DataType) bool { return t.ID() == arrow.DECIMAL128 || isInteger(t) }

func scaleOf(t arrow.DataType) int32 {
	if d, ok := t.(*arrow.Decimal128Type); ok {
		return d.Scale
	}
	return 0
}

func isFixed16(t arrow.DataType) bool {
	if f, ok := t.(*arrow.FixedSizeBinaryType); ok {
		return f.ByteWidth == 16
	}
	_, ok := t.(*extensions.UUIDType)
	return ok
}
