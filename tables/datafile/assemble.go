package datafile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

const parquetMagic = "PAR1"

var errNotParquet = errors.New("not a parquet file")

// assembler lays row groups that were encoded elsewhere one behind the other as one Parquet file. Column chunks and Bloom
// filters are copied as bytes; page indexes are kept until the end, where readers find all of a file's at once. What is
// changed is offsets: Parquet's are absolute.
//
// Footers are arrow-go's own, changed in place: parquet-go's cannot tell an empty minimum from an absent one.
type assembler struct {
	w    io.Writer
	at   int64
	meta *metadata.FileMetaData // the first file's, grown
	rows int64
	// Page indexes of each chunk, by row group then column; nil where there is none. Offset indexes are shifted already.
	columnIndexes, offsetIndexes [][]byte
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

// size is the number of bytes written so far.
func (a *assembler) size() int64 { return a.at }

func (a *assembler) rowGroups() int {
	if a.meta == nil {
		return 0
	}
	return a.meta.NumRowGroups()
}

// add appends the row groups of a whole Parquet file of the same schema.
func (a *assembler) add(file []byte) error {
	meta, end, err := parseFooter(file)
	if err != nil {
		return err
	}
	for _, rg := range meta.RowGroups {
		for _, c := range rg.Columns {
			for _, at := range []*int64{c.ColumnIndexOffset, c.OffsetIndexOffset} {
				if at != nil {
					end = min(end, *at)
				}
			}
		}
	}
	start := int64(len(parquetMagic))
	if end < start {
		return fmt.Errorf("page index at %d: %w", end, errNotParquet)
	}
	if err := a.adopt(meta, file, a.at-start); err != nil {
		return err
	}
	return a.write(file[start:end])
}

// adopt takes over the description of a file's row groups, moved by shift bytes.
func (a *assembler) adopt(meta *metadata.FileMetaData, file []byte, shift int64) error {
	first := a.rowGroups()
	for i, rg := range meta.RowGroups {
		if rg.FileOffset != nil {
			*rg.FileOffset += shift
		}
		ordinal := int16(first + i)
		rg.Ordinal = &ordinal
		for c, chunk := range rg.Columns {
			if chunk.MetaData == nil {
				return fmt.Errorf("column chunk without metadata: %w", errNotParquet)
			}
			column, err := section(file, chunk.ColumnIndexOffset, chunk.ColumnIndexLength)
			if err != nil {
				return fmt.Errorf("column index: %w", err)
			}
			if meta.Schema.Column(c).PhysicalType() == parquet.Types.ByteArray {
				if column, err = shortenColumnIndex(column); err != nil {
					return err
				}
			}
			offset, err := section(file, chunk.OffsetIndexOffset, chunk.OffsetIndexLength)
			if err != nil {
				return fmt.Errorf("offset index: %w", err)
			}
			if offset, err = shiftOffsetIndex(offset, shift); err != nil {
				return err
			}
			a.columnIndexes, a.offsetIndexes = append(a.columnIndexes, bytes.Clone(column)), append(a.offsetIndexes, offset)
			chunk.FileOffset += shift
			m := chunk.MetaData
			m.DataPageOffset += shift
			for _, at := range []*int64{m.IndexPageOffset, m.DictionaryPageOffset, m.BloomFilterOffset} {
				if at != nil {
					*at += shift
				}
			}
			// A value too long for statistics leaves only one side of them, which readers take for both.
			if s := m.Statistics; s != nil && (s.MinValue == nil) != (s.MaxValue == nil) {
				s.MinValue, s.MaxValue, s.Min, s.Max = nil, nil, nil, nil
			}
		}
	}
	a.rows += meta.GetNumRows()
	if a.meta == nil {
		a.meta = meta
		return nil
	}
	return a.meta.AppendRowGroups(meta)
}

func section(file []byte, at *int64, length *int32) ([]byte, error) {
	if at == nil || length == nil {
		return nil, nil
	}
	if *at < 0 || *length < 0 || *at+int64(*length) > int64(len(file)) {
		return nil, errNotParquet
	}
	return file[*at : *at+int64(*length)], nil
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

// finish writes page indexes and footer, and returns the file's metadata.
func (a *assembler) finish(keyValues []keyValue) (*metadata.FileMetaData, error) {
	if a.meta == nil {
		return nil, errors.New("a file without a row group")
	}
	place := func(indexes [][]byte, set func(group, column int, at *int64, length *int32)) error {
		for i, index := range indexes {
			columns := len(a.meta.RowGroups[0].Columns)
			if index == nil {
				set(i/columns, i%columns, nil, nil)
				continue
			}
			at, length := a.at, int32(len(index))
			set(i/columns, i%columns, &at, &length)
			if err := a.write(index); err != nil {
				return err
			}
		}
		return nil
	}
	err := place(a.columnIndexes, func(g, c int, at *int64, n *int32) {
		chunk := a.meta.RowGroups[g].Columns[c]
		chunk.ColumnIndexOffset, chunk.ColumnIndexLength = at, n
	})
	if err != nil {
		return nil, err
	}
	err = place(a.offsetIndexes, func(g, c int, at *int64, n *int32) {
		chunk := a.meta.RowGroups[g].Columns[c]
		chunk.OffsetIndexOffset, chunk.OffsetIndexLength = at, n
	})
	if err != nil {
		return nil, err
	}
	return a.meta, a.writeFooter(keyValues)
}

func (a *assembler) writeFooter(keyValues []keyValue) error {
	a.meta.FileMetaData.NumRows = a.rows
	more := metadata.NewKeyValueMetadata()
	for _, kv := range keyValues {
		if err := more.Append(kv.key, kv.value); err != nil {
			return err
		}
	}
	a.meta.FileMetaData.KeyValueMetadata = append(a.meta.FileMetaData.KeyValueMetadata, more...)
	footer, err := a.meta.Serialize(context.Background())
	if err != nil {
		return fmt.Errorf("encode footer: %w", err)
	}
	a.meta.SetSourceFileSize(a.at + int64(len(footer)) + 8)
	footer = binary.LittleEndian.AppendUint32(footer, uint32(len(footer)))
	return a.write(append(footer, parquetMagic...))
}

// parseFooter decodes the footer of a whole file, and says where it begins.
func parseFooter(file []byte) (*metadata.FileMetaData, int64, error) {
	n := len(file)
	if n < 12 || string(file[n-4:]) != parquetMagic {
		return nil, 0, errNotParquet
	}
	start := n - 8 - int(binary.LittleEndian.Uint32(file[n-8:]))
	if start < len(parquetMagic) || start > n-8 {
		return nil, 0, errNotParquet
	}
	meta, err := metadata.NewFileMetaData(file[start:n-8], nil)
	if err != nil {
		return nil, 0, fmt.Errorf("decode footer: %w", err)
	}
	return meta, int64(start), nil
}
