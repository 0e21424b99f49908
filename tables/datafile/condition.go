package datafile

import (
	"encoding/binary"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
)

// Condition is a filter as statistics are asked about it: files of a manifest by their bounds or partitions, manifests by
// their summaries, as pages are by a page index. Its answers leave out only what no row can pass the filter in, by the same
// rules by which a Reader evaluates it.
type Condition struct{ filter *filter }

// NewCondition binds a filter to a schema; nil where every row passes.
func NewCondition(schema *iceberg.Schema, expr iceberg.BooleanExpression) (*Condition, error) {
	f, err := bindFilter(schema, expr)
	if f == nil || err != nil {
		return nil, err
	}
	return &Condition{f}, nil
}

// Bounds are what is known of one column in many pieces of a table.
type Bounds = bounds

// NewBounds reads lower and upper bounds in the specification's single-value serialisation, nil where not known; nulls are
// the numbers of nulls, -1 where not known, and allNull says of which pieces it is known that all values are null. Bounds of a
// narrower type, as of files older than a promotion of the column, are read as such. It is nil where the type has no bounds.
func NewBounds(t iceberg.Type, low, high [][]byte, nulls []int64, allNull []bool) *Bounds {
	to, err := table.TypeToArrowType(t, false, false)
	if err != nil {
		return nil
	}
	lows, highs := array.NewBuilder(allocator, to), array.NewBuilder(allocator, to)
	defer lows.Release()
	defer highs.Release()
	for i := range low {
		at := lows.Len()
		if low[i] != nil && high[i] != nil && appendSerialised(lows, low[i]) && appendSerialised(highs, high[i]) {
			continue
		}
		if lows.Len() == at {
			lows.AppendNull()
			highs.AppendNull()
			continue
		}
		// Only the upper one could not be read: a bound without the other bounds nothing here.
		highs.AppendNull()
	}
	return &bounds{min: lows.NewArray(), max: highs.NewArray(), nulls: nulls, allNull: allNull}
}

// WithoutNaN adds of which pieces it is known that they have no NaN. Bounds leave NaNs out, so that they do not tell.
func (b *bounds) WithoutNaN(none []bool) *Bounds {
	if b != nil {
		b.noNaN = none
	}
	return b
}

// NewValues are the bounds of pieces each of which has one value, as a file has in its partition; nil is null. It is nil where
// the values are not of the type.
func NewValues(t iceberg.Type, values []any) *Bounds {
	to, err := table.TypeToArrowType(t, false, false)
	if err != nil {
		return nil
	}
	b := array.NewBuilder(allocator, to)
	defer b.Release()
	out := &bounds{single: true, nulls: make([]int64, len(values)), allNull: make([]bool, len(values))}
	for i, v := range values {
		if v == nil {
			out.nulls[i], out.allNull[i] = 1, true
			b.AppendNull()
			continue
		}
		if _, day := v.(iceberg.Date); day && to.ID() == arrow.TIMESTAMP {
			return nil // a date that was promoted since
		}
		if err := appendConstant(b, v, t); err != nil {
			return nil
		}
	}
	out.min = b.NewArray()
	out.max = out.min
	return out
}

// Narrow clears keep for the pieces that cannot hold a row that passes. known gives what is known of a column, nil for nothing.
func (c *Condition) Narrow(keep []bool, known func(iceberg.NestedField) *Bounds) {
	if c == nil {
		return
	}
	for i, may := range c.filter.root.mayMatch(len(keep), known) {
		keep[i] = keep[i] && may
	}
}

func (n *filterNode) mayMatch(pieces int, known func(iceberg.NestedField) *bounds) []bool {
	out := make([]bool, pieces)
	switch n.op {
	case iceberg.OpFalse:
		return out
	case iceberg.OpTrue:
	case iceberg.OpAnd, iceberg.OpOr:
		left, right := n.left.mayMatch(pieces, known), n.right.mayMatch(pieces, known)
		for i := range out {
			out[i] = left[i] && right[i] || n.op == iceberg.OpOr && (left[i] || right[i])
		}
		return out
	default:
		if b := known(n.leaf.field); b != nil {
			may := b.matcher(n.leaf)
			for i := range out {
				out[i] = may(i)
			}
			return out
		}
	}
	for i := range out {
		out[i] = true
	}
	return out
}

// appendSerialised appends a value in the specification's single-value serialisation, also one of a type that was promoted to
// the builder's. It is false for what it cannot read, and appends nothing then.
func appendSerialised(b array.Builder, v []byte) bool {
	switch b := b.(type) {
	case *array.StringBuilder:
		b.Append(string(v))
	case *array.BinaryBuilder:
		b.Append(v)
	case *array.FixedSizeBinaryBuilder:
		if len(v) != b.Type().(*arrow.FixedSizeBinaryType).ByteWidth {
			return false
		}
		b.Append(v)
	case *extensions.UUIDBuilder:
		id, err := uuid.FromBytes(v)
		if err != nil {
			return false
		}
		b.Append(id)
	case *array.BooleanBuilder:
		if len(v) != 1 {
			return false
		}
		b.Append(v[0] != 0)
	case *array.Decimal128Builder:
		if len(v) == 0 || len(v) > 16 {
			return false
		}
		b.Append(decimalFromBytes(v))
	case *array.Float32Builder:
		if len(v) != 4 {
			return false
		}
		b.Append(math.Float32frombits(binary.LittleEndian.Uint32(v)))
	case *array.Float64Builder:
		switch len(v) {
		case 4:
			b.Append(float64(math.Float32frombits(binary.LittleEndian.Uint32(v))))
		case 8:
			b.Append(math.Float64frombits(binary.LittleEndian.Uint64(v)))
		default:
			return false
		}
	default:
		return appendSerialisedInt(b, v)
	}
	return true
}

func appendSerialisedInt(b array.Builder, v []byte) bool {
	var n int64
	switch len(v) {
	case 4:
		n = int64(int32(binary.LittleEndian.Uint32(v)))
	case 8:
		n = int64(binary.LittleEndian.Uint64(v))
	default:
		return false
	}
	switch b := b.(type) {
	case *array.Int32Builder:
		if n != int64(int32(n)) {
			return false
		}
		b.Append(int32(n))
	case *array.Date32Builder:
		if len(v) != 4 {
			return false
		}
		b.Append(arrow.Date32(n))
	case *array.Int64Builder:
		b.Append(n)
	case *array.Time64Builder:
		if len(v) != 8 {
			return false
		}
		b.Append(arrow.Time64(n))
	case *array.TimestampBuilder:
		if len(v) != 8 { // 4 bytes: a date, promoted
			return false
		}
		b.Append(arrow.Timestamp(n))
	default:
		return false
	}
	return true
}

// decimalFromBytes reads a two's complement number of up to 16 bytes, the most significant first.
func decimalFromBytes(v []byte) decimal128.Num {
	var wide [16]byte
	if v[0]&0x80 != 0 {
		for i := range wide {
			wide[i] = 0xff
		}
	}
	copy(wide[16-len(v):], v)
	return decimal128.New(int64(binary.BigEndian.Uint64(wide[:8])), binary.BigEndian.Uint64(wide[8:]))
}
