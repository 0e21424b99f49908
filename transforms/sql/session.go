package sql

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// session is one statement with all that it uses: a connection, and a catalog in memory that has a view for each
// table it reads. Nothing of it is left after close.
type session struct {
	engine *Engine
	conn   *connection
	in     Input
	mem    memory.Allocator
	ctx    context.Context // of the scans: ends with the session
	cancel context.CancelFunc

	stmt      *statement
	catalog   string
	relations []*relation
	prepared  *prepared
	schema    *arrow.Schema // of the result, normalised
	convert   []conversion
	planned   bool // all that the plan reads is known: see pushDown

	mu       sync.Mutex
	inputErr error // the first error of the Input while the statement ran

	stop     chan struct{} // closed to end the watch
	watching sync.WaitGroup
}

// newSession parses and plans a statement. On error nothing is left open.
func (e *Engine) newSession(ctx context.Context, query string, in Input) (*session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	conn, err := e.connect()
	if err != nil {
		return nil, err
	}
	s := e.onConnection(ctx, conn, &statement{query: query}, in)
	if err := s.plan(); err != nil {
		err = s.explain(err)
		s.close()
		return nil, err
	}
	return s, nil
}

func (e *Engine) onConnection(ctx context.Context, conn *connection, stmt *statement, in Input) *session {
	s := &session{engine: e, conn: conn, stmt: stmt, in: in, mem: memory.DefaultAllocator, stop: make(chan struct{})}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.watch()
	return s
}

// plan does all that comes before the first row.
func (s *session) plan() error {
	stmt, err := parse(s.conn, s.stmt.query)
	if err != nil {
		return err
	}
	s.stmt = stmt
	if err := s.openRelations(); err != nil {
		return err
	}
	return s.prepare()
}

// openRelations makes a view for every reference.
func (s *session) openRelations() error {
	s.catalog = fmt.Sprintf("varve query %d", s.engine.queries.Add(1))
	if err := s.conn.exec("ATTACH ':memory:' AS " + quoteName(s.catalog)); err != nil {
		s.catalog = ""
		return err
	}
	if err := s.conn.exec("USE " + quoteName(s.catalog)); err != nil {
		return err
	}
	spelled := map[string]string{}
	for _, ref := range s.stmt.refs {
		key := strings.ToLower(ref.namespace + "\x00" + ref.view)
		if other, ok := spelled[key]; ok {
			return errorAt(s.stmt.query, ref.offset, Binding, "%s and %s differ by case only, which SQL does not tell apart", other, ref.name())
		}
		spelled[key] = ref.name()
		if err := s.openRelation(ref); err != nil {
			return err
		}
	}
	return nil
}

// reserved are the names of DuckDB's own catalogs and schemas, which it would take a namespace for.
var reserved = map[string]bool{"temp": true, "system": true, "memory": true, "pg_catalog": true, "information_schema": true}

func (s *session) openRelation(ref reference) error {
	r := &relation{session: s, number: len(s.relations), table: ref.name(), version: ref.version, within: ref.namespace, view: ref.view, rows: -1}
	var err error
	if r.schema, err = s.tableSchema(ref); err != nil {
		at := errorAt(s.stmt.query, ref.offset, Binding, "")
		return fmt.Errorf("sql: line %d, column %d: table %s: %w", at.Line, at.Column, ref.name(), err)
	}
	if in, ok := s.in.(SizedInput); ok {
		if n, known := in.Rows(s.ctx, r.table, r.version); known {
			r.rows = n
		}
	}
	s.relations = append(s.relations, r)
	if err := r.open(s.conn); err != nil {
		return errorAt(s.stmt.query, ref.offset, Unsupported, "table %s: %v", ref.name(), err)
	}
	if reserved[strings.ToLower(ref.namespace)] {
		return errorAt(s.stmt.query, ref.offset, Unsupported, "table %s: SQL cannot read a namespace of this name, which DuckDB has itself", ref.name())
	}
	if err := s.conn.exec("CREATE SCHEMA IF NOT EXISTS " + quoteName(ref.namespace)); err != nil {
		return err
	}
	return r.makeView()
}

func (s *session) tableSchema(ref reference) (*arrow.Schema, error) {
	if in, ok := s.in.(VersionedInput); ok && ref.version != (Version{}) {
		return in.SchemaAt(s.ctx, ref.name(), ref.version)
	}
	return s.in.Schema(s.ctx, ref.name())
}

// prepare plans the statement and checks what it returns.
func (s *session) prepare() error {
	var err error
	if s.prepared, err = s.conn.prepare(s.stmt.text); err != nil {
		return err
	}
	if n := s.prepared.parameters(); n > 0 {
		return errorAt(s.stmt.query, -1, Refused, "the statement has %d parameters, and there is nothing to bind them to", n)
	}
	names, types := s.prepared.columns()
	defer destroyTypes(types)
	if s.schema, s.convert, err = normalise(names, types); err != nil {
		return err
	}
	return s.pushDown()
}

// scans says what the statement reads, for Analyze.
func (s *session) scans() []Scan {
	var scans []Scan
	for _, r := range s.relations {
		scans = append(scans, Scan{Table: r.table, Version: r.version, Columns: r.columns, Filters: r.filters, Limit: r.limit})
	}
	sort.SliceStable(scans, func(i, j int) bool { return scans[i].Table < scans[j].Table })
	return scans
}

// watch interrupts DuckDB when the session's context ends. An interrupt before a call of DuckDB's may be lost, so it
// is repeated until the session closes.
func (s *session) watch() {
	s.watching.Add(1)
	go func() {
		defer s.watching.Done()
		select {
		case <-s.ctx.Done():
		case <-s.stop:
			return
		}
		again := time.NewTicker(20 * time.Millisecond)
		defer again.Stop()
		for {
			s.conn.interrupt()
			select {
			case <-again.C:
			case <-s.stop:
				return
			}
		}
	}()
}

// explain makes of DuckDB's error the one that caused it: the context's, the Input's, or the statement's.
func (s *session) explain(err error) error {
	if err == nil {
		return nil
	}
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	if cause := s.failed(); cause != nil {
		var typed *Error
		if errors.As(cause, &typed) {
			return cause
		}
		return fmt.Errorf("sql: %w", cause)
	}
	err = translate(s.stmt.query, err)
	var mistake *Error
	if errors.As(err, &mistake) {
		mistake.Message, mistake.Hint = s.nameColumns(mistake.Message), s.nameColumns(mistake.Hint)
	}
	return err
}

// failed is the first error of the Input.
func (s *session) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inputErr
}

func (s *session) close() {
	s.cancel()
	close(s.stop)
	s.watching.Wait()
	if s.prepared != nil {
		s.prepared.close()
	}
	if s.catalog != "" {
		// A failure leaves an empty catalog in memory behind; there is nobody to tell.
		_ = s.conn.exec("USE memory.main")
		_ = s.conn.exec("DETACH " + quoteName(s.catalog))
	}
	for _, r := range s.relations {
		r.close()
	}
	s.conn.close()
}
