package spec

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// origin remembers how a Text's value came from its file, so that an offset in the value finds its place.
type origin struct {
	lines  []string
	raw    string // the scalar before substitution
	quote  rune   // ' or ", or 0
	block  bool
	pieces []piece
}

// piece is a stretch of the value that substitution put in.
type piece struct{ from, to, raw int } // bytes of the value, and where in raw its ${ stands

// At is the place in the file of a byte offset in the value, such as that of an error in an expression. It is the Text's
// own place where the way back is not plain, as within an escaped character.
func (t Text) At(offset int) Pos {
	if t.origin == nil || t.Pos.Line < 1 || t.Pos.Line > len(t.origin.lines) {
		return t.Pos
	}
	return t.origin.place(t.Pos, t.origin.rawOffset(offset))
}

// rawOffset is the offset before substitution.
func (o *origin) rawOffset(offset int) int {
	shift := 0
	for _, p := range o.pieces {
		if offset < p.from {
			break
		}
		if offset < p.to {
			return p.raw
		}
		end := p.raw + len("${")
		if close := strings.IndexByte(o.raw[p.raw:], '}'); close >= 0 {
			end = p.raw + close + 1
		}
		shift = end - p.to
	}
	return offset + shift
}

// place walks value and source side by side. YAML folds, indents and escapes: white space that only the source has is
// skipped, and so are a quote's escapes.
func (o *origin) place(start Pos, offset int) Pos {
	offset = min(max(offset, 0), len(o.raw))
	c := cursor{lines: o.lines, line: start.Line - 1, column: start.Column - 1}
	switch {
	case o.block:
		c.line, c.column = c.line+1, 0
	case o.quote != 0:
		c.column++
	}
	for i, r := range o.raw[:offset] {
		if unicode.IsSpace(r) {
			if s, ok := c.rune(); ok && s == r {
				c.column++
			}
			continue
		}
		if !c.skipTo(r, o.quote) {
			return start
		}
		c.column++
		if i > maxFileSize {
			return start
		}
	}
	if r, _ := utf8.DecodeRuneInString(o.raw[offset:]); offset < len(o.raw) && !unicode.IsSpace(r) && !c.skipTo(r, o.quote) {
		return start
	}
	if c.line >= len(c.lines) {
		return start
	}
	return Pos{start.File, c.line + 1, c.column + 1}
}

type cursor struct {
	lines        []string
	line, column int
	current      []rune
	loaded       int // 1 + the line in current
}

// rune is the character at the cursor; false at the end of a line.
func (c *cursor) rune() (rune, bool) {
	if c.line >= len(c.lines) {
		return 0, false
	}
	if c.loaded != c.line+1 {
		c.current, c.loaded = []rune(c.lines[c.line]), c.line+1
	}
	if c.column >= len(c.current) {
		return 0, false
	}
	return c.current[c.column], true
}

// skipTo moves over white space, line ends and escapes to r.
func (c *cursor) skipTo(r rune, quote rune) bool {
	for c.line < len(c.lines) {
		s, ok := c.rune()
		switch {
		case !ok:
			c.line, c.column = c.line+1, 0
		case s == r:
			// Of the value's single quotes and backslashes each stands twice in a quoted source.
			doubled := quote == '\'' && s == '\'' || quote == '"' && s == '\\'
			if next, ok := c.peek(); doubled && ok && next == s {
				c.column++
			}
			return true
		case unicode.IsSpace(s) || quote == '"' && s == '\\':
			c.column++
		default:
			return false
		}
	}
	return false
}

func (c *cursor) peek() (rune, bool) {
	if c.column+1 >= len(c.current) {
		return 0, false
	}
	return c.current[c.column+1], true
}

// newText makes the Text of a scalar node whose value, after substitution, is value.
func newText(doc *document, n *yaml.Node, value string, pieces []piece) Text {
	return Text{
		Value: value,
		Pos:   doc.pos(n),
		origin: &origin{
			lines:  doc.lines,
			raw:    n.Value,
			quote:  quoteOf(n),
			block:  n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0,
			pieces: pieces,
		},
	}
}

// pos is a node's place, held inside the file.
func (doc *document) pos(n *yaml.Node) Pos {
	if n == nil || n.Line < 1 {
		return Pos{doc.file, 1, 1}
	}
	line := min(n.Line, len(doc.lines))
	return Pos{doc.file, line, min(max(n.Column, 1), utf8.RuneCountInString(doc.lines[line-1])+1)}
}

func quoteOf(n *yaml.Node) rune {
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		return '"'
	case n.Style&yaml.SingleQuotedStyle != 0:
		return '\''
	}
	return 0
}
