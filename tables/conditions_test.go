package tables_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/internal/random"
)

// subject is a column that conditions are about. Values of a file lie near its number, so that bounds can tell files apart.
type subject struct {
	name, notation string
	partitions     []string                           // terms
	value          func(r *rand.Rand, near int64) any // as package random has it
	constant       func(r *rand.Rand, near int64) string
}

// edge is a value at an end of a type, now and then, and never in the files between, which bounds are to tell apart.
func edge(r *rand.Rand, near, v, least, most int64) int64 {
	if near%5 != 0 {
		return v
	}
	switch r.IntN(12) {
	case 0:
		return least + r.Int64N(12)
	case 1:
		return most - r.Int64N(12)
	}
	return v
}

var odd = []float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0, math.MaxFloat32, 0.1}

func floatNear(r *rand.Rand, near int64) float64 {
	if near%5 == 0 && r.IntN(4) == 0 {
		return odd[r.IntN(len(odd))]
	}
	return float64(near-2) + float64(r.IntN(8))/4 + 0.1*float64(r.IntN(2))
}

func floatText(r *rand.Rand, near int64) string {
	v := floatNear(r, near)
	if v != v || math.IsInf(v, 0) {
		return fmt.Sprintf("double(%q)", strings.ToLower(fmt.Sprint(v)))
	}
	return fmt.Sprintf("%f", v)
}

func idNear(near int64, r *rand.Rand) uuid.UUID {
	return uuid.UUID{0: byte(near * 40), 8: byte(r.IntN(256)), 15: byte(r.IntN(3))}
}

const second = int64(time.Second)

func stampText(ns int64, digits string) string {
	return time.Unix(0, ns).UTC().Format("2006-01-02 15:04:05" + digits)
}

var subjects = []subject{
	{"i", "int", []string{"i", "truncate(10, i)", "bucket(3, i)"},
		func(r *rand.Rand, near int64) any {
			return edge(r, near, near*10+r.Int64N(15), math.MinInt32, math.MaxInt32)
		},
		func(r *rand.Rand, near int64) string {
			return fmt.Sprint(edge(r, near, near*10+r.Int64N(15), math.MinInt32, math.MaxInt32)) + []string{"", "", ".5", ".0"}[r.IntN(4)]
		}},
	{"l", "long", []string{"truncate(10, l)", "truncate(7, l)"},
		func(r *rand.Rand, near int64) any {
			return edge(r, near, edge(r, near, near*10+r.Int64N(15), 1<<53-6, 1<<53+6), math.MinInt64, math.MaxInt64)
		},
		func(r *rand.Rand, near int64) string {
			v := edge(r, near, edge(r, near, near*10+r.Int64N(15), 1<<53-6, 1<<53+6), math.MinInt64+1, math.MaxInt64)
			return fmt.Sprint(v) + []string{"", "", ".5", ".0"}[r.IntN(4)]
		}},
	{"f", "float", []string{"f"}, func(r *rand.Rand, near int64) any { return floatNear(r, near) }, floatText},
	{"d", "double", nil, func(r *rand.Rand, near int64) any { return floatNear(r, near) }, floatText},
	{"p", "decimal(9,2)", []string{"truncate(50, p)", "p"},
		func(r *rand.Rand, near int64) any {
			return decimal128.FromI64(edge(r, near, near*100+r.Int64N(150), -999_999_999, 999_999_999))
		},
		func(r *rand.Rand, near int64) string {
			return fmt.Sprintf("%s%d.%0*d", []string{"", "-"}[r.IntN(8)/7], near+r.Int64N(3), 1+r.IntN(4), r.IntN(10))
		}},
	{"w", "decimal(38,4)", nil,
		func(r *rand.Rand, near int64) any {
			return decimal128.FromI64(near*100_000 + r.Int64N(3)*5000 + r.Int64N(2)).Mul(decimal128.FromI64(1 << 40))
		},
		func(r *rand.Rand, near int64) string {
			return fmt.Sprintf([]string{"%d", "%d.5", "double(\"%d\")"}[r.IntN(3)], (near*10+r.Int64N(3))<<40+r.Int64N(2))
		}},
	{"s", "string", []string{"truncate(3, s)", "s"},
		func(r *rand.Rand, near int64) any {
			return fmt.Sprintf("n%d%s", near, []string{"", "a", "b", strings.Repeat("long", 8), "ü\U0010FFFF"}[r.IntN(5)])
		},
		func(r *rand.Rand, near int64) string {
			return fmt.Sprintf("%q", fmt.Sprintf("n%d%s", near, []string{"", "a", strings.Repeat("long", 8), "ü"}[r.IntN(4)]))
		}},
	{"u", "uuid", []string{"bucket(4, u)", "u"}, func(r *rand.Rand, near int64) any { return idNear(near, r) },
		func(r *rand.Rand, near int64) string { return fmt.Sprintf("%q", idNear(near, r)) }},
	{"n", "timestamp_ns", []string{"days(n)", "hours(n)"},
		func(r *rand.Rand, near int64) any { return near*36_000*second + r.Int64N(3)*1_000 + r.Int64N(3) },
		func(r *rand.Rand, near int64) string {
			return fmt.Sprintf("%q", stampText(near*36_000*second+r.Int64N(3)*1_000+r.Int64N(3), []string{".000000000", ".000000", ""}[r.IntN(3)]))
		}},
	{"a", "timestamptz", []string{"days(a)", "months(a)"},
		func(r *rand.Rand, near int64) any { return near*36_000_000_000 + r.Int64N(3)*1000 },
		func(r *rand.Rand, near int64) string {
			return fmt.Sprintf("%q", stampText(near*36_000*second+r.Int64N(3)*second/1000, ".000000Z"))
		}},
	{"y", "date", []string{"y", "years(y)"}, func(r *rand.Rand, near int64) any { return near*3 + r.Int64N(4) },
		func(r *rand.Rand, near int64) string {
			if r.IntN(3) == 0 {
				return fmt.Sprintf("timestamp(%q)", stampText((near*3+r.Int64N(4))*24*3600*second+second*r.Int64N(2), ""))
			}
			return fmt.Sprintf("%q", stampText((near*3+r.Int64N(4))*24*3600*second, "")[:10])
		}},
	{"m", "time", nil, func(r *rand.Rand, near int64) any { return (near+1)*3_600_000_000 + r.Int64N(3) },
		func(r *rand.Rand, near int64) string {
			return fmt.Sprintf("%q", stampText((near+1)*3600*second+r.Int64N(3)*1000, ".000000")[11:])
		}},
}

// conditional is a random condition about some subjects.
func conditional(r *rand.Rand, about []subject, files, depth int) string {
	if depth > 0 && r.IntN(2) == 0 {
		left, right := conditional(r, about, files, depth-1), conditional(r, about, files, depth-1)
		return fmt.Sprintf([]string{"(%s and %s)", "(%s or %s)", "not (%s and %s)", "not (%s or %s)"}[r.IntN(4)], left, right)
	}
	s, near := about[r.IntN(len(about))], func() int64 { return r.Int64N(int64(files)) }
	switch r.IntN(10) {
	case 0:
		return s.name + []string{" == null", " != null"}[r.IntN(2)]
	case 1:
		return fmt.Sprintf("%s in [%s, %s]", s.name, s.constant(r, near()), s.constant(r, near()))
	case 2:
		return fmt.Sprintf("%s < %s", s.constant(r, near()), s.name)
	}
	return fmt.Sprintf("%s %s %s", s.name, []string{"<", "<=", ">", ">=", "==", "!="}[r.IntN(6)], s.constant(r, near()))
}

// TestConditionsLeaveOutNothing holds what statistics, partitions and pages leave of a table for random conditions over all types
// that have an order against the condition itself over every row, at the ends of types, with NaNs, zeros of both signs and constants
// between two values of the column; and then what a deletion leaves.
func TestConditionsLeaveOutNothing(t *testing.T) {
	lake := newLake(t)
	skipped := map[string]int64{} // files, by column, for conditions about it alone
	random.Seeds(t, 10, func(t *testing.T, run *random.Run) {
		c := &conditions{t: t, Run: run, files: 6}
		c.fill(lake)
		for n := range 48 {
			about := subjects
			if n%2 == 0 {
				at := run.IntN(len(subjects))
				about = subjects[at : at+1]
			}
			text := conditional(run.Rand, about, c.files, 2*(n%2))
			pruned := c.agree(text)
			if len(about) == 1 {
				skipped[about[0].name] += pruned
			}
		}
		c.delete(conditional(run.Rand, subjects, c.files, 2))
	})
	if !t.Failed() && !testing.Short() && os.Getenv("VARVE_SEED") == "" {
		for _, s := range subjects {
			require.Positive(t, skipped[s.name], "files are left out by %s", s.name)
		}
	}
}

// conditions is a table under test.
type conditions struct {
	*random.Run
	t     *testing.T
	tbl   *tables.Table
	files int
}

func (c *conditions) fill(lake *tables.Lake) {
	var columns []random.Column
	fields := []arrow.Field{{Name: "k", Type: arrow.PrimitiveTypes.Int64}}
	for _, s := range subjects {
		kind, err := columntype.Parse(s.notation)
		require.NoError(c.t, err)
		fields = append(fields, arrow.Field{Name: s.name, Type: kind, Nullable: true})
	}
	for _, f := range fields {
		columns = append(columns, random.Column{Name: f.Name, Kind: &random.Kind{Type: f.Type}})
	}
	def := tables.Definition{Name: fmt.Sprint("ns.c", c.Seed), Schema: arrow.NewSchema(fields, nil), FormatVersion: 3, Properties: map[string]string{}}
	if s := subjects[c.IntN(len(subjects))]; len(s.partitions) > 0 && c.IntN(4) > 0 {
		def.PartitionBy = []string{s.partitions[c.IntN(len(s.partitions))]}
	}
	c.Note("partitioned by %v", def.PartitionBy)
	c.tbl = ensure(c.t, lake, def)
	for near := range int64(c.files) {
		var rows [][]any
		for i := range int64(20) {
			row := []any{near*100 + i}
			for _, s := range subjects {
				row = append(row, random.Maybe(c.Rand, s.value(c.Rand, near)))
			}
			rows = append(rows, row)
		}
		batch := random.Batch(columns, rows)
		r, err := array.NewRecordReader(batch.Schema(), []arrow.RecordBatch{batch})
		require.NoError(c.t, err)
		staged, err := c.tbl.Stage(ctx, r, tables.StageOptions{})
		require.NoError(c.t, err)
		_, err = c.tbl.Append(ctx, tables.CommitOptions{ID: commit.ID{Writer: "test", Token: fmt.Sprint(near)}}, staged)
		require.NoError(c.t, err)
		c.tbl = reload(c.t, c.tbl)
	}
}

// keys are those of the rows that a filter leaves, and of them those for which the condition holds.
func (c *conditions) keys(rows tables.Rows, filter iceberg.BooleanExpression) (all, holds []int64, stats tables.ReadStats) {
	in, err := c.tbl.Scan(ctx, tables.ScanOptions{Filter: filter})
	require.NoError(c.t, err)
	defer in.Release()
	for in.Next() {
		b := in.RecordBatch()
		fields := slices.Clone(b.Schema().Fields())
		for i := range fields {
			fields[i].Name = "t." + fields[i].Name
		}
		result, err := rows.Where.Eval(context.Background(), array.NewRecordBatch(arrow.NewSchema(fields, nil), b.Columns(), b.NumRows()))
		require.NoError(c.t, err)
		for i, key := range b.Column(0).(*array.Int64).Int64Values() {
			all = append(all, key)
			if truth, ok := result.(*array.Boolean); ok && truth.IsValid(i) && truth.Value(i) {
				holds = append(holds, key)
			}
		}
	}
	require.NoError(c.t, in.Err())
	slices.Sort(all)
	slices.Sort(holds)
	return all, holds, in.Stats()
}

// agree compares, and tells how many files were left out.
func (c *conditions) agree(text string) int64 {
	rows, err := rowsWhere(c.tbl, text, "")
	require.NoError(c.t, err, text)
	all, want, _ := c.keys(rows, nil)
	_, got, stats := c.keys(rows, rows.May)
	require.Equal(c.t, want, got, "%s, by %v", text, rows.May)
	rest, _, _ := c.keys(rows, rows.Rest)
	for _, key := range all {
		_, holds := slices.BinarySearch(want, key)
		_, there := slices.BinarySearch(rest, key)
		require.True(c.t, holds || there, "%s does not hold for row %d, which %v leaves out", text, key, rows.Rest)
	}
	whole, parts, err := c.tbl.FilesWith(ctx, rows)
	require.NoError(c.t, err)
	require.LessOrEqual(c.t, whole.Rows, int64(len(want)), text)
	require.GreaterOrEqual(c.t, whole.Rows+parts.Rows, int64(len(want)), text)
	return stats.FilesPrunedByValue + stats.FilesPrunedByPart
}

// delete deletes what a condition holds for, which leaves the others.
func (c *conditions) delete(text string) {
	rows, err := rowsWhere(c.tbl, text, "")
	require.NoError(c.t, err, text)
	all, gone, _ := c.keys(rows, nil)
	_, err = c.tbl.Delete(ctx, token("delete", c.Seed), rows)
	require.NoError(c.t, err, text)
	c.tbl = reload(c.t, c.tbl)
	left, _, _ := c.keys(rows, nil)
	want := slices.DeleteFunc(all, func(key int64) bool { _, is := slices.BinarySearch(gone, key); return is })
	require.Equal(c.t, len(want), len(left), text)
	for i := range want {
		require.Equal(c.t, want[i], left[i], text)
	}
}
