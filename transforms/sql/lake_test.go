package sql_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms/sql"
)

// lake is an Input of tables in memory that keeps a record of what was scanned.
type lake struct {
	tables map[string]*memoryTable

	mu    sync.Mutex
	scans []sql.Scan
	open  int // readers that were not released
}

type memoryTable struct {
	schema  *arrow.Schema
	batches []arrow.RecordBatch
	failAt  int   // the batch before which the stream fails, if err is set
	err     error // of the stream
	openErr error // of Scan
}

func (l *lake) Schema(_ context.Context, name string) (*arrow.Schema, error) {
	if t, ok := l.tables[name]; ok {
		return t.schema, nil
	}
	return nil, fmt.Errorf("%w: %s", errNoTable, name)
}

var errNoTable = fmt.Errorf("no such table")

func (l *lake) Scan(ctx context.Context, name string, version sql.Version, columns []string, filters []sql.Filter, limit int64) (array.RecordReader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.scans = append(l.scans, sql.Scan{Table: name, Version: version, Columns: columns, Filters: filters, Limit: limit})
	t := l.tables[name]
	if t.openErr != nil {
		return nil, t.openErr
	}
	l.open++
	r := &memoryReader{lake: l, table: t, ctx: ctx, refs: 1}
	fields := make([]arrow.Field, len(columns))
	for i, name := range columns {
		at := t.schema.FieldIndices(name)
		if len(at) != 1 {
			return nil, fmt.Errorf("no column %q", name)
		}
		r.columns = append(r.columns, at[0])
		fields[i] = t.schema.Field(at[0])
	}
	r.schema = arrow.NewSchema(fields, nil)
	return r, nil
}

// memoryReader gives the batches of a table, projected.
type memoryReader struct {
	lake    *lake
	table   *memoryTable
	ctx     context.Context
	schema  *arrow.Schema
	columns []int
	at      int
	current arrow.RecordBatch
	err     error
	refs    int
}

func (r *memoryReader) Schema() *arrow.Schema          { return r.schema }
func (r *memoryReader) RecordBatch() arrow.RecordBatch { return r.current }
func (r *memoryReader) Record() arrow.RecordBatch      { return r.current }
func (r *memoryReader) Err() error                     { return r.err }
func (r *memoryReader) Retain()                        { r.refs++ }

func (r *memoryReader) Release() {
	if r.refs--; r.refs == 0 {
		r.drop()
		r.lake.mu.Lock()
		r.lake.open--
		r.lake.mu.Unlock()
	}
}

func (r *memoryReader) drop() {
	if r.current != nil {
		r.current.Release()
		r.current = nil
	}
}

func (r *memoryReader) Next() bool {
	r.drop()
	if r.err = r.ctx.Err(); r.err != nil {
		return false
	}
	if r.table.err != nil && r.at == r.table.failAt {
		r.err = r.table.err
		return false
	}
	if r.at >= len(r.table.batches) {
		return false
	}
	batch := r.table.batches[r.at]
	r.at++
	columns := make([]arrow.Array, len(r.columns))
	for i, c := range r.columns {
		columns[i] = batch.Column(c)
	}
	r.current = array.NewRecordBatch(r.schema, columns, batch.NumRows())
	return true
}

func newEngine(t *testing.T, opts sql.Options) *sql.Engine {
	t.Helper()
	if opts.TempDir == "" {
		opts.TempDir = t.TempDir()
	}
	e, err := sql.Open(opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

// rows runs a query and returns its rows as text, one by one.
func rows(t *testing.T, e *sql.Engine, in sql.Input, query string) []string {
	t.Helper()
	r, err := e.Run(t.Context(), query, in)
	require.NoError(t, err)
	defer r.Release()
	var out []string
	for r.Next() {
		batch := r.RecordBatch()
		require.True(t, batch.Schema().Equal(r.Schema()))
		for i := range int(batch.NumRows()) {
			line := ""
			for c := range int(batch.NumCols()) {
				if c > 0 {
					line += " "
				}
				line += batch.Column(c).ValueStr(i)
			}
			out = append(out, line)
		}
	}
	require.NoError(t, r.Err())
	return out
}

// drain reads a result to its end.
func drain(r array.RecordReader) (int64, error) {
	defer r.Release()
	n := int64(0)
	for r.Next() {
		n += r.RecordBatch().NumRows()
	}
	return n, r.Err()
}
