// Package cache keeps what is read again and again and never changes: manifest lists, manifests, footers and indexes of data
// files. A file of a table is written once, under a name that is never used again, so that nothing here grows stale.
//
// What was made of files is in memory, the least recently used going first. The bytes of files that lie elsewhere, in a store
// of objects, are also in a folder (Disk), which several processes may share.
package cache

import (
	"container/list"
	"context"
	"errors"
	"sync"
)

// Cache holds values by key within a bound of bytes. It is safe for concurrent use; nil keeps nothing.
type Cache struct {
	limit int64
	disk  *Disk

	mu      sync.Mutex
	held    map[string]*list.Element // of *entry
	order   *list.List               // the most recently used first
	bytes   int64
	loading map[string]*loading
}

type entry struct {
	key   string
	value any
	bytes int64
}

// loading is a value being made, which others wait for.
type loading struct {
	done  chan struct{}
	value any
	err   error
}

// New makes a cache of so many bytes in memory; disk may be nil.
func New(bytes int64, disk *Disk) *Cache {
	return &Cache{limit: bytes, disk: disk, held: map[string]*list.Element{}, order: list.New(), loading: map[string]*loading{}}
}

// Value gives what is kept under a key, or makes it: once, for all that ask at the same time. load says how many bytes the value
// takes, roughly; values that would take more than a quarter of the cache are not kept. The value is shared: nobody changes it.
func Value[T any](ctx context.Context, c *Cache, key string, load func(context.Context) (value T, bytes int64, err error)) (T, error) {
	if c == nil {
		v, _, err := load(ctx)
		return v, err
	}
	v, err := c.value(ctx, key, func(ctx context.Context) (any, int64, error) { return load(ctx) })
	if err != nil {
		var none T
		return none, err
	}
	return v.(T), nil
}

func (c *Cache) value(ctx context.Context, key string, load func(context.Context) (any, int64, error)) (any, error) {
	for {
		c.mu.Lock()
		if e, ok := c.held[key]; ok {
			c.order.MoveToFront(e)
			c.mu.Unlock()
			return e.Value.(*entry).value, nil
		}
		other := c.loading[key]
		if other == nil {
			mine := &loading{done: make(chan struct{})}
			c.loading[key] = mine
			c.mu.Unlock()
			return c.load(ctx, key, mine, load)
		}
		c.mu.Unlock()
		select {
		case <-other.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if other.err == nil {
			return other.value, nil
		}
		if !errors.Is(other.err, context.Canceled) && !errors.Is(other.err, context.DeadlineExceeded) && !errors.Is(other.err, errPanicked) {
			return nil, other.err
		}
		// Who made it gave up, which is no reason for others to.
		if err := ctx.Err(); err != nil {
			return nil, context.Cause(ctx)
		}
	}
}

var errPanicked = errors.New("making a value for the cache panicked")

func (c *Cache) load(ctx context.Context, key string, mine *loading, load func(context.Context) (any, int64, error)) (any, error) {
	mine.err = errPanicked // unless load returns
	var bytes int64
	defer func() {
		c.mu.Lock()
		delete(c.loading, key)
		if mine.err == nil {
			c.keep(key, mine.value, bytes)
		}
		c.mu.Unlock()
		close(mine.done)
	}()
	mine.value, bytes, mine.err = load(ctx)
	return mine.value, mine.err
}

func (c *Cache) keep(key string, value any, bytes int64) {
	if bytes = max(bytes, 0) + int64(len(key)) + 100; bytes > c.limit/4 {
		return
	}
	c.held[key] = c.order.PushFront(&entry{key, value, bytes})
	c.bytes += bytes
	for c.bytes > c.limit {
		last := c.order.Remove(c.order.Back()).(*entry)
		delete(c.held, last.key)
		c.bytes -= last.bytes
	}
}

// Used is what the values take, in bytes.
func (c *Cache) Used() int64 {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

// Bytes gives the bytes that read gives, from the folder if they are there. They are not kept in memory.
func (c *Cache) Bytes(key Key, read func() ([]byte, error)) ([]byte, error) {
	if c == nil || c.disk == nil {
		return read()
	}
	if found, ok := c.disk.Get(key); ok {
		return found, nil
	}
	found, err := read()
	if err == nil {
		c.disk.Put(key, found)
	}
	return found, err
}

// Forget removes from the folder what it has of a file. It is for files that are removed for good: what other machines keep of
// them goes by its age.
func (c *Cache) Forget(file string) {
	if c != nil && c.disk != nil {
		c.disk.Forget(file)
	}
}
