package datafile

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
)

// WriterOptions tune a Writer; zero values mean the table's properties, then this package's defaults.
type WriterOptions struct {
	// TargetFileSize is where a file is closed and the next begun, in bytes. Default: write.target-file-size-bytes, 512 MiB.
	TargetFileSize int64
	// RowGroupRows is the number of rows in a row group. Default: write.parquet.row-group-limit, 131,072.
	RowGroupRows int
	// MemoryLimit bounds the rows buffered before they are sorted and written, over all partitions. Default: 256 MiB.
	MemoryLimit int64
	// Prefix begins the name of every file written, before a uuid of the writer's own.
	Prefix string
	// Parallelism is the number of row groups encoded at once. Default: GOMAXPROCS.
	Parallelism int
	// RowLineage says that batches have two columns more, _row_id and _last_updated_sequence_number, as those of
	// iceberg.SchemaWithRowLineage: for rows that move from another file of a table of format version 3. Null is for rows, or
	// changes, that are new.
	RowLineage bool
	// TempDir is where rows go that MemoryLimit has no room for. Default: os.TempDir().
	TempDir string
}

// Writer writes batches as Parquet data files in the table's current layout.
//
// Rows are split by partition and buffered: to a row group, or, where the table has a sort order, to a file's worth, since what
// is sorted together is what was buffered together. Where memory ends before that, rows of sorted tables, and of more partitions
// than files may be open, are spilled to disk and merged at the end; others are written as smaller row groups. A file claims
// the table's sort order only when all of its rows were seen to be in it. Files lie at their final place from the start; until
// a commit names them nobody reads them, and a process that dies leaves them as orphans.
//
// A Writer is for one goroutine. After an error it only accepts Abort.
type Writer struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	layout *layout
	fs     iceio.WriteFileIO
	split  *partitioner
	sort   *sorter
	prefix string
	id     string
	slots  chan struct{} // one for each row group encoded, or encoded and not yet in its file

	tempDir  string
	spill    *spill // nil until there is something on disk
	buffered int64  // bytes in all partitions
	clock    int64
	open     chan struct{} // one for each file open
	files    []*outFile    // all ever opened, in order
	running  sync.WaitGroup
	closed   bool
	// What files took so far, to foresee the size of row groups.
	laidRows, laidBytes atomic.Int64
}

// NewWriter returns a Writer for the table that meta describes.
func NewWriter(ctx context.Context, meta table.Metadata, fs iceio.WriteFileIO, opts WriterOptions) (*Writer, error) {
	l, err := newLayout(meta, opts)
	if err != nil {
		return nil, fmt.Errorf("write data files: %w", err)
	}
	split, err := newPartitioner(l.schema, l.spec)
	if err != nil {
		return nil, fmt.Errorf("write data files: %w", err)
	}
	order, err := newSorter(l.schema, l.order)
	if err != nil {
		return nil, fmt.Errorf("write data files: %w", err)
	}
	w := &Writer{layout: l, fs: fs, split: split, sort: order, prefix: opts.Prefix, tempDir: opts.TempDir, id: uuid.NewString(), slots: make(chan struct{}, l.parallelism+1), open: make(chan struct{}, maxOpenFiles)}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	return w, nil
}

// Write adds a batch whose columns are those of the table's current schema, in order. The batch stays the caller's.
func (w *Writer) Write(batch arrow.RecordBatch) error {
	if w.closed {
		return errors.New("write data files: the writer is closed")
	}
	if err := w.write(batch); err != nil {
		w.fail(err)
		return fmt.Errorf("write data files: %w", err)
	}
	return nil
}

func (w *Writer) write(batch arrow.RecordBatch) error {
	if err := w.failure(); err != nil {
		return err
	}
	if batch.NumRows() == 0 {
		return nil
	}
	conformed, err := conformBatch(w.ctx, batch, w.layout.arrow)
	if err != nil {
		return err
	}
	defer conformed.Release()
	err = w.split.split(conformed, func(p *partition, rows []int32) error {
		part := conformed
		if rows == nil {
			part.Retain()
		} else if part, err = gatherBatch(w.ctx, conformed, rows); err != nil {
			return err
		}
		return w.buffer(p, part)
	})
	if err != nil {
		return err
	}
	return w.relieve()
}

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
	if w.foresee(p.rows, p.bytes) >= w.layout.targetBytes {
		err := w.flush(p, true)
		w.finish(p) // what comes next is not sorted with it
		return err
	}
	return nil
}

// relieve makes room once the buffers are full. Sorting copies a partition, so room is kept for one copy of the largest.
func (w *Writer) relieve() error {
	limit := w.layout.memoryLimit
	if w.sort != nil && w.buffered > limit/2 {
		largest := int64(0)
		for _, p := range w.split.order {
			largest = max(largest, p.bytes)
		}
		limit -= largest
	}
	if w.buffered <= limit {
		return nil
	}
	if w.sort != nil || w.crowded() {
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
	return bytes / 3
}

// rowsAGroup is the number of rows for the next row group of a partition: fewer than usual where rows are wide or files small.
func (w *Writer) rowsAGroup(p *partition) int64 {
	rows := w.layout.rowGroupRows
	if p.rows == 0 || p.bytes == 0 {
		return rows
	}
	if wide := w.layout.rowGroupBytes * p.rows / p.bytes; wide < rows {
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
	together, err := concatBatches(p.batches)
	if err != nil {
		return err
	}
	p.replace(together)
	keys := w.sort.keys(together)
	order := keys.order()
	total := p.rows
	key := func(i int64) []byte {
		if order != nil {
			i = int64(order[i])
		}
		return bytes.Clone(keys.at(int(i)))
	}
	for at := int64(0); at < total; {
		n := notTooSmallARest(w.rowsAGroup(p), total-at)
		g := rowGroup{rows: n, bytes: p.bytes * n / p.rows, first: key(at), last: key(at + n - 1)}
		if order == nil {
			g.batches, _ = p.cut(n)
		} else {
			sorted, err := gatherBatch(w.ctx, together, order[at:at+n])
			if err != nil {
				return err
			}
			g.batches = []arrow.RecordBatch{sorted}
			p.rows -= n
			p.bytes -= g.bytes
		}
		if err := w.submit(p, g); err != nil {
			return err
		}
		at += n
	}
	p.discard()
	return nil
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
		encoded <- w.layout.encodeFragment(w.ctx, g.batches)
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

// replace puts one batch of the same rows in the place of a partition's batches.
func (p *partition) replace(with arrow.RecordBatch) {
	for _, b := range p.batches {
		b.Release()
	}
	p.batches = []arrow.RecordBatch{with}
}

// Close writes what is buffered and returns all data files, described for a manifest. Nothing is committed. The files' bytes
// are on disk when it returns. After an error call Abort.
func (w *Writer) Close() ([]iceberg.DataFile, error) {
	if w.closed {
		return nil, errors.New("write data files: the writer is closed")
	}
	w.closed = true
	defer w.cancel(context.Canceled)
	defer w.spill.close()
	if err := w.writeRest(); err != nil {
		w.fail(err)
	}
	for _, p := range w.split.order {
		w.finish(p)
		p.discard()
	}
	w.running.Wait()
	if err := w.failure(); err != nil {
		return nil, fmt.Errorf("write data files: %w", err)
	}
	out := make([]iceberg.DataFile, 0, len(w.files))
	uris := make([]string, 0, len(w.files))
	for _, f := range w.files {
		out = append(out, f.described)
		uris = append(uris, f.uri)
	}
	if err := syncDirectories(uris, w.layout.location); err != nil {
		return nil, fmt.Errorf("write data files: %w", err)
	}
	return out, nil
}

// writeRest writes all rows that are buffered or spilled.
func (w *Writer) writeRest() error {
	if w.spill != nil {
		if err := w.spillAll(); err != nil {
			return err
		}
	}
	for _, p := range w.split.order {
		if err := w.failure(); err != nil {
			return err
		}
		write := func() error { return w.flush(p, true) }
		if w.spill != nil && len(w.spill.runs[p]) > 0 {
			write = func() error { return w.unspill(p) }
		}
		if err := write(); err != nil {
			return err
		}
		w.finish(p)
	}
	return nil
}

func (p *partition) discard() {
	for _, b := range p.batches {
		b.Release()
	}
	p.batches, p.rows, p.bytes = nil, 0, 0
}

// Abort removes the files this writer wrote, and no others. It may be called after Close too, when the commit failed for good.
func (w *Writer) Abort() error {
	w.fail(errAborted)
	if !w.closed {
		w.closed = true
		for _, p := range w.split.order {
			w.finish(p)
			p.discard()
		}
		w.spill.close()
	}
	w.running.Wait()
	var errs []error
	for _, f := range w.files {
		if err := w.fs.Remove(f.uri); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove %s: %w", f.uri, err))
		}
	}
	w.files = nil
	return errors.Join(errs...)
}

var errAborted = errors.New("aborted")

// fail stops all work; the first error is the one reported.
func (w *Writer) fail(err error) { w.cancel(err) }

func (w *Writer) failure() error { return context.Cause(w.ctx) }
