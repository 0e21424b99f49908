// Package random makes tables, rows, expressions and sources for the randomised tests of package tables and its rooms,
// and writes them as Arrow and as SQL.
package random

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Seeds runs a test for a number of seeds, up to the first that fails. VARVE_SEED=n runs that seed alone, VARVE_SEEDS=n
// the first n. What a test notes is printed with its seed when it fails.
func Seeds(t *testing.T, n uint64, do func(t *testing.T, run *Run)) {
	from := uint64(0)
	if testing.Short() {
		n = (n + 9) / 10
	}
	number := func(name string) (uint64, bool) {
		text := os.Getenv(name)
		if text == "" {
			return 0, false
		}
		v, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s=%s is not a number", name, text)
		}
		return v, true
	}
	if v, ok := number("VARVE_SEEDS"); ok {
		n = v
	}
	if v, ok := number("VARVE_SEED"); ok {
		from, n = v, 1
	}
	for seed := from; seed < from+n; seed++ {
		passed := t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			run := &Run{Rand: rand.New(rand.NewPCG(seed, 4)), Seed: seed}
			defer func() {
				if t.Failed() {
					t.Logf("replay with VARVE_SEED=%d\n%s", seed, strings.Join(run.log, "\n"))
				}
			}()
			do(t, run)
		})
		if !passed {
			return
		}
	}
}

// Run is a test's source of chance, and its log.
type Run struct {
	*rand.Rand
	Seed uint64
	// Allowed, when set, tells which kinds there may be.
	Allowed func(*Kind) bool
	log     []string
}

// Note remembers a line for the log of a failure.
func (r *Run) Note(format string, args ...any) { r.log = append(r.log, fmt.Sprintf(format, args...)) }

// Kind is a random kind; with key, one that can be a merge key.
func (r *Run) Kind(key bool) *Kind {
	for {
		k := &Kinds[r.IntN(len(Kinds))]
		if (k.Key || !key) && (r.Allowed == nil || r.Allowed(k)) {
			return k
		}
	}
}
