package merge_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/merge"
)

// TestNothingTemporaryStays: merges that spill everything, and end well, in an error, by a cancelled context at any time, or
// by a source that fails at any batch, leave no file in their folder, none open that has no name, and none in the table that
// it does not name.
func TestNothingTemporaryStays(t *testing.T) {
	columns := []random.Column{{Name: "k", Kind: random.KindNamed("long")}, {Name: "v", Kind: random.KindNamed("string")}}
	w := newWorld(t, openCatalog(t), "t")
	w.create(columns, nil, nil, nil, iceberg.Properties{table.ParquetRowGroupLimitKey: "100"})
	for range 3 {
		w.append(columns, numbered(0, 1000))
	}
	files := w.dataFiles()
	dir := t.TempDir()
	options := func(clause merge.Clause) merge.Options {
		return merge.Options{On: []string{"k"}, MemoryLimit: 1, TempDir: dir, Parallelism: 2,
			Matched: []merge.Clause{clause}, NotMatched: []merge.Clause{{Action: merge.Insert, All: true}},
			NotMatchedBySource: []merge.Clause{{If: random.Condition(rand.New(rand.NewPCG(1, 1)), map[string][]random.Column{"t": columns}), Action: merge.Delete}}}
	}
	all := merge.Clause{Action: merge.Update, All: true}
	source := &random.Source{Columns: columns, Batch: 50, Rows: numbered(500, 1500)}
	left := func(what string, files []string) {
		t.Helper()
		require.Empty(t, temporary(t, dir), what)
		require.ElementsMatch(t, files, w.dataFiles(), what)
	}

	_, err := w.try(context.Background(), source, options(merge.Clause{Action: merge.Update, Set: []merge.Assign{{Column: "v", Value: failing{}}}}))
	require.ErrorContains(t, err, "no value")
	left("an expression that fails", files)
	_, err = w.try(context.Background(), &random.Source{Columns: columns, Batch: 50, Rows: append(numbered(0, 900), numbered(0, 900)...)}, options(all))
	require.ErrorAs(t, err, new(*merge.CardinalityError))
	left("a key that is there twice", files)
	opened := 0
	for at := 1; ; at++ {
		f := &failingSource{Source: source, at: at}
		if _, err = w.try(context.Background(), f, options(all)); err == nil {
			break // at comes behind the last batch
		}
		require.ErrorContains(t, err, "batch lost")
		left(fmt.Sprint("a source that fails at batch ", at), files)
		opened = at
		at += at / 2
	}
	require.Greater(t, opened, 20, "the source is read more than once")
	files = w.dataFiles() // that merge went well
	left("a merge", files)
	cancelled := 0
	for after := time.Millisecond; ; after += after {
		ctx, cancel := context.WithTimeout(context.Background(), after)
		source.Rows = numbered(500+cancelled, 1500+cancelled)
		_, err = w.try(ctx, source, options(all))
		cancel()
		if err == nil {
			break
		}
		require.ErrorIs(t, err, context.DeadlineExceeded)
		cancelled++
		if errors.Is(err, errInDoubt) { // its data files may be the table's
			require.Empty(t, temporary(t, dir))
			files = w.dataFiles()
			continue
		}
		left(fmt.Sprint("cancelled after ", after), files)
	}
	require.Positive(t, cancelled)
	left("a merge", w.dataFiles())
}

var errInDoubt = errors.New("ended during the commit")

// try is a merge whose context may end.
func (w *world) try(ctx context.Context, source merge.Source, opts merge.Options) (merge.Stats, error) {
	plan, err := merge.New(source, opts)
	if err != nil {
		return merge.Stats{}, err
	}
	var change *commit.Change
	_, err = commit.Commit(ctx, w.cat, w.ident, w.id(), func(ctx context.Context, head *table.Table, attempt int) (*commit.Change, error) {
		var err error
		change, err = plan.Change(ctx, head, attempt)
		return change, err
	}, commit.Options{})
	if err != nil && change == nil { // it ended while it was planned
		return plan.Stats(), errors.Join(err, plan.Abort(ctx))
	}
	if err != nil { // it was sent, maybe
		return plan.Stats(), errors.Join(errInDoubt, err, plan.Close())
	}
	return plan.Stats(), plan.Close()
}

// dataFiles are the Parquet and Puffin files that lie in the table's data folder.
func (w *world) dataFiles() []string {
	dir := strings.TrimPrefix(w.load().Location(), "file://") + "/data"
	entries, err := os.ReadDir(dir)
	require.NoError(w.t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// temporary lists the files in a folder, and those that this process has open without a name there.
func temporary(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		out = append(out, e.Name())
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Log("no /proc: open files are not looked at")
		return out
	}
	for _, fd := range open {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, dir) {
			out = append(out, to)
		}
	}
	return out
}

// numbered are rows with keys from one number to another.
func numbered(from, to int) [][]any {
	var out [][]any
	for i := from; i < to; i++ {
		out = append(out, []any{int64(i), fmt.Sprint("value ", i*7919%1000)})
	}
	return out
}

// failing is an expression without a value.
type failing struct{}

func (failing) Columns() []string    { return nil }
func (failing) Type() arrow.DataType { return arrow.BinaryTypes.String }
func (failing) Eval(context.Context, arrow.RecordBatch) (arrow.Array, error) {
	return nil, errors.New("no value")
}

// failingSource fails at the nth batch that is read of it, whichever reader reads that.
type failingSource struct {
	*random.Source
	at int
}

func (s *failingSource) Open(ctx context.Context, columns []string) (array.RecordReader, error) {
	r, err := s.Source.Open(ctx, columns)
	return &failingReader{RecordReader: r, s: s}, err
}

type failingReader struct {
	array.RecordReader
	s   *failingSource
	err error
}

func (r *failingReader) Next() bool {
	if r.s.at--; r.s.at == 0 {
		r.err = errors.New("batch lost")
	}
	return r.err == nil && r.RecordReader.Next()
}

func (r *failingReader) Err() error { return errors.Join(r.err, r.RecordReader.Err()) }
