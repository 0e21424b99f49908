package sources

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
)

// batches is what a format gives: batch after batch in the columns that were asked for, io.EOF at the end. The caller
// owns each batch.
type batches interface {
	next() (arrow.RecordBatch, error)
	close()
}

// reader makes a record reader of a format's batches: it ends on cancellation, turns a decoder's panic into a broken
// file, and checks at the end that the file is still the one that was opened.
type reader struct {
	ctx      context.Context
	schema   *arrow.Schema
	in       *input
	source   batches
	progress func(int64)

	refs    atomic.Int64
	current arrow.RecordBatch
	err     error
	done    bool
}

func newReader(ctx context.Context, schema *arrow.Schema, in *input, source batches, observer Observer) *reader {
	r := &reader{ctx: ctx, schema: schema, in: in, source: source, progress: observer.Progress}
	r.refs.Store(1)
	return r
}

func (r *reader) Schema() *arrow.Schema          { return r.schema }
func (r *reader) RecordBatch() arrow.RecordBatch { return r.current }
func (r *reader) Record() arrow.RecordBatch      { return r.current }
func (r *reader) Err() error                     { return r.err }
func (r *reader) Retain()                        { r.refs.Add(1) }

// Release closes the file with the last reference.
func (r *reader) Release() {
	if r.refs.Add(-1) == 0 {
		r.drop()
		r.source.close()
		r.in.Close()
	}
}

func (r *reader) drop() {
	if r.current != nil {
		r.current.Release()
		r.current = nil
	}
}

// Next moves to the next batch that has rows.
func (r *reader) Next() bool {
	r.drop()
	for !r.done {
		if err := r.ctx.Err(); err != nil {
			r.done, r.err = true, err
			return false
		}
		batch, err := r.step()
		if err != nil {
			r.done, r.err = true, r.ending(err)
			return false
		}
		if r.progress != nil {
			r.progress(min(r.in.read, r.in.file.Size))
		}
		if batch.NumRows() > 0 {
			r.current = batch
			return true
		}
		batch.Release()
	}
	return false
}

func (r *reader) step() (batch arrow.RecordBatch, err error) {
	defer guard(r.in, &err)
	return r.source.next()
}

// guard turns a panic of a decoder, which a hostile file may well provoke, into an error.
func guard(in *input, err *error) {
	if v := recover(); v != nil {
		cause, ok := v.(error)
		if !ok {
			cause = fmt.Errorf("%v", v)
		}
		*err = in.broken("cannot be decoded", cause)
	}
}

// ending is the reader's error for the one that ended it: a file that changed explains every other.
func (r *reader) ending(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if changed := r.in.verify("changed while it was read"); changed != nil {
		return changed
	}
	if err == io.EOF {
		return nil
	}
	return err
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
