package compile

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/spec"
)

// enforce makes the table's columns of the rows that leave the steps, the declared columns, and what the lake has.
func (c *compiler) enforce(b *build, rows *arrow.Schema) error {
	rows, target := c.declare(b, rows)
	columns := c.place(b, target)
	b.rows = rows
	b.schema = columns
	if b.existing != nil {
		b.schema = Union(b.existing.Schema, columns)
	}
	var err error
	if b.out.Columns, err = Columns(columns); err == nil && b.spec.Write.Merge != nil {
		b.out.Rows, err = Columns(rows)
	}
	if err != nil {
		c.fail(b.spec.Pos, "", "%v", err)
		return errReported
	}
	return nil
}

// declare gives rows the declared types, and adds what is declared only for the table.
func (c *compiler) declare(b *build, rows *arrow.Schema) (source, target *arrow.Schema) {
	enforced := make(map[string]arrow.Field)
	var extra []arrow.Field
	for _, d := range b.spec.Columns {
		made, found := lookup(rows, d.Name.Value)
		switch {
		case found:
			enforced[d.Name.Value] = c.declared(b, rows, made, d)
		case b.unknown[d.Name.Value]:
			if f, ok := asDeclared(d); ok {
				enforced[d.Name.Value] = f
				extra = append(extra, f)
			}
		default:
			if f, ok := c.absent(b, rows, d); ok {
				extra = append(extra, f)
			}
		}
	}
	required := make(map[string]bool)
	for _, column := range b.spec.Identifier {
		required[column.Value] = true
	}
	var fields []arrow.Field
	for _, f := range rows.Fields() {
		as, named := enforced[f.Name]
		if named {
			f = as
		} else if b.spec.Strict {
			continue
		}
		if required[f.Name] {
			f.Nullable = false
		}
		fields = append(fields, f)
	}
	if b.spec.Strict {
		slices.SortStableFunc(fields, func(x, y arrow.Field) int { return declaredAt(b.spec, x.Name) - declaredAt(b.spec, y.Name) })
	}
	source = arrow.NewSchema(fields, nil)
	return source, arrow.NewSchema(append(slices.Clone(fields), extra...), nil)
}

func declaredAt(t *spec.Table, name string) int {
	return slices.IndexFunc(t.Columns, func(d spec.Column) bool { return d.Name.Value == name })
}

// declared is a column of the rows as it is declared.
func (c *compiler) declared(b *build, rows *arrow.Schema, made arrow.Field, d spec.Column) arrow.Field {
	t := made.Type
	if d.Type != nil {
		if cast, ok := c.castable(b, rows, d.Name.Value, *d.Type); ok {
			f, _ := lookup(cast, d.Name.Value)
			t = f.Type
		}
	}
	doc := d.Doc
	if doc == "" {
		doc, _ = made.Metadata.GetValue(docKey)
	}
	return field(made.Name, t, d.Required, doc)
}

func asDeclared(d spec.Column) (arrow.Field, bool) {
	if d.Type == nil {
		return arrow.Field{}, false
	}
	t, err := columntype.Parse(d.Type.Value)
	if err != nil {
		return arrow.Field{}, false
	}
	return field(d.Name.Value, t, false, d.Doc), true
}

// absent judges a declared column that the rows do not have. Of a merge it is the target's own, which clauses may set.
// Otherwise it is null, until files bring it.
func (c *compiler) absent(b *build, rows *arrow.Schema, d spec.Column) (arrow.Field, bool) {
	name := d.Name.Value
	if d.Type == nil {
		c.fail(d.Name.Pos, meant(name, names(rows)), "column %q is declared without a type, and is not in %s", name, b.where())
		return arrow.Field{}, false
	}
	f, ok := asDeclared(d)
	if !ok {
		c.castable(b, rows, name, *d.Type) // says what is wrong with the type
		return f, false
	}
	merges := b.spec.Write.Merge != nil
	switch {
	case d.Required && !merges:
		c.fail(d.Name.Pos, meant(name, names(rows)), "column %q is required, and is not in %s", name, b.where())
		return f, false
	case !merges:
		c.warn(d.Name.Pos, meant(name, undeclared(b.spec, rows)), "column %q is not in %s: it will be null", name, b.where())
	}
	f.Nullable = !d.Required
	return f, true
}

func undeclared(t *spec.Table, rows *arrow.Schema) []string {
	return slices.DeleteFunc(names(rows), func(name string) bool { return declaredAt(t, name) >= 0 })
}

// place fits the columns into the table that the lake has: types that it holds wider stay so, new columns and wider
// types come if the table may evolve.
func (c *compiler) place(b *build, target *arrow.Schema) *arrow.Schema {
	if b.existing == nil {
		return target
	}
	var fields []arrow.Field
	for _, f := range target.Fields() {
		have, found := lookup(b.existing.Schema, f.Name)
		if !found {
			if c.added(b, f) {
				fields = append(fields, f)
			}
			continue
		}
		fields = append(fields, c.kept(b, have, f))
	}
	for _, have := range b.existing.Schema.Fields() {
		if !have.Nullable && !target.HasField(have.Name) && !b.unknown[have.Name] {
			c.fail(b.spec.Name.Pos, meant(have.Name, names(target)),
				"column %q of %s is required, and is not in the rows that are written", have.Name, b.name())
		}
	}
	return arrow.NewSchema(fields, nil)
}

// added judges a column that the table does not have yet.
func (c *compiler) added(b *build, f arrow.Field) bool {
	at := columnAt(b.spec, f.Name)
	if m := b.spec.Write.Merge; m != nil && declaredAt(b.spec, f.Name) < 0 {
		switch m.NewColumns {
		case "ignore":
			return false
		case "error":
			c.fail(m.Pos, "new_columns: evolve adds it, ignore leaves it out", "column %q of the rows is not in %s, and new_columns is error", f.Name, b.name())
			return false
		}
	} else if b.spec.SchemaMode == "enforce" && declaredAt(b.spec, f.Name) < 0 {
		c.fail(at, "schema_mode: evolve would add it", "column %q is not in %s as the lake has it, and schema_mode is enforce", f.Name, b.name())
		return false
	}
	if !f.Nullable {
		c.fail(at, "declare it without required, and expect that it is not null",
			"column %q is new to %s and cannot be required: rows that are there have no value for it", f.Name, b.name())
	}
	return true
}

// kept judges a column that the table has, and gives it the type that it will have.
func (c *compiler) kept(b *build, have, f arrow.Field) arrow.Field {
	at := columnAt(b.spec, f.Name)
	if have.Nullable && !f.Nullable {
		c.fail(at, "expect that it is not null instead", "column %q of %s is optional in the lake and cannot become required", f.Name, b.name())
	}
	was, is := notation(have.Type), notation(f.Type)
	declared := declaredType(b.spec, f.Name)
	switch {
	case was == is || b.unknown[f.Name]:
	case widens(have.Type, f.Type):
		if b.spec.SchemaMode == "enforce" && !declared {
			c.fail(at, "schema_mode: evolve would widen it", "column %q of %s is %s in the lake, now %s, and schema_mode is enforce", f.Name, b.name(), was, is)
		}
	case !declared && (widens(f.Type, have.Type) || have.Type.ID() == arrow.STRING && !arrow.IsNested(f.Type.ID())):
		f.Type = have.Type
	case declared:
		c.fail(at, "", "column %q of %s is %s in the lake and cannot become %s", f.Name, b.name(), was, is)
	default:
		c.fail(at, "declare the column's type, or cast it", "column %q of %s is %s in the lake, and its rows are now %s", f.Name, b.name(), was, is)
	}
	return f
}

func declaredType(t *spec.Table, name string) bool {
	i := declaredAt(t, name)
	return i >= 0 && t.Columns[i].Type != nil
}

// columnAt is where a column is declared, or else the table.
func columnAt(t *spec.Table, name string) spec.Pos {
	i := declaredAt(t, name)
	switch {
	case i < 0:
		return t.Name.Pos
	case t.Columns[i].Type != nil:
		return t.Columns[i].Type.Pos
	}
	return t.Columns[i].Name.Pos
}
