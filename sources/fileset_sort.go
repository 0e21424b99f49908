package sources

import (
	"bufio"
	"cmp"
	"container/heap"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"os"
	"slices"
)

// maxHeld is how many files are held by name, some 200 bytes each; more are put aside on the disk, sorted.
const maxHeld = 1 << 16

// fileSort sorts files by URI by way of the disk: what does not fit is written in sorted runs behind each other, which are then merged as
// streams. Its file has no name, so that it goes with the process, however that ends.
type fileSort struct {
	dir  string
	most int // files held; 0 means maxHeld
	held []File
	file *os.File
	runs []int64 // where each ends
	n    int
}

func (s *fileSort) add(f File) error {
	s.n++
	s.held = append(s.held, f)
	if len(s.held) < cmp.Or(s.most, maxHeld) {
		return nil
	}
	return s.spill()
}

func (s *fileSort) sortHeld() {
	slices.SortFunc(s.held, func(a, b File) int { return cmp.Compare(a.URI, b.URI) })
}

func (s *fileSort) spill() (err error) {
	if s.file == nil {
		if s.file, err = unnamedFile(s.dir); err != nil {
			return err
		}
	}
	s.sortHeld()
	out := bufio.NewWriterSize(s.file, 256<<10)
	lines := json.NewEncoder(out)
	for _, f := range s.held {
		if err := lines.Encode(f); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	end, err := s.file.Seek(0, io.SeekCurrent)
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
func (s *fileSort) streams() (out []iter.Seq2[File, error]) {
	from := int64(0)
	for _, end := range s.runs {
		at, size := from, end-from
		out = append(out, func(yield func(File, error) bool) {
			lines := json.NewDecoder(bufio.NewReader(io.NewSectionReader(s.file, at, size)))
			for {
				var f File
				err := lines.Decode(&f)
				if errors.Is(err, io.EOF) || !yield(f, err) || err != nil {
					return
				}
			}
		})
		from = end
	}
	s.sortHeld()
	return append(out, func(yield func(File, error) bool) {
		for _, f := range s.held {
			if !yield(f, nil) {
				return
			}
		}
	})
}

// close frees the disk.
func (s *fileSort) close() {
	if s.file != nil {
		_ = s.file.Close() // nothing of it is needed any more
	}
	*s = fileSort{dir: s.dir, most: s.most}
}

// stateFiles streams a state's files, which are sorted by URI.
func stateFiles(ctx context.Context, states StateStore, l link) iter.Seq2[File, error] {
	ended := errors.New("nobody reads on")
	return func(yield func(File, error) bool) {
		_, err := readState(ctx, states, l, func(f File) error {
			if !yield(f, nil) {
				return ended
			}
			return nil
		})
		if err != nil && !errors.Is(err, ended) {
			yield(File{}, err)
		}
	}
}

// merged merges sorted streams into one.
func merged(streams []iter.Seq2[File, error]) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		var heads headsByURI
		for _, s := range streams {
			next, stop := iter.Pull2(s)
			defer stop()
			h := &streamHead{next: next}
			if more, err := h.advance(); err != nil {
				yield(File{}, err)
				return
			} else if more {
				heads = append(heads, h)
			}
		}
		heap.Init(&heads)
		for len(heads) > 0 {
			if !yield(heads[0].file, nil) {
				return
			}
			more, err := heads[0].advance()
			switch {
			case err != nil:
				yield(File{}, err)
				return
			case more:
				heap.Fix(&heads, 0)
			default:
				heap.Pop(&heads)
			}
		}
	}
}

// streamHead is the first of a stream's files that was not taken yet.
type streamHead struct {
	file File
	next func() (File, error, bool)
}

func (h *streamHead) advance() (more bool, err error) {
	h.file, err, more = h.next()
	return more, err
}

// headsByURI implements heap.Interface.
type headsByURI []*streamHead

func (h headsByURI) Len() int           { return len(h) }
func (h headsByURI) Less(i, j int) bool { return h[i].file.URI < h[j].file.URI }
func (h headsByURI) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *headsByURI) Push(x any)        { *h = append(*h, x.(*streamHead)) }
func (h *headsByURI) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
