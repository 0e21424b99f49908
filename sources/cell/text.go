package cell

import (
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/google/uuid"

	"github.com/varve-lake/varve/sources/jsontext"
)

// Text appends a value given as text. It always appends exactly one element: null if the text does not fit, together
// with a *Mismatch.
type Text func(raw []byte) error

// NewText makes the Text for a builder. Spaces around a value are ignored except in strings and bytes. Bytes are taken
// as they are; structs, lists and maps are read as JSON. The error says which type has no text form.
func NewText(b array.Builder) (Text, error) {
	switch b := b.(type) {
	case *array.StringBuilder:
		return textString(b), nil
	case *array.BinaryBuilder:
		return func(raw []byte) error { b.Append(raw); return nil }, nil
	case *array.FixedSizeBinaryBuilder:
		return textFixed(b), nil
	case *array.StructBuilder, *array.ListBuilder, *array.MapBuilder:
		return textJSON(b)
	}
	parse, err := scalar(b)
	if err != nil {
		return nil, err
	}
	return func(raw []byte) error {
		if !parse(trim(raw)) {
			b.AppendNull()
			return mismatch(b.Type(), raw)
		}
		return nil
	}, nil
}

// scalar makes a function that appends a text to a builder of one value each, or appends nothing and says false.
func scalar(b array.Builder) (func(raw []byte) bool, error) {
	switch b := b.(type) {
	case *array.BooleanBuilder:
		return appendParsed(b.Append, ParseBoolean), nil
	case *array.Int32Builder:
		return appendParsed(b.Append, func(raw []byte) (int32, bool) {
			v, ok := ParseLong(raw)
			return int32(v), ok && v >= math.MinInt32 && v <= math.MaxInt32
		}), nil
	case *array.Int64Builder:
		return appendParsed(b.Append, ParseLong), nil
	case *array.Float32Builder:
		return appendParsed(b.Append, func(raw []byte) (float32, bool) {
			v, ok := ParseDouble(raw, 32)
			return float32(v), ok
		}), nil
	case *array.Float64Builder:
		return appendParsed(b.Append, func(raw []byte) (float64, bool) { return ParseDouble(raw, 64) }), nil
	case *array.Decimal128Builder:
		t := b.Type().(*arrow.Decimal128Type)
		return func(raw []byte) bool {
			v, ok := ParseDecimal(raw, t.Precision, t.Scale)
			if ok {
				b.Append(v)
			}
			return ok
		}, nil
	case *array.Date32Builder:
		return appendParsed(b.Append, parseDateOnly), nil
	case *array.Time64Builder:
		return timeOfDay(b), nil
	case *array.TimestampBuilder:
		return timestamp(b), nil
	case *extensions.UUIDBuilder:
		return appendParsed(b.Append, parseUUID), nil
	}
	return nil, fmt.Errorf("values of type %s cannot be read from text", typeName(b.Type()))
}

func appendParsed[T any](appendValue func(T), parse func([]byte) (T, bool)) func([]byte) bool {
	return func(raw []byte) bool {
		v, ok := parse(raw)
		if ok {
			appendValue(v)
		}
		return ok
	}
}

// parseDateOnly reads a date, also one that has midnight as its time.
func parseDateOnly(raw []byte) (arrow.Date32, bool) {
	if d, ok := ParseDate(raw); ok {
		return arrow.Date32(d), true
	}
	t, ok := ParseInstant(raw)
	if !ok || t.Zone == HasZone || t.Nanos != 0 || t.Seconds%secondsPerDay != 0 {
		return 0, false
	}
	return arrow.Date32(t.Seconds / secondsPerDay), true
}

func timeOfDay(b *array.Time64Builder) func([]byte) bool {
	unit := int64(1)
	if b.Type().(*arrow.Time64Type).Unit == arrow.Microsecond {
		unit = 1000
	}
	return appendParsed(b.Append, func(raw []byte) (arrow.Time64, bool) {
		nanos, ok := ParseTime(raw)
		return arrow.Time64(nanos / unit), ok
	})
}

// timestamp reads instants into a builder of any unit. A column without a zone refuses values with one, since which
// wall clock they mean is unknown; a column with one takes values without as UTC.
func timestamp(b *array.TimestampBuilder) func([]byte) bool {
	t := b.Type().(*arrow.TimestampType)
	perSecond := int64(nanosPerSecond) / int64(t.Unit.Multiplier())
	return func(raw []byte) bool {
		v, ok := ParseInstant(raw)
		if !ok || v.Zone == HasZone && t.TimeZone == "" {
			return false
		}
		if limit := math.MaxInt64/perSecond - 1; v.Seconds > limit || v.Seconds < -limit {
			return false
		}
		b.Append(arrow.Timestamp(v.Seconds*perSecond + v.Nanos/int64(t.Unit.Multiplier())))
		return true
	}
}

func parseUUID(raw []byte) (uuid.UUID, bool) {
	if len(raw) != 36 && len(raw) != 32 {
		return uuid.UUID{}, false
	}
	v, err := uuid.ParseBytes(raw)
	return v, err == nil
}

func textString(b *array.StringBuilder) Text {
	return func(raw []byte) error {
		if !utf8.Valid(raw) {
			b.AppendNull()
			return invalidUTF8(raw)
		}
		b.BinaryBuilder.Append(raw)
		return nil
	}
}

func textFixed(b *array.FixedSizeBinaryBuilder) Text {
	width := b.Type().(*arrow.FixedSizeBinaryType).ByteWidth
	return func(raw []byte) error {
		if len(raw) != width {
			b.AppendNull()
			return mismatch(b.Type(), raw)
		}
		b.Append(raw)
		return nil
	}
}

func textJSON(b array.Builder) (Text, error) {
	value, err := NewJSON(b, nil)
	if err != nil {
		return nil, err
	}
	var p jsontext.Parser
	return func(raw []byte) error {
		p.Reset(raw)
		if !utf8.Valid(raw) {
			b.AppendNull()
			return invalidUTF8(raw)
		}
		k, err := p.Peek()
		if err != nil {
			b.AppendNull()
		} else if err = value.Append(&p, k); err == nil {
			// Text behind a sound value leaves the value in the builder; the error marks the row.
			err = p.End()
		}
		if syntax, ok := err.(*jsontext.SyntaxError); ok {
			return &Mismatch{Reason: fmt.Sprintf("expected %s as JSON: %v", typeName(b.Type()), syntax)}
		}
		return err
	}, nil
}

// trim takes spaces and tabs off both ends.
func trim(raw []byte) []byte {
	for len(raw) > 0 && (raw[0] == ' ' || raw[0] == '\t') {
		raw = raw[1:]
	}
	for n := len(raw); n > 0 && (raw[n-1] == ' ' || raw[n-1] == '\t'); n-- {
		raw = raw[:n-1]
	}
	return raw
}
