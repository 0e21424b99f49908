package store

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	iceio "github.com/apache/iceberg-go/io"

	"github.com/varve-lake/varve/internal/durable"
	"github.com/varve-lake/varve/internal/fault"
)

// Local is the local file system. It is safe for concurrent use.
type Local struct{}

var (
	_ iceio.ReadFileIO        = Local{}
	_ iceio.WriteFileIO       = Local{}
	_ iceio.ListableIO        = Local{}
	_ iceio.StatIO            = Local{}
	_ iceio.RenameNoReplaceIO = Local{}
	_ iceio.RemoveAllIO       = Local{}
	_ iceio.MkdirAllIO        = Local{}
	_ iceio.BulkRemovableIO   = Local{}
)

// Open opens a file for reading.
func (Local) Open(uri string) (iceio.File, error) {
	path, err := Path(uri)
	if err != nil {
		return nil, err
	}
	fault.Before("open", path)
	f, err := os.Open(path)
	fault.After("open", path)
	if err != nil {
		return nil, classify("open", uri, err)
	}
	return f, nil
}

// ReadFile reads a whole file.
func (Local) ReadFile(uri string) ([]byte, error) {
	path, err := Path(uri)
	if err != nil {
		return nil, err
	}
	fault.Before("read", path)
	data, err := os.ReadFile(path)
	fault.After("read", path)
	return data, classify("read", uri, err)
}

// Create returns a writer whose file appears, whole and durable, when it is closed.
func (Local) Create(uri string) (iceio.FileWriter, error) {
	path, err := Path(uri)
	if err != nil {
		return nil, err
	}
	return create(uri, path)
}

// WriteFile writes a whole file.
func (l Local) WriteFile(uri string, content []byte) error {
	w, err := l.Create(uri)
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		_ = w.Close() // removes what was written, and repeats the error
		return err
	}
	return w.Close()
}

// Remove removes a file or an empty folder. That it is gone already is the operating system's plain error, which
// callers in iceberg-go look for.
func (Local) Remove(uri string) error {
	path, err := Path(uri)
	if err != nil {
		return err
	}
	fault.Before("remove", path)
	err = os.Remove(path)
	fault.After("remove", path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return classify("remove", uri, err)
	}
	return nil
}

// RemoveAll removes a folder and all that is in it.
func (Local) RemoveAll(uri string) error {
	path, err := Path(uri)
	if err != nil {
		return err
	}
	fault.Before("remove all", path)
	defer fault.After("remove all", path)
	return classify("remove", uri, os.RemoveAll(path))
}

// DeleteFiles removes many files. One that is gone already counts as removed.
func (l Local) DeleteFiles(ctx context.Context, uris []string) ([]string, error) {
	var removed []string
	var errs []error
	for _, uri := range uris {
		if err := ctx.Err(); err != nil {
			return removed, errors.Join(append(errs, err)...)
		}
		if err := l.Remove(uri); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		removed = append(removed, uri)
	}
	return removed, errors.Join(errs...)
}

// WalkDir walks the tree below root. A root that is a URI gives URIs.
func (Local) WalkDir(root string, fn fs.WalkDirFunc) error {
	path, err := Path(root)
	if err != nil {
		return err
	}
	fault.Before("list", path)
	defer fault.After("list", path)
	if path == root {
		return classify("list", root, filepath.WalkDir(path, fn))
	}
	return classify("list", root, filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		return fn((&url.URL{Scheme: "file", Path: filepath.ToSlash(p)}).String(), d, err)
	}))
}

// MkdirAll creates a folder and its parents.
func (Local) MkdirAll(uri string) error {
	path, err := Path(uri)
	if err != nil {
		return err
	}
	fault.Before("make folder", path)
	defer fault.After("make folder", path)
	return classify("create folder", uri, durable.MkdirAll(path))
}

// Stat describes a file or folder.
func (Local) Stat(uri string) (fs.FileInfo, error) {
	path, err := Path(uri)
	if err != nil {
		return nil, err
	}
	fault.Before("stat", path)
	info, err := os.Stat(path)
	fault.After("stat", path)
	return info, classify("stat", uri, err)
}

// Rename moves a file, over another if there is one.
func (Local) Rename(from, to string) error { return move(from, to, os.Rename) }

// RenameNoReplace moves a file unless there is one at its new place.
func (Local) RenameNoReplace(from, to string) error {
	return move(from, to, func(src, dst string) error {
		if err := os.Link(src, dst); err != nil {
			return err
		}
		return os.Remove(src)
	})
}

func move(from, to string, do func(src, dst string) error) error {
	src, err := Path(from)
	if err != nil {
		return err
	}
	dst, err := Path(to)
	if err != nil {
		return err
	}
	fault.Before("rename", dst)
	err = do(src, dst)
	fault.After("rename", dst)
	if err != nil {
		return classify("rename "+from+" to", to, err)
	}
	return classify("sync folder of", to, durable.SyncDir(filepath.Dir(dst)))
}

// IsTemporary tells whether a file's name is one that an interrupted write leaves.
func IsTemporary(name string) bool {
	base := filepath.Base(name)
	return strings.HasPrefix(base, ".") && strings.HasSuffix(base, ".tmp")
}
