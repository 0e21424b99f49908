package jsontext

import (
	"unicode/utf16"
	"unicode/utf8"
)

// plain tells the bytes that stand for themselves in a string.
var plain = func() (t [256]bool) {
	for i := range t {
		t[i] = i >= 0x20 && i != '"' && i != '\\'
	}
	return t
}()

// String takes a string and returns its value. Whether it is valid UTF-8 is for the caller to check; an escaped half
// of a surrogate pair becomes U+FFFD.
func (p *Parser) String() ([]byte, error) {
	if !p.at('"') {
		return nil, p.fail("expected a string, found " + p.here())
	}
	p.pos++
	start := p.pos
	i := start
	for i < len(p.data) && plain[p.data[i]] {
		i++
	}
	if i < len(p.data) && p.data[i] == '"' {
		p.pos = i + 1
		return p.data[start:i], nil
	}
	p.scratch = append(p.scratch[:0], p.data[start:i]...)
	p.pos = i
	return p.escapedString()
}

// escapedString goes on with a string that is not all plain.
func (p *Parser) escapedString() ([]byte, error) {
	for p.pos < len(p.data) {
		c := p.data[p.pos]
		switch {
		case plain[c]:
			start := p.pos
			for p.pos < len(p.data) && plain[p.data[p.pos]] {
				p.pos++
			}
			p.scratch = append(p.scratch, p.data[start:p.pos]...)
		case c == '"':
			p.pos++
			return p.scratch, nil
		case c == '\\':
			if err := p.escape(); err != nil {
				return nil, err
			}
		default:
			return nil, p.fail("a control character in a string")
		}
	}
	return nil, p.fail("the string is not closed")
}

func (p *Parser) escape() error {
	if p.pos+1 >= len(p.data) {
		return p.fail("the string is not closed")
	}
	c := p.data[p.pos+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		return p.unicode()
	default:
		return p.fail("an unknown escape")
	}
	p.scratch = append(p.scratch, c)
	p.pos += 2
	return nil
}

func (p *Parser) unicode() error {
	r, ok := p.hex(p.pos)
	if !ok {
		return p.fail("an escape of four hexadecimal digits is incomplete")
	}
	p.pos += 6
	if utf16.IsSurrogate(r) {
		low, ok := p.hex(p.pos)
		if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
			r = pair
			p.pos += 6
		} else {
			r = utf8.RuneError
		}
	}
	p.scratch = utf8.AppendRune(p.scratch, r)
	return nil
}

// hex reads \uXXXX at an offset.
func (p *Parser) hex(at int) (r rune, ok bool) {
	if at+6 > len(p.data) || p.data[at] != '\\' || p.data[at+1] != 'u' {
		return 0, false
	}
	for _, c := range p.data[at+2 : at+6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
