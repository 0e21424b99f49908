// Package commit is the protocol by which a change reaches a table exactly once.
//
// There is one way for every change: append, replace, MERGE, compaction, expiry, rollback, schema and properties. The library's
// own retries are never entered, since they replay row-level changes that no longer hold; here every attempt is decided
// anew, from one freshly loaded head, by the planner that knows what the change means. Steps are numbered where they
// happen, each with the fault that it survives.
package commit

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/fault"
)

// The classes of errors that Commit returns, as in package fault.
var (
	ErrConflict       = fault.ErrConflict
	ErrUnknownOutcome = fault.ErrUnknownOutcome
	ErrAbsent         = fault.ErrAbsent
	ErrDenied         = fault.ErrDenied
	ErrPassing        = fault.ErrPassing
)

// ErrSuperseded says that the writer has committed something else since the work of this commit began, so that the work
// rests on a checkpoint that is no longer the writer's. Nothing was committed, and trying again is no use.
var ErrSuperseded = errors.New("superseded by a later commit of the same writer")

// Catalog is what the protocol needs of a catalog. Its errors are classed by package fault: an error without a class
// means that nothing was changed, and that trying again would end the same way.
type Catalog interface {
	LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error)
	CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error)
}

// Options bound the protocol. The zero value is usable.
type Options struct {
	// MaxAttempts is how often a commit is tried before giving up. 0 means 50 times that ended in a fault, and 1,000 in all:
	// a conflict is another writer's success, and sixteen who never rest may well have fifty before it is one's turn.
	MaxAttempts int
	MaxElapsed  time.Duration // without the time of planning, which has its own reasons to be long; 0 means 15 minutes
	BaseDelay   time.Duration // the backoff's first; 0 means 20 ms
	MaxDelay    time.Duration // the backoff's greatest; 0 means 5 s

	// Crowd is how many writers of one table a wait for a conflict to pass is meant for, who all do what this one does; 0 means
	// 16.
	Crowd int

	// Since is when the first of the files may have been written that a planner brings along; the zero value is when Commit was
	// called. See ErrSwept.
	Since time.Time

	// CatchUp is for planners who keep what they have done, and plan the rest: see late.
	CatchUp bool
	// Yields is for upkeep: it never claims a turn, however often it loses. See ClaimPrefix.
	Yields bool

	// Observe, when set, is told of every conflict, passing fault and unknown outcome as it happens.
	Observe func(Event)
	// Ended, when set, is told what each commit came to, also when it ended in an error.
	Ended func(ctx context.Context, ident table.Identifier, out Outcome)
	// Now, Sleep and Random replace the clock and the dice in tests and simulations.
	Now    func() time.Time
	Sleep  func(ctx context.Context, d time.Duration) error
	Random func() float64

	maxFaults int // attempts that ended otherwise than by a conflict
}

// Event is something that the protocol survived.
type Event struct {
	Attempt int
	Class   error // ErrConflict, ErrPassing or ErrUnknownOutcome
	Err     error
}

// Outcome is what Commit did.
type Outcome struct {
	// Table is the table after the commit, or as it was last seen.
	Table *table.Table
	// SnapshotID is the snapshot that this commit made, or made current; 0 if there is none, or it has expired.
	SnapshotID int64
	// Committed says that this call changed the table.
	Committed bool
	// AlreadyCommitted says that another call with the same ID did, and this one changed nothing.
	AlreadyCommitted bool
	// Sent says that this call sent a change whose commit was not confirmed: it was found afterwards, and is this call's or a
	// twin's, or it is not there, and may be on its way. Either way the files are not to be removed.
	Sent bool

	Attempts        int // times that something was sent to the catalog
	Conflicts       int
	UnknownOutcomes int
	Claims          int // of a turn, by a writer who kept losing
}

// Commit plans one change and commits it exactly once: however often it is called with the same id, from however many
// processes, and wherever one of them dies, the change is in the table once or not at all.
//
// The data files that a planner wrote are the caller's. After an error they may be removed only if Safe says so.
func Commit(ctx context.Context, cat Catalog, ident table.Identifier, id ID, plan Planner, opts Options) (Outcome, error) {
	if id.Writer == "" || id.Token == "" {
		return Outcome{}, fmt.Errorf("commit %s: writer and token must be given", strings.Join(ident, "."))
	}
	p := &protocol{cat: cat, ident: ident, id: id, plan: plan, opts: opts.withDefaults(), snapshots: map[int64]bool{}, queue: queue{first: map[claim]time.Time{}}}
	p.began = p.opts.Now()
	for {
		done, err := p.attempt(ctx)
		if !done {
			if err = p.backOff(ctx, err); err == nil {
				continue
			}
		}
		err = p.settle(ctx, err)
		p.withdraw(ctx)
		if p.opts.Ended != nil {
			p.opts.Ended(ctx, p.ident, p.out)
		}
		return p.out, err
	}
}

// Safe tells whether the files of a commit that ended in err are certainly not the table's, and may be removed.
func Safe(err error) bool {
	return err != nil && !errors.Is(err, ErrUnknownOutcome) && !errors.As(err, new(*keptError)) && !fault.Cancelled(err)
}

// protocol is one call of Commit.
type protocol struct {
	cat   Catalog
	ident table.Identifier
	id    ID
	plan  Planner
	opts  Options
	began time.Time
	tried time.Time     // when the attempt began
	took  time.Duration // by the attempt before
	// planning is how long the planner took, over all attempts.
	planning time.Duration

	unproven  unproven
	queue     queue
	snapshots map[int64]bool // that this call has sent
	tries     int            // attempts begun, whether or not they came to send something
	faults    int            // of those, attempts that ended otherwise than by a conflict
	lateTries int            // of those, attempts whose plan was late, and lateInRow those since the last that was not
	lateInRow int
	doubts    int // attempts with nothing to send after one that may have landed
	out       Outcome
}

// moved tells whether the table is another one than head by now.
func (p *protocol) moved(ctx context.Context, head *table.Table) (bool, error) {
	now, err := p.cat.LoadTable(ctx, p.ident)
	return err == nil && now.MetadataLocation() != head.MetadataLocation(), err
}

func (p *protocol) name() string { return strings.Join(p.ident, ".") }

// attempt goes through the steps once. done says that Commit ends, with or without err; otherwise err is what to back
// off from.
func (p *protocol) attempt(ctx context.Context) (done bool, err error) {
	p.tries++
	head, done, err := p.arrive(ctx)
	if done || err != nil {
		return done, err
	}
	defer func() { p.took = p.opts.Now().Sub(p.tried) }()

	// Step 4: plan at this very head. A crash in here, or in step 5, leaves files that no snapshot names.
	start := p.opts.Now()
	change, err := p.plan(ctx, p.guarded(head), p.tries)
	p.planning += p.opts.Now().Sub(start)
	if err != nil {
		return p.unplanned(ctx, head, err)
	}
	if err := p.late(ctx, head, start); err != nil {
		return false, err
	}
	if change.empty() {
		return p.idle()
	}

	// Step 5: stage the whole change as one update of the metadata, from the one handle that it was planned on, with the
	// head pinned and the token beside the rows. Two writers at once: the catalog lets the first one in.
	next, err := stage(ctx, head, p.id, change, p.spentClaims(head.Metadata()))
	if err != nil {
		return p.unplanned(ctx, head, fmt.Errorf("stage commit of %s: %w", p.name(), err))
	}

	if err := p.swept(ctx, next, change); err != nil {
		next.remove(ctx)
		return !errors.Is(err, ErrPassing), err
	}

	// Step 6: send it, once. Below us, a client or a proxy may send it again: then the answer is that of the second copy,
	// a conflict with the first, and step 2 finds the token.
	p.out.Attempts++
	for _, id := range next.snapshots {
		p.snapshots[id] = true
	}
	meta, location, err := p.cat.CommitTable(ctx, p.ident, next.requirements, next.updates)
	if err == nil {
		if _, found := Find(meta, p.id); found {
			p.succeed(ctx, head, next, meta, location)
			return true, nil
		}
		// What answered may not be the catalog: something between here and there, which turned the request into another.
		err = &fault.Error{Class: ErrUnknownOutcome, Op: "commit " + p.name(), Err: errors.New("the answer is of a table without the commit")}
	}
	return p.refused(ctx, head, next, change, err)
}

// arrive goes through the steps before there is something to plan.
func (p *protocol) arrive(ctx context.Context) (head *table.Table, done bool, err error) {
	for {
		p.tried = p.opts.Now()

		// Step 1: load the head. Whatever was known of the table is stale by now: another writer, or this one before it
		// was killed, may have committed.
		if head, err = p.cat.LoadTable(ctx, p.ident); err != nil {
			return nil, !errors.Is(err, ErrPassing), err
		}
		p.out.Table = head

		// Step 2: look for the token. It is there if an earlier attempt landed although its answer was lost, if the process
		// was killed after the commit, or if the same activity runs twice. It is looked for in the writer's property, which
		// outlives later snapshots and their expiry, and then in the snapshots, which outlive later commits of the writer.
		if p.foundAt(head) {
			return nil, true, nil
		}
		p.tidy(ctx, head)
		if p.id.After != nil && LastToken(head.Metadata(), p.id.Writer) != *p.id.After {
			return nil, true, fmt.Errorf("commit %s: writer %s: %w", p.name(), p.id.Writer, ErrSuperseded)
		}

		if hopeless, err := p.checkClock(head.Metadata()); err != nil {
			return nil, hopeless, err
		}

		// Step 3: let pass who asked before. A writer with much to do, beside others with little who never rest, would
		// lose to them for ever.
		again, err := p.takeTurn(ctx, head)
		if !again || err != nil {
			return head, err != nil, err
		}
	}
}

// foundAt looks for the token of this commit at a head.
func (p *protocol) foundAt(head *table.Table) bool {
	snapshot, found := Find(head.Metadata(), p.id)
	if found {
		p.out.Table = head
		p.found(snapshot)
	}
	return found
}

// found is a commit of this ID that is in the table. It is this call's if the snapshot is one that it sent, or if nobody
// can tell any more.
func (p *protocol) found(snapshot int64) {
	p.out.SnapshotID = snapshot
	p.out.Sent = p.out.Attempts > 0
	p.out.Committed = p.out.Sent && (snapshot == 0 || p.snapshots[snapshot])
	p.out.AlreadyCommitted = !p.out.Committed
}

// unplanned decides about an attempt that sent nothing. A file of the head that is gone, when the head is another one by
// now, was removed by an expiry that outran this attempt: it is planned again, as after a conflict.
func (p *protocol) unplanned(ctx context.Context, head *table.Table, err error) (done bool, _ error) {
	if !errors.Is(err, ErrAbsent) {
		return !errors.Is(err, ErrPassing), err
	}
	if moved, _ := p.moved(ctx, head); !moved {
		return true, err
	}
	p.out.Conflicts++
	err = &fault.Error{Class: ErrConflict, Op: "plan at a head that has expired meanwhile", Err: errors.New(err.Error())}
	p.observe(err)
	return ctx.Err() != nil, err
}

// refused is step 7: what became of it?
func (p *protocol) refused(ctx context.Context, head *table.Table, next *staged, change *Change, err error) (done bool, _ error) {
	switch {
	case errors.Is(err, ErrConflict):
		// The head moved. The planner decides what of its work still holds.
		p.out.Conflicts++
		if change.files() > 0 {
			p.unproven.add(next, change)
		}
	case errors.Is(err, ErrUnknownOutcome):
		// The answer was lost, by either side's fault. Step 2 finds out; until it has, no file is removed. Should the
		// change still be under way and land later, then the pinned head lets only one of the two in.
		p.out.UnknownOutcomes++
		p.unproven.add(next, change)
	default:
		if done, err = p.turnedAway(ctx, head, next, change, err); done {
			return true, err
		}
	}
	p.observe(err)
	return ctx.Err() != nil, err
}

// turnedAway is a change that was not let in, by what the answer says; but that may be the answer to a second copy of the request,
// and the first one may have landed, or land later. Before anything of it is removed, it is looked for, and unless the answer is final
// nothing is removed before it is disproved.
func (p *protocol) turnedAway(ctx context.Context, head *table.Table, next *staged, change *Change, err error) (done bool, _ error) {
	now, unseen := p.cat.LoadTable(ctx, p.ident)
	if unseen == nil && p.foundAt(now) {
		return true, nil
	}
	passing, classed := errors.Is(err, ErrPassing), fault.Class(err) != nil
	switch {
	case unseen != nil && !classed:
		// An answer that cannot be read, and a table that cannot: it may have landed.
		p.out.UnknownOutcomes++
		p.unproven.add(next, change)
		return false, &fault.Error{Class: ErrUnknownOutcome, Op: "commit " + p.name(), Err: &unseenError{err, unseen}}
	case !classed && now.MetadataLocation() != head.MetadataLocation():
		// It was refused for a reason that is none by now: a sequence number that another took, after which the head was
		// rolled back to where it was.
		p.out.Conflicts++
		p.unproven.add(next, change)
		return false, &fault.Error{Class: ErrConflict, Op: "commit to a table that has changed", Err: err}
	case fault.IsFinal(err):
		next.remove(ctx)
	case unseen != nil:
		p.unproven.addTurnedAway(next, change)
		err = &unseenError{err, unseen}
	default:
		p.unproven.addTurnedAway(next, change)
	}
	return !passing, err
}

// unseenError is the answer to a commit, after which the table could not be loaded either. Its class is the answer's.
type unseenError struct{ answer, unseen error }

func (e *unseenError) Error() string {
	return fmt.Sprintf("%v; whether it has taken effect could not be seen: %v", e.answer, e.unseen)
}

func (e *unseenError) Unwrap() error { return e.answer }

func (p *protocol) succeed(ctx context.Context, head *table.Table, next *staged, meta table.Metadata, location string) {
	p.out.Committed = true
	p.out.SnapshotID = next.snapshotID(meta)
	tableIO, _ := p.cat.(table.CatalogIO)
	p.out.Table = table.New(p.ident, meta, location, head.FS, tableIO)
	p.tidy(ctx, p.out.Table)
	removeOldMetadata(ctx, head, p.out.Table)
}

func (p *protocol) observe(err error) {
	if p.opts.Observe != nil {
		p.opts.Observe(Event{Attempt: p.out.Attempts, Class: fault.Class(err), Err: err})
	}
}
