//go:build differential

package merge_test

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/duckdb/duckdb-go/v2"
	"github.com/google/uuid"
)

// The random tests hold rows as Go values: nil, bool, int64 (all whole numbers,
// dates and times), float64, decimal128.Num, string, []byte, uuid.UUID, list,
// record and dict. They are put into Arrow arrays and into DuckDB, and come back
// from both as text.
type (
	list   []any
	record []any // fields in order
	dict   [][2]any
)

// kind is a type of columns in the random tests.
type kind struct {
	name string
	sql  string
	t    arrow.DataType
	key  bool // can be a merge key
	gen  func(r *rand.Rand) any
	// transforms are those that can partition by a column.
	transforms []string
	// promoted is the kind that the column may become, "" for none.
	promoted string
}

func small(r *rand.Rand) any { return int64(r.IntN(12)) - 3 }

var words = []string{"", "a", "ab", "abc", "b", "Zürich", "x_1", "x_2", "x_10", strings.Repeat("long", 20)}

func recordType() *arrow.StructType {
	return arrow.StructOf(
		arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
		arrow.Field{Name: "b", Type: arrow.BinaryTypes.String, Nullable: true})
}

var kinds = []kind{
	{name: "boolean", sql: "BOOLEAN", t: arrow.FixedWidthTypes.Boolean, key: true,
		gen: func(r *rand.Rand) any { return r.IntN(2) == 0 }, transforms: []string{"identity"}},
	{name: "int", sql: "INTEGER", t: arrow.PrimitiveTypes.Int32, key: true, gen: small,
		transforms: []string{"identity", "bucket[3]", "truncate[4]", "void"}, promoted: "long"},
	{name: "long", sql: "BIGINT", t: arrow.PrimitiveTypes.Int64, key: true, gen: small,
		transforms: []string{"identity", "bucket[3]", "truncate[4]"}},
	{name: "float", sql: "FLOAT", t: arrow.PrimitiveTypes.Float32, key: true, gen: genFloat, promoted: "double"},
	{name: "double", sql: "DOUBLE", t: arrow.PrimitiveTypes.Float64, key: true, gen: genFloat},
	{name: "decimal(9, 2)", sql: "DECIMAL(9,2)", t: &arrow.Decimal128Type{Precision: 9, Scale: 2}, key: true,
		gen: genDecimal, transforms: []string{"identity", "bucket[4]", "truncate[50]"}, promoted: "decimal(20, 2)"},
	{name: "decimal(20, 2)", sql: "DECIMAL(20,2)", t: &arrow.Decimal128Type{Precision: 20, Scale: 2}, key: true,
		gen: genDecimal, transforms: []string{"bucket[4]"}},
	{name: "date", sql: "DATE", t: arrow.FixedWidthTypes.Date32, key: true,
		gen:        func(r *rand.Rand) any { return int64(r.IntN(70)) - 20 },
		transforms: []string{"identity", "day", "month", "year", "bucket[2]"}},
	{name: "time", sql: "TIME", t: arrow.FixedWidthTypes.Time64us, key: true,
		gen: func(r *rand.Rand) any { return int64(r.IntN(5)) * 3_600_000_001 }},
	{name: "timestamp", sql: "TIMESTAMP", t: &arrow.TimestampType{Unit: arrow.Microsecond}, key: true, gen: genTime,
		transforms: []string{"day", "month", "hour", "bucket[2]"}},
	{name: "timestamptz", sql: "TIMESTAMPTZ", t: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, key: true, gen: genTime,
		transforms: []string{"day", "year"}},
	{name: "string", sql: "VARCHAR", t: arrow.BinaryTypes.String, key: true,
		gen:        func(r *rand.Rand) any { return words[r.IntN(len(words))] },
		transforms: []string{"identity", "bucket[3]", "truncate[1]"}},
	{name: "uuid", sql: "UUID", t: extensions.NewUUIDType(), key: true,
		gen:        func(r *rand.Rand) any { return uuid.UUID{0: byte(r.IntN(4) * 64), 15: byte(r.IntN(3))} },
		transforms: []string{"identity", "bucket[3]"}},
	{name: "binary", sql: "BLOB", t: arrow.BinaryTypes.Binary, key: true,
		gen: func(r *rand.Rand) any { return []byte{0xff, 0, byte(r.IntN(4))}[:r.IntN(4)] }},
	{name: "fixed(16)", sql: "BLOB", t: &arrow.FixedSizeBinaryType{ByteWidth: 16}, key: true,
		gen: func(r *rand.Rand) any { return append(make([]byte, 15), byte(r.IntN(5))) }},
	{name: "list<int>", sql: "INTEGER[]", t: arrow.ListOf(arrow.PrimitiveTypes.Int32), gen: genList},
	{name: "struct", sql: "STRUCT(a INTEGER, b VARCHAR)", t: recordType(), gen: genRecord},
	{name: "map<string, long>", sql: "MAP(VARCHAR, BIGINT)", t: arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64), gen: genDict},
}

func kindNamed(name string) *kind {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	return &kinds[i]
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
	out := list{}
	for range r.IntN(4) {
		out = append(out, maybe(r, small(r)))
	}
	return out
}

func genRecord(r *rand.Rand) any {
	return record{maybe(r, small(r)), maybe(r, words[r.IntN(len(words))])}
}

func genDict(r *rand.Rand) any {
	out := dict{}
	for i := range r.IntN(3) {
		out = append(out, [2]any{fmt.Sprint("k", i), maybe(r, small(r))})
	}
	return out
}

func maybe(r *rand.Rand, v any) any {
	if r.IntN(5) == 0 {
		return nil
	}
	return v
}

// appendValue puts a value into an Arrow builder.
func appendValue(b array.Builder, v any) {
	if v == nil {
		b.AppendNull()
		return
	}
	switch b := b.(type) {
	case *array.BooleanBuilder:
		b.Append(v.(bool))
	case *array.Int32Builder:
		b.Append(int32(v.(int64)))
	case *array.Int64Builder:
		b.Append(v.(int64))
	case *array.Float32Builder:
		b.Append(float32(v.(float64)))
	case *array.Float64Builder:
		b.Append(v.(float64))
	case *array.Decimal128Builder:
		b.Append(v.(decimal128.Num))
	case *array.Date32Builder:
		b.Append(arrow.Date32(v.(int64)))
	case *array.Time64Builder:
		b.Append(arrow.Time64(v.(int64)))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(v.(int64)))
	case *array.StringBuilder:
		b.Append(v.(string))
	case *extensions.UUIDBuilder:
		b.Append(v.(uuid.UUID))
	case *array.BinaryBuilder:
		b.Append(v.([]byte))
	case *array.FixedSizeBinaryBuilder:
		b.Append(v.([]byte))
	case *array.MapBuilder:
		b.Append(true)
		for _, e := range v.(dict) {
			appendValue(b.KeyBuilder(), e[0])
			appendValue(b.ItemBuilder(), e[1])
		}
	case *array.ListBuilder:
		b.Append(true)
		for _, e := range v.(list) {
			appendValue(b.ValueBuilder(), e)
		}
	case *array.StructBuilder:
		b.Append(true)
		for i, e := range v.(record) {
			appendValue(b.FieldBuilder(i), e)
		}
	default:
		panic(fmt.Sprintf("no values for %T", b))
	}
}

// arrayOf makes an Arrow array of values.
func arrayOf(t arrow.DataType, values []any) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, t)
	defer b.Release()
	for _, v := range values {
		appendValue(b, v)
	}
	return b.NewArray()
}

// valueAt reads a value back.
func valueAt(a arrow.Array, i int) any {
	if a.IsNull(i) {
		return nil
	}
	switch a := a.(type) {
	case *array.Boolean:
		return a.Value(i)
	case *array.Int32:
		return int64(a.Value(i))
	case *array.Int64:
		return a.Value(i)
	case *array.Float32:
		return float64(a.Value(i))
	case *array.Float64:
		return a.Value(i)
	case *array.Decimal128:
		return a.Value(i)
	case *array.Date32:
		return int64(a.Value(i))
	case *array.Time64:
		return int64(a.Value(i))
	case *array.Timestamp:
		return int64(a.Value(i))
	case *array.String:
		return a.Value(i)
	case *array.Binary:
		return slices.Clone(a.Value(i))
	case *array.FixedSizeBinary:
		return slices.Clone(a.Value(i))
	case *extensions.UUIDArray:
		return a.Value(i)
	case *array.Map:
		out := dict{}
		from, to := a.ValueOffsets(i)
		for e := from; e < to; e++ {
			out = append(out, [2]any{valueAt(a.Keys(), int(e)), valueAt(a.Items(), int(e))})
		}
		return out
	case *array.List:
		out := list{}
		from, to := a.ValueOffsets(i)
		for e := from; e < to; e++ {
			out = append(out, valueAt(a.ListValues(), int(e)))
		}
		return out
	case *array.Struct:
		out := record{}
		for f := range a.NumField() {
			out = append(out, valueAt(a.Field(f), i))
		}
		return out
	}
	panic(fmt.Sprintf("no values of %T", a))
}

// text writes a value so that two are equal, bit for bit, if their texts are.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case decimal128.Num:
		return v.BigInt().String()
	case string:
		return strconv.Quote(v)
	case []byte:
		return "x" + hex.EncodeToString(v)
	case uuid.UUID:
		return v.String()
	case list:
		out := make([]string, len(v))
		for i, e := range v {
			out[i] = text(e)
		}
		return "[" + strings.Join(out, " ") + "]"
	case record:
		return "(" + text(list(v)) + ")"
	case dict:
		var out []string
		for _, e := range v {
			out = append(out, text(e[0])+":"+text(e[1]))
		}
		slices.Sort(out)
		return "{" + strings.Join(out, " ") + "}"
	}
	panic(fmt.Sprintf("no text of %T", v))
}

// fromDuckDB turns what DuckDB's driver gives into the tests' values.
func fromDuckDB(v any, k *kind) any {
	switch v := v.(type) {
	case nil, bool, int64, float64, string:
		return v
	case int32:
		return int64(v)
	case float32:
		return float64(v)
	case time.Time:
		switch k.name {
		case "date":
			return int64(math.Floor(float64(v.Unix()) / 86400))
		case "time":
			return int64(v.Hour()*3600+v.Minute()*60+v.Second())*1_000_000 + int64(v.Nanosecond()/1000)
		}
		return v.UnixMicro()
	case duckdb.Decimal:
		return decimal128.FromBigInt(v.Value)
	case []byte:
		if k.name == "uuid" {
			return uuid.UUID(v)
		}
		return v
	case duckdb.UUID:
		return uuid.UUID(v)
	case []any:
		out := list{}
		for _, e := range v {
			out = append(out, fromDuckDB(e, k))
		}
		return out
	case map[string]any:
		return record{fromDuckDB(v["a"], k), fromDuckDB(v["b"], k)}
	case duckdb.OrderedMap:
		out := dict{}
		values := v.Values()
		for i, key := range v.Keys() {
			out = append(out, [2]any{fromDuckDB(key, k), fromDuckDB(values[i], k)})
		}
		return out
	}
	panic(fmt.Sprintf("DuckDB gave a %T", v))
}

// literal writes a value as SQL.
func literal(v any, k *kind) string {
	body := ""
	switch v := v.(type) {
	case nil:
		body = "NULL"
	case bool:
		body = strconv.FormatBool(v)
	case int64:
		switch k.name {
		case "date":
			body = "'" + time.Unix(v*86400, 0).UTC().Format(time.DateOnly) + "'"
		case "time":
			body = "'" + time.UnixMicro(v).UTC().Format("15:04:05.000000") + "'"
		case "timestamp":
			return fmt.Sprintf("make_timestamp(%d)", v)
		case "timestamptz":
			return fmt.Sprintf("to_timestamp(%d) + INTERVAL %d MICROSECOND", v/1_000_000, v%1_000_000)
		default:
			body = strconv.FormatInt(v, 10)
		}
	case float64:
		body = "'" + strconv.FormatFloat(v, 'g', -1, 64) + "'"
	case decimal128.Num:
		body = "'" + v.ToString(2) + "'"
	case string:
		body = "'" + strings.ReplaceAll(v, "'", "''") + "'"
	case []byte:
		body = "unhex('" + hex.EncodeToString(v) + "')"
	case uuid.UUID:
		body = "'" + v.String() + "'"
	case list:
		var out []string
		for _, e := range v {
			out = append(out, literal(e, kindNamed("int")))
		}
		body = "[" + strings.Join(out, ", ") + "]"
	case record:
		body = "{'a': " + literal(v[0], kindNamed("int")) + ", 'b': " + literal(v[1], kindNamed("string")) + "}"
	case dict:
		var out []string
		for _, e := range v {
			out = append(out, literal(e[0], kindNamed("string"))+": "+literal(e[1], kindNamed("long")))
		}
		body = "MAP {" + strings.Join(out, ", ") + "}"
	}
	return "CAST(" + body + " AS " + k.sql + ")"
}

// relation is a table in DuckDB, the model of what is tested.
type relation struct {
	db      *sql.DB
	name    string
	columns []column
}

type column struct {
	name string
	kind *kind
}

func (r *relation) exec(query string) error {
	if _, err := r.db.ExecContext(context.Background(), query); err != nil {
		return fmt.Errorf("%w\n%s", err, query)
	}
	return nil
}

// create makes the table of r's columns, with rows.
func (r *relation) create(rows [][]any) error {
	var columns []string
	for _, c := range r.columns {
		columns = append(columns, c.name+" "+c.kind.sql)
	}
	if err := r.exec("CREATE OR REPLACE TABLE " + r.name + " (" + strings.Join(columns, ", ") + ")"); err != nil {
		return err
	}
	return r.insert(rows)
}

func (r *relation) insert(rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	var out []string
	for _, row := range rows {
		var values []string
		for i, v := range row {
			values = append(values, literal(v, r.columns[i].kind))
		}
		out = append(out, "("+strings.Join(values, ", ")+")")
	}
	return r.exec("INSERT INTO " + r.name + " VALUES " + strings.Join(out, ", "))
}

// rows are the table's rows as text, sorted.
func (r *relation) rows() ([]string, error) {
	var names []string
	for _, c := range r.columns {
		names = append(names, c.name)
	}
	found, err := r.db.QueryContext(context.Background(), "SELECT "+strings.Join(names, ", ")+" FROM "+r.name)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	var out []string
	for found.Next() {
		values := make([]any, len(names))
		at := make([]any, len(names))
		for i := range values {
			at[i] = &values[i]
		}
		if err := found.Scan(at...); err != nil {
			return nil, err
		}
		for i, v := range values {
			values[i] = fromDuckDB(v, r.columns[i].kind)
		}
		out = append(out, text(list(values)))
	}
	slices.Sort(out)
	return out, found.Err()
}
