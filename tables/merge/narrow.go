package merge

import (
	"bytes"
	"context"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/merge/internal/keys"
)

// narrowed is a source without the rows that certainly match nothing in a group
// of files. It numbers the others anew.
type narrowed struct {
	Source
	kept *roaring.Bitmap // by the number in Source
}

// keyBounds are the least and the greatest key of files: text as bytes, others
// as words in the order of keys.Range.
type keyBounds struct {
	text            bool
	low, high       uint64
	lowest, highest []byte
}

// bounds are those of one file's key; false if they are not known, or have no order.
func (k key) bounds(t table.FileScanTask) (keyBounds, bool) {
	low, ok := t.File.LowerBoundValues()[k.field.ID]
	high, both := t.File.UpperBoundValues()[k.field.ID]
	if !ok || !both {
		return keyBounds{}, false
	}
	switch k.field.Type.(type) {
	case iceberg.StringType, iceberg.BinaryType, iceberg.FixedType, iceberg.UUIDType:
		if bytes.Compare(low, high) > 0 {
			return keyBounds{}, false // some writers order UUIDs as signed numbers
		}
		return keyBounds{text: true, lowest: low, highest: high}, true
	}
	from, ok1 := boundWord(k.field.Type, low)
	to, ok2 := boundWord(k.field.Type, high)
	if !ok1 || !ok2 {
		return keyBounds{}, false
	}
	return keyBounds{low: from, high: to}, true
}

// boundsOf are the bounds of several files' keys.
func (k key) boundsOf(tasks []table.FileScanTask) (out keyBounds, ok bool) {
	for i, t := range tasks {
		b, known := k.bounds(t)
		if !known {
			return out, false
		}
		if i == 0 {
			out = b
			continue
		}
		out.low, out.high = min(out.low, b.low), max(out.high, b.high)
		if bytes.Compare(b.lowest, out.lowest) < 0 {
			out.lowest = b.lowest
		}
		if bytes.Compare(b.highest, out.highest) > 0 {
			out.highest = b.highest
		}
	}
	return out, len(tasks) > 0
}

// narrows tells whether most of the source's keys lie outside of the files' bounds.
func (b *binding) narrows(l *loaded, tasks []table.FileScanTask) bool {
	for i, k := range b.keys {
		r := l.ranges[i]
		bounds, ok := k.boundsOf(tasks)
		if r == nil || !ok || b.opts.NullSafe && r.Nulls() {
			continue
		}
		within := uint64(0)
		if bounds.text {
			within = r.BetweenText(bounds.lowest, bounds.highest)
		} else {
			within = r.Between(bounds.low, bounds.high)
		}
		if within < uint64(l.rows)/2 {
			return true
		}
	}
	return false
}

// narrow reads the source's keys once, to keep the rows that may match.
func (b *binding) narrow(ctx context.Context, source Source, tasks []table.FileScanTask) (*narrowed, error) {
	out := &narrowed{Source: source, kept: roaring.New()}
	var bounds []keyBounds
	var columns []string
	for _, k := range b.keys {
		if found, ok := k.boundsOf(tasks); ok && k.newRange(b) != nil {
			bounds, columns = append(bounds, found), append(columns, k.source)
		}
	}
	if len(columns) == 0 {
		columns = []string{b.source.Field(0).Name} // to number the rows by
	}
	first := uint32(0)
	var numbers []uint32
	err := each(ctx, source, columns, func(all []arrow.Array, n int) error {
		keep := make([]bool, n)
		for i := range keep {
			keep[i] = true
		}
		for c, at := range bounds {
			keys.Within(all[c], at.low, at.high, at.lowest, at.highest, b.opts.NullSafe, keep)
		}
		numbers = numbers[:0]
		for i, k := range keep {
			if k {
				numbers = append(numbers, first+uint32(i))
			}
		}
		out.kept.AddMany(numbers)
		first += uint32(n)
		return nil
	})
	return out, err
}

// outside gives rows their numbers in the source that was narrowed.
func (s *narrowed) outside(rows *roaring.Bitmap) *roaring.Bitmap {
	if s == nil || rows.IsEmpty() {
		return rows
	}
	out := roaring.New()
	kept, at := s.kept.Iterator(), uint32(0)
	for it := rows.Iterator(); it.HasNext(); {
		for n := it.Next(); ; at++ {
			original := kept.Next()
			if at == n {
				out.Add(original)
				at++
				break
			}
		}
	}
	return out
}

// Open implements Source.
func (s *narrowed) Open(ctx context.Context, columns []string) (array.RecordReader, error) {
	r, err := s.Source.Open(ctx, columns)
	if err != nil {
		return nil, err
	}
	return &narrowedReader{RecordReader: r, kept: s.kept}, nil
}

type narrowedReader struct {
	array.RecordReader
	kept  *roaring.Bitmap
	first uint32
	batch arrow.RecordBatch
	err   error
}

// Next passes over batches of which nothing is kept.
func (r *narrowedReader) Next() bool {
	r.drop()
	for r.err == nil && r.RecordReader.Next() {
		from := r.RecordReader.RecordBatch()
		n := uint32(from.NumRows())
		var index []int32
		it := r.kept.Iterator()
		for it.AdvanceIfNeeded(r.first); it.HasNext() && it.PeekNext() < r.first+n; {
			index = append(index, int32(it.Next()-r.first))
		}
		r.first += n
		if len(index) == 0 {
			continue
		}
		picked, err := frameOf(from).pick(index)
		if err != nil {
			r.err = err
			return false
		}
		r.batch = picked.batch()
		picked.release()
		return true
	}
	return false
}

func (r *narrowedReader) RecordBatch() arrow.RecordBatch { return r.batch }

func (r *narrowedReader) Err() error {
	if r.err != nil {
		return r.err
	}
	return r.RecordReader.Err()
}

func (r *narrowedReader) drop() {
	if r.batch != nil {
		r.batch.Release()
		r.batch = nil
	}
}

func (r *narrowedReader) Release() {
	r.drop()
	r.RecordReader.Release()
}
