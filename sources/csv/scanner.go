// Package csv splits a stream of comma-separated values into records and fields, and knows the line and column of each.
//
// The rules are RFC 4180's, with what files in the wild need: any delimiter, "\n" beside "\r\n", line breaks inside
// quotes, quotes inside an unquoted field are text, blank lines are skipped. A record that breaks the rules is handed
// out as faulty and reading goes on behind it: an unclosed quote costs the line where its record begins, not the rest
// of the file. Memory is bounded by the longest record allowed.
package csv

import (
	"bytes"
	"fmt"
	"io"

	"github.com/varve-lake/varve/sources/lines"
)

// Options are the dialect. The zero value is a comma and the double quote.
type Options struct {
	Delimiter string // "," by default
	Quote     byte   // '"' by default
	NoQuote   bool   // no character quotes
	MaxRecord int64  // bytes; lines.DefaultMax by default
}

// Fault is why a record is malformed, and where.
type Fault struct {
	Line   int64 // in the file, from 1
	Column int   // in bytes of that line, from 1
	Field  int   // index of the field, or -1 when the fault is the whole record's
	Reason string
}

// Scanner reads record by record. Fields and Raw are valid until Next.
type Scanner struct {
	w     *lines.Window
	delim []byte
	comma byte // delim[0]
	quote byte
	plain bool // no quoting

	fields  [][]byte
	spans   []span // of the fields, where the record has quotes; else empty
	scratch []byte // fields with doubled quotes resolved

	line   int64 // where the current record begins
	used   int   // bytes of the window that the current record takes
	height int64 // line ends in them
	length int   // bytes of the record without its end
	record int64
	raw    []byte // of a faulty record
	fault  *Fault
}

// span is where a field lies: in the window, or in scratch.
type span struct {
	from, to int
	scratch  bool
	at       int // where the field begins in the record
}

// NewScanner makes a scanner over r.
func NewScanner(r io.Reader, opts Options) *Scanner {
	if opts.Delimiter == "" {
		opts.Delimiter = ","
	}
	if opts.Quote == 0 {
		opts.Quote = '"'
	}
	return &Scanner{
		w: lines.NewWindow(r, opts.MaxRecord), delim: []byte(opts.Delimiter), comma: opts.Delimiter[0],
		quote: opts.Quote, plain: opts.NoQuote, line: 1,
	}
}

// Next moves to the next record, faulty ones included; false at the end, or on an error (see Err).
func (s *Scanner) Next() bool {
	s.advance()
	for {
		if s.w.Empty() {
			return false
		}
		n, found := s.w.Line(0)
		if found == lines.TooLong {
			s.record++
			s.giantLine(n)
			return s.w.Err() == nil
		}
		s.take(n, found)
		line := lines.TrimReturn(s.w.Bytes(0, n))
		if len(line) == 0 && s.w.Err() == nil {
			s.advance()
			continue
		}
		s.record++
		if s.plain || bytes.IndexByte(line, s.quote) < 0 {
			s.length = len(line)
			s.split(line)
		} else {
			s.quoted(n, found)
		}
		return s.w.Err() == nil
	}
}

// advance leaves the current record behind.
func (s *Scanner) advance() {
	s.w.Advance(s.used)
	s.line += s.height
	s.used, s.height, s.length = 0, 0, 0
	s.fault, s.raw, s.spans = nil, nil, s.spans[:0]
}

// take notes that the current record ends with the line that ends at n.
func (s *Scanner) take(n int, found lines.Found) {
	s.used = n
	if found == lines.Newline {
		s.used++
		s.height++
	}
}

// Fields are the values of the current record; of a faulty one, nothing of use.
func (s *Scanner) Fields() [][]byte { return s.fields }

// Fault is why the current record is malformed, or nil.
func (s *Scanner) Fault() *Fault { return s.fault }

// Record is the current record's number, from 1; faulty ones count.
func (s *Scanner) Record() int64 { return s.record }

// Line is the line of the file where the current record begins, from 1.
func (s *Scanner) Line() int64 { return s.line }

// Err is the error that ended the stream early, if one did.
func (s *Scanner) Err() error { return s.w.Err() }

// Raw is the current record as the file has it, without its end; of a faulty one its first line, perhaps cut short.
func (s *Scanner) Raw() []byte {
	if s.fault != nil {
		return s.raw
	}
	return s.w.Bytes(0, s.length)
}

// Position is the line of the file where a field begins, from 1, and its column in bytes of that line, from 1.
func (s *Scanner) Position(field int) (line int64, column int) {
	at := 0
	if len(s.spans) > field {
		at = s.spans[field].at
	} else {
		for _, f := range s.fields[:min(field, len(s.fields))] {
			at += len(f) + len(s.delim)
		}
	}
	return s.place(at)
}

// place turns an offset in the current record into line and column.
func (s *Scanner) place(at int) (line int64, column int) {
	before := s.w.Bytes(0, at)
	last := bytes.LastIndexByte(before, '\n')
	return s.line + int64(bytes.Count(before, []byte{'\n'})), at - last
}

// split cuts a line without quotes.
func (s *Scanner) split(line []byte) {
	fields := s.fields[:0]
	if len(s.delim) > 1 {
		s.fields = append(fields, bytes.Split(line, s.delim)...)
		return
	}
	for {
		i := bytes.IndexByte(line, s.comma)
		if i < 0 {
			break
		}
		fields = append(fields, line[:i])
		line = line[i+1:]
	}
	s.fields = append(fields, line)
}

// giantLine skips a line that is above the bound, whose first n bytes are in the window.
func (s *Scanner) giantLine(n int) {
	raw := append([]byte(nil), s.w.Bytes(0, min(n, shown, s.w.Max()))...)
	s.w.SkipLine()
	s.height = 1
	s.fail(raw, 0, -1, fmt.Sprintf("the record is longer than %d bytes", s.w.Max()))
}

// shown is how much of a record that cannot be held is kept to show.
const shown = 1 << 10

func (s *Scanner) fail(raw []byte, at, field int, reason string) {
	f := &Fault{Line: s.line, Column: 1, Field: field, Reason: reason}
	if at > 0 {
		f.Line, f.Column = s.place(at)
	}
	s.fault, s.raw, s.fields = f, raw, s.fields[:0]
}
