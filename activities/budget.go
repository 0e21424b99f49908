package activities

import (
	"context"
	"fmt"

	"golang.org/x/sync/semaphore"
)

// A worker's memory is divided once, so that what its activities hold together stays within Config.Memory:
//
//	a quarter  the process's own: the runtime, connections, buffers that nobody counts
//	a quarter  the SQL engine, for all of its queries
//	the rest   activities: each takes its share before it begins, and waits while there is none
//
// An activity that stages or refines takes share; a MERGE, whose speed hangs on whether the source's keys fit, takes
// mergeShare.

// smallestShare is what an activity can do with; a worker with less memory runs fewer of them at once.
const smallestShare = 64 << 20

func (c Config) sqlMemory() int64 { return c.Memory / 4 }

func (c Config) activityMemory() int64 { return c.Memory - c.Memory/4 - c.sqlMemory() }

// atOnce is the number of activities that a worker runs at once.
func (c Config) atOnce() int {
	fit := max(c.activityMemory()/smallestShare, 2)
	return int(min(int64(max(2*c.Parallelism, 4)), 32, fit))
}

// share is the memory of one activity.
func (c Config) share() int64 { return c.activityMemory() / int64(c.atOnce()) }

// mergeShare is the memory of a MERGE, of which at most two run at once.
func (c Config) mergeShare() int64 { return max(c.activityMemory()/2, c.share()) }

// Heap is what Go's heap of a worker with this memory should keep to: all but what DuckDB, which Go does not see, takes,
// and a little for what the runtime does not count. It is for debug.SetMemoryLimit.
func (c Config) Heap() int64 {
	c = c.withDefaults()
	return (c.Memory - c.sqlMemory()) / 10 * 9
}

// budget hands out activityMemory.
type budget struct {
	free *semaphore.Weighted
	size int64
}

func newBudget(size int64) *budget { return &budget{semaphore.NewWeighted(size), size} }

// take waits for so many bytes, or for the end of ctx. The caller gives them back by the function returned.
func (b *budget) take(ctx context.Context, bytes int64) (func(), error) {
	bytes = min(bytes, b.size)
	if err := b.free.Acquire(ctx, bytes); err != nil {
		return nil, fmt.Errorf("wait for %d bytes of the worker's memory: %w", bytes, err)
	}
	return func() { b.free.Release(bytes) }, nil
}

// within runs an activity with its share of the memory.
func within[In, Out any](a *Activities, run func(context.Context, *pulse, In) (Out, error)) func(context.Context, *pulse, In) (Out, error) {
	return func(ctx context.Context, p *pulse, in In) (out Out, err error) {
		p.at("waiting for memory")
		done, err := a.memory.take(ctx, a.cfg.share())
		if err != nil {
			return out, err
		}
		defer done()
		return run(ctx, p, in)
	}
}
