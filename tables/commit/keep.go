package commit

import (
	"context"
	"sync"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// keptFiles are the files of changes whose outcome was not known when they were sent. They are never removed by who wrote
// them: as long as a copy of the request may be under way, it can land whenever its pinned head is the head. What of them
// no snapshot comes to name, the removal of orphans finds.
type keptFiles struct {
	mu    sync.Mutex
	paths map[string]bool
}

func (k *keptFiles) add(c *Change) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.paths == nil {
		k.paths = map[string]bool{}
	}
	for _, files := range [][]iceberg.DataFile{c.AddData, c.AddDeletes} {
		for _, f := range files {
			k.paths[f.FilePath()] = true
		}
	}
}

func (k *keptFiles) has(path string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.paths[path]
}

// guarded is the head as planners see it: its store keeps the files of changes whose outcome is unknown, whatever makes a
// planner throw its work away.
func (p *protocol) guarded(head *table.Table) *table.Table {
	return table.New(head.Identifier(), head.Metadata(), head.MetadataLocation(), func(ctx context.Context) (iceio.IO, error) {
		fs, err := head.FS(ctx)
		if w, ok := fs.(iceio.WriteFileIO); ok && err == nil {
			return &guardedStore{WriteFileIO: w, kept: &p.unknown}, nil
		}
		return fs, err
	}, nil)
}

type guardedStore struct {
	iceio.WriteFileIO
	kept *keptFiles
}

// Remove implements iceio.IO.
func (g *guardedStore) Remove(name string) error {
	if g.kept.has(name) {
		return nil
	}
	return g.WriteFileIO.Remove(name)
}
