package simulation

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/fault"
	"github.com/varve-lake/varve/tables/merge"
)

// A MERGE in groups is what a workflow makes of it: commits that divide it, at once or, if it is small, when there is a conflict;
// groups that other processes look through, all at once; and commits that take over what they found, and what the commit before
// them had done itself. What the workflow knows outlives every process; what becomes of a process is up to the scheduler. All
// that passes between them travels as JSON.

// maxDivisions is after how many divisions a commit redoes by itself what conflicts.
const maxDivisions = 3

// round is a division, and what the workflow knows of its groups.
type round struct {
	base int // the oldest version of the table that who divided may have seen
	done merge.Done
}

var errGivenUp = errors.New("nobody waits for the answer")

// mergeInGroups is what is left of the workflow's way when a commit begins.
func (p *process) mergeInGroups() (bool, error) {
	for {
		t, err := p.table()
		if err != nil {
			return false, err
		}
		fan := merge.Fanout{GroupFiles: 1 + p.rng.IntN(2), Redo: len(p.op.rounds) < maxDivisions}
		if fan.Redo && !p.op.small {
			fan.Above = 1
		}
		if p.op.clings {
			fan.GroupFiles = 1
		}
		p.base = math.MaxInt
		for _, r := range p.op.rounds {
			p.base = min(p.base, r.base)
			done := travelled(r.done)
			if now := t.Iceberg().CurrentSnapshot(); p.op.vouched && now != nil {
				done.Division.Snapshot = now.SnapshotID
			}
			fan.Done = append(fan.Done, done)
		}
		r, division, err := t.MergeInGroups(bg, p.commitOptions(), p.mergeOptions(), &source{rows: p.op.changes}, fan)
		p.met(r)
		switch {
		case err != nil || division == nil:
			return r.Committed || r.AlreadyCommitted, err
		case p.died:
			return false, errDead
		case p.twin:
			return false, fault.New(fault.ErrPassing, "divide", errGivenUp)
		}
		p.divided(t, *division, r.Conflicts)
	}
}

// divided has the groups of a division looked through.
func (p *process) divided(t *tables.Table, d merge.Division, conflicts int) {
	s, op := p.sim, p.op
	s.count("MERGE divided", 1)
	if conflicts > 0 && len(op.rounds) == 0 && op.small {
		s.count("small MERGE divided after a conflict", 1)
	}
	if d.Kept != nil {
		s.count("division that keeps what its commit has done", 1)
	}
	if len(op.rounds) > 0 {
		s.count("MERGE divided anew after a conflict", 1)
		if !d.Fresh {
			s.count("results of groups kept over a conflict", 1)
		}
	}
	op.divisions++
	found := make(chan *merge.Found)
	for i := range d.Groups {
		rng := rand.New(rand.NewPCG(p.rng.Uint64(), uint64(i)))
		s.spawn(rng, func() { found <- s.lookThrough(op, d, i, rng) })
	}
	done := d.Done()
	if op.loses && d.Kept != nil {
		done = merge.Done{Division: d}
		done.Division.Count--
	}
	for range d.Groups {
		if f := <-found; f != nil {
			done.Found = append(done.Found, f)
		}
	}
	if op.clings {
		op.cling(&done)
	}
	if len(done.Found) < done.Division.Count {
		s.count("division of which groups are missing", 1)
	}
	if p.rng.IntN(12) == 0 {
		p.giveUp(t, done)
		return
	}
	op.rounds = append(op.rounds, round{p.base, travelled(done)})
}

// giveUp removes, as the workflow of a build that has failed or begins anew does, what no commit was asked to use.
func (p *process) giveUp(t *tables.Table, done merge.Done) {
	for _, f := range done.Found {
		if f == done.Division.Kept && done.Division.Sent {
			p.sim.count("what was kept and sent left when its build was given up", 1)
			continue
		}
		_ = t.RemoveFound(bg, f)
	}
	p.sim.count("results of a division that was given up", 1)
	p.op.rounds = nil
}

// cling has what earlier commits have kept hold on, although a conflict concerns it.
func (op *operation) cling(done *merge.Done) {
	keeps := func(path string) bool { return op.kept[path] }
	done.Division.Dropped = slices.DeleteFunc(done.Division.Dropped, keeps)
	done.Found = slices.DeleteFunc(done.Found, func(f *merge.Found) bool {
		return f != done.Division.Kept && len(f.Files) == 1 && keeps(f.Files[0].Path)
	})
	done.Division.Count = len(done.Found)
	if k := done.Division.Kept; k != nil {
		if op.kept == nil {
			op.kept = map[string]bool{}
		}
		for _, f := range k.Files {
			op.kept[f.Path] = true
		}
	}
}

// lookThrough brings a group to its end, as a workflow does with an activity; nil is one of which nothing came. Sometimes it is
// looked through twice, and the second result counts.
func (s *sim) lookThrough(build *operation, d merge.Division, i int, rng *rand.Rand) (out *merge.Found) {
	op := &operation{
		kind: "group", writer: build.writer, token: fmt.Sprintf("%s/%d/%d", build.token, build.divisions, i), sees: build.sees,
	}
	again := !s.faultless && rng.IntN(8) == 0
	for range 2 {
		p := s.process(op, rng)
		p.began = time.Now()
		found, err := p.match(build, d, i)
		p.ended = time.Now()
		switch {
		case p.died:
		case err == nil && again:
			out, again = found, false
			s.count("group looked through twice", 1)
			continue
		case err == nil:
			s.count("group looked through", 1)
			return found
		case errors.Is(err, tables.ErrMoved):
			s.count("group of a table that has moved", 1)
			return nil
		case s.faultless && fault.Class(err) == nil:
			s.violate("%s: %v", p.name, err)
		}
		time.Sleep(time.Duration(rng.Int64N(int64(50 * time.Millisecond))))
	}
	return out
}

func (p *process) match(build *operation, d merge.Division, i int) (*merge.Found, error) {
	t, err := p.table()
	if err != nil {
		return nil, err
	}
	o := p.sim.mergeOptions()
	o.Isolation = build.isolation
	return t.MatchGroup(bg, o, &source{rows: build.changes}, merge.Fanout{}, travelled(d), travelled(d.Groups[i]))
}

// travelled is a value after it went through JSON.
func travelled[T any](v T) (out T) {
	data, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil {
		panic(err)
	}
	return out
}
