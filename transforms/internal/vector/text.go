package vector

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// TextBuilder makes a string or binary array: the bytes of a row are appended to Data, then End closes the row.
type TextBuilder struct {
	Data    []byte
	offsets []int32
	over    bool
}

// NewTextBuilder expects n rows of about size bytes in all.
func NewTextBuilder(n, size int) *TextBuilder {
	b := &TextBuilder{Data: make([]byte, 0, size), offsets: make([]int32, 1, n+1)}
	return b
}

// Append adds s to the row.
func (b *TextBuilder) Append(s string) { b.Data = append(b.Data, s...) }

// End closes a row.
func (b *TextBuilder) End() {
	if len(b.Data) > math.MaxInt32 {
		b.over = true
		b.Data = b.Data[:b.offsets[len(b.offsets)-1]]
	}
	b.offsets = append(b.offsets, int32(len(b.Data)))
}

// Cut drops what was appended since the last End.
func (b *TextBuilder) Cut() { b.Data = b.Data[:b.offsets[len(b.offsets)-1]] }

// Finish makes the array. It is an error for a batch to hold 2 GiB of text or more.
func (b *TextBuilder) Finish(dt arrow.DataType, valid Bits) (arrow.Array, error) {
	if b.over {
		return nil, fmt.Errorf("a batch's column exceeds 2 GiB")
	}
	return Make(dt, len(b.offsets)-1, valid, Buffer(b.offsets), memory.NewBufferBytes(b.Data)), nil
}

// StringOf is s's bytes as a string, without a copy.
func StringOf(s []byte) string { return unsafe.String(unsafe.SliceData(s), len(s)) }

// BytesOf is s's bytes, without a copy: they must not be written.
func BytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
