package commit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// recorder is a table's file IO that remembers which files were created through it, and what the manifest lists among them
// say.
type recorder struct {
	iceio.WriteFileIO

	mu      sync.Mutex
	created []string
	lists   map[string]*bytes.Buffer
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
	return &recorder{WriteFileIO: w, lists: map[string]*bytes.Buffer{}}, nil
}

// note returns where to keep a copy of the content, nil if it need not be kept.
func (r *recorder) note(name string) *bytes.Buffer {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.created = append(r.created, name)
	if !strings.HasPrefix(path.Base(name), "snap-") {
		return nil
	}
	r.lists[name] = &bytes.Buffer{}
	return r.lists[name]
}

// manifestLists gives the manifest lists created so far, by name.
func (r *recorder) manifestLists() map[string][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string][]byte, len(r.lists))
	for name, content := range r.lists {
		out[name] = content.Bytes()
	}
	return out
}

// take returns the files created so far and forgets them.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.created
	r.created = nil
	return out
}

// unnamed takes out the manifests that the library wrote and then merged into others, so that none of the manifest lists
// written with them names them.
func (r *recorder) unnamed() ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	named := map[string]bool{}
	for name, content := range r.lists {
		named[name] = true
		manifests, err := iceberg.ReadManifestList(bytes.NewReader(content.Bytes()))
		if err != nil {
			return nil, fmt.Errorf("manifest list %s: %w", name, err)
		}
		for _, m := range manifests {
			named[m.FilePath()] = true
		}
	}
	var out []string
	r.created = slices.DeleteFunc(r.created, func(name string) bool {
		if !named[name] {
			out = append(out, name)
		}
		return !named[name]
	})
	return out, nil
}

// Create implements iceio.WriteFileIO.
func (r *recorder) Create(name string) (iceio.FileWriter, error) {
	kept := r.note(name)
	w, err := r.WriteFileIO.Create(name)
	if err != nil || kept == nil {
		return w, err
	}
	return &copying{FileWriter: w, kept: kept}, nil
}

// WriteFile implements iceio.WriteFileIO.
func (r *recorder) WriteFile(name string, content []byte) error {
	if kept := r.note(name); kept != nil {
		kept.Write(content)
	}
	return r.WriteFileIO.WriteFile(name, content)
}

// copying keeps a copy of what is written.
type copying struct {
	iceio.FileWriter
	kept *bytes.Buffer
}

// Write implements io.Writer.
func (c *copying) Write(p []byte) (int, error) {
	c.kept.Write(p)
	return c.FileWriter.Write(p)
}

// ReadFrom implements io.ReaderFrom.
func (c *copying) ReadFrom(r io.Reader) (int64, error) {
	return c.FileWriter.ReadFrom(io.TeeReader(r, c.kept))
}

// Abort removes what was written, where the store's writer can.
func (c *copying) Abort() error {
	if a, ok := c.FileWriter.(interface{ Abort() error }); ok {
		return a.Abort()
	}
	return c.Close()
}
