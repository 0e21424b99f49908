package kill

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/testsuite/lab"
)

// TestKillMatrix kills the worker, the server, or both, at points and before and after I/Os, on the local default and on S3
// with Nessie. After the restart rows, snapshots, checkpoints and the staging area are as if nobody had been killed.
//
// VARVE_KILL=few is a sample, with VARVE_SEED; kinds takes some of each kind of I/O, and all is every side of every I/O, of
// which VARVE_KILL_SHARD=k/n takes every n-th, from the k-th on, and VARVE_KILL_VICTIM those at which it is the one who dies.
func TestKillMatrix(t *testing.T) {
	if os.Getenv("VARVE_KILL") == "" {
		t.Skip("make test-kill sets VARVE_KILL: this takes minutes")
	}
	bin := lab.Build(t, "faults")
	t.Run("local", func(t *testing.T) {
		matrix(t, bin, onLocal(), "local", lab.Empty(t, bin).StartWorker())
	})
	t.Run("nessie", func(t *testing.T) {
		on, shared := onNessie(t), lab.Empty(t, bin).StartWorker()
		matrix(t, bin, on, "nessie", shared)
		multipart(t, bin, on, shared)
	})
}

func matrix(t *testing.T, bin string, on *backend, short string, shared *lab.Worker) {
	x := &trial{t: t, on: on, name: short + "-undisturbed", victim: worker}
	x.start(bin, shared)
	whole := x.complete()
	x.worker.Kill()
	checkWhole(t, on, whole)
	passed := trace(t, x.lab.Path("trace"))
	points := map[string]bool{}
	total := int64(0)
	for _, s := range passed {
		if total = max(total, s.number); s.when == fault.SidePoint {
			points[s.op] = true
		}
	}
	files := on.left(t, x.lab).All
	t.Logf("%d sides of I/Os, %d points", total, len(points))
	report.begin(slice{on.name, shardOf(t).String(), total, len(points)})

	for _, c := range chosen(t, points, passed) {
		name := fmt.Sprintf("%s-%s-%s", short, c.victim, unfit.ReplaceAllString(c.at, "-"))
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of the time goes by waiting for the heartbeats of the dead
			x := &trial{t: t, on: on, name: name, victim: c.victim, at: c.at}
			end := left{}
			t.Cleanup(func() {
				report.add(x.outcome(max(end.All-files, 0), !t.Failed()))
			})
			x.start(bin, shared)
			got := x.complete()
			require.True(t, x.killed || c.mayMiss, "nobody was killed at %s", c.at)
			require.Equal(t, whole.history, masked(got.history, whole.history))
			require.Equal(t, whole.commits, got.commits, "commits of each table by the catalog's history")
			end = on.left(t, x.lab)
			require.Zero(t, end.Staged, "nothing is left staged")
			x.worker.Kill()
			if x.victim != worker {
				x.server.Kill()
			}
		})
	}
}

// unfit is what stands in no name of a branch, a task queue or a folder.
var unfit = regexp.MustCompile("[^a-z0-9]+")

// checkWhole holds what a lake has in which nobody was killed against what the deliveries say.
func checkWhole(t *testing.T, on *backend, whole seen) {
	t.Helper()
	for delivered := 1; delivered <= len(deliveries()); delivered++ {
		if on.commits != nil && delivered < len(deliveries()) {
			continue // the tables' metadata shows the head alone
		}
		for name, want := range expected(delivered) {
			history := whole.history[name]
			if on.commits == nil {
				require.Len(t, history, len(deliveries()), "snapshots of %s", name)
				history = history[delivered-1:]
			}
			require.Len(t, history[0], len(want), name)
			if name != "silver.orders__quarantine" {
				require.Equal(t, want, history[0], name)
			}
		}
	}
}

// masked replaces the quarantine's keys, which are each lake's own, where there are as many of them, all different.
func masked(got, whole map[string][][]string) map[string][][]string {
	const name = "silver.orders__quarantine"
	if len(got[name]) != len(whole[name]) {
		return got
	}
	for i, keys := range got[name] {
		different := map[string]bool{}
		for _, key := range keys {
			different[key] = true
		}
		if len(different) != len(whole[name][i]) || len(keys) != len(different) {
			return got
		}
	}
	got[name] = whole[name]
	return got
}

// killing is a place to kill at.
type killing struct {
	victim, at string
	// mayMiss says that a run may not come by there, since the number of I/Os is not always quite the same.
	mayMiss bool
}

// fewPoints are those of the short form: something is made, staged and committed, and the workflow does not know.
var fewPoints = []string{fault.PrepareEnsured, fault.MergeResultStored, fault.CommitDone}

// chosen are the places of this form of the test, among those that an undisturbed trial passed.
func chosen(t *testing.T, points map[string]bool, passed []side) []killing {
	var out []killing
	if only := os.Getenv("VARVE_KILL_ONLY"); only != "" { // victim@place;victim@place, to see them again
		for _, text := range strings.Split(only, ";") {
			victim, at, _ := strings.Cut(text, "@")
			out = append(out, killing{victim, at, false})
		}
		return out
	}
	form, part := os.Getenv("VARVE_KILL"), shardOf(t)
	for i, p := range fault.Points {
		if !part.has(int64(i+1)) || !slices.Contains(part.victims(), worker) {
			continue
		}
		if few := slices.Contains(fewPoints, p); points[p] && (form != "few" || few) {
			out = append(out, killing{worker, p, false})
		} else if few {
			t.Errorf("the trial does not come by %s", p)
		}
	}
	total := int64(0)
	for _, s := range passed {
		total = max(total, s.number)
	}
	random := rand.New(rand.NewPCG(seed(t), 0))
	put := func(k killing) {
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	add := func(victim string, n int64) { put(killing{victim, fmt.Sprintf("%s:%d", fault.IO, n), n > total*8/10}) }
	switch form {
	case "all":
		for _, victim := range part.victims() {
			for n := int64(1); n <= total; n++ {
				if part.has(n) {
					add(victim, n)
				}
			}
		}
	case "kinds":
		for _, sides := range kinds(passed) {
			for _, victim := range []string{worker, worker, server, both} {
				put(killing{victim, byKind(passed, sides[random.IntN(len(sides))]), false})
			}
		}
	default:
		for _, victim := range []string{worker, worker, worker, worker, worker, server, server, both} {
			add(victim, 1+random.Int64N(total*8/10))
		}
	}
	return out
}

// shard is the k-th of n shares of the places, of 1 if n is 0, and of one victim if it has one. A place is in it by its own
// number, so that shares add up to the whole also when one process's trial passes a few more I/Os than another's.
type shard struct {
	k, n   int64
	victim string
}

func (s shard) victims() []string {
	if s.victim != "" {
		return []string{s.victim}
	}
	return []string{worker, server, both}
}

func (s shard) has(number int64) bool { return s.n == 0 || (number-1)%s.n == s.k-1 }

func (s shard) String() string {
	text := ""
	if s.n != 0 {
		text = fmt.Sprintf("%d/%d", s.k, s.n)
	}
	if s.victim != "" {
		text = strings.TrimSpace(text + " of " + s.victim)
	}
	return text
}

func shardOf(t *testing.T) (s shard) {
	text, victim := os.Getenv("VARVE_KILL_SHARD"), os.Getenv("VARVE_KILL_VICTIM")
	if text == "" && victim == "" {
		return s
	}
	require.Equal(t, "all", os.Getenv("VARVE_KILL"), "VARVE_KILL_SHARD and VARVE_KILL_VICTIM are for VARVE_KILL=all")
	if text != "" {
		var err error
		s, err = parseShard(text)
		require.NoError(t, err)
	}
	require.Contains(t, []string{"", worker, server, both}, victim, "VARVE_KILL_VICTIM")
	s.victim = victim
	return s
}

func parseShard(text string) (s shard, err error) {
	k, n, _ := strings.Cut(text, "/")
	if s.k, err = strconv.ParseInt(k, 10, 64); err == nil {
		s.n, err = strconv.ParseInt(n, 10, 64)
	}
	if err != nil || s.k < 1 || s.k > s.n {
		return shard{}, fmt.Errorf("VARVE_KILL_SHARD=%s: want k/n, with k from 1 to n", text)
	}
	return s, nil
}

// kinds are the places in a trace of the sides of I/Os of one kind each, in the order of their first ones.
func kinds(passed []side) (out [][]int) {
	index := map[string]int{}
	for i, s := range passed {
		if s.when == fault.SidePoint {
			continue
		}
		kind := s.when + " " + s.String()
		k, ok := index[kind]
		if !ok {
			k = len(out)
			index[kind] = k
			out = append(out, nil)
		}
		out[k] = append(out[k], i)
	}
	return out
}

// byKind names a side of a trace by its operation and the kind of its file, and which of those it is: where several pieces
// of work go on at once, its number is another each time.
func byKind(passed []side, place int) string {
	one := passed[place]
	text := marks[kindOf(one.at)]
	if strings.Contains(one.at, restMark) {
		text = restMark
	}
	name := strings.Join([]string{fault.IO, one.when, one.op, text}, "/")
	n := 0
	for _, s := range passed[:place+1] {
		if fault.Matches(name, s.when, s.op, s.at) {
			n++
		}
	}
	return fmt.Sprintf("%s:%d", name, n)
}

// marks are what the paths of a kind of file have in them.
var marks = map[string]string{
	"staged file": "/_staging/", "state file": "/_varve/", "table metadata": ".metadata.json", "manifest list": "/snap-",
	"manifest": ".avro", "data or delete file": ".parquet", "delivery": ".csv", "landing folder": "/" + landingFolder,
}

func seed(t *testing.T) uint64 {
	n := uint64(20130220)
	if text := os.Getenv("VARVE_SEED"); text != "" {
		var err error
		n, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err, "VARVE_SEED")
	}
	t.Logf("VARVE_SEED=%d", n)
	return n
}
