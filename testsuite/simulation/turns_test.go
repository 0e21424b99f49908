package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/merge"
)

const (
	crowdSize = 3
	// readTakes the large MERGE longer than others for each file: a plan of its takes as long as several commits of theirs.
	readTakes = 60 * time.Millisecond
	// mostPlans is how often it may have to plan where nothing fails: three times that it loses, once after the claim to a commit
	// that was under way, and once more; and twice for a claim that was waited out. neverThrough is when a run is given up.
	mostPlans    = 7
	neverThrough = 14
	// mostOvertake is how many commits may come between a claim and the claimant's commit, where nothing fails: one of each of
	// the others, which was under way.
	mostOvertake = crowdSize
	// longestWait is how long a commit of a small writer may take that gives way, where nothing fails.
	longestWait = 30 * time.Second
	// deadHold is for how long somebody who has died asks the others to wait.
	deadHold = 3 * time.Second
	// patience is for how long a run may go on: longer than anybody waits for claims.
	patience = 10 * time.Minute
	// turnShare is of how many seeds of the simulation one is run here.
	turnShare = 200
)

const largeClaim = commit.ClaimPrefix + "large"

// crowd is a large MERGE among small writers who never rest until it is through, or has come to its end by faults.
type crowd struct {
	over    bool
	plans   int // of the large MERGE
	others  int // commits
	longest time.Duration

	claimed  bool // the MERGE has asked for its turn, and its claim is there still
	overtook int  // commits of others since
	most     int  // such commits, of all claims
	left     bool // the MERGE has committed, and its claim is there still
}

// follow is told of each commit that the catalog has let in.
func (c *crowd) follow(r *request, base, next table.Metadata) {
	_, before := base.Properties()[largeClaim]
	_, after := next.Properties()[largeClaim]
	switch {
	case after && r.p.op.kind == "merge" && !claims(r.updates):
		c.left = true
	case after && base.Properties()[largeClaim] != next.Properties()[largeClaim]:
		c.claimed, c.overtook = true, 0
	case before && !after:
		c.claimed = false
	case c.claimed && r.p.op.kind == "overwrite":
		c.overtook++
		c.most = max(c.most, c.overtook)
	}
}

// beside runs it. In half of the seeds somebody has died with a claim before.
func beside(t *testing.T, seed uint64, mutant string) (violations []string, c crowd) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		s := newSim(seed, mutant)
		s.keep = os.Getenv("VARVE_SEED") != ""
		s.catalog.followed, s.patience = c.follow, patience
		if s.rng.IntN(2) == 0 {
			s.program(func(_ int, name string, _ *rand.Rand) *operation { return s.claimAndDie(name) }, 1)
		}
		for range crowdSize {
			s.program(func(i int, name string, rng *rand.Rand) *operation { return s.small(&c, name, i, rng) }, 60)
		}
		rng := rand.New(rand.NewPCG(seed, 9))
		s.spawn(rng, func() {
			op := s.large(&c, rng)
			s.mutate(op)
			s.perform(op, rng)
			c.over = true
		})
		s.run()
		s.check()
		s.checkTurns(&c)
		violations = s.violations
		if s.keep {
			t.Log("\n" + strings.Join(s.lines, "\n"))
		}
	})
	return violations, c
}

// small puts a row in the place of those of a key, which the MERGE has too.
func (s *sim) small(c *crowd, writer string, i int, rng *rand.Rand) *operation {
	if c.over || c.most > 2*mostOvertake {
		return nil
	}
	op := &operation{kind: "overwrite", writer: writer, token: fmt.Sprintf("%s-%d", writer, i)}
	put := change{k: rng.Int64N(keys), v: rng.Int64N(valueRange)}
	op.effect = func(now state) state {
		return now.with(append(now.without(func(r row) bool { return r.k == put.k }), s.newRecord(put)))
	}
	op.do = func(p *process) (bool, error) {
		began := time.Now()
		committed, err := p.replaceWhere(fmt.Sprintf("k == %d", put.k), s.strategy, []change{put})
		c.others, c.longest = c.others+1, max(c.longest, time.Since(began))
		return committed, err
	}
	return op
}

// large changes every key.
func (s *sim) large(c *crowd, rng *rand.Rand) *operation {
	op := &operation{kind: "merge", writer: "large", token: "large", slow: readTakes}
	time.Sleep(300 * time.Millisecond) // there are some rows by then
	for k := range int64(keys) {
		op.changes = append(op.changes, change{k: k, v: rng.Int64N(valueRange)})
	}
	op.effect = func(now state) state { return s.merged(now, op.changes) }
	op.do = func(p *process) (bool, error) {
		t, err := p.table()
		if err != nil {
			return false, err
		}
		c.plans++
		ctx, cancel := context.WithCancel(bg)
		defer cancel()
		opts := p.commitOptions()
		opts.Observe = func(commit.Event) {
			if c.plans++; c.plans > neverThrough {
				cancel()
			}
		}
		r, err := t.Merge(ctx, opts, p.sim.mergeOptions(), &source{rows: op.changes})
		return r.Committed || r.AlreadyCommitted, err
	}
	return op
}

// claimAndDie asks for a turn, and is not seen again.
func (s *sim) claimAndDie(writer string) *operation {
	op := &operation{kind: "claim", writer: writer, token: writer}
	op.do = func(p *process) (bool, error) {
		_, _, err := (&client{p: p, c: s.catalog}).CommitTable(bg, ident, nil, []table.Update{table.NewSetPropertiesUpdate(iceberg.Properties{
			commit.ClaimPrefix + writer: fmt.Sprintf("1 %s %s", deadHold, writer),
		})})
		return false, err
	}
	return op
}

// checkTurns: the MERGE is through within a bounded number of plans, nobody has waited without a bound, and nobody who lives
// has left a claim.
func (s *sim) checkTurns(c *crowd) {
	if !s.faultless {
		return // a plan may be lost to any fault, and a wait is as long as what fails
	}
	if c.plans > mostPlans {
		s.violate("the large MERGE took %d plans, want %d at most", c.plans, mostPlans)
	}
	if c.most > mostOvertake {
		s.violate("%d commits of others came after the claim of the large MERGE and before its commit, want %d at most", c.most, mostOvertake)
	}
	if c.longest > longestWait {
		s.violate("a small commit took %s, want %s at most", c.longest, longestWait)
	}
	if _, there := s.catalog.current().Properties()[largeClaim]; there || c.left {
		s.violate("the claim of the large MERGE is left after its commit, for others to wait out")
	}
}

// TestSimulationOfTurns: VARVE_SEEDS=n runs a part of that many seeds: each has a hundred commits.
func TestSimulationOfTurns(t *testing.T) {
	tiny(t)
	first, last := seeds(t)
	if one := os.Getenv("VARVE_SEED"); one != "" {
		first = turnShare * number(t, one)
		last = first + turnShare
	}
	plans, longest, others, overtook := 0, time.Duration(0), 0, 0
	for seed := first / turnShare; seed < last/turnShare; seed++ {
		violations, c := beside(t, seed, "")
		plans, longest, others = max(plans, c.plans), max(longest, c.longest), others+c.others
		overtook = max(overtook, c.most)
		report(t, seed, result{violations: violations})
	}
	t.Logf("%d seeds, %d small commits; at most %d plans of a large MERGE, also beside faults, %d commits between its claim and its own, and %s of a small one",
		(last-first)/turnShare, others, plans, overtook, longest)
}

// turnMutants break the claims, as mutants break the rest of the protocol.
var turnMutants = []mutant{
	{
		// Who gives way does so for as long as a claim is there: its clock stands still.
		"waits-without-bound", 20, []string{"livelock", "a small commit took"},
		func(_ *sim, op *operation) {
			now := time.Now()
			op.now = func() time.Time { return now }
		},
	},
	{
		// The others overlook claims, and go on.
		"never-gives-way", 40, []string{"came after the claim", "large MERGE took"},
		func(_ *sim, op *operation) {
			if op.kind == "overwrite" {
				op.sees = withoutClaims
			}
		},
	},
	{
		// Who has got through leaves its claim where it is.
		"keeps-its-claim", 40, []string{"MERGE is left after its commit"},
		func(_ *sim, op *operation) {
			if op.kind == "merge" {
				op.sends = keepingClaim
			}
		},
	},
	{
		// Who has claimed believes that nobody comes in between, and commits what it planned before.
		"trusts-its-claim", 40, []string{"has rows", "cannot be read"},
		func(s *sim, op *operation) {
			if op.kind == "merge" {
				op.do = func(p *process) (bool, error) { return p.mergeTrusting(op.changes) }
			}
		},
	},
}

// withoutClaims takes the claims out of what a program sees.
func withoutClaims(meta table.Metadata) table.Metadata {
	keys := claimsIn(meta)
	if len(keys) == 0 {
		return meta
	}
	out, err := table.UpdateTableMetadata(meta, []table.Update{table.NewRemovePropertiesUpdate(keys)}, "")
	if err != nil {
		panic(err)
	}
	return out
}

// keepingClaim takes out of a commit what would take its writer's claim away.
func keepingClaim(reqs []table.Requirement, updates []table.Update) ([]table.Requirement, []table.Update) {
	var out []table.Update
	for _, u := range updates {
		if u.Action() == table.UpdateRemoveProperties {
			keys := reflect.ValueOf(u).Elem().FieldByName("Removals").Interface().([]string)
			keys = slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return strings.HasPrefix(k, commit.ClaimPrefix) })
			if len(keys) == 0 {
				continue
			}
			u = table.NewRemovePropertiesUpdate(keys)
		}
		out = append(out, u)
	}
	return reqs, out
}

// TestTurnMutants: each is found.
func TestTurnMutants(t *testing.T) {
	tiny(t)
	for _, m := range turnMutants {
		t.Run(m.name, func(t *testing.T) {
			m.search(t, func(seed uint64) []string {
				violations, _ := beside(t, seed, m.name)
				return violations
			})
		})
	}
}

func claimsIn(meta table.Metadata) (keys []string) {
	for key := range meta.Properties() {
		if strings.HasPrefix(key, commit.ClaimPrefix) {
			keys = append(keys, key)
		}
	}
	return keys
}

// mergeTrusting plans until it has claimed, and no more.
func (p *process) mergeTrusting(rows []change) (bool, error) {
	plan, err := merge.New(&source{rows: rows}, p.sim.mergeOptions())
	if err != nil {
		return false, err
	}
	defer plan.Close()
	var last *commit.Change
	plans := 0
	return p.planned(func(ctx context.Context, head *table.Table, attempt int) (*commit.Change, error) {
		if plans++; plans > neverThrough {
			return nil, errors.New("it never gets through")
		}
		if last != nil && slices.Contains(claimsIn(head.Metadata()), commit.ClaimPrefix+p.op.writer) {
			return last, nil
		}
		last, err = plan.Change(ctx, head, attempt)
		return last, err
	})
}
