// Package lines reads streams of lines through a window of bounded size, so that a line of any length costs no more
// memory than the bound.
package lines

import (
	"bytes"
	"io"
)

// DefaultMax is the bound of a record where none is given.
const DefaultMax = 16 << 20

const initialSize = 256 << 10

// Window is the part of a stream that is in memory: it starts at the current record and grows at its end, up to a
// bound. Offsets are relative to its start and hold until Advance; slices of it hold until the next call that reads.
type Window struct {
	r     io.Reader
	buf   []byte
	start int // of the current record in buf
	end   int // of what was read
	max   int
	eof   bool
	err   error // other than io.EOF; final
}

// Found says how a search for a line's end went.
type Found int

// The outcomes of a search.
const (
	Newline  Found = iota // a newline
	End                   // the stream ends here without one, or its reading failed: see Err
	TooLong               // none within the bound
	Scanning              // none in what is in memory; for internal steps
)

// NewWindow makes a window over r whose records are at most limit bytes long; 0 stands for DefaultMax.
func NewWindow(r io.Reader, limit int64) *Window {
	if limit <= 0 {
		limit = DefaultMax
	}
	size := int64(initialSize)
	if limit+2 < size {
		size = limit + 2 // room for a record of the bound and its line end
	}
	return &Window{r: r, buf: make([]byte, size), max: int(limit)}
}

// Err is the error that ended the stream early, if one did.
func (w *Window) Err() error { return w.err }

// Max is the bound of a record.
func (w *Window) Max() int { return w.max }

// Bytes is the part of the window from one offset to another.
func (w *Window) Bytes(from, to int) []byte { return w.buf[w.start+from : w.start+to] }

// Empty tells whether the stream has no byte left.
func (w *Window) Empty() bool {
	for w.start == w.end {
		if !w.fill() {
			return true
		}
	}
	return false
}

// Line finds the end of the line that holds the offset from: that of its newline, or of the stream's end.
func (w *Window) Line(from int) (int, Found) {
	for {
		if i := bytes.IndexByte(w.buf[w.start+from:w.end], '\n'); i >= 0 {
			n := from + i
			if w.tooLong(n) {
				return n, TooLong
			}
			return n, Newline
		}
		from = w.end - w.start
		if w.tooLong(from) {
			return from, TooLong
		}
		if !w.fill() {
			return w.end - w.start, End
		}
	}
}

// tooLong tells whether a record of n bytes is above the bound; a carriage return before the newline is not counted.
func (w *Window) tooLong(n int) bool {
	return n > w.max && (n > w.max+1 || w.buf[w.start+n-1] != '\r')
}

// Advance moves the window's start by n bytes.
func (w *Window) Advance(n int) { w.start += n }

// SkipLine moves the window's start behind the next newline, or to the stream's end, and keeps nothing of what lies
// between.
func (w *Window) SkipLine() (found bool) {
	for {
		if i := bytes.IndexByte(w.buf[w.start:w.end], '\n'); i >= 0 {
			w.start += i + 1
			return true
		}
		w.start, w.end = 0, 0
		if !w.fill() {
			return false
		}
	}
}

// fill reads more, moving or growing the buffer as needed; false at the stream's end. The buffer never needs to grow
// above the bound and a line end, since Line stops there.
func (w *Window) fill() bool {
	if w.eof || w.err != nil {
		return false
	}
	w.makeRoom()
	for range 100 {
		n, err := w.r.Read(w.buf[w.end:])
		w.end += n
		switch {
		case err == io.EOF:
			w.eof = true
		case err != nil:
			w.err = err
		}
		if n > 0 {
			return true
		}
		if err != nil {
			return false
		}
	}
	w.err = io.ErrNoProgress
	return false
}

func (w *Window) makeRoom() {
	held := w.end - w.start
	if w.start > 0 && (held <= len(w.buf)/2 || len(w.buf) >= w.max+2) {
		w.end = copy(w.buf, w.buf[w.start:w.end])
		w.start = 0
	}
	if w.end < len(w.buf) {
		return
	}
	size := max(min(2*len(w.buf), w.max+2), held+1)
	grown := make([]byte, size)
	w.end = copy(grown, w.buf[w.start:w.end])
	w.start = 0
	w.buf = grown
}
