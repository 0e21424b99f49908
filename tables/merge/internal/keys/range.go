package keys

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
)

const (
	buckets   = 1 << 16
	maxPrefix = 64
)

// Range knows roughly where the values of one column lie, and how many of them
// are where: a file whose bounds enclose none of them need not be read. It is a
// histogram over an order-preserving map of values to words, whose buckets
// grow in width when a value falls outside.
type Range struct {
	count   uint64
	nulls   bool
	unknown bool // some value has no place in the order, as a NaN

	// Text is mapped by the 8 bytes behind the prefix that the first batch shares.
	prefix          []byte
	lowest, highest []byte

	low, high uint64 // of all words seen
	endsOnly  bool   // the histogram was given up
	shift     uint   // a bucket is 1<<shift words wide
	first     uint64 // the first bucket's words, shifted
	counts    []uint32
}

// NewRange returns the range of no values.
func NewRange() *Range { return &Range{} }

// Nulls tells whether there was a null.
func (r *Range) Nulls() bool { return r.nulls }

// Add puts in a column's values.
func (r *Range) Add(a arrow.Array) {
	r.nulls = r.nulls || a.NullN() > 0
	if r.unknown || a.NullN() == a.Len() {
		return
	}
	if e, ok := a.(*extensions.UUIDArray); ok {
		a = e.Storage()
	}
	at, ok := ordered(a)
	if !ok {
		if !isText(a) && a.DataType().ID() != arrow.FIXED_SIZE_BINARY {
			r.unknown = true
			return
		}
		at = r.orderedText(a)
	}
	for i := range a.Len() {
		if a.IsNull(i) {
			continue
		}
		w, ok := at(i)
		if !ok {
			r.unknown = true
			return
		}
		r.put(w)
	}
}

// ordered maps values other than text to words in the same order.
func ordered(a arrow.Array) (func(int) (uint64, bool), bool) {
	switch a := a.(type) {
	case *array.Boolean:
		return func(i int) (uint64, bool) {
			if a.Value(i) {
				return OrderInt(1), true
			}
			return OrderInt(0), true
		}, true
	case *array.Int8:
		return orderInts(a.Int8Values()), true
	case *array.Int16:
		return orderInts(a.Int16Values()), true
	case *array.Int32:
		return orderInts(a.Int32Values()), true
	case *array.Int64:
		return orderInts(a.Int64Values()), true
	case *array.Uint8:
		return orderInts(a.Uint8Values()), true
	case *array.Uint16:
		return orderInts(a.Uint16Values()), true
	case *array.Uint32:
		return orderInts(a.Uint32Values()), true
	case *array.Date32:
		return orderInts(a.Date32Values()), true
	case *array.Time64:
		return orderInts(a.Time64Values()), true
	case *array.Timestamp:
		return orderInts(a.TimestampValues()), true
	case *array.Float32:
		return func(i int) (uint64, bool) { return OrderFloat(float64(a.Value(i))) }, true
	case *array.Float64:
		return func(i int) (uint64, bool) { return OrderFloat(a.Value(i)) }, true
	case *array.Decimal128:
		return func(i int) (uint64, bool) {
			x := a.Value(i)
			// Those that fit in 64 bits have a place; others are rare enough.
			return OrderInt(int64(x.LowBits())), x.HighBits() == int64(x.LowBits())>>63
		}, true
	}
	return nil, false
}

func orderInts[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | arrow.Date32 | arrow.Time64 | arrow.Timestamp](values []T) func(int) (uint64, bool) {
	return func(i int) (uint64, bool) { return OrderInt(int64(values[i])), true }
}

// OrderInt maps integers to words in the same order.
func OrderInt(x int64) uint64 { return uint64(x) ^ 1<<63 }

// OrderFloat maps floating-point numbers to words in the same order, both zeros
// to one; a NaN has no place.
func OrderFloat(x float64) (uint64, bool) {
	b := math.Float64bits(x)
	if x == 0 {
		b = 0
	}
	if b>>63 == 1 {
		return ^b, x == x
	}
	return b | 1<<63, x == x
}

func (r *Range) orderedText(a arrow.Array) func(int) (uint64, bool) {
	if r.lowest == nil {
		r.findPrefix(a)
	}
	return func(i int) (uint64, bool) {
		b := textAt(a, i)
		if bytes.Compare(b, r.lowest) < 0 {
			r.lowest = slices.Clone(b)
		} else if bytes.Compare(b, r.highest) > 0 {
			r.highest = slices.Clone(b)
		}
		if !bytes.HasPrefix(b, r.prefix) {
			// Another prefix than expected: only the ends of the range are known.
			r.counts, r.endsOnly = nil, true
		}
		if r.endsOnly {
			return 0, true
		}
		return word8(b[len(r.prefix):]), true
	}
}

func (r *Range) findPrefix(a arrow.Array) {
	for i := range a.Len() {
		if a.IsNull(i) {
			continue
		}
		b := textAt(a, i)
		if r.lowest == nil || bytes.Compare(b, r.lowest) < 0 {
			r.lowest = append([]byte{}, b...)
		}
		if r.highest == nil || bytes.Compare(b, r.highest) > 0 {
			r.highest = append([]byte{}, b...)
		}
	}
	n := 0
	for n < min(len(r.lowest), len(r.highest), maxPrefix) && r.lowest[n] == r.highest[n] {
		n++
	}
	r.prefix = r.lowest[:n:n]
}

// word8 is the first 8 bytes, in big-endian order and padded with zeros.
func word8(b []byte) uint64 {
	var w [8]byte
	copy(w[:], b)
	return binary.BigEndian.Uint64(w[:])
}

// put counts one word.
func (r *Range) put(w uint64) {
	if r.count == 0 {
		r.low, r.high = w, w
	}
	r.count++
	r.low, r.high = min(r.low, w), max(r.high, w)
	if r.endsOnly {
		return
	}
	n := w >> r.shift
	if r.counts == nil || n < r.first || n-r.first >= buckets {
		r.fit()
		n = w >> r.shift
	}
	if c := &r.counts[n-r.first]; *c < math.MaxUint32 {
		*c++
	}
}

// fit widens the buckets until all words take up at most half of them, and puts
// those in the middle, so that the next fit is far away.
func (r *Range) fit() {
	old, oldFirst, oldShift := r.counts, r.first, r.shift
	for r.high>>r.shift-r.low>>r.shift >= buckets/2 {
		r.shift++
	}
	slack := buckets - (r.high>>r.shift - r.low>>r.shift) - 1
	r.first = r.low>>r.shift - min(r.low>>r.shift, slack/2)
	r.counts = make([]uint32, buckets)
	for i, c := range old {
		if c > 0 {
			to := &r.counts[(oldFirst+uint64(i))>>(r.shift-oldShift)-r.first]
			*to = uint32(min(uint64(*to)+uint64(c), math.MaxUint32))
		}
	}
}

// Between estimates, from above, how many values lie between two words.
func (r *Range) Between(low, high uint64) uint64 {
	if r.unknown {
		return max(r.count, 1)
	}
	if r.count == 0 || low > r.high || high < r.low || low > high {
		return 0
	}
	if r.endsOnly {
		return r.count
	}
	from, to := max(low, r.low)>>r.shift-r.first, min(high, r.high)>>r.shift-r.first
	sum := uint64(0)
	for _, c := range r.counts[from : to+1] {
		sum += uint64(c)
	}
	return sum
}

// BetweenText is Between for columns of text, UUIDs and bytes. The high bound
// may be cut short, but only so that it still bounds the values from above.
func (r *Range) BetweenText(low, high []byte) uint64 {
	if r.unknown {
		return max(r.count, 1)
	}
	if r.count == 0 || bytes.Compare(low, r.highest) > 0 || bytes.Compare(high, r.lowest) < 0 {
		return 0
	}
	if r.endsOnly {
		return r.count
	}
	from, to := uint64(0), uint64(math.MaxUint64)
	if bytes.HasPrefix(low, r.prefix) {
		from = word8(low[len(r.prefix):])
	}
	if bytes.HasPrefix(high, r.prefix) {
		to = word8(high[len(r.prefix):])
	}
	return r.Between(from, to)
}

// Ends are the lowest and highest value: of text as bytes, of others as words.
func (r *Range) Ends() (low, high uint64, lowest, highest []byte, ok bool) {
	return r.low, r.high, r.lowest, r.highest, r.count > 0 && !r.unknown
}
