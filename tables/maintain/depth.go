package maintain

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// depthSample is of how many files the overlaps are counted.
const depthSample = 1000

// Depth is a clustering's depth: in how many files of tasks, on average over them, the bounds overlap those of a file in every
// one of the columns, itself counted. It is 1 where ranges are apart and len(tasks) where nothing can be skipped. A file without
// bounds overlaps all. tasks should be of one partition.
func Depth(schema *iceberg.Schema, columns []table.SortField, tasks []table.FileScanTask) float64 {
	if len(tasks) == 0 {
		return 0
	}
	boxes := make([]box, len(tasks))
	for i, t := range tasks {
		boxes[i] = boxOf(schema, columns, t.File)
	}
	stride := (len(tasks) + depthSample - 1) / depthSample
	seen, sum := 0, 0
	for i := 0; i < len(boxes); i += stride {
		seen++
		for j := range boxes {
			if boxes[i].overlaps(boxes[j]) {
				sum++
			}
		}
	}
	return float64(sum) / float64(seen)
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
