// Package sniff finds the type of values of which only the text is known.
//
// Whole numbers are long, others double; true and false boolean; ISO 8601 dates and times date, timestamp or, with a
// zone, timestamptz. What does not go together becomes string. A number with leading zeros or a plus sign is a string:
// it is an identifier more often than a quantity, and a number would lose them.
package sniff

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/sources/cell"
	"github.com/varve-lake/varve/sources/jsontext"
)

// kinds is a set of what was seen.
type kinds uint16

const (
	boolean kinds = 1 << iota
	long
	double
	date
	timestamp
	timestamptz
	text
	object
	list
)

// MaxFields bounds the fields of a nested object: one that has more keys holds data in its keys, and is kept as JSON.
const MaxFields = 1000

// Column gathers what is known of a column's values. The zero Column has seen nothing.
type Column struct {
	seen    kinds
	fields  *Fields
	element *Column
}

// Fields are named columns, in the order in which they were first seen.
type Fields struct {
	Names   []string
	Columns []*Column
	index   map[string]int
}

// Get gives the column of a name, a new one if need be.
func (f *Fields) Get(name string) *Column {
	if i, ok := f.index[name]; ok {
		return f.Columns[i]
	}
	if f.index == nil {
		f.index = map[string]int{}
	}
	f.index[name] = len(f.Names)
	f.Names = append(f.Names, name)
	f.Columns = append(f.Columns, &Column{})
	return f.Columns[len(f.Columns)-1]
}

// Merge adds what another set of fields has seen, in its order.
func (f *Fields) Merge(other *Fields) {
	for i, name := range other.Names {
		f.Get(name).Merge(other.Columns[i])
	}
}

// Merge adds what another column has seen.
func (c *Column) Merge(other *Column) {
	c.seen |= other.seen
	if other.fields != nil {
		c.object().Merge(other.fields)
	}
	if other.element != nil {
		c.list().Merge(other.element)
	}
}

func (c *Column) object() *Fields {
	if c.fields == nil {
		c.fields = &Fields{}
	}
	return c.fields
}

func (c *Column) list() *Column {
	if c.element == nil {
		c.element = &Column{}
	}
	return c.element
}

// Text looks at a value that is not null.
func (c *Column) Text(raw []byte) {
	if c.seen&text == 0 { // else nothing can change
		c.seen |= kindOf(raw)
	}
}

// JSON looks at the next value of a parser.
func (c *Column) JSON(p *jsontext.Parser) error {
	k, err := p.Peek()
	if err != nil {
		return err
	}
	switch k {
	case jsontext.Null:
		return p.Null()
	case jsontext.Bool:
		c.seen |= boolean
		_, err = p.Bool()
	case jsontext.Number:
		var raw []byte
		if raw, err = p.Number(); err == nil {
			c.seen |= number(raw)
		}
	case jsontext.String:
		var raw []byte
		if raw, err = p.String(); err == nil {
			c.seen |= temporal(raw)
		}
	case jsontext.Object:
		c.seen |= object
		err = c.object().JSON(p)
	case jsontext.Array:
		c.seen |= list
		err = c.elements(p)
	}
	return err
}

// JSON looks at the object that a parser stands before.
func (f *Fields) JSON(p *jsontext.Parser) error {
	if err := p.Enter(); err != nil {
		return err
	}
	for {
		key, ok, err := p.NextKey()
		if err != nil || !ok {
			return err
		}
		if i, known := f.index[string(key)]; known {
			err = f.Columns[i].JSON(p)
		} else {
			err = f.Get(string(key)).JSON(p)
		}
		if err != nil {
			return err
		}
	}
}

func (c *Column) elements(p *jsontext.Parser) error {
	if err := p.Enter(); err != nil {
		return err
	}
	for {
		ok, err := p.NextElement()
		if err != nil || !ok {
			return err
		}
		if err = c.list().JSON(p); err != nil {
			return err
		}
	}
}

// Type is the narrowest type of all values seen, string if there were none but nulls.
func (c *Column) Type() arrow.DataType { return c.typeAt(0) }

// Known tells whether a value was seen that is not null.
func (c *Column) Known() bool { return c.seen != 0 }

func (c *Column) typeAt(depth int) arrow.DataType {
	switch c.seen {
	case boolean:
		return arrow.FixedWidthTypes.Boolean
	case long:
		return arrow.PrimitiveTypes.Int64
	case double, long | double:
		return arrow.PrimitiveTypes.Float64
	case date:
		return arrow.FixedWidthTypes.Date32
	case timestamp, date | timestamp:
		return &arrow.TimestampType{Unit: arrow.Microsecond}
	case timestamptz:
		return &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	case object:
		if t, ok := c.structType(depth); ok {
			return t
		}
	case list:
		if depth < columntype.MaxDepth-1 {
			return columntype.List(c.list().typeAt(depth + 1))
		}
	}
	return arrow.BinaryTypes.String
}

// structType is the type of an object; ok is false when it is better kept as JSON.
func (c *Column) structType(depth int) (arrow.DataType, bool) {
	n := len(c.object().Names)
	if n == 0 || n > MaxFields || depth >= columntype.MaxDepth-1 {
		return nil, false
	}
	fields := make([]arrow.Field, n)
	for i, name := range c.fields.Names {
		if name == "" {
			return nil, false // a table has no place for it
		}
		fields[i] = arrow.Field{Name: name, Type: c.fields.Columns[i].typeAt(depth + 1), Nullable: true}
	}
	return arrow.StructOf(fields...), true
}

func (c *Column) String() string {
	name, err := columntype.Format(c.Type())
	if err != nil {
		return fmt.Sprint(c.Type())
	}
	return name
}

// kindOf finds what a text is.
func kindOf(raw []byte) kinds {
	raw = trim(raw)
	if len(raw) == 0 {
		return text
	}
	switch c := raw[0]; {
	case c-'0' <= 9:
		if len(raw) >= 10 && raw[4] == '-' {
			return temporal(raw)
		}
		return number(raw)
	case c == '-' || c == '.' || c == 'N' || c == 'I' || c == 'i':
		return number(raw)
	case c|0x20 == 't' || c|0x20 == 'f':
		switch string(raw) {
		case "true", "True", "TRUE", "false", "False", "FALSE":
			return boolean
		}
	}
	return text
}

// number finds what a text of digits is.
func number(raw []byte) kinds {
	digits := raw
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) > 1 && digits[0] == '0' && digits[1]-'0' <= 9 {
		return text
	}
	whole := len(digits) > 0
	for _, c := range digits {
		if c-'0' > 9 {
			whole = false
			break
		}
	}
	if whole {
		if _, ok := cell.ParseLong(raw); ok {
			return long
		}
		return text // too large: a double would lose digits
	}
	if _, ok := cell.ParseDouble(raw, 64); ok {
		return double
	}
	return text
}

// temporal finds whether a text is a date or a time.
func temporal(raw []byte) kinds {
	t, ok := cell.ParseInstant(raw)
	switch {
	case !ok:
		return text
	case t.Zone == cell.NoTime:
		return date
	case t.Zone == cell.NoZone:
		return timestamp
	}
	return timestamptz
}

func trim(raw []byte) []byte {
	for len(raw) > 0 && (raw[0] == ' ' || raw[0] == '\t') {
		raw = raw[1:]
	}
	for n := len(raw); n > 0 && (raw[n-1] == ' ' || raw[n-1] == '\t'); n-- {
		raw = raw[:n-1]
	}
	return raw
}

// Has tells whether a column of a name was seen.
func (f *Fields) Has(name string) bool {
	_, ok := f.index[name]
	return ok
}
