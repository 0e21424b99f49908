package datafile

import (
	"fmt"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/tables/internal/rows"
)

// recordOf is a batch of a schema's columns, of which some may be codes in the place of texts.
func recordOf(schema *arrow.Schema, columns []arrow.Array, n int64) arrow.RecordBatch {
	fields := schema.Fields()
	any := false
	for i, c := range columns {
		if isCoded(c) {
			fields[i].Type, any = c.DataType(), true
		}
	}
	if any {
		schema = arrow.NewSchema(fields, nil)
	}
	return array.NewRecordBatch(schema, columns, n)
}

// gather is rows.Gather of a column of which some chunks may be codes. The result is codes if all are.
func (c *textCodes) gather(column int, chunks []arrow.Array, refs []rows.Ref) (arrow.Array, error) {
	if alike(chunks) {
		return rows.Gather(chunks, refs)
	}
	texts := make([]func(int) []byte, len(chunks))
	for i, a := range chunks {
		texts[i] = c.textsOf(column, a)
	}
	return c.build(column, len(refs), func(i int) ([]byte, bool) {
		chunk, row := refs[i].Chunk(), refs[i].Row()
		if chunks[chunk].IsNull(row) {
			return nil, false
		}
		return texts[chunk](row), true
	})
}

// alike says that all chunks are codes, or none is.
func alike(chunks []arrow.Array) bool {
	for _, a := range chunks {
		if isCoded(a) != isCoded(chunks[0]) {
			return false
		}
	}
	return true
}

// textsOf gives the texts of an array that has them, or codes in their place: each until it is asked for the next. It is not asked
// for nulls.
func (c *textCodes) textsOf(column int, a arrow.Array) func(row int) []byte {
	if numbers, ok := a.(*array.Uint16); ok {
		texts, codes := c.columns[column].texts.Load(), numbers.Uint16Values()
		return func(row int) []byte { return texts.at(codes[row]) }
	}
	if isPacked(a) {
		from, text := packedValues(a), make([]byte, unpackedText)
		return func(row int) []byte {
			unpack36(text, from[packedBytes*row:packedBytes*row+packedBytes])
			return text
		}
	}
	offsets, data := rows.TextOf(a)
	return func(row int) []byte { return data[offsets[row]:offsets[row+1]] }
}

// texts is a column's array with texts in the place of codes, as a new reference.
func (c *textCodes) texts(column int, a arrow.Array) (arrow.Array, error) {
	if !isCoded(a) {
		a.Retain()
		return a, nil
	}
	if isPacked(a) && a.Len() < math.MaxInt32/unpackedText {
		return unpacked(a, c.columns[column].kind), nil
	}
	text := c.textsOf(column, a)
	return c.build(column, a.Len(), func(i int) ([]byte, bool) {
		if a.IsNull(i) {
			return nil, false
		}
		return text(i), true
	})
}

// build makes an array of n texts. It asks for each twice.
func (c *textCodes) build(column, n int, text func(int) (text []byte, valid bool)) (arrow.Array, error) {
	starts := newBuffer(4 * int64(n+1))
	defer starts.Release()
	ends := arrow.Int32Traits.CastFromBytes(starts.Bytes())
	total, nulls := int64(0), 0
	ends[0] = 0
	for i := range n {
		t, valid := text(i)
		if !valid {
			nulls++
		}
		if total += int64(len(t)); total > math.MaxInt32 {
			return nil, fmt.Errorf("%d values of type %s are more than the 2 GiB that a batch holds", n, c.columns[column].kind)
		}
		ends[i+1] = int32(total)
	}
	data := newBuffer(total)
	defer data.Release()
	var valid *memory.Buffer
	if nulls > 0 {
		valid = newBuffer(bitutil.BytesForBits(int64(n)))
		defer valid.Release()
		bitutil.SetBitsTo(valid.Bytes(), 0, int64(n), true)
	}
	for i := range n {
		t, isValid := text(i)
		if !isValid {
			bitutil.ClearBit(valid.Bytes(), i)
		}
		copy(data.Bytes()[ends[i]:], t)
	}
	return arrayOf(c.columns[column].kind, n, nulls, []*memory.Buffer{valid, starts, data}, nil), nil
}

// forEncoding puts in the place of the codes of a row group's columns dictionaries of their own where these are wanted and small
// enough, and texts else; but UUIDs, also those that come as texts, are packed where they can be encoded so. What it gives is to be
// released.
func (l *layout) forEncoding(codes *textCodes, columns [][]arrow.Array, total int64) (out [][]arrow.Array, free func(), err error) {
	var made []arrow.Array
	free = func() { releaseAll(made) }
	out = append(out, columns...)
	for i, chunks := range columns {
		if len(chunks) == 0 {
			continue
		}
		if ids := l.asPacked(l.arrow.Field(i), chunks); ids != nil {
			made, out[i] = append(made, ids...), ids
			continue
		}
		if !slices.ContainsFunc(chunks, isCoded) {
			continue
		}
		if isNumbered(chunks[0]) && alike(chunks) && l.wantsDictionary(l.arrow.Field(i).Name, chunks) {
			if d := codes.indexed(i, chunks, int(total), l.maxIndexed(total)); d != nil {
				made, out[i] = append(made, d), []arrow.Array{d}
				continue
			}
		}
		out[i] = make([]arrow.Array, len(chunks))
		for j, a := range chunks {
			if out[i][j], err = codes.texts(i, a); err != nil {
				free()
				return nil, nil, err
			}
			made = append(made, out[i][j])
		}
	}
	return out, free, nil
}

// indexed is numbers as indices into a dictionary of the texts among them, in order of first appearance; nil if there are none, or
// more than most.
func (c *textCodes) indexed(column int, chunks []arrow.Array, total, most int) *array.Dictionary {
	texts := c.columns[column].texts.Load()
	own := make([]int32, len(texts.ends)-1) // by number: its index plus one
	d := &textDictionary{kind: c.columns[column].kind, ends: []int32{0}}
	buf := newBuffer(4 * int64(total))
	defer buf.Release()
	indices := arrow.Int32Traits.CastFromBytes(buf.Bytes())
	var valid *memory.Buffer
	at, nulls := 0, 0
	for _, a := range chunks {
		if a.NullN() > 0 && valid == nil {
			valid = newBuffer(bitutil.BytesForBits(int64(total)))
			defer valid.Release()
			bitutil.SetBitsTo(valid.Bytes(), 0, int64(total), true)
		}
		for i, code := range a.(*array.Uint16).Uint16Values() {
			if a.NullN() > 0 && a.IsNull(i) {
				bitutil.ClearBit(valid.Bytes(), at)
				indices[at] = 0
				nulls, at = nulls+1, at+1
				continue
			}
			if own[code] == 0 {
				if len(d.ends) > most {
					return nil
				}
				d.add(texts.at(code))
				own[code] = int32(len(d.ends) - 1)
			}
			indices[at] = own[code] - 1
			at++
		}
	}
	if len(d.ends) == 1 { // only nulls
		return nil
	}
	return d.over(buf, valid, total, nulls)
}
