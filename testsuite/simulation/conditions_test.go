package simulation

import (
	"fmt"
	"math/rand/v2"

	"github.com/varve-lake/varve/internal/rowfilter"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/merge"
)

// condition is one over a row, as text and as what it means.
type condition struct {
	text string
	of   func(row) bool
}

// randomCondition is about a column that partitions may be by, or the key, or both.
func randomCondition(rng *rand.Rand) condition {
	k, v := rng.Int64N(keys), rng.Int64N(valueRange)
	if rng.IntN(2) == 0 {
		v = rangeWidth * (1 + rng.Int64N(3)) // where a partition ends
	}
	return []condition{
		{fmt.Sprintf("v < %d", v), func(r row) bool { return r.v < v }},
		{fmt.Sprintf("v >= %d", v), func(r row) bool { return r.v >= v }},
		{fmt.Sprintf("k == %d", k), func(r row) bool { return r.k == k }},
		{fmt.Sprintf("p == %d", k%2), func(r row) bool { return r.k%2 == k%2 }},
		{fmt.Sprintf("k >= %d and v < %d", k, v), func(r row) bool { return r.k >= k && r.v < v }},
	}[rng.IntN(5)]
}

// deleteWhere makes an operation the removal of the rows that a condition holds for, by writing files anew or by delete
// files; sometimes with others in their place.
func (s *sim) deleteWhere(op *operation, rng *rand.Rand) {
	c := randomCondition(rng)
	strategy := []merge.Strategy{merge.CopyOnWrite, merge.MergeOnRead}[rng.IntN(2)]
	op.kind, op.effect = "delete", func(now state) state { return now.with(now.without(c.of)) }
	var added []change
	if rng.IntN(3) == 0 {
		added = op.changes
		op.kind, op.effect = "overwrite", func(now state) state { return now.with(append(now.without(c.of), s.inserted(added)...)) }
	}
	op.do = func(p *process) (bool, error) { return p.replaceWhere(c.text, strategy, added) }
}

func (p *process) replaceWhere(condition string, strategy merge.Strategy, added []change) (bool, error) {
	t, rows, err := p.rowsWhere(condition, condition)
	if err != nil {
		return false, err
	}
	rows.Strategy = strategy
	if added == nil {
		return p.put(t, nil, func() (tables.Result, error) { return t.Delete(bg, p.commitOptions(), rows) })
	}
	staged, err := t.Stage(bg, (&source{rows: added, without: true}).all(), tables.StageOptions{})
	if err != nil {
		return false, err
	}
	return p.put(t, staged, func() (tables.Result, error) { return t.ReplaceWhere(bg, p.commitOptions(), rows, staged) })
}

// rowsWhere are the rows that a condition holds for; whole says of which files all are taken to be meant.
func (p *process) rowsWhere(condition, whole string) (*tables.Table, tables.Rows, error) {
	t, err := p.table()
	if err != nil {
		return nil, tables.Rows{}, err
	}
	schema, err := t.Schema()
	if err != nil {
		return nil, tables.Rows{}, err
	}
	filter, err := rowfilter.Compile(condition, schema)
	if err != nil {
		return nil, tables.Rows{}, err
	}
	all, err := rowfilter.Compile(whole, schema)
	if err != nil {
		return nil, tables.Rows{}, err
	}
	return t, tables.Rows{Where: filter, May: filter.May, Rest: all.Rest, Strategy: merge.CopyOnWrite}, nil
}
