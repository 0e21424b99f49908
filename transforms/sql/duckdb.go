package sql

import (
	"fmt"
	"strings"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	duckdb "github.com/duckdb/duckdb-go-bindings"
)

// This file is all that the package needs of DuckDB's C interface, besides the table function in scan.go.
//
// duckdb-go itself is not used: its Arrow reader takes the end of a failed stream for the end of the rows, it keeps
// whole results in memory, and its RegisterView reads wrong columns and drops the stream's errors.

// connection is one session of the engine. All but interrupt belong to one goroutine at a time.
type connection struct {
	mu  sync.Mutex // guards raw against an interrupt while it is closed
	raw duckdb.Connection
}

func connect(db duckdb.Database) (*connection, error) {
	c := &connection{}
	if duckdb.Connect(db, &c.raw) == duckdb.StateError {
		return nil, fmt.Errorf("sql engine: connect")
	}
	return c, nil
}

func (c *connection) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.raw.Ptr != nil {
		duckdb.Interrupt(c.raw)
	}
}

func (c *connection) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	duckdb.Disconnect(&c.raw)
}

// exec runs a statement for its effect.
func (c *connection) exec(query string) error {
	_, err := c.queryText(query, 0)
	return err
}

// queryText runs a statement and returns a column of its first row, which must be text, or "".
func (c *connection) queryText(query string, column int) (string, error) {
	stmt, err := c.prepare(query)
	if err != nil {
		return "", err
	}
	defer stmt.close()
	res, err := stmt.execute()
	if err != nil {
		return "", err
	}
	defer res.close()
	text := ""
	for first := true; ; first = false {
		batch, err := res.fetch()
		if batch == nil || err != nil {
			return text, err
		}
		if first && batch.NumRows() > 0 {
			if values, ok := storageOf(batch.Column(column)).(*array.String); ok {
				text = strings.Clone(values.Value(0)) // it lies in memory of the batch
			}
		}
		batch.Release()
	}
}

// prepared is a statement that was parsed, bound and planned.
type prepared struct{ raw duckdb.PreparedStatement }

// prepare returns DuckDB's message as a nativeError.
func (c *connection) prepare(query string) (*prepared, error) {
	p := &prepared{}
	if duckdb.Prepare(c.raw, query, &p.raw) == duckdb.StateError {
		defer p.close()
		return nil, nativeError(duckdb.PrepareError(p.raw))
	}
	return p, nil
}

func (p *prepared) close() { duckdb.DestroyPrepare(&p.raw) }

func (p *prepared) parameters() int { return int(duckdb.NParams(p.raw)) }

// columns are the result's names and types, which the caller destroys.
func (p *prepared) columns() ([]string, []duckdb.LogicalType) {
	n := duckdb.PreparedStatementColumnCount(p.raw)
	names, types := make([]string, n), make([]duckdb.LogicalType, n)
	for i := range n {
		names[i] = duckdb.PreparedStatementColumnName(p.raw, i)
		types[i] = duckdb.PreparedStatementColumnLogicalType(p.raw, i)
	}
	return names, types
}

func destroyTypes(types []duckdb.LogicalType) {
	for i := range types {
		duckdb.DestroyLogicalType(&types[i])
	}
}

// execute begins to run the statement; rows are made while they are fetched.
func (p *prepared) execute() (*result, error) {
	var pending duckdb.PendingResult
	defer func() { duckdb.DestroyPending(&pending) }()
	// Deprecated in name only: it is the C interface's one way to a result that is not held in memory as a whole.
	if duckdb.PendingPreparedStreaming(p.raw, &pending) == duckdb.StateError {
		return nil, nativeError(duckdb.PendingError(pending))
	}
	r := &result{}
	if duckdb.ExecutePending(pending, &r.raw) == duckdb.StateError {
		defer r.close()
		return nil, nativeError(duckdb.ResultError(&r.raw))
	}
	r.options = duckdb.ResultGetArrowOptions(&r.raw)
	n := duckdb.ColumnCount(&r.raw)
	names, types := make([]string, n), make([]duckdb.LogicalType, n)
	for i := range n {
		names[i] = duckdb.ColumnName(&r.raw, i)
		types[i] = duckdb.ColumnLogicalType(&r.raw, i)
	}
	defer destroyTypes(types)
	schema, failed := duckdb.NewArrowSchema(r.options, types, names)
	if err := takeError(failed); err != nil {
		r.close()
		return nil, err
	}
	r.schema = schema
	return r, nil
}

// result is a running statement's rows.
type result struct {
	raw     duckdb.Result
	options duckdb.ArrowOptions
	schema  *arrow.Schema
}

// fetch returns the next rows, at most 2,048, which the caller releases; nil at the end.
func (r *result) fetch() (arrow.RecordBatch, error) {
	chunk := duckdb.FetchChunk(r.raw)
	if chunk.Ptr == nil {
		// The end and a failure look alike: only the result knows which it was.
		if message := duckdb.ResultError(&r.raw); message != "" {
			return nil, nativeError(message)
		}
		return nil, nil
	}
	defer duckdb.DestroyDataChunk(&chunk)
	batch, failed := duckdb.DataChunkToArrowArray(r.options, r.schema, chunk)
	if err := takeError(failed); err != nil {
		return nil, err
	}
	return batch, nil
}

func (r *result) close() {
	duckdb.DestroyArrowOptions(&r.options)
	duckdb.DestroyResult(&r.raw)
}

// nativeError is an error as DuckDB words it: JSON, since the engine sets errors_as_json.
type nativeError string

func (e nativeError) Error() string { return string(e) }

// takeError empties DuckDB's error holder.
func takeError(failed duckdb.ErrorData) error {
	defer duckdb.DestroyErrorData(&failed)
	if failed.Ptr == nil || !duckdb.ErrorDataHasError(failed) {
		return nil
	}
	return nativeError(duckdb.ErrorDataMessage(failed))
}
