package simulation

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"
	"time"

	iceio "github.com/apache/iceberg-go/io"

	"github.com/varve-lake/varve/tables/fault"
)

// store is the files of the lake: whole or not there, strongly consistent, as S3 and a synced file system are.
type store struct {
	mu    sync.Mutex
	files map[string]*object
	// removing is told of every file just before it goes.
	removing func(name string)
}

type object struct {
	content []byte
	maker   *process
	written time.Time
}

func (s *store) get(name string) *object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[name]
}

func (s *store) put(name string, content []byte, maker *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = &object{content, maker, storeClock()}
}

func (s *store) remove(name string) bool {
	s.removing(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.files[name]
	delete(s.files, name)
	return ok
}

var (
	errDead = errors.New("the process is dead")
	errBusy = errors.New("503 slow down")
)

// view is the store as a process has it. Without a process, as the test looks on, nothing parks and nothing fails.
type view struct {
	s *store
	p *process
}

func (v view) io(op, name string, can []fate) fate {
	if v.p == nil {
		return happens
	}
	return v.p.io(op, name, can)
}

// Open implements iceio.IO.
func (v view) Open(name string) (iceio.File, error) {
	if v.p != nil {
		time.Sleep(v.p.op.slow)
	}
	switch v.io("open", name, readFates) {
	case dead, diesBefore, diesAfter:
		return nil, errDead
	case fails:
		return nil, fault.New(fault.ErrPassing, "open "+name, errBusy)
	}
	o := v.s.get(name)
	if o == nil {
		return nil, fault.New(fault.ErrAbsent, "open "+name, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist})
	}
	return &reading{Reader: bytes.NewReader(o.content), name: name, written: o.written}, nil
}

type reading struct {
	*bytes.Reader
	name    string
	written time.Time
}

func (r *reading) Close() error               { return nil }
func (r *reading) Stat() (fs.FileInfo, error) { return r, nil }
func (r *reading) Name() string               { return path.Base(r.name) }
func (r *reading) Mode() fs.FileMode          { return 0o644 }
func (r *reading) ModTime() time.Time         { return r.written }
func (r *reading) IsDir() bool                { return false }
func (r *reading) Sys() any                   { return nil }

// Create implements iceio.WriteFileIO. The file is there when the writer is closed.
func (v view) Create(name string) (iceio.FileWriter, error) { return &writing{v: v, name: name}, nil }

// WriteFile implements iceio.WriteFileIO.
func (v view) WriteFile(name string, content []byte) error {
	switch v.io("write", name, writeFates) {
	case dead, diesBefore:
		return errDead
	case diesAfter:
		v.s.put(name, content, v.p)
		return errDead
	case fails:
		return fault.New(fault.ErrPassing, "write "+name, errBusy)
	case lostAfter:
		v.s.put(name, content, v.p)
		return fault.New(fault.ErrPassing, "write "+name, io.ErrUnexpectedEOF)
	}
	v.s.put(name, content, v.p)
	return nil
}

type writing struct {
	bytes.Buffer
	v    view
	name string
	done bool
}

func (w *writing) Close() error {
	if w.done {
		return nil
	}
	w.done = true
	return w.v.WriteFile(w.name, bytes.Clone(w.Bytes()))
}

func (w *writing) Abort() error {
	w.done = true
	return nil
}

// Remove implements iceio.IO.
func (v view) Remove(name string) error {
	switch v.io("remove", name, writeFates) {
	case dead, diesBefore:
		return errDead
	case diesAfter:
		v.s.remove(name)
		return errDead
	case fails:
		return fault.New(fault.ErrPassing, "remove "+name, errBusy)
	case lostAfter:
		v.s.remove(name)
		return fault.New(fault.ErrPassing, "remove "+name, io.ErrUnexpectedEOF)
	}
	if !v.s.remove(name) {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	return nil
}

// kindOf is a path without what chance has put into it.
func kindOf(name string) string {
	switch {
	case strings.HasSuffix(name, "deletes.parquet"), strings.HasSuffix(name, ".puffin"):
		return "deletes"
	case strings.HasSuffix(name, ".parquet"):
		return "data"
	case strings.Contains(name, "/metadata/snap-"):
		return "list"
	case strings.HasSuffix(name, ".avro"):
		return "manifest"
	}
	return name
}
