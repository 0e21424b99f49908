package simulation

import (
	"context"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/assert"

	"github.com/varve-lake/varve/tables/commit"
)

const (
	// upkeepShare is of how many seeds of the simulation one is run here.
	upkeepShare = 40
	// upkept is the format of tables that have much of it to do: one that other engines leave position deletes in.
	upkept = 2
	// upkeepTakes what clears up longer than others for each file, where it is slow: a plan of its takes as long as some commits.
	upkeepTakes = 250 * time.Millisecond
)

// upkeep starts what leaves a table with delete files of several engines, and what clears them up beside it.
func (s *sim) upkeep() {
	s.program(func(i int, name string, rng *rand.Rand) *operation { return s.filled(name, i, rng) }, 4)
	for range 2 {
		s.program(func(i int, name string, rng *rand.Rand) *operation { return s.foreign(name, i, rng) }, 3)
	}
	s.program(func(i int, name string, rng *rand.Rand) *operation { return s.write(name, i, rng) }, 1+s.rng.IntN(3))
	for range 2 {
		s.program(func(i int, name string, rng *rand.Rand) *operation { return s.unhurried(s.minor(name, i, rng), rng) }, 3)
	}
	s.program(func(i int, name string, rng *rand.Rand) *operation { return s.compact(name, i, rng) }, 1+s.rng.IntN(2))
	s.program(func(i int, name string, rng *rand.Rand) *operation { return s.expire(name, i, rng) }, s.rng.IntN(2))
	switch s.rng.IntN(4) {
	case 0:
		s.program(func(i int, name string, rng *rand.Rand) *operation { return s.rollback(name, i, rng) }, 1)
	case 1:
		s.program(func(i int, name string, rng *rand.Rand) *operation { return s.evolve(name, i, rng) }, 1)
	}
}

// unhurried makes half of the operations take long over their reads, so that others commit between what they see first and last.
func (s *sim) unhurried(op *operation, rng *rand.Rand) *operation {
	if rng.IntN(2) == 0 {
		op.slow = upkeepTakes
	}
	return op
}

// filled appends a row of every key.
func (s *sim) filled(writer string, i int, rng *rand.Rand) *operation {
	time.Sleep(time.Duration(rng.Int64N(int64(2 * olderThan))))
	op := s.write(writer, i, rng)
	op.kind, op.isolation, op.changes = "append", "", nil
	for k := range int64(keys) {
		op.changes = append(op.changes, change{k: k, v: rng.Int64N(valueRange)})
	}
	op.effect = s.appends(op.changes)
	op.do = func(p *process) (bool, error) { return p.add(op.changes) }
	return op
}

// upkeepBeside runs a seed.
func upkeepBeside(t *testing.T, seed uint64, mutant string) (out result) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		s := newSimOf(seed, mutant, upkept)
		s.catalog.currentOnly = false
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

// upkeepMutants break what clears up.
var upkeepMutants = []mutant{
	{
		// What dangles is told by the data files of one snapshot and the deletes of another, as apache/amoro 3348 reports.
		"dangling-by-two-snapshots", 100, []string{"has rows"},
		func(_ *sim, op *operation) {
			if op.kind == "remove dangling deletes" {
				op.do = func(p *process) (bool, error) { return p.danglingByTwo() }
			}
		},
	},
}

// danglingByTwo removes the deletes of data files that are not among those that it saw at first.
func (p *process) danglingByTwo() (bool, error) {
	t, err := p.table()
	if err != nil {
		return false, err
	}
	seen := map[string]bool{}
	before, err := t.Iceberg().Scan().PlanFiles(bg)
	if err != nil {
		return false, err
	}
	for _, task := range before {
		seen[task.File.FilePath()] = true
	}
	return p.planned(func(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
		tasks, err := head.Scan().PlanFiles(ctx)
		if err != nil {
			return nil, err
		}
		change := &commit.Change{Operation: commit.Rewrite}
		for _, task := range tasks {
			for _, d := range task.DeleteFiles {
				if of := commit.ReferencedFile(d); of != "" && !seen[of] {
					change.RemoveDeletes = append(change.RemoveDeletes, d)
				}
			}
		}
		return change, nil
	})
}

// TestUpkeepMutants: each is found.
func TestUpkeepMutants(t *testing.T) {
	searchAll(t, upkeepMutants, upkeepBeside)
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
			"commit: compact", "commit: merge",
		}, 1))
	}
}
