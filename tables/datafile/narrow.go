package datafile

import (
	"encoding/binary"
	"math"
	"math/bits"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// narrowing is how whole numbers of 64 bits, and decimals that fit into them, lie in a spill file: how far each is above the least of
// its array, in as few whole bytes as that takes for the greatest. Numbers of one column lie near each other more often than not,
// and what is not written need not be read.
type narrowing struct {
	least uint64
	width int64 // bytes; 0 where values lie as in memory
}

// narrowBlock is how many values are narrowed, or widened, at a time, by way of memory that is used again.
const narrowBlock = 1 << 14

// narrowBlocks hold a block of values of up to eight bytes, each of which is written as eight.
var narrowBlocks = sync.Pool{New: func() any { return new([8 * (narrowBlock + 1)]byte) }}

// narrowingOf says how the values of an array may be narrowed: to no bytes where they cannot, or would not be shorter.
func narrowingOf(t arrow.DataType, values []byte) narrowing {
	least, most, wide := int64(math.MaxInt64), int64(math.MinInt64), int64(8)
	switch t.ID() {
	case arrow.INT64, arrow.TIMESTAMP, arrow.TIME64:
		for _, v := range arrow.Int64Traits.CastFromBytes(values) {
			least, most = min(least, v), max(most, v)
		}
	case arrow.DECIMAL128:
		wide = 16
		for _, d := range arrow.Decimal128Traits.CastFromBytes(values) {
			v := int64(d.LowBits())
			if d.HighBits() != v>>63 {
				return narrowing{}
			}
			least, most = min(least, v), max(most, v)
		}
	default:
		return narrowing{}
	}
	if len(values) == 0 {
		return narrowing{}
	}
	width := max(int64(bits.Len64(uint64(most)-uint64(least))+7)/8, 1)
	if width >= wide {
		return narrowing{}
	}
	return narrowing{uint64(least), width}
}

// putFixed writes fixed-width values.
func (s *spill) putFixed(t arrow.DataType, values []byte) (at int64, n narrowing, err error) {
	if n = narrowingOf(t, values); n.width == 0 {
		at, err = s.write(values)
		return at, n, err
	}
	wide := 8
	if t.ID() == arrow.DECIMAL128 {
		wide = 16
	}
	total := int64(len(values)/wide) * n.width
	at = s.size.Add(total) - total
	block := narrowBlocks.Get().(*[8 * (narrowBlock + 1)]byte)
	defer narrowBlocks.Put(block)
	for to := at; len(values) > 0; {
		own := values[:min(len(values), narrowBlock*wide)]
		size := n.fill(block[:], own, wide)
		if _, err := s.file.WriteAt(block[:size], to); err != nil {
			return at, n, err
		}
		values, to = values[len(own):], to+int64(size)
	}
	return at, n, nil
}

// fill narrows values of so many bytes each, and says what they take.
func (n narrowing) fill(block, values []byte, wide int) (size int) {
	if wide == 16 {
		for _, d := range arrow.Decimal128Traits.CastFromBytes(values) {
			binary.LittleEndian.PutUint64(block[size:], d.LowBits()-n.least)
			size += int(n.width)
		}
		return size
	}
	for _, v := range arrow.Uint64Traits.CastFromBytes(values) {
		binary.LittleEndian.PutUint64(block[size:], v-n.least)
		size += int(n.width)
	}
	return size
}

// readFixed reads a part's fixed-width values of so many bytes each.
func (s *spill) readFixed(out []byte, wide int64, p part) error {
	n := p.narrow
	if n.width == 0 {
		return s.read(out, p.values+p.from*wide)
	}
	block := narrowBlocks.Get().(*[8 * (narrowBlock + 1)]byte)
	defer narrowBlocks.Put(block)
	for from := p.from; from < p.to; {
		count := min(p.to-from, narrowBlock)
		if err := s.read(block[:count*n.width], p.values+from*n.width); err != nil {
			return err
		}
		n.widen(out[(from-p.from)*wide:(from-p.from+count)*wide], block[:], wide)
		from += count
	}
	return nil
}

// widen is the inverse of fill.
func (n narrowing) widen(values, block []byte, wide int64) {
	mask, at := ^uint64(0)>>(64-8*n.width), int64(0)
	if wide == 16 {
		decimals := arrow.Decimal128Traits.CastFromBytes(values)
		for i := range decimals {
			v := binary.LittleEndian.Uint64(block[at:])&mask + n.least
			decimals[i] = decimal128.New(int64(v)>>63, v)
			at += n.width
		}
		return
	}
	words := arrow.Uint64Traits.CastFromBytes(values)
	for i := range words {
		words[i] = binary.LittleEndian.Uint64(block[at:])&mask + n.least
		at += n.width
	}
}
