package lakesql_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/lakesql"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
)

// wide has a column of each type that DuckDB reads itself.
var wide = arrow.NewSchema([]arrow.Field{
	{Name: "i", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
	{Name: "l", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "f", Type: arrow.PrimitiveTypes.Float32, Nullable: true},
	{Name: "d", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
	{Name: "d9", Type: &arrow.Decimal128Type{Precision: 9, Scale: 2}, Nullable: true},
	{Name: "d18", Type: &arrow.Decimal128Type{Precision: 18, Scale: 4}, Nullable: true},
	{Name: "d38", Type: &arrow.Decimal128Type{Precision: 38, Scale: 6}, Nullable: true},
	{Name: "d25", Type: &arrow.Decimal128Type{Precision: 25, Scale: 3}, Nullable: true},
	{Name: "dt", Type: arrow.FixedWidthTypes.Date32, Nullable: true},
	{Name: "ts", Type: &arrow.TimestampType{Unit: arrow.Microsecond}, Nullable: true},
	{Name: "tz", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, Nullable: true},
	{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "b", Type: arrow.BinaryTypes.Binary, Nullable: true},
	{Name: "u", Type: extensions.NewUUIDType(), Nullable: true},
	{Name: "bo", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
}, nil)

// appendWide commits a file of rows of few values each, at the ends of their types among them.
func appendWide(t *testing.T, tbl *tables.Table, r *rand.Rand, rows, n int) {
	t.Helper()
	b := array.NewRecordBuilder(memory.DefaultAllocator, wide)
	for range rows {
		for c, f := range b.Fields() {
			if r.IntN(10) == 0 {
				f.AppendNull()
				continue
			}
			switch f := f.(type) {
			case *array.Int32Builder:
				f.Append([]int32{math.MinInt32, math.MaxInt32, -1, 0, int32(r.IntN(100)), int32(n)}[r.IntN(6)])
			case *array.Int64Builder:
				f.Append([]int64{math.MinInt64, math.MaxInt64, -1, 0, int64(r.IntN(100)), int64(n)}[r.IntN(6)])
			case *array.Float32Builder:
				f.Append([]float32{float32(math.Copysign(0, -1)), 1.5, -2.5, float32(math.Inf(1)), float32(math.Inf(-1)), float32(n)}[r.IntN(6)])
			case *array.Float64Builder:
				if n%2 == 0 {
					f.Append([]float64{math.Copysign(0, -1), 1.5, -2.5, math.Inf(1), math.Inf(-1), float64(n) + 0.5}[r.IntN(6)])
				} else {
					f.Append([]float64{0, 1.5, -2.5, math.Inf(1), math.Inf(-1), float64(n)}[r.IntN(6)])
				}
			case *array.Decimal128Builder:
				v := decimal128.FromI64(r.Int64N(2000) - 1000)
				if c == 6 && r.IntN(2) == 0 {
					v = v.Mul(decimal128.FromI64(1_000_000_000_000_000_000)).Mul(decimal128.FromI64(10000))
				}
				if c == 7 && r.IntN(2) == 0 {
					v = v.Mul(decimal128.FromI64(1_000_000_000_000_000_000))
				}
				f.Append(v)
			case *array.Date32Builder:
				f.Append([]arrow.Date32{-700000, 0, 1, 2900000, -1, arrow.Date32(n)}[r.IntN(6)])
			case *array.TimestampBuilder:
				f.Append([]arrow.Timestamp{-62135596800000000, 0, -1, 253402300799999999, arrow.Timestamp(n), arrow.Timestamp(r.IntN(100))}[r.IntN(6)])
			case *array.StringBuilder:
				f.Append([]string{"", strings.Repeat("é", 3000) + fmt.Sprint(r.IntN(9)), "\u00ff\U0010ffff" + strings.Repeat("\U0010ffff", 100), "a\x00b", "zz", fmt.Sprint(n)}[r.IntN(6)])
			case *array.BinaryBuilder:
				f.Append([][]byte{{}, []byte(strings.Repeat("\xff", 300)), {0xff, 0xfe}, {0}, []byte("zz"), []byte(fmt.Sprint(n))}[r.IntN(6)])
			case *extensions.UUIDBuilder:
				var u uuid.UUID
				binary.BigEndian.PutUint64(u[:], []uint64{0, 1, 1 << 63, math.MaxUint64, 1<<63 - 1}[r.IntN(5)])
				u[15] = byte(r.IntN(3))
				f.Append(u)
			case *array.BooleanBuilder:
				f.Append(r.IntN(2) == 0 && n%3 != 0)
			default:
				t.Fatalf("%T", f)
			}
		}
	}
	rec := b.NewRecordBatch()
	rd, err := array.NewRecordReader(wide, []arrow.RecordBatch{rec})
	require.NoError(t, err)
	staged, err := tbl.Stage(context.Background(), rd, tables.StageOptions{})
	require.NoError(t, err)
	_, err = tbl.Append(context.Background(), tables.CommitOptions{ID: commit.ID{Writer: "test", Token: fmt.Sprint(n)}}, staged)
	require.NoError(t, err)
}

// Bloom filters lead DuckDB to the same rows as they do us: of every type, every value that is there is found.
func TestBloomFiltersHideNothingFromDuckDB(t *testing.T) {
	lake, err := tables.OpenLake(t.Context(), tables.Local(t.TempDir()))
	require.NoError(t, err)
	engine, streams := openEngine(t, lakesql.Folders(lake)), openEngine(t, nil)
	properties := map[string]string{}
	for _, f := range wide.Fields() {
		properties["write.parquet.bloom-filter-enabled.column."+f.Name] = "true"
	}
	tbl, _, err := lake.Ensure(t.Context(), tables.Definition{Name: "a.t", Schema: wide, Properties: properties})
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 3 {
		appendWide(t, tbl, r, 40, n)
	}
	types := map[string]string{
		"i": "INTEGER", "l": "BIGINT", "f": "FLOAT", "d": "DOUBLE", "d9": "DECIMAL(9,2)", "d18": "DECIMAL(18,4)", "d38": "DECIMAL(38,6)",
		"d25": "DECIMAL(25,3)", "dt": "DATE", "ts": "TIMESTAMP", "tz": "TIMESTAMPTZ", "u": "UUID", "bo": "BOOLEAN",
	}
	direct := 0
	for _, f := range wide.Fields() {
		show, read := fmt.Sprintf("CAST(%s AS VARCHAR)", f.Name), "CAST('%s' AS "+types[f.Name]+")"
		switch f.Name {
		case "s":
			show, read = "hex(s)", "decode(unhex('%s'))"
		case "b":
			show, read = "hex(b)", "unhex('%s')"
		}
		values := run(t, streams, lakesql.New(lake, nil), fmt.Sprintf("SELECT DISTINCT %s AS v FROM a.t WHERE %s IS NOT NULL ORDER BY v", show, f.Name))
		require.NotEmpty(t, values)
		for _, v := range values {
			query := fmt.Sprintf("SELECT count(*) AS n FROM a.t WHERE %s = %s", f.Name, fmt.Sprintf(read, v))
			in := &watched{Input: lakesql.New(lake, nil).DirectFrom(1)}
			got, want := run(t, engine, in, query), run(t, streams, lakesql.New(lake, nil), query)
			require.Equal(t, want, got, "%.150s", query)
			require.NotEqual(t, []string{"0"}, want, "%.150s", query)
			direct += in.direct
		}
	}
	require.Positive(t, direct)
}
