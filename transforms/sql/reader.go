package sql

import (
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Rows of a batch of the result, and bytes above which it is given with fewer. DuckDB gives 2,048 rows at a time.
const (
	batchRows  = 64 << 10
	batchBytes = 32 << 20
)

// resultReader is a running query's array.RecordReader. The query begins with the first Next.
type resultReader struct {
	refs    atomic.Int64
	session *session
	result  *result
	done    bool
	current arrow.RecordBatch
	err     error
}

func newResultReader(s *session) *resultReader {
	r := &resultReader{session: s}
	r.refs.Store(1)
	return r
}

func (r *resultReader) Schema() *arrow.Schema          { return r.session.schema }
func (r *resultReader) RecordBatch() arrow.RecordBatch { return r.current }
func (r *resultReader) Record() arrow.RecordBatch      { return r.current }
func (r *resultReader) Err() error                     { return r.err }
func (r *resultReader) Retain()                        { r.refs.Add(1) }

func (r *resultReader) Release() {
	if r.refs.Add(-1) != 0 {
		return
	}
	r.drop()
	r.session.cancel() // a scan that waits for its Input holds DuckDB's threads
	if r.result != nil {
		r.result.close()
	}
	r.session.close()
	r.done = true
}

func (r *resultReader) drop() {
	if r.current != nil {
		r.current.Release()
		r.current = nil
	}
}

// Next gathers DuckDB's chunks to a batch. An error is never taken for the end: rows that were gathered before it
// are not given.
func (r *resultReader) Next() bool {
	r.drop()
	if r.done || r.err != nil {
		return false
	}
	if r.err = r.session.ctx.Err(); r.err == nil {
		r.current, r.err = r.gather()
	}
	if r.err != nil {
		r.err = r.session.explain(r.cause(r.err))
	}
	r.done = r.done || r.err != nil
	return r.current != nil
}

// cause is the error that ended the query. When a thread of DuckDB's fails while another waits for rows, the stream may
// report no more than that it was interrupted; then the statement is run again, to nowhere, for what it says.
func (r *resultReader) cause(err error) error {
	s := r.session
	if s.ctx.Err() != nil || s.failed() != nil {
		return err
	}
	if !interrupted(err) {
		return s.misread(err)
	}
	r.result.close()
	r.result = nil
	const prefix = "EXPLAIN ANALYZE "
	if again := s.conn.exec(prefix + s.stmt.text); again != nil {
		return shifted{s.misread(again), len(prefix)}
	}
	return err
}

func (r *resultReader) gather() (arrow.RecordBatch, error) {
	if r.result == nil {
		var err error
		if r.result, err = r.session.prepared.execute(); err != nil {
			return nil, err
		}
	}
	var chunks []arrow.RecordBatch
	defer func() {
		for _, chunk := range chunks {
			chunk.Release()
		}
	}()
	rows, bytes := int64(0), int64(0)
	for rows < batchRows && bytes < batchBytes {
		chunk, err := r.fetch()
		if err != nil {
			return nil, err
		}
		if chunk == nil {
			r.done = true
			break
		}
		chunks = append(chunks, chunk)
		rows += chunk.NumRows()
		bytes += sizeOf(chunk)
	}
	return concatenate(r.session.schema, chunks, r.session)
}

// fetch returns DuckDB's next chunk in the result's types, nil at the end.
func (r *resultReader) fetch() (arrow.RecordBatch, error) {
	native, err := r.result.fetch()
	if native == nil || err != nil {
		// A query that was cancelled may end as if it had no more rows.
		if err == nil {
			err = r.session.ctx.Err()
		}
		return nil, err
	}
	defer native.Release()
	columns := make([]arrow.Array, 0, native.NumCols())
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	for i, c := range r.session.convert {
		column, err := c.apply(native.Column(i), r.session.mem)
		if err != nil {
			return nil, err
		}
		columns = append(columns, column)
	}
	return array.NewRecordBatch(r.session.schema, columns, native.NumRows()), nil
}

func concatenate(schema *arrow.Schema, chunks []arrow.RecordBatch, s *session) (arrow.RecordBatch, error) {
	if len(chunks) == 0 {
		return nil, nil
	}
	columns := make([]arrow.Array, 0, schema.NumFields())
	defer func() {
		for _, c := range columns {
			c.Release()
		}
	}()
	rows := int64(0)
	for _, chunk := range chunks {
		rows += chunk.NumRows()
	}
	for i := range schema.NumFields() {
		parts := make([]arrow.Array, len(chunks))
		for k, chunk := range chunks {
			parts[k] = chunk.Column(i)
		}
		// Copied also when there is one part: the chunk's memory is DuckDB's, and counts against its limit.
		column, err := array.Concatenate(parts, s.mem)
		if err != nil {
			return nil, err
		}
		columns = append(columns, column)
	}
	return array.NewRecordBatch(schema, columns, rows), nil
}

func sizeOf(batch arrow.RecordBatch) int64 {
	n := int64(0)
	for _, c := range batch.Columns() {
		n += int64(c.Data().SizeInBytes())
	}
	return n
}
