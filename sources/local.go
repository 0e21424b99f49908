package sources

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/sources/glob"
)

// Local is the local file system. URIs are absolute: file:///path, with escapes where URIs need them.
type Local struct {
	Root string // relative paths start here; the working directory if empty
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
		walk{ctx: ctx, yield: yield}.below("/", p.Start())
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
	yield func(File, error) bool
}

// entry is a name in a directory; a directory's name sorts with its slash, as in the paths below it.
type entry struct {
	key  string
	name string
	dir  bool
	link bool
}

// below yields what matches below a directory; false when the walk is to end.
func (w walk) below(dir string, at glob.State) bool {
	entries, err := w.entries(dir, at)
	if err != nil {
		w.yield(File{}, fmt.Errorf("list files: %w", err))
		return false
	}
	for _, e := range entries {
		if err := w.ctx.Err(); err != nil {
			w.yield(File{}, err)
			return false
		}
		full := path.Join(dir, e.name)
		next := at.Step(e.name, !e.link)
		switch {
		case e.dir && next.More():
			if !w.below(full, next) {
				return false
			}
		case !e.dir && next.Match():
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

// entries are those names of a directory that the pattern can match, sorted. What is not there matches nothing.
func (w walk) entries(dir string, at glob.State) ([]entry, error) {
	names, few := at.Names()
	var entries []entry
	if few {
		for _, name := range names {
			info, err := os.Lstat(path.Join(dir, name))
			if err != nil {
				if missing(err) {
					continue
				}
				return nil, err
			}
			entries = append(entries, w.entry(dir, fs.FileInfoToDirEntry(info)))
		}
	} else {
		fault.Before("list", dir)
		list, err := os.ReadDir(filepath.FromSlash(dir))
		fault.After("list", dir)
		if err != nil && !missing(err) {
			return nil, err
		}
		for _, d := range list {
			if next := at.Step(d.Name(), true); next.Match() || next.More() {
				entries = append(entries, w.entry(dir, d))
			}
		}
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].key < entries[j].key })
	return entries, nil
}

func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

func (w walk) entry(dir string, d fs.DirEntry) entry {
	e := entry{key: d.Name(), name: d.Name(), dir: d.IsDir()}
	if d.Type()&fs.ModeSymlink != 0 {
		e.link = true
		if info, err := os.Stat(path.Join(dir, e.name)); err == nil {
			e.dir = info.IsDir()
		}
	}
	if e.dir {
		e.key += "/"
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
