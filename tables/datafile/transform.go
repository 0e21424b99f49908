package datafile

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/twmb/murmur3"
)

// keyColumn is a column seen through a transform: what partitions and sort orders are made of.
type keyColumn struct {
	// null says whether the transformed row is null.
	null func(row int) bool
	// appendKey appends bytes that order as the transformed values do, and that no other value's bytes begin with.
	appendKey func(dst []byte, row int) []byte
	// value is the transformed row as iceberg-go holds partition values; the row is not null.
	value func(row int) any
	// word, where there is one, is a number whose eight bytes, the greatest first, are the key. The row is not null.
	word func(row int) uint64
}

// fieldPath leads from a batch through structs to a field.
type fieldPath []int

// pathTo finds a field by id. Fields inside lists and maps have no path: they have no one value in a row.
func pathTo(schema *iceberg.Schema, id int) (fieldPath, iceberg.NestedField, bool) {
	var walk func(fields []iceberg.NestedField, at fieldPath) (fieldPath, iceberg.NestedField, bool)
	walk = func(fields []iceberg.NestedField, at fieldPath) (fieldPath, iceberg.NestedField, bool) {
		for i, f := range fields {
			here := append(at[:len(at):len(at)], i)
			if f.ID == id {
				return here, f, true
			}
			if s, ok := f.Type.(*iceberg.StructType); ok {
				if p, f, ok := walk(s.FieldList, here); ok {
					return p, f, ok
				}
			}
		}
		return nil, iceberg.NestedField{}, false
	}
	return walk(schema.Fields(), nil)
}

// resolve gives the field's values and a null test that counts a null struct above it as null.
func (p fieldPath) resolve(batch arrow.RecordBatch) (arrow.Array, func(int) bool) {
	column := batch.Column(p[0])
	parents := []arrow.Array{}
	for _, i := range p[1:] {
		parents = append(parents, column)
		column = column.(*array.Struct).Field(i)
	}
	if len(parents) == 0 {
		return column, column.IsNull
	}
	return column, func(row int) bool {
		for _, parent := range parents {
			if parent.IsNull(row) {
				return true
			}
		}
		return column.IsNull(row)
	}
}

// bindTransform says how to see a column of type t through a transform.
func bindTransform(transform iceberg.Transform, t iceberg.Type) (func(arrow.Array, func(int) bool) keyColumn, error) {
	if _, void := transform.(iceberg.VoidTransform); void {
		return func(arrow.Array, func(int) bool) keyColumn {
			return keyColumn{null: func(int) bool { return true }}
		}, nil
	}
	if !transform.CanTransform(t) {
		return nil, fmt.Errorf("transform %s does not apply to type %s", transform, t)
	}
	switch tr := transform.(type) {
	case iceberg.IdentityTransform:
		return bindIdentity(t)
	case iceberg.BucketTransform:
		return bindBucket(tr.NumBuckets, t)
	case iceberg.TruncateTransform:
		return bindTruncate(tr.Width, t)
	case iceberg.YearTransform:
		return bindTime(t, func(days, _ int64) int64 { y, _ := civil(days); return y - 1970 }, boxInt32)
	case iceberg.MonthTransform:
		return bindTime(t, func(days, _ int64) int64 { y, m := civil(days); return (y-1970)*12 + m - 1 }, boxInt32)
	case iceberg.DayTransform:
		return bindTime(t, func(days, _ int64) int64 { return days }, func(v int64) any { return iceberg.Date(v) })
	case iceberg.HourTransform:
		if _, date := t.(iceberg.DateType); date {
			return nil, fmt.Errorf("transform hour does not apply to type date")
		}
		return bindTime(t, func(days, hour int64) int64 { return days*24 + hour }, boxInt32)
	}
	return nil, fmt.Errorf("transform %s is not known", transform)
}

func boxInt32(v int64) any { return int32(v) }

func intKeys(null func(int) bool, at func(int) int64, box func(int64) any) keyColumn {
	return keyColumn{
		null:      null,
		appendKey: func(dst []byte, row int) []byte { return appendInt64Key(dst, at(row)) },
		value:     func(row int) any { return box(at(row)) },
		word:      func(row int) uint64 { return int64Word(at(row)) },
	}
}

func bindIdentity(t iceberg.Type) (func(arrow.Array, func(int) bool) keyColumn, error) {
	if box := int64Boxer(t); box != nil {
		return func(a arrow.Array, null func(int) bool) keyColumn { return intKeys(null, int64At(a), box) }, nil
	}
	switch decimal := t.(type) {
	case iceberg.Float32Type, iceberg.Float64Type:
		_, single := t.(iceberg.Float32Type)
		return func(a arrow.Array, null func(int) bool) keyColumn {
			at := float64At(a)
			return keyColumn{null: null,
				appendKey: func(dst []byte, row int) []byte { return binary.BigEndian.AppendUint64(dst, floatBits(at(row))) },
				value: func(row int) any {
					if single {
						return float32(at(row))
					}
					return at(row)
				}}
		}, nil
	case iceberg.DecimalType:
		return bindDecimal(decimal, func(v decimal128.Num) decimal128.Num { return v })
	case iceberg.StringType, iceberg.BinaryType, iceberg.FixedType, iceberg.UUIDType:
		return bindBytes(t, func(v []byte) []byte { return v })
	}
	return nil, fmt.Errorf("type %s cannot be a partition or sort key", t)
}

// bindBytes binds a transform from bytes to a prefix of them.
func bindBytes(t iceberg.Type, f func([]byte) []byte) (func(arrow.Array, func(int) bool) keyColumn, error) {
	box := func(v []byte) any { return append([]byte{}, v...) }
	switch t.(type) {
	case iceberg.StringType:
		box = func(v []byte) any { return string(v) }
	case iceberg.UUIDType:
		box = func(v []byte) any { return uuid.UUID(v) }
	}
	return func(a arrow.Array, null func(int) bool) keyColumn {
		at := bytesAt(a)
		return keyColumn{null: null,
			appendKey: func(dst []byte, row int) []byte { return appendBytesKey(dst, f(at(row))) },
			value:     func(row int) any { return box(f(at(row))) }}
	}, nil
}

func bindDecimal(t iceberg.DecimalType, f func(decimal128.Num) decimal128.Num) (func(arrow.Array, func(int) bool) keyColumn, error) {
	scale := t.Scale()
	return func(a arrow.Array, null func(int) bool) keyColumn {
		values := a.(*array.Decimal128)
		return keyColumn{null: null,
			appendKey: func(dst []byte, row int) []byte {
				v := f(values.Value(row))
				dst = binary.BigEndian.AppendUint64(dst, uint64(v.HighBits())^(1<<63))
				return binary.BigEndian.AppendUint64(dst, v.LowBits())
			},
			value: func(row int) any { return iceberg.Decimal{Val: f(values.Value(row)), Scale: scale} }}
	}, nil
}

func bindTruncate(width int, t iceberg.Type) (func(arrow.Array, func(int) bool) keyColumn, error) {
	w := int64(width)
	switch t := t.(type) {
	case iceberg.Int32Type, iceberg.Int64Type:
		box := int64Boxer(t)
		return func(a arrow.Array, null func(int) bool) keyColumn {
			at := int64At(a)
			return intKeys(null, func(row int) int64 { v := at(row); return v - floorMod(v, w) }, box)
		}, nil
	case iceberg.StringType:
		return bindBytes(t, func(v []byte) []byte { return v[:prefixRunes(v, width)] })
	case iceberg.BinaryType:
		return bindBytes(t, func(v []byte) []byte { return v[:min(width, len(v))] })
	case iceberg.DecimalType:
		wide := big.NewInt(w)
		return bindDecimal(t, func(v decimal128.Num) decimal128.Num {
			n := v.BigInt()
			return decimal128.FromBigInt(n.Sub(n, new(big.Int).Mod(n, wide)))
		})
	}
	return nil, fmt.Errorf("transform truncate does not apply to type %s", t)
}

// prefixRunes is the length in bytes of a string's first n code points, which is what truncate counts.
func prefixRunes(v []byte, n int) int {
	at := 0
	for ; n > 0 && at < len(v); n-- {
		_, size := utf8.DecodeRune(v[at:])
		at += size
	}
	return at
}

func bindBucket(buckets int, t iceberg.Type) (func(arrow.Array, func(int) bool) keyColumn, error) {
	var hash func(arrow.Array) func(int) uint32
	switch t.(type) {
	case iceberg.DecimalType:
		hash = func(a arrow.Array) func(int) uint32 {
			values := a.(*array.Decimal128)
			return func(row int) uint32 { return murmur3.Sum32(shortestDecimal(values.Value(row))) }
		}
	case iceberg.StringType, iceberg.BinaryType, iceberg.FixedType, iceberg.UUIDType:
		hash = func(a arrow.Array) func(int) uint32 {
			at := bytesAt(a)
			return func(row int) uint32 { return murmur3.Sum32(at(row)) }
		}
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		// The specification hashes microseconds, so that a column promoted from them keeps its buckets.
		hash = hashInt64(func(v int64) int64 { return floorDiv(v, 1000) })
	default:
		hash = hashInt64(func(v int64) int64 { return v })
	}
	return func(a arrow.Array, null func(int) bool) keyColumn {
		h := hash(a)
		return intKeys(null, func(row int) int64 { return int64(h(row)&math.MaxInt32) % int64(buckets) }, boxInt32)
	}, nil
}

func hashInt64(f func(int64) int64) func(arrow.Array) func(int) uint32 {
	return func(a arrow.Array) func(int) uint32 {
		at := int64At(a)
		return func(row int) uint32 {
			var buf [8]byte
			binary.LittleEndian.PutUint64(buf[:], uint64(f(at(row))))
			return murmur3.Sum32(buf[:])
		}
	}
}

// shortestDecimal is the shortest two's complement, big endian, of an unscaled value.
func shortestDecimal(v decimal128.Num) []byte {
	var buf [16]byte
	binary.BigEndian.PutUint64(buf[:8], uint64(v.HighBits()))
	binary.BigEndian.PutUint64(buf[8:], v.LowBits())
	sign := byte(0)
	if v.Sign() < 0 {
		sign = 0xff
	}
	start := 0
	for start < 15 && buf[start] == sign && (buf[start+1]^sign)&0x80 == 0 {
		start++
	}
	return buf[start:]
}

// bindTime binds a transform of the civil day and the hour of it. Times before 1970 round towards the past.
func bindTime(t iceberg.Type, f func(days, hour int64) int64, box func(int64) any) (func(arrow.Array, func(int) bool) keyColumn, error) {
	perDay := int64(1)
	switch t.(type) {
	case iceberg.DateType:
	case iceberg.TimestampType, iceberg.TimestampTzType:
		perDay = 86_400_000_000
	case iceberg.TimestampNsType, iceberg.TimestampTzNsType:
		perDay = 86_400_000_000_000
	}
	perHour := max(perDay/24, 1)
	return func(a arrow.Array, null func(int) bool) keyColumn {
		at := int64At(a)
		return intKeys(null, func(row int) int64 {
			v := at(row)
			return f(floorDiv(v, perDay), floorMod(v, perDay)/perHour)
		}, box)
	}, nil
}

// civil is the year and month of a day counted from 1970-01-01 (Howard Hinnant's days_from_civil, inverted).
func civil(days int64) (year, month int64) {
	z := days + 719468
	era := floorDiv(z, 146097)
	dayOfEra := z - era*146097
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36524 - dayOfEra/146096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	shifted := (5*dayOfYear + 2) / 153 // months from March
	month = shifted + 3
	if month > 12 {
		month -= 12
	}
	year = yearOfEra + era*400
	if month <= 2 {
		year++
	}
	return year, month
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

func floorMod(a, b int64) int64 { return a - floorDiv(a, b)*b }
