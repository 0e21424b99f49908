package columntype

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
)

// Parse reads a type in Iceberg's notation. The error is an *Error that says what was expected, and where.
func Parse(s string) (arrow.DataType, error) {
	p := &parser{in: s}
	t, err := p.parseType(0)
	if err != nil {
		return nil, err
	}
	p.space()
	if p.at < len(p.in) {
		return nil, p.fail(p.at, "unexpected %q after the type", p.in[p.at:])
	}
	return t, nil
}

type parser struct {
	in string
	at int
}

func (p *parser) fail(at int, format string, args ...any) *Error {
	return &Error{Offset: at, Message: fmt.Sprintf(format, args...)}
}

func (p *parser) space() {
	for p.at < len(p.in) && strings.IndexByte(" \t\r\n", p.in[p.at]) >= 0 {
		p.at++
	}
}

func (p *parser) expect(c byte) *Error {
	p.space()
	if p.at < len(p.in) && p.in[p.at] == c {
		p.at++
		return nil
	}
	return p.fail(p.at, "expected %q, found %s", c, p.found())
}

func (p *parser) peek(c byte) bool {
	p.space()
	return p.at < len(p.in) && p.in[p.at] == c
}

// found names what stands at the current place.
func (p *parser) found() string {
	if p.at >= len(p.in) {
		return "the end of the type"
	}
	return strconv.Quote(p.in[p.at:])
}

func (p *parser) word() string {
	start := p.at
	for p.at < len(p.in) && isWord(p.in[p.at]) {
		p.at++
	}
	return p.in[start:p.at]
}

func isWord(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func (p *parser) parseType(depth int) (arrow.DataType, error) {
	if depth > MaxDepth {
		return nil, p.fail(p.at, "the type nests deeper than %d", MaxDepth)
	}
	p.space()
	start := p.at
	name := p.word()
	if t, ok := primitives[name]; ok {
		return t, nil
	}
	switch name {
	case "decimal":
		return p.decimal(start)
	case "fixed":
		return p.fixed(start)
	case "list":
		return p.list(depth)
	case "map":
		return p.mapping(depth)
	case "struct":
		return p.structure(depth)
	case "":
		return nil, p.fail(start, "expected a type, found %s", p.found())
	}
	err := p.fail(start, "unknown type %q: expected %s, decimal(P,S), fixed(L), list<T>, map<K, V> or struct<a: T>",
		name, strings.Join(Primitives, ", "))
	err.Hint = suggestion(name)
	return nil, err
}

func suggestion(name string) string {
	lower := strings.ToLower(name)
	if hint, ok := synonyms[lower]; ok {
		return hint
	}
	for _, known := range append([]string{"decimal", "fixed", "list", "map", "struct"}, Primitives...) {
		if lower == known || len(lower) > 3 && (strings.HasPrefix(known, lower) || strings.HasPrefix(lower, known)) {
			return known
		}
	}
	return ""
}

// numbers reads "(a)" or "(a, b)".
func (p *parser) numbers(n int) ([]int, *Error) {
	if err := p.expect('('); err != nil {
		return nil, err
	}
	out := make([]int, n)
	for i := range out {
		if i > 0 {
			if err := p.expect(','); err != nil {
				return nil, err
			}
		}
		p.space()
		start := p.at
		for p.at < len(p.in) && p.in[p.at] >= '0' && p.in[p.at] <= '9' {
			p.at++
		}
		v, err := strconv.ParseInt(p.in[start:p.at], 10, 32)
		if err != nil {
			p.at = start
			return nil, p.fail(start, "expected a whole number, found %s", p.found())
		}
		out[i] = int(v)
	}
	return out, p.expect(')')
}

func (p *parser) decimal(start int) (arrow.DataType, error) {
	n, err := p.numbers(2)
	switch {
	case err != nil:
		err.Message = "decimal takes a precision and a scale, as in decimal(18,2): " + err.Message
		return nil, err
	case n[0] < 1 || n[0] > 38:
		return nil, p.fail(start, "decimal precision %d is not between 1 and 38", n[0])
	case n[1] > n[0]:
		return nil, p.fail(start, "decimal scale %d is greater than its precision %d", n[1], n[0])
	}
	return &arrow.Decimal128Type{Precision: int32(n[0]), Scale: int32(n[1])}, nil
}

func (p *parser) fixed(start int) (arrow.DataType, error) {
	n, err := p.numbers(1)
	switch {
	case err != nil:
		err.Message = "fixed takes a length in bytes, as in fixed(16): " + err.Message
		return nil, err
	case n[0] < 1:
		return nil, p.fail(start, "fixed length %d is not positive", n[0])
	}
	return &arrow.FixedSizeBinaryType{ByteWidth: n[0]}, nil
}

func (p *parser) list(depth int) (arrow.DataType, error) {
	if err := p.expect('<'); err != nil {
		return nil, err
	}
	element, err := p.parseType(depth + 1)
	if err != nil {
		return nil, err
	}
	if err := p.expect('>'); err != nil {
		return nil, err
	}
	return List(element), nil
}

func (p *parser) mapping(depth int) (arrow.DataType, error) {
	if err := p.expect('<'); err != nil {
		return nil, err
	}
	key, err := p.parseType(depth + 1)
	if err != nil {
		return nil, err
	}
	if err := p.expect(','); err != nil {
		return nil, err
	}
	value, err := p.parseType(depth + 1)
	if err != nil {
		return nil, err
	}
	if err := p.expect('>'); err != nil {
		return nil, err
	}
	return arrow.MapOf(key, value), nil
}

func (p *parser) structure(depth int) (arrow.DataType, error) {
	if err := p.expect('<'); err != nil {
		return nil, err
	}
	var fields []arrow.Field
	seen := map[string]bool{}
	for {
		p.space()
		start := p.at
		name, failed := p.fieldName()
		if failed != nil {
			return nil, failed
		}
		if seen[name] {
			return nil, p.fail(start, "struct field %q is named twice", name)
		}
		seen[name] = true
		if err := p.expect(':'); err != nil {
			return nil, err
		}
		t, err := p.parseType(depth + 1)
		if err != nil {
			return nil, err
		}
		fields = append(fields, arrow.Field{Name: name, Type: t, Nullable: true})
		if p.peek(',') {
			p.at++
			continue
		}
		if err := p.expect('>'); err != nil {
			return nil, err
		}
		return arrow.StructOf(fields...), nil
	}
}

// fieldName reads a bare name, up to the colon, or one in double quotes with Go's escapes.
func (p *parser) fieldName() (string, *Error) {
	if p.peek('"') {
		quoted, err := strconv.QuotedPrefix(p.in[p.at:])
		if err != nil {
			return "", p.fail(p.at, "the quote of a struct field's name is not closed")
		}
		name, err := strconv.Unquote(quoted)
		if err != nil || name == "" {
			return "", p.fail(p.at, "%s is not a struct field's name", quoted)
		}
		p.at += len(quoted)
		return name, nil
	}
	start := p.at
	for p.at < len(p.in) && strings.IndexByte(":,<>()\"", p.in[p.at]) < 0 {
		p.at++
	}
	name := strings.TrimRight(p.in[start:p.at], " \t\r\n")
	if name == "" {
		p.at = start
		return "", p.fail(start, "expected a struct field, as in struct<a: int>, found %s", p.found())
	}
	return name, nil
}
