package datafile

import (
	"bytes"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/internal/rows"
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

// looked are the columns that keys are made of.
func (s *sorter) looked() []boundField {
	if s.curve == nil {
		return s.fields
	}
	var out []boundField
	for _, c := range s.curve.columns {
		out = append(out, c.field)
	}
	return out
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
	k := sortKeys{data: make([]byte, 0, s.keyBytes(batch)), offsets: make([]int, 1, n+1)}
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

// keyBytes is what the keys of a batch's rows take, or a little more.
func (s *sorter) keyBytes(batch arrow.RecordBatch) int64 {
	n, total := batch.NumRows(), int64(0)
	for _, f := range s.fields {
		if f.path == nil {
			total += n
			continue
		}
		a, _ := f.path.resolve(batch)
		if ext, ok := a.(array.ExtensionArray); ok {
			a = ext.Storage()
		}
		switch a := a.(type) {
		case *array.String, *array.Binary:
			total += 3 * n
			if n > 0 {
				offsets, data := rows.TextOf(a)
				data = data[offsets[0]:offsets[n]]
				total += max(int64(len(data)+bytes.Count(data, []byte{0})), 6*n) // a bucket of it takes nine
			}
		case *array.FixedSizeBinary:
			width := int64(a.DataType().(*arrow.FixedSizeBinaryType).ByteWidth)
			total += n * (3 + 2*width)
		case *array.Decimal128:
			total += n * 17
		default:
			total += n * 9
		}
	}
	return total
}

// sortBytes is what sorting a batch's rows takes beside them.
func (s *sorter) sortBytes(batch arrow.RecordBatch) int64 {
	n := batch.NumRows()
	if s.curve != nil {
		return n * (entryBytes + 8)
	}
	return n*(entryBytes+8) + s.keyBytes(batch)
}

// keyOf is the key of one row.
func (s *sorter) keyOf(batch arrow.RecordBatch, row int64) []byte {
	one := batch.NewSlice(row, row+1)
	defer one.Release()
	return s.keys(one).at(0)
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
