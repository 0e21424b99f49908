package cell

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/sources/jsontext"
)

// Object reads JSON objects into builders, one a field. Keys may come in any order; that of the last object is the
// guess for the next.
type Object struct {
	names    []string
	index    map[string]int
	values   []JSON
	builders []array.Builder
	seen     []uint64 // the turn in which a field came last
	turn     uint64
	path     string
	unknown  Unknown

	// Done, if set, is told of each field that was read, with its text.
	Done func(field int, raw []byte)
}

// NewObject makes an Object for named builders; Append leaves each of them one element longer.
func NewObject(names []string, builders []array.Builder, unknown Unknown) (*Object, error) {
	return newObject(names, builders, unknown, "")
}

func newObject(names []string, builders []array.Builder, unknown Unknown, path string) (*Object, error) {
	o := &Object{
		names: names, index: make(map[string]int, len(names)), builders: builders, unknown: unknown, path: path,
		values: make([]JSON, len(names)), seen: make([]uint64, len(names)),
	}
	for i, name := range names {
		o.index[name] = i
		value, err := newJSON(builders[i], unknown, join(path, name))
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", join(path, name), err)
		}
		o.values[i] = value
	}
	return o, nil
}

// Append reads the object that the parser stands before. Each builder gets one element, null for a missing field. The
// error is as that of JSON; field is the index of the field that it is about, or -1.
func (o *Object) Append(p *jsontext.Parser) (field int, err error) {
	o.turn++
	field, err = o.fields(p)
	for i, turn := range o.seen {
		if turn != o.turn {
			o.builders[i].AppendNull()
		}
	}
	return field, err
}

func (o *Object) fields(p *jsontext.Parser) (bad int, err error) {
	if err := p.Enter(); err != nil {
		return -1, err
	}
	bad = -1
	var first error
	guess := 0
	for {
		key, ok, err := p.NextKey()
		if err != nil {
			return -1, err
		}
		if !ok {
			return bad, first
		}
		i := o.find(key, guess)
		guess = i + 1
		had := first != nil
		switch {
		case i < 0:
			err = o.unknownField(p, key)
		case o.seen[i] == o.turn:
			err = o.twice(p, i)
		default:
			err = o.value(p, i)
		}
		if err = keep(&first, err); err != nil {
			return i, err
		}
		if !had && first != nil {
			bad = i
		}
	}
}

func (o *Object) find(key []byte, guess int) int {
	if guess < len(o.names) && o.names[guess] == string(key) {
		return guess
	}
	if i, ok := o.index[string(key)]; ok {
		return i
	}
	return -1
}

func (o *Object) value(p *jsontext.Parser, i int) error {
	k, err := p.Peek()
	if err != nil {
		return err
	}
	o.seen[i] = o.turn
	from := p.Offset()
	err = o.values[i].Append(p, k)
	if o.Done != nil {
		o.Done(i, p.Text(from, p.Offset()))
	}
	if m, ok := err.(*Mismatch); ok && o.path == "" && m.Path == o.names[i] {
		m.Path = "" // the column itself, which the caller names
	}
	return err
}

func (o *Object) twice(p *jsontext.Parser, i int) error {
	if _, err := p.Skip(); err != nil {
		return err
	}
	m := &Mismatch{Reason: "the key comes twice"}
	if o.path != "" {
		m.Path = join(o.path, o.names[i])
	}
	return m
}

func (o *Object) unknownField(p *jsontext.Parser, key []byte) error {
	if o.unknown == nil {
		_, err := p.Skip()
		return err
	}
	name := append([]byte(nil), key...) // Skip may reuse the buffer that holds it
	raw, err := p.Skip()
	if err != nil {
		return err
	}
	return o.unknown(o.path, name, raw)
}

// jsonStruct is an Object inside of a column.
type jsonStruct struct {
	b      *array.StructBuilder
	object *Object
	path   string
}

func newJSONStruct(b *array.StructBuilder, unknown Unknown, path string) (JSON, error) {
	t := b.Type().(*arrow.StructType)
	names := make([]string, t.NumFields())
	builders := make([]array.Builder, t.NumFields())
	for i, f := range t.Fields() {
		names[i], builders[i] = f.Name, b.FieldBuilder(i)
	}
	object, err := newObject(names, builders, unknown, path)
	return &jsonStruct{b, object, path}, err
}

func (j *jsonStruct) Append(p *jsontext.Parser, k jsontext.Kind) error {
	if k != jsontext.Object {
		return appendOther(p, k, j.b, j.path)
	}
	j.b.Append(true)
	_, err := j.object.Append(p)
	return err
}
