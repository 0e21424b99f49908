package sql_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms/sql"
)

var errStorage = errors.New("storage went away")

// longTable has n batches of 10,000 rows: id counts up, price is a double, text repeats.
func longTable(t testing.TB, n int) *memoryTable {
	t.Helper()
	table := &memoryTable{schema: fields(t, "id: long; price: double; who: string")}
	for i := range n {
		b := array.NewRecordBuilder(memory.DefaultAllocator, table.schema)
		for k := range 10_000 {
			id := int64(i*10_000 + k)
			b.Field(0).(*array.Int64Builder).Append(id)
			b.Field(1).(*array.Float64Builder).Append(1 / float64(id+1))
			b.Field(2).(*array.StringBuilder).Append(fmt.Sprintf("customer number %d of many", id))
		}
		table.batches = append(table.batches, b.NewRecordBatch())
	}
	return table
}

// TestNoRowIsLostToAnError breaks the input at its start, midway and at its end: no query may take it for the end.
func TestNoRowIsLostToAnError(t *testing.T) {
	e := newEngine(t, sql.Options{})
	const batches = 12
	whole, small := longTable(t, batches), longTable(t, 1)
	for _, query := range []string{
		"SELECT * FROM s.big",
		"SELECT count(*) AS n FROM s.big",
		"SELECT who, sum(price) AS p FROM s.big GROUP BY who",
		"SELECT id FROM s.big ORDER BY price",
		"SELECT a.id FROM s.small a JOIN s.big b ON a.id = b.id",
		"SELECT a.id FROM s.big a JOIN s.small b ON a.id = b.id",
		"SELECT id FROM s.small WHERE id NOT IN (SELECT id FROM s.big)",
		"SELECT id FROM s.small UNION ALL SELECT id FROM s.big",
		"WITH x AS MATERIALIZED (SELECT id FROM s.big) SELECT a.id FROM x a JOIN x b USING (id)",
		"SELECT (SELECT max(id) FROM s.big) AS m",
		"SELECT id, row_number() OVER (ORDER BY id) AS n FROM s.big",
	} {
		for _, failAt := range []int{0, 1, batches / 2, batches} {
			big := &memoryTable{schema: whole.schema, batches: whole.batches, err: errStorage, failAt: failAt}
			in := &lake{tables: map[string]*memoryTable{"s.big": big, "s.small": small}}
			r, err := e.Run(t.Context(), query, in)
			require.NoError(t, err)
			_, err = drain(r)
			require.ErrorIs(t, err, errStorage, "%s, failing before batch %d", query, failAt)
			require.ErrorContains(t, err, "read s.big: storage went away")
			require.Zero(t, in.open, query)
		}
	}
	require.Equal(t, []string{"1"}, rows(t, e, &lake{}, "SELECT 1 AS one"), "the engine goes on")
}

func TestScanThatDoesNotOpen(t *testing.T) {
	e := newEngine(t, sql.Options{})
	big := longTable(t, 1)
	big.openErr = errStorage
	r, err := e.Run(t.Context(), "SELECT count(*) AS n FROM s.big", &lake{tables: map[string]*memoryTable{"s.big": big}})
	require.NoError(t, err)
	_, err = drain(r)
	require.ErrorIs(t, err, errStorage)
}

// swapped is an Input that breaks its promise about columns.
type swapped struct {
	*lake
	columns []string
	panics  bool
}

func (s *swapped) Scan(ctx context.Context, table string, v sql.Version, columns []string, f []sql.Filter, limit int64) (array.RecordReader, error) {
	if s.panics {
		panic("a bug of the input")
	}
	return s.lake.Scan(ctx, table, v, s.columns, f, limit)
}

func TestInputThatBreaksItsPromise(t *testing.T) {
	e := newEngine(t, sql.Options{})
	in := &lake{tables: map[string]*memoryTable{"s.t": longTable(t, 1)}}
	for _, c := range []struct {
		in   *swapped
		want string
	}{
		{&swapped{lake: in, columns: []string{"price"}}, "got 1 columns, asked for 2"},
		{&swapped{lake: in, columns: []string{"price", "id"}}, `got column "price" of type float64, expected "id" of type int64`},
		{&swapped{lake: in, panics: true}, "panic: a bug of the input"},
	} {
		r, err := e.Run(t.Context(), "SELECT sum(id) AS a, sum(price) AS b FROM s.t", c.in)
		require.NoError(t, err)
		_, err = drain(r)
		require.ErrorContains(t, err, c.want)
	}
}

// TestErrorAfterManyRows fails in a row that comes long after the first batches were given.
func TestErrorAfterManyRows(t *testing.T) {
	e := newEngine(t, sql.Options{})
	in := &lake{tables: map[string]*memoryTable{"s.big": longTable(t, 40)}}
	for query, want := range map[string]string{
		"SELECT CAST(CASE WHEN id = 390000 THEN 'x' ELSE '1' END AS INT) AS n FROM s.big":       "could not convert string 'x' to INT32",
		"SELECT id * CASE WHEN id = 390000 THEN 9223372036854775807 ELSE 1 END AS n FROM s.big": "overflow in multiplication",
		"SELECT error('row ' || id) AS n FROM s.big WHERE id = 390000":                          "row 390000",
	} {
		r, err := e.Run(t.Context(), query, in)
		require.NoError(t, err)
		n, err := drain(r)
		var typed *sql.Error
		require.ErrorAs(t, err, &typed, query)
		require.Equal(t, sql.Data, typed.Kind)
		require.ErrorContains(t, err, want)
		require.Less(t, n, int64(400_000))
	}
}

func TestCancel(t *testing.T) {
	e := newEngine(t, sql.Options{})
	in := &lake{tables: map[string]*memoryTable{"s.big": longTable(t, 10)}}
	for _, query := range []string{
		"SELECT count(*) AS n FROM range(100000000000) a",
		"SELECT a.id FROM s.big a, s.big b, s.big c WHERE a.price + b.price + c.price > 1000",
		"SELECT sum(a.id) AS n FROM s.big a, s.big b, s.big c",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := e.Run(ctx, query, in)
		require.NoError(t, err)
		began := time.Now()
		time.AfterFunc(50*time.Millisecond, cancel)
		_, err = drain(r)
		require.ErrorIs(t, err, context.Canceled, query)
		require.Less(t, time.Since(began), time.Minute, "%s: it would go on for hours", query)
		require.Zero(t, in.open)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := e.Run(ctx, "SELECT 1 AS one", in)
	require.ErrorIs(t, err, context.Canceled)
	_, err = e.Analyze(ctx, "SELECT 1 AS one", in)
	require.ErrorIs(t, err, context.Canceled)
}

// blocked is an Input whose rows never come, until its context ends.
type blocked struct {
	*lake
	waiting chan struct{}
}

func (b *blocked) Scan(ctx context.Context, table string, v sql.Version, columns []string, f []sql.Filter, limit int64) (array.RecordReader, error) {
	close(b.waiting)
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestCancelWhileTheInputWaits(t *testing.T) {
	e := newEngine(t, sql.Options{})
	in := &blocked{&lake{tables: map[string]*memoryTable{"s.big": longTable(t, 1)}}, make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := e.Run(ctx, "SELECT count(*) AS n FROM s.big", in)
	require.NoError(t, err)
	go func() {
		<-in.waiting
		cancel()
	}()
	_, err = drain(r)
	require.ErrorIs(t, err, context.Canceled)
}

func TestReleaseBeforeTheEnd(t *testing.T) {
	e := newEngine(t, sql.Options{})
	in := &lake{tables: map[string]*memoryTable{"s.big": longTable(t, 60)}}
	for _, batches := range []int{0, 1, 3} {
		r, err := e.Run(t.Context(), "SELECT * FROM s.big", in)
		require.NoError(t, err)
		for range batches {
			require.True(t, r.Next())
		}
		r.Release()
		require.Zero(t, in.open)
	}
	require.Equal(t, []string{"0"}, rows(t, e, in, "SELECT id FROM s.big LIMIT 1"))
	require.Zero(t, in.open)
}

// TestBatchesOutliveTheReader: what was retained stays right when the query, its connection and engine are gone.
func TestBatchesOutliveTheReader(t *testing.T) {
	e, err := sql.Open(sql.Options{TempDir: t.TempDir()})
	require.NoError(t, err)
	in := &lake{tables: map[string]*memoryTable{"s.big": longTable(t, 2)}}
	r, err := e.Run(t.Context(), "SELECT who FROM s.big", in)
	require.NoError(t, err)
	var kept []arrow.RecordBatch
	for r.Next() {
		r.RecordBatch().Retain()
		kept = append(kept, r.RecordBatch())
	}
	require.NoError(t, r.Err())
	r.Release()
	require.NoError(t, e.Close())
	_, err = e.Run(t.Context(), "SELECT 1 AS one", in)
	require.ErrorContains(t, err, "closed")
	n := 0
	for _, batch := range kept {
		for i := range int(batch.NumRows()) {
			require.Equal(t, fmt.Sprintf("customer number %d of many", n), batch.Column(0).ValueStr(i))
			n++
		}
	}
	require.Equal(t, 20_000, n)
}

func TestSpillsWithinItsLimit(t *testing.T) {
	dir := t.TempDir()
	e := newEngine(t, sql.Options{MemoryLimit: 32 << 20, TempDir: dir, Threads: 2})
	in := &lake{tables: map[string]*memoryTable{"s.big": longTable(t, 100)}}
	r, err := e.Run(t.Context(), "SELECT who, id FROM s.big ORDER BY who DESC, id", in)
	require.NoError(t, err)
	require.True(t, r.Next())
	spilled, err := filepath.Glob(filepath.Join(dir, "varve-sql-*", "spill", "*"))
	require.NoError(t, err)
	require.NotEmpty(t, spilled, "a million rows of strings do not fit 32 MiB")
	before, n := r.RecordBatch().Column(0).ValueStr(0), int64(0)
	for more := true; more; more = r.Next() {
		n += r.RecordBatch().NumRows()
		first := r.RecordBatch().Column(0).ValueStr(0)
		require.LessOrEqual(t, first, before)
		before = first
	}
	require.NoError(t, r.Err())
	require.Equal(t, int64(1_000_000), n)
	r.Release()
	require.NoError(t, e.Close())
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestOutOfMemoryIsSaid(t *testing.T) {
	e := newEngine(t, sql.Options{MemoryLimit: 4 << 20, Threads: 1})
	in := &lake{tables: map[string]*memoryTable{"s.big": longTable(t, 30)}}
	r, err := e.Run(t.Context(), "SELECT list(who ORDER BY price) AS all_of_them FROM s.big", in)
	if err == nil {
		_, err = drain(r)
	}
	var typed *sql.Error
	require.ErrorAs(t, err, &typed)
	require.Equal(t, sql.Memory, typed.Kind, err.Error())
	require.Equal(t, []string{"1"}, rows(t, e, in, "SELECT 1 AS one"), "the engine goes on")
}

func TestQueriesAtOnce(t *testing.T) {
	e := newEngine(t, sql.Options{})
	var wg sync.WaitGroup
	whole := longTable(t, 8)
	for i := range 8 {
		wg.Go(func() {
			// Each has another table under the same name.
			in := &lake{tables: map[string]*memoryTable{"s.t": {schema: whole.schema, batches: whole.batches[:i+1]}}}
			for range 5 {
				got := rows(t, e, in, "SELECT count(*) AS n, max(id) AS m FROM s.t")
				want := fmt.Sprintf("%d %d", (i+1)*10_000, (i+1)*10_000-1)
				if len(got) != 1 || got[0] != want {
					t.Errorf("table of %d batches: got %v", i+1, got)
				}
			}
		})
	}
	wg.Wait()
}

// TestSameEveryTime: order of rows and sums of doubles, also with threads.
func TestSameEveryTime(t *testing.T) {
	e := newEngine(t, sql.Options{Threads: 4})
	in := &lake{tables: map[string]*memoryTable{"s.big": longTable(t, 30)}}
	query := "SELECT id % 7 AS k, sum(price) AS p, list(id)[1:3] AS l, any_value(who) AS w FROM s.big GROUP BY k ORDER BY k"
	want := rows(t, e, in, query)
	for range 4 {
		require.Equal(t, want, rows(t, e, in, query))
	}
	r, err := e.Run(t.Context(), "SELECT id FROM s.big WHERE id % 3 = 0", in)
	require.NoError(t, err)
	defer r.Release()
	next := int64(0)
	for r.Next() {
		for _, id := range r.RecordBatch().Column(0).(*array.Int64).Int64Values() {
			require.Equal(t, next, id)
			next += 3
		}
	}
	require.NoError(t, r.Err())
}
