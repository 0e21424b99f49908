// Package sql runs SELECT statements over Arrow streams with an embedded DuckDB.
package sql

import (
	"context"
	"errors"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Options bound what an Engine uses.
type Options struct {
	MemoryLimit int64  // bytes that DuckDB may hold before it spills; 0: 1 GiB
	TempDir     string // where it spills to, made when needed; "": the system's temporary folder
	Threads     int    // 0: one for each CPU
}

// Engine is an embedded DuckDB without a database of its own. It is safe for concurrent use; the memory limit is
// shared by the queries that run at once.
type Engine struct{}

// Open starts an engine.
func Open(opts Options) (*Engine, error) { return nil, errors.New("sql engine: not ready") }

// Close ends the engine. Readers that Run returned must be released before.
func (e *Engine) Close() error { return nil }

// Query is what a statement reads and returns.
type Query struct {
	Schema *arrow.Schema // of the result, in the Arrow types of internal/columntype
	Reads  []string      // names of the tables read, sorted, each once
	Scans  []Scan        // what is read of them, sorted by table and version
}

// Scan is what a query reads of one table at one version.
type Scan struct {
	Table   string   `json:"table"`
	Version Version  `json:"version,omitzero"`
	Columns []string `json:"columns"`
	Filters []Filter `json:"filters,omitempty"`
	Limit   int64    `json:"limit,omitempty"` // 0: all rows
}

// Analyze checks a statement against the input's schemas and says what it reads and returns. It reads no rows.
// An *Error says where the statement is wrong.
func (e *Engine) Analyze(ctx context.Context, query string, in Input) (*Query, error) {
	return nil, errors.New("sql engine: not ready")
}

// Run executes a statement and streams its result. Cancelling ctx ends it; the reader must be released.
func (e *Engine) Run(ctx context.Context, query string, in Input) (array.RecordReader, error) {
	return nil, errors.New("sql engine: not ready")
}

func quoteString(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
