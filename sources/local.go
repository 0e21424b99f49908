package sources

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/sources/glob"
)

// Local is the local file system. URIs are absolute: file:///path, with escapes where URIs need them.
type Local struct {
	Root string // relative paths start here; the working directory if empty
	// TempDir is where the names of a folder are put aside while it is listed if they are many; the system's folder if it is empty.
	TempDir string

	held int // names held at once; 0 means maxHeld
}

// URI is the identity of a file: the same for every way to write its path.
func (l Local) URI(name string) (string, error) {
	p, err := l.path(name)
	if err != nil {
		return "", err
	}
	return uriOf(p), nil
}

func uriOf(p string) string { return (&url.URL{Scheme: "file", Path: p}).String() }

// path is the absolute path, with slashes, that a path or file URI names.
func (l Local) path(name string) (string, error) {
	if rest, ok := strings.CutPrefix(name, "file:"); ok {
		rest = strings.TrimPrefix(strings.TrimPrefix(rest, "//"), "localhost")
		if !strings.HasPrefix(rest, "/") {
			return "", fmt.Errorf("%s: a file URI has an absolute path: file:///path", name)
		}
		if plain, err := url.PathUnescape(rest); err == nil {
			rest = plain
		}
		return path.Clean(rest), nil
	}
	if scheme, _, ok := strings.Cut(name, "://"); ok {
		return "", fmt.Errorf("%s: no store is configured for %s://", name, scheme)
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(l.Root, name)
	}
	abs, err := filepath.Abs(name)
	return filepath.ToSlash(abs), err
}

// List implements [Store]. Besides globs (see package glob) it takes the path of a folder, for all files below it.
// Symbolic links to folders are followed where the pattern names them, not by **.
func (l Local) List(ctx context.Context, pattern string) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		p, err := l.compile(pattern)
		if err != nil {
			yield(File{}, err)
			return
		}
		walk{ctx: ctx, local: l, yield: yield}.below("/", p.Start())
	}
}

func (l Local) compile(pattern string) (*glob.Pattern, error) {
	abs, err := l.path(pattern)
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	p, err := glob.Compile(abs)
	if err != nil || p.Magic() {
		return p, err
	}
	if info, err := os.Stat(abs); err == nil && info.IsDir() {
		return glob.Compile(abs + "/**")
	}
	return p, nil
}

// walk visits directories in the order of the paths below them.
type walk struct {
	ctx   context.Context
	local Local
	yield func(File, error) bool
}

// entry is a name in a directory. Names are bytes, and need not be text.
type entry struct {
	// Key is the name; a directory's has a slash behind it, by which it sorts as the paths below it do.
	Key  []byte `json:"k"`
	Link bool   `json:"l,omitempty"`
}

func (e entry) compare(other entry) int { return bytes.Compare(e.Key, other.Key) }

// name is without the slash of a directory.
func (e entry) name() (name string, dir bool) { return strings.CutSuffix(string(e.Key), "/") }

// below yields what matches below a directory; false when the walk is to end.
func (w walk) below(dir string, at glob.State) bool {
	entries := diskSort[entry]{dir: w.local.TempDir, most: w.local.held}
	defer entries.close()
	if err := w.read(dir, at, entries.add); err != nil {
		w.yield(File{}, fmt.Errorf("list files: %w", err))
		return false
	}
	for e, err := range entries.sorted() {
		if err == nil {
			err = w.ctx.Err()
		}
		if err != nil {
			w.yield(File{}, err)
			return false
		}
		name, isDir := e.name()
		full := path.Join(dir, name)
		next := at.Step(name, !e.Link)
		switch {
		case isDir && next.More():
			if !w.below(full, next) {
				return false
			}
		case !isDir && next.Match():
			if !w.file(full) {
				return false
			}
		}
	}
	return true
}

func (w walk) file(p string) bool {
	info, err := os.Stat(p)
	if errors.Is(err, fs.ErrNotExist) {
		return true // gone since the directory was read
	}
	if err != nil {
		w.yield(File{}, fmt.Errorf("list files: %w", err))
		return false
	}
	if !info.Mode().IsRegular() {
		return true
	}
	return w.yield(fileOf(p, info), nil)
}

// read hands out those names of a directory that the pattern can match, in whatever order. What is not there matches nothing.
func (w walk) read(dir string, at glob.State, add func(entry) error) error {
	names, few := at.Names()
	if !few {
		return w.readAll(dir, at, add)
	}
	for _, name := range names {
		info, err := os.Lstat(path.Join(dir, name))
		if missing(err) {
			continue
		}
		if err == nil {
			err = add(entryOf(dir, fs.FileInfoToDirEntry(info)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// namesAtOnce is how many names of a directory are asked for at a time.
const namesAtOnce = 1000

func (w walk) readAll(dir string, at glob.State, add func(entry) error) error {
	fault.Before("list", dir)
	defer fault.After("list", dir)
	f, err := os.Open(filepath.FromSlash(dir))
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		list, err := f.ReadDir(namesAtOnce)
		for _, d := range list {
			if next := at.Step(d.Name(), true); !next.Match() && !next.More() {
				continue
			}
			if err := add(entryOf(dir, d)); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF, missing(err):
			return nil
		case err != nil:
			return err
		}
	}
}

func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

func entryOf(dir string, d fs.DirEntry) entry {
	e, isDir := entry{Key: []byte(d.Name())}, d.IsDir()
	if d.Type()&fs.ModeSymlink != 0 {
		e.Link = true
		if info, err := os.Stat(path.Join(dir, d.Name())); err == nil {
			isDir = info.IsDir()
		}
	}
	if isDir {
		e.Key = append(e.Key, '/')
	}
	return e
}

func fileOf(p string, info fs.FileInfo) File {
	return File{URI: uriOf(p), Size: info.Size(), ModTime: info.ModTime().UTC().Truncate(time.Microsecond)}
}

// Stat implements [Store].
func (l Local) Stat(ctx context.Context, uri string) (File, error) {
	p, err := l.path(uri)
	if err != nil {
		return File{}, err
	}
	info, err := os.Stat(p)
	if err != nil {
		return File{}, err
	}
	return fileOf(p, info), nil
}

// Open implements [Store].
func (l Local) Open(ctx context.Context, uri string) (Content, error) {
	p, err := l.path(uri)
	if err != nil {
		return nil, err
	}
	// Looked at before it is opened: opening a pipe would wait for its other end.
	if info, err := os.Stat(p); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s: not a regular file", p)
	}
	fault.Before("open", p)
	f, err := os.Open(p)
	fault.After("open", p)
	if err != nil {
		return nil, err
	}
	return &localContent{f, p}, nil
}

type localContent struct {
	*os.File
	path string
}

// Stat describes the open file: one that was replaced under its name is still the one that was opened, and whole.
func (c *localContent) Stat() (File, error) {
	info, err := c.File.Stat()
	if err != nil {
		return File{}, err
	}
	return fileOf(c.path, info), nil
}
