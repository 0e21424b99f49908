package datafile

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go/table"
)

const (
	curveFiles     = 32      // read for a curve's sample, a row group each
	curveSample    = 1 << 16 // values of a column
	curveQuantiles = 1 << 10
	curveBits      = 16 // of a column in a key, at most
)

// Curve is a Z-order curve through some columns. A row's place on it is the bits of its values' ranks in turn, the first bit of
// each column before the second of any. A rank is where a value lies among a sample of the column, between two quantiles in
// proportion, and 0 for null: so that columns of any type count alike, whatever the range and the skew of their values. Values
// are compared as the bytes by which they sort: whole numbers, times and booleans as 64 bits big endian with the sign turned,
// floats by sign and magnitude, decimals as 128 bits, text, UUIDs and binary as they are.
type Curve struct {
	columns []curveColumn
	bits    int
}

type curveColumn struct {
	field     boundField
	prefix    []byte   // which all sampled values begin with
	quantiles []uint64 // of the eight bytes after it, ascending and different
}

// NewCurve samples columns of the files, which are read by tbl's current schema.
func NewCurve(ctx context.Context, tbl *table.Table, columns []table.SortField, files []table.FileScanTask) (*Curve, error) {
	if len(columns) == 0 || len(columns) > 64 {
		return nil, fmt.Errorf("a Z-order of %d columns; want 1 to 64", len(columns))
	}
	schema := tbl.Schema()
	c := &Curve{bits: min(curveBits, 64/len(columns))}
	alone := make([]boundField, len(columns))
	var names []string
	for i, f := range columns {
		bound, err := bindField(schema, f.SourceIDs, f.Transform)
		if err != nil {
			return nil, fmt.Errorf("bind a Z-order: %w", err)
		}
		c.columns = append(c.columns, curveColumn{field: bound})
		alone[i] = bound
		name := schema.Field(bound.path[0]).Name
		at := slices.Index(names, name)
		if at < 0 {
			at, names = len(names), append(names, name)
		}
		alone[i].path = append(fieldPath{at}, bound.path[1:]...)
	}
	samples := make([][][]byte, len(columns))
	rows, err := Scan(ctx, tbl, ScanOptions{Columns: names, Files: curveTasks(files)})
	if err != nil {
		return nil, err
	}
	defer rows.Release()
	for rows.Next() {
		sample(rows.RecordBatch(), alone, min(len(files), curveFiles), samples)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sample for a Z-order: %w", err)
	}
	for i := range c.columns {
		c.columns[i].learn(samples[i])
	}
	return c, nil
}

// curveTasks are some files, evenly spread, and of each one row group.
func curveTasks(files []table.FileScanTask) []table.FileScanTask {
	n := min(len(files), curveFiles)
	out := make([]table.FileScanTask, n)
	for i := range out {
		t := files[i*len(files)/n]
		if offsets := t.File.SplitOffsets(); len(offsets) > 1 {
			t.Start, t.Length = offsets[i*len(offsets)/n], 1
		}
		out[i] = t
	}
	return out
}

// sample takes keys of a batch, evenly spread.
func sample(batch arrow.RecordBatch, fields []boundField, files int, into [][][]byte) {
	n := int(batch.NumRows())
	stride := max(1, n*files/curveSample)
	for i, f := range fields {
		column := f.over(batch)
		for row := 0; row < n; row += stride {
			if !column.null(row) {
				into[i] = append(into[i], column.appendKey(nil, row))
			}
		}
	}
}

func (c *curveColumn) learn(sample [][]byte) {
	if len(sample) == 0 {
		return
	}
	slices.SortFunc(sample, bytes.Compare)
	first, last := sample[0], sample[len(sample)-1]
	n := 0
	for n < min(len(first), len(last)) && first[n] == last[n] {
		n++
	}
	c.prefix = slices.Clone(first[:n])
	for i := range curveQuantiles {
		c.quantiles = append(c.quantiles, eight(sample[i*(len(sample)-1)/(curveQuantiles-1)][n:]))
	}
	c.quantiles = slices.Compact(c.quantiles)
}

// eight are the first eight bytes as a number.
func eight(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.BigEndian.Uint64(b)
	}
	var first [8]byte
	copy(first[:], b)
	return binary.BigEndian.Uint64(first[:])
}

// rank is between 1 and most, and grows with the key.
func (c *curveColumn) rank(key []byte, most uint64) uint64 {
	n := min(len(key), len(c.prefix))
	order := bytes.Compare(key[:n], c.prefix[:n])
	if order < 0 || len(c.quantiles) < 2 || order == 0 && len(key) < len(c.prefix) {
		return 1
	}
	if order > 0 {
		return most
	}
	v := eight(key[len(c.prefix):])
	at, found := slices.BinarySearch(c.quantiles, v)
	place := float64(at)
	switch last := len(c.quantiles) - 1; {
	case at > last:
		return most
	case !found && at == 0:
		return 1
	case !found:
		low, high := c.quantiles[at-1], c.quantiles[at]
		place = float64(at-1) + float64(v-low)/float64(high-low)
	}
	return 1 + uint64(place*float64(most-1)/float64(len(c.quantiles)-1))
}

func (c *Curve) keys(batch arrow.RecordBatch) sortKeys {
	n := int(batch.NumRows())
	places := make([]uint64, n)
	var key []byte
	for i := range c.columns {
		column := c.columns[i].field.over(batch)
		for row := range n {
			rank := uint64(0)
			if !column.null(row) {
				key = column.appendKey(key[:0], row)
				rank = c.columns[i].rank(key, 1<<c.bits-1)
			}
			places[row] |= c.spread(rank, i)
		}
	}
	k := sortKeys{data: make([]byte, 0, 9*n), offsets: make([]int, 1, n+1)}
	for _, p := range places {
		k.data = binary.BigEndian.AppendUint64(append(k.data, 1), p)
		k.offsets = append(k.offsets, len(k.data))
	}
	return k
}

// spread puts the bits of a column's rank to their places in a row's.
func (c *Curve) spread(rank uint64, column int) (out uint64) {
	n := len(c.columns)
	for bit := c.bits - 1; bit >= 0; bit-- {
		out |= (rank >> bit & 1) << (bit*n + n - 1 - column)
	}
	return out
}
