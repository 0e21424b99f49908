// Package pipelinetest runs the tests that a pipeline's file declares: it fills a lake of its own with the given rows,
// builds what is expected by the plan and the activities that a run has, and compares. There is no server, and the lake
// is thrown away.
//
// Mistakes, of the pipeline or of a test, are spec.Diagnostics. A test that merely fails is a Result.
package pipelinetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/varve-lake/varve/activities"
	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/tables"
)

// Options of a suite. The zero value is usable.
type Options struct {
	// Root is where relative globs begin: files that are there tell the types of columns. The working directory if empty.
	Root string
	// TempDir is where lakes are made and thrown away; the system's if empty.
	TempDir string
}

// loadedAt is the clock of all builds, so that what is tested is the same each time.
var loadedAt = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Suite is the tests of one file. It runs one test at a time.
type Suite struct {
	pipeline *spec.Pipeline
	file     string
	source   []byte
	opts     Options
	sniffed  map[string]sniffed // what files show, by what is asked of them
}

// Load reads the tests of a file. Its mistakes are spec.Diagnostics.
func Load(file string, opts Options) (*Suite, error) {
	source, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("tests: %w", err)
	}
	pipeline, found := spec.Decode(filepath.ToSlash(file), source, spec.DecodeOptions{AllowUnset: true})
	if err := found.Err(); err != nil {
		return nil, err
	}
	return &Suite{pipeline: pipeline, file: file, source: source, opts: opts, sniffed: map[string]sniffed{}}, nil
}

// Tests are the file's tests, in its order.
func (s *Suite) Tests() []*spec.Test {
	out := make([]*spec.Test, len(s.pipeline.Tests))
	for i := range out {
		out[i] = &s.pipeline.Tests[i]
	}
	return out
}

// Run runs one test. The error is spec.Diagnostics where the test or the pipeline has mistakes, so that it could not be
// run; or else a fault of the machine.
func (s *Suite) Run(ctx context.Context, test *spec.Test) (_ *Result, err error) {
	began := time.Now()
	dir, err := os.MkdirTemp(s.opts.TempDir, "varve-test-")
	if err != nil {
		return nil, fmt.Errorf("a lake for the test: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	a, err := activities.Open(ctx, activities.Config{
		Root: s.opts.Root, Environment: "test", Lake: tables.Local(dir), WorkDir: filepath.Join(dir, "tmp"),
		Memory: 1 << 30, Parallelism: 2,
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	resolver, err := a.Resolver(s.pipeline.Name.Value)
	if err != nil {
		return nil, err
	}
	r := &run{
		suite: s, test: test, activities: a, resolver: resolver, dir: dir,
		built: map[string]bool{}, filled: map[string]*spec.Table{}, sources: map[string]string{},
	}
	result, err := r.run(ctx)
	if err != nil {
		return nil, err
	}
	result.Seconds = time.Since(began).Seconds()
	return result, nil
}

// run is one test in its lake.
type run struct {
	suite      *Suite
	test       *spec.Test
	activities *activities.Activities
	resolver   compile.Resolver
	dir        string

	built    map[string]bool        // tables of the pipeline that are built
	filled   map[string]*spec.Table // tables that are there before; nil for one that is not the pipeline's
	sources  map[string]string      // the files that stand for those of a table
	mistakes spec.Diagnostics
}

func (r *run) run(ctx context.Context) (*Result, error) {
	for _, phase := range []func(context.Context) error{r.survey, r.fill, r.writeSources} {
		if err := errors.Join(phase(ctx), r.mistaken()); err != nil {
			return nil, err
		}
	}
	p, err := r.compile(ctx)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(r.prefill(ctx, p), r.mistaken()); err != nil {
		return nil, err
	}
	result := &Result{
		File: r.suite.pipeline.Pos.File, Line: r.test.Pos.Line, Pipeline: r.suite.pipeline.Name.Value, Name: r.test.Name.Value,
	}
	for i := range p.Tables {
		if err := r.build(ctx, &p.Tables[i]); ctx.Err() != nil {
			return nil, ctx.Err()
		} else if err != nil {
			result.Failure = fmt.Sprintf("build %s: %v", p.Tables[i].Name, err)
			return result, nil
		}
	}
	for _, table := range slices.Sorted(maps.Keys(r.test.Expect)) {
		d, err := r.compare(ctx, p, table)
		if err != nil {
			return nil, err
		}
		if d != nil {
			result.Differences = append(result.Differences, *d)
		}
	}
	result.Passed = len(result.Differences) == 0
	return result, r.mistaken()
}

func (r *run) build(ctx context.Context, t *plan.Table) error {
	_, err := r.activities.Build(ctx, wire.Build{
		Pipeline: r.suite.pipeline.Name.Value, Run: "test", Workflow: "test/" + t.Name, FirstRun: "test", LoadedAt: loadedAt,
	}, t)
	return err
}

// table is a table of the pipeline, or nil.
func (r *run) table(name string) *spec.Table {
	for _, t := range r.suite.pipeline.Tables {
		if t.Name.Value == name {
			return t
		}
	}
	return nil
}

func (r *run) mistake(at spec.Pos, hint, format string, args ...any) {
	r.mistakes = append(r.mistakes, spec.Diagnostic{Pos: at, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// mistaken is the mistakes found so far.
func (r *run) mistaken() error {
	if len(r.mistakes) == 0 {
		return nil
	}
	r.mistakes.Sort()
	return r.mistakes.WithSource(r.suite.source)
}

func meant(name string, known []string) string {
	if near := spec.Nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}
