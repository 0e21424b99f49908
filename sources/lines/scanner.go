package lines

import "io"

// kept is how much of a line that is too long is kept to show.
const kept = 1 << 10

// Scanner reads a stream line by line. Lines end with "\n" or "\r\n", the last one also without.
type Scanner struct {
	w       *Window
	line    []byte
	number  int64
	used    int // bytes of the window that the current line and its end take
	tooLong bool
}

// NewScanner makes a scanner over r; a line longer than limit (0: DefaultMax) is TooLong.
func NewScanner(r io.Reader, limit int64) *Scanner { return &Scanner{w: NewWindow(r, limit)} }

// Next moves to the next line; false at the end, or on an error (see Err).
func (s *Scanner) Next() bool {
	s.w.Advance(s.used)
	s.used, s.tooLong = 0, false
	if s.w.Empty() {
		return false
	}
	n, found := s.w.Line(0)
	s.number++
	switch found {
	case TooLong:
		s.tooLong = true
		s.line = append([]byte(nil), s.w.Bytes(0, min(n, kept, s.w.max))...)
		s.w.SkipLine()
		return s.w.Err() == nil
	case Newline:
		s.used = n + 1
	default:
		s.used = n
	}
	s.line = TrimReturn(s.w.Bytes(0, n))
	return s.w.Err() == nil
}

// Bytes is the current line without its end, valid until Next; of a line that is TooLong, its beginning.
func (s *Scanner) Bytes() []byte { return s.line }

// TooLong tells whether the current line is above the bound.
func (s *Scanner) TooLong() bool { return s.tooLong }

// Number is the current line's number, from 1.
func (s *Scanner) Number() int64 { return s.number }

// Max is the bound of a line.
func (s *Scanner) Max() int { return s.w.max }

// Err is the error that ended the stream early, if one did.
func (s *Scanner) Err() error { return s.w.err }

// TrimReturn takes a carriage return off the end of a line.
func TrimReturn(line []byte) []byte {
	if n := len(line); n > 0 && line[n-1] == '\r' {
		return line[:n-1]
	}
	return line
}
