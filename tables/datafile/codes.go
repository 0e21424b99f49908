package datafile

import (
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/tables/internal/rows"
)

const (
	// A text longer than this is never numbered: so that texts whose numbers there is room for are not too large for it.
	maxCodedText = 64
	// The dictionaries of a writer's columns may take a codeShare-th of its memory.
	codeShare = 16
)

// textCodes gives the texts of a writer's columns a shorter form for their way through sorting, where they have one. Texts of which
// there are few different ones are numbered: a number is copied at a fraction of a text's cost, and a row group's dictionary is
// made of numbers without a look at the texts. UUIDs are packed into their 16 bytes.
//
// A column of numbers is an array of Uint16, one of packed texts of packedKind, which no column of a table is. A column has
// one of both at most. Its dictionary only grows, and is given up for what comes later once it would get too large, as
// packing is where other texts come: chunks of a column may be coded or texts, and where both come together they are made
// texts again.
//
// Codes are given by one goroutine. Any may look up those that it was handed.
type textCodes struct {
	columns []*codedColumn // nil for those that are never numbered
	room    int64          // bytes left for dictionaries
	bytes   int64          // that they take
}

type codedColumn struct {
	kind  arrow.DataType
	given *textDictionary // nil once it is given up
	bytes int64           // that it takes
	texts atomic.Pointer[codedTexts]
	// packs: texts are packed as they come; packed: some were.
	packs, packed bool
}

// codedTexts are the texts of the numbers given so far.
type codedTexts struct {
	ends    []int32
	data    []byte
	longest int
}

func (t *codedTexts) at(code uint16) []byte { return t.data[t.ends[code]:t.ends[code+1]] }

func isCoded(a arrow.Array) bool { return isNumbered(a) || isPacked(a) }

func isNumbered(a arrow.Array) bool { return a.DataType().ID() == arrow.UINT16 }

// newTextCodes numbers texts of top-level columns, but not of those whose values are looked at on the way.
func newTextCodes(schema *arrow.Schema, memoryLimit int64, looked ...boundField) *textCodes {
	c := &textCodes{columns: make([]*codedColumn, schema.NumFields()), room: memoryLimit / codeShare}
	for i, f := range schema.Fields() {
		if f.Type.ID() == arrow.STRING || f.Type.ID() == arrow.BINARY {
			c.columns[i] = &codedColumn{kind: f.Type}
		}
	}
	for _, f := range looked {
		if f.path != nil {
			c.columns[f.path[0]] = nil
		}
	}
	return c
}

// code gives codes in the place of a column's texts, as a new reference; nil where they are to stay texts.
func (c *textCodes) code(column int, a arrow.Array) arrow.Array {
	if c == nil || c.columns[column] == nil {
		return nil
	}
	own := c.columns[column]
	if own.texts.Load() == nil {
		own.begin(a)
	}
	if own.packs && arrow.TypeEqual(a.DataType(), own.kind) {
		out := packed(a)
		own.packs = out != nil
		return out
	}
	if own.given == nil {
		return nil
	}
	out := own.numbers(a, c.room+own.bytes)
	grown := own.given.bytes() - own.bytes
	own.bytes, c.room, c.bytes = own.bytes+grown, c.room-grown, c.bytes+grown
	if out == nil {
		own.given = nil
		return nil
	}
	own.publish()
	return out
}

// begin chooses the form that texts will have, by the first of them.
func (c *codedColumn) begin(a arrow.Array) {
	c.texts.Store(&codedTexts{ends: []int32{0}})
	if _, is := a.(*array.Dictionary); is || repeats([]arrow.Array{a}) {
		c.given = newTextDictionary(c.kind)
		return
	}
	if !arrow.TypeEqual(a.DataType(), c.kind) || a.NullN() == a.Len() {
		return
	}
	some := array.NewSlice(a, 0, min(int64(a.Len()), sampleRows))
	defer some.Release()
	if probe := packed(some); probe != nil {
		probe.Release()
		c.packs, c.packed = true, true
	}
}

// codedType is the type of a column's codes.
func (c *textCodes) codedType(column int) arrow.DataType {
	if c.columns[column].packed {
		return packedKind
	}
	return arrow.PrimitiveTypes.Uint16
}

// publish shows others the texts that have come.
func (c *codedColumn) publish() {
	now := c.texts.Load()
	if len(now.ends) == len(c.given.ends) {
		return
	}
	next := &codedTexts{ends: c.given.ends, data: c.given.data, longest: now.longest}
	for i := len(now.ends); i < len(next.ends); i++ {
		next.longest = max(next.longest, int(next.ends[i]-next.ends[i-1]))
	}
	c.texts.Store(next)
}

// numbers is nil where there are too many texts, or too long ones, for a dictionary of so many bytes.
func (c *codedColumn) numbers(a arrow.Array, room int64) arrow.Array {
	if d, ok := a.(*array.Dictionary); ok {
		return c.renumbered(d, room)
	}
	if !arrow.TypeEqual(a.DataType(), c.kind) {
		return nil
	}
	buf := newBuffer(2 * int64(a.Len()))
	defer buf.Release()
	codes := arrow.Uint16Traits.CastFromBytes(buf.Bytes())
	offsets, data := rows.TextOf(a)
	nulls := a.NullN() > 0
	for i := range codes {
		if nulls && a.IsNull(i) {
			codes[i] = 0
			continue
		}
		var ok bool
		if codes[i], ok = c.number(data[offsets[i]:offsets[i+1]], room); !ok {
			return nil
		}
	}
	return coded(a, buf)
}

func (c *codedColumn) number(text []byte, room int64) (uint16, bool) {
	if len(text) > maxCodedText {
		return 0, false
	}
	n := len(c.given.ends)
	code := c.given.index(text)
	if code == maxDictionary || len(c.given.ends) > n && c.given.bytes() > room {
		return 0, false
	}
	return uint16(code), true
}

// renumbered gives the values of another dictionary their own numbers.
func (c *codedColumn) renumbered(d *array.Dictionary, room int64) arrow.Array {
	values := d.Dictionary()
	if !arrow.TypeEqual(values.DataType(), c.kind) {
		return nil
	}
	own := make([]int32, values.Len()) // plus one; 0 is not asked for yet
	offsets, data := rows.TextOf(values)
	buf := newBuffer(2 * int64(d.Len()))
	defer buf.Release()
	codes := arrow.Uint16Traits.CastFromBytes(buf.Bytes())
	index := d.GetValueIndex
	if indices, ok := d.Indices().(*array.Int32); ok {
		of := indices.Int32Values()
		index = func(i int) int { return int(of[i]) }
	}
	nulls := d.NullN() > 0
	for i := range codes {
		codes[i] = 0
		if nulls && d.IsNull(i) {
			continue
		}
		v := index(i)
		if own[v] == 0 {
			code, ok := c.number(data[offsets[v]:offsets[v+1]], room)
			if !ok || values.IsNull(v) {
				return nil
			}
			own[v] = int32(code) + 1
		}
		codes[i] = uint16(own[v] - 1)
	}
	return coded(d, buf)
}

// coded is an array of numbers for the values of another, null where they are.
func coded(like arrow.Array, codes *memory.Buffer) arrow.Array {
	valid := cutValidity(like)
	if valid != nil {
		defer valid.Release()
	}
	return arrayOf(arrow.PrimitiveTypes.Uint16, like.Len(), like.NullN(), []*memory.Buffer{valid, codes}, nil)
}

// widening is what the columns' texts may take beyond their codes, of a row that has them coded.
func (c *textCodes) widening() (bytes int64) {
	if c == nil {
		return 0
	}
	for i := range c.columns {
		bytes += c.wideningOf(i)
	}
	return bytes
}

func (c *textCodes) wideningOf(column int) int64 {
	if c.columns[column] == nil {
		return 0
	}
	if c.columns[column].packed {
		return unpackedText + 4 - packedBytes
	}
	if t := c.columns[column].texts.Load(); t != nil && len(t.ends) > 1 {
		return int64(t.longest) + 4
	}
	return 0
}

// size is the bytes that the dictionaries take.
func (c *textCodes) size() int64 {
	if c == nil {
		return 0
	}
	return c.bytes
}
