package commit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/internal/pause"
	"github.com/varve-lake/varve/tables/fault"
)

func (o Options) withDefaults() Options {
	if o.maxFaults = o.MaxAttempts; o.MaxAttempts <= 0 {
		o.MaxAttempts, o.maxFaults = 1000, 50
	}
	if o.MaxElapsed <= 0 {
		o.MaxElapsed = 15 * time.Minute
	}
	if o.BaseDelay <= 0 {
		o.BaseDelay = 20 * time.Millisecond
	}
	if o.MaxDelay <= 0 {
		o.MaxDelay = 5 * time.Second
	}
	if o.Crowd <= 0 {
		o.Crowd = 16
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Sleep == nil {
		o.Sleep = pause.For
	}
	return o
}

const (
	// slowPlan is how long a plan takes to be likely late: others need little more for a whole commit.
	slowPlan = 100 * time.Millisecond
	// maxLate bounds how often in a row a plan is found late and made anew, rather than be sent.
	maxLate = 10
)

// errLate says that the head moved while a plan was being made.
var errLate = errors.New("the head moved while a plan was being made")

// late is a conflict if a plan that took long is for a head that is gone. It is then not worth sending, nor waiting for:
// what came since is little, and so is what is left to plan. So a writer with much to do gets through between others with
// little.
func (p *protocol) late(ctx context.Context, head *table.Table, start time.Time) error {
	moved := false
	if p.opts.CatchUp && p.lateInRow < maxLate && p.opts.Now().Sub(start) >= slowPlan {
		// Of what others change it is the snapshot that counts, which is pinned: claims come all the time.
		now, err := p.cat.LoadTable(ctx, p.ident)
		moved = err == nil && current(now) != current(head)
	}
	if !moved {
		p.lateInRow = 0
		return nil
	}
	p.lateInRow++
	p.lateTries++
	p.out.Conflicts++
	err := fault.New(ErrConflict, "commit "+p.name(), errLate)
	p.observe(err)
	return err
}

// current is the id of a table's current snapshot; 0 if it has none.
func current(t *table.Table) int64 {
	if s := t.CurrentSnapshot(); s != nil {
		return s.SnapshotID
	}
	return 0
}

// backOff is step 8: wait for longer and longer, by chance, so that writers who collided do not meet again; and give up
// in the end, with the class of the last fault, rather than hold a worker for ever.
func (p *protocol) backOff(ctx context.Context, cause error) error {
	if errors.Is(cause, errLate) {
		return nil // it has waited long enough
	}
	now := p.opts.Now()
	if !errors.Is(cause, ErrConflict) {
		p.faults++
	}
	tries, elapsed := p.tries-p.lateTries, now.Sub(p.began)-p.planning-p.queue.gaveWay
	if tries >= p.opts.MaxAttempts || p.faults >= p.opts.maxFaults || elapsed >= p.opts.MaxElapsed {
		return fmt.Errorf("given up after %d attempts in %s: %w", tries, elapsed.Round(time.Millisecond), cause)
	}
	if p.catchesUp(now.Sub(p.tried), cause) {
		return ctx.Err()
	}
	if err := p.opts.Sleep(ctx, p.delay(tries, now.Sub(p.tried), cause)); err != nil {
		return errors.Join(err, cause)
	}
	return nil
}

// catchesUp tells whether what came since is better planned at once: after a conflict, if the last attempt took long, or if
// others make room. What is left to plan is little, and while it waits it grows.
func (p *protocol) catchesUp(took time.Duration, cause error) bool {
	return errors.Is(cause, ErrConflict) && (p.queue.open || p.opts.CatchUp && took >= slowPlan)
}

// delay is how long to wait after an attempt that took some time. After a fault it grows up to MaxDelay, for nobody knows
// how long the fault lasts. After a conflict it grows no longer than a crowd of writers take who do the same: else those
// who lost sleep on when the others are long through.
func (p *protocol) delay(tries int, took time.Duration, cause error) time.Duration {
	longest := p.opts.MaxDelay
	if errors.Is(cause, ErrConflict) {
		longest = min(longest, time.Duration(p.opts.Crowd)*max(took, p.opts.BaseDelay))
	}
	delay := p.opts.BaseDelay << min(tries-1, 20)
	if delay <= 0 || delay > longest {
		delay = longest
	}
	// Half of it is certain, so that the sum of many small rolls cannot spin.
	return delay/2 + time.Duration(p.opts.Random()*float64(delay/2))
}
