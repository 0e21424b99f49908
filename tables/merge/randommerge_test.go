package merge_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/merge"
)

// randomMerge is a merge as Varve takes it. Its expressions are *random.Expression, which DuckDB and Spark take too; on and
// onSpark are its ON condition in their SQL.
type randomMerge struct {
	source      *random.Source
	opts        merge.Options
	on, onSpark string
}

func (d *differ) randomMerge() *randomMerge {
	m := &randomMerge{source: d.randomSource()}
	m.opts.Strategy = []merge.Strategy{merge.CopyOnWrite, merge.MergeOnRead}[d.IntN(2)]
	m.opts.NullSafe = d.IntN(5) == 0
	d.Limits(&m.opts)
	m.opts.TempDir = d.temporary
	d.randomOn(m)
	d.distinct(m)
	clauses := random.Clauses{Run: d.Run, Target: d.target.Columns, Source: m.source.Columns, Required: d.required}
	clauses.All(&m.opts)
	return m
}

// randomSource has some of the target's columns, in any order, and others.
func (d *differ) randomSource() *random.Source {
	s := &random.Source{Batch: 1 + d.IntN(20)}
	for i, c := range d.target.Columns {
		if i < 2 || c.Name == d.required || d.IntN(4) > 0 {
			s.Columns = append(s.Columns, random.Column{Name: c.Name, Kind: d.narrower(c.Kind)})
		}
	}
	if d.IntN(4) == 0 {
		s.Columns = append(s.Columns, random.Column{Name: "extra", Kind: d.Kind(false)})
	}
	d.Shuffle(len(s.Columns), func(i, j int) { s.Columns[i], s.Columns[j] = s.Columns[j], s.Columns[i] })
	s.Rows = d.rows(s.Columns, d.IntN(30))
	return s
}

// narrower is now and then a kind that a column could have been promoted from.
func (d *differ) narrower(k *random.Kind) *random.Kind {
	for i := range random.Kinds {
		if random.Kinds[i].Promoted == k.Name && d.IntN(4) == 0 {
			return &random.Kinds[i]
		}
	}
	return k
}

// randomOn makes the ON condition: mostly keys, sometimes with a predicate
// beside them or alone.
func (d *differ) randomOn(m *randomMerge) {
	var words, spark []string
	equal := "="
	if m.opts.NullSafe {
		equal = "IS NOT DISTINCT FROM"
	}
	keys := 1 + d.IntN(3)
	if d.IntN(12) == 0 {
		keys = 0
	}
	for range keys {
		c := m.source.Columns[d.IntN(len(m.source.Columns))]
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
		p := random.Condition(d.Rand, map[string][]random.Column{"s": m.source.Columns, "t": d.target.Columns})
		m.opts.Predicate = p
		spark = append(slices.Clone(words), p.Spark)
		words = append(words, p.SQL)
	} else {
		spark = words
	}
	m.on, m.onSpark = strings.Join(words, " AND "), strings.Join(spark, " AND ")
}

// distinct leaves one source row a key, most of the time: else nearly all
// merges would fail.
func (d *differ) distinct(m *randomMerge) {
	if d.IntN(6) == 0 {
		return
	}
	seen := map[string]bool{}
	m.source.Rows = slices.DeleteFunc(m.source.Rows, func(row []any) bool {
		var key random.List
		for i, c := range m.source.Columns {
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
