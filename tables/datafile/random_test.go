package datafile

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// everyType is a schema with each type that format version 2 has, nested ones included.
func everyType() *iceberg.Schema {
	p := iceberg.PrimitiveTypes
	return iceberg.NewSchemaWithIdentifiers(0, []int{2},
		iceberg.NestedField{ID: 1, Name: "b", Type: p.Bool},
		iceberg.NestedField{ID: 2, Name: "i", Type: p.Int32, Required: true},
		iceberg.NestedField{ID: 3, Name: "l", Type: p.Int64},
		iceberg.NestedField{ID: 4, Name: "f", Type: p.Float32},
		iceberg.NestedField{ID: 5, Name: "d", Type: p.Float64},
		iceberg.NestedField{ID: 6, Name: "dec9", Type: iceberg.DecimalTypeOf(9, 2)},
		iceberg.NestedField{ID: 7, Name: "dec18", Type: iceberg.DecimalTypeOf(18, 4)},
		iceberg.NestedField{ID: 8, Name: "dec38", Type: iceberg.DecimalTypeOf(38, 10)},
		iceberg.NestedField{ID: 9, Name: "date", Type: p.Date},
		iceberg.NestedField{ID: 10, Name: "time", Type: p.Time},
		iceberg.NestedField{ID: 11, Name: "ts", Type: p.Timestamp},
		iceberg.NestedField{ID: 12, Name: "tstz", Type: p.TimestampTz},
		iceberg.NestedField{ID: 13, Name: "s", Type: p.String},
		iceberg.NestedField{ID: 14, Name: "u", Type: p.UUID},
		iceberg.NestedField{ID: 15, Name: "fix", Type: iceberg.FixedTypeOf(5)},
		iceberg.NestedField{ID: 16, Name: "bin", Type: p.Binary},
		iceberg.NestedField{ID: 17, Name: "st", Type: &iceberg.StructType{FieldList: []iceberg.NestedField{
			{ID: 18, Name: "x", Type: p.Int64},
			{ID: 19, Name: "y", Type: &iceberg.StructType{FieldList: []iceberg.NestedField{{ID: 20, Name: "z", Type: p.Float64, Required: true}}}},
		}}},
		iceberg.NestedField{ID: 21, Name: "ls", Type: &iceberg.ListType{ElementID: 22, Element: p.String}},
		iceberg.NestedField{ID: 23, Name: "ll", Type: &iceberg.ListType{ElementID: 24, Element: &iceberg.ListType{ElementID: 25, Element: p.Int32, ElementRequired: true}}},
		iceberg.NestedField{ID: 26, Name: "m", Type: &iceberg.MapType{KeyID: 27, KeyType: p.String, ValueID: 28, ValueType: iceberg.DecimalTypeOf(12, 3)}},
		iceberg.NestedField{ID: 29, Name: "lst", Type: &iceberg.ListType{ElementID: 30, Element: &iceberg.StructType{FieldList: []iceberg.NestedField{
			{ID: 31, Name: "a", Type: p.UUID},
			{ID: 32, Name: "m", Type: &iceberg.MapType{KeyID: 33, KeyType: p.Int32, ValueID: 34, ValueType: p.TimestampTz, ValueRequired: true}},
		}}}},
	)
}

// randomBatch fills a schema with random values: nulls where they may be, extremes and empty values among them.
func randomBatch(t testing.TB, rng *rand.Rand, schema *arrow.Schema, rows int) arrow.RecordBatch {
	t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for range rows {
		for i, f := range schema.Fields() {
			appendRandom(t, rng, b.Field(i), f)
		}
	}
	return b.NewRecordBatch()
}

func appendRandom(t testing.TB, rng *rand.Rand, b array.Builder, f arrow.Field) {
	if f.Nullable && rng.IntN(6) == 0 {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(rng.IntN(2) == 0)
	case *array.Int32Builder:
		b.Append(int32(randomInt(rng, 31)))
	case *array.Int64Builder:
		b.Append(randomInt(rng, 63))
	case *array.Float32Builder:
		b.Append(float32(randomFloat(rng)))
	case *array.Float64Builder:
		b.Append(randomFloat(rng))
	case *array.Decimal128Builder:
		p := b.Type().(*arrow.Decimal128Type).Precision
		n, err := decimal128.FromString(strings.Repeat("9", 1+rng.IntN(int(p))), p, 0)
		require.NoError(t, err)
		if rng.IntN(2) == 0 {
			n = n.Negate()
		}
		b.Append(n)
	case *array.Date32Builder:
		b.Append(arrow.Date32(rng.IntN(60_000) - 30_000))
	case *array.Time64Builder:
		b.Append(arrow.Time64(rng.Int64N(86_400_000_000)))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(rng.Int64N(4e15) - 2e15))
	case *array.StringBuilder:
		b.Append(randomText(rng))
	case *array.BinaryBuilder:
		b.Append([]byte(strings.Repeat(string([]byte{byte(rng.IntN(256))}), rng.IntN(40))))
	case *array.FixedSizeBinaryBuilder:
		v := make([]byte, b.Type().(*arrow.FixedSizeBinaryType).ByteWidth)
		for i := range v {
			v[i] = byte(rng.IntN(256))
		}
		b.Append(v)
	case *extensions.UUIDBuilder:
		b.Append(uuid.UUID{byte(rng.IntN(256)), byte(rng.IntN(256)), 15: byte(rng.IntN(256))})
	case *array.StructBuilder:
		b.Append(true)
		for i, c := range f.Type.(*arrow.StructType).Fields() {
			appendRandom(t, rng, b.FieldBuilder(i), c)
		}
	case *array.ListBuilder:
		b.Append(true)
		for range rng.IntN(4) {
			appendRandom(t, rng, b.ValueBuilder(), f.Type.(*arrow.ListType).ElemField())
		}
	case *array.MapBuilder:
		b.Append(true)
		for range rng.IntN(3) {
			appendRandom(t, rng, b.KeyBuilder(), f.Type.(*arrow.MapType).KeyField())
			appendRandom(t, rng, b.ItemBuilder(), f.Type.(*arrow.MapType).ItemField())
		}
	default:
		t.Fatalf("no random values for %T", b)
	}
}

func randomInt(rng *rand.Rand, bits int) int64 {
	switch rng.IntN(12) {
	case 0:
		return -1 << bits
	case 1:
		return 1<<bits - 1
	case 2:
		return 0
	}
	return rng.Int64N(2000) - 1000
}

func randomFloat(rng *rand.Rand) float64 {
	special := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, math.Copysign(0, -1), math.MaxFloat32, -math.MaxFloat32}
	if i := rng.IntN(30); i < len(special) {
		return special[i]
	}
	return float64(float32(rng.NormFloat64()))
}

func randomText(rng *rand.Rand) string {
	pieces := []string{"", "a", "zebra", "ÿ", "日本", "\U0010ffff", "\x00", "\u07ff", "ab\x00c"}
	var s strings.Builder
	for range rng.IntN(12) {
		s.WriteString(pieces[rng.IntN(len(pieces))])
	}
	return s.String()
}
