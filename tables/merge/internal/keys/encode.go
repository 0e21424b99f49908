package keys

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
)

var errTooLong = errors.New("the keys of one batch exceed 2 GiB")

func (l *Layout) mismatch(c int, a arrow.Array) error {
	return fmt.Errorf("key column %d is %s where %s is compared", c, a.DataType(), l.types[c])
}

func isText(a arrow.Array) bool {
	switch a.(type) {
	case *array.String, *array.Binary:
		return true
	}
	return false
}

// wideColumn gives two words for each value of a 16-byte column.
func (l *Layout) wideColumn(v *Vector, c int, a arrow.Array) ([]uint64, error) {
	switch t := a.(type) {
	case *extensions.UUIDArray:
		return l.wideColumn(v, c, t.Storage())
	case *array.FixedSizeBinary:
		if b := t.Data().Buffers()[1]; b != nil {
			at := t.Data().Offset()
			return asWords(b.Bytes()[16*at : 16*(at+t.Len())]), nil
		}
		return make([]uint64, 2*t.Len()), nil
	case *array.Decimal128:
		if t.DataType().(*arrow.Decimal128Type).Scale == scaleOf(l.types[c]) {
			return asWords(t.Values()), nil
		}
		return l.rescaled(v, c, t.Len(), scaleOf(t.DataType()), t.Value), nil
	}
	if l.types[c].ID() == arrow.DECIMAL128 && isInteger(a.DataType()) {
		column, err := l.wordColumn(v, c, a)
		if err != nil {
			return nil, err
		}
		return l.rescaled(v, c, a.Len(), 0, func(i int) decimal128.Num { return decimal128.FromI64(int64(column[i])) }), nil
	}
	return nil, l.mismatch(c, a)
}

// rescaled brings decimals to the layout's scale. What does not fit there
// equals nothing.
func (l *Layout) rescaled(v *Vector, c, n int, scale int32, value func(int) decimal128.Num) []uint64 {
	out := make([]decimal128.Num, n)
	up := scaleOf(l.types[c]) - scale
	for i := range n {
		if !v.Valid(i) {
			continue
		}
		x := value(i)
		switch {
		case x.FitsInPrecision(38 - up):
			out[i] = x.IncreaseScaleBy(up)
		case l.nullSafe:
			// Validity is part of the key's bytes: use a value that no decimal
			// of 38 digits has.
			out[i] = decimal128.New(math.MinInt64, uint64(i))
		default:
			v.invalidate(i)
		}
	}
	return asWords(out)
}

// encodeRows lays a key's columns behind each other: of each, if nulls can
// match, a byte that says whether it is null; then the words, or the length and
// the bytes.
func (l *Layout) encodeRows(v *Vector, columns []arrow.Array) error {
	if err := l.placeRows(v, columns); err != nil {
		return err
	}
	at := grow(v.ownWords, v.n) // where the next column of each row goes
	v.ownWords = at
	for i := range v.n {
		at[i] = uint64(v.offsets[i])
	}
	for c, a := range columns {
		if l.nullSafe {
			for i := range v.n {
				v.data[at[i]] = 0
				if a.IsValid(i) {
					v.data[at[i]] = 1
				}
				at[i]++
			}
		}
		if err := l.encodeColumn(v, c, a, at); err != nil {
			return err
		}
	}
	return nil
}

// placeRows sets the offsets of all rows and makes room for their bytes.
func (l *Layout) placeRows(v *Vector, columns []arrow.Array) error {
	fixed := 0
	for _, f := range l.forms {
		switch f {
		case formWord, formFloat:
			fixed += 8
		case formWide:
			fixed += 16
		case formText:
			fixed += 4
		}
		if l.nullSafe {
			fixed++
		}
	}
	v.ownOffsets = grow(v.ownOffsets, v.n+1)
	end := int64(0)
	for i := range v.n {
		v.ownOffsets[i] = int32(end)
		end += int64(fixed)
		for c, f := range l.forms {
			if f == formText {
				end += int64(len(textAt(columns[c], i)))
			}
		}
		if end > math.MaxInt32 {
			return errTooLong
		}
	}
	v.ownOffsets[v.n] = int32(end)
	v.ownData = grow(v.ownData, int(end))
	v.offsets, v.data = v.ownOffsets, v.ownData
	return nil
}

func (l *Layout) encodeColumn(v *Vector, c int, a arrow.Array, at []uint64) error {
	switch l.forms[c] {
	case formWord, formFloat:
		column, err := l.wordColumn(v, c, a)
		if err != nil {
			return err
		}
		for i, w := range column {
			if a.IsNull(i) {
				w = 0
			}
			binary.LittleEndian.PutUint64(v.data[at[i]:], w)
			at[i] += 8
		}
	case formWide:
		column, err := l.wideColumn(v, c, a)
		if err != nil {
			return err
		}
		for i := range v.n {
			lo, hi := column[2*i], column[2*i+1]
			if a.IsNull(i) {
				lo, hi = 0, 0
			}
			binary.LittleEndian.PutUint64(v.data[at[i]:], lo)
			binary.LittleEndian.PutUint64(v.data[at[i]+8:], hi)
			at[i] += 16
		}
	default:
		for i := range v.n {
			b := textAt(a, i)
			binary.LittleEndian.PutUint32(v.data[at[i]:], uint32(len(b)))
			copy(v.data[at[i]+4:], b)
			at[i] += 4 + uint64(len(b))
		}
	}
	return nil
}

// textAt is the bytes of one value of a column of formText; empty for a null.
func textAt(a arrow.Array, i int) []byte {
	if a.IsNull(i) {
		return nil
	}
	switch a := a.(type) {
	case *array.String:
		return []byte(a.Value(i))
	case *array.Binary:
		return a.Value(i)
	case *array.FixedSizeBinary:
		return a.Value(i)
	}
	return nil
}
