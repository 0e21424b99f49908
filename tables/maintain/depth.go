package maintain

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"hash/fnv"
	"math"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// Of a partition no more than mostSampled files are held, of very many partitions together no more than maxSampled, but leastSampled of
// each.
const (
	mostSampled  = 2000
	leastSampled = 16
	maxSampled   = 300_000
)

// Depths finds out how deep the clustering of each of a table's partitions is: in how many of a partition's files, on average over
// them, the bounds overlap those of a file in every one of the columns, itself counted. It is 1 where ranges are apart and the
// number of files where nothing can be skipped. A file without bounds overlaps all. Large partitions are judged by a sample, of the
// files whose paths have the least digests, so that memory does not follow the number of files, and that the same files come to the
// same depth.
type Depths struct {
	schema  *iceberg.Schema
	columns []table.SortField
	of      map[string]*sampled
	most    int // of a partition
	held    int // of all
}

// sampled is a heap of some of a partition's files, the one with the largest digest first.
type sampled struct {
	seen  int
	files []sample
}

type sample struct {
	bounds inRow
	digest uint64 // of the path
}

// inRow is a box in a row: of each bound its length and one, 0 where there is none, and its first bytes.
type inRow string

// packedBytes is how much of a bound is kept. Bounds that begin alike are taken to overlap.
const packedBytes = 32

func (b box) inRow() inRow {
	var out []byte
	for i := range b.low {
		for _, bound := range [][]byte{b.low[i], b.high[i]} {
			if bound == nil {
				out = append(out, 0)
				continue
			}
			bound = bound[:min(len(bound), packedBytes)]
			out = append(append(out, byte(len(bound)+1)), bound...)
		}
	}
	return inRow(out)
}

// next takes off the first bound.
func (p inRow) next() (bound inRow, known bool, rest inRow) {
	n := int(p[0])
	return p[min(1, n):n], n > 0, p[max(n, 1):]
}

func (p inRow) overlaps(other inRow) bool {
	for len(p) > 0 {
		var low, high, otherLow, otherHigh inRow
		var a, b, c, d bool
		low, a, p = p.next()
		high, b, p = p.next()
		otherLow, c, other = other.next()
		otherHigh, d, other = other.next()
		if a && b && c && d && (low > otherHigh || otherLow > high) {
			return false
		}
	}
	return true
}

// NewDepths is for files of one schema, and a clustering by so many columns.
func NewDepths(schema *iceberg.Schema, columns []table.SortField) *Depths {
	return &Depths{schema: schema, columns: columns, of: map[string]*sampled{}, most: mostSampled}
}

// Add counts a file of a partition.
func (d *Depths) Add(partition string, f iceberg.DataFile) {
	s := d.of[partition]
	if s == nil {
		s = &sampled{}
		d.of[partition] = s
	}
	s.seen++
	h := fnv.New64a()
	_, _ = h.Write([]byte(f.FilePath()))
	digest := h.Sum64()
	switch {
	case len(s.files) < d.most:
		heap.Push(s, sample{boxOf(d.schema, d.columns, f).inRow(), digest})
		if d.held++; d.held > maxSampled && d.most > leastSampled {
			d.shrink()
		}
	case digest < s.files[0].digest:
		s.files[0] = sample{boxOf(d.schema, d.columns, f).inRow(), digest}
		heap.Fix(s, 0)
	}
}

// shrink makes all samples smaller.
func (d *Depths) shrink() {
	for d.held > maxSampled/2 && d.most > leastSampled {
		d.most, d.held = max(d.most/2, leastSampled), 0
		for _, s := range d.of {
			for len(s.files) > d.most {
				heap.Pop(s)
			}
			s.files = slices.Clip(slices.Clone(s.files))
			d.held += len(s.files)
		}
	}
}

// Depth is that of a partition; 0 where no file of it was added.
func (d *Depths) Depth(partition string) float64 {
	s := d.of[partition]
	if s == nil {
		return 0
	}
	n, overlaps := len(s.files), 0
	for i := range s.files {
		for j := range i {
			if s.files[i].bounds.overlaps(s.files[j].bounds) {
				overlaps += 2
			}
		}
	}
	if n < 2 {
		return 1
	}
	return 1 + float64(overlaps)/float64(n)/float64(n-1)*float64(s.seen-1)
}

// Len implements heap.Interface.
func (s *sampled) Len() int { return len(s.files) }

// Less implements heap.Interface.
func (s *sampled) Less(i, j int) bool { return s.files[i].digest > s.files[j].digest }

// Swap implements heap.Interface.
func (s *sampled) Swap(i, j int) { s.files[i], s.files[j] = s.files[j], s.files[i] }

// Push implements heap.Interface.
func (s *sampled) Push(x any) { s.files = append(s.files, x.(sample)) }

// Pop implements heap.Interface.
func (s *sampled) Pop() any {
	last := s.files[len(s.files)-1]
	s.files = s.files[:len(s.files)-1]
	return last
}

// box is a file's bounds in each clustering column, as bytes that order as the values do; nil where it has none.
type box struct{ low, high [][]byte }

func boxOf(schema *iceberg.Schema, columns []table.SortField, f iceberg.DataFile) box {
	b := box{make([][]byte, len(columns)), make([][]byte, len(columns))}
	for i, c := range columns {
		field, ok := schema.FindFieldByID(c.SourceID())
		if !ok {
			continue
		}
		b.low[i] = ordered(field.Type, f.LowerBoundValues()[field.ID])
		b.high[i] = ordered(field.Type, f.UpperBoundValues()[field.ID])
	}
	return b
}

func (b box) overlaps(other box) bool {
	for i := range b.low {
		if b.low[i] == nil || b.high[i] == nil || other.low[i] == nil || other.high[i] == nil {
			continue
		}
		if bytes.Compare(b.low[i], other.high[i]) > 0 || bytes.Compare(other.low[i], b.high[i]) > 0 {
			return false
		}
	}
	return true
}

// ordered turns a bound of a manifest, in the specification's single-value form, into bytes that order as values of the type
// do; nil if it is none.
func ordered(t iceberg.Type, bound []byte) []byte {
	wide := func(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }
	switch t.(type) {
	case iceberg.StringType, iceberg.BinaryType, iceberg.FixedType, iceberg.UUIDType, iceberg.BooleanType:
		if bound == nil {
			return nil
		}
		return slices.Clone(bound)
	case iceberg.DecimalType:
		if len(bound) == 0 || len(bound) > 16 {
			return nil
		}
		fill := byte(0)
		if bound[0]&0x80 != 0 {
			fill = 0xff
		}
		out := append(bytes.Repeat([]byte{fill}, 16-len(bound)), bound...)
		out[0] ^= 0x80
		return out
	case iceberg.Float32Type, iceberg.Float64Type:
		v, ok := floatBound(bound)
		if !ok || math.IsNaN(v) {
			return nil
		}
		bits := math.Float64bits(v)
		if bits>>63 != 0 {
			return wide(^bits)
		}
		return wide(bits | 1<<63)
	}
	switch len(bound) { // a promoted column's older bounds are narrower
	case 4:
		return wide(uint64(int64(int32(binary.LittleEndian.Uint32(bound)))) ^ 1<<63)
	case 8:
		return wide(binary.LittleEndian.Uint64(bound) ^ 1<<63)
	}
	return nil
}

func floatBound(bound []byte) (float64, bool) {
	switch len(bound) {
	case 4:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(bound))), true
	case 8:
		return math.Float64frombits(binary.LittleEndian.Uint64(bound)), true
	}
	return 0, false
}
