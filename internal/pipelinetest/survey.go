package pipelinetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/spec"
)

// survey finds what is built and what is filled: from the expected tables back to the given ones.
func (r *run) survey(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(r.test.Expect)) {
		if err := r.toBuild(ctx, r.table(baseOf(name))); err != nil {
			return err
		}
	}
	r.checkGiven()
	return nil
}

// baseOf is the table whose refused rows another holds, or the table itself.
func baseOf(name string) string { return strings.TrimSuffix(name, plan.QuarantineSuffix) }

func (r *run) toBuild(ctx context.Context, t *spec.Table) error {
	name := t.Name.Value
	if r.built[name] {
		return nil
	}
	r.built[name] = true
	if t.Source != nil {
		if !r.given(name + spec.SourceSuffix) {
			at := r.test.ExpectAt(name, -1)
			r.mistake(at, "", "%s is built from files: give the rows that they hold as %s", name, name+spec.SourceSuffix)
		}
		return nil
	}
	reads, err := reads(ctx, r.resolver, t)
	if err != nil {
		return err
	}
	for _, other := range reads {
		if err := r.need(ctx, name, other); err != nil {
			return err
		}
	}
	return nil
}

// need sees to it that a table that is read will be there.
func (r *run) need(ctx context.Context, reader, name string) error {
	t := r.table(name)
	base := r.table(baseOf(name))
	refused := t == nil && base != nil
	switch {
	case refused && (!r.given(name) || r.made(base.Name.Value)):
		return r.toBuild(ctx, base)
	case t == nil && !r.given(name):
		r.mistake(r.test.Pos, meant(name, slices.Collect(maps.Keys(r.test.Given))),
			"table %q, which %s reads, is not built by this pipeline and not given", name, reader)
	case t == nil, r.given(name) && !r.made(name), t.Source != nil && !r.made(name):
		r.filled[name] = t
	default:
		return r.toBuild(ctx, t)
	}
	return nil
}

func (r *run) given(name string) bool {
	_, given := r.test.Given[name]
	return given
}

// made tells whether the test asks for a table to be built, whatever rows it is given.
func (r *run) made(name string) bool {
	_, expected := r.test.Expect[name]
	_, refused := r.test.Expect[name+plan.QuarantineSuffix]
	return expected || refused || r.given(name+spec.SourceSuffix)
}

// checkGiven reports given rows that nothing could read. Tables of the pipeline may be given for other tests' sake.
func (r *run) checkGiven() {
	var known []string
	for _, t := range r.suite.pipeline.Tables {
		known = append(known, t.Name.Value)
	}
	known = append(known, slices.Sorted(maps.Keys(r.filled))...)
	for name := range r.test.Given {
		base := baseOf(strings.TrimSuffix(name, spec.SourceSuffix))
		if !slices.Contains(known, base) && !slices.Contains(known, name) {
			r.mistake(r.test.GivenAt(name, -1), meant(name, known), "rows are given for table %q, which nothing that is built reads", name)
		}
	}
}

// reads are the tables that a table reads.
func reads(ctx context.Context, resolver compile.Resolver, t *spec.Table) ([]string, error) {
	switch {
	case t.From != nil:
		return []string{t.From.Table.Value}, nil
	case t.SQL == nil:
		return nil, nil
	}
	var out []string
	column := arrow.NewSchema([]arrow.Field{{Name: "c", Type: arrow.BinaryTypes.String, Nullable: true}}, nil)
	// All tables are asked for before columns are looked at. That those are not there then, or that the query has
	// mistakes, the compilation will say.
	_, err := resolver.SQLSchema(ctx, t.SQL.Value, func(_ context.Context, table string) (*arrow.Schema, error) {
		if !slices.Contains(out, table) {
			out = append(out, table)
		}
		return column, nil
	})
	var mistake *compile.Mistake
	if err != nil && !errors.As(err, &mistake) {
		return nil, fmt.Errorf("what %s reads: %w", t.Name.Value, err)
	}
	return out, nil
}
