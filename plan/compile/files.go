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

// files is the schema of a table's files: what samples show, declared types before it, and the types that the table
// already has where they hold what the samples show.
func (c *compiler) files(ctx context.Context, b *build) (*arrow.Schema, error) {
	source := b.spec.Source
	files := planFiles(source, declaredTypes(b.spec))
	b.out.Files = &files
	schema, err := c.resolver.FileSchema(ctx, b.name(), files)
	var mistake *Mistake
	switch {
	case errors.Is(err, ErrNoFiles):
		return c.noFiles(b, schema)
	case errors.As(err, &mistake):
		c.fail(source.Files.Pos, mistake.Hint, "%s", mistake.Message)
		return nil, errReported
	case err != nil:
		return nil, fmt.Errorf("compile %s: files of %s: %w", c.pipeline.Name.Value, b.name(), err)
	}
	return c.reconcile(b, addDeclared(schema, files.Declared)), nil
}

func planFiles(s *spec.Source, declared []plan.Column) plan.Files {
	o := s.Options
	return plan.Files{
		Glob: s.Files.Value, Format: s.Format, SchemaMode: s.SchemaMode, Malformed: s.Malformed, Declared: declared,
		Delimiter: o.Delimiter, Quote: o.Quote, NoHeader: o.Header != nil && !*o.Header, NullValues: o.NullValues,
		SampleRows: o.SampleRows, MaxFileSize: o.MaxFileSize, MaxRowSize: o.MaxRowSize, HiveColumns: o.HiveColumns,
	}
}

// noFiles decides what a source without files yet comes to: a table that exists stays as it is, a new one has the
// declared columns.
func (c *compiler) noFiles(b *build, declared *arrow.Schema) (*arrow.Schema, error) {
	glob := b.spec.Source.Files
	switch {
	case b.existing != nil:
		b.out.Dormant = true
		return b.existing.Schema, nil
	case declared != nil && len(b.out.Files.Declared) > 0:
		c.warn(glob.Pos, "", "no files match %q yet: the columns of %s are the declared ones", glob.Value, b.name())
		return declared, nil
	}
	c.fail(glob.Pos, "declare them under columns, or deliver a file first",
		"no files match %q, so the columns of %s are not known", glob.Value, b.name())
	return nil, errReported
}

// addDeclared adds declared columns that no sample had: files to come may have them. They stand before the metadata
// columns.
func addDeclared(schema *arrow.Schema, declared []plan.Column) *arrow.Schema {
	fields := append([]arrow.Field(nil), schema.Fields()...)
	at := len(fields)
	for at > 0 && strings.HasPrefix(fields[at-1].Name, "_") {
		at--
	}
	for _, d := range declared {
		if schema.HasField(d.Name) {
			continue
		}
		t, err := columntype.Parse(d.Type)
		if err != nil {
			continue // reported where it is declared
		}
		fields = append(fields[:at:at], append([]arrow.Field{field(d.Name, t, false, "")}, fields[at:]...)...)
		at++
	}
	return arrow.NewSchema(fields, nil)
}

// reconcile fits what samples show to the table that the lake has. A column is read in the table's type, unless it may
// evolve into a wider one: an int of today's sample is a long like yesterday's, and digits stay a string. What then does
// not fit is a malformed row.
func (c *compiler) reconcile(b *build, schema *arrow.Schema) *arrow.Schema {
	if b.existing == nil {
		return schema
	}
	made, evolves := assigned(b.spec.Steps), b.spec.Source.SchemaMode == "evolve"
	var fields []arrow.Field
	for _, f := range schema.Fields() {
		have, found := lookup(b.existing.Schema, f.Name)
		switch {
		case made[f.Name] || declaredType(b.spec, f.Name):
		case !found && !evolves && !c.used(b, f.Name):
			continue // for the reader to refuse or to rescue
		case found && !(evolves && grows(have.Type, f.Type)):
			f.Type = have.Type
		}
		fields = append(fields, f)
	}
	read := arrow.NewSchema(fields, nil)
	if b.spec.Write.Merge != nil || b.spec.Write.CDC != nil {
		return read // a column that only clauses set must not be read as null
	}
	// Columns that earlier files had and today's do not: steps may name them all the same.
	var earlier []plan.Column
	for _, f := range b.existing.Schema.Fields() {
		if t, err := columntype.Format(f.Type); err == nil && !made[f.Name] && !read.HasField(f.Name) {
			earlier = append(earlier, plan.Column{Name: f.Name, Type: t})
		}
	}
	return addDeclared(read, earlier)
}

// grows tells whether a column may become of another type by evolution; of nested ones package tables decides.
func grows(from, to arrow.DataType) bool {
	return widens(from, to) || from.ID() == to.ID() && arrow.IsNested(from.ID())
}

// used tells whether a column that the table lacks is named by its declaration, its steps or as one of an event, or is
// one that Varve adds.
func (c *compiler) used(b *build, column string) bool {
	if strings.HasPrefix(column, "_") || declaredAt(b.spec, column) >= 0 || b.ofEvents(column) {
		return true
	}
	one := map[string]bool{column: true}
	for _, s := range b.spec.Steps {
		if s.Filter != nil && mentions(s.Filter.Value, one) {
			return true
		}
		for _, a := range slices.Concat(s.Derive, s.Rename, s.Cast) {
			if a.Name.Value == column || mentions(a.Value.Value, one) {
				return true
			}
		}
		if slices.ContainsFunc(slices.Concat(s.Select, s.Drop), func(t spec.Text) bool { return t.Value == column }) {
			return true
		}
	}
	return false
}
