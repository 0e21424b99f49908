package commit

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// recorder is a table's file IO that remembers which files were created through it. Manifest lists among them are kept here until
// they are what they are to be, and then written once.
type recorder struct {
	iceio.WriteFileIO

	mu      sync.Mutex
	created []string
	lists   map[string][]byte
	shown   map[string][]byte // in place of the files of these names
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
	return &recorder{WriteFileIO: w, lists: map[string][]byte{}, shown: map[string][]byte{}}, nil
}

// note remembers a file, and tells whether it is a manifest list.
func (r *recorder) note(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.created = append(r.created, name)
	return strings.HasPrefix(path.Base(name), "snap-")
}

// manifestLists gives the manifest lists created so far, by name.
func (r *recorder) manifestLists() map[string][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.lists)
}

func (r *recorder) setList(name string, content []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lists[name] = content
}

// writeLists writes the manifest lists, now that the change is whole.
func (r *recorder) writeLists() error {
	lists := r.manifestLists()
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		if err := r.WriteFileIO.WriteFile(name, lists[name]); err != nil {
			return fmt.Errorf("manifest list %s: %w", name, err)
		}
	}
	return nil
}

// show lets who reads files of these names see other ones; nil lets them see the files again.
func (r *recorder) show(files map[string][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shown = files
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
		manifests, err := iceberg.ReadManifestList(bytes.NewReader(content))
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

// Open implements iceio.IO.
func (r *recorder) Open(name string) (iceio.File, error) {
	r.mu.Lock()
	content, here := r.shown[name]
	if !here {
		content, here = r.lists[name]
	}
	r.mu.Unlock()
	if here {
		return &held{Reader: bytes.NewReader(content), name: path.Base(name)}, nil
	}
	return r.WriteFileIO.Open(name)
}

// Create implements iceio.WriteFileIO.
func (r *recorder) Create(name string) (iceio.FileWriter, error) {
	if r.note(name) {
		return &pendingList{recorder: r, name: name}, nil
	}
	return r.WriteFileIO.Create(name)
}

// WriteFile implements iceio.WriteFileIO.
func (r *recorder) WriteFile(name string, content []byte) error {
	if r.note(name) {
		r.setList(name, slices.Clone(content))
		return nil
	}
	return r.WriteFileIO.WriteFile(name, content)
}

// Remove implements iceio.IO.
func (r *recorder) Remove(name string) error {
	r.mu.Lock()
	delete(r.lists, name)
	r.mu.Unlock()
	return r.WriteFileIO.Remove(name)
}

// forget removes a file that came to nothing.
func (r *recorder) forget(name string) error {
	r.mu.Lock()
	r.created = slices.DeleteFunc(r.created, func(created string) bool { return created == name })
	r.mu.Unlock()
	return r.WriteFileIO.Remove(name)
}

// pendingList takes what is written of a manifest list.
type pendingList struct {
	bytes.Buffer
	recorder *recorder
	name     string
}

// Close implements io.Closer.
func (h *pendingList) Close() error {
	h.recorder.setList(h.name, h.Bytes())
	return nil
}

// held is a file that lies in memory.
type held struct {
	*bytes.Reader
	name string
}

func (*held) Close() error                 { return nil }
func (h *held) Stat() (fs.FileInfo, error) { return heldInfo{h.name, h.Size()}, nil }

type heldInfo struct {
	name string
	size int64
}

func (i heldInfo) Name() string     { return i.name }
func (i heldInfo) Size() int64      { return i.size }
func (heldInfo) Mode() fs.FileMode  { return 0o400 }
func (heldInfo) ModTime() time.Time { return time.Time{} }
func (heldInfo) IsDir() bool        { return false }
func (heldInfo) Sys() any           { return nil }
