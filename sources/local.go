package sources

import (
	"context"
	"errors"
	"iter"
)

// Local is the local file system. URIs are absolute: file:///path, with escapes where URIs need them.
type Local struct {
	Root string // relative paths start here; the working directory if empty
}

// List implements [Store].
func (l Local) List(ctx context.Context, glob string) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) { yield(File{}, errors.New("not yet written")) }
}

// Stat implements [Store].
func (l Local) Stat(ctx context.Context, uri string) (File, error) {
	return File{}, errors.New("not yet written")
}

// Open implements [Store].
func (l Local) Open(ctx context.Context, uri string) (Content, error) {
	return nil, errors.New("not yet written")
}
