package datafile

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
)

// spill holds rows that memory had no room for, on the local disk, as runs: each is the buffered rows of one partition at one
// time, sorted where the table is. It is one file without a name, so that nothing is left of it however the process ends.
//
// Runs are written beside the goroutine that fills the buffers, those of one moment at a time: by whoever holds busy.
type spill struct {
	file   *os.File
	remove string // where the file could not be unlinked while open
	size   atomic.Int64
	busy   chan struct{}
	runs   map[*partition][]*spilledRun
}

func newSpill(dir string) (*spill, error) {
	file, err := os.CreateTemp(dir, "varve-spill-*")
	if err != nil {
		return nil, fmt.Errorf("spill rows: %v", err) // not wrapped: that a folder is absent must not look like an absent data file
	}
	s := &spill{file: file, runs: map[*partition][]*spilledRun{}, busy: make(chan struct{}, 1)}
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

// write appends bytes and says where they lie. Several goroutines may write at once.
func (s *spill) write(b []byte) (int64, error) {
	at := s.size.Add(int64(len(b))) - int64(len(b))
	if len(b) == 0 {
		return at, nil
	}
	_, err := s.file.WriteAt(b, at)
	return at, err
}

func (s *spill) read(b []byte, at int64) error {
	if len(b) == 0 {
		return nil
	}
	if _, err := s.file.ReadAt(b, at); err != nil {
		return fmt.Errorf("read spilled rows: %w", err)
	}
	return nil
}

// idle waits until no runs are being written. Whoever gets no error has busy to give back.
func (s *spill) idle(ctx context.Context) error {
	select {
	case s.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// spilling is the buffered rows of a partition on their way to a run.
type spilling struct {
	run     *spilledRun
	batches []arrow.RecordBatch
}

// spillAll has what all partitions buffer moved to disk. It returns once what was moved before is there.
func (w *Writer) spillAll() error {
	if w.spill == nil {
		var err error
		if w.spill, err = newSpill(w.tempDir); err != nil {
			return err
		}
	}
	if err := w.spill.idle(w.ctx); err != nil {
		return err
	}
	var all []spilling
	for _, p := range w.split.order {
		if p.rows == 0 {
			continue
		}
		run := &spilledRun{}
		w.spill.runs[p] = append(w.spill.runs[p], run)
		w.buffered, w.keyed = w.buffered-p.bytes, w.keyed-p.keyed
		all = append(all, spilling{run, p.take()})
	}
	w.running.Go(func() {
		defer func() { <-w.spill.busy }()
		for _, part := range all {
			err := w.failure()
			if err == nil {
				err = protect(func() error { return w.writeRun(part.run, part.batches) })
			}
			for _, b := range part.batches {
				b.Release()
			}
			if err != nil {
				w.fail(fmt.Errorf("spill rows: %w", err))
			}
		}
	})
	return nil
}

// unspill writes the files of a partition whose rows are on disk. Nothing of it is in memory.
func (w *Writer) unspill(p *partition) error {
	runs := w.spill.runs[p]
	delete(w.spill.runs, p)
	if w.sort == nil {
		for _, run := range runs {
			if err := w.eachOfRun(run, func(rows arrow.RecordBatch) error { return w.hold(p, rows) }); err != nil {
				return err
			}
		}
		return w.release(p, true)
	}
	runs, err := w.fewerRuns(runs)
	if err != nil {
		return err
	}
	plan, err := w.spill.planMerge(runs, w.rangeBytes())
	if err != nil {
		return err
	}
	rows := w.merged(plan, w.layout.arrow)
	defer rows.Release()
	for rows.Next() {
		batch := rows.RecordBatch()
		batch.Retain()
		if err := w.hold(p, batch); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return w.release(p, true)
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
