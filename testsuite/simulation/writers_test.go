package simulation

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/merge"
)

// write is an append, a replace, a delete by condition, with rows in their place or without, or a MERGE that updates,
// deletes and inserts, under one of the isolation levels, by one process or in groups.
func (s *sim) write(writer string, i int, rng *rand.Rand) *operation {
	op := &operation{writer: writer, token: fmt.Sprintf("%s-%d", writer, i)}
	op.checkpoint = fmt.Sprintf(`{"kind":"n","body":%d}`, i+1)
	var rows []change
	for _, k := range rng.Perm(keys)[:1+rng.IntN(4)] {
		rows = append(rows, change{k: int64(k), v: rng.Int64N(valueRange)})
	}
	op.changes = rows
	op.do = func(p *process) (bool, error) { return p.add(rows) }
	switch dice := rng.IntN(14); {
	case dice < 4:
		op.kind, op.effect = "append", s.appends(rows)
	case dice == 4:
		op.kind, op.effect = "replace", func(now state) state { return now.with(s.inserted(rows)) }
	case dice < 8:
		s.deleteWhere(op, rng)
	default:
		s.mergeRows(op, rng)
	}
	return op
}

func (s *sim) appends(rows []change) func(state) state {
	return func(now state) state { return now.with(append(slices.Clone(now.records), s.inserted(rows)...)) }
}

// mergeRows makes an operation a MERGE of its changes.
func (s *sim) mergeRows(op *operation, rng *rand.Rand) {
	for j := range op.changes {
		op.changes[j].del = rng.IntN(3) == 0
	}
	op.kind, op.effect = "merge", func(now state) state { return s.merged(now, op.changes) }
	if rng.IntN(2) == 0 {
		op.isolation = merge.Snapshot
	}
	op.do = func(p *process) (bool, error) { return p.merge() }
	if rng.IntN(5) < 3 {
		op.small = rng.IntN(2) == 0
		op.do = func(p *process) (bool, error) { return p.mergeInGroups() }
	}
}

// merged is what the MERGE means.
func (s *sim) merged(now state, changes []change) state {
	by := map[int64]change{}
	for _, c := range changes {
		by[c.k] = c
	}
	var out []record
	matched := map[int64]bool{}
	for _, r := range now.records {
		c, ok := by[r.k]
		switch matched[r.k] = ok; {
		case !ok:
			out = append(out, r)
		case !c.del:
			out = append(out, r.updated(c))
		}
	}
	for _, c := range changes {
		if !matched[c.k] && !c.del {
			out = append(out, s.newRecord(c))
		}
	}
	return now.with(out)
}

// updated is the same record with a change's value.
func (r record) updated(c change) record { return record{row{r.k, c.v}, r.id} }

func (p *process) commitOptions() tables.CommitOptions {
	o := tables.CommitOptions{ID: p.commitID()}
	if p.op.checkpoint != "" {
		var n int
		_, _ = fmt.Sscanf(p.op.checkpoint, `{"kind":"n","body":%d}`, &n)
		o.Checkpoint = &tables.Checkpoint{Kind: "n", Body: []byte(fmt.Sprint(n))}
	}
	return o
}

// add stages rows and appends them, or replaces all by them.
func (p *process) add(rows []change) (bool, error) {
	t, err := p.table()
	if err != nil {
		return false, err
	}
	staged, err := t.Stage(bg, (&source{rows: rows, without: true}).all(), tables.StageOptions{})
	if err != nil {
		return false, err
	}
	do := t.Append
	if p.op.kind == "replace" {
		do = t.Replace
	}
	return p.put(t, staged, func() (tables.Result, error) { return do(bg, p.commitOptions(), staged) })
}

// put commits what was staged, and takes it away again if it is certainly not the table's.
func (p *process) put(t *tables.Table, staged *tables.Staged, send func() (tables.Result, error)) (bool, error) {
	r, err := send()
	p.met(r)
	if staged != nil && (err != nil && commit.Safe(err) || r.AlreadyCommitted && !r.Sent) {
		_ = t.Discard(bg, staged)
	}
	return r.Committed || r.AlreadyCommitted, err
}

func (p *process) merge() (bool, error) {
	t, err := p.table()
	if err != nil {
		return false, err
	}
	p.base = math.MaxInt
	r, err := t.Merge(bg, p.commitOptions(), p.mergeOptions(), &source{rows: p.op.changes})
	p.met(r)
	return r.Committed || r.AlreadyCommitted, err
}

// mergeOptions are those of the process's MERGE.
func (p *process) mergeOptions() merge.Options {
	o := p.sim.mergeOptions()
	o.Isolation = p.op.isolation
	return o
}

func (s *sim) mergeOptions() merge.Options {
	return merge.Options{
		On: []string{"k"}, Strategy: s.strategy, Parallelism: 1,
		Matched:    []merge.Clause{{If: flag{}, Action: merge.Delete}, {Action: merge.Update, All: true}},
		NotMatched: []merge.Clause{{If: flag{not: true}, Action: merge.Insert, All: true}},
	}
}
