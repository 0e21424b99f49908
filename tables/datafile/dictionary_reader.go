package datafile

import (
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"

	"github.com/varve-lake/varve/tables/internal/rows"
)

// maxPageIndices is how many values a page may have for all of its indices to be decoded at once: a run of a few bytes may say that
// it has any number.
const maxPageIndices = 1 << 22

// dictionaryReader reads a column of texts in dictionary encoding from first to last, as indices into the dictionary of its row
// group: the texts themselves are neither copied nor looked at. Where a page turns out to be something else, or rows are to be
// skipped, general takes over at the row reached, and gives texts.
type dictionaryReader struct {
	pageTexts
	to     *arrow.DictionaryType
	values arrow.Array
	page   []int32 // indices at hand; -1 is null
}

// dictionaryText says whether a column chunk may be one for a dictionaryReader.
func (r *Reader) dictionaryText(group int, c *projected) bool {
	leaf := r.flatText(c)
	if !r.opts.Dictionaries || r.filter != nil || leaf == nil || !arrow.TypeEqual(leaf.Field.Type, c.arrow) {
		return false
	}
	chunk, err := r.parquet.MetaData().RowGroup(group).ColumnChunk(leaf.ColIndex)
	return err == nil && chunk.HasDictionaryPage() && chunk.NumValues() == r.starts[group+1]-r.starts[group]
}

func (r *Reader) newDictionaryReader(group int, c *projected, open func() (columnReader, error)) (columnReader, error) {
	leaf := r.flatText(c)
	pages, err := r.newPageTexts(group, leaf, open)
	if err != nil {
		return nil, err
	}
	return &dictionaryReader{pageTexts: pages, to: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: leaf.Field.Type}}, nil
}

func (d *dictionaryReader) Release() {
	if d.values != nil {
		d.values.Release()
		d.values = nil
	}
	d.pageTexts.Release()
}

func (d *dictionaryReader) SeekToRow(row int64) error {
	d.page = nil
	return d.pageTexts.SeekToRow(row)
}

// NextBatch gives the next rows; fewer where the column ends. They are texts unless all are indices.
func (d *dictionaryReader) NextBatch(n int64) (*arrow.Chunked, error) {
	if d.general != nil {
		return d.general.NextBatch(n)
	}
	n = min(n, d.rows-d.row)
	buf := newBuffer(4 * n)
	defer buf.Release()
	indices := arrow.Int32Traits.CastFromBytes(buf.Bytes())
	done := int64(0)
	for done < n {
		if len(d.page) == 0 {
			more, err := d.nextPage()
			if err != nil {
				return nil, err
			}
			if !more {
				return d.mixed(buf, done, n)
			}
			continue
		}
		taken := copy(indices[done:], d.page)
		d.page, done, d.row = d.page[taken:], done+int64(taken), d.row+int64(taken)
	}
	if d.values == nil { // no rows
		return arrow.NewChunked(d.to.ValueType, nil), nil
	}
	out := d.array(buf, int(n))
	defer out.Release()
	return arrow.NewChunked(d.to, []arrow.Array{out}), nil
}

// array is n indices, -1 for null, as an array of the dictionary.
func (d *dictionaryReader) array(indices *memory.Buffer, n int) *array.Dictionary {
	valid, nulls := validOf(arrow.Int32Traits.CastFromBytes(indices.Bytes())[:n])
	defer release(valid)
	made := array.NewDataWithDictionary(d.to, n, []*memory.Buffer{valid, indices}, nulls, 0, d.values.Data().(*array.Data))
	defer made.Release()
	return array.NewDictionaryData(made)
}

// validOf makes a bitmap of indices of which those that are -1 are null, and sets these to 0; nil if none is.
func validOf(indices []int32) (*memory.Buffer, int) {
	nulls := 0
	for _, i := range indices {
		nulls -= int(i >> 31)
	}
	if nulls == 0 {
		return nil, 0
	}
	valid := newBuffer(int64(len(indices)+7) / 8)
	bits := valid.Bytes()
	clear(bits)
	for i, index := range indices {
		if index < 0 {
			indices[i] = 0
		} else {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	return valid, nulls
}

// mixed gives rows of which the first, as many as done, came as indices, and the others come as arrow-go reads them.
func (d *dictionaryReader) mixed(indices *memory.Buffer, done, n int64) (*arrow.Chunked, error) {
	var chunks []arrow.Array
	defer func() { releaseAll(chunks) }()
	if done > 0 {
		first := d.array(indices, int(done))
		defer first.Release()
		texts, err := textsOf(first)
		if err != nil {
			return nil, err
		}
		chunks = append(chunks, texts)
	}
	rest, err := d.restOf(n - done)
	if err != nil {
		return nil, err
	}
	defer rest.Release()
	for _, c := range rest.Chunks() {
		c.Retain()
		chunks = append(chunks, c)
	}
	return arrow.NewChunked(d.to.ValueType, chunks), nil
}

// textsOf are the values of an array of a dictionary.
func textsOf(d *array.Dictionary) (arrow.Array, error) {
	refs := make([]rows.Ref, d.Len())
	for i := range refs {
		refs[i] = rows.Null
		if d.IsValid(i) {
			refs[i] = rows.At(0, d.GetValueIndex(i))
		}
	}
	return rows.Gather([]arrow.Array{d.Dictionary()}, refs)
}

// nextPage goes to the next data page. It is false for one that is not indices into a dictionary seen.
func (d *dictionaryReader) nextPage() (bool, error) {
	page, err := d.pageTexts.nextPage()
	if err != nil {
		return false, err
	}
	if p, ok := page.(*file.DictionaryPage); ok {
		if d.values != nil {
			return false, nil
		}
		return true, d.keep(p)
	}
	body, n := page.Data(), int(page.NumValues())
	if d.values == nil || n < 0 || n > maxPageIndices || int64(n) > d.rows {
		return false, nil
	}
	if e := parquet.Encoding(page.Encoding()); e != parquet.Encodings.RLEDict && e != parquet.Encodings.PlainDict {
		return false, nil
	}
	levels := []byte(nil)
	switch p := page.(type) {
	case *file.DataPageV1:
		if d.levels {
			if p.DefinitionLevelEncoding() != parquet.Encodings.RLE || len(body) < 4 {
				return false, nil
			}
			size := binary.LittleEndian.Uint32(body)
			if uint64(size) > uint64(len(body)-4) {
				return false, errShortPage
			}
			levels, body = body[4:4+size], body[4+size:]
		}
	case *file.DataPageV2:
		size, skip := int(p.DefinitionLevelByteLen()), int(p.RepetitionLevelByteLen())
		if size < 0 || skip != 0 || size > len(body) {
			return false, nil
		}
		if d.levels {
			levels = body[:size]
		}
		body = body[size:]
	default:
		return false, nil
	}
	d.page, err = d.decode(levels, body, n)
	return true, err
}

// keep keeps the dictionary.
func (d *dictionaryReader) keep(p *file.DictionaryPage) error {
	n, body := int(p.NumValues()), p.Data()
	if n < 0 || n > len(body)/4 {
		return errShortPage
	}
	starts := newBuffer(4 * int64(n+1))
	defer starts.Release()
	ends := arrow.Int32Traits.CastFromBytes(starts.Bytes())
	ends[0] = 0
	data, _, err := copyPlain(make([]byte, 0, len(body)), body, ends[1:n+1])
	if err != nil {
		return err
	}
	d.values = arrayOf(d.to.ValueType, n, 0, []*memory.Buffer{nil, starts, memory.NewBufferBytes(data)}, nil)
	return nil
}

// decode gives a page's indices, -1 for null. levels are nil where nothing can be null.
func (d *dictionaryReader) decode(levels, body []byte, n int) ([]int32, error) {
	out, full := make([]int32, n), n
	if levels != nil {
		if err := hybrid(levels, 1, out); err != nil {
			return nil, err
		}
		full = 0
		for _, l := range out {
			full += int(l)
		}
	}
	indices := out
	if full < n {
		indices = make([]int32, full)
	}
	if full > 0 {
		if len(body) == 0 || body[0] > 32 {
			return nil, errShortPage
		}
		if err := hybrid(body[1:], int(body[0]), indices); err != nil {
			return nil, err
		}
	}
	count := uint32(d.values.Len())
	for _, i := range indices {
		if uint32(i) >= count {
			return nil, fmt.Errorf("index %d of a dictionary of %d values: %w", uint32(i), count, errNotParquet)
		}
	}
	if full == n {
		return indices, nil
	}
	at := 0
	for i, l := range out {
		out[i] = -1
		if l == 1 {
			out[i] = indices[at]
			at++
		}
	}
	return out, nil
}

// hybrid fills out with numbers of width bits from Parquet's hybrid of runs and bit-packed groups of eight. A run has whole bytes for
// its number, in which a hostile one is larger than its bits: as a definition level above 1 it would count for several values.
func hybrid(data []byte, width int, out []int32) error {
	for len(out) > 0 {
		header, size := binary.Uvarint(data)
		if size <= 0 || header>>1 == 0 {
			return errShortPage
		}
		data = data[size:]
		count := min(header>>1, uint64(len(out)))
		if header&1 == 0 { // a run of one number
			bytes := (width + 7) / 8
			if len(data) < bytes {
				return errShortPage
			}
			v := uint32(0)
			for i := range bytes {
				v |= uint32(data[i]) << (8 * i)
			}
			data = data[bytes:]
			if uint64(v)>>width != 0 {
				return fmt.Errorf("a run of %d among numbers of %d bits: %w", v, width, errNotParquet)
			}
			for i := range out[:count] {
				out[i] = int32(v)
			}
			out = out[count:]
			continue
		}
		count = min(header>>1, uint64(len(out)+7)/8) // groups of eight, of which the last may be cut off
		taken := min(count*8, uint64(len(out)))
		bytes := int(taken*uint64(width)+7) / 8
		if len(data) < bytes {
			return errShortPage
		}
		unpack(data[:bytes], width, out[:taken])
		data, out = data[min(int(count)*width, len(data)):], out[taken:]
	}
	return nil
}

// unpack fills out with numbers of width bits that lie one behind the other, the lowest bit first.
func unpack(data []byte, width int, out []int32) {
	have, bits, at := uint64(0), 0, 0
	mask := uint64(1)<<width - 1
	for i := range out {
		for bits < width {
			have |= uint64(data[at]) << bits
			at, bits = at+1, bits+8
		}
		out[i] = int32(have & mask)
		have, bits = have>>width, bits-width
	}
}
