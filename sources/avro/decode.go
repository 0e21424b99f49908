package avro

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// maxEmpty bounds the values of a block that take no bytes, such as nulls in an array: nothing else does.
const maxEmpty = 1 << 16

// cursor is where decoding stands in a block.
type cursor struct {
	data  []byte
	pos   int
	empty int // values of no bytes that the block may still have
}

var errShort = errors.New("a value reaches beyond its block")

func (c *cursor) long() (int64, error) {
	v, n := binary.Varint(c.data[c.pos:])
	if n <= 0 {
		return 0, errShort
	}
	c.pos += n
	return v, nil
}

func (c *cursor) take(n int64) ([]byte, error) {
	if n < 0 || n > int64(len(c.data)-c.pos) {
		return nil, errShort
	}
	b := c.data[c.pos : c.pos+int(n)]
	c.pos += int(n)
	return b, nil
}

func (c *cursor) bytes() ([]byte, error) {
	n, err := c.long()
	if err != nil {
		return nil, err
	}
	return c.take(n)
}

// counted notes that a value was read which began at a place.
func (c *cursor) counted(from int) error {
	if c.pos > from {
		return nil
	}
	if c.empty--; c.empty < 0 {
		return fmt.Errorf("a block has more than %d values that take no bytes", maxEmpty)
	}
	return nil
}

// decode appends one value to a builder, or skips it. An error means that the block is damaged; what the builders hold
// is of no use then.
type decode func(c *cursor) error

// Decoder decodes the records of blocks into builders.
type Decoder struct {
	fields []decode
	c      cursor
}

// NewDecoder makes a decoder of records. The builders, of the types that Columns says, are those of the fields; a field
// whose builder is nil is skipped.
func NewDecoder(s *Schema, builders []array.Builder) *Decoder {
	d := &Decoder{}
	for i, f := range s.Fields {
		d.fields = append(d.fields, compile(f.Type, builders[i]))
	}
	return d
}

// Start sets the block to decode.
func (d *Decoder) Start(data []byte) { d.c = cursor{data: data, empty: maxEmpty} }

// Next decodes a record and returns the number of its bytes.
func (d *Decoder) Next() (size int, err error) {
	from := d.c.pos
	for _, field := range d.fields {
		if err := field(&d.c); err != nil {
			return 0, err
		}
	}
	return d.c.pos - from, d.c.counted(from)
}

// End checks that the block has no bytes left.
func (d *Decoder) End() error {
	if n := len(d.c.data) - d.c.pos; n > 0 {
		return fmt.Errorf("a block has %d bytes behind its last value", n)
	}
	return nil
}

func compile(s *Schema, b array.Builder) decode {
	switch s.Kind {
	case Null:
		return func(*cursor) error { null(b); return nil }
	case Boolean:
		return compileBoolean(b)
	case Int, Long:
		return compileLong(s, b)
	case Float:
		return compileFloat(b)
	case Double:
		return compileDouble(b)
	case Bytes, String, Fixed:
		return compileBytes(s, b)
	case Enum:
		return compileEnum(s, b)
	case Array:
		return compileArray(s, b)
	case Map:
		return compileMap(s, b)
	case Union:
		return compileUnion(s, b)
	}
	return compileRecord(s, b)
}

func null(b array.Builder) {
	if b != nil {
		b.AppendNull()
	}
}

func compileBoolean(b array.Builder) decode {
	out, _ := b.(*array.BooleanBuilder)
	return func(c *cursor) error {
		v, err := c.take(1)
		if err != nil {
			return err
		}
		if v[0] > 1 {
			return fmt.Errorf("a boolean is %d", v[0])
		}
		if out != nil {
			out.Append(v[0] == 1)
		}
		return nil
	}
}

func compileLong(s *Schema, b array.Builder) decode {
	low, high := int64(math.MinInt64), int64(math.MaxInt64)
	if s.Kind == Int {
		low, high = math.MinInt32, math.MaxInt32
	}
	unit := int64(1)
	switch s.Logical {
	case "time-millis", "timestamp-millis", "local-timestamp-millis":
		unit = 1000
	}
	var put func(int64)
	switch b := b.(type) {
	case *array.Int32Builder:
		put = func(v int64) { b.Append(int32(v)) }
	case *array.Int64Builder:
		put = b.Append
	case *array.Float64Builder: // a union of numbers
		put = func(v int64) { b.Append(float64(v)) }
	case *array.Date32Builder:
		put = func(v int64) { b.Append(arrow.Date32(v)) }
	case *array.Time64Builder:
		put, low, high = func(v int64) { b.Append(arrow.Time64(v * unit)) }, 0, 86_400_000_000/unit-1
	case *array.TimestampBuilder:
		put, low, high = func(v int64) { b.Append(arrow.Timestamp(v * unit)) }, low/unit, high/unit
	}
	return func(c *cursor) error {
		v, err := c.long()
		if err != nil {
			return err
		}
		if v < low || v > high {
			return fmt.Errorf("the value %d is out of range", v)
		}
		if put != nil {
			put(v)
		}
		return nil
	}
}

func compileFloat(b array.Builder) decode {
	return func(c *cursor) error {
		raw, err := c.take(4)
		if err != nil {
			return err
		}
		v := math.Float32frombits(binary.LittleEndian.Uint32(raw))
		switch b := b.(type) {
		case *array.Float32Builder:
			b.Append(v)
		case *array.Float64Builder:
			b.Append(float64(v))
		}
		return nil
	}
}

func compileDouble(b array.Builder) decode {
	out, _ := b.(*array.Float64Builder)
	return func(c *cursor) error {
		raw, err := c.take(8)
		if err == nil && out != nil {
			out.Append(math.Float64frombits(binary.LittleEndian.Uint64(raw)))
		}
		return err
	}
}

func compileBytes(s *Schema, b array.Builder) decode {
	put := func([]byte) error { return nil }
	switch b := b.(type) {
	case *array.StringBuilder:
		put = func(v []byte) error { b.BinaryBuilder.Append(v); return nil }
	case *array.BinaryBuilder:
		put = func(v []byte) error { b.Append(v); return nil }
	case *array.FixedSizeBinaryBuilder:
		put = func(v []byte) error { b.Append(v); return nil }
	case *array.Decimal128Builder:
		precision := int32(s.Precision)
		put = func(v []byte) error {
			n, ok := twosComplement(v)
			if !ok || !n.FitsInPrecision(precision) {
				return fmt.Errorf("a decimal has more than %d digits", precision)
			}
			b.Append(n)
			return nil
		}
	}
	return func(c *cursor) error {
		var v []byte
		var err error
		if s.Kind == Fixed {
			v, err = c.take(int64(s.Size))
		} else {
			v, err = c.bytes()
		}
		if err != nil {
			return err
		}
		return put(v)
	}
}

// twosComplement reads a big-endian number; false if it has more than 128 bits.
func twosComplement(v []byte) (decimal128.Num, bool) {
	sign := byte(0)
	if len(v) > 0 && v[0] >= 0x80 {
		sign = 0xff
	}
	for len(v) > 16 {
		if v[0] != sign {
			return decimal128.Num{}, false
		}
		v = v[1:]
	}
	if len(v) == 16 && (v[0]^sign) >= 0x80 {
		return decimal128.Num{}, false
	}
	var wide [16]byte
	for i := range wide {
		wide[i] = sign
	}
	copy(wide[16-len(v):], v)
	return decimal128.New(int64(binary.BigEndian.Uint64(wide[:8])), binary.BigEndian.Uint64(wide[8:])), true
}

func compileEnum(s *Schema, b array.Builder) decode {
	out, _ := b.(*array.StringBuilder)
	return func(c *cursor) error {
		i, err := c.long()
		if err != nil {
			return err
		}
		if i < 0 || i >= int64(len(s.Symbols)) {
			return fmt.Errorf("enum %s has no symbol %d", s.Name, i)
		}
		if out != nil {
			out.Append(s.Symbols[i])
		}
		return nil
	}
}
