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
	curve  *Curve // instead of fields
}

// newSorter is nil for the unsorted order.
func newSorter(schema *iceberg.Schema, order table.SortOrder) (*sorter, error) {
	if order.IsUnsorted() {
		return nil, nil
	}
	var fields []table.SortField
	for _, f := range order.Fields() {
		fields = append(fields, f)
	}
	s, err := newSorterOf(schema, fields)
	if err != nil {
		return nil, fmt.Errorf("sort order %d: %w", order.OrderID(), err)
	}
	return s, nil
}

// sameOrder tells whether fields are those of a table's order.
func sameOrder(order table.SortOrder, fields []table.SortField) bool {
	if order.Len() != len(fields) {
		return false
	}
	for i, f := range fields {
		if !f.Equals(order.Field(i)) {
			return false
		}
	}
	return true
}

func newSorterOf(schema *iceberg.Schema, fields []table.SortField) (*sorter, error) {
	s := &sorter{}
	for _, f := range fields {
		bound, err := bindField(schema, f.SourceIDs, f.Transform)
		if err != nil {
			return nil, err
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
	if s.curve != nil {
		return s.curve.keys(batch)
	}
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
	n := len(k.offsets) - 1
	entries := make([]sortEntry, n)
	skip := k.sharedStart()
	sorted := true
	for row := range n {
		key := k.at(row)
		var first [8]byte
		copy(first[:], key[skip:])
		entries[row] = sortEntry{binary.BigEndian.Uint64(first[:]), int32(row)}
		if row > 0 && sorted && bytes.Compare(k.at(row-1), key) > 0 {
			sorted = false
		}
	}
	if sorted {
		return nil
	}
	entries = byPrefix(entries)
	k.breakTies(entries)
	rows := make([]int32, n)
	for i, e := range entries {
		rows[i] = e.row
	}
	return rows
}

// sortEntry is a row with the beginning of its key, which decides nearly all comparisons.
type sortEntry struct {
	prefix uint64
	row    int32
}

// byPrefix sorts entries by prefix, equal ones as they came: by radix, a byte at a time from the last, without those that are
// the same in all.
func byPrefix(entries []sortEntry) []sortEntry {
	var differ uint64
	for _, e := range entries {
		differ |= e.prefix ^ entries[0].prefix
	}
	other := make([]sortEntry, len(entries))
	for shift := 0; shift < 64; shift += 8 {
		if differ>>shift&0xff == 0 {
			continue
		}
		var ends [256]int
		for _, e := range entries {
			ends[e.prefix>>shift&0xff]++
		}
		at := 0
		for i, n := range ends {
			ends[i], at = at, at+n
		}
		for _, e := range entries {
			to := &ends[e.prefix>>shift&0xff]
			other[*to] = e
			*to++
		}
		entries, other = other, entries
	}
	return entries
}

// breakTies sorts entries of one prefix by their whole keys.
func (k sortKeys) breakTies(entries []sortEntry) {
	for from := 0; from < len(entries); {
		to := from + 1
		for to < len(entries) && entries[to].prefix == entries[from].prefix {
			to++
		}
		if to-from > 1 {
			slices.SortStableFunc(entries[from:to], func(a, b sortEntry) int { return bytes.Compare(k.at(int(a.row)), k.at(int(b.row))) })
		}
		from = to
	}
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
