package commit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

func (o Options) withDefaults() Options {
	if o.MaxAttempts <= 0 {
		o.MaxAttempts = 50
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
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	return o
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// backOff is step 7: wait for longer and longer, by chance, so that writers who collided do not meet again; and give up
// in the end, with the class of the last fault, rather than hold a worker for ever.
func (p *protocol) backOff(ctx context.Context, cause error) error {
	if elapsed := p.opts.Now().Sub(p.began) - p.planning; p.tries >= p.opts.MaxAttempts || elapsed >= p.opts.MaxElapsed {
		return fmt.Errorf("given up after %d attempts in %s: %w", p.tries, elapsed.Round(time.Millisecond), cause)
	}
	delay := p.opts.BaseDelay << min(p.tries-1, 20)
	if delay <= 0 || delay > p.opts.MaxDelay {
		delay = p.opts.MaxDelay
	}
	// Half of it is certain, so that the sum of many small rolls cannot spin.
	delay = delay/2 + time.Duration(p.opts.Random()*float64(delay/2))
	if err := p.opts.Sleep(ctx, delay); err != nil {
		return errors.Join(err, cause)
	}
	return nil
}
