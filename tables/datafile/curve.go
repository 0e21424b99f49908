package datafile

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go/table"
)

const (
	curveFiles     = 32      // read for a curve's sample, a row group each
	curveSampled   = 1 << 16 // values of a column
	curveQuantiles = 1 << 10
	curveBits      = 16 // of a column in a key, at most
	curveNear      = 12 // bits that a value is first looked for by
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
	// near says where among the quantiles to look for a value, by how far it lies above the least, without so many bits.
	near  []int
	shift int
	// places are those of a rank's lowest eight bits.
	places [256]uint64
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
	tasks, total := curveTasks(files)
	samples := make([]curveSample, len(columns))
	rows, err := Scan(ctx, tbl, ScanOptions{Columns: names, Files: tasks})
	if err != nil {
		return nil, err
	}
	defer rows.Release()
	stride := int(max(1, total/curveSampled))
	for at := 0; rows.Next(); {
		batch := rows.RecordBatch()
		n := int(batch.NumRows())
		for i, f := range alone {
			column := f.over(batch)
			for row := at; row < n; row += stride {
				if !column.null(row) {
					samples[i].add(column, row)
				}
			}
		}
		at += (max(0, n-at) + stride - 1) / stride * stride
		at -= n
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("sample for a Z-order: %w", err)
	}
	for i := range c.columns {
		c.columns[i].learn(&samples[i])
		for low := range c.columns[i].places {
			c.columns[i].places[low] = spread(uint64(low), i, len(columns))
		}
	}
	return c, nil
}

// curveTasks are some files, evenly spread, and of each one row group; and about how many rows these have.
func curveTasks(files []table.FileScanTask) (tasks []table.FileScanTask, rows int64) {
	n := min(len(files), curveFiles)
	tasks = make([]table.FileScanTask, n)
	for i := range tasks {
		t := files[i*len(files)/n]
		groups := int64(1)
		if offsets := t.File.SplitOffsets(); len(offsets) > 1 {
			groups = int64(len(offsets))
			t.Start, t.Length = offsets[i*len(offsets)/n], 1
		}
		rows += t.File.Count() / groups
		tasks[i] = t
	}
	return tasks, rows
}

// curveSample is what is learned of a column: what all sampled values begin with, and the eight bytes behind that of each. So its
// size does not depend on that of values.
type curveSample struct {
	first  []byte // value
	shared int    // bytes of it that all others begin with
	words  []uint64
	every  int // value is taken
	passed int
	key    []byte
}

func (s *curveSample) add(column keyColumn, row int) {
	if s.passed++; s.passed < s.every {
		return
	}
	s.passed = 0
	s.key = column.appendKey(s.key[:0], row)
	if s.words == nil {
		s.first, s.shared = slices.Clone(s.key), len(s.key)
	}
	n := 0
	for n < min(s.shared, len(s.key)) && s.key[n] == s.first[n] {
		n++
	}
	s.share(n)
	s.words = append(s.words, eight(s.key[n:]))
	if len(s.words) == 2*curveSampled { // row groups were larger than their files let foresee
		for i := range curveSampled {
			s.words[i] = s.words[2*i]
		}
		s.words, s.every = s.words[:curveSampled], 2*max(s.every, 1)
	}
}

// share shortens what values share to so many bytes; the words begin with the rest then.
func (s *curveSample) share(n int) {
	rest := s.first[n:s.shared]
	if len(rest) == 0 {
		return
	}
	for i, w := range s.words {
		s.words[i] = eight(rest) | w>>(8*len(rest))
	}
	s.shared = n
}

func (c *curveColumn) learn(s *curveSample) {
	if len(s.words) == 0 {
		return
	}
	slices.Sort(s.words)
	c.prefix = slices.Clone(s.first[:s.shared])
	for i := range curveQuantiles {
		c.quantiles = append(c.quantiles, s.words[i*(len(s.words)-1)/(curveQuantiles-1)])
	}
	c.quantiles = slices.Compact(c.quantiles)
	first, last := c.quantiles[0], c.quantiles[len(c.quantiles)-1]
	c.shift = max(0, bits.Len64(last-first)-curveNear)
	c.near = make([]int, (last-first)>>c.shift+2)
	at := 0
	for i := range c.near {
		for at < len(c.quantiles) && (c.quantiles[at]-first)>>c.shift < uint64(i) {
			at++
		}
		c.near[i] = at
	}
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
	return c.among(eight(key[len(c.prefix):]), most)
}

// rankWord is the rank of a key that is a word's eight bytes.
func (c *curveColumn) rankWord(word, most uint64) uint64 {
	if len(c.quantiles) < 2 {
		return 1
	}
	shared := 8 * len(c.prefix)
	switch head, prefix := word>>(64-shared), eight(c.prefix)>>(64-shared); {
	case head < prefix:
		return 1
	case head > prefix:
		return most
	}
	return c.among(word<<shared, most)
}

// among is the rank of a value by the eight bytes behind the prefix.
func (c *curveColumn) among(v, most uint64) uint64 {
	last := len(c.quantiles) - 1
	if v <= c.quantiles[0] {
		return 1
	}
	if v >= c.quantiles[last] {
		return most
	}
	near := (v - c.quantiles[0]) >> c.shift
	from, to := c.near[near], c.near[near+1]
	at, _ := slices.BinarySearch(c.quantiles[from:to], v)
	at += from
	low, high := c.quantiles[at-1], c.quantiles[at] // low < v <= high
	place := float64(at-1) + float64(v-low)/float64(high-low)
	return 1 + uint64(place*float64(most-1)/float64(last))
}

// places are where a batch's rows lie on the curve.
func (c *Curve) places(batch arrow.RecordBatch) []uint64 {
	places := make([]uint64, batch.NumRows())
	most := uint64(1)<<c.bits - 1
	var key []byte
	for i := range c.columns {
		own := &c.columns[i]
		column := own.field.over(batch)
		for row := range places {
			if column.null(row) {
				continue // rank 0
			}
			var rank uint64
			if column.word != nil {
				rank = own.rankWord(column.word(row), most)
			} else {
				key = column.appendKey(key[:0], row)
				rank = own.rank(key, most)
			}
			places[row] |= own.places[rank&0xff] | own.places[rank>>8]<<(8*len(c.columns))
		}
	}
	return places
}

func (c *Curve) keys(batch arrow.RecordBatch) sortKeys {
	n := int(batch.NumRows())
	k := sortKeys{data: make([]byte, 0, 9*n), offsets: make([]int, 1, n+1)}
	for _, p := range c.places(batch) {
		k.data = binary.BigEndian.AppendUint64(append(k.data, 1), p)
		k.offsets = append(k.offsets, len(k.data))
	}
	return k
}

// spread puts the bits of a column's rank to their places in a row's.
func spread(rank uint64, column, columns int) (out uint64) {
	for bit := range bits.Len64(rank) {
		out |= (rank >> bit & 1) << (bit*columns + columns - 1 - column)
	}
	return out
}
