package simulation

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

type mutant struct {
	name  string
	seeds uint64
	shows []string // one of them is in a violation
	apply func(s *sim, op *operation)
}

// The protocol broken on purpose, one promise at a time, from the outside: by what a program sees of the table, by what it
// sends, and by how it uses the library. Nothing in the library knows of it. Each mutant says within how many seeds the
// simulation has to find it, and how it shows.
var mutants = []mutant{
	{
		// Step 2 is left out: no token is found in the table.
		"no-token", 60, []string{"was committed 2 times"},
		func(_ *sim, op *operation) { op.sends, op.sees = withoutSummaryToken, withoutTokens },
	},
	{
		// A MERGE is planned on an old head and committed on a fresh one, as if no delete file and no data file could have
		// come in between.
		"stale-plan", 60, []string{"has rows"},
		func(_ *sim, op *operation) {
			if op.kind == "merge" {
				op.checkpoint = ""
				op.do = func(p *process) (bool, error) { return p.mergeOnce() }
			}
		},
	},
	{
		// The same under snapshot isolation, by which it need not see what came since, but what was updated since.
		"stale-plan-under-snapshot-isolation", 200, []string{"under snapshot isolation: "},
		func(_ *sim, op *operation) {
			if op.kind == "merge" {
				op.checkpoint, op.isolation = "", merge.Snapshot
				op.do = func(p *process) (bool, error) { return p.mergeOnce() }
			}
		},
	},
	{
		// What was found of the groups of a MERGE is taken over as if it had been found at the head.
		"groups-of-another-head", 60, []string{"has rows"},
		func(_ *sim, op *operation) {
			if op.kind == "merge" {
				op.isolation, op.vouched, op.small = merge.Serializable, true, false
				op.do = func(p *process) (bool, error) { return p.mergeInGroups() }
			}
		},
	},
	{
		// What a commit has done itself before a conflict does not reach the next one, which takes it for known.
		"kept-results-lost", 300, []string{"has rows"},
		func(_ *sim, op *operation) {
			if op.kind == "merge" {
				op.isolation, op.loses, op.small = merge.Serializable, true, true
				op.do = func(p *process) (bool, error) { return p.mergeInGroups() }
			}
		},
	},
	{
		// What a commit has handed on is taken over although another conflict concerns it.
		"kept-results-over-a-conflict", 600, []string{"has rows", "are to be removed, of which the table has"},
		func(_ *sim, op *operation) {
			if op.kind == "merge" {
				op.isolation, op.clings, op.small = merge.Serializable, true, true
				op.do = func(p *process) (bool, error) { return p.mergeInGroups() }
			}
		},
	},
	{
		// Whatever the error, the files are removed.
		"remove-after-unknown", 600, []string{"a snapshot names it"},
		func(s *sim, op *operation) { s.impatient(op) },
	},
	{
		// A compaction commits what it has rewritten although rows of it were deleted meanwhile.
		"compaction-does-not-yield", 300, []string{"has rows"},
		func(_ *sim, op *operation) {
			if op.kind == "compact" {
				op.do = func(p *process) (bool, error) { return p.compactOnce() }
			}
		},
	},
	{
		// An expiry does not see tags.
		"expiry-ignores-tags", 200, []string{"is gone"},
		func(_ *sim, op *operation) {
			if op.kind == "expire" {
				op.sends, op.sees = withoutReferences, withoutTags
			}
		},
	},
	{
		// An expiry does not see branches.
		"expiry-ignores-branches", 300, []string{"is gone"},
		func(_ *sim, op *operation) {
			if op.kind == "expire" {
				op.sends, op.sees = withoutReferences, withoutBranches
			}
		},
	},
	{
		// A refusal is taken for the last word on a request, of which a first copy is under way still.
		"refusal-believed", 400, []string{"a snapshot names it", "is named and gone", "cannot be read", "was refused, and landed later"},
		func(_ *sim, op *operation) { op.believes = true },
	},
	{
		// An expiry removes files although nobody knows whether its commit has landed.
		"sweep-before-it-is-known", 200, []string{"a snapshot names it"},
		func(_ *sim, op *operation) {
			if op.kind == "expire" {
				op.do = func(p *process) (bool, error) { return p.sweepFirst() }
			}
		},
	},
	{
		// A retention does not tell what it is, so that its rows stay in snapshots that are kept by number.
		"retention-without-its-mark", 300, []string{"which a retention erased"},
		func(_ *sim, op *operation) {
			if op.kind == "retain" {
				op.do = func(p *process) (bool, error) { return p.retain(below(op.bound), below(op.bound), false) }
			}
		},
	},
	{
		// A retention drops files whose rows are almost all past their time.
		"retention-drops-too-much", 300, []string{"has rows"},
		func(_ *sim, op *operation) {
			if op.kind == "retain" {
				op.do = func(p *process) (bool, error) { return p.retain(below(op.bound), below(op.bound+rangeWidth), true) }
			}
		},
	},
	{
		// A retention commits on a fresh head what it planned on an old one.
		"retention-on-a-stale-plan", 400, []string{"has rows", "cannot be read", "was refused, and landed later"},
		func(_ *sim, op *operation) {
			if op.kind == "retain" {
				op.do = func(p *process) (bool, error) { return p.retainOnce(op.bound) }
			}
		},
	},
	{
		// The library's own retries replay a row delta on another head.
		"library-retries", 120, []string{"has rows", "cannot be read"},
		func(_ *sim, op *operation) {
			if op.kind == "merge" {
				op.checkpoint = ""
				op.do = func(p *process) (bool, error) { return p.mergeByLibrary(op.changes) }
			}
		},
	},
}

// TestMutants: the simulation finds each of them.
func TestMutants(t *testing.T) {
	searchAll(t, mutants, simulated)
}

// searchAll has each mutant found by a program's seeds.
func searchAll(t *testing.T, all []mutant, run func(t *testing.T, seed uint64, mutant string) result) {
	t.Helper()
	tiny(t)
	for _, m := range all {
		t.Run(m.name, func(t *testing.T) {
			m.search(t, func(seed uint64) []string { return run(t, seed, m.name).violations })
		})
	}
}

// simulated is the whole simulation as a program.
func simulated(t *testing.T, seed uint64, mutant string) result {
	return simulate(t, seed, mutant, false)
}

// search runs seeds until one finds the mutant.
func (m mutant) search(t *testing.T, run func(seed uint64) (violations []string)) {
	t.Helper()
	for seed := range m.seeds {
		for _, v := range run(seed) {
			if slices.ContainsFunc(m.shows, func(s string) bool { return strings.Contains(v, s) }) {
				t.Logf("found by seed %d: %s", seed, v)
				return
			}
		}
	}
	t.Errorf("not found by %d seeds", m.seeds)
}

// mutate changes an operation as the run's mutant does.
func (s *sim) mutate(op *operation) {
	for _, m := range slices.Concat(mutants, turnMutants, upkeepMutants, rowIDMutants, namingMutants) {
		if m.name == s.mutant {
			m.apply(s, op)
		}
	}
}

// withoutSummaryToken takes the token out of the summaries of a commit's snapshots.
func withoutSummaryToken(reqs []table.Requirement, updates []table.Update) ([]table.Requirement, []table.Update) {
	for _, u := range updates {
		if u.Action() == table.UpdateAddSnapshot {
			snapshot := reflect.ValueOf(u).Elem().FieldByName("Snapshot").Interface().(*table.Snapshot)
			delete(snapshot.Summary.Properties, commit.TokenKey)
		}
	}
	return reqs, updates
}

// withoutTokens takes the writers' tokens out of the properties that a program sees.
func withoutTokens(meta table.Metadata) table.Metadata {
	var tokens []string
	for k := range meta.Properties() {
		if strings.HasPrefix(k, commit.PropertyPrefix) {
			tokens = append(tokens, k)
		}
	}
	if len(tokens) == 0 {
		return meta
	}
	out, err := table.UpdateTableMetadata(meta, []table.Update{table.NewRemovePropertiesUpdate(tokens)}, "")
	if err != nil {
		panic(err)
	}
	return out
}

func withoutTags(meta table.Metadata) table.Metadata { return withoutRefs(meta, table.TagRef) }

func withoutBranches(meta table.Metadata) table.Metadata { return withoutRefs(meta, table.BranchRef) }

// withoutRefs takes tags, or branches other than the main one, out of what a program sees.
func withoutRefs(meta table.Metadata, kind table.RefType) table.Metadata {
	var updates []table.Update
	for name, ref := range meta.Refs() {
		if ref.SnapshotRefType == kind && name != table.MainBranch {
			updates = append(updates, table.NewRemoveSnapshotRefUpdate(name))
		}
	}
	if len(updates) == 0 {
		return meta
	}
	out, err := table.UpdateTableMetadata(meta, updates, "")
	if err != nil {
		panic(err)
	}
	return out
}

// withoutReferences takes out of what a program sends that no branch or tag has come since it looked.
func withoutReferences(reqs []table.Requirement, updates []table.Update) ([]table.Requirement, []table.Update) {
	return slices.DeleteFunc(slices.Clone(reqs), func(r table.Requirement) bool { return r.GetType() == "only-refs" }), updates
}

// once is a planner that plans at the first head only.
func once(plan commit.Planner) commit.Planner {
	var first *commit.Change
	return func(ctx context.Context, head *table.Table, attempt int) (_ *commit.Change, err error) {
		if first == nil {
			first, err = plan(ctx, head, attempt)
		}
		return first, err
	}
}

// planned commits by the protocol what a planner wants, with the checkpoint left out.
func (p *process) planned(plan commit.Planner) (bool, error) {
	out, err := commit.Commit(bg, &client{p: p, c: p.sim.catalog}, ident, p.commitID(), plan, p.options())
	return out.Committed || out.AlreadyCommitted, err
}

func (p *process) mergeOnce() (bool, error) {
	plan, err := merge.New(&source{rows: p.op.changes}, p.mergeOptions())
	if err != nil {
		return false, err
	}
	defer plan.Close()
	return p.planned(once(plan.Change))
}

func (p *process) compactOnce() (bool, error) {
	c, err := maintain.NewCompaction(maintain.CompactOptions{MinInputFiles: 2, MaxDeleted: 0.1, Parallelism: 1})
	if err != nil {
		return false, err
	}
	return p.planned(once(c.Change))
}

// sweepFirst expires, and sweeps as if the commit had landed.
func (p *process) sweepFirst() (bool, error) {
	e, err := maintain.NewExpiry(maintain.ExpireOptions{OlderThan: olderThan, KeepLast: 1})
	if err != nil {
		return false, err
	}
	return p.planned(func(ctx context.Context, head *table.Table, attempt int) (*commit.Change, error) {
		change, err := e.Change(ctx, head, attempt)
		if change == nil || err != nil {
			return nil, err
		}
		after, err := table.UpdateTableMetadata(head.Metadata(), change.Updates, "")
		if err != nil {
			return nil, err
		}
		_ = e.Sweep(ctx, table.New(ident, after, "", head.FS, nil))
		return change, nil
	})
}

// impatient takes the files away when an answer is lost.
func (s *sim) impatient(op *operation) {
	if op.kind != "append" && op.kind != "replace" {
		return
	}
	op.do = func(p *process) (bool, error) {
		t, err := p.table()
		if err != nil {
			return false, err
		}
		staged, err := t.Stage(bg, (&source{rows: op.changes, without: true}).all(), tables.StageOptions{})
		if err != nil {
			return false, err
		}
		do := t.Append
		if op.kind == "replace" {
			do = t.Replace
		}
		opts := p.commitOptions()
		opts.Observe = func(e commit.Event) {
			if errors.Is(e.Class, commit.ErrUnknownOutcome) {
				_ = t.Discard(bg, staged)
			}
		}
		r, err := do(bg, opts, staged)
		return r.Committed || r.AlreadyCommitted, err
	}
}

// mergeByLibrary plans a MERGE and lets the library's transaction commit it, with the retries that it offers.
func (p *process) mergeByLibrary(rows []change) (bool, error) {
	plan, err := merge.New(&source{rows: rows}, p.sim.mergeOptions())
	if err != nil {
		return false, err
	}
	defer plan.Close()
	head, err := (&client{p: p, c: p.sim.catalog}).LoadTable(bg, ident)
	if err != nil {
		return false, err
	}
	change, err := plan.Change(bg, head, 1)
	if change == nil || err != nil {
		return false, err
	}
	if len(change.RemoveData) > 0 && len(change.AddDeletes) > 0 {
		return false, errors.New("not one operation of the library")
	}
	tx := head.NewTransaction()
	switch {
	case len(change.AddDeletes) > 0 || len(change.RemoveData) == 0:
		err = tx.NewRowDelta(nil).AddRows(change.AddData...).AddDeletes(change.AddDeletes...).RemoveDeletes(change.RemoveDeletes...).Commit(bg)
	default:
		err = tx.ReplaceFiles(bg, change.RemoveData, change.AddData, change.RemoveDeletes, nil)
	}
	if err != nil {
		return false, err
	}
	_, err = tx.Commit(bg)
	return err == nil, err
}
