package datafile

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/schema"
)

// maxStatisticBytes is how long a bound may be that stands in statistics. With a longer one there is none.
const maxStatisticBytes = int(parquet.DefaultMaxStatsSize)

// chunkBuffer is the bytes of column chunks that were encoded, each with its page index behind it.
type chunkBuffer struct{ data []byte }

func (b *chunkBuffer) Write(p []byte) (int, error) {
	b.data = append(b.data, p...)
	return len(p), nil
}

// Tell is the place of the next byte.
func (b *chunkBuffer) Tell() int64 { return int64(len(b.data)) }

func (b *chunkBuffer) ReadAt(p []byte, at int64) (int, error) {
	if at < 0 || at > int64(len(b.data)) {
		return 0, io.EOF
	}
	n := copy(p, b.data[at:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// writeSection writes bytes that are in the buffer.
func (b *chunkBuffer) writeSection(w io.Writer, at, length int64) (int64, error) {
	if at < 0 || length < 0 || at > int64(len(b.data))-length {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := w.Write(b.data[at : at+length])
	return int64(n), err
}

// chunkBuffers are used again: one is as large as a row group.
var chunkBuffers = sync.Pool{New: func() any { return new(chunkBuffer) }}

func newChunkBuffer() *chunkBuffer {
	b := chunkBuffers.Get().(*chunkBuffer)
	b.data = append(b.data[:0], parquetMagic...)
	return b
}

// chunkWriter lays the pages of one column chunk of a flat column behind each other, and describes them.
type chunkWriter struct {
	to       *chunkBuffer
	column   *schema.Column
	chunk    *metadata.ColumnChunkMetaDataBuilder
	pager    countingPager
	bounds   metadata.ColumnIndexBuilder
	places   metadata.OffsetIndexBuilder
	scratch  *chunkScratch
	pages    metadata.EncodingStats
	rows     int64
	nulls    int64
	encoding parquet.Encoding
}

// countingPager is arrow-go's writer of pages, which says where they lie and what they take.
type countingPager interface {
	file.PageWriter
	DictionaryPageOffset() int64
	DataPageoffset() int64
	TotalCompressedSize() int64
	TotalUncompressedSize() int64
}

// chunkScratch is memory that one column after the other is encoded by way of.
type chunkScratch struct {
	page       []byte
	texts      []byte // behind levelRoom bytes
	packed     []byte // UUIDs
	framed     []byte // a page of them
	compressed bytes.Buffer
	integers   []int64
	valid      []byte
	delta      deltaEncoder
}

var chunkScratches = sync.Pool{New: func() any { return new(chunkScratch) }}

func newChunkWriter(to *chunkBuffer, props *parquet.WriterProperties, column *schema.Column, chunk *metadata.ColumnChunkMetaDataBuilder, encoding parquet.Encoding, scratch *chunkScratch) (*chunkWriter, error) {
	path := column.Path()
	w := &chunkWriter{to: to, column: column, chunk: chunk, scratch: scratch, encoding: encoding, bounds: metadata.NewColumnIndexBuilder(column)}
	w.pages = metadata.EncodingStats{DictEncodingStats: map[parquet.Encoding]int32{}, DataEncodingStats: map[parquet.Encoding]int32{}}
	pager, err := file.NewPageWriter(to, props.CompressionFor(path), props.CompressionLevelFor(path), chunk, 0, 0, allocator, false, nil, nil)
	if err != nil {
		return nil, err
	}
	w.pager = pager.(countingPager)
	w.pager.SetIndexBuilders(w.bounds, &w.places)
	return w, nil
}

// compress is a page's bytes as they will lie in the file, until the next call.
func (w *chunkWriter) compress(page []byte) []byte {
	if !w.pager.HasCompressor() {
		return page
	}
	w.scratch.compressed.Reset()
	return w.pager.Compress(&w.scratch.compressed, page)
}

// dictionary writes the dictionary page, which comes before the others.
func (w *chunkWriter) dictionary(page []byte, values int, encoding parquet.Encoding) error {
	w.pages.DictEncodingStats[encoding]++
	_, err := w.pager.WriteDictionaryPage(file.NewDictionaryPage(memory.NewBufferBytes(page), int32(values), encoding))
	return err
}

// page writes a page of so many rows, whose values lie between two bounds; these are nil if all are null.
func (w *chunkWriter) page(body []byte, rows, nulls int, least, most []byte) error {
	return w.lay(w.compress(body), len(body), rows, nulls, least, most)
}

// lay writes a page that is compressed, of so many bytes before.
func (w *chunkWriter) lay(data []byte, size, rows, nulls int, least, most []byte) error {
	if size > math.MaxInt32 {
		return fmt.Errorf("%d rows take %d bytes: a page holds 2 GiB", rows, size)
	}
	stats := w.statistics(int64(nulls), least, most)
	stats.AllNullValue = nulls == rows
	page := file.NewDataPageV1WithConfig(memory.NewBufferBytes(data), parquet.Encodings.RLE, parquet.Encodings.RLE, file.DataPageConfig{
		Num: int32(rows), Encoding: w.encoding, UncompressedSize: int32(size), Stats: stats, FirstRowIndex: w.rows,
	})
	defer page.Release()
	_, err := w.pager.WriteDataPage(page)
	w.pages.DataEncodingStats[w.encoding]++
	w.rows, w.nulls = w.rows+int64(rows), w.nulls+int64(nulls)
	return err
}

func (w *chunkWriter) statistics(nulls int64, least, most []byte) metadata.EncodedStatistics {
	stats := metadata.EncodedStatistics{Signed: w.column.SortOrder() == schema.SortSIGNED}
	stats.SetNullCount(nulls)
	if least != nil && len(least) <= maxStatisticBytes && len(most) <= maxStatisticBytes {
		stats.SetMin(least).SetMax(most)
	}
	return stats
}

// finish describes the chunk, whose values lie between two bounds, and writes its page index behind it.
func (w *chunkWriter) finish(least, most []byte) error {
	w.chunk.SetStats(w.statistics(w.nulls, least, most))
	info := metadata.ChunkMetaInfo{
		NumValues: w.rows, DictPageOffset: w.pager.DictionaryPageOffset(), IndexPageOffset: -1, DataPageOffset: w.pager.DataPageoffset(),
		CompressedSize: w.pager.TotalCompressedSize(), UncompressedSize: w.pager.TotalUncompressedSize(),
	}
	if err := w.chunk.Finish(info, len(w.pages.DictEncodingStats) > 0, false, w.pages); err != nil {
		return err
	}
	chunk := w.chunk.Contents()
	if err := w.bounds.Finish(); err != nil {
		return err
	}
	if err := w.places.Finish(0); err != nil {
		return err
	}
	var err error
	chunk.ColumnIndexOffset, chunk.ColumnIndexLength, err = w.index(func() (int, error) { return w.bounds.WriteTo(w.to, nil) })
	if err == nil {
		chunk.OffsetIndexOffset, chunk.OffsetIndexLength, err = w.index(func() (int, error) { return w.places.WriteTo(w.to, nil) })
	}
	return err
}

// index writes a part of the page index, and says where it lies; nil where there is none.
func (w *chunkWriter) index(write func() (int, error)) (at *int64, length *int32, err error) {
	from := w.to.Tell()
	if _, err := write(); err != nil {
		return nil, nil, err
	}
	n := int32(w.to.Tell() - from)
	if n == 0 {
		return nil, nil, nil
	}
	return &from, &n, nil
}
