package sources

import (
	"bufio"
	"cmp"
	"container/heap"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"os"
	"slices"
)

// maxHeld is how many files are held by name, some 200 bytes each; more are put aside on the disk, sorted.
const maxHeld = 1 << 16

// sortable is what has a place among its like, and is the same again when it has been JSON.
type sortable[T any] interface{ compare(T) int }

// diskSort sorts by way of the disk: what does not fit is written in sorted runs behind each other, which are then merged as streams. Its
// file has no name, so that it goes with the process, however that ends. The zero value is empty and ready.
type diskSort[T sortable[T]] struct {
	dir  string
	most int // held at once; 0 means maxHeld
	held []T
	file *os.File
	runs []int64 // where each ends
	n    int
}

func (s *diskSort[T]) add(one T) error {
	s.n++
	s.held = append(s.held, one)
	if len(s.held) < cmp.Or(s.most, maxHeld) {
		return nil
	}
	return s.spill()
}

func (s *diskSort[T]) sortHeld() { slices.SortFunc(s.held, T.compare) }

func (s *diskSort[T]) spill() (err error) {
	if s.file == nil {
		if s.file, err = unnamedFile(s.dir); err != nil {
			return err
		}
	}
	s.sortHeld()
	out := bufio.NewWriterSize(s.file, 256<<10)
	lines := json.NewEncoder(out)
	for _, one := range s.held {
		if err := lines.Encode(one); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	end, err := s.file.Seek(0, io.SeekCurrent)
	clear(s.held) // of what they refer to
	s.runs, s.held = append(s.runs, end), s.held[:0]
	return err
}

// unnamedFile is a file for this process alone.
func unnamedFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "varve-files-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// streams are the sorted runs and what is held, each to be read any number of times.
func (s *diskSort[T]) streams() (out []iter.Seq2[T, error]) {
	from := int64(0)
	for _, end := range s.runs {
		at, size := from, end-from
		out = append(out, func(yield func(T, error) bool) {
			lines := json.NewDecoder(bufio.NewReader(io.NewSectionReader(s.file, at, size)))
			for {
				var one T
				err := lines.Decode(&one)
				if errors.Is(err, io.EOF) || !yield(one, err) || err != nil {
					return
				}
			}
		})
		from = end
	}
	s.sortHeld()
	return append(out, func(yield func(T, error) bool) {
		for _, one := range s.held {
			if !yield(one, nil) {
				return
			}
		}
	})
}

// sorted is all of it as one stream.
func (s *diskSort[T]) sorted() iter.Seq2[T, error] {
	if streams := s.streams(); len(streams) > 1 {
		return merged(streams)
	} else {
		return streams[0]
	}
}

// close frees the disk.
func (s *diskSort[T]) close() {
	if s.file != nil {
		_ = s.file.Close() // nothing of it is needed any more
	}
	*s = diskSort[T]{dir: s.dir, most: s.most}
}

// merged merges sorted streams into one.
func merged[T sortable[T]](streams []iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var heads streamHeads[T]
		for _, s := range streams {
			next, stop := iter.Pull2(s)
			defer stop()
			h := &streamHead[T]{next: next}
			if more, err := h.advance(); err != nil {
				yield(h.first, err)
				return
			} else if more {
				heads = append(heads, h)
			}
		}
		heap.Init(&heads)
		for len(heads) > 0 {
			if !yield(heads[0].first, nil) {
				return
			}
			more, err := heads[0].advance()
			switch {
			case err != nil:
				yield(heads[0].first, err)
				return
			case more:
				heap.Fix(&heads, 0)
			default:
				heap.Pop(&heads)
			}
		}
	}
}

// streamHead is the first of a stream that was not taken yet.
type streamHead[T any] struct {
	first T
	next  func() (T, error, bool)
}

func (h *streamHead[T]) advance() (more bool, err error) {
	h.first, err, more = h.next()
	return more, err
}

// streamHeads implements heap.Interface.
type streamHeads[T sortable[T]] []*streamHead[T]

func (h streamHeads[T]) Len() int           { return len(h) }
func (h streamHeads[T]) Less(i, j int) bool { return h[i].first.compare(h[j].first) < 0 }
func (h streamHeads[T]) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *streamHeads[T]) Push(x any)        { *h = append(*h, x.(*streamHead[T])) }
func (h *streamHeads[T]) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
