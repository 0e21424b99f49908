package pipelinetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/sources"
	"github.com/varve-lake/varve/sources/jsontext"
	"github.com/varve-lake/varve/sources/sniff"
	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
)

// fill makes the tables that are there before anything is built. Those that are not the pipeline's come first: the
// others' columns may follow from theirs.
func (r *run) fill(ctx context.Context) error {
	names := slices.Sorted(maps.Keys(r.filled))
	slices.SortStableFunc(names, func(a, b string) int { return rank(r.filled[a]) - rank(r.filled[b]) })
	for _, name := range names {
		columns, err := r.columnsOf(ctx, name, r.filled[name])
		if err != nil {
			return err
		}
		if len(columns) == 0 {
			r.mistake(r.test.GivenAt(name, -1), "", "the columns of %s are not known: there are no files, and none is declared: give it rows", name)
			continue
		}
		for i := range columns {
			columns[i].Required = false // rows need not name what the test is not about
		}
		schema, err := compile.Schema(columns)
		if err != nil {
			return fmt.Errorf("columns of %s: %w", name, err)
		}
		if err := r.put(ctx, tables.Definition{Name: name, Schema: schema}); err != nil {
			return err
		}
	}
	return nil
}

func rank(t *spec.Table) int {
	if t == nil {
		return 0
	}
	return 1
}

// columnsOf are the columns of a table that is filled.
func (r *run) columnsOf(ctx context.Context, name string, t *spec.Table) ([]plan.Column, error) {
	switch {
	case t == nil && r.table(baseOf(name)) != nil:
		return slices.Clone(plan.QuarantineColumns), nil
	case t == nil:
		return r.guess(name, nil)
	}
	columns, known, err := r.columns(ctx, t)
	if err != nil {
		return nil, err
	}
	if !known {
		return r.guess(name, t)
	}
	return slices.Clone(columns), nil
}

// guess finds columns without files: the declared ones, then those that rows name, then those that Varve adds.
func (r *run) guess(name string, t *spec.Table) ([]plan.Column, error) {
	var out, added []plan.Column
	if t != nil {
		for _, c := range t.Columns {
			if c.Type != nil {
				out = append(out, plan.Column{Name: c.Name.Value, Type: c.Type.Value})
			}
		}
		added = metadata(t)
	}
	seen := &sniff.Fields{}
	for _, row := range r.test.Given[name] {
		text, err := toJSON(row)
		if err != nil {
			return nil, fmt.Errorf("rows given for %s: %w", name, err)
		}
		p := &jsontext.Parser{}
		p.Reset(text)
		if err := seen.JSON(p); err != nil {
			return nil, fmt.Errorf("rows given for %s: %w", name, err)
		}
	}
	for i, column := range seen.Names {
		named := func(c plan.Column) bool { return c.Name == column }
		if slices.ContainsFunc(out, named) || slices.ContainsFunc(added, named) {
			continue
		}
		kind, err := columntype.Format(seen.Columns[i].Type())
		if err != nil {
			return nil, fmt.Errorf("column %q of %s: %w", column, name, err)
		}
		out = append(out, plan.Column{Name: column, Type: kind})
	}
	for _, c := range out {
		if _, err := columntype.Parse(c.Type); err != nil {
			r.mistake(r.test.GivenAt(name, -1), "", "column %q of %s is declared as %q: %v", c.Name, name, c.Type, err)
			return nil, r.mistaken()
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	return append(out, added...), nil
}

// metadata are the columns that a table has beside those of its files.
func metadata(t *spec.Table) []plan.Column {
	if t.Source == nil {
		return nil
	}
	out := []plan.Column{
		{Name: sources.SourceFileColumn, Type: "string"}, {Name: sources.SourceRowColumn, Type: "long"},
		{Name: sources.LoadedAtColumn, Type: "timestamptz"},
	}
	if t.Source.SchemaMode == sources.Rescue {
		out = append(out, plan.Column{Name: sources.RescuedColumn, Type: "string"})
	}
	return out
}

// prefill gives tables that are built the rows that they hold before.
func (r *run) prefill(ctx context.Context, p *plan.Plan) error {
	for i := range p.Tables {
		t := &p.Tables[i]
		if r.given(t.Name) {
			schema, err := compile.Schema(t.Columns)
			if err != nil {
				return fmt.Errorf("columns of %s: %w", t.Name, err)
			}
			if err := r.put(ctx, tables.Definition{
				Name: t.Name, Schema: schema, Identifier: t.Identifier, PartitionBy: t.PartitionBy, SortBy: t.SortBy,
				Properties: t.Properties, FormatVersion: t.FormatVersion, Doc: t.Doc, Owner: t.Owner,
			}); err != nil {
				return err
			}
		}
		if refused := t.Name + plan.QuarantineSuffix; r.given(refused) {
			schema, err := compile.Schema(plan.QuarantineColumns)
			if err != nil {
				return err
			}
			if err := r.put(ctx, tables.Definition{Name: refused, Schema: schema, FormatVersion: t.FormatVersion}); err != nil {
				return err
			}
		}
	}
	return nil
}

// put makes a table and adds the rows that are given for it. Mistakes in rows are kept.
func (r *run) put(ctx context.Context, def tables.Definition) error {
	table, _, err := r.activities.Lake().Ensure(ctx, def)
	if err != nil {
		return fmt.Errorf("given table %s: %w", def.Name, err)
	}
	rows := r.test.Given[def.Name]
	if len(rows) == 0 {
		return nil
	}
	before := len(r.mistakes)
	batch, err := r.batch(def.Schema, def.Name, rows, func(i int) spec.Pos { return r.test.GivenAt(def.Name, i) })
	if err != nil || len(r.mistakes) > before {
		return err
	}
	defer batch.Release()
	reader, err := array.NewRecordReader(batch.Schema(), []arrow.RecordBatch{batch})
	if err != nil {
		return fmt.Errorf("rows given for %s: %w", def.Name, err)
	}
	staged, err := table.Stage(ctx, reader, tables.StageOptions{Prefix: "given"})
	if err != nil {
		return fmt.Errorf("rows given for %s: %w", def.Name, err)
	}
	id := commit.ID{Writer: "given", Token: strings.ReplaceAll(def.Name, ".", "-")}
	if _, err := table.Append(ctx, tables.CommitOptions{ID: id}, staged); err != nil {
		return fmt.Errorf("rows given for %s: %w", def.Name, err)
	}
	return nil
}
