package vector

import (
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
)

// Bits is a bitmap, bit i being bit i%8 of byte i/8. As a validity, nil stands for all ones. Bits beyond the length in
// use may have any value.
type Bits []byte

// NewBits makes n zero bits.
func NewBits(n int) Bits { return make(Bits, bitutil.BytesForBits(int64(n))) }

// Ones makes n one bits.
func Ones(n int) Bits {
	b := NewBits(n)
	for i := range b {
		b[i] = 0xff
	}
	return b
}

// Get is bit i.
func (b Bits) Get(i int) bool { return b[i>>3]&(1<<(i&7)) != 0 }

// Set makes bit i one.
func (b Bits) Set(i int) { b[i>>3] |= 1 << (i & 7) }

// Clear makes bit i zero.
func (b Bits) Clear(i int) { b[i>>3] &^= 1 << (i & 7) }

// IsValid is Get, for a validity that may be nil.
func (b Bits) IsValid(i int) bool { return b == nil || b[i>>3]&(1<<(i&7)) != 0 }

// Count is the number of ones among the first n bits.
func (b Bits) Count(n int) int { return bitutil.CountSetBits(b, 0, n) }

// Each calls f with the place of every one among the first n bits, in order, until it returns false.
func (b Bits) Each(n int, f func(i int) bool) {
	for k := range (n + 7) / 8 {
		for w := b[k]; w != 0; w &= w - 1 {
			i := k*8 + bits.TrailingZeros8(w)
			if i >= n || !f(i) {
				return
			}
		}
	}
}

// Copy is a copy of the first n bits.
func (b Bits) Copy(n int) Bits {
	c := NewBits(n)
	copy(c, b)
	return c
}

// Validity is arr's validity from its first row; nil when nothing is null. An array of type null is all null.
func Validity(arr arrow.Array) Bits {
	n := arr.Len()
	if arr.DataType().ID() == arrow.NULL {
		return NewBits(n)
	}
	if arr.NullN() == 0 {
		return nil
	}
	d := arr.Data()
	return aligned(d.Buffers()[0].Bytes(), d.Offset(), n)
}

// Bools are the values of a boolean array from its first row.
func Bools(arr arrow.Array) Bits {
	d := arr.Data()
	if d.Len() == 0 {
		return nil
	}
	return aligned(d.Buffers()[1].Bytes(), d.Offset(), d.Len())
}

// aligned is n bits from offset on; it copies only when offset is not at a byte's start.
func aligned(raw []byte, offset, n int) Bits {
	size := int(bitutil.BytesForBits(int64(n)))
	if offset%8 == 0 {
		return Bits(raw[offset/8 : offset/8+size])
	}
	out := NewBits(n)
	bitutil.CopyBitmap(raw, offset, n, out, 0)
	return out
}

// And is the validity of rows that are valid in both; it may be one of its operands.
func And(a, b Bits) Bits {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	out := make(Bits, min(len(a), len(b)))
	for i := range out {
		out[i] = a[i] & b[i]
	}
	return out
}
