package datafile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
)

// A run is read back in batches, of which a merge holds one of each run, and twice as much again while it sorts a block of
// them. Together they may take a mergeShare-th of the memory: so runs of wide rows have short batches, and where there are too
// many runs some are merged into longer ones first.
const (
	spillBatchRows = 8192 // of a batch, at most
	mergeShare     = 4
	runsAtOnce     = 16 // that a merge has room for, if a row is not larger than a batch should be
)

// spill holds rows that memory had no room for, on the local disk, as runs: each is the buffered rows of one partition at one
// time, sorted where the table is. It is one file without a name, so that nothing is left of it however the process ends.
type spill struct {
	file   *os.File
	remove string // where the file could not be unlinked while open
	size   int64
	runs   map[*partition][]spilledRun
}

type spilledRun struct {
	at, length int64
	batch      int64 // bytes in memory of its largest batch
}

func newSpill(dir string) (*spill, error) {
	file, err := os.CreateTemp(dir, "varve-spill-*")
	if err != nil {
		return nil, fmt.Errorf("spill rows: %v", err) // not wrapped: that a folder is absent must not look like an absent data file
	}
	s := &spill{file: file, runs: map[*partition][]spilledRun{}}
	if os.Remove(file.Name()) != nil {
		s.remove = file.Name()
	}
	return s, nil
}

func (s *spill) close() {
	if s == nil {
		return
	}
	s.file.Close()
	if s.remove != "" {
		os.Remove(s.remove)
	}
}

// spillAll moves what all partitions buffer to disk.
func (w *Writer) spillAll() error {
	if w.spill == nil {
		var err error
		if w.spill, err = newSpill(w.tempDir); err != nil {
			return err
		}
	}
	for _, p := range w.split.order {
		if p.rows == 0 {
			continue
		}
		if err := w.ctx.Err(); err != nil {
			return w.failure()
		}
		if err := w.spillPartition(p); err != nil {
			return fmt.Errorf("spill rows: %w", err)
		}
	}
	return nil
}

func (w *Writer) spillPartition(p *partition) error {
	run, err := w.newRun(func(write func(arrow.RecordBatch) error) error { return w.eachInOrder(p, write) })
	if err != nil {
		return err
	}
	w.spill.runs[p] = append(w.spill.runs[p], run)
	w.buffered -= p.bytes
	p.discard()
	return nil
}

// newRun writes a run of the rows that fill gives, in their order, in batches of a size that merges can bear.
func (w *Writer) newRun(fill func(write func(arrow.RecordBatch) error) error) (spilledRun, error) {
	run := spilledRun{at: w.spill.size}
	out := bufio.NewWriterSize(&offsetWriter{w.spill.file, &w.spill.size}, 1<<20)
	stream := ipc.NewWriter(out, ipc.WithSchema(w.layout.arrow), ipc.WithLZ4(), ipc.WithAllocator(allocator))
	err := fill(func(rows arrow.RecordBatch) error {
		run.batch = max(run.batch, batchBytes(rows))
		return stream.Write(rows)
	})
	if err := errors.Join(err, stream.Close(), out.Flush()); err != nil {
		return run, err
	}
	run.length = w.spill.size - run.at
	return run, nil
}

// spillRows is how many rows of such a size a batch of a run has.
func (w *Writer) spillRows(rows, bytes int64) int64 {
	room := w.layout.memoryLimit / (mergeShare * runsAtOnce)
	return max(1, min(spillBatchRows, room*rows/max(bytes, 1)))
}

// eachPart calls each with rows in batches for a run.
func (w *Writer) eachPart(rows arrow.RecordBatch, each func(arrow.RecordBatch) error) error {
	n := w.spillRows(rows.NumRows(), batchBytes(rows))
	for at := int64(0); at < rows.NumRows(); at += n {
		part := rows.NewSlice(at, min(at+n, rows.NumRows()))
		err := each(part)
		part.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// eachInOrder calls each with a partition's buffered rows in small batches, sorted where the table is.
func (w *Writer) eachInOrder(p *partition, each func(arrow.RecordBatch) error) error {
	if w.sort == nil {
		for _, b := range p.batches {
			if err := w.eachPart(b, each); err != nil {
				return err
			}
		}
		return nil
	}
	together, err := concatBatches(p.batches)
	if err != nil {
		return err
	}
	p.replace(together)
	order := w.sort.keys(together).order()
	if order == nil {
		return w.eachPart(together, each)
	}
	n := int(w.spillRows(p.rows, p.bytes))
	for at := 0; at < len(order); at += n {
		part, err := gatherBatch(w.ctx, together, order[at:min(at+n, len(order))])
		if err != nil {
			return err
		}
		err = w.eachPart(part, each) // rows of one batch may be larger than those of the others
		part.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// offsetWriter appends to a file.
type offsetWriter struct {
	file io.WriterAt
	at   *int64
}

func (o *offsetWriter) Write(p []byte) (int, error) {
	n, err := o.file.WriteAt(p, *o.at)
	*o.at += int64(n)
	return n, err
}

// unspill writes the files of a partition whose rows are on disk. Nothing of it is in memory.
func (w *Writer) unspill(p *partition) error {
	add := func(rows arrow.RecordBatch) error {
		rows.Retain()
		return w.hold(p, rows)
	}
	runs := w.spill.runs[p]
	if w.sort != nil {
		runs, err := w.fewerRuns(runs)
		if err != nil {
			return err
		}
		if err := w.mergeRuns(runs, add); err != nil {
			return err
		}
		return w.release(p, true)
	}
	for _, run := range runs {
		if err := w.eachOfRun(run, add); err != nil {
			return err
		}
	}
	return w.release(p, true)
}

func (w *Writer) openRun(run spilledRun) (*ipc.Reader, error) {
	in := bufio.NewReaderSize(io.NewSectionReader(w.spill.file, run.at, run.length), 64<<10)
	r, err := ipc.NewReader(in, ipc.WithAllocator(allocator), ipc.WithSchema(w.layout.arrow))
	if err != nil {
		return nil, fmt.Errorf("read spilled rows: %w", err)
	}
	return r, nil
}

func (w *Writer) eachOfRun(run spilledRun, each func(arrow.RecordBatch) error) error {
	r, err := w.openRun(run)
	if err != nil {
		return err
	}
	defer r.Release()
	for r.Next() {
		if err := each(r.RecordBatch()); err != nil {
			return err
		}
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("read spilled rows: %w", err)
	}
	return nil
}

// hold takes over rows that come in their final order.
func (w *Writer) hold(p *partition, rows arrow.RecordBatch) error {
	size := batchBytes(rows)
	p.batches = append(p.batches, rows)
	p.rows += rows.NumRows()
	p.bytes += size
	w.buffered += size
	return w.release(p, false)
}

// release writes the full row groups of rows that lie in their final order, and with all the rest too.
func (w *Writer) release(p *partition, all bool) error {
	for p.rows > 0 {
		n := w.rowsAGroup(p)
		if p.rows < n && !all {
			return nil
		}
		if all {
			n = notTooSmallARest(n, p.rows)
		}
		g := rowGroup{rows: n}
		g.batches, g.bytes = p.cut(n)
		if w.sort != nil {
			last := g.batches[len(g.batches)-1]
			g.first, g.last = w.sort.keyOf(g.batches[0], 0), w.sort.keyOf(last, last.NumRows()-1)
		}
		if err := w.submit(p, g); err != nil {
			return err
		}
	}
	return nil
}

// keyOf is the key of one row.
func (s *sorter) keyOf(batch arrow.RecordBatch, row int64) []byte {
	one := batch.NewSlice(row, row+1)
	defer one.Release()
	return bytes.Clone(s.keys(one).at(0))
}
