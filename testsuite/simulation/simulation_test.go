package simulation

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
)

// TestSimulation: VARVE_SEEDS=n runs that many seeds, VARVE_SEED=n replays one and prints its steps.
func TestSimulation(t *testing.T) {
	warm(t)
	if one := os.Getenv("VARVE_SEED"); one != "" {
		seed, err := strconv.ParseUint(one, 10, 64)
		if err != nil {
			t.Fatalf("VARVE_SEED: %v", err)
		}
		r := simulate(t, seed, "", true)
		t.Log("\n" + strings.Join(r.lines, "\n"))
		report(t, seed, r)
		return
	}
	seeds := uint64(100)
	if many := os.Getenv("VARVE_SEEDS"); many != "" {
		n, err := strconv.ParseUint(many, 10, 64)
		if err != nil {
			t.Fatalf("VARVE_SEEDS: %v", err)
		}
		seeds = n
	}
	var steps, commits, failed int
	for seed := range seeds {
		r := simulate(t, seed, "", false)
		steps, commits = steps+r.steps, commits+r.commits
		if report(t, seed, r); len(r.violations) > 0 {
			if failed++; failed == 5 {
				break
			}
		}
	}
	t.Logf("%d seeds, %d steps, %d commits", seeds, steps, commits)
}

func report(t *testing.T, seed uint64, r result) {
	t.Helper()
	if len(r.violations) > 0 {
		t.Errorf("replay with VARVE_SEED=%d:\n%s", seed, strings.Join(r.violations, "\n"))
	}
}

// warm lets the libraries make what they keep for the process's life outside of any bubble.
func warm(t *testing.T) {
	t.Helper()
	before := debug.SetGCPercent(800) // tables are tiny, and there are many
	t.Cleanup(func() { debug.SetGCPercent(before) })
}
