package tables

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/google/uuid"
)

// The folders that a table has beside Iceberg's own. Their names begin with an underscore, so that other engines' removal
// of orphan files passes them over.
const (
	stateFolder   = "_varve"
	stagingFolder = "_staging"
)

// States reads and writes the immutable state files of a table, which checkpoints name.
type States struct{ t *Table }

// States gives the table's state files.
func (t *Table) States() *States { return &States{t} }

// Read gives the content of a state file.
func (s *States) Read(ctx context.Context, uri string) ([]byte, error) {
	f, err := s.ReadState(ctx, uri)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// ReadState opens a state file by the URI that it was written to.
func (s *States) ReadState(ctx context.Context, uri string) (io.ReadCloser, error) {
	return s.t.open(ctx, uri)
}

// Write stores content and returns its URI.
func (s *States) Write(ctx context.Context, name string, content []byte) (string, error) {
	return s.WriteState(ctx, name, bytes.NewReader(content))
}

// URI is where the state file of a name lies.
func (s *States) URI(name string) string {
	return s.t.Location() + "/" + stateFolder + "/" + safeName(name)
}

// WriteState is Write for content that is streamed. The file's name is the given one and a suffix of its own: what was
// written for one commit is never another's too, so that a file that nothing names any more never will be named again, and
// may be removed.
func (s *States) WriteState(ctx context.Context, name string, body io.Reader) (string, error) {
	base, extension, _ := strings.Cut(name, ".")
	if extension != "" {
		extension = "." + extension
	}
	uri := s.URI(base + "-" + uuid.NewString()[:13] + extension)
	store, err := s.t.FS(ctx)
	if err != nil {
		return "", err
	}
	return uri, write(store, uri, body)
}

// Staging is the URI of the folder in which a run stages what is not yet the table's.
func (t *Table) Staging(run string) string {
	return t.stagingOf(run) + "/" + safeName(t.name)
}

func (t *Table) stagingOf(run string) string {
	return t.Location() + "/" + stagingFolder + "/" + safeName(run)
}

// RemoveStaging removes what a run has staged. That there is nothing is no error.
func (t *Table) RemoveStaging(ctx context.Context, run string) error {
	return t.removeAll(ctx, t.stagingOf(run))
}

// WriteStaged stores content in the run's staging folder and returns its URI. A second write of a name replaces the first.
func (t *Table) WriteStaged(ctx context.Context, run, name string, content []byte) (string, error) {
	store, err := t.FS(ctx)
	if err != nil {
		return "", err
	}
	uri := t.Staging(run) + "/" + safeName(name)
	return uri, write(store, uri, bytes.NewReader(content))
}

// ReadStaged reads what WriteStaged stored.
func (t *Table) ReadStaged(ctx context.Context, uri string) ([]byte, error) {
	f, err := t.open(ctx, uri)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func (t *Table) open(ctx context.Context, uri string) (iceio.File, error) {
	store, err := t.FS(ctx)
	if err != nil {
		return nil, err
	}
	return store.Open(uri)
}

func (t *Table) removeAll(ctx context.Context, uri string) error {
	store, err := t.FS(ctx)
	if err != nil {
		return err
	}
	r, ok := store.(iceio.RemoveAllIO)
	if !ok {
		return fmt.Errorf("remove %s: the store cannot remove folders", uri)
	}
	return r.RemoveAll(uri)
}

// StageURI is the folder in which a run stages what belongs to no one table, its plan for one.
func (l *Lake) stageURI(run string) string {
	return strings.TrimSuffix(l.cat.Warehouse(), "/") + "/" + stagingFolder + "/" + safeName(run)
}

// WriteStaged stores content that belongs to a run and to no one table, its plan for one, and returns its URI.
func (l *Lake) WriteStaged(ctx context.Context, run, name string, content []byte) (string, error) {
	store, err := l.store(ctx)
	if err != nil {
		return "", err
	}
	uri := l.stageURI(run) + "/" + safeName(name)
	return uri, write(store, uri, bytes.NewReader(content))
}

// ReadStaged reads what WriteStaged, of the lake or of a table, stored.
func (l *Lake) ReadStaged(ctx context.Context, uri string) ([]byte, error) {
	store, err := l.cat.FS(ctx, uri)
	if err != nil {
		return nil, err
	}
	f, err := store.Open(uri)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// RemoveStaging removes what a run has staged beside the tables. That there is nothing is no error.
func (l *Lake) RemoveStaging(ctx context.Context, run string) error {
	if l.cat.Warehouse() == "" {
		return nil // there was no place to stage in
	}
	store, err := l.store(ctx)
	if err != nil {
		return err
	}
	r, ok := store.(iceio.RemoveAllIO)
	if !ok {
		return fmt.Errorf("remove %s: the store cannot remove folders", l.stageURI(run))
	}
	return r.RemoveAll(l.stageURI(run))
}

// errNoStaging says that there is no place for what belongs to no one table.
var errNoStaging = errors.New("the catalog does not say where its warehouse lies: name a folder to stage in, with the catalog's key staging")

func (l *Lake) store(ctx context.Context) (iceio.WriteFileIO, error) {
	if l.cat.Warehouse() == "" {
		return nil, errNoStaging
	}
	store, err := l.cat.FS(ctx, l.cat.Warehouse())
	if err != nil {
		return nil, err
	}
	w, ok := store.(iceio.WriteFileIO)
	if !ok {
		return nil, fmt.Errorf("the store of %s cannot be written to", l.cat.Warehouse())
	}
	return w, nil
}

// write stores a file whole, or not at all.
func write(store iceio.WriteFileIO, uri string, body io.Reader) error {
	w, err := store.Create(uri)
	if err != nil {
		return err
	}
	if _, err := w.ReadFrom(body); err != nil {
		if a, ok := w.(interface{ Abort() error }); ok {
			return errors.Join(err, a.Abort())
		}
		return errors.Join(err, w.Close(), store.Remove(uri))
	}
	return w.Close()
}

// safeName makes one path element of a run's or a file's name, which may hold anything. What had to be replaced is told
// apart by a digest.
func safeName(name string) string {
	clean := strings.Map(func(r rune) rune {
		if badInName(r) && r != '.' {
			return '-'
		}
		return r
	}, name)
	if len(clean) > 120 {
		clean = clean[:120]
	}
	if clean != name || strings.Trim(clean, ".") == "" {
		clean += "-" + digest([]byte(name))[:12]
	}
	return clean
}
