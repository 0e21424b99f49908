package datafile

import (
	"encoding/binary"
	"math"
	"math/bits"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/varve-lake/varve/tables/internal/rows"
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

// narrowingOf says how the values of arrays may be narrowed: to no bytes where they cannot, or would not be shorter.
func narrowingOf(t arrow.DataType, arrays ...[]byte) narrowing {
	least, most, wide := int64(math.MaxInt64), int64(math.MinInt64), int64(8)
	for _, values := range arrays {
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
	}
	if least > most { // no values
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

// gatheredBlocks hold a block of values of up to sixteen bytes.
var gatheredBlocks = sync.Pool{New: func() any { return new([16 * narrowBlock]byte) }}

// gathering is fixed-width values of chunks, none of them null, on their way to a spill file in another order.
type gathering struct {
	chunks []arrow.Array
	width  int // bytes
	narrow narrowing
}

// newGathering is nil for chunks whose values are not of one fixed width of up to sixteen bytes, or of which some are null.
func newGathering(chunks []arrow.Array) *gathering {
	t := chunks[0].DataType()
	width, err := wholeBytes(t)
	if err != nil || width > 16 || t.ID() == arrow.EXTENSION {
		return nil
	}
	values := make([][]byte, 0, len(chunks))
	for _, c := range chunks {
		if c.NullN() > 0 || !arrow.TypeEqual(c.DataType(), t) {
			return nil
		}
		if b := bufferBytes(c, 1); b != nil {
			from := c.Data().Offset() * width
			values = append(values, b[from:from+c.Len()*width])
		}
	}
	return &gathering{chunks, width, narrowingOf(t, values...)}
}

// putGathered writes the values that refs name. They are never all in memory once more: a block at a time is gathered, and written.
func (s *spill) putGathered(g *gathering, refs []rows.Ref) (stored, error) {
	width := int64(g.width)
	if g.narrow.width > 0 {
		width = g.narrow.width
	}
	total := int64(len(refs)) * width
	out := stored{valid: allValid, narrow: g.narrow, coded: isCoded(g.chunks[0])}
	out.values = s.size.Add(total) - total
	gathered, narrowed := gatheredBlocks.Get().(*[16 * narrowBlock]byte), narrowBlocks.Get().(*[8 * (narrowBlock + 1)]byte)
	defer gatheredBlocks.Put(gathered)
	defer narrowBlocks.Put(narrowed)
	for to := out.values; len(refs) > 0; {
		own := refs[:min(len(refs), narrowBlock)]
		block := gathered[:len(own)*g.width]
		rows.GatherFixed(block, g.width, g.chunks, own)
		if g.narrow.width > 0 {
			block = narrowed[:g.narrow.fill(narrowed[:], block, g.width)]
		}
		if _, err := s.file.WriteAt(block, to); err != nil {
			return out, err
		}
		refs, to = refs[len(own):], to+int64(len(block))
	}
	return out, nil
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
