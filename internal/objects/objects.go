// Package objects speaks with the stores that files lie in when they do not lie on this machine: S3, Google Cloud Storage
// and HDFS, behind one small interface. Table files (tables/store) and sources (sources) both read and write through it.
//
// Errors are the file system's: fs.ErrNotExist, fs.ErrPermission, and ErrPassing for what may go away by itself. A URI is
// scheme://bucket/key; keys are taken as they are, without escapes.
package objects

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
	"time"
)

// ErrPassing says that the store is busy or unreachable.
var ErrPassing = errors.New("the store is busy or unreachable")

// Object is what a listing or a look at one object tells.
type Object struct {
	Key     string
	Size    int64
	ModTime time.Time
	ETag    string // empty where the store has none
	Dir     bool   // a folder of a shallow listing; its Key ends with a slash
}

// Bucket is one bucket, or one file system of a cluster. It is safe for concurrent use.
type Bucket interface {
	// Read streams length bytes from offset on; a negative length is all that follows.
	Read(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Object, error)
	// Tail reads the last n bytes, or all there are.
	Tail(ctx context.Context, key string, n int64) ([]byte, Object, error)
	Stat(ctx context.Context, key string) (Object, error)
	// Create begins an object that appears, whole, when the writer is closed.
	Create(ctx context.Context, key string) (Writer, error)
	// List yields the objects whose keys begin with prefix, a page in memory at a time. A shallow listing gives what
	// lies behind the next slash as one folder. Keys come sorted, except that HDFS sorts by folder.
	List(ctx context.Context, prefix string, shallow bool) iter.Seq2[Object, error]
	// Remove removes objects, as many as it can. That one is not there is no error.
	Remove(ctx context.Context, keys ...string) error
	Close() error
}

// Writer writes one object. Nothing is at its key until Close has returned nil; after Abort, nothing of it is left.
type Writer interface {
	io.WriteCloser
	Abort() error
}

// Once is a Bucket that can begin an object where nothing may be, on condition that its writer's Close finds nothing there;
// else it is fs.ErrExist. That the very same content is there, from an earlier try, is no error.
type Once interface {
	CreateNew(ctx context.Context, key string) (Writer, error)
}

// Split takes a URI apart. Its scheme is lower case.
func Split(uri string) (scheme, bucket, key string, err error) {
	scheme, rest, found := strings.Cut(uri, "://")
	if !found {
		return "", "", "", fmt.Errorf("%s: not a URI of the form scheme://bucket/key", uri)
	}
	bucket, key, _ = strings.Cut(rest, "/")
	return strings.ToLower(scheme), bucket, key, nil
}

// failure gives an error of a store the meaning that callers test for, beside its own text.
func failure(kind error, err error) error {
	if err == nil || kind == nil {
		return err
	}
	return &storeError{kind, err}
}

type storeError struct{ kind, err error }

func (e *storeError) Error() string   { return e.err.Error() }
func (e *storeError) Unwrap() []error { return []error{e.kind, e.err} }

// kindOfStatus is what an HTTP status means for every store that has them; nil if nothing is known.
func kindOfStatus(status int) error {
	switch {
	case status == 404:
		return fs.ErrNotExist
	case status == 401, status == 403:
		return fs.ErrPermission
	case status == 408, status == 429, status >= 500:
		return ErrPassing
	}
	return nil
}
