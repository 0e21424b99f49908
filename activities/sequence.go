package activities

import (
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// sequence streams parts one after the other, each opened when the one before it has ended.
type sequence struct {
	refs    atomic.Int64
	schema  *arrow.Schema
	parts   []func() (array.RecordReader, error)
	current array.RecordReader
	err     error
}

func (s *sequence) Schema() *arrow.Schema { return s.schema }

func (s *sequence) Next() bool {
	for s.err == nil {
		if s.current == nil {
			if len(s.parts) == 0 {
				return false
			}
			s.current, s.err = s.parts[0]()
			s.parts = s.parts[1:]
			continue
		}
		if s.current.Next() {
			return true
		}
		s.err = s.current.Err()
		s.current.Release()
		s.current = nil
	}
	return false
}

func (s *sequence) RecordBatch() arrow.RecordBatch { return s.current.RecordBatch() }
func (s *sequence) Record() arrow.RecordBatch      { return s.RecordBatch() }
func (s *sequence) Err() error                     { return s.err }
func (s *sequence) Retain()                        { s.refs.Add(1) }

func (s *sequence) Release() {
	if s.refs.Add(-1) == 0 && s.current != nil {
		s.current.Release()
		s.current = nil
	}
}
