//go:build differential

package merge_test

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/varve-lake/varve/tables/merge"
)

// randomMerge is a merge in both languages.
type randomMerge struct {
	source *source
	opts   merge.Options
	sql    string
	// ambiguous counts the target rows that two source rows would change; empty
	// if that is allowed.
	ambiguous string
}

func (d *differ) randomMerge() *randomMerge {
	m := &randomMerge{source: d.randomSource()}
	m.opts.Strategy = []merge.Strategy{merge.CopyOnWrite, merge.MergeOnRead}[d.r.IntN(2)]
	if os.Getenv("COW") != "" {
		m.opts.Strategy = merge.CopyOnWrite
	}
	m.opts.Parallelism = 1 + d.r.IntN(3)
	m.opts.NullSafe = d.r.IntN(5) == 0
	switch d.r.IntN(3) {
	case 0: // everything is spilled
		m.opts.MemoryLimit = 1
	case 1: // some of it, maybe
		m.opts.MemoryLimit = 1 << (8 + d.r.IntN(6))
	}
	m.opts.TempDir = d.t.TempDir()
	on := d.randomOn(m)
	d.distinct(m)

	scopes := map[string][]column{"s": m.source.columns, "t": d.target.columns}
	var sql, applies []string
	for range d.r.IntN(4) {
		c, words := d.clause(scopes, m.source.columns)
		m.opts.Matched = append(m.opts.Matched, c)
		sql = append(sql, "WHEN MATCHED"+words)
		applies = append(applies, conditionSQL(c))
		if c.If == nil {
			break // DuckDB takes nothing behind an unconditional clause
		}
	}
	for range d.r.IntN(3) {
		c, words := d.insert(m.source.columns)
		m.opts.NotMatched = append(m.opts.NotMatched, c)
		sql = append(sql, "WHEN NOT MATCHED"+words)
		if c.If == nil {
			break
		}
	}
	for range max(0, d.r.IntN(5)-2) {
		c, words := d.clause(map[string][]column{"t": d.target.columns}, nil)
		m.opts.NotMatchedBySource = append(m.opts.NotMatchedBySource, c)
		sql = append(sql, "WHEN NOT MATCHED BY SOURCE"+words)
		if c.If == nil {
			break
		}
	}
	if len(sql) == 0 {
		c, words := d.insert(m.source.columns)
		m.opts.NotMatched = append(m.opts.NotMatched, c)
		sql = append(sql, "WHEN NOT MATCHED"+words)
	}
	m.sql = "MERGE INTO t USING s ON (" + on + ") " + strings.Join(sql, " ")
	onlyDelete := len(m.opts.Matched) == 1 && m.opts.Matched[0].Action == merge.Delete && m.opts.Matched[0].If == nil
	if len(applies) > 0 && !onlyDelete {
		m.ambiguous = "SELECT count(*) FROM (SELECT t.rowid FROM t JOIN s ON (" + on + ") WHERE " + strings.Join(applies, " OR ") +
			" GROUP BY t.rowid HAVING count(*) > 1)"
	}
	return m
}

func conditionSQL(c merge.Clause) string {
	if c.If == nil {
		return "TRUE"
	}
	return c.If.(*expression).sql
}

// randomSource has some of the target's columns, in any order, and others.
func (d *differ) randomSource() *source {
	s := &source{batch: 1 + d.r.IntN(20)}
	for i, c := range d.target.columns {
		if i < 2 || c.name == d.required || d.r.IntN(4) > 0 {
			s.columns = append(s.columns, c)
		}
	}
	if d.r.IntN(4) == 0 {
		s.columns = append(s.columns, column{"extra", d.kind(false)})
	}
	d.r.Shuffle(len(s.columns), func(i, j int) { s.columns[i], s.columns[j] = s.columns[j], s.columns[i] })
	s.rows = d.randomRows(s.columns, d.r.IntN(30))
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
	keys := 1 + d.r.IntN(3)
	if d.r.IntN(12) == 0 {
		keys = 0
	}
	for range keys {
		c := m.source.columns[d.r.IntN(len(m.source.columns))]
		if !c.kind.key || slices.Contains(m.opts.On, c.name) {
			continue
		}
		if slices.ContainsFunc(d.target.columns, func(t column) bool { return t.name == c.name }) && d.r.IntN(6) > 0 {
			m.opts.On = append(m.opts.On, c.name)
			words = append(words, fmt.Sprintf("s.%s %s t.%s", c.name, equal, c.name))
			continue
		}
		for _, t := range d.target.columns {
			if t.kind == c.kind {
				m.opts.OnPairs = append(m.opts.OnPairs, merge.Pair{Source: c.name, Target: t.name})
				words = append(words, fmt.Sprintf("s.%s %s t.%s", c.name, equal, t.name))
				break
			}
		}
	}
	if len(words) == 0 || d.r.IntN(5) == 0 {
		p := condition(d.r, map[string][]column{"s": m.source.columns, "t": d.target.columns})
		m.opts.Predicate = p
		words = append(words, p.sql)
	}
	return strings.Join(words, " AND ")
}

// distinct leaves one source row a key, most of the time: else nearly all
// merges would fail.
func (d *differ) distinct(m *randomMerge) {
	if d.r.IntN(6) == 0 {
		return
	}
	seen := map[string]bool{}
	m.source.rows = slices.DeleteFunc(m.source.rows, func(row []any) bool {
		var key list
		for i, c := range m.source.columns {
			if slices.Contains(m.opts.On, c.name) || slices.ContainsFunc(m.opts.OnPairs, func(p merge.Pair) bool { return p.Source == c.name }) {
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
		again := seen[text(key)]
		seen[text(key)] = true
		return again
	})
}

// clause is a WHEN MATCHED or, without source columns, NOT MATCHED BY SOURCE.
func (d *differ) clause(scopes map[string][]column, source []column) (merge.Clause, string) {
	c, words := merge.Clause{Action: merge.Update}, ""
	if d.r.IntN(3) > 0 {
		e := condition(d.r, scopes)
		c.If, words = e, " AND "+e.sql
	}
	if d.r.IntN(4) == 0 {
		c.Action = merge.Delete
		return c, words + " THEN DELETE"
	}
	set := d.assignments(&c, scopes, source)
	return c, words + " THEN UPDATE SET " + strings.Join(set, ", ")
}

// assignments gives a clause values for columns, and returns them as SQL.
func (d *differ) assignments(c *merge.Clause, scopes map[string][]column, source []column) []string {
	c.All = source != nil && d.r.IntN(2) == 0
	var set []string
	for _, t := range d.target.columns {
		fromSource := slices.ContainsFunc(source, func(s column) bool { return s.name == t.name })
		if t.name != d.required && d.r.IntN(4) == 0 {
			e := d.value(t, scopes)
			c.Set = append(c.Set, merge.Assign{Column: t.name, Value: e})
			set = append(set, t.name+" = "+e.sql)
		} else if c.All && fromSource {
			set = append(set, t.name+" = s."+t.name)
		}
	}
	if len(set) == 0 { // an update sets something
		t := d.target.columns[len(d.target.columns)-1]
		e := ref("t", t)
		c.Set = append(c.Set, merge.Assign{Column: t.name, Value: e})
		set = append(set, t.name+" = "+e.sql)
	}
	return set
}

// value is an expression of a column's kind.
func (d *differ) value(c column, scopes map[string][]column) *expression {
	var found []*expression
	for _, scope := range []string{"s", "t"} {
		for _, other := range scopes[scope] {
			if other.kind == c.kind {
				found = append(found, ref(scope, other))
			}
		}
	}
	found = append(found, constant(c.kind, maybe(d.r, c.kind.gen(d.r))))
	e := found[d.r.IntN(len(found))]
	if d.r.IntN(3) == 0 {
		e = coalesce(e, found[d.r.IntN(len(found))])
	}
	return e
}

// insert is a WHEN NOT MATCHED.
func (d *differ) insert(source []column) (merge.Clause, string) {
	c, words := merge.Clause{Action: merge.Insert}, ""
	scopes := map[string][]column{"s": source}
	if d.r.IntN(3) == 0 {
		e := condition(d.r, scopes)
		c.If, words = e, " AND "+e.sql
	}
	c.All = d.r.IntN(3) > 0
	var columns, values []string
	for _, t := range d.target.columns {
		fromSource := slices.ContainsFunc(source, func(s column) bool { return s.name == t.name && s.kind == t.kind })
		switch {
		case t.name == d.required && !c.All:
			e := ref("s", t)
			c.Set = append(c.Set, merge.Assign{Column: t.name, Value: e})
			columns, values = append(columns, t.name), append(values, e.sql)
		case t.name != d.required && d.r.IntN(3) == 0:
			e := d.value(t, scopes)
			c.Set = append(c.Set, merge.Assign{Column: t.name, Value: e})
			columns, values = append(columns, t.name), append(values, e.sql)
		case c.All && fromSource:
			columns, values = append(columns, t.name), append(values, "s."+t.name)
		}
	}
	if len(columns) == 0 {
		t := d.target.columns[0]
		e := ref("s", t)
		c.Set = append(c.Set, merge.Assign{Column: t.name, Value: e})
		columns, values = append(columns, t.name), append(values, e.sql)
	}
	return c, words + " THEN INSERT (" + strings.Join(columns, ", ") + ") VALUES (" + strings.Join(values, ", ") + ")"
}
