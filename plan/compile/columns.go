package compile

import (
	"slices"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/spec"
)

// enforce makes the table's columns of the rows that leave the steps, the declared columns, and what the lake has.
func (c *compiler) enforce(b *build, rows *arrow.Schema) error {
	rows, target := c.declare(b, rows)
	if b.spec.Write.CDC != nil {
		b.cdc = c.changeData(b)
		target = b.cdc.columns(rows, target)
	}
	columns := c.place(b, target)
	b.rows = rows
	b.schema = columns
	if b.existing != nil {
		b.schema = union(b.existing.Schema, columns)
	}
	var err error
	if b.out.Columns, err = Columns(columns); err == nil && b.spec.Write.Merge != nil {
		b.out.Rows, err = Columns(rows)
	}
	if err == nil && b.cdc != nil {
		err = b.cdc.settle(rows, columns)
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
		} else if b.spec.Strict && !b.eventOnly(f.Name) {
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
	merges := b.spec.Write.Merge != nil || b.spec.Write.CDC != nil
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
	var refused []string
	for _, f := range target.Fields() {
		have, found := lookup(b.existing.Schema, f.Name)
		switch {
		case found:
			fields = append(fields, c.kept(b, have, f))
		case b.spec.Write.Merge != nil && b.spec.Write.Merge.NewColumns == "ignore" && declaredAt(b.spec, f.Name) < 0:
		case b.mayAdd(f.Name):
			fields = append(fields, c.added(b, f))
		default:
			refused = append(refused, strconv.Quote(f.Name))
		}
	}
	c.refuse(b, refused)
	for _, have := range b.existing.Schema.Fields() {
		if !have.Nullable && !target.HasField(have.Name) && !b.unknown[have.Name] {
			c.fail(b.spec.Name.Pos, meant(have.Name, names(target)),
				"column %q of %s is required, and is not in the rows that are written", have.Name, b.name())
		}
	}
	return arrow.NewSchema(fields, nil)
}

// mayAdd tells whether a column that the table lacks is added to it: one that is declared, or that Varve adds to files,
// in every mode.
func (b *build) mayAdd(column string) bool {
	if declaredAt(b.spec, column) >= 0 || b.spec.Source != nil && strings.HasPrefix(column, "_") || b.cdc.makes(column) {
		return true
	}
	if m := b.spec.Write.Merge; m != nil {
		return m.NewColumns == "evolve"
	}
	return b.spec.SchemaMode == "evolve"
}

// refuse reports the new columns that the table may not get.
func (c *compiler) refuse(b *build, columns []string) {
	if len(columns) == 0 {
		return
	}
	what := "column " + columns[0] + " is"
	if len(columns) > 1 {
		what = "columns " + strings.Join(columns[:len(columns)-1], ", ") + " and " + columns[len(columns)-1] + " are"
	}
	if m := b.spec.Write.Merge; m != nil {
		c.fail(m.Pos, "new_columns: evolve adds what is new, ignore leaves it out", "%s not in %s as the lake has it, and new_columns is %s", what, b.name(), m.NewColumns)
		return
	}
	c.fail(b.spec.Name.Pos, "declare what is new, drop it, or let schema_mode be evolve",
		"%s not in %s as the lake has it, and schema_mode is %s", what, b.name(), b.spec.SchemaMode)
}

// added is a column that the table does not have yet.
func (c *compiler) added(b *build, f arrow.Field) arrow.Field {
	if !f.Nullable {
		c.fail(columnAt(b.spec, f.Name), "declare it without required, and expect that it is not null",
			"column %q is new to %s and cannot be required: rows that are there have no value for it", f.Name, b.name())
	}
	return f
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
	case have.Type.ID() == f.Type.ID() && arrow.IsNested(f.Type.ID()) && b.spec.SchemaMode == "evolve":
	case widens(have.Type, f.Type):
		if b.spec.SchemaMode != "evolve" && !declared {
			c.fail(at, "schema_mode: evolve would widen it", "column %q of %s is %s in the lake, now %s, and schema_mode is %s", f.Name, b.name(), was, is, b.spec.SchemaMode)
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
