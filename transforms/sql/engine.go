// Package sql runs SELECT statements over Arrow streams with an embedded DuckDB.
//
// A statement reads tables of the lake by name, silver.flights, at their head or at an older version, silver.flights
// FOR VERSION AS OF 17. It can do nothing else: no files, no network, no settings, no other statements. Time is UTC.
// Results spill to disk above the memory limit, are streamed, and come in the Arrow types that tables store.
package sql

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	duckdb "github.com/duckdb/duckdb-go-bindings"
)

// Options bound what an Engine uses.
type Options struct {
	MemoryLimit int64  // bytes that DuckDB may hold before it spills; 0: 1 GiB
	TempDir     string // where it spills to, made when needed; "": the system's temporary folder
	Threads     int    // 0: one for each CPU
	// Folders are those in which DuckDB may read files by itself, absolute, where a DirectInput names them. Rows are then summed by
	// several threads, so that sums of doubles may differ in their last digits from one run to the next.
	Folders []string
}

// Engine is an embedded DuckDB without a database of its own. It is safe for concurrent use; the memory limit is
// shared by the queries that run at once.
type Engine struct {
	opts    Options
	temp    *scratch // the engine's own folder in TempDir
	queries atomic.Int64

	mu      sync.Mutex
	db      duckdb.Database
	planner duckdb.Database // opened when it is needed: see planLists
	closed  bool
}

// Open starts an engine.
func Open(opts Options) (*Engine, error) {
	if opts.MemoryLimit == 0 {
		opts.MemoryLimit = 1 << 30
	}
	if opts.Threads == 0 {
		opts.Threads = runtime.NumCPU()
	}
	if opts.MemoryLimit < 0 || opts.Threads < 0 {
		return nil, fmt.Errorf("sql engine: memory limit %d and threads %d must not be negative", opts.MemoryLimit, opts.Threads)
	}
	if opts.TempDir == "" {
		opts.TempDir = os.TempDir()
	}
	e := &Engine{opts: opts}
	var err error
	if e.temp, err = newScratch(opts.TempDir); err != nil {
		return nil, fmt.Errorf("sql engine: %w", err)
	}
	if e.db, err = e.start(); err != nil {
		return nil, errors.Join(err, e.temp.remove())
	}
	return e, nil
}

// settings are fixed when the database opens; those of external access follow, since once it is off no folder can be named.
func (e *Engine) settings() [][2]string {
	return [][2]string{
		{"memory_limit", strconv.FormatInt(e.opts.MemoryLimit, 10) + "B"},
		{"threads", strconv.Itoa(e.opts.Threads)},
		{"temp_directory", filepath.Join(e.temp.path, "spill")},
		{"autoinstall_known_extensions", "false"},
		{"autoload_known_extensions", "false"},
		{"allow_community_extensions", "false"},
		{"allow_persistent_secrets", "false"},
		{"preserve_insertion_order", "true"},
		{"arrow_lossless_conversion", "true"},
	}
}

// start opens a database, by settings besides those of all.
func (e *Engine) start(more ...[2]string) (db duckdb.Database, err error) {
	var config duckdb.Config
	duckdb.CreateConfig(&config)
	defer duckdb.DestroyConfig(&config)
	for _, s := range append(e.settings(), more...) {
		if duckdb.SetConfig(config, s[0], s[1]) == duckdb.StateError {
			return db, fmt.Errorf("sql engine: setting %s = %s", s[0], s[1])
		}
	}
	var message string
	if duckdb.OpenExt(":memory:", &db, config, &message) == duckdb.StateError {
		return db, fmt.Errorf("sql engine: %s", message)
	}
	defer func() {
		if err != nil {
			duckdb.Close(&db)
		}
	}()
	conn, err := connect(db)
	if err != nil {
		return db, err
	}
	defer conn.close()
	if err := registerScan(conn); err != nil {
		return db, err
	}
	folders := make([]string, len(e.opts.Folders))
	for i, folder := range e.opts.Folders {
		folders[i] = quoteString(folder)
	}
	for _, setting := range []string{
		"allowed_directories = [" + strings.Join(folders, ", ") + "]", "enable_external_access = false", // in this order
		"TimeZone = 'UTC'", "errors_as_json = true", "lock_configuration = true",
	} {
		if err := conn.exec("SET GLOBAL " + setting); err != nil {
			return db, fmt.Errorf("sql engine: set %s: %w", setting, err)
		}
	}
	return db, nil
}

// connect opens a session, on a new database if the old one was given up: DuckDB refuses all work after an internal
// error, until it is opened again.
func (e *Engine) connect() (*connection, error) { return e.connectTo(&e.db) }

// connectPlanner is a session in which IN with many constants stays a condition, which for running would be slow.
func (e *Engine) connectPlanner() (*connection, error) {
	return e.connectTo(&e.planner, [2]string{"disabled_optimizers", "in_clause"})
}

func (e *Engine) connectTo(db *duckdb.Database, settings ...[2]string) (conn *connection, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errors.New("sql engine: closed")
	}
	if db.Ptr != nil {
		if conn, err = connect(*db); err != nil {
			return nil, err
		}
		if err = conn.exec("SELECT 1"); err == nil || !strings.Contains(err.Error(), "invalidated") {
			return conn, err
		}
		conn.close()
		duckdb.Close(db) // sessions that still use it keep it alive
	}
	if *db, err = e.start(settings...); err != nil {
		return nil, err
	}
	return connect(*db)
}

// Close ends the engine and removes what it spilled. Readers that Run returned must be released before.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	duckdb.Close(&e.db)
	if e.planner.Ptr != nil {
		duckdb.Close(&e.planner)
	}
	return e.temp.remove()
}

// Query is what a statement reads and returns.
type Query struct {
	Schema *arrow.Schema // of the result, in the Arrow types of internal/columntype
	Reads  []string      // names of the tables read, sorted, each once
	Scans  []Scan        // what is read of them, sorted by table
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
	s, err := e.newSession(ctx, query, in)
	if err != nil {
		return nil, err
	}
	defer s.close()
	q := &Query{Schema: s.schema, Scans: s.scans()}
	for _, scan := range q.Scans {
		q.Reads = append(q.Reads, scan.Table)
	}
	q.Reads = slices.Compact(q.Reads)
	return q, nil
}

// Run executes a statement and streams its result. Cancelling ctx ends it; the reader must be released. An error of
// the Input ends the result with that error.
func (e *Engine) Run(ctx context.Context, query string, in Input) (array.RecordReader, error) {
	s, err := e.newSession(ctx, query, in)
	if err != nil {
		return nil, err
	}
	if err := s.readDirectly(); err != nil {
		err = s.explain(err)
		s.close()
		return nil, err
	}
	return newResultReader(s), nil
}
