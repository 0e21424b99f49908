package activities

import (
	"fmt"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/merge"
	"github.com/varve-lake/varve/transforms/expression"
)

// mergeOptions compiles a plan's MERGE against the rows to merge and the table as it is now.
func mergeOptions(t *plan.Table, into *tables.Table) (merge.Options, error) {
	m := t.Write.Merge
	source, err := compile.Schema(t.Rows)
	if err != nil {
		return merge.Options{}, err
	}
	target, err := into.Schema()
	if err != nil {
		return merge.Options{}, err
	}
	b := mergeBuilder{both: expression.Scope{"s": source, "t": target}}
	out := merge.Options{
		On: m.On, NullSafe: m.NullSafe, Strategy: merge.Strategy(m.Strategy), NewColumns: newColumns(m.NewColumns),
		Predicate:          b.expression(m.Residual, b.both),
		Matched:            b.clauses(m.WhenMatched, b.both),
		NotMatched:         b.clauses(m.WhenNotMatched, expression.Scope{"s": source}),
		NotMatchedBySource: b.clauses(m.WhenNotMatchedBySource, expression.Scope{"t": target}),
	}
	for _, p := range m.Pairs {
		out.OnPairs = append(out.OnPairs, merge.Pair{Source: p.Source, Target: p.Target})
	}
	if b.err != nil {
		return merge.Options{}, fmt.Errorf("merge into %s: %w", t.Name, b.err)
	}
	return out, nil
}

// newColumns is the policy as the merge itself sees it: columns that the table should get it has by now.
func newColumns(policy string) merge.NewColumns {
	if policy == "error" {
		return merge.RefuseNewColumns
	}
	return merge.IgnoreNewColumns
}

// mergeBuilder keeps the first error of the expressions it compiles.
type mergeBuilder struct {
	both expression.Scope
	err  error
}

func (b *mergeBuilder) expression(source string, scope expression.Scope) merge.Expression {
	if source == "" || b.err != nil {
		return nil
	}
	program, err := expression.Compile(source, scope)
	if err != nil {
		b.err = fmt.Errorf("%q: %w", source, err)
		return nil
	}
	return program
}

func (b *mergeBuilder) clauses(in []plan.Clause, scope expression.Scope) []merge.Clause {
	var out []merge.Clause
	for _, c := range in {
		clause := merge.Clause{If: b.expression(c.If, scope), All: c.All, Action: action(c.Action)}
		for _, a := range c.Set {
			clause.Set = append(clause.Set, merge.Assign{Column: a.Name, Value: b.expression(a.Value, scope)})
		}
		out = append(out, clause)
	}
	return out
}

func action(name string) merge.Action {
	switch name {
	case "update":
		return merge.Update
	case "delete":
		return merge.Delete
	}
	return merge.Insert
}
