package transforms

import (
	"context"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// stream is a RecordReader over another one, batch by batch. It owns its source and its current batch.
type stream struct {
	refs   atomic.Int64
	ctx    context.Context
	schema *arrow.Schema
	source array.RecordReader
	turn   func(ctx context.Context, batch arrow.RecordBatch) (arrow.RecordBatch, error) // nil: no row is left
	batch  arrow.RecordBatch
	err    error
}

// Turn streams what turn makes of each batch of rows, in the columns of to; nil is no row. It takes over the reference to
// rows. Unlike a reader over an iterator it may be read, and released, from threads of C.
func Turn(ctx context.Context, rows array.RecordReader, to *arrow.Schema, turn func(context.Context, arrow.RecordBatch) (arrow.RecordBatch, error)) array.RecordReader {
	return newStream(ctx, to, rows, turn)
}

func newStream(ctx context.Context, schema *arrow.Schema, source array.RecordReader, turn func(context.Context, arrow.RecordBatch) (arrow.RecordBatch, error)) *stream {
	s := &stream{ctx: ctx, schema: schema, source: source, turn: turn}
	s.refs.Store(1)
	return s
}

func (s *stream) Schema() *arrow.Schema { return s.schema }

func (s *stream) Next() bool {
	s.drop()
	for s.err == nil {
		if s.err = s.ctx.Err(); s.err != nil {
			return false
		}
		if !s.source.Next() {
			s.err = s.source.Err()
			return false
		}
		s.batch, s.err = s.turn(s.ctx, s.source.RecordBatch())
		if s.batch != nil {
			return s.err == nil
		}
	}
	return false
}

func (s *stream) drop() {
	if s.batch != nil {
		s.batch.Release()
		s.batch = nil
	}
}

func (s *stream) RecordBatch() arrow.RecordBatch { return s.batch }

// Record is RecordBatch, by its former name.
func (s *stream) Record() arrow.RecordBatch { return s.batch }

func (s *stream) Err() error { return s.err }
func (s *stream) Retain()    { s.refs.Add(1) }

func (s *stream) Release() {
	if s.refs.Add(-1) == 0 {
		s.drop()
		s.source.Release()
	}
}
