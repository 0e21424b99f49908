package random

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/tables/merge"
)

// Source is a merge.Source of rows in memory, in batches of a given size.
type Source struct {
	Columns []Column
	Rows    [][]any
	Batch   int
}

// Schema implements merge.Source.
func (s *Source) Schema() *arrow.Schema { return Schema(s.Columns) }

// Open implements merge.Source.
func (s *Source) Open(_ context.Context, names []string) (array.RecordReader, error) {
	columns := s.Columns
	if names != nil {
		columns = nil
		for _, n := range names {
			i := slices.IndexFunc(s.Columns, func(c Column) bool { return c.Name == n })
			if i < 0 {
				return nil, fmt.Errorf("no column %s", n)
			}
			columns = append(columns, s.Columns[i])
		}
	}
	var batches []arrow.RecordBatch
	for part := range slices.Chunk(s.Rows, max(s.Batch, 1)) {
		picked := make([][]any, len(part))
		for r, row := range part {
			for _, c := range columns {
				i := slices.IndexFunc(s.Columns, func(x Column) bool { return x.Name == c.Name })
				picked[r] = append(picked[r], row[i])
			}
		}
		batches = append(batches, Batch(columns, picked))
	}
	return array.NewRecordReader(Schema(columns), batches)
}

// Clauses makes clauses of a merge of a source into a target.
type Clauses struct {
	*Run
	Target, Source []Column
	Required       string // a column without nulls, which is set from the source only; "" for none
}

func (c *Clauses) both() map[string][]Column {
	return map[string][]Column{"s": c.Source, "t": c.Target}
}

// Limits are a memory limit and a parallelism: one time in three nothing fits, and one time in three some of it may not.
func (r *Run) Limits(opts *merge.Options) {
	opts.Parallelism = 1 + r.IntN(3)
	switch r.IntN(3) {
	case 0:
		opts.MemoryLimit = 1
	case 1:
		opts.MemoryLimit = 1 << (8 + r.IntN(6))
	}
}

// All makes up to three, two and two clauses of the three sorts, at least one together.
func (c *Clauses) All(opts *merge.Options) {
	for range c.IntN(4) {
		opts.Matched = append(opts.Matched, c.matched(c.both(), c.Source))
	}
	for range c.IntN(3) {
		opts.NotMatched = append(opts.NotMatched, c.insert())
	}
	for range max(0, c.IntN(5)-2) {
		opts.NotMatchedBySource = append(opts.NotMatchedBySource, c.matched(map[string][]Column{"t": c.Target}, nil))
	}
	if len(opts.Matched)+len(opts.NotMatched)+len(opts.NotMatchedBySource) == 0 {
		opts.NotMatched = append(opts.NotMatched, c.insert())
	}
}

// matched is a WHEN MATCHED or, without source columns, NOT MATCHED BY SOURCE.
func (c *Clauses) matched(scopes map[string][]Column, source []Column) merge.Clause {
	out := merge.Clause{Action: merge.Update}
	if c.IntN(3) > 0 {
		out.If = Condition(c.Rand, scopes)
	}
	if c.IntN(4) == 0 {
		out.Action = merge.Delete
		return out
	}
	out.All = source != nil && c.IntN(2) == 0
	for _, t := range c.Target {
		if t.Name != c.Required && c.IntN(4) == 0 {
			out.Set = append(out.Set, merge.Assign{Column: t.Name, Value: c.value(t, scopes)})
		}
	}
	if !out.All && len(out.Set) == 0 { // an update sets something
		t := c.Target[len(c.Target)-1]
		out.Set = append(out.Set, merge.Assign{Column: t.Name, Value: Ref("t", t)})
	}
	return out
}

// value is an expression of a column's kind.
func (c *Clauses) value(column Column, scopes map[string][]Column) *Expression {
	var found []*Expression
	for _, scope := range []string{"s", "t"} {
		for _, other := range scopes[scope] {
			if other.Kind == column.Kind {
				found = append(found, Ref(scope, other))
			}
		}
	}
	found = append(found, Constant(column.Kind, Maybe(c.Rand, column.Kind.Gen(c.Rand))))
	e := found[c.IntN(len(found))]
	if c.IntN(3) == 0 {
		e = Coalesce(e, found[c.IntN(len(found))])
	}
	return e
}

// insert is a WHEN NOT MATCHED.
func (c *Clauses) insert() merge.Clause {
	out := merge.Clause{Action: merge.Insert}
	scopes := map[string][]Column{"s": c.Source}
	if c.IntN(3) == 0 {
		out.If = Condition(c.Rand, scopes)
	}
	out.All = c.IntN(3) > 0
	for _, t := range c.Target {
		switch {
		case t.Name == c.Required && !out.All:
			out.Set = append(out.Set, merge.Assign{Column: t.Name, Value: Ref("s", t)})
		case t.Name != c.Required && c.IntN(3) == 0:
			out.Set = append(out.Set, merge.Assign{Column: t.Name, Value: c.value(t, scopes)})
		}
	}
	if !out.All && len(out.Set) == 0 {
		t := c.Target[0]
		out.Set = append(out.Set, merge.Assign{Column: t.Name, Value: Ref("s", t)})
	}
	return out
}
