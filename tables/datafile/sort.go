package datafile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// sorter sorts rows by a table's sort order.
type sorter struct {
	fields []boundField
	desc   []bool
	last   []bool // nulls last
}

// newSorter is nil for the unsorted order.
func newSorter(schema *iceberg.Schema, order table.SortOrder) (*sorter, error) {
	if order.IsUnsorted() {
		return nil, nil
	}
	s := &sorter{}
	for _, f := range order.Fields() {
		bound, err := bindField(schema, f.SourceIDs, f.Transform)
		if err != nil {
			return nil, fmt.Errorf("sort order %d: %w", order.OrderID(), err)
		}
		desc := f.Direction == table.SortDESC
		s.fields = append(s.fields, bound)
		s.desc = append(s.desc, desc)
		s.last = append(s.last, f.NullOrder == table.NullsLast || f.NullOrder == "" && desc)
	}
	return s, nil
}

// sortKeys are rows' keys, which compare as bytes in the order wanted.
type sortKeys struct {
	data    []byte
	offsets []int
}

func (k sortKeys) at(row int) []byte { return k.data[k.offsets[row]:k.offsets[row+1]] }

func (s *sorter) keys(batch arrow.RecordBatch) sortKeys {
	columns := make([]keyColumn, len(s.fields))
	for i, f := range s.fields {
		columns[i] = f.over(batch)
	}
	n := int(batch.NumRows())
	k := sortKeys{data: make([]byte, 0, n*9*len(columns)), offsets: make([]int, 1, n+1)}
	for row := range n {
		for i, c := range columns {
			if c.null(row) {
				null := byte(0)
				if s.last[i] {
					null = 2
				}
				k.data = append(k.data, null)
				continue
			}
			k.data = append(k.data, 1)
			from := len(k.data)
			k.data = c.appendKey(k.data, row)
			if s.desc[i] {
				for j := from; j < len(k.data); j++ {
					k.data[j] = ^k.data[j]
				}
			}
		}
		k.offsets = append(k.offsets, len(k.data))
	}
	return k
}

// sharedStart is how many first bytes all keys share, counted no further than what says null or not: so that where nothing is
// null, whole numbers compare by their prefix alone.
func (k sortKeys) sharedStart() int {
	for row := range len(k.offsets) - 1 {
		if k.at(row)[0] != 1 {
			return 0
		}
	}
	return 1
}

// order returns the rows in sorted order, equal ones as they came; nil when they lie so already.
func (k sortKeys) order() []int32 {
	type entry struct {
		prefix uint64 // decides nearly all comparisons without touching the key
		row    int32
	}
	n := len(k.offsets) - 1
	entries := make([]entry, n)
	skip := k.sharedStart()
	sorted := true
	for row := range n {
		key := k.at(row)
		var first [8]byte
		copy(first[:], key[skip:])
		entries[row] = entry{binary.BigEndian.Uint64(first[:]), int32(row)}
		if row > 0 && sorted && bytes.Compare(k.at(row-1), key) > 0 {
			sorted = false
		}
	}
	if sorted {
		return nil
	}
	slices.SortFunc(entries, func(a, b entry) int {
		if a.prefix != b.prefix {
			if a.prefix < b.prefix {
				return -1
			}
			return 1
		}
		if c := bytes.Compare(k.at(int(a.row)), k.at(int(b.row))); c != 0 {
			return c
		}
		return int(a.row - b.row)
	})
	rows := make([]int32, n)
	for i, e := range entries {
		rows[i] = e.row
	}
	return rows
}

func concatBatches(batches []arrow.RecordBatch) (arrow.RecordBatch, error) {
	if len(batches) == 1 {
		batches[0].Retain()
		return batches[0], nil
	}
	rows := int64(0)
	for _, b := range batches {
		rows += b.NumRows()
	}
	columns := make([]arrow.Array, 0, batches[0].NumCols())
	defer func() { releaseAll(columns) }()
	for i := range int(batches[0].NumCols()) {
		chunks := make([]arrow.Array, len(batches))
		for j, b := range batches {
			chunks[j] = b.Column(i)
		}
		c, err := array.Concatenate(chunks, allocator)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", batches[0].ColumnName(i), err)
		}
		columns = append(columns, c)
	}
	return array.NewRecordBatch(batches[0].Schema(), columns, rows), nil
}
