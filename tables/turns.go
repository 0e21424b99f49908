package tables

import (
	"context"
	"runtime"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"golang.org/x/sync/semaphore"
)

// turns bound how many lookups work at once, so that many callers wait for one another in the order in which they came, rather than all
// for all: what works at once shares the processors, the memory and the stores. Those of remote tables wait for answers for the most
// part, and are more.
type turns struct{ local, remote *semaphore.Weighted }

func newTurns() *turns {
	cores := int64(runtime.GOMAXPROCS(0))
	return &turns{semaphore.NewWeighted(2 * cores), semaphore.NewWeighted(max(16, 8*cores))}
}

// take waits for a turn, and gives what ends it.
func (t *turns) take(ctx context.Context, remote bool) (func(), error) {
	of := t.local
	if remote {
		of = t.remote
	}
	if err := of.Acquire(ctx, 1); err != nil {
		return nil, context.Cause(ctx)
	}
	return func() { of.Release(1) }, nil
}

// aheadBytes is how much of a lookup's rows is read in its turn. What is more is read as the caller asks for it, without a turn: nobody
// who leaves rows unread keeps others waiting.
const aheadBytes = 8 << 20

// ahead is a reader of which the first rows have been read.
type ahead struct {
	array.RecordReader
	read []arrow.RecordBatch // and not given yet
	now  arrow.RecordBatch
	end  bool // there is no more
	refs atomic.Int64
}

func readAhead(rows array.RecordReader) *ahead {
	a := &ahead{RecordReader: rows}
	a.refs.Store(1)
	for bytes := int64(0); bytes < aheadBytes; {
		if !rows.Next() {
			a.end = true
			break
		}
		batch := rows.RecordBatch()
		batch.Retain()
		a.read = append(a.read, batch)
		bytes += bytesOf(batch)
	}
	return a
}

func bytesOf(batch arrow.RecordBatch) (n int64) {
	var add func(arrow.ArrayData)
	add = func(d arrow.ArrayData) {
		for _, b := range d.Buffers() {
			if b != nil {
				n += int64(b.Len())
			}
		}
		for _, child := range d.Children() {
			add(child)
		}
	}
	for _, column := range batch.Columns() {
		add(column.Data())
	}
	return n
}

// Next implements array.RecordReader.
func (a *ahead) Next() bool {
	if a.now != nil {
		a.now.Release()
		a.now = nil
	}
	if len(a.read) > 0 {
		a.now, a.read = a.read[0], a.read[1:]
		return true
	}
	return !a.end && a.RecordReader.Next()
}

// RecordBatch implements array.RecordReader.
func (a *ahead) RecordBatch() arrow.RecordBatch {
	if a.now != nil {
		return a.now
	}
	return a.RecordReader.RecordBatch()
}

// Record implements array.RecordReader.
func (a *ahead) Record() arrow.RecordBatch { return a.RecordBatch() }

// Err implements array.RecordReader: an error comes behind the rows that were read before it.
func (a *ahead) Err() error {
	if len(a.read) > 0 {
		return nil
	}
	return a.RecordReader.Err()
}

// Retain implements array.RecordReader.
func (a *ahead) Retain() { a.refs.Add(1) }

// Release implements array.RecordReader.
func (a *ahead) Release() {
	if a.refs.Add(-1) != 0 {
		return
	}
	if a.now != nil {
		a.now.Release()
	}
	for _, batch := range a.read {
		batch.Release()
	}
	a.now, a.read = nil, nil
	a.RecordReader.Release()
}
