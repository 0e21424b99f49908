package activities

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/transforms"
)

// segment is a run of row steps, and the removal of duplicates that follows it. A table's steps are its segments: rows
// go through the first one group by group, and through the others together.
type segment struct {
	steps  []transforms.Step
	dedupe *plan.Dedupe // nil in the last segment
}

func segments(t *plan.Table) []segment {
	out := []segment{{}}
	for _, s := range t.Steps {
		last := &out[len(out)-1]
		if s.Dedupe != nil {
			last.dedupe = s.Dedupe
			out = append(out, segment{})
			continue
		}
		last.steps = append(last.steps, compile.Step(s))
	}
	return out
}

// chain makes the chain of the table's segment n over rows of a schema. Expectations are of the rows that leave the last
// one.
func chain(t *plan.Table, n int, in *arrow.Schema) (*transforms.Chain, error) {
	all := segments(t)
	var expect []transforms.Expectation
	if n == len(all)-1 {
		for _, e := range t.Expect {
			expect = append(expect, transforms.Expectation{Name: e.Name, That: e.That, Otherwise: e.Otherwise})
		}
		if t.Write.Where != "" {
			expect = append(expect, transforms.Expectation{Name: "new rows are those that replace_where names", That: t.Write.Where, Otherwise: "fail"})
		}
	}
	c, err := transforms.NewChain(in, all[n].steps, expect)
	if err != nil {
		return nil, fmt.Errorf("steps of %s: %w", t.Name, err)
	}
	return c, nil
}

// leaving is the schema of the rows that leave the steps: those that are written or merged, or events.
func leaving(t *plan.Table) (*arrow.Schema, error) {
	if t.Write.CDC != nil {
		return compile.Schema(t.Write.CDC.Events)
	}
	return target(t)
}

// together tells whether rows have to be seen together before they are committed.
func together(t *plan.Table) bool { return len(segments(t)) > 1 || t.Write.CDC != nil }

// target is the schema of the rows that are written or merged.
func target(t *plan.Table) (*arrow.Schema, error) {
	columns := t.Columns
	if t.Write.Merge != nil {
		columns = t.Rows
	}
	return compile.Schema(columns)
}

// addColumns adds columns that files brought to what a table reads, and those that come out of its steps to what it
// writes. Columns that a step leaves out change nothing.
func addColumns(t *plan.Table, columns []plan.Column) error {
	input, err := widen(t.Input, columns)
	if err != nil {
		return err
	}
	t.Input = input
	schema, err := compile.Schema(input)
	if err != nil {
		return err
	}
	for n := range segments(t) {
		c, err := chain(t, n, schema)
		if err != nil {
			return err
		}
		schema = c.Schema()
	}
	made, err := compile.Columns(schema)
	if err != nil {
		return err
	}
	if t.Strict {
		return nil
	}
	merge := t.Write.Merge
	addEvents(t, made)
	for _, c := range made {
		c.Required = false
		if t.Write.CDC != nil && !t.Write.CDC.Written(c.Name) {
			continue
		}
		if merge != nil && !has(t.Rows, c.Name) {
			t.Rows = append(t.Rows, c)
			if merge.NewColumns == "ignore" {
				continue
			}
		} else if merge != nil {
			continue
		}
		if has(t.Columns, c.Name) {
			continue
		}
		if t.SchemaMode == "enforce" || merge != nil && merge.NewColumns == "error" {
			return &marked{mark: errUser, text: fmt.Sprintf(
				"files bring column %q, which %s does not have: its schema is enforced", c.Name, t.Name)}
		}
		t.Columns = append(t.Columns, c)
	}
	return nil
}

// addEvents adds columns to events. The plan may be shared, so what it points at stays as it is.
func addEvents(t *plan.Table, columns []plan.Column) {
	if t.Write.CDC == nil {
		return
	}
	cdc := *t.Write.CDC
	cdc.Events = slices.Clone(cdc.Events)
	for _, c := range columns {
		if c.Required = false; !has(cdc.Events, c.Name) {
			cdc.Events = append(cdc.Events, c)
		}
	}
	t.Write.CDC = &cdc
}

func has(columns []plan.Column, name string) bool {
	for _, c := range columns {
		if c.Name == name {
			return true
		}
	}
	return false
}

// widen adds columns before the metadata columns. Of two types for one of them it takes the wider.
func widen(have, more []plan.Column) ([]plan.Column, error) {
	at := len(have)
	for at > 0 && strings.HasPrefix(have[at-1].Name, "_") {
		at--
	}
	out := append([]plan.Column(nil), have[:at]...)
	for _, c := range more {
		if has(have, c.Name) {
			continue
		}
		c.Required = false
		if i := position(out, c.Name); i >= 0 {
			wider, err := wider(out[i].Type, c.Type)
			if err != nil {
				return nil, err
			}
			out[i].Type = wider
			continue
		}
		out = append(out, c)
	}
	return append(out, have[at:]...), nil
}

func position(columns []plan.Column, name string) int {
	for i, c := range columns {
		if c.Name == name {
			return i
		}
	}
	return -1
}

// numbers are the types of numbers, each of which holds those before it.
var numbers = []string{"int", "long", "double"}

// wider is a type that holds the values of two: of numbers the wider, else a string, which holds everything that is
// written in text.
func wider(a, b string) (string, error) {
	if a == b {
		return a, nil
	}
	for _, t := range []string{a, b} {
		if _, err := columntype.Parse(t); err != nil {
			return "", err
		}
	}
	x, y := index(numbers, a), index(numbers, b)
	if x >= 0 && y >= 0 {
		return numbers[max(x, y)], nil
	}
	return "string", nil
}

func index(names []string, name string) int {
	for i, n := range names {
		if n == name {
			return i
		}
	}
	return -1
}
