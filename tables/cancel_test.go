package tables_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/merge"
)

// A MERGE that is cancelled ends at once (the bound leaves room for a machine that does much else), wherever it is: while it loads, spills, matches, writes or inserts.
// It leaves no temporary file, open or not, and no data file.
func TestACancelledMergeEndsAtOnce(t *testing.T) {
	const rows, cuts = 120_000, 6
	for _, c := range []struct {
		strategy merge.Strategy
		memory   int64
	}{{merge.CopyOnWrite, 0}, {merge.MergeOnRead, 0}, {merge.CopyOnWrite, 1 << 20}, {merge.MergeOnRead, 1 << 20}} {
		t.Run(fmt.Sprintf("%s within %d bytes", c.strategy, c.memory), func(t *testing.T) {
			lake := newLake(t)
			def := tables.Definition{Name: "ns.t", Schema: schemaOf(t, []string{"id long", "text string", "v long"}), PartitionBy: []string{"bucket(4, id)"}}
			tbl := ensure(t, lake, def)
			for i := range 2 {
				part, err := (&numbered{schema: def.Schema, rows: rows / 2, first: i * rows / 2}).Open(ctx, nil)
				require.NoError(t, err)
				staged, err := tbl.Stage(ctx, part, tables.StageOptions{})
				require.NoError(t, err)
				_, err = tbl.Append(ctx, token("w", i), staged)
				require.NoError(t, err)
			}
			before := filesOf(t, tbl)
			temp := t.TempDir()
			source := &numbered{schema: def.Schema, rows: rows, first: rows / 4, version: 1}
			run := func(ctx context.Context, token tables.CommitOptions) error {
				tbl, err := lake.Table(context.Background(), "ns.t")
				require.NoError(t, err)
				_, err = tbl.Merge(ctx, token, merge.Options{
					On: []string{"id"}, Strategy: c.strategy, MemoryLimit: c.memory, TempDir: temp,
					Matched:    []merge.Clause{{Action: merge.Update, All: true}},
					NotMatched: []merge.Clause{{Action: merge.Insert, All: true}},
				}, source)
				return err
			}
			// The source is read batch by batch in all stages: its batches say when to cancel.
			cancelled := 0
			for cut := 1; cut <= cuts; cut++ {
				ctx, cancel := context.WithCancel(context.Background())
				n, at := 0, time.Time{}
				source.onBatch = func() {
					if n++; n == cut*4 {
						time.AfterFunc(time.Duration(cut)*7*time.Millisecond, func() { at = time.Now(); cancel() })
					}
				}
				err := run(ctx, token("w", fmt.Sprint("cut", cut)))
				cancel()
				if err == nil {
					break // it was done before
				}
				require.ErrorIs(t, err, context.Canceled)
				require.Less(t, time.Since(at), 20*time.Second)
				cancelled++
				require.Equal(t, before, filesOf(t, tbl))
				require.Empty(t, temporary(t, temp))
			}
			require.Positive(t, cancelled)
			source.onBatch = nil
			require.NoError(t, run(context.Background(), token("w", "whole")))
			require.Empty(t, temporary(t, temp))
		})
	}
}

// filesOf lists a table's data files, also those that no snapshot names.
func filesOf(t *testing.T, tbl *tables.Table) []string {
	t.Helper()
	var out []string
	require.NoError(t, filepath.WalkDir(localPath(t, tbl.Location())+"/data", func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, path)
		}
		return err
	}))
	return out
}

// temporary lists a folder's files, and those that were unlinked in it and are still open.
func temporary(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	named, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, f := range named {
		out = append(out, f.Name())
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return out // not Linux
	}
	for _, fd := range open {
		if target, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(target, dir) {
			out = append(out, target)
		}
	}
	return out
}

// numbered is rows of ids from first on, in batches.
type numbered struct {
	schema      *arrow.Schema
	rows, first int
	version     int
	onBatch     func()
}

func (s *numbered) Schema() *arrow.Schema { return s.schema }

func (s *numbered) Open(_ context.Context, columns []string) (array.RecordReader, error) {
	schema := s.schema
	if columns != nil {
		var fields []arrow.Field
		for _, c := range columns {
			fields = append(fields, s.schema.Field(s.schema.FieldIndices(c)[0]))
		}
		schema = arrow.NewSchema(fields, nil)
	}
	const batch = 8192
	return array.ReaderFromIter(schema, func(yield func(arrow.RecordBatch, error) bool) {
		for from := 0; from < s.rows; from += batch {
			if s.onBatch != nil {
				s.onBatch()
			}
			b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
			for i := s.first + from; i < s.first+min(from+batch, s.rows); i++ {
				for c, f := range schema.Fields() {
					switch f.Name {
					case "id":
						b.Field(c).(*array.Int64Builder).Append(int64(i))
					case "text":
						b.Field(c).(*array.StringBuilder).Append(fmt.Sprintf("row %d of version %d", i, s.version))
					case "v":
						b.Field(c).(*array.Int64Builder).Append(int64(s.version))
					}
				}
			}
			out := b.NewRecordBatch()
			b.Release()
			if !yield(out, nil) {
				return
			}
		}
	}), nil
}
