package merge

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
)

// verdictLog collects verdicts by file: in memory, and beyond a limit in a
// temporary file. Any number of goroutines may add to it.
type verdictLog struct {
	mu     sync.Mutex
	dir    string
	limit  int64
	held   int64
	memory map[int][]verdict
	counts map[int]int
	spill  *os.File // without a name, as a spill
	at     int64
	parts  map[int][]segment
}

const verdictBytes = 10 // in the file

func newVerdictLog(dir string, limit int64) *verdictLog {
	return &verdictLog{dir: dir, limit: limit, memory: map[int][]verdict{}, counts: map[int]int{}, parts: map[int][]segment{}}
}

// add takes over verdicts about rows of one file.
func (l *verdictLog) add(file int, verdicts []verdict) error {
	if len(verdicts) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.memory[file] = append(l.memory[file], verdicts...)
	l.counts[file] += len(verdicts)
	l.held += int64(len(verdicts)) * 12
	if l.held <= l.limit {
		return nil
	}
	return l.flush()
}

func (l *verdictLog) flush() error {
	if l.spill == nil {
		f, err := os.CreateTemp(l.dir, "varve-merge-*.verdicts")
		if err != nil {
			return fmt.Errorf("create a temporary file: %w", err)
		}
		if err := os.Remove(f.Name()); err != nil {
			f.Close()
			return fmt.Errorf("unlink a temporary file: %w", err)
		}
		l.spill = f
	}
	w := bufio.NewWriterSize(io.NewOffsetWriter(l.spill, l.at), 256<<10)
	for file, verdicts := range l.memory {
		for _, v := range verdicts {
			var b [verdictBytes]byte
			binary.LittleEndian.PutUint32(b[0:], v.position)
			binary.LittleEndian.PutUint32(b[4:], v.source)
			b[8] = byte(v.clause)
			if v.differs {
				b[9] = 1
			}
			if _, err := w.Write(b[:]); err != nil {
				return fmt.Errorf("spill: %w", err)
			}
		}
		length := int64(len(verdicts)) * verdictBytes
		l.parts[file] = append(l.parts[file], segment{at: l.at, length: length})
		l.at += length
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("spill: %w", err)
	}
	clear(l.memory)
	l.held = 0
	return nil
}

// of returns the verdicts about a file, by position. The slice is the caller's.
func (l *verdictLog) of(file int) ([]verdict, error) {
	l.mu.Lock()
	out := make([]verdict, 0, l.counts[file])
	out = append(out, l.memory[file]...)
	parts := l.parts[file]
	l.mu.Unlock()
	for _, p := range parts {
		r := bufio.NewReaderSize(io.NewSectionReader(l.spill, p.at, p.length), 256<<10)
		for range p.length / verdictBytes {
			var b [verdictBytes]byte
			if _, err := io.ReadFull(r, b[:]); err != nil {
				return nil, fmt.Errorf("read spilled verdicts: %w", err)
			}
			out = append(out, verdict{
				position: binary.LittleEndian.Uint32(b[0:]), source: binary.LittleEndian.Uint32(b[4:]),
				clause: int8(b[8]), differs: b[9] == 1,
			})
		}
	}
	slices.SortFunc(out, byPosition)
	return out, nil
}

func byPosition(a, b verdict) int { return int(int64(a.position) - int64(b.position)) }

// count is the number of verdicts about a file.
func (l *verdictLog) count(file int) int { return l.counts[file] }

func (l *verdictLog) close() {
	if l != nil && l.spill != nil {
		l.spill.Close()
		l.spill = nil
	}
}
