package compile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/spec"
)

// input is the schema of what the table reads.
func (c *compiler) input(ctx context.Context, b *build) (*arrow.Schema, error) {
	switch t := b.spec; {
	case t.Source != nil:
		return c.files(ctx, b)
	case t.From != nil:
		b.out.From = &plan.From{Table: t.From.Table.Value, Read: t.From.Read}
		schema, err := c.read(ctx, b, t.From.Table.Value, t.From.Table.Pos)
		if dependency := c.tables[t.From.Table.Value]; err == nil && dependency != nil {
			for column := range dependency.unknown {
				b.unknown[column] = true
			}
		}
		return schema, err
	case t.SQL != nil:
		return c.query(ctx, b)
	}
	c.fail(b.spec.Pos, "", "%s says nothing of what it reads: expected one of source, from and sql", b.name())
	return nil, errReported
}

// where names what a table reads, for messages about columns that are not there.
func (b *build) where() string {
	switch {
	case b.reshaped:
		return fmt.Sprintf("the rows of %s at this step", b.name())
	case b.spec.From != nil:
		return b.spec.From.Table.Value
	case b.spec.SQL != nil:
		return "the result of the query"
	}
	return "the files of " + b.name()
}

// read is the schema of a table of the pipeline or the lake. That there is none is reported at the place.
func (c *compiler) read(ctx context.Context, b *build, name string, at spec.Pos) (*arrow.Schema, error) {
	if dependency := c.tables[name]; dependency != nil {
		return c.readBuilt(ctx, b, dependency)
	}
	base, found := strings.CutSuffix(name, plan.QuarantineSuffix)
	if dependency := c.tables[base]; found && dependency != nil {
		if _, err := c.readBuilt(ctx, b, dependency); err != nil {
			return nil, err
		}
		if dependency.out.Quarantine == name {
			return Schema(plan.QuarantineColumns)
		}
	}
	existing, err := c.inLake(ctx, name)
	if err != nil {
		return nil, err
	}
	if existing != nil {
		return existing.Schema, nil
	}
	known, err := c.known(ctx)
	if err != nil {
		return nil, err
	}
	known = slices.DeleteFunc(known, func(other string) bool { return other == b.name() })
	c.fail(at, meant(name, known), "no table %q: neither this pipeline builds it nor is it in the lake", name)
	return nil, errReported
}

func (c *compiler) readBuilt(ctx context.Context, b, dependency *build) (*arrow.Schema, error) {
	if dependency.state == visiting {
		c.circle(dependency)
		return nil, errReported
	}
	if err := c.compile(ctx, dependency); err != nil {
		return nil, err
	}
	if dependency.failed || dependency.schema == nil {
		return nil, errReported
	}
	if !slices.Contains(b.out.After, dependency.name()) {
		b.out.After = append(b.out.After, dependency.name())
	}
	return dependency.schema, nil
}

// circle reports tables that read each other, at the read of the one that was come to first.
func (c *compiler) circle(first *build) {
	path := c.path[slices.Index(c.path, first.name()):]
	if len(path) == 1 {
		c.fail(readAt(first.spec), "", "%s reads itself", first.name())
		return
	}
	c.fail(readAt(first.spec), "", "tables read each other in a circle: %s reads %s", strings.Join(path, " reads "), first.name())
}

func readAt(t *spec.Table) spec.Pos {
	switch {
	case t.From != nil:
		return t.From.Table.Pos
	case t.SQL != nil:
		return t.SQL.Pos
	}
	return t.Pos
}

// known lists the tables that could be read.
func (c *compiler) known(ctx context.Context) ([]string, error) {
	if c.lake == nil {
		var err error
		if c.lake, err = c.resolver.Tables(ctx); err != nil {
			return nil, fmt.Errorf("compile %s: list the lake's tables: %w", c.pipeline.Name.Value, err)
		}
	}
	all := slices.Clone(c.lake)
	for _, t := range c.pipeline.Tables {
		all = append(all, t.Name.Value)
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

func (c *compiler) query(ctx context.Context, b *build) (*arrow.Schema, error) {
	text := *b.spec.SQL
	find := func(ctx context.Context, table string) (*arrow.Schema, error) {
		schema, err := c.read(ctx, b, table, c.mention(text, table))
		if dependency := c.tables[table]; err == nil && dependency != nil && len(dependency.unknown) > 0 {
			return nil, errReported // columns are missing whose mistake is reported already
		}
		return schema, err
	}
	query, err := c.resolver.SQLSchema(ctx, text.Value, find)
	var mistake *Mistake
	switch {
	case errors.Is(err, errReported):
		return nil, errReported
	case errors.As(err, &mistake):
		at := text.Pos
		if mistake.Offset >= 0 {
			at = text.At(mistake.Offset)
		}
		c.fail(at, mistake.Hint, "%s", mistake.Message)
		return nil, errReported
	case err != nil:
		return nil, fmt.Errorf("compile %s: query of %s: %w", c.pipeline.Name.Value, b.name(), err)
	}
	engine := b.spec.Engine
	if engine == "" {
		engine = "duckdb"
	}
	b.out.SQL = &plan.SQL{Query: text.Value, Engine: engine, Reads: query.Reads}
	c.sortAfter(b)
	return query.Schema, nil
}

// sortAfter puts what a table waits for into the file's order: an analysis may ask for tables in any.
func (c *compiler) sortAfter(b *build) {
	at := func(name string) int {
		return slices.IndexFunc(c.pipeline.Tables, func(t *spec.Table) bool { return t.Name.Value == name })
	}
	slices.SortFunc(b.out.After, func(x, y string) int { return at(x) - at(y) })
}

// mention is the place where a query names a table.
func (c *compiler) mention(query spec.Text, table string) spec.Pos {
	for from := 0; ; {
		i := strings.Index(query.Value[from:], table)
		if i < 0 {
			return query.Pos
		}
		i += from
		end := i + len(table)
		if (i == 0 || !nameByte(query.Value[i-1])) && (end == len(query.Value) || !nameByte(query.Value[end])) {
			return query.At(i)
		}
		from = end
	}
}

func nameByte(c byte) bool {
	return c == '_' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// declaredTypes are the columns whose declared types override what files look like: those that no step makes.
func declaredTypes(t *spec.Table) []plan.Column {
	made := assigned(t.Steps)
	var out []plan.Column
	for _, d := range t.Columns {
		if d.Type == nil || made[d.Name.Value] {
			continue
		}
		if _, err := columntype.Parse(d.Type.Value); err == nil {
			out = append(out, plan.Column{Name: d.Name.Value, Type: d.Type.Value})
		}
	}
	return out
}

// assigned are the columns that steps make, change or take away under that name.
func assigned(steps []spec.Step) map[string]bool {
	out := make(map[string]bool)
	for _, s := range steps {
		for _, a := range s.Derive {
			out[a.Name.Value] = true
		}
		for _, a := range s.Cast {
			out[a.Name.Value] = true
		}
		for _, a := range s.Rename {
			out[a.Name.Value], out[a.Value.Value] = true, true
		}
	}
	return out
}
