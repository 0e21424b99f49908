package activities

import (
	"context"
	"fmt"
)

// chunk is a stored list of groups.
type chunk struct {
	First int    `json:"first"`
	URI   string `json:"uri"`
}

// chunker stores groups, as they come, in lists of about a size: no more than one list is in memory.
type chunker[T any] struct {
	bytes  int // of a list
	weight func(T) int
	store  func(first int, groups []T) (string, error)

	chunks []chunk
	open   []T // not stored yet
	size   int // of these
	groups int // in all
}

func (c *chunker[T]) add(g T) error {
	c.open, c.groups = append(c.open, g), c.groups+1
	if c.size += c.weight(g); c.size < c.bytes {
		return nil
	}
	return c.flush()
}

func (c *chunker[T]) flush() error {
	if len(c.open) == 0 {
		return nil
	}
	first := c.groups - len(c.open)
	uri, err := c.store(first, c.open)
	if err != nil {
		return err
	}
	c.chunks = append(c.chunks, chunk{First: first, URI: uri})
	c.open, c.size = nil, 0
	return nil
}

// inChunks stores groups in lists of about a size, and says where.
func inChunks[T any](groups []T, bytes int, weight func(T) int, store func(first int, groups []T) (string, error)) ([]chunk, error) {
	c := chunker[T]{bytes: bytes, weight: weight, store: store}
	for _, g := range groups {
		if err := c.add(g); err != nil {
			return nil, err
		}
	}
	err := c.flush()
	return c.chunks, err
}

// fromChunks reads the n-th group of lists that inChunks stored.
func fromChunks[T any](ctx context.Context, a *Activities, chunks []chunk, n int) (group T, err error) {
	for i := len(chunks) - 1; i >= 0; i-- {
		c := chunks[i]
		if c.First > n {
			continue
		}
		var groups []T
		if err := a.load(ctx, c.URI, &groups); err != nil {
			return group, err
		}
		if n-c.First < len(groups) {
			return groups[n-c.First], nil
		}
		break
	}
	return group, fmt.Errorf("there is no group %d", n)
}
