package datafile

import (
	"encoding/binary"
	"math/bits"
)

const (
	deltaBlock     = 128 // values
	deltaMiniBlock = 32
)

// deltaEncoder encodes whole numbers as Parquet's DELTA_BINARY_PACKED: of each block the least difference between neighbours, and how
// far the others lie above it in as few bits as the greatest of a miniblock takes. Numbers of 32 bits differ modulo 2^32, so that
// no difference takes more than 32 bits.
type deltaEncoder struct {
	narrow      bool // numbers of 32 bits
	count       int
	first, last int64
	deltas      [deltaBlock]int64
	buffered    int    // deltas
	blocks      []byte // those that are full
}

func (e *deltaEncoder) reset(narrow bool) {
	e.narrow, e.count, e.buffered, e.blocks = narrow, 0, 0, e.blocks[:0]
}

func (e *deltaEncoder) add(values []int64) {
	if len(values) == 0 {
		return
	}
	if e.count == 0 {
		e.first, e.last, values, e.count = values[0], values[0], values[1:], 1
	}
	e.count += len(values)
	for len(values) > 0 {
		n := min(deltaBlock-e.buffered, len(values))
		to, last := e.deltas[e.buffered:e.buffered+n], e.last
		for i, v := range values[:n] {
			to[i], last = v-last, v
		}
		if e.narrow {
			for i, d := range to {
				to[i] = int64(int32(d))
			}
		}
		e.last, values, e.buffered = last, values[n:], e.buffered+n
		if e.buffered == deltaBlock {
			e.flush()
		}
	}
}

// flush encodes the deltas buffered as a block. Only the last one of a page is not full: its miniblocks without values take no bytes,
// and one with some is as long as a full one.
func (e *deltaEncoder) flush() {
	deltas := e.deltas[:e.buffered]
	least := deltas[0]
	for _, d := range deltas {
		least = min(least, d)
	}
	e.blocks = binary.AppendVarint(e.blocks, least)
	widths := len(e.blocks)
	e.blocks = append(e.blocks, make([]byte, deltaBlock/deltaMiniBlock)...)
	for m := 0; m*deltaMiniBlock < len(deltas); m++ {
		own := deltas[m*deltaMiniBlock : min((m+1)*deltaMiniBlock, len(deltas))]
		var above [deltaMiniBlock]uint64
		used := uint64(0)
		for i, d := range own {
			above[i] = uint64(d - least)
			if e.narrow {
				above[i] = uint64(uint32(above[i]))
			}
			used |= above[i]
		}
		width := bits.Len64(used)
		e.blocks[widths+m] = byte(width)
		e.blocks = appendPacked(e.blocks, &above, width)
	}
	e.buffered = 0
}

// appendPacked appends numbers of so many bits, the lowest bit of the first one first.
func appendPacked(out []byte, numbers *[deltaMiniBlock]uint64, width int) []byte {
	if width == 0 {
		return out
	}
	have, n := uint64(0), 0
	for _, v := range numbers {
		have |= v << n
		if n += width; n >= 64 {
			out = binary.LittleEndian.AppendUint64(out, have)
			n -= 64
			have = v >> (width - n)
		}
	}
	if n > 0 { // 32 numbers end within a word only at its half
		out = binary.LittleEndian.AppendUint32(out, uint32(have))
	}
	return out
}

// size is about what finish will append.
func (e *deltaEncoder) size() int { return len(e.blocks) }

// finish appends all that was added.
func (e *deltaEncoder) finish(out []byte) []byte {
	if e.buffered > 0 {
		e.flush()
	}
	out = binary.AppendUvarint(out, deltaBlock)
	out = binary.AppendUvarint(out, deltaBlock/deltaMiniBlock)
	out = binary.AppendUvarint(out, uint64(e.count))
	first := int64(0)
	if e.count > 0 {
		first = e.first
	}
	return append(binary.AppendVarint(out, first), e.blocks...)
}
