package datafile

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"

	"github.com/varve-lake/varve/tables/internal/rows"
)

// buffer takes rows over into a partition, and writes its row groups that are full.
func (w *Writer) buffer(p *partition, rows arrow.RecordBatch) error {
	size := batchBytes(rows)
	p.batches = append(p.batches, rows)
	p.rows += rows.NumRows()
	p.bytes += size
	w.buffered += size
	if w.sort == nil {
		return w.flush(p, false)
	}
	keyed := w.sort.sortBytes(rows)
	p.keyed += keyed
	w.keyed += keyed
	if !w.whole && w.foresee(p.rows, p.bytes) >= w.layout.targetBytes {
		err := w.flush(p, true)
		w.finish(p) // what comes next is not sorted with it
		return err
	}
	return nil
}

// relieve makes room once the buffers are full.
func (w *Writer) relieve() error {
	limit := w.layout.memoryLimit
	if w.sort != nil {
		if w.buffered+w.keyed <= w.runBytes() {
			return nil
		}
		return w.spillAll()
	}
	if w.buffered <= limit {
		return nil
	}
	if w.crowded() {
		return w.spillAll()
	}
	// The largest partitions' rows are worth a row group most.
	largest := slices.Clone(w.split.order)
	slices.SortStableFunc(largest, func(a, b *partition) int { return cmp.Compare(b.bytes, a.bytes) })
	for _, p := range largest {
		if w.buffered <= limit/2 {
			break
		}
		if err := w.flush(p, true); err != nil {
			return err
		}
	}
	return nil
}

// runBytes is what the rows of a run may take in memory with what sorting them does: half, since while they are sorted and written
// the next are buffered, and of that not what a section takes.
func (w *Writer) runBytes() int64 {
	limit := w.layout.memoryLimit
	return limit/2 - min(limit/sectionShare, maxSection) - w.codes.size()
}

// crowded says whether more partitions have rows than files may be open.
func (w *Writer) crowded() bool {
	n := 0
	for _, p := range w.split.order {
		if p.rows > 0 {
			n++
		}
	}
	return n > maxOpenFiles
}

// foresee is the size in a file of rows that take so many bytes in memory, by what rows took in files before.
func (w *Writer) foresee(rows, bytes int64) int64 {
	if laid := w.laidRows.Load(); laid > 0 {
		return int64(float64(w.laidBytes.Load()) / float64(laid) * float64(rows))
	}
	return (bytes + rows*w.codes.widening()) / 3
}

// foreseeLike lets what rows took in another file stand for a first row group. It weighs little beside what is seen later.
func (w *Writer) foreseeLike(f iceberg.DataFile) {
	if f == nil || f.Count() == 0 {
		return
	}
	rows := max(f.Count()/8, 1)
	w.laidRows.Store(rows)
	w.laidBytes.Store(f.FileSizeBytes() * rows / f.Count())
}

// rowsAGroup is the number of rows for the next row group of a partition: fewer than usual where rows are wide or files small.
func (w *Writer) rowsAGroup(p *partition) int64 {
	rows := w.layout.rowGroupRows
	if p.rows == 0 || p.bytes == 0 {
		return rows
	}
	room := w.layout.rowGroupBytes
	if w.spill != nil {
		room /= 2 // beside them, others are being merged
	}
	// As they are encoded, codes may have to be texts again.
	if wide := room * p.rows / (p.bytes + p.rows*w.codes.widening()); wide < rows {
		rows = wide
	}
	if each := w.foresee(p.rows, p.bytes); each > 0 {
		if small := w.layout.targetBytes * p.rows / each; small < rows {
			rows = small
		}
	}
	return max(rows, 1)
}

// flush writes a partition's full row groups, and with all the rest too. With a sort order that is always all.
func (w *Writer) flush(p *partition, all bool) error {
	if p.rows == 0 || !all && p.rows < w.rowsAGroup(p) {
		return nil
	}
	p.lastUsed = w.clock
	w.clock++
	if w.sort != nil {
		return w.flushSorted(p)
	}
	return w.release(p, all)
}

// flushSorted sorts all rows of a partition and writes them. They are gathered a row group at a time, so that sorting never
// holds three copies.
func (w *Writer) flushSorted(p *partition) error {
	total, bytes, batches := p.rows, p.bytes, p.batches
	w.keyed -= p.keyed
	p.keyed = 0
	entries := w.sort.order(batches).entries
	if unmoved(entries) {
		return w.release(p, true)
	}
	chunks, key := chunksOf(batches), func(e sortEntry) []byte { return w.sort.keyOf(batches[e.at.Chunk()], int64(e.at.Row())) }
	for len(entries) > 0 {
		n := notTooSmallARest(w.rowsAGroup(p), int64(len(entries)))
		g := rowGroup{rows: n, bytes: bytes * n / total, first: key(entries[0]), last: key(entries[n-1])}
		sorted, err := gatherEntries(w.layout.arrow, w.codes, chunks, entries[:n])
		if err != nil {
			return err
		}
		g.batches = []arrow.RecordBatch{sorted}
		p.rows -= n
		p.bytes -= g.bytes
		if err := w.submit(p, g); err != nil {
			return err
		}
		entries = entries[n:]
	}
	p.discard()
	return nil
}

// gatherEntries copies rows of batches, whose columns are chunks, in the order given.
func gatherEntries(schema *arrow.Schema, codes *textCodes, chunks [][]arrow.Array, entries []sortEntry) (arrow.RecordBatch, error) {
	refs := make([]rows.Ref, len(entries))
	for i, e := range entries {
		refs[i] = e.at
	}
	columns := make([]arrow.Array, len(chunks))
	defer rows.Release(columns)
	for i := range chunks {
		var err error
		if columns[i], err = codes.gather(i, chunks[i], refs); err != nil {
			return nil, fmt.Errorf("column %s: %w", schema.Field(i).Name, err)
		}
	}
	return recordOf(schema, columns, int64(len(refs))), nil
}

// notTooSmallARest lengthens a row group to all rows there are, where too few would be left to be worth another.
func notTooSmallARest(n, rows int64) int64 {
	if rows < n+n/4 {
		return rows
	}
	return n
}

// rowGroup is rows to be encoded together.
type rowGroup struct {
	batches     []arrow.RecordBatch
	rows, bytes int64
	first, last []byte // keys, where there is a sort order
}

// submit has a row group encoded into its partition's file. It takes the batches over.
func (w *Writer) submit(p *partition, g rowGroup) error {
	w.buffered -= g.bytes
	free := func() {
		for _, b := range g.batches {
			b.Release()
		}
	}
	size := w.foresee(g.rows, g.bytes)
	if p.file != nil && p.file.expected+size/2 > w.layout.targetBytes {
		w.finish(p)
	}
	if p.file == nil {
		if err := w.openFile(p); err != nil {
			free()
			return err
		}
	}
	select {
	case w.slots <- struct{}{}:
	case <-w.ctx.Done():
		free()
		return w.failure()
	}
	encoded := make(chan fragment, 1)
	go func() {
		defer free()
		encoded <- w.encoder.encodeGroup(w.ctx, g.batches, w.codes)
	}()
	p.file.expect(g, size)
	p.file.queue <- encoded // never blocks: the queue has room for as many as there are slots
	return nil
}

// cut takes the first n rows off a partition's buffer.
func (p *partition) cut(n int64) (batches []arrow.RecordBatch, bytes int64) {
	bytes = p.bytes
	if n < p.rows {
		bytes = p.bytes * n / p.rows
	}
	p.rows -= n
	p.bytes -= bytes
	for n > 0 {
		first := p.batches[0]
		if first.NumRows() <= n {
			batches = append(batches, first)
			n -= first.NumRows()
			p.batches = p.batches[1:]
			continue
		}
		batches = append(batches, first.NewSlice(0, n))
		p.batches[0] = first.NewSlice(n, first.NumRows())
		first.Release()
		n = 0
	}
	return batches, bytes
}

// take gives away what a partition buffers.
func (p *partition) take() []arrow.RecordBatch {
	batches := p.batches
	p.batches, p.rows, p.bytes, p.keyed = nil, 0, 0, 0
	return batches
}

func (p *partition) discard() {
	for _, b := range p.take() {
		b.Release()
	}
}
