package tables

import (
	"encoding/hex"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
)

// keyLiteral reads a value of a column's type; one that the type does not have is an error.
func keyLiteral(t iceberg.Type, v any) (iceberg.Literal, error) {
	if text, ok := v.(string); ok {
		l, err := textLiteral(t, text)
		if err != nil {
			return nil, fmt.Errorf("%q is no value of type %s", text, t)
		}
		return l, nil
	}
	if l := valueLiteral(t, v); l != nil {
		return l, nil
	}
	return nil, fmt.Errorf("%v of Go's type %T is no value of type %s", v, v, t)
}

// valueLiteral reads a Go value; nil if it is none of the type.
func valueLiteral(t iceberg.Type, v any) iceberg.Literal {
	switch v := v.(type) {
	case bool:
		if _, ok := t.(iceberg.BooleanType); ok {
			return iceberg.NewLiteral(v)
		}
	case time.Time:
		return timeLiteral(t, v)
	case uuid.UUID:
		if _, ok := t.(iceberg.UUIDType); ok {
			return iceberg.NewLiteral(v)
		}
	case []byte:
		return bytesLiteral(t, v)
	case iceberg.Literal:
		if v.Type().Equals(t) {
			return v
		}
	}
	switch r := reflect.ValueOf(v); {
	case r.CanInt():
		l, _ := textLiteral(t, strconv.FormatInt(r.Int(), 10))
		return whole(t, l)
	case r.CanUint():
		l, _ := textLiteral(t, strconv.FormatUint(r.Uint(), 10))
		return whole(t, l)
	case r.CanFloat():
		switch t.(type) {
		case iceberg.Float64Type:
			return iceberg.NewLiteral(r.Float())
		case iceberg.Float32Type:
			if f := float32(r.Float()); float64(f) == r.Float() || r.Float() != r.Float() {
				return iceberg.NewLiteral(f)
			}
		}
	}
	return nil
}

// whole keeps a whole number to columns of numbers: it is no text, date or bytes.
func whole(t iceberg.Type, l iceberg.Literal) iceberg.Literal {
	switch t.(type) {
	case iceberg.Int32Type, iceberg.Int64Type, iceberg.DecimalType, iceberg.Float32Type, iceberg.Float64Type:
		return l
	}
	return nil
}

// timeLiteral reads a point in time, in UTC; one between two of the type's is none of them.
func timeLiteral(t iceberg.Type, v time.Time) iceberg.Literal {
	v = v.UTC()
	switch t.(type) {
	case iceberg.TimestampType, iceberg.TimestampTzType:
		if v.Nanosecond()%1000 == 0 {
			return iceberg.NewLiteral(iceberg.Timestamp(v.UnixMicro()))
		}
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		if n := v.UnixNano(); time.Unix(0, n).Equal(v) { // not before 1677, nor after 2262
			return iceberg.NewLiteral(iceberg.TimestampNano(n))
		}
	case iceberg.DateType:
		if day := v.Truncate(24 * time.Hour); day.Equal(v) {
			return iceberg.NewLiteral(iceberg.Date(v.Unix() / 86400))
		}
	}
	return nil
}

func bytesLiteral(t iceberg.Type, v []byte) iceberg.Literal {
	switch t := t.(type) {
	case iceberg.BinaryType:
		return iceberg.NewLiteral(v)
	case iceberg.FixedType:
		if len(v) == t.Len() {
			return iceberg.FixedLiteral(v)
		}
	}
	return nil
}

// textLiteral reads a value from text.
func textLiteral(t iceberg.Type, text string) (iceberg.Literal, error) {
	switch t := t.(type) {
	case iceberg.StringType:
		return iceberg.NewLiteral(text), nil
	case iceberg.BooleanType:
		if text != "true" && text != "false" {
			return nil, strconv.ErrSyntax
		}
		return iceberg.NewLiteral(text == "true"), nil
	case iceberg.Int32Type:
		n, err := strconv.ParseInt(text, 10, 32)
		return iceberg.NewLiteral(int32(n)), err
	case iceberg.Int64Type:
		n, err := strconv.ParseInt(text, 10, 64)
		return iceberg.NewLiteral(n), err
	case iceberg.Float32Type:
		f, err := strconv.ParseFloat(text, 32)
		return iceberg.NewLiteral(float32(f)), err
	case iceberg.Float64Type:
		f, err := strconv.ParseFloat(text, 64)
		return iceberg.NewLiteral(f), err
	case iceberg.DecimalType:
		return decimalLiteral(t, text)
	case iceberg.DateType, iceberg.TimestampType, iceberg.TimestampTzType, iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		return momentLiteral(t, text)
	case iceberg.TimeType:
		at, err := time.Parse("15:04:05.999999", text)
		if err != nil {
			return nil, err
		}
		return iceberg.NewLiteral(iceberg.Time(at.Sub(at.Truncate(24 * time.Hour)).Microseconds())), nil
	case iceberg.UUIDType:
		id, err := uuid.Parse(text)
		return iceberg.NewLiteral(id), err
	case iceberg.BinaryType, iceberg.FixedType:
		raw, err := hex.DecodeString(text)
		if l := bytesLiteral(t, raw); err == nil && l != nil {
			return l, nil
		}
	}
	return nil, strconv.ErrSyntax
}

// decimalLiteral reads a decimal that the type can hold to the last digit.
func decimalLiteral(t iceberg.DecimalType, text string) (iceberg.Literal, error) {
	digits, fraction, _ := strings.Cut(text, ".")
	digits = strings.TrimLeft(strings.TrimPrefix(strings.TrimPrefix(digits, "-"), "+"), "0")
	fraction = strings.TrimRight(fraction, "0")
	if strings.Trim(digits+fraction, "0123456789") != "" || len(fraction) > t.Scale() || len(digits) > t.Precision()-t.Scale() || text == "" {
		return nil, strconv.ErrSyntax
	}
	n, err := decimal128.FromString(text, int32(t.Precision()), int32(t.Scale()))
	if err != nil {
		return nil, err
	}
	return iceberg.NewLiteral(iceberg.Decimal{Val: n, Scale: t.Scale()}), nil
}

// momentLiteral reads a date or a point in time; one without a zone is UTC.
func momentLiteral(t iceberg.Type, text string) (iceberg.Literal, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02"} {
		if at, err := time.Parse(layout, text); err == nil {
			if l := timeLiteral(t, at); l != nil {
				return l, nil
			}
		}
	}
	return nil, strconv.ErrSyntax
}

func isNaN(l iceberg.Literal) bool {
	switch l := l.(type) {
	case iceberg.Float32Literal:
		return math.IsNaN(float64(l))
	case iceberg.Float64Literal:
		return math.IsNaN(float64(l))
	}
	return false
}
