package datafile

import (
	"encoding/binary"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow/bitutil"
)

// appendLevels appends the definition levels of n rows of a flat column that may be null, as a version 1 page has them: runs of one
// level, or a row's bit that says whether it has a value, which Parquet packs as a bitmap is. valid is nil where none is null.
func appendLevels(out, valid []byte, from, n int) []byte {
	at := len(out)
	out = append(out, 0, 0, 0, 0)
	if valid == nil || bitutil.CountSetBits(valid, from, n) == n {
		out = append(binary.AppendUvarint(out, uint64(n)<<1), 1)
	} else {
		out = binary.AppendUvarint(out, uint64(n+7)/8<<1|1)
		bitmap := len(out)
		out = append(out, make([]byte, (n+7)/8)...)
		bitutil.CopyBitmap(valid, from, n, out[bitmap:], 0)
	}
	binary.LittleEndian.PutUint32(out[at:], uint32(len(out)-at-4))
	return out
}

// minRun is how many times, at a multiple of eight, an index comes before it is worth a run of its own.
const minRun = 16

// appendIndices appends indices into a dictionary of so many values, as a page's: the width in bits, then runs of one index and groups
// of eight packed ones.
func appendIndices(out []byte, indices []int32, values int) []byte {
	width := max(bits.Len32(uint32(values-1)), 1)
	out = append(out, byte(width))
	packed := 0 // indices that wait to be packed, in front of at
	for at := 0; at < len(indices); {
		run := 1
		for at+run < len(indices) && indices[at+run] == indices[at] {
			run++
		}
		if run >= minRun || run == len(indices)-at && packed == 0 {
			out = appendGroups(out, indices[at-packed:at], width)
			out = binary.AppendUvarint(out, uint64(run)<<1)
			for b := 0; b < width; b += 8 {
				out = append(out, byte(indices[at]>>b))
			}
			at, packed = at+run, 0
			continue
		}
		n := min(max(run&^7, 8), len(indices)-at)
		at, packed = at+n, packed+n
		if at == len(indices) {
			out = appendGroups(out, indices[at-packed:], width)
		}
	}
	return out
}

// appendGroups packs indices, the last group of eight filled with zeros.
func appendGroups(out []byte, indices []int32, width int) []byte {
	if len(indices) == 0 {
		return out
	}
	out = binary.AppendUvarint(out, uint64(len(indices)+7)/8<<1|1)
	have, n := uint64(0), 0
	end := len(out) + (len(indices)+7)/8*width
	for _, v := range indices {
		have |= uint64(uint32(v)) << n
		if n += width; n >= 32 {
			out = binary.LittleEndian.AppendUint32(out, uint32(have))
			have, n = have>>32, n-32
		}
	}
	for ; len(out) < end; have >>= 8 {
		out = append(out, byte(have))
	}
	return out
}
