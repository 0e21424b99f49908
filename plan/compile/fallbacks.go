package compile

import (
	"fmt"
	"strings"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/transforms"
	"github.com/varve-lake/varve/transforms/expression"
)

// Fallbacks lists the parts of a table's expressions that no vectorised kernel covers, and that run row by row.
func Fallbacks(t *plan.Table) ([]string, error) {
	if t.Dormant {
		return nil, nil
	}
	schema, err := Schema(t.Input)
	if err != nil {
		return nil, err
	}
	var out []string
	for i, s := range t.Steps {
		if s.Dedupe != nil {
			continue
		}
		chain, err := transforms.NewChain(schema, []transforms.Step{Step(s)}, nil)
		if err != nil {
			return nil, fmt.Errorf("steps of %s: %w", t.Name, err)
		}
		for _, line := range chain.Explain() { // of a chain of one step
			out = append(out, fmt.Sprintf("step %d: %s", i+1, strings.TrimPrefix(line, "step 1: ")))
		}
		schema = chain.Schema()
	}
	for _, e := range t.Expect {
		chain, err := transforms.NewChain(schema, nil, []transforms.Expectation{{Name: e.Name, That: e.That, Otherwise: e.Otherwise}})
		if err != nil {
			return nil, fmt.Errorf("expectations of %s: %w", t.Name, err)
		}
		out = append(out, chain.Explain()...)
	}
	merged, err := mergeFallbacks(t)
	return append(out, merged...), err
}

func mergeFallbacks(t *plan.Table) ([]string, error) {
	m := t.Write.Merge
	if m == nil {
		return nil, nil
	}
	source, err := Schema(t.Rows)
	if err != nil {
		return nil, err
	}
	target, err := Schema(t.Columns)
	if err != nil {
		return nil, err
	}
	texts := []string{m.Residual}
	for _, clauses := range [][]plan.Clause{m.WhenMatched, m.WhenNotMatched, m.WhenNotMatchedBySource} {
		for _, c := range clauses {
			texts = append(texts, c.If)
			for _, a := range c.Set {
				texts = append(texts, a.Value)
			}
		}
	}
	var out []string
	for _, text := range texts {
		if text == "" {
			continue
		}
		program, err := expression.Compile(text, expression.Scope{"s": source, "t": target})
		if err != nil {
			// It may name a column that only the lake has; then the compilation has checked it.
			continue
		}
		out = append(out, program.Explain()...)
	}
	return out, nil
}
