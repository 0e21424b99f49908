package datafile

import (
	"math"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/tables/internal/rows"
)

const (
	// A run is written in sections: of each its columns, one after the other. The part of the memory that one may take is in memory
	// once more while it is written.
	sectionShare   = 8
	maxSection     = 64 << 20
	maxSectionRows = 1 << 20
	// How large rows are is kept for so many at a time, so that what is read back of a run is no more than there is room for.
	markRows  = 1 << 10
	markShare = 1 << 10
	maxMark   = 128 << 10
)

// spilledRun is rows of one partition on disk, in order where there is one. It is complete once its writer is done.
type spilledRun struct {
	sections []runSection
	marks    []mark
	rows     int64
	// Of sorted rows: whether keys are known by their beginnings alone, and whether these have what says null or not.
	exact, flagged bool
}

// runSection is some consecutive rows of a run.
type runSection struct {
	first, rows int64
	columns     []stored
	prefixes    int64 // where the keys' beginnings lie, eight bytes a row; only of sorted runs
}

// mark says how many rows, and bytes in memory, lie before a place in a run.
type mark struct{ rows, bytes int64 }

// writeRun writes buffered rows as a run, sorted where the table is.
func (w *Writer) writeRun(run *spilledRun, batches []arrow.RecordBatch) error {
	sizes := rowSizesOf(batches, w.codes)
	if w.sort == nil {
		for i, b := range batches {
			if err := w.writeBatch(run, b, nil, sizes.by(func(row int) (int, int) { return i, row })); err != nil {
				return err
			}
		}
		return nil
	}
	order := w.sort.order(batches)
	run.exact, run.flagged = order.exact, order.flagged
	chunks := chunksOf(batches)
	gatherings := make([]*gathering, len(chunks))
	for i := range chunks {
		gatherings[i] = newGathering(chunks[i])
	}
	for entries := order.entries; len(entries) > 0; {
		if err := w.ctx.Err(); err != nil {
			return w.failure()
		}
		size := sizes.by(func(i int) (int, int) { return entries[i].at.Chunk(), entries[i].at.Row() })
		n := w.sectionRows(len(entries), size)
		refs, prefixes := make([]rows.Ref, n), make([]uint64, n)
		for i, e := range entries[:n] {
			refs[i], prefixes[i] = e.at, e.prefix
		}
		err := w.writeSection(run, n, prefixes, size, func(c int) (stored, error) {
			if gatherings[c] != nil {
				return w.spill.putGathered(gatherings[c], refs)
			}
			a, err := w.codes.gather(c, chunks[c], refs)
			return w.spill.putCoded(a, err)
		})
		if err != nil {
			return err
		}
		entries = entries[n:]
	}
	return nil
}

// writeBatch appends rows that lie in a run's order, with their keys' beginnings if it has one.
func (w *Writer) writeBatch(run *spilledRun, b arrow.RecordBatch, prefixes []uint64, size sizer) error {
	for at, n := 0, 0; at < int(b.NumRows()); at += n {
		own := size.from(at)
		n = w.sectionRows(int(b.NumRows())-at, own)
		var keys []uint64
		if prefixes != nil {
			keys = prefixes[at : at+n]
		}
		err := w.writeSection(run, n, keys, own, func(c int) (stored, error) {
			return w.spill.putCoded(array.NewSlice(b.Column(c), int64(at), int64(at+n)), nil)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func chunksOf(batches []arrow.RecordBatch) [][]arrow.Array {
	columns := make([][]arrow.Array, batches[0].NumCols())
	for i := range columns {
		for _, b := range batches {
			columns[i] = append(columns[i], b.Column(i))
		}
	}
	return columns
}

// sectionRows is how many of the next rows make a section: one at least.
func (w *Writer) sectionRows(left int, size sizer) int {
	n, _ := size.take(min(left, maxSectionRows), min(w.layout.memoryLimit/sectionShare, maxSection))
	return n
}

// putCoded stores an array, unless there is an error, and releases it.
func (s *spill) putCoded(a arrow.Array, err error) (stored, error) {
	if err != nil {
		return stored{}, err
	}
	defer a.Release()
	out, err := s.put(a)
	out.coded = isCoded(a)
	return out, err
}

// writeSection appends a section to a run. Its columns are written several at once.
func (w *Writer) writeSection(run *spilledRun, n int, prefixes []uint64, size sizer, column func(int) (stored, error)) error {
	s := runSection{first: run.rows, rows: int64(n), columns: make([]stored, w.layout.arrow.NumFields())}
	err := atOnce(w.layout.parallelism, len(s.columns), func(c int) error {
		var err error
		s.columns[c], err = column(c)
		return err
	})
	if err == nil {
		s.prefixes, err = w.spill.write(arrow.Uint64Traits.CastToBytes(prefixes))
	}
	if err != nil {
		return err
	}
	run.sections = append(run.sections, s)
	run.note(n, size, min(max(w.layout.memoryLimit/markShare, 1), maxMark))
	return nil
}

// note adds rows to what is known of a run's sizes. It marks the last.
func (r *spilledRun) note(n int, size sizer, bytes int64) {
	if r.marks == nil {
		r.marks = []mark{{}}
	}
	for at := 0; at < n; {
		last := r.marks[len(r.marks)-1]
		taken, total := size.from(at).take(min(n-at, markRows), bytes)
		at, r.rows = at+taken, r.rows+int64(taken)
		r.marks = append(r.marks, mark{r.rows, last.bytes + total})
	}
}

// atOnce calls do for each number up to n, several at a time, and gives the first error of them.
func atOnce(parallelism, n int, do func(int) error) error {
	var running sync.WaitGroup
	next := make(chan int, n)
	for i := range n {
		next <- i
	}
	close(next)
	errs := make([]error, n)
	for range min(parallelism, n) {
		running.Go(func() {
			for i := range next {
				errs[i] = protect(func() error { return do(i) })
			}
		})
	}
	running.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// rowSizes are the bytes that single rows take in memory.
type rowSizes struct {
	fixed []int64    // of each row of a batch
	vary  [][]uint32 // more, by batch and row; nil where rows are all alike
}

// rowSizesOf counts codes as the texts that they may be made again.
func rowSizesOf(batches []arrow.RecordBatch, codes *textCodes) (s rowSizes) {
	s.fixed = make([]int64, len(batches))
	for i, b := range batches {
		var own []uint32
		for j, c := range b.Columns() {
			s.fixed[i] += addSizes(c, &own)
			if isCoded(c) {
				s.fixed[i] += codes.wideningOf(j)
			}
		}
		if own != nil {
			if s.vary == nil {
				s.vary = make([][]uint32, len(batches))
			}
			s.vary[i] = own
		}
	}
	return s
}

func (s rowSizes) of(batch, row int) int64 {
	if s.vary == nil || s.vary[batch] == nil {
		return s.fixed[batch]
	}
	return s.fixed[batch] + int64(s.vary[batch][row])
}

// by gives the sizes of rows in another order, whose places in the batches are told.
func (s rowSizes) by(place func(i int) (batch, row int)) sizer {
	if s.vary == nil && slices.Min(s.fixed) == slices.Max(s.fixed) {
		return sizer{each: s.fixed[0]}
	}
	return sizer{of: func(i int) int64 { return s.of(place(i)) }}
}

// sizer tells the sizes of consecutive rows: of each, or the one that all have.
type sizer struct {
	each int64
	of   func(i int) int64
}

// from is about the rows from the i-th on.
func (s sizer) from(i int) sizer {
	if s.of == nil {
		return s
	}
	return sizer{of: func(row int) int64 { return s.of(i + row) }}
}

// take is how many of the first rows, up to most, reach so many bytes, and what they take: one at least.
func (s sizer) take(most int, bytes int64) (n int, total int64) {
	if s.of == nil {
		if s.each > 0 {
			most = min(most, int(min(max(1, (bytes+s.each-1)/s.each), math.MaxInt32)))
		}
		return most, int64(most) * s.each
	}
	for n < most && (n == 0 || total < bytes) {
		total += s.of(n)
		n++
	}
	return n, total
}

// addSizes adds what an array's values take that is not the same for each, and returns what is.
func addSizes(a arrow.Array, vary *[]uint32) int64 {
	add := func(size func(row int) int64) {
		if *vary == nil {
			*vary = make([]uint32, a.Len())
		}
		for i := range *vary {
			(*vary)[i] = uint32(min(int64((*vary)[i])+size(i), math.MaxUint32))
		}
	}
	switch a := a.(type) {
	case *array.String, *array.Binary:
		if a.Len() > 0 {
			offsets, _ := rows.TextOf(a)
			if alike := offsets[1] - offsets[0]; ofOneLength(offsets[:a.Len()+1], alike) {
				return 5 + int64(alike)
			}
			add(func(i int) int64 { return int64(offsets[i+1] - offsets[i]) })
		}
		return 5
	case array.ExtensionArray:
		return addSizes(a.Storage(), vary)
	case *array.Struct:
		total := int64(1)
		for _, f := range structFields(a) {
			total += addSizes(f, vary)
		}
		return total
	case array.ListLike:
		var own []uint32 // of what the lists hold, whose sizes may differ much
		each := addSizes(a.ListValues(), &own)
		add(func(i int) int64 {
			from, to := a.ValueOffsets(i)
			size := (to - from) * each
			if own != nil {
				for _, more := range own[from:to] {
					size += int64(more)
				}
			}
			return size
		})
		return 5
	}
	if t, ok := a.DataType().(arrow.FixedWidthDataType); ok {
		return int64(t.BitWidth()+7)/8 + 1
	}
	return 1
}

func ofOneLength(offsets []int32, length int32) bool {
	for i := 1; i < len(offsets); i++ {
		if offsets[i]-offsets[i-1] != length {
			return false
		}
	}
	return true
}
