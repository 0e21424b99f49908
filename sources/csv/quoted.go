package csv

import (
	"bytes"
	"fmt"

	"github.com/varve-lake/varve/sources/lines"
)

// cursor walks over a record that has quotes. Its offsets are relative to the window's start, so that they outlive the
// window's moves.
type cursor struct {
	at    int         // next byte to look at
	end   int         // end of the last line that is known to belong to the record, its newline excluded
	found lines.Found // how that line ends
	first int         // end of the first line
	ended lines.Found // how the first line ends
}

// quoted cuts a record whose first line ends at n and holds a quote somewhere.
func (s *Scanner) quoted(n int, found lines.Found) {
	c := &cursor{end: n, found: found, first: n, ended: found}
	s.scratch = s.scratch[:0]
	for {
		var last, ok bool
		if c.at < c.end && s.w.Bytes(c.at, c.at+1)[0] == s.quote {
			last, ok = s.quotedField(c)
		} else {
			last, ok = s.bareField(c), true
		}
		if !ok {
			return
		}
		if last {
			break
		}
	}
	s.resolve()
}

// bareField takes an unquoted field; last tells whether the record ends with it.
func (s *Scanner) bareField(c *cursor) (last bool) {
	rest := s.w.Bytes(c.at, c.end)
	if i := bytes.Index(rest, s.delim); i >= 0 {
		s.spans = append(s.spans, span{from: c.at, to: c.at + i, at: c.at})
		c.at += i + len(s.delim)
		return false
	}
	value := lines.TrimReturn(rest)
	s.length = c.at + len(value)
	s.spans = append(s.spans, span{from: c.at, to: s.length, at: c.at})
	return true
}

// quotedField takes a field that begins with a quote; ok is false when the record turned out to be faulty.
func (s *Scanner) quotedField(c *cursor) (last, ok bool) {
	f := span{at: c.at, from: c.at + 1}
	c.at++
	piece := c.at // where the part of the field begins that is not in scratch yet
	for {
		i := bytes.IndexByte(s.w.Bytes(c.at, c.end), s.quote)
		if i < 0 {
			if !s.nextLine(c, f) {
				return false, false
			}
			continue
		}
		c.at += i + 1
		if c.at < c.end && s.w.Bytes(c.at, c.at+1)[0] == s.quote { // a doubled quote: keep one
			if !f.scratch {
				f.scratch, f.from = true, len(s.scratch)
			}
			s.scratch = append(s.scratch, s.w.Bytes(piece, c.at)...)
			c.at++
			piece = c.at
			continue
		}
		f.to = c.at - 1
		if f.scratch {
			s.scratch = append(s.scratch, s.w.Bytes(piece, c.at-1)...)
			f.to = len(s.scratch)
		}
		s.spans = append(s.spans, f)
		return s.afterQuote(c)
	}
}

// nextLine adds the next line to a record whose quoted field is still open.
func (s *Scanner) nextLine(c *cursor, open span) bool {
	reason := "the quote is not closed before the end of the file"
	if c.found == lines.Newline {
		n, found := s.w.Line(c.end + 1)
		if found != lines.TooLong {
			c.at, c.end, c.found = c.end+1, n, found
			if n > c.at || found == lines.Newline {
				s.take(n, found)
				return true
			}
		} else {
			reason = fmt.Sprintf("the quote is not closed within %d bytes", s.w.Max())
		}
	}
	s.giveUp(c, open.at, len(s.spans), reason)
	return false
}

// afterQuote looks at what follows a closing quote: a delimiter, or the record's end.
func (s *Scanner) afterQuote(c *cursor) (last, ok bool) {
	rest := s.w.Bytes(c.at, c.end)
	switch {
	case len(lines.TrimReturn(rest)) == 0:
		s.length = c.at
		return true, true
	case bytes.HasPrefix(rest, s.delim):
		c.at += len(s.delim)
		return false, true
	}
	s.giveUp(c, c.at, len(s.spans)-1, "text follows the closing quote")
	return false, false
}

// giveUp makes the record faulty and goes on behind its first line: what came after may well be sound records, that an
// unclosed quote made look like a field's text.
func (s *Scanner) giveUp(c *cursor, at, field int, reason string) {
	s.used, s.height = 0, 0
	s.take(c.first, c.ended)
	s.fail(lines.TrimReturn(s.w.Bytes(0, c.first)), at, field, reason)
	s.spans = s.spans[:0]
}

// resolve turns spans into fields, once the window moves no more.
func (s *Scanner) resolve() {
	fields := s.fields[:0]
	for _, f := range s.spans {
		if f.scratch {
			fields = append(fields, s.scratch[f.from:f.to])
		} else {
			fields = append(fields, s.w.Bytes(f.from, f.to))
		}
	}
	s.fields = fields
}
