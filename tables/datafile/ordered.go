package datafile

import (
	"context"
	"fmt"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
)

// ahead is the number of batches that a file may be read ahead of the consumer.
const ahead = 2

type orderedOptions struct {
	what        string // for errors
	schema      *arrow.Schema
	files       int
	parallelism int
	limit       int64 // rows; zero is no limit
	// read calls each with the batches of a file; a batch is valid until each returns.
	read func(ctx context.Context, file int, each func(arrow.RecordBatch) error) error
}

// orderedReader reads files in parallel and hands on their batches one file after the other. At any time there are at most
// parallelism files open, and a few more whose batches wait: small files, which are read whole before they are asked for, are
// not read ahead without bounds.
type orderedReader struct {
	lifetime
	opts    orderedOptions
	cancel  context.CancelFunc
	streams []*stream
	held    chan struct{} // by each file that is begun and not handed on to its end
	running sync.WaitGroup
	left    int64 // rows to the limit

	batch arrow.RecordBatch
	err   error
}

// stream is one file's batches. err may be read once batches is closed.
type stream struct {
	batches chan arrow.RecordBatch
	err     error
}

func readOrdered(ctx context.Context, opts orderedOptions) *orderedReader {
	r := &orderedReader{opts: opts, left: opts.limit}
	ctx, r.cancel = context.WithCancel(ctx)
	r.onLast(r.close)
	streams := make([]*stream, opts.files)
	for i := range streams {
		streams[i] = &stream{batches: make(chan arrow.RecordBatch, ahead)}
	}
	r.streams = streams
	slots := make(chan struct{}, max(opts.parallelism, 1))
	r.held = make(chan struct{}, cap(slots)+ahead)
	r.running.Go(func() {
		// In order, so that the file the consumer waits for is always among those being read.
		for i, s := range streams {
			for _, room := range []chan struct{}{r.held, slots} {
				select {
				case room <- struct{}{}:
				case <-ctx.Done():
					s.err = context.Cause(ctx)
					close(s.batches)
					return // the consumer sees the error and goes no further
				}
			}
			r.running.Go(func() {
				defer func() { <-slots }()
				s.run(ctx, func(each func(arrow.RecordBatch) error) error { return opts.read(ctx, i, each) })
			})
		}
	})
	return r
}

func (s *stream) run(ctx context.Context, read func(func(arrow.RecordBatch) error) error) {
	defer close(s.batches)
	s.err = protect(func() error {
		return read(func(batch arrow.RecordBatch) error {
			batch.Retain()
			select {
			case s.batches <- batch:
				return nil
			case <-ctx.Done():
				batch.Release()
				return context.Cause(ctx)
			}
		})
	})
}

func (r *orderedReader) Schema() *arrow.Schema { return r.opts.schema }

func (r *orderedReader) Next() bool {
	r.drop()
	for r.err == nil && len(r.streams) > 0 && (r.opts.limit <= 0 || r.left > 0) {
		batch, ok := <-r.streams[0].batches
		if !ok {
			err := r.streams[0].err
			r.streams = r.streams[1:]
			if err != nil { // of a file that was not begun, it may be, so that there is nothing to take from held
				r.err = fmt.Errorf("%s: %w", r.opts.what, err)
				break
			}
			<-r.held
			continue
		}
		if r.opts.limit > 0 {
			if batch.NumRows() > r.left {
				whole := batch
				batch = whole.NewSlice(0, r.left)
				whole.Release()
			}
			r.left -= batch.NumRows()
		}
		r.batch = batch
		return true
	}
	r.cancel() // the limit, an error, or the end: what is still being read need not be
	return false
}

func (r *orderedReader) drop() {
	if r.batch != nil {
		r.batch.Release()
		r.batch = nil
	}
}

func (r *orderedReader) RecordBatch() arrow.RecordBatch { return r.batch }
func (r *orderedReader) Record() arrow.RecordBatch      { return r.batch }
func (r *orderedReader) Err() error                     { return r.err }

// close stops the files and frees what they read ahead.
func (r *orderedReader) close() {
	r.cancel()
	r.running.Wait()
	r.drop()
	for _, s := range r.streams {
		for len(s.batches) > 0 {
			(<-s.batches).Release()
		}
	}
}
