package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"

	iceio "github.com/apache/iceberg-go/io"

	"github.com/varve-lake/varve/internal/objects"
	"github.com/varve-lake/varve/tables/fault"
)

// Objects is a store of objects as a store of table files. An object appears whole or not at all, and is durable when its
// writer's Close has returned. It is bound to the context that it was opened with; what tidies up outlives that.
type Objects struct {
	ctx    context.Context
	stores *objects.Stores
}

var (
	_ iceio.ReadFileIO      = Objects{}
	_ iceio.WriteFileIO     = Objects{}
	_ iceio.ListableIO      = Objects{}
	_ iceio.StatIO          = Objects{}
	_ iceio.RemoveAllIO     = Objects{}
	_ iceio.MkdirAllIO      = Objects{}
	_ iceio.BulkRemovableIO = Objects{}
)

// tidyTime bounds a removal whose caller has given up waiting.
const tidyTime = time.Minute

// at finds the bucket and the key that a URI names.
func (o Objects) at(op, uri string) (objects.Bucket, string, error) {
	scheme, name, key, err := objects.Split(uri)
	if err != nil {
		return nil, "", fmt.Errorf("%s %w", op, err)
	}
	b, err := o.stores.Bucket(o.ctx, scheme, name)
	if err != nil {
		return nil, "", classifyObject(op, uri, err)
	}
	return b, key, nil
}

// Open opens an object for reading. The request that finds it brings its end along, which is where Parquet's footer is.
func (o Objects) Open(uri string) (iceio.File, error) {
	b, key, err := o.at("open", uri)
	if err != nil {
		return nil, err
	}
	tail, described, err := b.Tail(o.ctx, key, tailSize)
	if err != nil {
		return nil, classifyObject("open", uri, err)
	}
	return &objectFile{ctx: o.ctx, bucket: b, uri: uri, key: key, described: described, tail: tail}, nil
}

// OpenSized opens an object of a known size without a request.
func (o Objects) OpenSized(uri string, size int64) (iceio.File, error) {
	b, key, err := o.at("open", uri)
	if err != nil {
		return nil, err
	}
	return &objectFile{ctx: o.ctx, bucket: b, uri: uri, key: key, described: objects.Object{Key: key, Size: size}}, nil
}

// ReadFile reads a whole object.
func (o Objects) ReadFile(uri string) ([]byte, error) {
	f, err := o.Open(uri)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// Create returns a writer whose object appears, whole and durable, when it is closed.
func (o Objects) Create(uri string) (iceio.FileWriter, error) {
	b, key, err := o.at("create", uri)
	if err != nil {
		return nil, err
	}
	create := b.Create
	if once, ok := b.(objects.Once); ok && createdOnce(key) {
		create = once.CreateNew
	}
	w, err := create(o.ctx, key)
	if err != nil {
		return nil, classifyObject("create", uri, err)
	}
	return &objectWriter{uri, w}, nil
}

// createdOnce tells the files that no one may replace: a table's metadata, whose names have a random part.
func createdOnce(key string) bool { return path.Base(path.Dir(key)) == "metadata" }

// WriteFile writes a whole object.
func (o Objects) WriteFile(uri string, content []byte) error {
	w, err := o.Create(uri)
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return errors.Join(err, w.(*objectWriter).Abort())
	}
	return w.Close()
}

// Remove removes an object. That it is gone already is no error.
func (o Objects) Remove(uri string) error {
	b, key, err := o.at("remove", uri)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(o.ctx), tidyTime)
	defer cancel()
	return classifyObject("remove", uri, b.Remove(ctx, key))
}

// RemoveAll removes an object, and all below its name as a folder.
func (o Objects) RemoveAll(uri string) error {
	b, key, err := o.at("remove", uri)
	if err != nil {
		return err
	}
	key = strings.TrimRight(key, "/")
	if key == "" {
		return fmt.Errorf("remove %s: a whole bucket is not removed", uri)
	}
	if tree, ok := b.(interface {
		RemoveTree(ctx context.Context, key string) error
	}); ok { // a file system, whose folders would be left
		return classifyObject("remove", uri, tree.RemoveTree(o.ctx, key))
	}
	batch := []string{key}
	for found, err := range b.List(o.ctx, key+"/", false) {
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return classifyObject("list", uri, err)
		}
		if batch = append(batch, found.Key); len(batch) == 1000 {
			if err := b.Remove(o.ctx, batch...); err != nil {
				return classifyObject("remove", uri, err)
			}
			batch = batch[:0]
		}
	}
	return classifyObject("remove", uri, b.Remove(o.ctx, batch...))
}

// DeleteFiles removes many objects, also of several buckets. One that is gone already counts as removed.
func (o Objects) DeleteFiles(ctx context.Context, uris []string) ([]string, error) {
	byBucket := map[objects.Bucket][][2]string{}
	var errs []error
	for _, uri := range uris {
		b, key, err := o.at("remove", uri)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		byBucket[b] = append(byBucket[b], [2]string{uri, key})
	}
	var removed []string
	for b, all := range byBucket {
		for len(all) > 0 {
			batch := all[:min(len(all), 1000)]
			all = all[len(batch):]
			keys := make([]string, len(batch))
			for i, pair := range batch {
				keys[i] = pair[1]
			}
			if err := b.Remove(ctx, keys...); err != nil {
				errs = append(errs, classifyObject("remove", batch[0][0]+" and others", err))
				continue
			}
			for _, pair := range batch {
				removed = append(removed, pair[0])
			}
		}
	}
	return removed, errors.Join(errs...)
}

// WalkDir walks the objects below root, and root itself as their folder. Folders between are not shown: a store of
// objects has none. A page of names is in memory at a time.
func (o Objects) WalkDir(root string, fn fs.WalkDirFunc) error {
	b, key, err := o.at("list", root)
	if err != nil {
		return err
	}
	base := strings.TrimSuffix(root, "/")
	prefix := strings.Trim(key, "/")
	if prefix != "" {
		prefix += "/"
	}
	if err := fn(root, objectInfo{objects.Object{Key: prefix, Dir: true}}, nil); err != nil {
		if errors.Is(err, fs.SkipDir) || errors.Is(err, fs.SkipAll) {
			return nil
		}
		return err
	}
	skipped := ""
	for found, err := range b.List(o.ctx, prefix, false) {
		if err != nil {
			return classifyObject("list", root, err)
		}
		if strings.HasSuffix(found.Key, "/") || skipped != "" && strings.HasPrefix(found.Key, skipped) {
			continue // what some tools put there for a folder
		}
		switch err := fn(base+"/"+strings.TrimPrefix(found.Key, prefix), objectInfo{found}, nil); {
		case errors.Is(err, fs.SkipAll):
			return nil
		case errors.Is(err, fs.SkipDir):
			skipped = path.Dir(found.Key) + "/"
		case err != nil:
			return err
		}
	}
	return nil
}

// MkdirAll does nothing: a store of objects has no folders.
func (o Objects) MkdirAll(string) error { return nil }

// Stat describes an object.
func (o Objects) Stat(uri string) (fs.FileInfo, error) {
	b, key, err := o.at("stat", uri)
	if err != nil {
		return nil, err
	}
	found, err := b.Stat(o.ctx, key)
	if err != nil {
		return nil, classifyObject("stat", uri, err)
	}
	return objectInfo{found}, nil
}

// objectInfo is both what fs calls a FileInfo and a DirEntry.
type objectInfo struct{ o objects.Object }

func (i objectInfo) Name() string               { return path.Base(strings.TrimSuffix(i.o.Key, "/")) }
func (i objectInfo) Size() int64                { return i.o.Size }
func (i objectInfo) ModTime() time.Time         { return i.o.ModTime }
func (i objectInfo) IsDir() bool                { return i.o.Dir }
func (i objectInfo) Sys() any                   { return i.o }
func (i objectInfo) Type() fs.FileMode          { return i.Mode() }
func (i objectInfo) Info() (fs.FileInfo, error) { return i, nil }

func (i objectInfo) Mode() fs.FileMode {
	if i.o.Dir {
		return fs.ModeDir
	}
	return 0
}

// objectWriter classes what goes wrong while an object is written.
type objectWriter struct {
	uri string
	w   objects.Writer
}

func (w *objectWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	return n, classifyObject("write", w.uri, err)
}

// ReadFrom implements io.ReaderFrom.
func (w *objectWriter) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{w}, r)
}

func (w *objectWriter) Close() error { return classifyObject("write", w.uri, w.w.Close()) }

// Abort removes what was written. After Close it does nothing.
func (w *objectWriter) Abort() error { return classifyObject("abandon", w.uri, w.w.Abort()) }

// classifyObject gives an error of a store its class, once.
func classifyObject(op, uri string, err error) error {
	if err == nil {
		return nil
	}
	var class error
	switch {
	case errors.Is(err, fs.ErrNotExist):
		class = fault.ErrAbsent
	case errors.Is(err, fs.ErrPermission):
		class = fault.ErrDenied
	case errors.Is(err, objects.ErrPassing):
		class = fault.ErrPassing
	}
	return fault.New(class, op+" "+uri, err)
}
