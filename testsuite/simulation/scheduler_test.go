package simulation

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"math/rand/v2"
	"slices"
	"sync"
	"testing/synctest"
	"time"
)

// fate is what becomes of an I/O.
type fate string

const (
	happens    fate = "ok"
	diesBefore fate = "dies before"
	diesAfter  fate = "dies after"
	fails      fate = "fails"       // nothing happened, and the caller is told so
	lostBefore fate = "lost before" // nothing happened, and nobody knows
	lostAfter  fate = "lost after"  // it happened, and nobody knows
	late       fate = "late"        // it will happen some time later, and nobody knows
	twice      fate = "twice"       // it happens twice, the answer is the second one's
	echoed     fate = "echoed"      // it happens, and once more some time later
	overtaken  fate = "overtaken"   // a second copy is refused, and the first one happens some time later
	stale      fate = "stale"       // a read shows an older state
	dead       fate = "of the dead" // its process has died
	delivered  fate = "delivered"   // of a request that was late
)

var (
	readFates   = []fate{fails, diesBefore, diesAfter}
	writeFates  = []fate{fails, lostAfter, diesBefore, diesAfter}
	loadFates   = []fate{fails, diesBefore, diesAfter, stale, stale}
	commitFates = []fate{fails, diesBefore, diesAfter, lostBefore, lostAfter, lostAfter, late, late, twice, twice, echoed, overtaken}
)

// process is one life of a program. Once it has died none of its I/O happens any more.
type process struct {
	began, ended time.Time // of its life

	sim  *sim
	id   int
	name string
	op   *operation
	rng  *rand.Rand
	died bool
	twin bool // of a process that was given up, or is
	base int  // the oldest version of the table that it has seen since it last began to plan
	// sawPast says that a stale read may have misled it.
	sawPast bool
	after   *string
}

type step struct {
	p        *process
	op, name string
	can      []fate
	resume   chan fate
}

// scheduler owns the run. Only its goroutine draws from rng.
type scheduler struct {
	rng       *rand.Rand
	mu        sync.Mutex
	parked    []*step
	late      []*request
	faultRate float64

	digest  hash.Hash
	aliases map[string]string
	lines   []string
	steps   int
	keep    bool // the lines
	// patience is for how long the programs may go on.
	patience time.Duration
	counts   counts
	counted  sync.Mutex
}

func newScheduler(seed uint64) *scheduler {
	return &scheduler{rng: rand.New(rand.NewPCG(seed, 1)), digest: sha256.New(), aliases: map[string]string{}, counts: counts{}, patience: time.Hour}
}

// io parks the calling goroutine until the scheduler lets the I/O of that name go on, and tells what becomes of it.
func (p *process) io(op, name string, can []fate) fate {
	s := &step{p: p, op: op, name: name, can: can, resume: make(chan fate, 1)}
	p.sim.mu.Lock()
	if p.died {
		p.sim.mu.Unlock()
		return dead
	}
	p.sim.parked = append(p.sim.parked, s)
	p.sim.mu.Unlock()
	return <-s.resume
}

// run goes on until no program is left and no request is under way.
func (s *sim) run() {
	deadline := time.Now().Add(s.patience)
	for {
		synctest.Wait()
		if time.Now().After(deadline) {
			s.violate("livelock: the programs have not ended in %s", s.patience)
			s.killAll()
		}
		s.mu.Lock()
		parked, alive := len(s.parked), s.alive
		s.mu.Unlock()
		if parked == 0 && alive == 0 {
			break
		}
		if s.rng.IntN(3) == 0 || parked == 0 {
			time.Sleep(time.Duration(1+s.rng.IntN(20)) * time.Millisecond)
			continue // who woke up is one of the choices
		}
		s.next()
	}
	for len(s.late) > 0 {
		s.deliver(0)
	}
}

// next picks one step, or one late request, and carries it out.
func (s *sim) next() {
	s.mu.Lock()
	slices.SortFunc(s.parked, func(a, b *step) int {
		return cmp.Or(cmp.Compare(a.p.id, b.p.id), cmp.Compare(a.op, b.op), cmp.Compare(a.name, b.name))
	})
	pick := s.rng.IntN(len(s.parked) + len(s.late))
	if pick >= len(s.parked) {
		s.mu.Unlock()
		s.deliver(pick - len(s.parked))
		return
	}
	chosen := s.parked[pick]
	s.parked = slices.Delete(s.parked, pick, pick+1)
	f := happens
	switch {
	case chosen.p.died:
		f = dead
	case s.rng.Float64() < s.faultRate:
		f = chosen.can[s.rng.IntN(len(chosen.can))]
	}
	chosen.p.suffer(f)
	s.mu.Unlock()
	s.note(chosen.p.name, chosen.op, chosen.name, f)
	chosen.resume <- f
}

// suffer notes what the process goes through.
func (p *process) suffer(f fate) {
	switch f {
	case diesBefore, diesAfter:
		p.died = true
	case stale:
		p.sawPast = true
	}
}

func (s *sim) deliver(i int) {
	r := s.late[i]
	s.late = slices.Delete(s.late, i, i+1)
	err := s.catalog.apply(r)
	s.note(r.p.name, "commit", fmt.Sprint(err == nil), delivered)
}

func (s *sim) killAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.processes {
		p.died = true
	}
	s.stopped = true
}

// note adds a step to the trace. Names that chance has made are told by the order of their appearance.
func (s *scheduler) note(who, op, name string, f fate) {
	alias, ok := s.aliases[name]
	if !ok {
		alias = fmt.Sprintf("%s#%d", kindOf(name), len(s.aliases))
		s.aliases[name] = alias
	}
	s.steps++
	s.count("fate: "+string(f), 1)
	line := fmt.Sprintf("%5d %s: %s %s: %s", s.steps, who, op, alias, f)
	s.digest.Write([]byte(line))
	if s.keep {
		s.lines = append(s.lines, line)
	}
}

func (s *scheduler) trace() string { return hex.EncodeToString(s.digest.Sum(nil)) }
