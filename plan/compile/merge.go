package compile

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/transforms/expression"
)

// merging checks a MERGE: s is the row that leaves the steps, t the table's.
type merging struct {
	*compiler
	b     *build
	both  expression.Scope
	where map[string]string
}

func (c *compiler) merge(b *build, m *spec.Merge) {
	g := merging{
		compiler: c, b: b, both: expression.Scope{"s": b.rows, "t": b.schema},
		where: map[string]string{"s": "the rows to merge", "t": b.name()},
	}
	out := &plan.Merge{
		On: values(m.On), NullSafe: m.NullSafe, Strategy: m.Strategy, NewColumns: m.NewColumns, Isolation: m.Isolation,
	}
	for _, key := range m.On {
		g.key(key)
	}
	if m.Predicate != nil {
		g.predicate(*m.Predicate, out)
	}
	for _, clause := range m.WhenMatched {
		out.WhenMatched = append(out.WhenMatched, g.clause(clause, g.both))
	}
	for _, clause := range m.WhenNotMatched {
		out.WhenNotMatched = append(out.WhenNotMatched, g.clause(clause, expression.Scope{"s": b.rows}))
	}
	for _, clause := range m.WhenNotMatchedBySource {
		out.WhenNotMatchedBySource = append(out.WhenNotMatchedBySource, g.clause(clause, expression.Scope{"t": b.schema}))
	}
	b.out.Write.Merge = out
}

// key checks that a column of `on` is on both sides and can be compared.
func (g merging) key(column spec.Text) {
	if g.b.unknown[column.Value] {
		return
	}
	s, inRows := lookup(g.b.rows, column.Value)
	t, inTable := lookup(g.b.schema, column.Value)
	switch {
	case !inRows:
		g.noColumn(column.Pos, column.Value, g.where["s"], g.b.rows)
	case !inTable:
		g.noColumn(column.Pos, column.Value, g.where["t"], g.b.schema)
	case arrow.IsNested(s.Type.ID()):
		g.fail(column.Pos, "", "column %q has type %s, which cannot be a key", column.Value, notation(s.Type))
	case !assignable(s.Type, t.Type):
		g.fail(column.Pos, "", "column %q is %s in the rows to merge and %s in %s", column.Value, notation(s.Type), notation(t.Type), g.b.name())
	}
}

// predicate checks an ON condition and takes its equalities of columns out, by which rows are found; the rest is
// evaluated on those.
func (g merging) predicate(text spec.Text, out *plan.Merge) {
	out.Predicate = text.Value
	if !g.condition(text, g.both) {
		return
	}
	pairs, residual, err := splitEqualities(text.Value, g.b.rows, g.b.schema)
	if err != nil {
		g.fail(text.Pos, "", "%v", err)
		return
	}
	out.Pairs, out.Residual = pairs, residual
	if len(pairs) == 0 {
		g.warn(text.Pos, "", "the predicate has no equality of columns of s and t: every row is compared with every row")
	}
}

// condition checks an expression that is true or false.
func (g merging) condition(text spec.Text, scope expression.Scope) bool {
	program, ok := g.value(text, scope)
	if !ok {
		return false
	}
	if id := program.Type().ID(); id != arrow.BOOL && id != arrow.NULL {
		g.fail(text.Pos, "", "a condition is true or false, and this is %s", notation(program.Type()))
		return false
	}
	return true
}

func (g merging) value(text spec.Text, scope expression.Scope) (*expression.Program, bool) {
	if mentions(text.Value, g.b.unknown) {
		return nil, false
	}
	program, err := expression.Compile(text.Value, scope)
	if err != nil {
		g.expression(text, err, scope, g.where)
		return nil, false
	}
	return program, true
}

func (g merging) clause(clause spec.Clause, scope expression.Scope) plan.Clause {
	var out plan.Clause
	if clause.If != nil {
		out.If = clause.If.Value
		g.condition(*clause.If, scope)
	}
	switch {
	case clause.Delete:
		out.Action = "delete"
	case clause.Update != nil:
		out.Action, out.All, out.Set = "update", clause.Update.All, planAssigns(clause.Update.Set)
		g.assignments(clause.Update.Set, scope)
	case clause.Insert != nil:
		out.Action, out.All, out.Set = "insert", clause.Insert.All, planAssigns(clause.Insert.Set)
		g.assignments(clause.Insert.Set, scope)
		g.complete(clause)
	}
	return out
}

func (g merging) assignments(set []spec.Assign, scope expression.Scope) {
	for _, a := range set {
		if g.b.unknown[a.Name.Value] {
			continue
		}
		target, found := lookup(g.b.schema, a.Name.Value)
		if !found {
			g.noColumn(a.Name.Pos, a.Name.Value, g.b.name(), g.b.schema)
		}
		program, ok := g.value(a.Value, scope)
		if ok && found && !assignable(program.Type(), target.Type) {
			g.fail(a.Value.Pos, "", "column %q has type %s, and this is %s", a.Name.Value, notation(target.Type), notation(program.Type()))
		}
	}
}

// complete reports required columns that an insert gives no value.
func (g merging) complete(clause spec.Clause) {
	for _, f := range g.b.schema.Fields() {
		set := slices.ContainsFunc(clause.Insert.Set, func(a spec.Assign) bool { return a.Name.Value == f.Name })
		if f.Nullable || set || clause.Insert.All && g.b.rows.HasField(f.Name) || g.b.unknown[f.Name] {
			continue
		}
		g.fail(clause.Pos, "", "column %q of %s is required, and this insert gives it no value", f.Name, g.b.name())
	}
}

// assignable tells whether values of one type can be stored in a column of another: the same, or another width of the
// same kind, which is checked value by value.
func assignable(from, to arrow.DataType) bool {
	if from.ID() == arrow.NULL || notation(from) == notation(to) {
		return true
	}
	return kind(from) != "" && kind(from) == kind(to)
}

func kind(t arrow.DataType) string {
	switch t.ID() {
	case arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.FLOAT32, arrow.FLOAT64, arrow.DECIMAL128:
		return "number"
	case arrow.TIMESTAMP:
		return "timestamp " + t.(*arrow.TimestampType).TimeZone
	case arrow.BINARY, arrow.FIXED_SIZE_BINARY:
		return "bytes"
	}
	return ""
}
