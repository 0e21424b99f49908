// Package jsontext pulls JSON values out of a text one after another, without building a tree and mostly without
// copying. It checks the grammar of RFC 8259 strictly as it goes.
package jsontext

import (
	"fmt"
	"unicode/utf8"
)

// MaxDepth bounds the nesting of values, so that a hostile text cannot exhaust the stack.
const MaxDepth = 256

// Kind is what a value is.
type Kind byte

// The kinds.
const (
	Null Kind = iota + 1
	Bool
	Number
	String
	Object
	Array
)

func (k Kind) String() string {
	return [...]string{"nothing", "null", "boolean", "number", "string", "object", "array"}[k]
}

// SyntaxError is a text that is not JSON.
type SyntaxError struct {
	Offset  int // byte of the text, from 0
	Message string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("not JSON at character %d: %s", e.Offset+1, e.Message)
}

// Parser reads one text. What it returns are parts of the text or of a scratch buffer, valid until the next call.
type Parser struct {
	data    []byte
	pos     int
	depth   int
	first   bool // the next key or element is the first of its object or array
	scratch []byte
}

// Reset starts over with a text.
func (p *Parser) Reset(text []byte) { p.data, p.pos, p.depth, p.first = text, 0, 0, false }

// Offset is the number of bytes read so far.
func (p *Parser) Offset() int { return p.pos }

// Text is the part of the text from one offset to another.
func (p *Parser) Text(from, to int) []byte { return p.data[from:to] }

// Peek tells the kind of the next value, and stops before it.
func (p *Parser) Peek() (Kind, error) {
	c, ok := p.skipSpace()
	if !ok {
		return 0, p.fail("a value is missing")
	}
	switch c {
	case '{':
		return Object, nil
	case '[':
		return Array, nil
	case '"':
		return String, nil
	case 't', 'f':
		return Bool, nil
	case 'n':
		return Null, nil
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return Number, nil
	}
	return 0, p.fail("a value cannot begin with " + p.here())
}

// End checks that nothing but white space is left.
func (p *Parser) End() error {
	if _, ok := p.skipSpace(); ok {
		return p.fail("more text after the value: " + p.here())
	}
	return nil
}

// Null takes a null.
func (p *Parser) Null() error { return p.word("null") }

// Bool takes true or false.
func (p *Parser) Bool() (bool, error) {
	if p.pos < len(p.data) && p.data[p.pos] == 't' {
		return true, p.word("true")
	}
	return false, p.word("false")
}

func (p *Parser) word(w string) error {
	for i := range len(w) {
		if p.pos+i >= len(p.data) || p.data[p.pos+i] != w[i] {
			return p.fail("expected " + w)
		}
	}
	p.pos += len(w)
	return nil
}

// Number takes a number and returns its text.
func (p *Parser) Number() ([]byte, error) {
	start := p.pos
	if p.at('-') {
		p.pos++
	}
	switch {
	case p.at('0'):
		p.pos++
	case p.digits() == 0:
		return nil, p.fail("a digit is missing")
	}
	if p.at('.') {
		p.pos++
		if p.digits() == 0 {
			return nil, p.fail("a digit is missing after the point")
		}
	}
	if p.at('e') || p.at('E') {
		p.pos++
		if p.at('+') || p.at('-') {
			p.pos++
		}
		if p.digits() == 0 {
			return nil, p.fail("a digit is missing in the exponent")
		}
	}
	return p.data[start:p.pos], nil
}

func (p *Parser) at(c byte) bool { return p.pos < len(p.data) && p.data[p.pos] == c }

func (p *Parser) digits() int {
	start := p.pos
	for p.pos < len(p.data) && p.data[p.pos]-'0' <= 9 {
		p.pos++
	}
	return p.pos - start
}

// Enter takes the opening bracket of an object or array. NextKey or NextElement follow until they return false.
func (p *Parser) Enter() error {
	if p.depth++; p.depth > MaxDepth {
		return p.fail(fmt.Sprintf("nested deeper than %d", MaxDepth))
	}
	p.pos++
	p.first = true
	return nil
}

// NextKey moves to the next value of an object and returns its key; false, with the object taken, if there is none.
func (p *Parser) NextKey() (key []byte, ok bool, err error) {
	if ok, err = p.next('}'); !ok {
		return nil, false, err
	}
	if c, _ := p.skipSpace(); c != '"' {
		return nil, false, p.fail("expected a key in quotes, found " + p.here())
	}
	if key, err = p.String(); err != nil {
		return nil, false, err
	}
	if c, _ := p.skipSpace(); c != ':' {
		return nil, false, p.fail("expected a colon, found " + p.here())
	}
	p.pos++
	return key, true, nil
}

// NextElement moves to the next value of an array; false, with the array taken, if there is none.
func (p *Parser) NextElement() (ok bool, err error) { return p.next(']') }

func (p *Parser) next(closing byte) (bool, error) {
	c, _ := p.skipSpace()
	first := p.first
	p.first = false
	switch {
	case p.pos < len(p.data) && c == closing:
		p.pos++
		p.depth--
		return false, nil
	case first:
		return true, nil
	case p.pos < len(p.data) && c == ',':
		p.pos++
		if c, _ = p.skipSpace(); c == closing {
			return false, p.fail("nothing follows the comma")
		}
		return true, nil
	}
	return false, p.fail(fmt.Sprintf("expected a comma or %c, found %s", closing, p.here()))
}

// Skip takes a value of any kind and returns its text.
func (p *Parser) Skip() ([]byte, error) {
	k, err := p.Peek()
	if err != nil {
		return nil, err
	}
	start := p.pos
	switch k {
	case Null:
		err = p.Null()
	case Bool:
		_, err = p.Bool()
	case Number:
		_, err = p.Number()
	case String:
		_, err = p.String()
	default:
		err = p.skipInside(k)
	}
	return p.data[start:p.pos], err
}

func (p *Parser) skipInside(k Kind) error {
	if err := p.Enter(); err != nil {
		return err
	}
	for {
		var ok bool
		var err error
		if k == Object {
			_, ok, err = p.NextKey()
		} else {
			ok, err = p.NextElement()
		}
		if err != nil || !ok {
			return err
		}
		if _, err = p.Skip(); err != nil {
			return err
		}
	}
}

func (p *Parser) skipSpace() (byte, bool) {
	for ; p.pos < len(p.data); p.pos++ {
		switch c := p.data[p.pos]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c, true
		}
	}
	return 0, false
}

func (p *Parser) fail(message string) error { return &SyntaxError{Offset: p.pos, Message: message} }

// here names what stands at the parser's place.
func (p *Parser) here() string {
	if p.pos >= len(p.data) {
		return "the end"
	}
	r, _ := utf8.DecodeRune(p.data[p.pos:])
	return fmt.Sprintf("%q", r)
}
