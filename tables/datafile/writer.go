package datafile

import (
	"context"
	"errors"
	"fmt"
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
	// Order sorts all rows of a partition together by this order, in the place of the table's: its files' ranges do not overlap.
	Order []table.SortField
	// Curve lays all rows of a partition along a Z-order curve, in the place of the table's order.
	Curve *Curve
	// TempDir is where rows go that MemoryLimit has no room for. Default: os.TempDir().
	TempDir string
	// Like is a data file of such rows, if there is one: by it the size of what is written is foreseen until there is some.
	Like iceberg.DataFile
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
	ctx     context.Context
	cancel  context.CancelCauseFunc
	layout  *layout
	fs      iceio.WriteFileIO
	encoder *groupEncoder
	split   *partitioner
	sort    *sorter
	codes   *textCodes // nil where rows are not sorted
	prefix  string
	id      string
	slots   chan struct{} // one for each row group encoded, or encoded and not yet in its file

	tempDir  string
	spill    *spill // nil until there is something on disk
	buffered int64  // bytes in all partitions
	keyed    int64  // what sorting these will take
	clock    int64
	open     chan struct{} // one for each file open
	files    []*outFile    // all ever opened, in order
	running  sync.WaitGroup
	closed   bool
	// whole: rows are sorted all together; claims: their order is the table's.
	whole, claims bool
	newCarrier    func() (*Carrier, error)
	carrier       *Carrier // once there is something to carry
	carriedBytes  int64
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
	if opts.Order != nil {
		order, err = newSorterOf(l.schema, opts.Order)
	}
	if err != nil {
		return nil, fmt.Errorf("write data files: %w", err)
	}
	claims := order != nil && (opts.Order == nil || sameOrder(l.order, opts.Order)) && opts.Curve == nil
	if opts.Curve != nil {
		order = &sorter{curve: opts.Curve}
	}
	w := &Writer{layout: l, encoder: newGroupEncoder(l), fs: fs, split: split, sort: order, prefix: opts.Prefix, tempDir: opts.TempDir, id: uuid.NewString(), slots: make(chan struct{}, l.parallelism+1), open: make(chan struct{}, maxOpenFiles)}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.whole, w.claims = opts.Order != nil || opts.Curve != nil, claims
	if order != nil {
		w.codes = newTextCodes(l.arrow, l.memoryLimit, append(split.fields, order.looked()...)...)
	}
	w.foreseeLike(opts.Like)
	w.newCarrier = func() (*Carrier, error) { return NewCarrier(w.ctx, meta, fs, opts) }
	return w, nil
}

// Sorts says whether rows are sorted. Texts are best given as arrow's dictionaries then, where they lie so.
func (w *Writer) Sorts() bool { return w.sort != nil }

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
	conformed, err := conformCoded(w.ctx, batch, w.layout.arrow, w.codes)
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

// Close writes what is buffered and returns all data files, described for a manifest. Nothing is committed. The files' bytes
// are on disk when it returns. After an error call Abort.
func (w *Writer) Close() ([]iceberg.DataFile, error) {
	if w.closed {
		return nil, errors.New("write data files: the writer is closed")
	}
	w.closed = true
	defer w.cancel(context.Canceled)
	if err := w.writeRest(); err != nil {
		w.fail(err)
		defer w.spill.close() // once nothing is written to it any more
	} else {
		w.running.Go(w.spill.close) // its pages take a while to be freed, as do the last files' to be on disk
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
		if err := w.spill.idle(w.ctx); err != nil {
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

// Abort removes the files this writer wrote, and no others. It may be called after Close too, when the commit failed for good.
func (w *Writer) Abort() error {
	w.fail(errAborted)
	if !w.closed {
		w.closed = true
		for _, p := range w.split.order {
			w.finish(p)
			p.discard()
		}
		defer w.spill.close()
	}
	w.running.Wait()
	var errs []error
	for _, f := range w.files {
		if err := removeIfThere(w.fs, f.uri); err != nil {
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
