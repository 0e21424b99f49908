package datafile

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// arrow-go passes over empty texts when it looks for the least value of a column with a dictionary. A reader that is asked
// for rows with "" would take the bounds at their word and leave out the row group, the file or the page.

// withEmpties tells of each leaf of a row group, in Parquet's order, whether it is of texts or bytes of which one is empty.
// What lists and maps hold has no bounds, and is not looked at.
func withEmpties(schema *arrow.Schema, columns [][]arrow.Array) (leaves []bool, any bool) {
	var walk func(t arrow.DataType, chunks []arrow.Array)
	walk = func(t arrow.DataType, chunks []arrow.Array) {
		switch t := t.(type) {
		case *arrow.StructType:
			for i, f := range t.Fields() {
				walk(f.Type, children(chunks, func(a arrow.Array) arrow.Array { return a.(*array.Struct).Field(i) }))
			}
			return
		case *arrow.MapType:
			walk(t.KeyType(), nil)
			walk(t.ItemType(), nil)
			return
		case *arrow.ListType:
			walk(t.Elem(), nil)
			return
		}
		found := false
		for _, c := range chunks {
			found = found || hasEmpty(c)
		}
		leaves, any = append(leaves, found), any || found
	}
	for i, f := range schema.Fields() {
		walk(f.Type, columns[i])
	}
	return leaves, any
}

func hasEmpty(a arrow.Array) bool {
	switch a := a.(type) {
	case *array.String:
		return hasEmptyAt(a, a.ValueOffsets())
	case *array.Binary:
		return hasEmptyAt(a, a.ValueOffsets())
	case *array.Dictionary: // of which each value is used
		return hasEmpty(a.Dictionary())
	}
	text, ok := a.(array.BinaryLike)
	if !ok {
		return false
	}
	for i := range text.Len() {
		if text.ValueLen(i) == 0 && text.IsValid(i) {
			return true
		}
	}
	return false
}

func hasEmptyAt(a arrow.Array, offsets []int32) bool {
	for i := range a.Len() {
		if offsets[i+1] == offsets[i] && a.IsValid(i) {
			return true
		}
	}
	return false
}

// boundEmpties makes the empty value the lower bound of the leaves that have one, in a row group that is a file of its own: in
// the footer and, where there is a page index, of all the leaf's pages.
func boundEmpties(file []byte, leaves []bool) ([]byte, error) {
	meta, end, err := parseFooter(file)
	if err != nil {
		return nil, err
	}
	out := file[:end:end] // the new indexes come behind the old ones, which nothing names any more
	for _, rg := range meta.RowGroups {
		if len(rg.Columns) != len(leaves) {
			return nil, fmt.Errorf("%d column chunks of %d: %w", len(rg.Columns), len(leaves), errNotParquet)
		}
		for c, chunk := range rg.Columns {
			if !leaves[c] {
				continue
			}
			if s := chunk.MetaData.Statistics; s != nil && s.MaxValue != nil {
				s.MinValue = []byte{}
				if s.Min != nil {
					s.Min = []byte{}
				}
			}
			index, err := section(file, chunk.ColumnIndexOffset, chunk.ColumnIndexLength)
			if err != nil {
				return nil, fmt.Errorf("column index: %w", err)
			}
			if index, err = withEmptyMinima(index); err != nil || index == nil {
				if err != nil {
					return nil, err
				}
				continue
			}
			at, length := int64(len(out)), int32(len(index))
			chunk.ColumnIndexOffset, chunk.ColumnIndexLength = &at, &length
			out = append(out, index...)
		}
	}
	return closeFile(out, meta)
}

func withEmptyMinima(encoded []byte) ([]byte, error) {
	if encoded == nil {
		return nil, nil
	}
	var protocol thrift.CompactProtocol
	var index format.ColumnIndex
	if err := thrift.Unmarshal(&protocol, encoded, &index); err != nil {
		return nil, fmt.Errorf("column index: %w", err)
	}
	for i := range index.MinValues {
		index.MinValues[i] = []byte{}
	}
	out, err := thrift.Marshal(&protocol, &index)
	if err != nil {
		return nil, fmt.Errorf("column index: %w", err)
	}
	return out, nil
}

// closeFile puts a footer behind a file's bytes.
func closeFile(file []byte, meta *metadata.FileMetaData) ([]byte, error) {
	footer, err := meta.Serialize(context.Background())
	if err != nil {
		return nil, fmt.Errorf("encode footer: %w", err)
	}
	file = append(file, footer...)
	return append(binary.LittleEndian.AppendUint32(file, uint32(len(footer))), parquetMagic...), nil
}
