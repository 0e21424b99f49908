// Package render writes single values of Arrow arrays, as text in DuckDB's form and as JSON.
package render

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/google/uuid"

	"github.com/varve-lake/varve/transforms/internal/civil"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// Writer appends row i's value, which is not null.
type Writer func(dst []byte, i int) []byte

// Text writes values as DuckDB casts them to VARCHAR; nested values are JSON, and bytes are base64.
func Text(arr arrow.Array) Writer {
	switch t := arr.DataType().(type) {
	case *arrow.StringType:
		in := vector.TextsOf(arr)
		return func(dst []byte, i int) []byte { return append(dst, in.Bytes(i)...) }
	case *arrow.Float32Type:
		in := vector.Values[float32](arr)
		return func(dst []byte, i int) []byte { return AppendFloat(dst, float64(in[i]), 32) }
	case *arrow.Float64Type:
		in := vector.Values[float64](arr)
		return func(dst []byte, i int) []byte { return AppendFloat(dst, in[i], 64) }
	case *arrow.BinaryType:
		in := vector.TextsOf(arr)
		return func(dst []byte, i int) []byte { return base64.StdEncoding.AppendEncode(dst, in.Bytes(i)) }
	case *arrow.FixedSizeBinaryType:
		in := vector.FixedBytesOf(arr, t.ByteWidth)
		return func(dst []byte, i int) []byte { return base64.StdEncoding.AppendEncode(dst, in.Bytes(i)) }
	case *extensions.UUIDType:
		in := vector.FixedBytesOf(arr, 16)
		return func(dst []byte, i int) []byte { return appendUUID(dst, in.Bytes(i)) }
	case *arrow.StructType, *arrow.ListType, *arrow.MapType:
		return JSON(arr)
	}
	if w := exact(arr); w != nil {
		return w
	}
	if w := temporal(arr, ' ', "+00"); w != nil {
		return w
	}
	return func(dst []byte, i int) []byte { return append(dst, arr.ValueStr(i)...) }
}

// exact writes booleans, integers and decimals, which look the same in text and in JSON.
func exact(arr arrow.Array) Writer {
	switch t := arr.DataType().(type) {
	case *arrow.BooleanType:
		in := vector.Bools(arr)
		return func(dst []byte, i int) []byte { return strconv.AppendBool(dst, in.Get(i)) }
	case *arrow.Int32Type:
		in := vector.Values[int32](arr)
		return func(dst []byte, i int) []byte { return strconv.AppendInt(dst, int64(in[i]), 10) }
	case *arrow.Int64Type:
		in := vector.Values[int64](arr)
		return func(dst []byte, i int) []byte { return strconv.AppendInt(dst, in[i], 10) }
	case *arrow.Decimal128Type:
		in := vector.Values[decimal128.Num](arr)
		return func(dst []byte, i int) []byte { return append(dst, in[i].ToString(t.Scale)...) }
	}
	return nil
}

// temporal writes dates and times; zone follows an instant.
func temporal(arr arrow.Array, sep byte, zone string) Writer {
	switch t := arr.DataType().(type) {
	case *arrow.Date32Type:
		in := vector.Values[int32](arr)
		return func(dst []byte, i int) []byte { return civil.AppendDate(dst, int64(in[i])) }
	case *arrow.Time64Type:
		in, unit := vector.Values[int64](arr), perSecond(t.Unit)
		return func(dst []byte, i int) []byte { return civil.AppendTime(dst, in[i], unit) }
	case *arrow.TimestampType:
		in, unit := vector.Values[int64](arr), perSecond(t.Unit)
		if t.TimeZone == "" {
			zone = ""
		}
		return func(dst []byte, i int) []byte {
			return append(civil.AppendTimestamp(dst, in[i], unit, sep), zone...)
		}
	case *arrow.DurationType:
		in, unit := vector.Values[int64](arr), perSecond(t.Unit)
		return func(dst []byte, i int) []byte { return appendDuration(dst, in[i], unit) }
	}
	return nil
}

func perSecond(u arrow.TimeUnit) int64 {
	switch u {
	case arrow.Second:
		return 1
	case arrow.Millisecond:
		return 1000
	case arrow.Nanosecond:
		return 1_000_000_000
	}
	return civil.MicrosPerSecond
}

// appendDuration writes hours, minutes and seconds, as DuckDB writes an interval of time: 36:00:00.5.
func appendDuration(dst []byte, v, unit int64) []byte {
	if v < 0 {
		dst, v = append(dst, '-'), -v
	}
	return civil.AppendTime(dst, v, unit)
}

// AppendFloat writes the shortest text that reads back as f, always with a point or an exponent.
func AppendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "nan"...)
	case math.IsInf(f, 0):
		if f < 0 {
			dst = append(dst, '-')
		}
		return append(dst, "inf"...)
	}
	if abs := math.Abs(f); f != 0 && (abs < 1e-4 || abs >= 1e16) {
		return strconv.AppendFloat(dst, f, 'e', -1, bits)
	}
	at := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, bits)
	for _, c := range dst[at:] {
		if c == '.' {
			return dst
		}
	}
	return append(dst, ".0"...)
}

func appendUUID(dst, b []byte) []byte {
	text, _ := uuid.UUID(b).MarshalText()
	return append(dst, text...)
}

// JSON writes values as JSON: timestamps in ISO 8601, decimals as numbers with all their digits, bytes in base64, and
// maps without text keys as lists of pairs.
func JSON(arr arrow.Array) Writer {
	switch arr.DataType().(type) {
	case *arrow.NullType:
		return func(dst []byte, _ int) []byte { return append(dst, "null"...) }
	case *arrow.StructType:
		return structJSON(arr.(*array.Struct))
	case *arrow.MapType:
		return mapJSON(arr.(*array.Map))
	case *arrow.ListType:
		in, element := vector.ListOffsets(arr), orNull(arr.(*array.List).ListValues())
		return func(dst []byte, i int) []byte { return listJSON(dst, element, int(in[i]), int(in[i+1])) }
	case *arrow.Float32Type:
		in := vector.Values[float32](arr)
		return func(dst []byte, i int) []byte { return floatJSON(dst, float64(in[i]), 32) }
	case *arrow.Float64Type:
		in := vector.Values[float64](arr)
		return func(dst []byte, i int) []byte { return floatJSON(dst, in[i], 64) }
	}
	if w := exact(arr); w != nil {
		return w
	}
	if w := temporal(arr, 'T', "Z"); w != nil {
		return quoted(w)
	}
	if _, known := arr.DataType().(*extensions.UUIDType); known || isText(arr.DataType()) {
		return quoted(Text(arr))
	}
	return func(dst []byte, i int) []byte { return otherJSON(dst, arr, i) }
}

func isText(t arrow.DataType) bool {
	return t.ID() == arrow.STRING || t.ID() == arrow.BINARY || t.ID() == arrow.FIXED_SIZE_BINARY
}

// otherJSON writes the types that only pass through: dictionaries, views, unions.
func otherJSON(dst []byte, arr arrow.Array, i int) []byte {
	out, err := json.Marshal(arr.GetOneForMarshal(i))
	if err != nil {
		return AppendString(dst, fmt.Sprint(arr.ValueStr(i)))
	}
	return append(dst, out...)
}

func orNull(arr arrow.Array) Writer {
	write := JSON(arr)
	return func(dst []byte, i int) []byte {
		if arr.IsNull(i) {
			return append(dst, "null"...)
		}
		return write(dst, i)
	}
}

func quoted(w Writer) Writer {
	var scratch []byte
	return func(dst []byte, i int) []byte {
		scratch = w(scratch[:0], i)
		return AppendString(dst, vector.StringOf(scratch))
	}
}

func floatJSON(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return AppendString(dst, string(AppendFloat(nil, f, bits)))
	}
	return AppendFloat(dst, f, bits)
}

func listJSON(dst []byte, element Writer, from, to int) []byte {
	dst = append(dst, '[')
	for j := from; j < to; j++ {
		if j > from {
			dst = append(dst, ',')
		}
		dst = element(dst, j)
	}
	return append(dst, ']')
}

func structJSON(s *array.Struct) Writer {
	fields := s.DataType().(*arrow.StructType).Fields()
	members := make([]Writer, len(fields))
	for i := range fields {
		members[i] = orNull(s.Field(i))
	}
	return func(dst []byte, i int) []byte {
		dst = append(dst, '{')
		for k, write := range members {
			if k > 0 {
				dst = append(dst, ',')
			}
			dst = append(AppendString(dst, fields[k].Name), ':')
			dst = write(dst, i)
		}
		return append(dst, '}')
	}
}

func mapJSON(m *array.Map) Writer {
	entries := m.ListValues().(*array.Struct)
	in, key, value := vector.ListOffsets(m), orNull(entries.Field(0)), orNull(entries.Field(1))
	if entries.Field(0).DataType().ID() != arrow.STRING {
		pair := func(dst []byte, j int) []byte {
			dst = append(key(append(dst, '['), j), ',')
			return append(value(dst, j), ']')
		}
		return func(dst []byte, i int) []byte { return listJSON(dst, pair, int(in[i]), int(in[i+1])) }
	}
	return func(dst []byte, i int) []byte {
		dst = append(dst, '{')
		for j := int(in[i]); j < int(in[i+1]); j++ {
			if j > int(in[i]) {
				dst = append(dst, ',')
			}
			dst = append(key(dst, j), ':')
			dst = value(dst, j)
		}
		return append(dst, '}')
	}
}

// Rows writes rows of a batch as JSON objects.
func Rows(batch arrow.RecordBatch) Writer {
	members := make([]Writer, batch.NumCols())
	for i := range members {
		members[i] = orNull(batch.Column(i))
	}
	return func(dst []byte, i int) []byte {
		dst = append(dst, '{')
		for k, write := range members {
			if k > 0 {
				dst = append(dst, ',')
			}
			dst = append(AppendString(dst, batch.ColumnName(k)), ':')
			dst = write(dst, i)
		}
		return append(dst, '}')
	}
}

const hexDigits = "0123456789abcdef"

// AppendString appends s as a JSON string; bytes that are not UTF-8 become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < 0x20:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		case c < utf8.RuneSelf:
			dst = append(dst, c)
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
			continue
		}
		i++
	}
	return append(dst, '"')
}
