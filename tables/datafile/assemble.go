package datafile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const parquetMagic = "PAR1"

var errNotParquet = errors.New("not a parquet file")

// assembler lays row groups that were encoded elsewhere one behind the other as one Parquet file. Column chunks and Bloom
// filters are copied as bytes; page indexes are kept until the end, where readers find all of a file's at once. What is
// changed is offsets: Parquet's are absolute.
//
// All row groups have one schema, the first one's; the caller sees to it.
type assembler struct {
	w      io.Writer
	at     int64
	meta   format.FileMetaData
	column [][]byte // column indexes, by row group then column; nil where there is none
	offset [][]byte // offset indexes, likewise, already shifted
}

func newAssembler(w io.Writer) (*assembler, error) {
	a := &assembler{w: w}
	return a, a.write([]byte(parquetMagic))
}

func (a *assembler) write(b []byte) error {
	n, err := a.w.Write(b)
	a.at += int64(n)
	return err
}

// size is the number of bytes written so far, without the footer.
func (a *assembler) size() int64 { return a.at }

func (a *assembler) rowGroups() int { return len(a.meta.RowGroups) }

// add appends the row groups of a whole Parquet file.
func (a *assembler) add(file []byte) error {
	meta, footer, err := parseFooter(file)
	if err != nil {
		return err
	}
	if len(a.meta.Schema) == 0 {
		a.meta = *meta
		a.meta.NumRows, a.meta.RowGroups = 0, nil
	}
	end := int64(footer)
	for _, rg := range meta.RowGroups {
		for _, c := range rg.Columns {
			for _, at := range []int64{c.ColumnIndexOffset, c.OffsetIndexOffset} {
				if at > 0 {
					end = min(end, at)
				}
			}
		}
	}
	start := int64(len(parquetMagic))
	if end < start {
		return fmt.Errorf("page index at %d: %w", end, errNotParquet)
	}
	shift := a.at - start
	for i := range meta.RowGroups {
		if err := a.adopt(&meta.RowGroups[i], file, shift); err != nil {
			return err
		}
	}
	a.meta.NumRows += meta.NumRows
	return a.write(file[start:end])
}

// adopt moves a row group's description by shift bytes and keeps its page indexes.
func (a *assembler) adopt(rg *format.RowGroup, file []byte, shift int64) error {
	if rg.FileOffset > 0 {
		rg.FileOffset += shift
	}
	rg.Ordinal = int16(len(a.meta.RowGroups))
	for i := range rg.Columns {
		c := &rg.Columns[i]
		column, err := section(file, c.ColumnIndexOffset, c.ColumnIndexLength)
		if err != nil {
			return fmt.Errorf("column index: %w", err)
		}
		offset, err := section(file, c.OffsetIndexOffset, c.OffsetIndexLength)
		if err != nil {
			return fmt.Errorf("offset index: %w", err)
		}
		if offset, err = shiftOffsetIndex(offset, shift); err != nil {
			return err
		}
		a.column, a.offset = append(a.column, bytes.Clone(column)), append(a.offset, offset)
		m := &c.MetaData
		for _, at := range []*int64{&c.FileOffset, &m.DataPageOffset, &m.IndexPageOffset, &m.DictionaryPageOffset, &m.BloomFilterOffset} {
			if *at > 0 {
				*at += shift
			}
		}
	}
	a.meta.RowGroups = append(a.meta.RowGroups, *rg)
	return nil
}

func section(file []byte, at int64, length int32) ([]byte, error) {
	if at <= 0 || length <= 0 {
		return nil, nil
	}
	if at+int64(length) > int64(len(file)) {
		return nil, errNotParquet
	}
	return file[at : at+int64(length)], nil
}

func shiftOffsetIndex(encoded []byte, shift int64) ([]byte, error) {
	if encoded == nil {
		return nil, nil
	}
	var protocol thrift.CompactProtocol
	var index format.OffsetIndex
	if err := thrift.Unmarshal(&protocol, encoded, &index); err != nil {
		return nil, fmt.Errorf("offset index: %w", err)
	}
	for i := range index.PageLocations {
		index.PageLocations[i].Offset += shift
	}
	out, err := thrift.Marshal(&protocol, &index)
	if err != nil {
		return nil, fmt.Errorf("offset index: %w", err)
	}
	return out, nil
}

// finish writes page indexes and footer, and returns the footer's bytes.
func (a *assembler) finish(keyValues []keyValue) ([]byte, error) {
	columns := 0
	if len(a.meta.RowGroups) > 0 {
		columns = len(a.meta.RowGroups[0].Columns)
	}
	place := func(indexes [][]byte, set func(*format.ColumnChunk, int64, int32)) error {
		for i, index := range indexes {
			c := &a.meta.RowGroups[i/columns].Columns[i%columns]
			if index == nil {
				set(c, 0, 0)
				continue
			}
			set(c, a.at, int32(len(index)))
			if err := a.write(index); err != nil {
				return err
			}
		}
		return nil
	}
	if err := place(a.column, func(c *format.ColumnChunk, at int64, n int32) { c.ColumnIndexOffset, c.ColumnIndexLength = at, n }); err != nil {
		return nil, err
	}
	if err := place(a.offset, func(c *format.ColumnChunk, at int64, n int32) { c.OffsetIndexOffset, c.OffsetIndexLength = at, n }); err != nil {
		return nil, err
	}
	for _, kv := range keyValues {
		a.meta.KeyValueMetadata = append(a.meta.KeyValueMetadata, format.KeyValue{Key: kv.key, Value: kv.value})
	}
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), &a.meta)
	if err != nil {
		return nil, fmt.Errorf("encode footer: %w", err)
	}
	tail := binary.LittleEndian.AppendUint32(bytes.Clone(footer), uint32(len(footer)))
	return footer, a.write(append(tail, parquetMagic...))
}

// parseFooter decodes the footer of a whole file, and says where it begins.
func parseFooter(file []byte) (*format.FileMetaData, int, error) {
	n := len(file)
	if n < 12 || string(file[n-4:]) != parquetMagic {
		return nil, 0, errNotParquet
	}
	length := int(binary.LittleEndian.Uint32(file[n-8:]))
	start := n - 8 - length
	if start < len(parquetMagic) {
		return nil, 0, errNotParquet
	}
	meta := new(format.FileMetaData)
	if err := thrift.Unmarshal(new(thrift.CompactProtocol), file[start:n-8], meta); err != nil {
		return nil, 0, fmt.Errorf("decode footer: %w", err)
	}
	return meta, start, nil
}
