package simulation

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
)

const (
	// upkeepShare is of how many seeds of the simulation one is run here.
	upkeepShare = 16
	// upkept is the format of tables that have much of it to do: one that other engines leave position deletes in.
	upkept = 2
)

// upkeep starts what leaves a table with delete files of several engines, and what clears them up beside it.
func (s *sim) upkeep() {
	s.program(func(i int, name string, rng *rand.Rand) *operation { return s.filled(name, i, rng) }, 3)
	for range 2 {
		s.program(func(i int, name string, rng *rand.Rand) *operation { return s.foreign(name, i, rng) }, 3)
	}
	s.program(func(i int, name string, rng *rand.Rand) *operation { return s.write(name, i, rng) }, 1+s.rng.IntN(3))
	s.program(func(i int, name string, rng *rand.Rand) *operation { return s.minor(name, i, rng) }, 7)
	s.program(func(i int, name string, rng *rand.Rand) *operation { return s.compact(name, i, rng) }, s.rng.IntN(3))
	s.program(func(i int, name string, rng *rand.Rand) *operation { return s.expire(name, i, rng) }, s.rng.IntN(2))
	switch s.rng.IntN(4) {
	case 0:
		s.program(func(i int, name string, rng *rand.Rand) *operation { return s.rollback(name, i, rng) }, 1)
	case 1:
		s.program(func(i int, name string, rng *rand.Rand) *operation { return s.evolve(name, i, rng) }, 1)
	}
}

// filled appends a row of every key.
func (s *sim) filled(writer string, i int, rng *rand.Rand) *operation {
	op := s.write(writer, i, rng)
	op.kind, op.isolation, op.changes = "append", "", nil
	for k := range int64(keys) {
		op.changes = append(op.changes, change{k: k, v: rng.Int64N(valueRange)})
	}
	op.effect = s.appends(op.changes)
	op.do = func(p *process) (bool, error) { return p.add(op.changes) }
	return op
}

// upkeepBeside runs a seed, if its table is of the format.
func upkeepBeside(t *testing.T, seed uint64, mutant string) (out result) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		s := newSim(seed, mutant)
		if s.format != upkept || s.catalog.currentOnly {
			return
		}
		s.keep = os.Getenv("VARVE_SEED") != ""
		s.upkeep()
		s.run()
		s.check()
		out = result{violations: s.violations, counts: s.counts}
		if s.keep {
			t.Log("\n" + strings.Join(s.lines, "\n"))
		}
	})
	return out
}

// TestSimulationOfUpkeep: deletes are put together, and those removed that delete nothing, beside engines that add others, MERGEs
// and compactions; and no row comes back, and none goes. VARVE_SEEDS=n runs a part of that many seeds.
func TestSimulationOfUpkeep(t *testing.T) {
	tiny(t)
	first, last := seeds(t)
	if one := os.Getenv("VARVE_SEED"); one != "" {
		first = number(t, one)
		report(t, first, upkeepBeside(t, first, ""))
		return
	}
	took := counts{}
	for seed := first / upkeepShare; seed < last/upkeepShare; seed++ {
		r := upkeepBeside(t, seed, "")
		took.add(r.counts)
		report(t, seed, r)
	}
	t.Logf("of %d seeds, those of format %d:\n%s", (last-first)/upkeepShare, upkept, took)
	if last-first >= inTest {
		assert.Empty(t, took.missing([]string{
			"commit: " + anotherEngine, "commit: merge deletes", "commit: remove dangling deletes", "commit: rewrite manifests", "commit: upgrade",
			"commit: compact", "commit: merge", "group that a merge of deletes left to a writer",
		}, 1))
	}
}
