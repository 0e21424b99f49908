package cell

import (
	"encoding/base64"
	"fmt"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"

	"github.com/varve-lake/varve/sources/jsontext"
)

// JSON appends the next value of a parser, whose kind was peeked, to a builder. The parser's text is valid UTF-8.
//
// It always appends exactly one element, whatever the error. After a *Mismatch the value was taken and reading may go
// on, the element is of no use; after a *jsontext.SyntaxError the text is at its end.
type JSON interface {
	Append(p *jsontext.Parser, k jsontext.Kind) error
}

// Unknown is told of a field that an object has and its struct lacks: the path of the object within the row ("" at the
// top), the key, and the value's text. Its error stops the row.
type Unknown func(path string, key, raw []byte) error

// NewJSON makes the JSON for a builder. Unknown fields of nested objects are ignored if unknown is nil. A string column
// takes any value, as its JSON text; a number may also come as a string; bytes come in base64.
func NewJSON(b array.Builder, unknown Unknown) (JSON, error) { return newJSON(b, unknown, "") }

func newJSON(b array.Builder, unknown Unknown, path string) (JSON, error) {
	switch b := b.(type) {
	case *array.StringBuilder:
		return jsonString{b}, nil
	case *array.BinaryBuilder:
		return jsonBytes{b, func(raw []byte) bool { b.Append(raw); return true }, path}, nil
	case *array.FixedSizeBinaryBuilder:
		width := b.Type().(*arrow.FixedSizeBinaryType).ByteWidth
		return jsonBytes{b, func(raw []byte) bool {
			if len(raw) == width {
				b.Append(raw)
			}
			return len(raw) == width
		}, path}, nil
	case *array.StructBuilder:
		return newJSONStruct(b, unknown, path)
	case *array.ListBuilder:
		element, err := newJSON(b.ValueBuilder(), unknown, join(path, "element"))
		return &jsonList{b, element, path}, err
	case *array.MapBuilder:
		return newJSONMap(b, unknown, path)
	}
	parse, err := scalar(b)
	return &jsonScalar{b, parse, accepts(b), path}, err
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// jsonScalar is a value that its text says.
type jsonScalar struct {
	b      array.Builder
	parse  func([]byte) bool
	accept [jsontext.Array + 1]bool
	path   string
}

// accepts tells which kinds of JSON value a scalar builder reads.
func accepts(b array.Builder) (kinds [jsontext.Array + 1]bool) {
	kinds[jsontext.String] = true
	switch b.(type) {
	case *array.BooleanBuilder:
		kinds[jsontext.Bool] = true
	case *array.Date32Builder, *array.Time64Builder, *array.TimestampBuilder, *extensions.UUIDBuilder:
	default:
		kinds[jsontext.Number] = true
	}
	return kinds
}

func (j *jsonScalar) Append(p *jsontext.Parser, k jsontext.Kind) error {
	var raw []byte
	var err error
	switch k {
	case jsontext.Null:
		j.b.AppendNull()
		return p.Null()
	case jsontext.Number:
		raw, err = p.Number()
	case jsontext.String:
		raw, err = p.String()
	default:
		raw, err = p.Skip()
	}
	switch {
	case err != nil:
	case j.accept[k] && j.parse(raw):
		return nil
	default:
		err = nested(j.path, j.b.Type(), k, raw)
	}
	j.b.AppendNull()
	return err
}

// nested is a mismatch inside of a column.
func nested(path string, t arrow.DataType, k jsontext.Kind, raw []byte) *Mismatch {
	m := &Mismatch{Path: path, Expected: typeName(t), Value: Shorten(raw, shownRunes)}
	if k == jsontext.String {
		m.Value = strconv.Quote(m.Value)
	}
	return m
}

type jsonString struct{ b *array.StringBuilder }

func (j jsonString) Append(p *jsontext.Parser, k jsontext.Kind) error {
	var raw []byte
	var err error
	switch k {
	case jsontext.Null:
		j.b.AppendNull()
		return p.Null()
	case jsontext.String:
		raw, err = p.String()
	default:
		raw, err = p.Skip()
	}
	if err != nil {
		j.b.AppendNull()
		return err
	}
	j.b.BinaryBuilder.Append(raw)
	return nil
}

type jsonBytes struct {
	b      array.Builder
	append func([]byte) bool
	path   string
}

func (j jsonBytes) Append(p *jsontext.Parser, k jsontext.Kind) error {
	if k == jsontext.Null {
		j.b.AppendNull()
		return p.Null()
	}
	raw, err := p.Skip()
	if err == nil {
		if k == jsontext.String && len(raw) >= 2 {
			if value, bad := base64.StdEncoding.AppendDecode(nil, raw[1:len(raw)-1]); bad == nil && j.append(value) {
				return nil
			}
		}
		err = &Mismatch{Path: j.path, Expected: typeName(j.b.Type()) + " in base64", Value: Shorten(raw, shownRunes)}
	}
	j.b.AppendNull()
	return err
}

type jsonList struct {
	b       *array.ListBuilder
	element JSON
	path    string
}

func (j *jsonList) Append(p *jsontext.Parser, k jsontext.Kind) error {
	if k != jsontext.Array {
		return appendOther(p, k, j.b, j.path)
	}
	j.b.Append(true)
	if err := p.Enter(); err != nil {
		return err
	}
	var first error
	for {
		ok, err := p.NextElement()
		if err != nil {
			return err
		}
		if !ok {
			return first
		}
		kind, err := p.Peek()
		if err != nil {
			return err
		}
		if err = keep(&first, j.element.Append(p, kind)); err != nil {
			return err
		}
	}
}

// appendOther appends null for a value that is not of the kind that the column wants: a mismatch unless it is a null.
func appendOther(p *jsontext.Parser, k jsontext.Kind, b array.Builder, path string) error {
	b.AppendNull()
	if k == jsontext.Null {
		return p.Null()
	}
	raw, err := p.Skip()
	if err != nil {
		return err
	}
	return nested(path, b.Type(), k, raw)
}

// keep notes the first mismatch and passes on every other error.
func keep(first *error, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := err.(*Mismatch); !ok {
		return err
	}
	if *first == nil {
		*first = err
	}
	return nil
}

type jsonMap struct {
	b      *array.MapBuilder
	key    func(raw []byte) bool
	item   JSON
	path   string
	seen   map[string]struct{}
	filler bool // items must not be null, not even those of a faulty row
}

func newJSONMap(b *array.MapBuilder, unknown Unknown, path string) (JSON, error) {
	j := &jsonMap{b: b, path: path, seen: map[string]struct{}{}, filler: !b.Type().(*arrow.MapType).ItemField().Nullable}
	var err error
	if text, ok := b.KeyBuilder().(*array.StringBuilder); ok {
		j.key = func(raw []byte) bool { text.BinaryBuilder.Append(raw); return true }
	} else if j.key, err = scalar(b.KeyBuilder()); err != nil {
		return nil, fmt.Errorf("map key: %w", err)
	}
	j.item, err = newJSON(b.ItemBuilder(), unknown, join(path, "value"))
	return j, err
}

func (j *jsonMap) Append(p *jsontext.Parser, k jsontext.Kind) error {
	if k != jsontext.Object {
		return appendOther(p, k, j.b, j.path)
	}
	j.b.Append(true)
	if err := p.Enter(); err != nil {
		return err
	}
	clear(j.seen)
	var first error
	for {
		key, ok, err := p.NextKey()
		if err != nil {
			return err
		}
		if !ok {
			return first
		}
		if _, twice := j.seen[string(key)]; twice {
			_ = keep(&first, &Mismatch{Path: j.path, Reason: fmt.Sprintf("key %q comes twice", Shorten(key, shownRunes))})
		}
		j.seen[string(key)] = struct{}{}
		if !j.key(key) {
			_ = keep(&first, nested(join(j.path, "key"), j.b.KeyBuilder().Type(), jsontext.String, key))
			j.b.KeyBuilder().AppendEmptyValue() // a key is never null
		}
		if err = keep(&first, j.value(p)); err != nil {
			return err
		}
	}
}

func (j *jsonMap) value(p *jsontext.Parser) error {
	k, err := p.Peek()
	if err != nil {
		j.b.ItemBuilder().AppendEmptyValue()
		return err
	}
	if j.filler && k == jsontext.Null {
		j.b.ItemBuilder().AppendEmptyValue()
		if err = p.Null(); err != nil {
			return err
		}
		return nested(join(j.path, "value"), j.b.ItemBuilder().Type(), k, []byte("null"))
	}
	return j.item.Append(p, k)
}
