package datafile

import (
	"encoding/binary"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/tables/internal/rows"
)

const (
	packedBytes  = 16
	unpackedText = 36
)

// packedKind is what texts that are UUIDs, in the usual form with small letters, are as their 16 bytes: a type of that width which
// no column of a table has. The texts come out of it bit by bit as they went in; any other is not packed.
var packedKind = arrow.FixedWidthTypes.MonthDayNanoInterval

const (
	ones    = 0x0101010101010101
	nibbles = 0x0f0f0f0f0f0f0f0f
)

// pack makes 16 bytes of a text of 36, and says whether unpack36 makes the text of them.
func pack(to []byte, text []byte) bool {
	_, _ = to[packedBytes-1], text[unpackedText-1]
	a, badA := packDigits(binary.LittleEndian.Uint64(text))
	b, badB := packDigits(uint64(binary.LittleEndian.Uint32(text[9:])) | uint64(binary.LittleEndian.Uint32(text[14:]))<<32)
	c, badC := packDigits(uint64(binary.LittleEndian.Uint32(text[19:])) | uint64(binary.LittleEndian.Uint32(text[24:]))<<32)
	d, badD := packDigits(binary.LittleEndian.Uint64(text[28:]))
	binary.LittleEndian.PutUint32(to, a)
	binary.LittleEndian.PutUint32(to[4:], b)
	binary.LittleEndian.PutUint32(to[8:], c)
	binary.LittleEndian.PutUint32(to[12:], d)
	return badA|badB|badC|badD == 0 && text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-'
}

// packDigits makes four bytes of eight hexadecimal digits, the first in the lowest byte. bad is 0 if all are digits.
func packDigits(digits uint64) (packed uint32, bad uint64) {
	values := digits&nibbles + digits>>6&ones*9
	bad = values&^uint64(nibbles) | (digitsOf(values) ^ digits)
	pairs := (values<<4 | values>>8) & 0x00ff00ff00ff00ff
	pairs = (pairs | pairs>>8) & 0x0000ffff0000ffff
	return uint32(pairs | pairs>>16), bad
}

// digitsOf are the digits of eight values below 16.
func digitsOf(values uint64) uint64 {
	letters := (values + 6*ones) >> 4 & ones
	return values + '0'*ones + letters*('a'-'0'-10)
}

func unpackDigits(packed uint32) uint64 {
	pairs := uint64(packed)
	pairs = (pairs | pairs<<16) & 0x0000ffff0000ffff
	pairs = (pairs | pairs<<8) & 0x00ff00ff00ff00ff
	return digitsOf((pairs>>4 | pairs<<8) & nibbles)
}

// unpack36 makes the text of 36 bytes of what pack made of it.
func unpack36(to []byte, packed []byte) {
	_, _ = to[unpackedText-1], packed[packedBytes-1]
	binary.LittleEndian.PutUint64(to, unpackDigits(binary.LittleEndian.Uint32(packed)))
	b, c := unpackDigits(binary.LittleEndian.Uint32(packed[4:])), unpackDigits(binary.LittleEndian.Uint32(packed[8:]))
	to[8] = '-'
	binary.LittleEndian.PutUint32(to[9:], uint32(b))
	to[13] = '-'
	binary.LittleEndian.PutUint32(to[14:], uint32(b>>32))
	to[18] = '-'
	binary.LittleEndian.PutUint32(to[19:], uint32(c))
	to[23] = '-'
	binary.LittleEndian.PutUint32(to[24:], uint32(c>>32))
	binary.LittleEndian.PutUint64(to[28:], unpackDigits(binary.LittleEndian.Uint32(packed[12:])))
}

// packed is an array's texts, each in 16 bytes; nil where not all can be.
func packed(a arrow.Array) arrow.Array {
	offsets, data := rows.TextOf(a)
	buf := newBuffer(packedBytes * int64(a.Len()))
	defer buf.Release()
	to, nulls := buf.Bytes(), a.NullN() > 0
	for i := range a.Len() {
		own := to[packedBytes*i : packedBytes*i+packedBytes]
		if nulls && a.IsNull(i) {
			clear(own)
			continue
		}
		if text := data[offsets[i]:offsets[i+1]]; len(text) != unpackedText || !pack(own, text) {
			return nil
		}
	}
	valid := cutValidity(a)
	defer release(valid)
	return arrayOf(packedKind, a.Len(), a.NullN(), []*memory.Buffer{valid, buf}, nil)
}

// packedValues are the bytes of a packed array's texts.
func packedValues(a arrow.Array) []byte {
	return a.Data().Buffers()[1].Bytes()[packedBytes*a.Data().Offset():]
}

// unpacked is a packed array as texts of a type. It is for up to 32 Mi rows, whose texts fit into an array.
func unpacked(a arrow.Array, kind arrow.DataType) arrow.Array {
	n, nulls, from := a.Len(), a.NullN() > 0, packedValues(a)
	starts, data := newBuffer(4*int64(n+1)), newBuffer(unpackedText*int64(n-a.NullN()))
	defer starts.Release()
	defer data.Release()
	ends, to := arrow.Int32Traits.CastFromBytes(starts.Bytes()), data.Bytes()
	ends[0] = 0
	for i := range n {
		at := ends[i]
		ends[i+1] = at
		if nulls && a.IsNull(i) {
			continue
		}
		unpack36(to[at:at+unpackedText], from[packedBytes*i:packedBytes*i+packedBytes])
		ends[i+1] = at + unpackedText
	}
	var valid *memory.Buffer
	if nulls {
		valid = newBuffer(bitutil.BytesForBits(int64(n)))
		defer valid.Release()
		bitutil.CopyBitmap(a.NullBitmapBytes(), a.Data().Offset(), n, valid.Bytes(), 0)
	}
	return arrayOf(kind, n, a.NullN(), []*memory.Buffer{valid, starts, data}, nil)
}

// isPacked tells packed texts.
func isPacked(a arrow.Array) bool { _, ok := a.(*array.MonthDayNanoInterval); return ok }
