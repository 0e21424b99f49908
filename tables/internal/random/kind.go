package random

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/google/uuid"
)

// Values of columns: nil, bool, int64 (all whole numbers, dates and times), float64, decimal128.Num, string, []byte,
// uuid.UUID, List, Record and Dict.
type (
	List   []any
	Record []any // fields in order
	Dict   [][2]any
)

// Kind is a type of columns.
type Kind struct {
	Name string // in Iceberg's notation
	SQL  string // DuckDB's type
	// Spark is Spark's type, "" where it has none or another one.
	Spark string
	Type  arrow.DataType
	Key   bool                   // can be a merge key
	Gen   func(r *rand.Rand) any // one of few values, so that rows match; never null
	// Transforms are those that can partition by a column, in the specification's notation.
	Transforms []string
	// Promoted is the kind that a column may become, "" for none.
	Promoted string
}

// Column is a column of a table or a source.
type Column struct {
	Name string
	Kind *Kind
}

func small(r *rand.Rand) any { return int64(r.IntN(12)) - 3 }

var words = []string{"", "a", "ab", "abc", "b", "Zürich", "x_1", "x_2", "x_10", strings.Repeat("long", 20), "long" + strings.Repeat("\U0010FFFF", 20)}

func recordType() *arrow.StructType {
	return arrow.StructOf(
		arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
		arrow.Field{Name: "b", Type: arrow.BinaryTypes.String, Nullable: true})
}

// Kinds are the types of random columns.
var Kinds = []Kind{
	{Name: "boolean", Spark: "BOOLEAN", SQL: "BOOLEAN", Type: arrow.FixedWidthTypes.Boolean, Key: true,
		Gen: func(r *rand.Rand) any { return r.IntN(2) == 0 }, Transforms: []string{"identity"}},
	{Name: "int", Spark: "INT", SQL: "INTEGER", Type: arrow.PrimitiveTypes.Int32, Key: true, Gen: small,
		Transforms: []string{"identity", "bucket[3]", "truncate[4]", "void"}, Promoted: "long"},
	{Name: "long", Spark: "BIGINT", SQL: "BIGINT", Type: arrow.PrimitiveTypes.Int64, Key: true, Gen: small,
		Transforms: []string{"identity", "bucket[3]", "truncate[4]"}},
	{Name: "float", Spark: "FLOAT", SQL: "FLOAT", Type: arrow.PrimitiveTypes.Float32, Key: true, Gen: genFloat, Promoted: "double"},
	{Name: "double", Spark: "DOUBLE", SQL: "DOUBLE", Type: arrow.PrimitiveTypes.Float64, Key: true, Gen: genFloat},
	{Name: "decimal(9, 2)", Spark: "DECIMAL(9, 2)", SQL: "DECIMAL(9,2)", Type: &arrow.Decimal128Type{Precision: 9, Scale: 2}, Key: true,
		Gen: genDecimal, Transforms: []string{"identity", "bucket[4]", "truncate[50]"}, Promoted: "decimal(20, 2)"},
	{Name: "decimal(20, 2)", Spark: "DECIMAL(20, 2)", SQL: "DECIMAL(20,2)", Type: &arrow.Decimal128Type{Precision: 20, Scale: 2}, Key: true,
		Gen: genDecimal, Transforms: []string{"bucket[4]"}},
	{Name: "date", Spark: "DATE", SQL: "DATE", Type: arrow.FixedWidthTypes.Date32, Key: true,
		Gen:        func(r *rand.Rand) any { return int64(r.IntN(70)) - 20 },
		Transforms: []string{"identity", "day", "month", "year", "bucket[2]"}},
	{Name: "time", SQL: "TIME", Type: arrow.FixedWidthTypes.Time64us, Key: true,
		Gen: func(r *rand.Rand) any { return int64(r.IntN(5)) * 3_600_000_001 }},
	{Name: "timestamp", Spark: "TIMESTAMP_NTZ", SQL: "TIMESTAMP", Type: &arrow.TimestampType{Unit: arrow.Microsecond}, Key: true, Gen: genTime,
		Transforms: []string{"day", "month", "hour", "bucket[2]"}},
	{Name: "timestamptz", Spark: "TIMESTAMP", SQL: "TIMESTAMPTZ", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, Key: true, Gen: genTime,
		Transforms: []string{"day", "year"}},
	{Name: "string", Spark: "STRING", SQL: "VARCHAR", Type: arrow.BinaryTypes.String, Key: true,
		Gen:        func(r *rand.Rand) any { return words[r.IntN(len(words))] },
		Transforms: []string{"identity", "bucket[3]", "truncate[1]"}},
	{Name: "uuid", SQL: "UUID", Type: extensions.NewUUIDType(), Key: true,
		Gen:        func(r *rand.Rand) any { return uuid.UUID{0: byte(r.IntN(4) * 64), 15: byte(r.IntN(3))} },
		Transforms: []string{"identity", "bucket[3]"}},
	{Name: "binary", Spark: "BINARY", SQL: "BLOB", Type: arrow.BinaryTypes.Binary, Key: true,
		Gen: func(r *rand.Rand) any { return []byte{0xff, 0, byte(r.IntN(4))}[:r.IntN(4)] }},
	{Name: "fixed(16)", SQL: "BLOB", Type: &arrow.FixedSizeBinaryType{ByteWidth: 16}, Key: true,
		Gen: func(r *rand.Rand) any { return append(make([]byte, 15), byte(r.IntN(5))) }},
	{Name: "list<int>", Spark: "ARRAY<INT>", SQL: "INTEGER[]", Type: arrow.ListOf(arrow.PrimitiveTypes.Int32), Gen: genList},
	{Name: "struct", Spark: "STRUCT<a: INT, b: STRING>", SQL: "STRUCT(a INTEGER, b VARCHAR)", Type: recordType(), Gen: genRecord},
	{Name: "map<string, long>", Spark: "MAP<STRING, BIGINT>", SQL: "MAP(VARCHAR, BIGINT)", Type: arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64), Gen: genDict},
}

// KindNamed is the kind of a name; it panics if there is none.
func KindNamed(name string) *Kind {
	i := slices.IndexFunc(Kinds, func(k Kind) bool { return k.Name == name })
	return &Kinds[i]
}

func genFloat(r *rand.Rand) any {
	return []float64{0, math.Copysign(0, -1), 1.5, -1.5, math.NaN(), math.Inf(1), math.Inf(-1), 0.25, 3}[r.IntN(9)]
}

func genDecimal(r *rand.Rand) any { return decimal128.FromI64(int64(r.IntN(2000)-500) / 50 * 50) }

func genTime(r *rand.Rand) any {
	const day = 86_400_000_000
	return int64(r.IntN(90)-10)*day + int64(r.IntN(3))*3_600_000_000 + int64(r.IntN(2))
}

func genList(r *rand.Rand) any {
	out := List{}
	for range r.IntN(4) {
		out = append(out, Maybe(r, small(r)))
	}
	return out
}

func genRecord(r *rand.Rand) any {
	return Record{Maybe(r, small(r)), Maybe(r, words[r.IntN(len(words))])}
}

func genDict(r *rand.Rand) any {
	out := Dict{}
	for i := range r.IntN(3) {
		out = append(out, [2]any{fmt.Sprint("k", i), Maybe(r, small(r))})
	}
	return out
}

// Maybe is v, or null one time in five.
func Maybe(r *rand.Rand, v any) any {
	if r.IntN(5) == 0 {
		return nil
	}
	return v
}

// Rows makes n rows of columns. Those named required have no nulls.
func Rows(r *rand.Rand, columns []Column, n int, required ...string) [][]any {
	out := make([][]any, n)
	for i := range out {
		for _, c := range columns {
			v := c.Kind.Gen(r)
			if !slices.Contains(required, c.Name) {
				v = Maybe(r, v)
			}
			out[i] = append(out[i], v)
		}
	}
	return out
}

// Describe lists columns with their types.
func Describe(columns []Column) string {
	var out []string
	for _, c := range columns {
		out = append(out, c.Name+" "+c.Kind.Name)
	}
	return strings.Join(out, ", ")
}
