package tables_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/rowfilter"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/internal/script"
	"github.com/varve-lake/varve/tables/merge"
)

// delete removes the rows that where names and, if lines are given, adds those.
func (w *writes) delete(t *testing.T, c *script.Command) string {
	tbl := w.table(t)
	rows, err := rowsWhere(tbl, c.Args["where"], c.Args["strategy"])
	if err != nil {
		return errorText(err)
	}
	if len(c.Lines()) == 0 {
		result, err := tbl.Delete(context.Background(), options(c), rows)
		return hidden(resultText(result, err))
	}
	s, err := stage(t, tbl, c.Lines())
	require.NoError(t, err)
	result, err := tbl.ReplaceWhere(context.Background(), options(c), rows, s)
	return hidden(resultText(result, err))
}

func rowsWhere(tbl *tables.Table, condition, strategy string) (tables.Rows, error) {
	schema, err := tbl.Schema()
	if err != nil {
		return tables.Rows{}, err
	}
	f, err := rowfilter.Compile(condition, schema)
	if err != nil {
		return tables.Rows{}, err
	}
	return tables.Rows{Where: f, May: f.May, Rest: f.Rest, Strategy: merge.Strategy(strategy)}, nil
}

// condition is a random condition and what it is of a row: 1 true, 0 false, -1 unknown.
type condition struct {
	text string
	of   func(row [3]*int) int
}

func randomCondition(r *rand.Rand, depth int) condition {
	names := []string{"a", "b", "c"}
	switch k := r.IntN(8); {
	case depth > 0 && k < 2:
		x, y := randomCondition(r, depth-1), randomCondition(r, depth-1)
		return condition{"(" + x.text + " and " + y.text + ")", func(row [3]*int) int { return and(x.of(row), y.of(row)) }}
	case depth > 0 && k < 4:
		x, y := randomCondition(r, depth-1), randomCondition(r, depth-1)
		return condition{"(" + x.text + " or " + y.text + ")", func(row [3]*int) int { return not(and(not(x.of(row)), not(y.of(row)))) }}
	case depth > 0 && k == 4:
		x := randomCondition(r, depth-1)
		return condition{"not (" + x.text + ")", func(row [3]*int) int { return not(x.of(row)) }}
	case k == 5:
		c, negated := r.IntN(3), r.IntN(2)
		return condition{names[c] + []string{" == ", " != "}[negated] + "null", func(row [3]*int) int {
			if (row[c] == nil) == (negated == 0) {
				return 1
			}
			return 0
		}}
	}
	c, value, op := r.IntN(3), r.IntN(12), []string{"<", "<=", ">", ">=", "==", "!="}[r.IntN(6)]
	return condition{fmt.Sprintf("%s %s %d", names[c], op, value), func(row [3]*int) int {
		if row[c] == nil {
			return -1
		}
		x := *row[c]
		held := map[string]bool{"<": x < value, "<=": x <= value, ">": x > value, ">=": x >= value, "==": x == value, "!=": x != value}[op]
		if held {
			return 1
		}
		return 0
	}}
}

func not(x int) int {
	if x < 0 {
		return x
	}
	return 1 - x
}

func and(x, y int) int {
	switch {
	case x == 0 || y == 0:
		return 0
	case x < 0 || y < 0:
		return -1
	}
	return 1
}

// TestDeletesAgreeWithModel deletes by random conditions, from tables whose files' bounds say much of their rows. A
// failing seed is replayed with VARVE_SEED.
func TestDeletesAgreeWithModel(t *testing.T) {
	first, count := uint64(1), uint64(8)
	if seed, err := strconv.ParseUint(os.Getenv("VARVE_SEED"), 10, 64); err == nil {
		first, count = seed, 1
	}
	whole := 0
	for seed := first; seed < first+count; seed++ {
		r := rand.New(rand.NewPCG(seed, 9))
		lake := newLake(t)
		int32Field := func(name string) arrow.Field {
			return arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Int32, Nullable: true}
		}
		schema := arrow.NewSchema([]arrow.Field{int32Field("a"), int32Field("b"), int32Field("c")}, nil)
		tbl, _, err := lake.Ensure(context.Background(), tables.Definition{
			Name: "ns.t", Schema: schema, FormatVersion: 2 + r.IntN(2), PartitionBy: [][]string{nil, {"a"}, {"truncate(4, b)"}}[r.IntN(3)],
			Properties: map[string]string{"write.parquet.row-group-limit": "3", "read.split.target-size": "200"},
		})
		require.NoError(t, err)
		var rows [][3]*int
		for step := range 6 {
			id := commit.ID{Writer: "w", Token: strconv.Itoa(step)}
			var added [][3]*int
			base := r.IntN(8)
			for range r.IntN(12) {
				var row [3]*int
				for i := range row {
					if n := base + r.IntN(4); r.IntN(6) > 0 {
						row[i] = &n
					}
				}
				added = append(added, row)
			}
			if len(rows) == 0 || r.IntN(3) == 0 {
				s, err := stage(t, tbl, lines(added))
				require.NoError(t, err)
				_, err = tbl.Append(context.Background(), tables.CommitOptions{ID: id}, s)
				require.NoError(t, err)
				rows = append(rows, added...)
				continue
			}
			c := randomCondition(r, 2)
			meant, err := rowsWhere(tbl, c.text, []string{"copy-on-write", "merge-on-read"}[r.IntN(2)])
			require.NoError(t, err)
			before := int64(len(rows))
			rows = slices.DeleteFunc(rows, func(row [3]*int) bool { return c.of(row) == 1 })
			result, err := tbl.Delete(context.Background(), tables.CommitOptions{ID: id}, meant)
			require.NoError(t, err, "seed %d: %s", seed, c.text)
			require.Equal(t, before-int64(len(rows)), result.Deleted, "seed %d: %s", seed, c.text)
			require.Equal(t, result.Deleted > 0, result.SnapshotID != 0, "seed %d: %s", seed, c.text)
			if result.FilesRemoved > 0 && result.FilesScanned == 0 {
				whole++
			}
			want := lines(rows)
			slices.Sort(want)
			require.Equal(t, strings.Join(want, "\n"), strings.Join(read(t, tbl), "\n"), "seed %d: replay it with VARVE_SEED=%d: %s", seed, seed, c.text)
		}
	}
	if count > 1 {
		require.Positive(t, whole, "no file was ever removed without being read")
	}
}

func lines(rows [][3]*int) []string {
	var out []string
	for _, row := range rows {
		words := make([]string, 3)
		for i, v := range row {
			words[i] = "null"
			if v != nil {
				words[i] = strconv.Itoa(*v)
			}
		}
		out = append(out, strings.Join(words, " "))
	}
	return out
}

func read(t *testing.T, tbl *tables.Table) []string {
	rdr, err := tbl.Scan(context.Background(), tables.ScanOptions{})
	require.NoError(t, err)
	defer rdr.Release()
	var out []string
	for rdr.Next() {
		b := rdr.RecordBatch()
		for i := range int(b.NumRows()) {
			words := make([]string, b.NumCols())
			for c := range words {
				if words[c] = "null"; b.Column(c).IsValid(i) {
					words[c] = b.Column(c).ValueStr(i)
				}
			}
			out = append(out, strings.Join(words, " "))
		}
	}
	require.NoError(t, rdr.Err())
	slices.Sort(out)
	return out
}

// meddling is a condition that does something when it is first asked.
type meddling struct {
	merge.Expression
	once sync.Once
	do   func()
}

func (m *meddling) Eval(ctx context.Context, batch arrow.RecordBatch) (arrow.Array, error) {
	m.once.Do(m.do)
	return m.Expression.Eval(ctx, batch)
}

// Rows that others add, or files that they remove, while rows are being deleted, are seen by the next attempt.
func TestDeleteMeetsAnotherWriter(t *testing.T) {
	for _, strategy := range []string{"copy-on-write", "merge-on-read"} {
		for _, deletes := range []bool{true, false} { // the other writer, or does it only append?
			deleteMeetsAnotherWriter(t, strategy, deletes)
		}
	}
}

func deleteMeetsAnotherWriter(t *testing.T, strategy string, deletes bool) {
	lake := newLake(t)
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "a", Type: arrow.PrimitiveTypes.Int32, Nullable: true}, {Name: "b", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
	}, nil)
	tbl, _, err := lake.Ensure(context.Background(), tables.Definition{Name: "ns.t", Schema: schema, PartitionBy: []string{"a"}})
	require.NoError(t, err)
	add := func(token string, rows ...string) {
		other, err := lake.Table(context.Background(), "ns.t")
		require.NoError(t, err)
		s, err := stage(t, other, rows)
		require.NoError(t, err)
		_, err = other.Append(context.Background(), tables.CommitOptions{ID: commit.ID{Writer: "other", Token: token}}, s)
		require.NoError(t, err)
	}
	add("1", "1 1", "1 5", "2 7", "2 8", "3 1")
	rows, err := rowsWhere(tbl, "b > 4 or a == 2", strategy)
	require.NoError(t, err)
	rows.Where = &meddling{Expression: rows.Where, do: func() {
		add("2", "1 9", "2 2", "3 2")
		if !deletes {
			return
		}
		other, err := lake.Table(context.Background(), "ns.t")
		require.NoError(t, err)
		whole, err := rowsWhere(other, "a == 2 and b > 4", "")
		require.NoError(t, err)
		_, err = other.Delete(context.Background(), tables.CommitOptions{ID: commit.ID{Writer: "other", Token: "3"}}, whole)
		require.NoError(t, err)
	}}
	result, err := tbl.Delete(context.Background(), tables.CommitOptions{ID: commit.ID{Writer: "w", Token: "d"}}, rows)
	require.NoError(t, err)
	require.Equal(t, 1, result.Conflicts)
	want := 5 // 1 5, 1 9, 2 2, and 2 7 and 2 8 unless the other writer was first
	if deletes {
		want = 3
	}
	require.EqualValues(t, want, result.Deleted)
	require.Equal(t, []string{"1 1", "3 1", "3 2"}, read(t, tbl))
}

// Who writes a file anew takes its deletes along, in both formats: what it leaves deletes something.
func TestRewritingAFileTakesItsDeletesAlong(t *testing.T) {
	for _, format := range []int{2, 3} {
		t.Run(fmt.Sprint("v", format), func(t *testing.T) {
			def := pairs(t)
			def.FormatVersion = format
			tbl := ensure(t, newLake(t), def)
			put(t, tbl, token("w", 1), "a 1", "b 2", "c 3")
			put(t, tbl, token("w", 2), "d 4", "e 5")
			deleteRow(t, tbl, 'a')
			deleteRow(t, tbl, 'd')
			require.Len(t, deletesOf(t, tbl), 2)
			_, err := reload(t, tbl).Delete(ctx, token("d", 1), meant(t, tbl, `id == "b"`, merge.CopyOnWrite))
			require.NoError(t, err)
			require.Len(t, deletesOf(t, tbl), 1, "those of the other file")
			require.Equal(t, []string{"c 3", "e 5"}, contents(t, reload(t, tbl), tables.Version{}))
		})
	}
}
