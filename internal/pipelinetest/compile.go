package pipelinetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/sources"
	"github.com/varve-lake/varve/spec"
)

// writeSources writes the rows that stand for files, as NDJSON.
func (r *run) writeSources(context.Context) error {
	for name := range r.built {
		rows, given := r.test.Given[name+spec.SourceSuffix]
		if !given {
			continue
		}
		var text []byte
		for _, row := range rows {
			line, err := toJSON(row)
			if err != nil {
				return fmt.Errorf("rows given for %s: %w", name, err)
			}
			text = append(append(text, line...), '\n')
		}
		file := filepath.Join(r.dir, "sources", name+".ndjson")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return fmt.Errorf("rows given for %s: %w", name, err)
		}
		r.sources[name] = file
	}
	return nil
}

// compile makes the plan of the tables that are built. Those that are filled are in the lake by now.
func (r *run) compile(ctx context.Context) (*plan.Plan, error) {
	p, err := r.suite.compile(ctx, &building{r.resolver, r}, func(t *spec.Table) bool { return r.built[t.Name.Value] })
	if err != nil {
		return nil, err
	}
	for i := range p.Tables {
		t := &p.Tables[i]
		file, given := r.sources[t.Name]
		if !given {
			continue
		}
		files := standIn(*t.Files, file)
		t.Files = &files
	}
	return p, nil
}

// compile makes the plan of some of the pipeline's tables.
func (s *Suite) compile(ctx context.Context, resolver compile.Resolver, wanted func(*spec.Table) bool) (*plan.Plan, error) {
	part := *s.pipeline
	part.Tables = slices.DeleteFunc(slices.Clone(part.Tables), func(t *spec.Table) bool { return !wanted(t) })
	p, found, err := compile.Compile(ctx, &part, resolver, compile.Options{Source: s.source, Environment: "test"})
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, found.Errors()
	}
	return p, nil
}

// standIn makes a plan read the file of given rows. What is said of the real files' format is not about it.
func standIn(files plan.Files, file string) plan.Files {
	return plan.Files{
		Glob: filepath.ToSlash(file), Format: sources.NDJSON, SchemaMode: files.SchemaMode, Malformed: files.Malformed,
		Declared: files.Declared, MaxRowSize: files.MaxRowSize,
	}
}

// building resolves what is built in the test's lake.
type building struct {
	compile.Resolver
	run *run
}

// FileSchema is what the real files show, so that given rows are read as those would be, or else what the rows show.
func (b *building) FileSchema(ctx context.Context, table string, files plan.Files) (*arrow.Schema, error) {
	schema, err := b.run.suite.sniff(ctx, b.Resolver, table, files)
	if !errors.Is(err, compile.ErrNoFiles) {
		return schema, err
	}
	if files.Format == sources.Text || files.Format == sources.Binary {
		return schema, nil // these have the same columns always
	}
	return b.Resolver.FileSchema(ctx, table, standIn(files, b.run.sources[table]))
}

// sniffed is an answer about files.
type sniffed struct {
	schema *arrow.Schema
	err    error
}

// sniff asks about the real files, of one kind once.
func (s *Suite) sniff(ctx context.Context, resolver compile.Resolver, table string, files plan.Files) (*arrow.Schema, error) {
	key, err := json.Marshal(files)
	if err != nil {
		return nil, err
	}
	if known, asked := s.sniffed[string(key)]; asked {
		return known.schema, known.err
	}
	schema, err := resolver.FileSchema(ctx, table, files)
	if errors.Is(err, sources.ErrNoFiles) {
		err = fmt.Errorf("%s: %w", files.Glob, compile.ErrNoFiles)
	}
	if ctx.Err() == nil {
		s.sniffed[string(key)] = sniffed{schema, err}
	}
	return schema, err
}

// real resolves what a run would see: files, and of the lake only what is not the pipeline's own.
type real struct {
	compile.Resolver
	run     *run
	missing bool // there are no files to look at for a table
}

func (r *real) FileSchema(ctx context.Context, table string, files plan.Files) (*arrow.Schema, error) {
	schema, err := r.run.suite.sniff(ctx, r.Resolver, table, files)
	r.missing = r.missing || errors.Is(err, compile.ErrNoFiles)
	return schema, err
}

func (r *real) TableSchema(ctx context.Context, name string) (*compile.Existing, error) {
	if r.run.table(name) != nil {
		return nil, fmt.Errorf("%s: %w", name, compile.ErrNoTable)
	}
	return r.Resolver.TableSchema(ctx, name)
}

// columns are those that a run would give a table of the pipeline; known is false if that cannot be told, since files, or
// tables that are not the pipeline's, are not there.
func (r *run) columns(ctx context.Context, t *spec.Table) (columns []plan.Column, known bool, err error) {
	family := map[string]bool{}
	if known, err = r.ancestry(ctx, t, family); !known || err != nil {
		return nil, false, err
	}
	resolver := &real{Resolver: r.resolver, run: r}
	p, err := r.suite.compile(ctx, resolver, func(t *spec.Table) bool { return family[t.Name.Value] })
	switch {
	case resolver.missing:
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	return p.Table(t.Name.Value).Columns, true, nil
}

// ancestry collects a table and the tables of the pipeline that it comes from. It is false if one of them reads a table
// that is nowhere.
func (r *run) ancestry(ctx context.Context, t *spec.Table, family map[string]bool) (bool, error) {
	if family[t.Name.Value] {
		return true, nil
	}
	family[t.Name.Value] = true
	names, err := reads(ctx, r.resolver, t)
	if err != nil {
		return false, err
	}
	for _, name := range names {
		parent := r.table(name)
		if parent == nil {
			parent = r.table(baseOf(name))
		}
		if parent == nil {
			if _, err := r.resolver.TableSchema(ctx, name); errors.Is(err, compile.ErrNoTable) {
				return false, nil
			} else if err != nil {
				return false, err
			}
			continue
		}
		if known, err := r.ancestry(ctx, parent, family); !known || err != nil {
			return known, err
		}
	}
	return true, nil
}
