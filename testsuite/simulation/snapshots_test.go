package simulation

import (
	"fmt"

	"github.com/apache/iceberg-go/table"
)

// Under snapshot isolation a MERGE need not be what it is at the head that it lands on. But of every row it is one of two
// things: a row of a matching key that was there when it began, and is there still, is the MERGE's, in whatever file and
// however often others have updated it meanwhile; one that came since, it may have seen or not. All else is as it was.

// permitted is the model's state after a MERGE under snapshot isolation, if it is one that this level permits.
func (m *model) permitted(p *process, before state, next table.Metadata) state {
	got, err := rowsOf(m.sim.catalog.tableOf(nil, next, ""), nil)
	if err == nil {
		var now state
		if now, err = m.sim.allowed(before, m.history[p.base], p.op.changes, got); err == nil {
			return now
		}
	}
	m.sim.violate("%s: under snapshot isolation: %v; it has rows %v, had %v, began at %v, and changes %v", p.name, err, got, before.rows(), m.history[p.base].rows(), p.op.changes)
	return p.op.effect(before)
}

// outcome is what the table has after a MERGE and is not explained yet, and the records that explain the rest.
type outcome struct {
	left map[row]int
	out  []record
}

// take explains a row that the table has by a record.
func (o *outcome) take(r record) bool {
	if o.left[r.row] == 0 {
		return false
	}
	o.left[r.row]--
	o.out = append(o.out, r)
	return true
}

// allowed says which records the rows are that the table has after a MERGE that began at base, if it may have them.
func (s *sim) allowed(before, base state, changes []change, got []row) (state, error) {
	o := &outcome{left: map[row]int{}}
	for _, r := range got {
		o.left[r]++
	}
	seen := map[int64]int64{} // values, by the ids of records that were there
	for _, r := range base.records {
		seen[r.id] = r.v
	}
	concerned := map[int64][]record{}
	for _, c := range changes {
		concerned[c.k] = []record{}
	}
	for _, r := range before.records {
		if of, ok := concerned[r.k]; ok {
			concerned[r.k] = append(of, r)
		} else if !o.take(r) {
			return state{}, fmt.Errorf("%v is lost, which nobody has touched", r.row)
		}
	}
	for _, c := range changes {
		if err := s.allowedOf(c, concerned[c.k], seen, o); err != nil {
			return state{}, err
		}
	}
	for r, n := range o.left {
		if n > 0 {
			return state{}, fmt.Errorf("%v is there %d times too often", r, n)
		}
	}
	return before.with(o.out), nil
}

// allowedOf explains the rows of one change's key.
func (s *sim) allowedOf(c change, records []record, seen map[int64]int64, o *outcome) error {
	matched := false
	for _, r := range records {
		was, there := seen[r.id]
		if !there && o.take(r) {
			s.count("row that a MERGE under snapshot isolation did not see", 1)
			continue
		}
		if there && was != r.v {
			s.count("row updated by two MERGEs at once", 1)
		}
		if matched = true; !c.del && !o.take(r.updated(c)) {
			return fmt.Errorf("%v is not updated, or is lost", r.row)
		}
	}
	if !matched && !c.del && !o.take(s.newRecord(c)) {
		return fmt.Errorf("%v is not inserted", row{c.k, c.v})
	}
	return nil
}
