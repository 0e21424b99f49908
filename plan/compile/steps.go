package compile

import (
	"errors"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/transforms"
	"github.com/varve-lake/varve/transforms/expression"
)

// steps carries the schema through the table's steps.
func (c *compiler) steps(b *build, schema *arrow.Schema) *arrow.Schema {
	for _, s := range b.spec.Steps {
		b.out.Steps = append(b.out.Steps, planStep(s))
		switch {
		case s.Filter != nil:
			c.filter(b, schema, *s.Filter)
		case s.Derive != nil:
			schema = c.derive(b, schema, s.Derive)
		case s.Cast != nil:
			schema = c.cast(b, schema, s.Cast)
		case s.Rename != nil:
			schema = c.rename(b, schema, s)
		case s.Select != nil:
			schema = c.pick(b, schema, s, s.Select, func(have []string) transforms.Step { return transforms.Step{Select: have} })
		case s.Drop != nil:
			schema = c.pick(b, schema, s, s.Drop, func(have []string) transforms.Step { return transforms.Step{Drop: have} })
		case s.Dedupe != nil:
			c.dedupe(b, schema, s.Dedupe)
		}
	}
	return schema
}

// has reports a column that the rows do not have, unless its absence comes from a mistake that is reported.
func (c *compiler) has(b *build, schema *arrow.Schema, column spec.Text) bool {
	if schema.HasField(column.Value) {
		return true
	}
	if !b.unknown[column.Value] {
		c.noColumn(column.Pos, column.Value, b.where(), schema)
	}
	return false
}

func (c *compiler) filter(b *build, schema *arrow.Schema, text spec.Text) {
	if mentions(text.Value, b.unknown) {
		return
	}
	if _, err := transforms.NewChain(schema, []transforms.Step{{Filter: text.Value}}, nil); err != nil {
		c.expression(text, err, expression.Scope{"": schema}, map[string]string{"": b.where()})
	}
}

// derive checks the assignments together, as they run, and leaves out one after the other that is wrong.
func (c *compiler) derive(b *build, schema *arrow.Schema, assigns []spec.Assign) *arrow.Schema {
	good := slices.Clone(assigns)
	for {
		good = slices.DeleteFunc(good, func(a spec.Assign) bool {
			skip := mentions(a.Value.Value, b.unknown)
			if skip {
				b.unknown[a.Name.Value] = true
			}
			return skip
		})
		if len(good) == 0 {
			return schema
		}
		chain, err := transforms.NewChain(schema, []transforms.Step{{Derive: pairs(good)}}, nil)
		if err == nil {
			b.reshaped = true
			return chain.Schema()
		}
		wrong := slices.IndexFunc(good, func(a spec.Assign) bool { return a.Name.Value == fieldOf(err) })
		if wrong < 0 {
			wrong = 0
		}
		c.expression(good[wrong].Value, err, expression.Scope{"": schema}, map[string]string{"": b.where()})
		b.unknown[good[wrong].Name.Value] = true
		good = slices.Delete(good, wrong, wrong+1)
	}
}

func fieldOf(err error) string {
	var step *transforms.StepError
	if errors.As(err, &step) {
		return step.Field
	}
	return ""
}

func (c *compiler) cast(b *build, schema *arrow.Schema, assigns []spec.Assign) *arrow.Schema {
	for _, a := range assigns {
		if !c.has(b, schema, a.Name) {
			continue
		}
		if cast, ok := c.castable(b, schema, a.Name.Value, a.Value); ok {
			schema = cast
		} else {
			b.unknown[a.Name.Value] = true
		}
	}
	return schema
}

// castable is the schema with one column of another type.
func (c *compiler) castable(b *build, schema *arrow.Schema, column string, to spec.Text) (*arrow.Schema, bool) {
	if _, err := columntype.Parse(to.Value); err != nil {
		var wrong *columntype.Error
		if errors.As(err, &wrong) {
			c.fail(to.At(wrong.Offset), hintOf(wrong.Hint), "%s", wrong.Message)
		} else {
			c.fail(to.Pos, "", "%v", err)
		}
		return nil, false
	}
	if b.unknown[column] {
		return nil, false
	}
	step := transforms.Step{Cast: []transforms.Assign{{Name: column, Value: to.Value}}}
	chain, err := transforms.NewChain(schema, []transforms.Step{step}, nil)
	if err != nil {
		f, _ := lookup(schema, column)
		c.fail(to.Pos, "", "column %q has type %s, which cannot be cast to %s", column, notation(f.Type), to.Value)
		return nil, false
	}
	return chain.Schema(), true
}

func hintOf(name string) string {
	if name == "" {
		return ""
	}
	return "did you mean \"" + name + "\"?"
}

func (c *compiler) rename(b *build, schema *arrow.Schema, s spec.Step) *arrow.Schema {
	var good []spec.Assign
	for _, a := range s.Rename {
		if c.has(b, schema, a.Name) {
			good = append(good, a)
		} else {
			b.unknown[a.Value.Value] = true
		}
	}
	for _, a := range good {
		if b.unknown[a.Name.Value] {
			b.unknown[a.Value.Value] = true
		}
	}
	return c.reshape(b, schema, s, transforms.Step{Rename: pairs(good)}, len(good))
}

// pick checks a step that names columns.
func (c *compiler) pick(b *build, schema *arrow.Schema, s spec.Step, columns []spec.Text, step func([]string) transforms.Step) *arrow.Schema {
	var have []string
	for _, column := range columns {
		if c.has(b, schema, column) {
			have = append(have, column.Value)
		}
	}
	return c.reshape(b, schema, s, step(have), len(have))
}

// reshape applies a step whose columns all exist; what else may be wrong with it is reported at the field it names.
func (c *compiler) reshape(b *build, schema *arrow.Schema, s spec.Step, step transforms.Step, n int) *arrow.Schema {
	if n == 0 {
		return schema
	}
	chain, err := transforms.NewChain(schema, []transforms.Step{step}, nil)
	if err != nil {
		at := placeOf(s, fieldOf(err))
		var wrong *transforms.StepError
		if errors.As(err, &wrong) {
			err = wrong.Err
		}
		c.fail(at, "", "%v", err)
		return schema
	}
	b.reshaped = true
	return chain.Schema()
}

// placeOf is where a step names a column.
func placeOf(s spec.Step, column string) spec.Pos {
	for _, a := range s.Rename {
		if a.Name.Value == column {
			return a.Name.Pos
		}
		if a.Value.Value == column {
			return a.Value.Pos
		}
	}
	for _, t := range slices.Concat(s.Select, s.Drop) {
		if t.Value == column {
			return t.Pos
		}
	}
	return s.Pos
}

func (c *compiler) dedupe(b *build, schema *arrow.Schema, d *spec.Dedupe) {
	for _, column := range slices.Concat(d.By, d.OrderBy) {
		if !c.has(b, schema, column) || b.unknown[column.Value] {
			continue
		}
		if f, _ := lookup(schema, column.Value); arrow.IsNested(f.Type.ID()) {
			c.fail(column.Pos, "", "column %q has type %s: rows are compared by columns of primitive types", column.Value, notation(f.Type))
		}
	}
}

// expectations are checked against the rows that leave the steps.
func (c *compiler) expectations(b *build, schema *arrow.Schema) {
	for _, e := range b.spec.Expect {
		b.out.Expect = append(b.out.Expect, plan.Expectation{Name: e.Name.Value, That: e.That.Value, Otherwise: e.Otherwise})
		if mentions(e.That.Value, b.unknown) {
			continue
		}
		check := transforms.Expectation{Name: e.Name.Value, That: e.That.Value, Otherwise: e.Otherwise}
		if _, err := transforms.NewChain(schema, nil, []transforms.Expectation{check}); err != nil {
			c.expression(e.That, err, expression.Scope{"": schema}, map[string]string{"": b.where()})
		}
	}
}

func pairs(assigns []spec.Assign) []transforms.Assign {
	out := make([]transforms.Assign, len(assigns))
	for i, a := range assigns {
		out[i] = transforms.Assign{Name: a.Name.Value, Value: a.Value.Value}
	}
	return out
}

func planStep(s spec.Step) plan.Step {
	out := plan.Step{
		Derive: planAssigns(s.Derive), Rename: planAssigns(s.Rename), Cast: planAssigns(s.Cast),
		Select: values(s.Select), Drop: values(s.Drop),
	}
	if s.Filter != nil {
		out.Filter = s.Filter.Value
	}
	if s.Dedupe != nil {
		out.Dedupe = &plan.Dedupe{By: values(s.Dedupe.By), Keep: s.Dedupe.Keep, OrderBy: values(s.Dedupe.OrderBy)}
	}
	return out
}

func planAssigns(assigns []spec.Assign) []plan.Assign {
	var out []plan.Assign
	for _, a := range assigns {
		out = append(out, plan.Assign{Name: a.Name.Value, Value: a.Value.Value})
	}
	return out
}

func values(texts []spec.Text) []string {
	var out []string
	for _, t := range texts {
		out = append(out, t.Value)
	}
	return out
}
