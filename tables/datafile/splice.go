package datafile

import (
	"bytes"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// piece is a column chunk that lies in some file: the one just encoded, or a data file that is written anew. Its description
// is changed in place when the chunk is laid into another file, so each chunk is laid once.
type piece struct {
	from  io.ReaderAt
	size  int64 // of the file, to its footer
	meta  *metadata.FileMetaData
	group int
	leaf  int
}

// splice appends a row group of column chunks from several files, copied as bytes. row describes one row group of the file's
// schema; its chunks are replaced by the pieces', and the rest follows from these.
func (a *assembler) splice(row *metadata.FileMetaData, pieces []piece, rows int64) error {
	if len(row.RowGroups) != 1 || len(row.RowGroups[0].Columns) != len(pieces) {
		return fmt.Errorf("%d column chunks for a row group of %d", len(pieces), len(row.RowGroups[0].Columns))
	}
	rg := row.RowGroups[0]
	first, plain, packed := a.at, int64(0), int64(0)
	for i, p := range pieces {
		if err := a.spliceChunk(p); err != nil {
			return fmt.Errorf("column %s: %w", row.Schema.Column(i).Path(), err)
		}
		chunk := p.meta.RowGroups[p.group].Columns[p.leaf]
		rg.Columns[i] = chunk
		plain += chunk.MetaData.TotalUncompressedSize
		packed += chunk.MetaData.TotalCompressedSize
	}
	for i, p := range pieces {
		if err := a.spliceBloomFilter(p); err != nil {
			return fmt.Errorf("column %s: Bloom filter: %w", row.Schema.Column(i).Path(), err)
		}
	}
	ordinal := int16(a.rowGroups())
	rg.NumRows, rg.TotalByteSize, rg.TotalCompressedSize, rg.FileOffset, rg.Ordinal = rows, plain, &packed, &first, &ordinal
	rg.SortingColumns = nil
	a.rows += rows
	if a.meta == nil {
		a.meta = row
		return nil
	}
	return a.meta.AppendRowGroups(row)
}

// spliceChunk copies a chunk's pages and keeps its page index for the end.
func (a *assembler) spliceChunk(p piece) error {
	chunk := p.meta.RowGroups[p.group].Columns[p.leaf]
	at, length, err := p.extent()
	if err != nil {
		return err
	}
	column, err := p.section(chunk.ColumnIndexOffset, chunk.ColumnIndexLength)
	if err == nil && p.meta.Schema.Column(p.leaf).PhysicalType() == parquet.Types.ByteArray {
		column, err = shortenColumnIndex(column)
	}
	if err != nil {
		return fmt.Errorf("column index: %w", err)
	}
	offset, err := p.section(chunk.OffsetIndexOffset, chunk.OffsetIndexLength)
	if err == nil {
		offset, err = shiftOffsetIndex(offset, a.at-at)
	}
	if err != nil {
		return fmt.Errorf("offset index: %w", err)
	}
	if p.meta.Schema.Column(p.leaf).MaxRepetitionLevel() > 0 { // as the writer, which has none there: see columnProperties
		column, chunk.MetaData.Statistics = nil, nil
	}
	if column == nil || offset == nil { // one without the other is of no use, and some readers expect both
		column, offset = nil, nil
	}
	a.columnIndexes, a.offsetIndexes = append(a.columnIndexes, column), append(a.offsetIndexes, offset)
	p.shift(a.at - at)
	return a.copy(p.from, at, length)
}

// shift moves a chunk's description.
func (p piece) shift(by int64) {
	chunk := p.meta.RowGroups[p.group].Columns[p.leaf]
	m := chunk.MetaData
	if m.DictionaryPageOffset != nil && *m.DictionaryPageOffset <= 0 { // some writers say so that there is none
		m.DictionaryPageOffset = nil
	}
	m.DataPageOffset += by
	if m.DictionaryPageOffset != nil {
		*m.DictionaryPageOffset += by
	}
	// The specification has writers set it to zero, and readers ignore it; a few still look at it.
	chunk.FileOffset = m.DataPageOffset
	if s := m.Statistics; s != nil {
		if (s.MinValue == nil) != (s.MaxValue == nil) {
			s.MinValue, s.MaxValue = nil, nil
		}
		if s.MinValue == nil { // what is left is the deprecated pair, whose order depends on who wrote it
			s.Min, s.Max = nil, nil
		}
		switch p.meta.Schema.Column(p.leaf).PhysicalType() {
		case parquet.Types.Float, parquet.Types.Double:
			signZero(s.MinValue, 0, 0x80)
			signZero(s.MaxValue, 0x80, 0)
		}
	}
}

// signZero makes a bound that is a zero of one sign the zero of the other: not all writers tell them apart, and the one that
// bounds both is right in any case.
func signZero(bound []byte, from, to byte) {
	if n := len(bound); n > 0 && bound[n-1] == from && !bytes.ContainsFunc(bound[:n-1], func(r rune) bool { return r != 0 }) {
		bound[n-1] = to
	}
}

func (a *assembler) spliceBloomFilter(p piece) error {
	m := p.meta.RowGroups[p.group].Columns[p.leaf].MetaData
	if m.BloomFilterOffset == nil {
		return nil
	}
	at := *m.BloomFilterOffset
	length, err := p.bloomFilterLength()
	if err != nil {
		return err
	}
	to := a.at
	m.BloomFilterOffset, m.BloomFilterLength = &to, &length
	return a.copy(p.from, at, int64(length))
}

// bloomFilterLength is that of the filter with its header, which writers have not always put into the footer.
func (p piece) bloomFilterLength() (int32, error) {
	m := p.meta.RowGroups[p.group].Columns[p.leaf].MetaData
	at := *m.BloomFilterOffset
	if at < 4 || at >= p.size {
		return 0, errNotParquet
	}
	if m.BloomFilterLength != nil {
		if n := *m.BloomFilterLength; n > 0 && int64(n) <= p.size-at {
			return n, nil
		}
		return 0, errNotParquet
	}
	head := make([]byte, min(64, p.size-at))
	if _, err := p.from.ReadAt(head, at); err != nil {
		return 0, err
	}
	var protocol thrift.CompactProtocol
	var header format.BloomFilterHeader
	rest := bytes.NewReader(head)
	if err := thrift.NewDecoder(protocol.NewReader(rest)).Decode(&header); err != nil {
		return 0, err
	}
	length := int64(len(head)-rest.Len()) + int64(header.NumBytes)
	if header.NumBytes <= 0 || length > p.size-at {
		return 0, errNotParquet
	}
	return int32(length), nil
}

// extent is where a chunk's pages lie: from its dictionary page, or else its first data page, on.
func (p piece) extent() (at, length int64, err error) {
	m := p.meta.RowGroups[p.group].Columns[p.leaf].MetaData
	at, length = m.DataPageOffset, m.TotalCompressedSize
	if d := m.DictionaryPageOffset; d != nil && *d > 0 && *d < at {
		at = *d
	}
	if at < int64(len(parquetMagic)) || length < 0 || at > p.size || length > p.size-at {
		return 0, 0, fmt.Errorf("its %d bytes at %d are not in a file of %d: %w", length, at, p.size, errNotParquet)
	}
	return at, length, nil
}

func (p piece) section(at *int64, length *int32) ([]byte, error) {
	if at == nil || length == nil || *length == 0 {
		return nil, nil
	}
	if *at < 0 || *length < 0 || *at > p.size || int64(*length) > p.size-*at {
		return nil, errNotParquet
	}
	out := make([]byte, *length)
	if _, err := p.from.ReadAt(out, *at); err != nil {
		return nil, err
	}
	return out, nil
}

// copy appends bytes of another file.
func (a *assembler) copy(from io.ReaderAt, at, length int64) error {
	if b, ok := from.(*chunkBuffer); ok {
		n, err := b.writeSection(a.w, at, length)
		a.at += n
		return err
	}
	n, err := io.Copy(a.w, io.NewSectionReader(from, at, length))
	a.at += n
	if err == nil && n < length {
		err = io.ErrUnexpectedEOF
	}
	return err
}
