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

// inChunks stores groups in lists of about a size, and says where.
func inChunks[T any](groups []T, bytes int, weight func(T) int, store func(first int, groups []T) (string, error)) ([]chunk, error) {
	var out []chunk
	first, size := 0, 0
	for i, g := range groups {
		size += weight(g)
		if size < bytes && i < len(groups)-1 {
			continue
		}
		uri, err := store(first, groups[first:i+1])
		if err != nil {
			return nil, err
		}
		out = append(out, chunk{First: first, URI: uri})
		first, size = i+1, 0
	}
	return out, nil
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
