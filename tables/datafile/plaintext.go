package datafile

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
)

// columnReader is what a cursor reads: arrow-go's column reader, or a faster one.
type columnReader interface {
	NextBatch(rows int64) (*arrow.Chunked, error)
	SeekToRow(row int64) error
	Release()
}

// textReader reads texts in plain encoding from first to last, straight from the pages into one buffer: a column of keys, which
// MERGE reads as a whole. arrow-go appends each value to a builder, at four times the cost. Where the pages turn out to be
// something else, or rows are to be skipped, general takes over at the row reached.
type textReader struct {
	pageTexts
	to   arrow.DataType
	page []byte
	left int // values in page
}

// plainText says whether a column chunk may be one for a textReader.
func (r *Reader) plainText(group int, c *projected) bool {
	leaf := r.flatText(c)
	if leaf == nil {
		return false
	}
	chunk, err := r.parquet.MetaData().RowGroup(group).ColumnChunk(leaf.ColIndex)
	if err != nil || chunk.HasDictionaryPage() || chunk.NumValues() != r.starts[group+1]-r.starts[group] {
		return false
	}
	for _, e := range chunk.Encodings() {
		if e != parquet.Encodings.Plain && e != parquet.Encodings.RLE {
			return false
		}
	}
	return true
}

func (r *Reader) newTextReader(group int, c *projected, open func() (columnReader, error)) (columnReader, error) {
	leaf := r.flatText(c)
	pages, err := r.newPageTexts(group, leaf, open)
	if err != nil {
		return nil, err
	}
	return &textReader{pageTexts: pages, to: leaf.Field.Type}, nil
}

func (t *textReader) SeekToRow(row int64) error {
	t.page, t.left = nil, 0
	return t.pageTexts.SeekToRow(row)
}

// NextBatch gives the next rows; fewer where the column ends.
func (t *textReader) NextBatch(rows int64) (*arrow.Chunked, error) {
	if t.general != nil {
		return t.general.NextBatch(rows)
	}
	rows = min(rows, t.rows-t.row)
	starts := memory.NewResizableBuffer(allocator)
	defer starts.Release()
	starts.Resize(int(4 * (rows + 1)))
	offsets := arrow.Int32Traits.CastFromBytes(starts.Bytes())
	offsets[0] = 0
	var data []byte
	done := int64(0)
	for done < rows {
		if t.left == 0 {
			plain, err := t.nextPage()
			if err != nil {
				return nil, err
			}
			if !plain {
				break
			}
			continue
		}
		n := int(min(rows-done, int64(t.left)))
		if data == nil { // the page at hand is like those that follow
			data = make([]byte, 0, min(int64(len(t.page))*(rows-done)/int64(t.left)+64, maxPreallocated))
		}
		var err error
		if data, t.page, err = copyPlain(data, t.page, offsets[done+1:done+1+int64(n)]); err != nil {
			return nil, err
		}
		t.left, done, t.row = t.left-n, done+int64(n), t.row+int64(n)
	}
	values := memory.NewBufferBytes(data)
	d := array.NewData(t.to, int(done), []*memory.Buffer{nil, starts, values}, nil, 0, 0)
	defer d.Release()
	chunks := []arrow.Array{array.MakeFromData(d)}
	defer func() { releaseAll(chunks) }()
	if done < rows {
		rest, err := t.restOf(rows - done)
		if err != nil {
			return nil, err
		}
		defer rest.Release()
		for _, c := range rest.Chunks() {
			c.Retain()
			chunks = append(chunks, c)
		}
	}
	return arrow.NewChunked(t.to, chunks), nil
}

// copyPlain copies as many values as there are ends to set: each is its length, then its bytes.
func copyPlain(data, page []byte, ends []int32) (newData, rest []byte, err error) {
	for i := range ends {
		if len(page) < 4 {
			return nil, nil, errShortPage
		}
		n := binary.LittleEndian.Uint32(page)
		page = page[4:]
		if uint64(n) > uint64(len(page)) {
			return nil, nil, errShortPage
		}
		data = append(data, page[:n]...)
		page = page[n:]
		if len(data) > math.MaxInt32 {
			return nil, nil, fmt.Errorf("texts of more than 2 GiB in a batch")
		}
		ends[i] = int32(len(data))
	}
	return data, page, nil
}

var errShortPage = fmt.Errorf("a page ends within a value: %w", errNotParquet)

// nextPage goes to the next data page. It is false for one that is not plain, or has nulls.
func (t *textReader) nextPage() (bool, error) {
	values, err := t.pageTexts.nextPage()
	if err != nil {
		return false, err
	}
	n := int(values.NumValues())
	body := values.Data()
	switch p := values.(type) {
	case *file.DataPageV1:
		if t.levels {
			var ok bool
			if body, ok = skipOnes(body, n); !ok || p.DefinitionLevelEncoding() != parquet.Encodings.RLE {
				return false, nil
			}
		}
	case *file.DataPageV2:
		skip := int(p.DefinitionLevelByteLen()) + int(p.RepetitionLevelByteLen())
		if p.NumNulls() != 0 || skip < 0 || skip > len(body) {
			return false, nil
		}
		body = body[skip:]
	default:
		return false, nil
	}
	if parquet.Encoding(values.Encoding()) != parquet.Encodings.Plain || n < 0 {
		return false, nil
	}
	t.page, t.left = body, n
	return true, nil
}

// skipOnes passes over definition levels, as version 1 of data pages has them, if all of the n levels are 1: no value is null.
func skipOnes(page []byte, n int) (rest []byte, ok bool) {
	if len(page) < 4 {
		return nil, false
	}
	length := binary.LittleEndian.Uint32(page)
	if uint64(length) > uint64(len(page)-4) {
		return nil, false
	}
	levels, rest := page[4:4+length], page[4+length:]
	for n > 0 {
		header, size := binary.Uvarint(levels)
		if size <= 0 || header>>1 > uint64(math.MaxInt32) {
			return nil, false
		}
		levels = levels[size:]
		count := int(header >> 1)
		if header&1 == 0 { // a run of one level
			if len(levels) < 1 || levels[0] != 1 || count == 0 {
				return nil, false
			}
			levels, n = levels[1:], n-count
			continue
		}
		if count > len(levels) || count == 0 { // groups of eight levels, a bit each
			return nil, false
		}
		for _, bits := range levels[:count] {
			if all := byte(1<<min(n, 8) - 1); bits&all != all {
				return nil, false
			}
			n = max(n-8, 0)
		}
		levels = levels[count:]
	}
	return rest, true
}
