package datafile

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
)

// Row lineage (format version 3): a row's id and the sequence number of its last change are in the file where a rewrite put
// them; a null there, or no such column, means that they follow from the file's manifest entry. A reader that names
// _row_id or _last_updated_sequence_number gets them complete; a writer with RowLineage keeps them for rows it moves.

// lineageOf fills a lineage column's nulls, or is nil for any other column.
func (r *Reader) lineageOf(field iceberg.NestedField) func(a arrow.Array, spans []span) arrow.Array {
	start := r.start
	switch field.ID {
	case iceberg.RowIDFieldID:
		if r.opts.FirstRowID == nil {
			return nil
		}
		first := *r.opts.FirstRowID
		return fillNulls(func(position int64) int64 { return first + start + position })
	case iceberg.LastUpdatedSequenceNumberFieldID:
		if r.opts.SequenceNumber == nil {
			return nil
		}
		number := *r.opts.SequenceNumber
		return fillNulls(func(int64) int64 { return number })
	}
	return nil
}

// fillNulls replaces nulls by what a row's place in its row group says.
func fillNulls(value func(position int64) int64) func(arrow.Array, []span) arrow.Array {
	return func(a arrow.Array, spans []span) arrow.Array {
		if a.NullN() == 0 {
			a.Retain()
			return a
		}
		given := a.(*array.Int64)
		b := array.NewInt64Builder(allocator)
		defer b.Release()
		b.Reserve(a.Len())
		at := 0
		for _, s := range spans {
			for p := s.from; p < s.to; p++ {
				if given.IsValid(at) {
					b.UnsafeAppend(given.Value(at))
				} else {
					b.UnsafeAppend(value(p))
				}
				at++
			}
		}
		return b.NewArray()
	}
}
