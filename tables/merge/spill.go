package merge

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/varve-lake/varve/tables/internal/rows"
)

// spill is a temporary file of rows in buckets. Rows go in by any number of
// goroutines, and come out a bucket at a time.
//
// The file has no name from the start: whatever becomes of the process, the
// file system takes its space back.
type spill struct {
	mu       sync.Mutex
	file     *os.File
	at       int64
	segments map[uint64][]segment
}

// segment is one batch in the file, as a stream of Arrow IPC.
type segment struct{ at, length int64 }

func newSpill(dir string) (*spill, error) {
	f, err := os.CreateTemp(dir, "varve-merge-*.spill")
	if err != nil {
		return nil, fmt.Errorf("create a temporary file: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("unlink a temporary file: %w", err)
	}
	return &spill{file: f, segments: map[uint64][]segment{}}, nil
}

func (s *spill) append(bucket uint64, batch arrow.RecordBatch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := &countingWriter{w: bufio.NewWriterSize(io.NewOffsetWriter(s.file, s.at), 64<<10)}
	w := ipc.NewWriter(out, ipc.WithSchema(batch.Schema()), ipc.WithLZ4())
	err := w.Write(batch)
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	if flushErr := out.w.Flush(); err == nil {
		err = flushErr
	}
	if err != nil {
		return fmt.Errorf("spill: %w", err)
	}
	s.segments[bucket] = append(s.segments[bucket], segment{at: s.at, length: out.n})
	s.at += out.n
	return nil
}

type countingWriter struct {
	w *bufio.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// each passes on a bucket's batches, in no particular order among goroutines
// that wrote them. A batch is valid during the call.
func (s *spill) each(bucket uint64, do func(arrow.RecordBatch) error) error {
	s.mu.Lock()
	segments := s.segments[bucket]
	s.mu.Unlock()
	for _, g := range segments {
		if err := s.read(g, do); err != nil {
			return err
		}
	}
	return nil
}

func (s *spill) read(g segment, do func(arrow.RecordBatch) error) error {
	r, err := ipc.NewReader(bufio.NewReaderSize(io.NewSectionReader(s.file, g.at, g.length), 64<<10))
	if err != nil {
		return fmt.Errorf("read spilled rows: %w", err)
	}
	defer r.Release()
	for r.Next() {
		if err := do(r.RecordBatch()); err != nil {
			return err
		}
	}
	if err := r.Err(); err != nil && err != io.EOF {
		return fmt.Errorf("read spilled rows: %w", err)
	}
	return nil
}

// buckets lists the buckets that have rows, in ascending order.
func (s *spill) buckets() []uint64 {
	out := make([]uint64, 0, len(s.segments))
	for b := range s.segments {
		out = append(out, b)
	}
	slices.Sort(out)
	return out
}

func (s *spill) size() int64 {
	if s == nil {
		return 0
	}
	return s.at
}

func (s *spill) close() {
	if s != nil {
		s.file.Close()
	}
}

// spiller sorts one goroutine's rows into buckets of a spill. It holds some of
// them back, so that what it writes at a time is worth it.
type spiller struct {
	to      *spill
	limit   int64
	schema  *arrow.Schema
	chunks  [][]arrow.Array
	byBatch [][]uint64 // the bucket of each row of each chunk
	bytes   int64
}

func newSpiller(to *spill, limit int64) *spiller { return &spiller{to: to, limit: max(limit, 1<<10)} }

// add takes over the frame, whose rows go into the given buckets.
func (s *spiller) add(f *frame, buckets []uint64) error {
	if s.schema == nil {
		batch := f.batch()
		s.schema = batch.Schema()
		batch.Release()
		s.chunks = make([][]arrow.Array, len(f.columns))
	}
	for i, c := range f.columns {
		s.chunks[i] = append(s.chunks[i], c)
		s.bytes += sizeOf(c.Data())
	}
	s.byBatch = append(s.byBatch, buckets)
	if s.bytes < s.limit {
		return nil
	}
	return s.flush()
}

// flush writes what is held back.
func (s *spiller) flush() error {
	refs := map[uint64][]rows.Ref{}
	for c, buckets := range s.byBatch {
		for r, b := range buckets {
			refs[b] = append(refs[b], rows.At(c, r))
		}
	}
	for b, mine := range refs {
		columns, err := rows.GatherColumns(s.chunks, mine)
		if err != nil {
			return err
		}
		batch := array.NewRecordBatch(s.schema, columns, int64(len(mine)))
		rows.Release(columns)
		err = s.to.append(b, batch)
		batch.Release()
		if err != nil {
			return err
		}
	}
	for i := range s.chunks {
		rows.Release(s.chunks[i])
		s.chunks[i] = s.chunks[i][:0]
	}
	s.byBatch, s.bytes = s.byBatch[:0], 0
	return nil
}
