package simulation

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/synctest"
)

// namingShare is of how many seeds of the simulation one is run here.
const namingShare = 40

// naming starts appends, expiries, and who puts tags and branches at old snapshots beside them: those that an expiry is about to forget.
func (s *sim) naming() {
	for range 2 {
		s.program(func(i int, name string, rng *rand.Rand) *operation { return s.filled(name, i, rng) }, 4)
		s.program(func(i int, name string, rng *rand.Rand) *operation { return s.expire(name, i, rng) }, 3)
	}
	for range 3 {
		s.program(func(i int, name string, rng *rand.Rand) *operation { return s.tag(name, i, rng) }, 5)
	}
}

// namingBeside runs a seed, if its catalog has old snapshots.
func namingBeside(t *testing.T, seed uint64, mutant string) (out result) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		s := newSim(seed, mutant)
		if s.catalog.currentOnly {
			return
		}
		s.keep = os.Getenv("VARVE_SEED") != ""
		s.naming()
		s.run()
		s.check()
		out = result{violations: s.violations, counts: s.counts}
		if s.keep {
			t.Log("\n" + strings.Join(s.lines, "\n"))
		}
	})
	return out
}

// namingMutants break what keeps a snapshot that was just named.
var namingMutants = []mutant{
	{
		// An expiry does not require that no tag or branch has come since it looked.
		"expiry-does-not-look-again", 300, []string{"is gone"},
		func(_ *sim, op *operation) {
			if op.kind == "expire" {
				op.sends = withoutReferences
			}
		},
	},
}

// TestNamingMutants: each is found.
func TestNamingMutants(t *testing.T) {
	searchAll(t, namingMutants, namingBeside)
}

// TestSimulationOfNaming: a tag or branch that was put at an old snapshot stays, with all its rows, beside expiries that are about to
// forget that. VARVE_SEEDS=n runs a part of that many seeds.
func TestSimulationOfNaming(t *testing.T) {
	tiny(t)
	first, last := seeds(t)
	if one := os.Getenv("VARVE_SEED"); one != "" {
		first = number(t, one)
		report(t, first, namingBeside(t, first, ""))
		return
	}
	took := counts{}
	for seed := first / namingShare; seed < last/namingShare; seed++ {
		r := namingBeside(t, seed, "")
		took.add(r.counts)
		report(t, seed, r)
	}
	t.Logf("of %d seeds:\n%s", (last-first)/namingShare, took)
	if missing := took.missing([]string{"old snapshot named", "snapshot expired", "commit: tag", "commit: branch"}, 1); last-first >= inTest && len(missing) > 0 {
		t.Errorf("took place too seldom: %v", missing)
	}
}
