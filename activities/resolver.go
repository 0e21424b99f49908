package activities

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/sources"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/transforms/sql"
)

// resolver answers what a compilation asks of the world.
type resolver struct {
	a      *Activities
	engine *sql.Engine
	writer string
}

func (r *resolver) FileSchema(ctx context.Context, table string, files plan.Files) (*arrow.Schema, error) {
	options, err := fileOptions(files, time.Time{})
	if err != nil {
		return nil, err
	}
	all, fresh, err := r.list(ctx, table, files.Glob)
	if err != nil {
		return nil, err
	}
	schema, err := sources.Infer(ctx, r.a.store, all.files(), options)
	switch {
	case all.count == 0 && (err == nil || errors.Is(err, sources.ErrNoFiles)):
		return schema, fmt.Errorf("%s: %w", files.Glob, compile.ErrNoFiles)
	case err != nil:
		return nil, mistaken(err)
	}
	if fresh.count == 0 || fresh.count == all.count {
		return schema, nil
	}
	latest, err := sources.Infer(ctx, r.a.store, fresh.files(), options)
	if err != nil {
		return nil, mistaken(err)
	}
	return compile.Sampled(schema, latest), nil
}

// list is the files that a glob matches, and of these the ones that the table has not loaded. For a table that is not
// there yet no file is told to be fresh, as all are.
func (r *resolver) list(ctx context.Context, table, glob string) (all, fresh ends, err error) {
	loaded, err := r.loaded(ctx, table)
	if err != nil {
		return all, fresh, err
	}
	listed := func(yield func(sources.File, error) bool) {
		for file, err := range r.a.store.List(ctx, glob) {
			if err != nil {
				err = mistaken(fmt.Errorf("list %s: %w", glob, err))
			} else {
				all.add(file)
			}
			if !yield(file, err) {
				return
			}
		}
	}
	if loaded == nil {
		for _, err := range listed {
			if err != nil {
				return all, fresh, err
			}
		}
		return all, fresh, nil
	}
	for file, err := range loaded.New(ctx, listed, nil) {
		if err != nil {
			return all, fresh, err
		}
		fresh.add(file)
	}
	return all, fresh, nil
}

// loaded is the files that a table has loaded; nil for a table that is not there.
func (r *resolver) loaded(ctx context.Context, table string) (*sources.FileSet, error) {
	t, err := r.a.lake.Table(ctx, table)
	if errors.Is(err, tables.ErrNoSuchTable) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	c, err := t.Checkpoint(ctx, r.writer)
	if err != nil {
		return nil, fmt.Errorf("checkpoint of %s: %w", table, err)
	}
	return loadedFiles(ctx, t, c)
}

// mistaken makes a diagnostic of what is wrong with a file or a glob.
func mistaken(err error) error {
	if isData(err) || isUser(err) {
		return &compile.Mistake{Offset: -1, Message: err.Error()}
	}
	return err
}

func (r *resolver) TableSchema(ctx context.Context, name string) (*compile.Existing, error) {
	t, err := r.a.lake.Table(ctx, name)
	switch {
	case errors.Is(err, tables.ErrNoSuchTable), errors.Is(err, tables.ErrDefinition):
		return nil, fmt.Errorf("%s: %w", name, compile.ErrNoTable)
	case err != nil:
		return nil, err
	}
	schema, err := t.Schema()
	if err != nil {
		return nil, err
	}
	return &compile.Existing{Schema: schema}, nil
}

func (r *resolver) Tables(ctx context.Context) ([]string, error) { return r.a.lake.Tables(ctx) }

func (r *resolver) SQLSchema(ctx context.Context, query string, lookup compile.Lookup) (*compile.Query, error) {
	in := &schemas{lookup: lookup}
	q, err := r.engine.Analyze(ctx, query, in)
	if in.err != nil {
		return nil, in.err // the engine says it in its own words, which are not an error's chain
	}
	var wrong *sql.Error
	switch {
	case errors.As(err, &wrong):
		return nil, &compile.Mistake{Offset: wrong.Offset, Message: wrong.Message, Hint: wrong.Hint}
	case err != nil:
		return nil, err
	}
	return &compile.Query{Schema: q.Schema, Reads: q.Reads}, nil
}

// schemas is the input of an analysis: tables without rows.
type schemas struct {
	mu     sync.Mutex
	lookup compile.Lookup
	err    error // the first that lookup gave
}

func (s *schemas) Schema(ctx context.Context, table string) (*arrow.Schema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	schema, err := s.lookup(ctx, table)
	if err != nil && s.err == nil {
		s.err = err
	}
	return schema, err
}

func (s *schemas) Scan(_ context.Context, table string, _ sql.Version, _ []string, _ []sql.Filter, _ int64) (array.RecordReader, error) {
	return nil, fmt.Errorf("read %s: an analysis reads no rows", table)
}
