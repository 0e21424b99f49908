package commit

import (
	"context"
	"fmt"
	"slices"
	"sync"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// recorder is a table's file IO that remembers which files were created through it.
type recorder struct {
	iceio.WriteFileIO

	mu      sync.Mutex
	created []string
}

func record(ctx context.Context, t *table.Table) (*recorder, error) {
	fs, err := t.FS(ctx)
	if err != nil {
		return nil, err
	}
	w, ok := fs.(iceio.WriteFileIO)
	if !ok {
		return nil, fmt.Errorf("the store of %s cannot be written to", t.Location())
	}
	return &recorder{WriteFileIO: w}, nil
}

func (r *recorder) note(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.created = append(r.created, name)
}

// names lists the files created so far.
func (r *recorder) names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.created)
}

// take returns the files created so far and forgets them.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.created
	r.created = nil
	return out
}

// Create implements iceio.WriteFileIO.
func (r *recorder) Create(name string) (iceio.FileWriter, error) {
	r.note(name)
	return r.WriteFileIO.Create(name)
}

// WriteFile implements iceio.WriteFileIO.
func (r *recorder) WriteFile(name string, content []byte) error {
	r.note(name)
	return r.WriteFileIO.WriteFile(name, content)
}
