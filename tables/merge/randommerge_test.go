package merge_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/merge"
)

// randomMerge is a merge as Varve takes it. Its expressions are *random.Expression, which DuckDB takes too; on is its ON
// condition in SQL.
type randomMerge struct {
	source *source
	opts   merge.Options
	on     string
}

func (d *differ) randomMerge() *randomMerge {
	m := &randomMerge{source: d.randomSource()}
	m.opts.Strategy = []merge.Strategy{merge.CopyOnWrite, merge.MergeOnRead}[d.IntN(2)]
	m.opts.Parallelism = 1 + d.IntN(3)
	m.opts.NullSafe = d.IntN(5) == 0
	switch d.IntN(3) {
	case 0: // everything is spilled
		m.opts.MemoryLimit = 1
	case 1: // some of it, maybe
		m.opts.MemoryLimit = 1 << (8 + d.IntN(6))
	}
	m.opts.TempDir = d.temporary
	m.on = d.randomOn(m)
	d.distinct(m)

	scopes := map[string][]random.Column{"s": m.source.columns, "t": d.target.Columns}
	for range d.IntN(4) {
		m.opts.Matched = append(m.opts.Matched, d.clause(scopes, m.source.columns))
	}
	for range d.IntN(3) {
		m.opts.NotMatched = append(m.opts.NotMatched, d.insert(m.source.columns))
	}
	for range max(0, d.IntN(5)-2) {
		m.opts.NotMatchedBySource = append(m.opts.NotMatchedBySource, d.clause(map[string][]random.Column{"t": d.target.Columns}, nil))
	}
	if len(m.opts.Matched)+len(m.opts.NotMatched)+len(m.opts.NotMatchedBySource) == 0 {
		m.opts.NotMatched = append(m.opts.NotMatched, d.insert(m.source.columns))
	}
	return m
}

// randomSource has some of the target's columns, in any order, and others.
func (d *differ) randomSource() *source {
	s := &source{batch: 1 + d.IntN(20)}
	for i, c := range d.target.Columns {
		if i < 2 || c.Name == d.required || d.IntN(4) > 0 {
			s.columns = append(s.columns, c)
		}
	}
	if d.IntN(4) == 0 {
		s.columns = append(s.columns, random.Column{Name: "extra", Kind: d.Kind(false)})
	}
	d.Shuffle(len(s.columns), func(i, j int) { s.columns[i], s.columns[j] = s.columns[j], s.columns[i] })
	s.rows = d.rows(s.columns, d.IntN(30))
	return s
}

// randomOn makes the ON condition: mostly keys, sometimes with a predicate
// beside them or alone.
func (d *differ) randomOn(m *randomMerge) string {
	var words []string
	equal := "="
	if m.opts.NullSafe {
		equal = "IS NOT DISTINCT FROM"
	}
	keys := 1 + d.IntN(3)
	if d.IntN(12) == 0 {
		keys = 0
	}
	for range keys {
		c := m.source.columns[d.IntN(len(m.source.columns))]
		if !c.Kind.Key || slices.Contains(m.opts.On, c.Name) {
			continue
		}
		if slices.ContainsFunc(d.target.Columns, func(t random.Column) bool { return t.Name == c.Name }) && d.IntN(6) > 0 {
			m.opts.On = append(m.opts.On, c.Name)
			words = append(words, fmt.Sprintf("s.%s %s t.%s", c.Name, equal, c.Name))
			continue
		}
		for _, t := range d.target.Columns {
			if t.Kind == c.Kind {
				m.opts.OnPairs = append(m.opts.OnPairs, merge.Pair{Source: c.Name, Target: t.Name})
				words = append(words, fmt.Sprintf("s.%s %s t.%s", c.Name, equal, t.Name))
				break
			}
		}
	}
	if len(words) == 0 || d.IntN(5) == 0 {
		p := random.Condition(d.Rand, map[string][]random.Column{"s": m.source.columns, "t": d.target.Columns})
		m.opts.Predicate = p
		words = append(words, p.SQL)
	}
	return strings.Join(words, " AND ")
}

// distinct leaves one source row a key, most of the time: else nearly all
// merges would fail.
func (d *differ) distinct(m *randomMerge) {
	if d.IntN(6) == 0 {
		return
	}
	seen := map[string]bool{}
	m.source.rows = slices.DeleteFunc(m.source.rows, func(row []any) bool {
		var key random.List
		for i, c := range m.source.columns {
			if slices.Contains(m.opts.On, c.Name) || slices.ContainsFunc(m.opts.OnPairs, func(p merge.Pair) bool { return p.Source == c.Name }) {
				v := row[i]
				if v == nil && !m.opts.NullSafe {
					return false
				}
				if f, ok := v.(float64); ok && f == 0 {
					v = 0.0
				}
				key = append(key, v)
			}
		}
		again := seen[random.Text(key)]
		seen[random.Text(key)] = true
		return again
	})
}

// clause is a WHEN MATCHED or, without source columns, NOT MATCHED BY SOURCE.
func (d *differ) clause(scopes map[string][]random.Column, source []random.Column) merge.Clause {
	c := merge.Clause{Action: merge.Update}
	if d.IntN(3) > 0 {
		c.If = random.Condition(d.Rand, scopes)
	}
	if d.IntN(4) == 0 {
		c.Action = merge.Delete
		return c
	}
	c.All = source != nil && d.IntN(2) == 0
	for _, t := range d.target.Columns {
		if t.Name != d.required && d.IntN(4) == 0 {
			c.Set = append(c.Set, merge.Assign{Column: t.Name, Value: d.value(t, scopes)})
		}
	}
	if !c.All && len(c.Set) == 0 { // an update sets something
		t := d.target.Columns[len(d.target.Columns)-1]
		c.Set = append(c.Set, merge.Assign{Column: t.Name, Value: random.Ref("t", t)})
	}
	return c
}

// value is an expression of a column's kind.
func (d *differ) value(c random.Column, scopes map[string][]random.Column) *random.Expression {
	var found []*random.Expression
	for _, scope := range []string{"s", "t"} {
		for _, other := range scopes[scope] {
			if other.Kind == c.Kind {
				found = append(found, random.Ref(scope, other))
			}
		}
	}
	found = append(found, random.Constant(c.Kind, random.Maybe(d.Rand, c.Kind.Gen(d.Rand))))
	e := found[d.IntN(len(found))]
	if d.IntN(3) == 0 {
		e = random.Coalesce(e, found[d.IntN(len(found))])
	}
	return e
}

// insert is a WHEN NOT MATCHED.
func (d *differ) insert(source []random.Column) merge.Clause {
	c := merge.Clause{Action: merge.Insert}
	scopes := map[string][]random.Column{"s": source}
	if d.IntN(3) == 0 {
		c.If = random.Condition(d.Rand, scopes)
	}
	c.All = d.IntN(3) > 0
	for _, t := range d.target.Columns {
		switch {
		case t.Name == d.required && !c.All:
			c.Set = append(c.Set, merge.Assign{Column: t.Name, Value: random.Ref("s", t)})
		case t.Name != d.required && d.IntN(3) == 0:
			c.Set = append(c.Set, merge.Assign{Column: t.Name, Value: d.value(t, scopes)})
		}
	}
	if !c.All && len(c.Set) == 0 {
		t := d.target.Columns[0]
		c.Set = append(c.Set, merge.Assign{Column: t.Name, Value: random.Ref("s", t)})
	}
	return c
}
