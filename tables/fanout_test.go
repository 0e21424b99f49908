package tables_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/merge"
	"github.com/varve-lake/varve/transforms/expression"
)

// A MERGE that is shared out comes to the same rows and counts as one that is not, whatever others commit between its
// steps, and whatever becomes of single groups. VARVE_SEED=n replays one seed.
func TestAMergeInGroupsIsTheMerge(t *testing.T) {
	seeds := make([]uint64, 14)
	for i := range seeds {
		seeds[i] = uint64(i)
	}
	if s := os.Getenv("VARVE_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
		seeds = []uint64{n}
	}
	var total fanned
	for _, seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			w := newTwins(t, rand.New(rand.NewPCG(seed, 1)))
			defer func() {
				if t.Failed() {
					t.Logf("replay with VARVE_SEED=%d\n%s", seed, strings.Join(w.log, "\n"))
				}
			}()
			for range 3 {
				w.step()
			}
			total.add(w.seen)
		})
	}
	if len(seeds) > 1 {
		require.Greater(t, total.divided, 15, "%+v", total)
		require.Greater(t, total.redivided, 2, "%+v", total)
		require.Greater(t, total.narrow, 3, "%+v", total)
		require.Greater(t, total.kept, 1, "%+v: results are kept over conflicts", total)
		require.Greater(t, total.refused, 0, "%+v", total)
		require.Greater(t, total.small, 1, "%+v: of small merges a conflict is divided", total)
		require.Greater(t, total.handed, 1, "%+v: what a commit has done before a conflict is handed on", total)
	}
}

// fanned counts what a test came by, so that it is known to have come by it.
type fanned struct{ divided, redivided, narrow, kept, moved, refused, small, handed int }

func (f *fanned) add(o fanned) {
	f.divided, f.redivided, f.narrow = f.divided+o.divided, f.redivided+o.redivided, f.narrow+o.narrow
	f.kept, f.moved, f.refused = f.kept+o.kept, f.moved+o.moved, f.refused+o.refused
	f.small, f.handed = f.small+o.small, f.handed+o.handed
}

// twins are two tables that everything is done to: to one as a whole, to the other in groups.
type twins struct {
	t      *testing.T
	r      *rand.Rand
	whole  *tables.Lake
	shared *tables.Lake
	def    tables.Definition
	isText bool
	tokens int
	log    []string
	seen   fanned
	scope  expression.Scope
}

func newTwins(t *testing.T, r *rand.Rand) *twins {
	w := &twins{t: t, r: r, whole: newLake(t), shared: newLake(t), isText: r.IntN(2) == 0}
	kind := "long"
	if w.isText {
		kind = "string"
	}
	w.def = tables.Definition{
		Name: "ns.t", Schema: schemaOf(t, []string{"id " + kind, "day date", "v long"}), Evolve: true, FormatVersion: 2 + r.IntN(2),
		PartitionBy: [][]string{nil, {"day"}, {"months(day)"}, {"bucket(2, id)"}}[r.IntN(4)],
	}
	w.scope = expression.Scope{"s": w.def.Schema, "t": w.def.Schema}
	w.note("format %d, partitioned by %v", w.def.FormatVersion, w.def.PartitionBy)
	for _, lake := range []*tables.Lake{w.whole, w.shared} {
		ensure(t, lake, w.def)
	}
	for range 3 + r.IntN(4) {
		w.append()
	}
	return w
}

func (w *twins) note(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

func (w *twins) both(do func(tbl *tables.Table, token tables.CommitOptions) any) {
	w.t.Helper()
	w.tokens++
	var out []any
	for _, lake := range []*tables.Lake{w.whole, w.shared} {
		tbl, err := lake.Table(ctx, "ns.t")
		require.NoError(w.t, err)
		out = append(out, do(tbl, token("other", w.tokens)))
	}
	require.Equal(w.t, out[0], out[1])
}

func (w *twins) id(n int) string {
	if w.isText {
		return fmt.Sprintf("key-%05d", n)
	}
	return fmt.Sprint(n)
}

// lines are rows of ids from a range, each of them once.
func (w *twins) lines(n, low, high int) []string {
	var out []string
	for _, i := range w.r.Perm(high - low)[:min(n, high-low)] {
		id := w.id(low + i)
		if w.r.IntN(20) == 0 {
			id = "null"
		}
		out = append(out, fmt.Sprintf("%s 2024-0%d-01 %d", id, 1+w.r.IntN(3), w.r.IntN(5)))
	}
	return out
}

// append adds a file or some, of ids that lie close together.
func (w *twins) append() {
	low := w.r.IntN(400)
	lines := w.lines(10+w.r.IntN(40), low, low+60)
	w.note("append %d rows from %d", len(lines), low)
	w.both(func(tbl *tables.Table, token tables.CommitOptions) any {
		schema, err := tbl.Schema()
		require.NoError(w.t, err)
		with := lines
		if schema.NumFields() > w.def.Schema.NumFields() {
			with = nil
			for _, l := range lines {
				with = append(with, l+strings.Repeat(" 7", schema.NumFields()-w.def.Schema.NumFields()))
			}
		}
		return put(w.t, tbl, token, with...).Inserted
	})
}

// disturb is what others do meanwhile.
func (w *twins) disturb() {
	switch w.r.IntN(5) {
	case 0, 1:
		w.append()
	case 2, 3:
		low := w.r.IntN(400)
		m := merge.Options{
			On: []string{"id"}, Strategy: w.strategy(), Matched: []merge.Clause{{Action: merge.Delete}},
			NotMatched: []merge.Clause{{Action: merge.Insert, All: true}},
		}
		source := w.source(w.lines(8, low, low+40))
		w.note("another merge, %s, of %d rows from %d", m.Strategy, len(source.lines), low)
		w.both(func(tbl *tables.Table, token tables.CommitOptions) any {
			r, err := tbl.Merge(ctx, token, m, source)
			require.NoError(w.t, err)
			return r.Deleted
		})
	case 4:
		if w.r.IntN(4) > 0 {
			return
		}
		w.note("a column is added")
		w.tokens++
		def := w.def
		lines := []string{"id long", "day date", "v long"}
		if w.isText {
			lines[0] = "id string"
		}
		def.Schema = schemaOf(w.t, append(lines, fmt.Sprintf("x%d long", w.tokens)))
		for _, lake := range []*tables.Lake{w.whole, w.shared} {
			ensure(w.t, lake, def)
		}
	}
}

func (w *twins) strategy() merge.Strategy {
	return []merge.Strategy{merge.CopyOnWrite, merge.MergeOnRead}[w.r.IntN(2)]
}

func (w *twins) expr(source string, scope expression.Scope) merge.Expression {
	e, err := expression.Compile(source, scope)
	require.NoError(w.t, err)
	return e
}

func (w *twins) options() merge.Options {
	m := merge.Options{On: []string{"id"}, Strategy: w.strategy(), NullSafe: w.r.IntN(4) == 0, TempDir: w.t.TempDir()}
	if w.r.IntN(3) == 0 {
		m.Matched = append(m.Matched, merge.Clause{If: w.expr("t.v == 1", w.scope), Action: merge.Delete})
	}
	switch w.r.IntN(3) {
	case 0:
		m.Matched = append(m.Matched, merge.Clause{If: w.expr("s.v > t.v", w.scope), Action: merge.Update, All: true})
	case 1:
		m.Matched = append(m.Matched, merge.Clause{Action: merge.Update, All: true})
	}
	if w.r.IntN(4) > 0 {
		m.NotMatched = append(m.NotMatched, merge.Clause{Action: merge.Insert, All: true})
	}
	if w.r.IntN(4) == 0 || len(m.Matched)+len(m.NotMatched) == 0 {
		m.NotMatchedBySource = append(m.NotMatchedBySource, merge.Clause{
			If: w.expr("t.v == 0", expression.Scope{"t": w.def.Schema}), Action: merge.Delete,
		})
	}
	if w.r.IntN(3) == 0 {
		m.MemoryLimit = 1 << 10 // everything is spilled
	}
	return m
}

// step merges into both, with others in between.
func (w *twins) step() {
	m := w.options()
	low, width := w.r.IntN(300), 30+w.r.IntN(200)
	lines := w.lines(20+w.r.IntN(60), low, low+width)
	if w.r.IntN(8) == 0 { // some target row is likely to be matched twice
		lines = append(lines, lines...)
	}
	source := w.source(lines)
	w.note("merge %d rows from %d to %d, %s, %d when matched, %d when not, %d by source, null-safe %v", len(lines), low, low+width,
		m.Strategy, len(m.Matched), len(m.NotMatched), len(m.NotMatchedBySource), m.NullSafe)
	w.tokens++
	opts := token("merge", w.tokens)
	got, failed := w.inGroups(opts, m, source)
	tbl, err := w.whole.Table(ctx, "ns.t")
	require.NoError(w.t, err)
	want, err := tbl.Merge(ctx, opts, m, source)
	var twice *merge.CardinalityError
	if failed != nil {
		require.ErrorAs(w.t, failed, &twice)
		require.ErrorAs(w.t, err, &twice, "%v", failed)
		w.seen.refused++
		return
	}
	require.NoError(w.t, err)
	w.compare(want, got)
}

func (w *twins) compare(want, got tables.Result) {
	counts := func(r tables.Result) []int64 {
		return []int64{r.RowsIn, r.Inserted, r.Updated, r.Deleted, r.Unchanged}
	}
	require.Equal(w.t, counts(want), counts(got), "rows in, inserted, updated, deleted, unchanged")
	var rows [][]string
	for _, lake := range []*tables.Lake{w.whole, w.shared} {
		tbl, err := lake.Table(ctx, "ns.t")
		require.NoError(w.t, err)
		rdr, err := tbl.Scan(ctx, tables.ScanOptions{})
		require.NoError(w.t, err)
		rows = append(rows, rowTexts(w.t, batches(rdr)))
	}
	require.Equal(w.t, rows[0], rows[1])
	tbl, err := w.shared.Table(ctx, "ns.t")
	require.NoError(w.t, err)
	if head, ok := tbl.Head(); ok && got.SnapshotID == head.ID {
		require.Equal(w.t, fmt.Sprint(got.Updated), head.Summary["varve.merge.rows-updated"])
		require.Equal(w.t, fmt.Sprint(got.RowsIn), head.Summary["varve.merge.source-rows"])
	}
}

// inGroups is what a workflow does, with everything travelling as JSON.
func (w *twins) inGroups(opts tables.CommitOptions, m merge.Options, source merge.Source) (tables.Result, error) {
	var done []merge.Done
	small := w.r.IntN(3) == 0 // divided after a conflict only
	if small || w.r.IntN(2) == 0 {
		source = &overtakenSource{Source: source, by: w.disturb}
	}
	for round := 0; ; round++ {
		if round > 0 && w.r.IntN(2) == 0 || w.r.IntN(4) == 0 {
			w.disturb()
		}
		fan := merge.Fanout{GroupFiles: 1 + w.r.IntN(3), Done: travelled(w.t, done)}
		if fan.Redo = round < 4; fan.Redo && !small {
			fan.Above = 1
		}
		tbl, err := w.shared.Table(ctx, "ns.t")
		require.NoError(w.t, err)
		result, division, err := tbl.MergeInGroups(ctx, opts, m, source, fan)
		if err != nil || division == nil {
			if err == nil && round > 0 {
				again, _, err := tbl.MergeInGroups(ctx, opts, m, source, fan)
				require.NoError(w.t, err)
				require.Equal(w.t, result.Committed, again.AlreadyCommitted)
				require.Equal(w.t, result.SnapshotID, again.SnapshotID)
			}
			return result, err
		}
		w.note("divided: %d files in %d groups, fresh %v, %d dropped", division.Files, division.Count, division.Fresh, len(division.Dropped))
		w.seen.divided++
		if small && round == 0 {
			w.seen.small++
		}
		if division.Kept != nil {
			w.seen.handed++
		}
		if round > 0 {
			w.seen.redivided++
			if !division.Fresh {
				w.seen.kept++
			}
		}
		found, err := w.match(m, source, *division)
		if err != nil {
			return tables.Result{}, err
		}
		out := division.Done()
		out.Found = append(out.Found, found...)
		done = append(done, out)
	}
}

// match looks through the groups of a division, some of them twice, and loses the result of one now and then.
func (w *twins) match(m merge.Options, source merge.Source, d merge.Division) (out []*merge.Found, _ error) {
	lost := w.r.IntN(4 * len(d.Groups))
	for i, g := range d.Groups {
		if w.r.IntN(6) == 0 {
			w.disturb()
		}
		if g.Narrow {
			w.seen.narrow++
		}
		var found *merge.Found
		for range 1 + w.r.IntN(5)/4 {
			tbl, err := w.shared.Table(ctx, "ns.t")
			require.NoError(w.t, err)
			found, err = tbl.MatchGroup(ctx, m, source, merge.Fanout{}, travelled(w.t, d), travelled(w.t, g))
			if isMoved(err) {
				w.seen.moved++
				found = nil
			} else if err != nil {
				return nil, err
			}
		}
		if found != nil && i != lost {
			out = append(out, found)
		}
	}
	return out, nil
}

func isMoved(err error) bool {
	return err != nil && strings.Contains(err.Error(), tables.ErrMoved.Error())
}

// travelled is a value after it went through JSON.
func travelled[T any](t *testing.T, v T) (out T) {
	data, err := json.Marshal(v)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &out))
	return out
}

// overtakenSource has others commit when it is read for the first time: while a commit of the merge is under way.
type overtakenSource struct {
	merge.Source
	by func()
}

func (s *overtakenSource) Open(ctx context.Context, columns []string) (array.RecordReader, error) {
	if do := s.by; do != nil {
		s.by = nil
		do()
	}
	return s.Source.Open(ctx, columns)
}

// batchedSource is rows in batches of seven.
type batchedSource struct{ rowSource }

func (w *twins) source(lines []string) *batchedSource {
	return &batchedSource{rowSource{t: w.t, schema: w.def.Schema, lines: lines}}
}

func (s *batchedSource) Open(ctx context.Context, columns []string) (array.RecordReader, error) {
	var all []arrow.RecordBatch
	var schema *arrow.Schema
	for part := range slices.Chunk(s.lines, 7) {
		one := rowSource{t: s.t, schema: s.schema, lines: part}
		r, err := one.Open(ctx, columns)
		if err != nil {
			return nil, err
		}
		require.True(s.t, r.Next())
		b := r.RecordBatch()
		b.Retain()
		schema, all = b.Schema(), append(all, b)
		r.Release()
	}
	return array.NewRecordReader(schema, all)
}
