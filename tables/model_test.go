package tables_test

import (
	"maps"
	"slices"

	"github.com/apache/iceberg-go"

	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/merge"
)

// model is what a table should be: its columns, and its rows by key. A row has its values by the column's id, so that it
// outlives what becomes of the columns.
type model struct {
	columns []modelColumn
	rows    map[int64]map[int]any
}

type modelColumn struct {
	id int
	random.Column
}

// keyID is the id of the column k, which is the rows' key.
const keyID = 0

func (m *model) clone() *model {
	out := &model{columns: slices.Clone(m.columns), rows: maps.Clone(m.rows)}
	return out // rows are never changed, but replaced
}

func (m *model) random() []random.Column {
	out := make([]random.Column, len(m.columns))
	for i, c := range m.columns {
		out[i] = c.Column
	}
	return out
}

func (m *model) names() []string {
	var out []string
	for _, c := range m.columns {
		out = append(out, c.Name)
	}
	return out
}

func (m *model) column(name string) (modelColumn, bool) {
	i := slices.IndexFunc(m.columns, func(c modelColumn) bool { return c.Name == name })
	if i < 0 {
		return modelColumn{}, false
	}
	return m.columns[i], true
}

// put adds rows of the model's columns.
func (m *model) put(rows [][]any) {
	for _, row := range rows {
		r := map[int]any{}
		for i, c := range m.columns {
			r[c.id] = row[i]
		}
		m.rows[r[keyID].(int64)] = r
	}
}

// texts are the rows as text, by key.
func (m *model) texts() map[int64]string {
	out := map[int64]string{}
	for key := range m.rows {
		out[key] = m.text(key)
	}
	return out
}

func (m *model) text(key int64) string {
	var row random.List
	for _, c := range m.columns {
		row = append(row, m.rows[key][c.id])
	}
	return random.Text(row)
}

// merge is what a merge by k does.
func (m *model) merge(source *random.Source, opts merge.Options) {
	matched := map[int64]bool{}
	before := m.rows
	m.rows = maps.Clone(before)
	for _, values := range source.Rows {
		s := map[string]any{}
		for i, c := range source.Columns {
			s[c.Name] = values[i]
		}
		key := s["k"].(int64)
		if old, ok := before[key]; ok {
			matched[key] = true
			m.apply(opts.Matched, key, s, old)
		} else if c := first(opts.NotMatched, m.get(s, nil)); c != nil {
			m.rows[key] = m.assigned(c, s, nil)
		}
	}
	for key, old := range before {
		if !matched[key] {
			m.apply(opts.NotMatchedBySource, key, nil, old)
		}
	}
}

// apply carries out what the first clause that holds says of a row.
func (m *model) apply(clauses []merge.Clause, key int64, s map[string]any, old map[int]any) {
	switch c := first(clauses, m.get(s, old)); {
	case c == nil:
	case c.Action == merge.Delete:
		delete(m.rows, key)
	default:
		m.rows[key] = m.assigned(c, s, old)
	}
}

func first(clauses []merge.Clause, get func(string) any) *merge.Clause {
	for i, c := range clauses {
		if c.If == nil || c.If.(*random.Expression).Value(get) == true {
			return &clauses[i]
		}
	}
	return nil
}

// get gives the values of s.x and t.x.
func (m *model) get(s map[string]any, old map[int]any) func(string) any {
	return func(name string) any {
		if name[:2] == "s." {
			return s[name[2:]]
		}
		c, _ := m.column(name[2:])
		return old[c.id]
	}
}

func (m *model) assigned(clause *merge.Clause, s map[string]any, old map[int]any) map[int]any {
	out := maps.Clone(old)
	if out == nil {
		out = map[int]any{}
	}
	for _, c := range m.columns {
		if v, ok := s[c.Name]; ok && clause.All {
			out[c.id] = v
		}
		for _, a := range clause.Set {
			if a.Column == c.Name {
				out[c.id] = a.Value.(*random.Expression).Value(m.get(s, old))
			}
		}
	}
	return out
}

// part is a field of a table's partitioning.
type part struct {
	column    int
	transform iceberg.Transform
}

// partition is the partition that a row lies in, as text.
func (m *model) partition(row map[int]any, parts []part) string {
	out := random.List{}
	for _, p := range parts {
		i := slices.IndexFunc(m.columns, func(c modelColumn) bool { return c.id == p.column })
		lit := random.Literals(m.columns[i].Kind, row[p.column])
		if v := p.transform.Apply(lit); v.Valid {
			out = append(out, v.Val.String())
		} else {
			out = append(out, nil)
		}
	}
	return random.Text(out)
}

// replacePartitions makes rows the only ones of their partitions.
func (m *model) replacePartitions(rows [][]any, parts []part) {
	fresh := &model{columns: m.columns, rows: map[int64]map[int]any{}}
	fresh.put(rows)
	replaced := map[string]bool{}
	for _, row := range fresh.rows {
		replaced[m.partition(row, parts)] = true
	}
	for key, row := range m.rows {
		if replaced[m.partition(row, parts)] {
			delete(m.rows, key)
		}
	}
	m.put(rows)
}
