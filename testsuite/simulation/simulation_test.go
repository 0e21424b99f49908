package simulation

import (
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// inTest and inRace are the seeds of `make test` and of `make race`.
const (
	inTest = 2048
	inRace = 64
	// determined are run twice.
	determined = 40
	// leastTaken is how often everything takes place in the seeds of `make test`, at the least.
	leastTaken = 5
)

// TestSimulation: VARVE_SEEDS=n runs that many seeds and VARVE_SEEDS=n-m those from n on, VARVE_SEED=n replays one and
// prints its steps.
func TestSimulation(t *testing.T) {
	tiny(t)
	if one := os.Getenv("VARVE_SEED"); one != "" {
		r := simulate(t, number(t, one), "", true)
		t.Log("\n" + strings.Join(r.lines, "\n"))
		report(t, number(t, one), r)
		return
	}
	first, last := seeds(t)
	var steps, commits, attempts, failed int
	took := counts{}
	for seed := first; seed < last && failed < 5; seed++ {
		r := simulate(t, seed, "", false)
		steps, commits, attempts = steps+r.steps, commits+r.commits, max(attempts, r.most)
		took.add(r.counts)
		if len(r.violations) > 0 {
			failed++
			report(t, seed, r)
		}
	}
	t.Logf("%d seeds, %d steps, %d commits, at most %d attempts of one; and of these:\n%s", last-first, steps, commits, attempts, took)
	if last-first >= inTest {
		assert.Empty(t, took.missing(slices.Concat(everything, fates()), leastTaken), "what the seeds come by too seldom to have shown anything")
	}
}

// TestDeterminism: the same seed is the same run, step by step.
func TestDeterminism(t *testing.T) {
	tiny(t)
	for seed := range uint64(determined) {
		one, two := simulate(t, seed, "", true), simulate(t, seed, "", true)
		if one.trace == two.trace {
			continue
		}
		for i, line := range one.lines {
			if i >= len(two.lines) || two.lines[i] != line {
				t.Fatalf("seed %d: step %d is\n%s\nand then\n%s", seed, i, line, strings.Join(two.lines[i:min(i+1, len(two.lines))], ""))
			}
		}
		t.Fatalf("seed %d: %d steps and then %d", seed, one.steps, two.steps)
	}
}

func seeds(t *testing.T) (first, last uint64) {
	many := os.Getenv("VARVE_SEEDS")
	from, to, ranged := strings.Cut(many, "-")
	switch {
	case ranged:
		return number(t, from), number(t, to)
	case many != "":
		return 0, number(t, many)
	case testing.Short():
		return 0, inRace
	}
	return 0, inTest
}

func number(t *testing.T, s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("seed: %v", err)
	}
	return n
}

func report(t *testing.T, seed uint64, r result) {
	t.Helper()
	if len(r.violations) > 0 {
		t.Errorf("replay with VARVE_SEED=%d:\n%s", seed, strings.Join(r.violations, "\n"))
	}
}

// tiny sets the collector to what suits many short runs of little memory. One processor makes the goroutines that the
// library starts inside of one step take their turns in the same order each time: they race for the numbers in the names
// of manifests.
func tiny(t *testing.T) {
	t.Helper()
	percent, processors := debug.SetGCPercent(800), runtime.GOMAXPROCS(1)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		runtime.GOMAXPROCS(processors)
	})
}
