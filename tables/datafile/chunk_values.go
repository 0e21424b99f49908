package datafile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/parquet"

	"github.com/varve-lake/varve/tables/internal/rows"
)

// pageStep is how many whole numbers are encoded before it is seen whether a page is full.
const pageStep = 1024

// integers encodes whole numbers, and decimals that fit into them, by their differences.
func (w *chunkWriter) integers(chunks []arrow.Array, t arrow.DataType, pageBytes int64) error {
	s := w.scratch
	narrow := integerBytes(t) == 4
	values, err := integersOf(s.integers[:0], chunks, t)
	if err != nil {
		return err
	}
	s.integers = values[:0]
	valid, total := s.validity(chunks)
	encode := func(v int64) []byte {
		if narrow {
			return binary.LittleEndian.AppendUint32(nil, uint32(v))
		}
		return binary.LittleEndian.AppendUint64(nil, uint64(v))
	}
	var all integerBounds
	for from := 0; from < total; {
		s.delta.reset(narrow)
		to, taken := from, 0
		for to < total && int64(s.delta.size()) < pageBytes {
			n := min(pageStep, total-to)
			present := n
			if valid != nil {
				present = bitutil.CountSetBits(valid, to, n)
			}
			s.delta.add(values[taken : taken+present])
			to, taken = to+n, taken+present
		}
		var own integerBounds
		own.add(values[:taken])
		all.join(own)
		s.page = s.delta.finish(w.levels(s.page[:0], valid, from, to-from))
		least, most := own.encoded(encode)
		if err := w.page(s.page, to-from, to-from-taken, least, most); err != nil {
			return err
		}
		values, from = values[taken:], to
	}
	return w.finish(all.encoded(encode))
}

// integerBounds are the least and the greatest of some numbers.
type integerBounds struct {
	any         bool
	least, most int64
}

func (b *integerBounds) add(values []int64) {
	if len(values) == 0 {
		return
	}
	least, most := values[0], values[0]
	for _, v := range values {
		least, most = min(least, v), max(most, v)
	}
	b.join(integerBounds{true, least, most})
}

func (b *integerBounds) join(other integerBounds) {
	switch {
	case !b.any:
		*b = other
	case other.any:
		b.least, b.most = min(b.least, other.least), max(b.most, other.most)
	}
}

// encoded are the bounds as statistics have them, nil if there are none.
func (b integerBounds) encoded(encode func(int64) []byte) (least, most []byte) {
	if !b.any {
		return nil, nil
	}
	return encode(b.least), encode(b.most)
}

// levels begins a page.
func (w *chunkWriter) levels(page, valid []byte, from, n int) []byte {
	if w.column.MaxDefinitionLevel() == 0 {
		return page
	}
	return appendLevels(page, valid, from, n)
}

// validity is a bit for each row that says whether it has a value, nil where all have.
func (s *chunkScratch) validity(chunks []arrow.Array) (valid []byte, total int) {
	nulls := 0
	for _, c := range chunks {
		total, nulls = total+c.Len(), nulls+c.NullN()
	}
	if nulls == 0 {
		return nil, total
	}
	valid = slices.Grow(s.valid[:0], int(bitutil.BytesForBits(int64(total))))[:bitutil.BytesForBits(int64(total))]
	at := 0
	for _, c := range chunks {
		if c.NullN() == 0 {
			bitutil.SetBitsTo(valid, int64(at), int64(c.Len()), true)
		} else {
			bitutil.CopyBitmap(c.NullBitmapBytes(), c.Data().Offset(), c.Len(), valid, at)
		}
		at += c.Len()
	}
	s.valid = valid
	return valid, total
}

// integerBytes is how many bytes a type's values take that are whole numbers in Parquet: 4 or 8.
func integerBytes(t arrow.DataType) int {
	switch t := t.(type) {
	case *arrow.Int32Type, *arrow.Date32Type:
		return 4
	case *arrow.Decimal128Type:
		if t.Precision <= 9 {
			return 4
		}
	}
	return 8
}

// integersOf appends the values of chunks that are not null.
func integersOf(out []int64, chunks []arrow.Array, t arrow.DataType) ([]int64, error) {
	for _, c := range chunks {
		from := len(out)
		switch c := c.(type) {
		case *array.Int32:
			out = appendWidened(out, c.Int32Values())
		case *array.Date32:
			out = appendWidened(out, c.Date32Values())
		case *array.Int64:
			out = append(out, c.Int64Values()...)
		case *array.Timestamp:
			out = appendWidened(out, c.TimestampValues())
		case *array.Time64:
			out = appendWidened(out, c.Time64Values())
		case *array.Decimal128:
			var err error
			if out, err = appendDecimals(out, c, t.(*arrow.Decimal128Type)); err != nil {
				return out, err
			}
		default:
			return out, fmt.Errorf("values of type %s are not whole numbers", c.DataType())
		}
		if c.NullN() > 0 {
			own := out[from:]
			out = out[:from]
			for i, v := range own {
				if c.IsValid(i) {
					out = append(out, v)
				}
			}
		}
	}
	return out, nil
}

func appendWidened[T ~int32 | ~int64](out []int64, values []T) []int64 {
	out = slices.Grow(out, len(values))
	to := out[len(out) : len(out)+len(values)]
	for i, v := range values {
		to[i] = int64(v)
	}
	return out[:len(out)+len(values)]
}

// appendDecimals appends a decimal for each row, and has those that are not null fit the type's precision.
func appendDecimals(out []int64, a *array.Decimal128, t *arrow.Decimal128Type) ([]int64, error) {
	limit := int64(1)
	for range t.Precision {
		limit *= 10
	}
	out = slices.Grow(out, a.Len())
	for i, d := range a.Values() {
		v := int64(d.LowBits())
		if (d.HighBits() != v>>63 || v <= -limit || v >= limit) && a.IsValid(i) {
			return out, fmt.Errorf("%s does not fit into %d digits", d.ToString(t.Scale), t.Precision)
		}
		out = append(out, v)
	}
	return out, nil
}

// textBounds are the least and the greatest of some texts, which are not copied.
type textBounds struct {
	any                 bool
	least, most         []byte
	leastWord, mostWord uint64 // what they begin with
}

func (b *textBounds) add(text []byte) {
	word := eight(text)
	if !b.any || word < b.leastWord || word == b.leastWord && bytes.Compare(text, b.least) < 0 {
		b.least, b.leastWord = text, word
	}
	if !b.any || word > b.mostWord || word == b.mostWord && bytes.Compare(text, b.most) > 0 {
		b.most, b.mostWord = text, word
	}
	b.any = true
}

// copied are the bounds for statistics, nil if there are none.
func (b *textBounds) copied() (least, most []byte) {
	if !b.any {
		return nil, nil
	}
	return append([]byte{}, b.least...), append([]byte{}, b.most...)
}

// levelRoom is what the levels of a page take where none is null.
const levelRoom = 16

// texts encodes texts, or bytes, as they are, each behind its length.
func (w *chunkWriter) texts(chunks []arrow.Array, pageBytes int64) error {
	s := w.scratch
	valid, total := s.validity(chunks)
	var all textBounds
	at := textPlace{chunks: chunks}
	for from := 0; from < total; {
		// Levels come first, and are known once the page's rows are.
		texts, to, nulls := append(s.texts[:0], make([]byte, levelRoom)...), from, 0
		var own textBounds
		for to < total && int64(len(texts))-levelRoom < pageBytes {
			text, ok := at.next()
			to++
			if !ok {
				nulls++
				continue
			}
			texts = append(binary.LittleEndian.AppendUint32(texts, uint32(len(text))), text...)
			own.add(text)
		}
		s.texts = texts
		if own.any {
			all.add(own.least)
			all.add(own.most)
		}
		least, most := own.copied()
		if err := w.page(s.levelled(w.levels(s.page[:0], valid, from, to-from)), to-from, nulls, least, most); err != nil {
			return err
		}
		from = to
	}
	return w.finish(all.copied())
}

// levelled puts levels in front of the texts.
func (s *chunkScratch) levelled(levels []byte) []byte {
	if len(levels) <= levelRoom {
		page := s.texts[levelRoom-len(levels):]
		copy(page, levels)
		return page
	}
	s.page = append(levels, s.texts[levelRoom:]...)
	return s.page
}

// textPlace goes through the texts of chunks.
type textPlace struct {
	chunks  []arrow.Array
	row     int
	offsets []int32
	data    []byte
}

// next is the next text; false for null. There is one.
func (p *textPlace) next() ([]byte, bool) {
	for p.row == p.chunks[0].Len() {
		p.chunks, p.row, p.offsets = p.chunks[1:], 0, nil
	}
	if p.offsets == nil {
		p.offsets, p.data = rows.TextOf(p.chunks[0])
	}
	i := p.row
	p.row++
	if p.chunks[0].NullN() > 0 && p.chunks[0].IsNull(i) {
		return nil, false
	}
	return p.data[p.offsets[i]:p.offsets[i+1]:p.offsets[i+1]], true
}

// indexed encodes indices into a dictionary of texts, each of which is used, on one page.
func (w *chunkWriter) indexed(d *array.Dictionary, dictionary parquet.Encoding) error {
	s := w.scratch
	offsets, data := rows.TextOf(d.Dictionary())
	values := d.Dictionary().Len()
	var bounds textBounds
	page := s.page[:0]
	for i := range values {
		text := data[offsets[i]:offsets[i+1]:offsets[i+1]]
		page = append(binary.LittleEndian.AppendUint32(page, uint32(len(text))), text...)
		bounds.add(text)
	}
	s.page = page
	if err := w.dictionary(page, values, dictionary); err != nil {
		return err
	}
	valid, total := s.validity([]arrow.Array{d})
	indices := d.Indices().(*array.Int32).Int32Values()
	if valid != nil {
		present := make([]int32, 0, len(indices))
		for i, index := range indices {
			if d.IsValid(i) {
				present = append(present, index)
			}
		}
		indices = present
	}
	s.page = appendIndices(w.levels(s.page[:0], valid, 0, total), indices, values)
	least, most := bounds.copied()
	if err := w.page(s.page, total, total-len(indices), least, most); err != nil {
		return err
	}
	return w.finish(least, most)
}
