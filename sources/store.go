package sources

import (
	"context"
	"io"
	"iter"
	"strings"
	"time"
)

// File is a file as a listing saw it. The URI is its identity; the other fields tell whether it changed.
type File struct {
	URI     string    `json:"uri"`
	Size    int64     `json:"size"`
	ModTime time.Time `json:"mtime"`          // UTC, to the microsecond
	ETag    string    `json:"etag,omitempty"` // an object store's; empty on a local file system
}

// compare orders files by URI.
func (f File) compare(other File) int { return strings.Compare(f.URI, other.URI) }

// Store is a place where files lie.
type Store interface {
	// List yields the files that match a glob, sorted by path, each once. A glob that matches nothing yields nothing.
	List(ctx context.Context, glob string) iter.Seq2[File, error]
	// Stat describes one file as it is now.
	Stat(ctx context.Context, uri string) (File, error)
	// Open opens a file for reading, by a URI that List gave.
	Open(ctx context.Context, uri string) (Content, error)
}

// Content is an open file: a stream for formats read front to back, random access for Parquet. Reads by the two ways
// do not disturb one another.
type Content interface {
	io.Reader
	io.ReaderAt
	io.Closer
	// Stat describes the file as it is now, so that a reader can tell whether it changed meanwhile.
	Stat() (File, error)
}
