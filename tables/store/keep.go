package store

import (
	"context"
	"slices"
	"sync"

	iceio "github.com/apache/iceberg-go/io"
)

// Kept notes the files that would have been removed.
type Kept struct {
	mu    sync.Mutex
	paths []string
}

// Paths lists them.
func (k *Kept) Paths() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.paths)
}

type keepKey struct{}

// Keep gives a context in which stores that iceberg-go opens remove nothing, but note what they were to remove: the library
// tidies up after failures without asking whether the answer was lost.
func Keep(ctx context.Context) (context.Context, *Kept) {
	k := &Kept{}
	return context.WithValue(ctx, keepKey{}, k), k
}

// keeping puts a context's Kept before a store.
func keeping(ctx context.Context, fs iceio.WriteFileIO) iceio.IO {
	if k, ok := ctx.Value(keepKey{}).(*Kept); ok {
		return &keepingStore{fs, k}
	}
	return fs
}

type keepingStore struct {
	iceio.WriteFileIO
	kept *Kept
}

// Remove implements iceio.IO.
func (s *keepingStore) Remove(uri string) error {
	s.kept.mu.Lock()
	defer s.kept.mu.Unlock()
	s.kept.paths = append(s.kept.paths, uri)
	return nil
}
