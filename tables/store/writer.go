package store

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/varve-lake/varve/internal/durable"
	"github.com/varve-lake/varve/internal/fault"
)

// rename is what the durability of a file rests on, beside durable.Sync; a test listens to it.
var rename = os.Rename

// Writer writes one file. Nothing is at the file's name until Close has returned nil; after an error, or Abort, nothing
// of it is left. A crash leaves the hidden temporary file.
type Writer struct {
	uri  string
	path string
	tmp  *os.File
	err  error // the first error of a write; Close repeats it and publishes nothing
	done bool
}

func create(uri, path string) (*Writer, error) {
	fault.Before("create", path)
	defer fault.After("create", path)
	dir, name := filepath.Split(path)
	if err := durable.MkdirAll(filepath.Clean(dir)); err != nil {
		return nil, classify("create", uri, err)
	}
	tmp, err := os.CreateTemp(filepath.Clean(dir), "."+name+".*.tmp")
	if err != nil {
		return nil, classify("create", uri, err)
	}
	return &Writer{uri: uri, path: path, tmp: tmp}, nil
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	fault.Before("write", w.path)
	n, err := w.tmp.Write(p)
	fault.After("write", w.path)
	return n, w.fail(err)
}

// ReadFrom implements io.ReaderFrom.
func (w *Writer) ReadFrom(r io.Reader) (int64, error) {
	fault.Before("write", w.path)
	n, err := w.tmp.ReadFrom(r)
	fault.After("write", w.path)
	return n, w.fail(err)
}

func (w *Writer) fail(err error) error {
	err = classify("write", w.uri, err)
	if w.err == nil {
		w.err = err
	}
	return err
}

// Close publishes the file. A second Close repeats the first one's result.
func (w *Writer) Close() error {
	if w.done {
		return w.err
	}
	w.done = true
	if w.err == nil {
		w.err = classify("write", w.uri, w.publish())
	}
	if w.err != nil {
		_ = w.tmp.Close()
		_ = os.Remove(w.tmp.Name())
	}
	return w.err
}

// publish orders the writes: content on disk, then its name, then the folder. A power cut between any two leaves the
// old state or the new one.
func (w *Writer) publish() error {
	if err := w.tmp.Chmod(0o644); err != nil {
		return err
	}
	fault.Before("sync", w.path)
	if err := durable.Sync(w.tmp); err != nil {
		return err
	}
	fault.After("sync", w.path)
	if err := w.tmp.Close(); err != nil {
		return err
	}
	fault.Before("publish", w.path)
	if err := rename(w.tmp.Name(), w.path); err != nil {
		return err
	}
	fault.After("publish", w.path)
	return durable.SyncDir(filepath.Dir(w.path))
}

// Abort removes what was written. After Close it does nothing.
func (w *Writer) Abort() error {
	if w.done {
		return nil
	}
	w.done, w.err = true, errors.New("write "+w.uri+": aborted")
	err := w.tmp.Close()
	return errors.Join(err, os.Remove(w.tmp.Name()))
}
