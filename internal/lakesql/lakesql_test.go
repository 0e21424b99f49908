package lakesql_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
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
	"github.com/varve-lake/varve/transforms/sql"
)

// plain is the lake without pushdown: all rows, whatever is asked for. It counts what it was told it may leave out.
type plain struct {
	*lakesql.Input
	filters, limits int
}

func (p *plain) Scan(ctx context.Context, table string, v sql.Version, columns []string, filters []sql.Filter, limit int64) (array.RecordReader, error) {
	p.filters += len(filters)
	if limit > 0 {
		p.limits++
	}
	return p.Input.Scan(ctx, table, v, columns, nil, 0)
}

var schema = arrow.NewSchema([]arrow.Field{
	{Name: "k", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "n", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
	{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true},
	{Name: "d", Type: arrow.FixedWidthTypes.Date32, Nullable: true},
	{Name: "p", Type: &arrow.Decimal128Type{Precision: 9, Scale: 2}, Nullable: true},
	{Name: "u", Type: extensions.NewUUIDType(), Nullable: true},
	{Name: "x", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
	{Name: "b", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
}, nil)

func fill(t *testing.T, lake *tables.Lake, rng *rand.Rand) {
	ctx := context.Background()
	tbl, _, err := lake.Ensure(ctx, tables.Definition{Name: "a.t", Schema: schema, PartitionBy: []string{"truncate(2, s)"},
		Properties: map[string]string{"write.parquet.row-group-limit": "40"}})
	require.NoError(t, err)
	for f := range 5 {
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		for i := range 80 {
			id := int64(f*80 + i)
			for c, add := range []func(){
				func() { b.Field(0).(*array.Int64Builder).Append(id) },
				func() { b.Field(1).(*array.Int32Builder).Append(int32(rng.IntN(20))) },
				func() {
					b.Field(2).(*array.StringBuilder).Append([]string{"", "a", "ab", "it's", "zürich"}[rng.IntN(5)])
				},
				func() { b.Field(3).(*array.Date32Builder).Append(arrow.Date32(19000 + rng.IntN(9))) },
				func() { b.Field(4).(*array.Decimal128Builder).Append(decimal128.FromI64(int64(rng.IntN(400) - 100))) },
				func() { b.Field(5).(*extensions.UUIDBuilder).Append(uuid.UUID{0: byte(rng.IntN(4) * 64)}) },
				func() {
					b.Field(6).(*array.Float64Builder).Append([]float64{0, 0.5, 1, 1.5, 2, 2.5, math.Inf(1), math.NaN()}[rng.IntN(8)])
				},
				func() { b.Field(7).(*array.BooleanBuilder).Append(rng.IntN(2) == 0) },
			} {
				if rng.IntN(6) == 0 {
					b.Field(c).AppendNull()
				} else {
					add()
				}
			}
		}
		r, err := array.NewRecordReader(schema, []arrow.RecordBatch{b.NewRecordBatch()})
		require.NoError(t, err)
		staged, err := tbl.Stage(ctx, r, tables.StageOptions{})
		require.NoError(t, err)
		_, err = tbl.Append(ctx, tables.CommitOptions{ID: commit.ID{Writer: "test", Token: fmt.Sprint(f)}}, staged)
		require.NoError(t, err)
	}
}

// condition is a random one, most of whose parts can be pushed down.
func condition(rng *rand.Rand, of string, depth int) string {
	if depth > 0 && rng.IntN(2) == 0 {
		op := []string{"AND", "AND", "OR"}[rng.IntN(3)]
		c := fmt.Sprintf("(%s %s %s)", condition(rng, of, depth-1), op, condition(rng, of, depth-1))
		if rng.IntN(5) == 0 {
			c = "NOT " + c
		}
		return c
	}
	values := map[string]string{
		"k": fmt.Sprint(rng.IntN(420)), "n": fmt.Sprint(rng.IntN(22)), "s": []string{"''", "'a'", "'it''s'", "'zürich'", "'b'"}[rng.IntN(5)],
		"d": fmt.Sprintf("DATE '2022-01-%02d'", 8+rng.IntN(10)), "p": []string{"1.25", "0", "-0.5", "1.255", "3"}[rng.IntN(5)],
		"u": fmt.Sprintf("'%s'::UUID", uuid.UUID{0: byte(rng.IntN(4) * 64)}), "x": []string{"0.5", "2", "4.0"}[rng.IntN(3)],
	}
	column := []string{"k", "n", "s", "d", "p", "u", "x", "b"}[rng.IntN(8)]
	name := of + column
	if column == "b" {
		return []string{name, "NOT " + name, name + " IS NULL"}[rng.IntN(3)]
	}
	switch rng.IntN(10) {
	case 8:
		return of + "s LIKE " + []string{"'%'", "'z%'", "'zü%'", "'it''s%'"}[rng.IntN(4)]
	case 9:
		list := []string{"-1", "9", "17", "33", "36", "77", "101", "104", "203", "NULL"}
		return fmt.Sprintf("%s IN (%s)", of+"k", strings.Join(append(list[:7+rng.IntN(4)], values["k"], values["k"]), ", "))
	case 0:
		return name + " IS NULL"
	case 1:
		return name + " IS NOT NULL"
	case 2:
		return fmt.Sprintf("%s IN (%s, %s)", name, values[column], values[column])
	case 3:
		return fmt.Sprintf("%s BETWEEN %s AND %s", name, values[column], values[column])
	}
	return fmt.Sprintf("%s %s %s", name, []string{"=", "=", "<", "<=", ">", ">=", "<>"}[rng.IntN(7)], values[column])
}

func query(rng *rand.Rand) (text string, ordered bool) {
	switch rng.IntN(6) {
	case 0:
		return fmt.Sprintf("SELECT count(*) AS n, sum(k) AS k, min(s) AS s FROM a.t WHERE %s", condition(rng, "", 2)), false
	case 1:
		return fmt.Sprintf("SELECT n, count(*) AS c FROM a.t WHERE %s GROUP BY n", condition(rng, "", 2)), false
	case 2:
		return fmt.Sprintf("SELECT l.k, r.p FROM a.t l LEFT JOIN (SELECT * FROM a.t WHERE %s) r ON l.k = r.k AND %s WHERE %s", condition(rng, "", 1), condition(rng, "r.", 1), condition(rng, "l.", 1)), false
	case 3:
		return fmt.Sprintf("SELECT count(*) AS n FROM (SELECT * FROM a.t WHERE %s LIMIT %d)", condition(rng, "", 2), 1+rng.IntN(60)), false
	case 4:
		return fmt.Sprintf("SELECT k FROM a.t WHERE %s ORDER BY k LIMIT %d", condition(rng, "", 2), 1+rng.IntN(20)), true
	}
	return fmt.Sprintf("SELECT * FROM a.t WHERE %s", condition(rng, "", 3)), false
}

func run(t *testing.T, e *sql.Engine, in sql.Input, text string) []string {
	t.Helper()
	rows, err := e.Run(context.Background(), text, in)
	require.NoError(t, err, text)
	defer rows.Release()
	out := []string{}
	for rows.Next() {
		b := rows.RecordBatch()
		for i := range int(b.NumRows()) {
			var cells []string
			for _, c := range b.Columns() {
				cells = append(cells, c.ValueStr(i))
			}
			out = append(out, strings.Join(cells, "|"))
		}
	}
	require.NoError(t, rows.Err(), text)
	return out
}

// What is pushed down into scans changes no result.
func TestPushdownChangesNothing(t *testing.T) {
	first, seeds := uint64(0), uint64(4)
	if text := os.Getenv("VARVE_SEED"); text != "" {
		var err error
		first, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
		seeds = 1
	}
	engine, err := sql.Open(sql.Options{TempDir: t.TempDir(), Threads: 2})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	told, read := &plain{}, 0
	for seed := first; seed < first+seeds; seed++ {
		rng := rand.New(rand.NewPCG(seed, 11))
		lake, err := tables.OpenLake(t.Context(), tables.Local(t.TempDir()))
		require.NoError(t, err)
		fill(t, lake, rng)
		files := openEngine(t, lakesql.Folders(lake))
		for range 60 {
			text, ordered := query(rng)
			told.Input = lakesql.New(lake, nil)
			want, got := run(t, engine, told, text), run(t, engine, lakesql.New(lake, nil), text)
			direct := &watched{Input: lakesql.New(lake, nil).DirectFrom(1)}
			also := run(t, files, direct, text)
			read += direct.direct
			if !ordered {
				slices.Sort(want)
				slices.Sort(got)
				slices.Sort(also)
			}
			require.Equal(t, want, got, "VARVE_SEED=%d: %s", seed, text)
			require.Equal(t, want, also, "files read by DuckDB itself, VARVE_SEED=%d: %s", seed, text)
		}
		require.NoError(t, lake.Close())
	}
	require.Positive(t, told.filters, "else nothing was tested")
	require.Positive(t, read, "else nothing was tested")
}
