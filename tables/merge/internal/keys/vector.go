package keys

import (
	"math"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"

	"github.com/varve-lake/varve/tables/internal/rows"
)

// Vector holds the keys of one batch. It may share memory with the arrays that
// it was made from, and is good for as long as they are. A Vector is reused by
// encoding into it again; it belongs to one goroutine.
type Vector struct {
	shape shape
	n     int
	words []uint64 // shapeWord: one a key; shapeWide: two a key
	// shapeBytes: key i is data[offsets[i]:offsets[i+1]].
	offsets []int32
	data    []byte
	// valid has a bit for each key, from bit validAt on; nil: all keys are valid.
	// A key that is not valid matches nothing.
	valid   []byte
	validAt int
	hashes  []uint64

	// Buffers to encode into, when the arrays' own memory does not do.
	ownWords   []uint64
	ownOffsets []int32
	ownData    []byte
	ownValid   []byte
	scratch    [2]words
}

// words is one column of a key of up to two words.
type words struct{ own []uint64 }

// Len is the number of keys.
func (v *Vector) Len() int { return v.n }

// Valid tells whether key i can match.
func (v *Vector) Valid(i int) bool { return v.valid == nil || bitutil.BitIsSet(v.valid, v.validAt+i) }

// Hashes are those of all keys; those of keys that are not valid mean nothing.
func (v *Vector) Hashes() []uint64 { return v.hashes }

// Encode makes v the keys that columns hold, one array for each of the layout's
// columns, of a type that Common has joined with the layout's. The arrays must
// not be dictionaries or large variants.
func (l *Layout) Encode(v *Vector, columns []arrow.Array) error {
	v.n = columns[0].Len()
	v.shape = l.shape
	v.valid, v.validAt = nil, 0
	if v.n == 0 {
		v.hashes = v.hashes[:0]
		return nil
	}
	if !l.nullSafe {
		v.joinValidity(columns)
	}
	var err error
	switch {
	case l.shape == shapeWord:
		v.words, err = l.wordColumn(v, 0, columns[0])
	case l.shape == shapeWide && len(columns) == 1:
		v.words, err = l.wideColumn(v, 0, columns[0])
	case l.shape == shapeWide:
		err = l.wordPair(v, columns)
	case len(columns) == 1 && !l.nullSafe && l.types[0].ID() != arrow.FIXED_SIZE_BINARY:
		if !isText(columns[0]) {
			return l.mismatch(0, columns[0])
		}
		v.offsets, v.data = rows.TextOf(columns[0])
	default:
		err = l.encodeRows(v, columns)
	}
	if err != nil {
		return err
	}
	v.hash()
	return nil
}

// joinValidity makes a key valid where all its columns are.
func (v *Vector) joinValidity(columns []arrow.Array) {
	for _, c := range columns {
		if c.NullN() == 0 {
			continue
		}
		bits, at := c.NullBitmapBytes(), c.Data().Offset()
		if v.valid == nil {
			v.valid, v.validAt = bits, at
			continue
		}
		v.ownValidity()
		for i := range v.n {
			if !bitutil.BitIsSet(bits, at+i) {
				bitutil.ClearBit(v.ownValid, i)
			}
		}
	}
}

// ownValidity copies the validity so that it can be changed.
func (v *Vector) ownValidity() {
	if v.valid != nil && len(v.ownValid) > 0 && &v.valid[0] == &v.ownValid[0] {
		return
	}
	bits := make([]byte, bitutil.BytesForBits(int64(v.n)))
	for i := range v.n {
		if v.Valid(i) {
			bitutil.SetBit(bits, i)
		}
	}
	v.ownValid, v.valid, v.validAt = bits, bits, 0
}

func (v *Vector) invalidate(i int) {
	v.ownValidity()
	bitutil.ClearBit(v.ownValid, i)
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// wordPair is a key of two columns of a word each.
func (l *Layout) wordPair(v *Vector, columns []arrow.Array) error {
	v.ownWords = grow(v.ownWords, 2*v.n)
	for c := range 2 {
		column, err := l.wordColumn(v, c, columns[c])
		if err != nil {
			return err
		}
		for i, w := range column {
			v.ownWords[2*i+c] = w
		}
	}
	v.words = v.ownWords
	return nil
}

// asWords sees fixed-width values as words without copying.
func asWords[T any](values []T) []uint64 {
	if len(values) == 0 {
		return nil
	}
	n := len(values) * int(unsafe.Sizeof(values[0])) / 8
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(values))), n)
}

func widen[T int8 | int16 | int32 | uint8 | uint16 | uint32 | arrow.Date32](to []uint64, values []T) []uint64 {
	to = grow(to, len(values))
	for i, x := range values {
		to[i] = uint64(int64(x))
	}
	return to
}

// wordColumn gives the words of one column: shared with the array where its
// values are words already, else in a buffer of v's for column c.
func (l *Layout) wordColumn(v *Vector, c int, a arrow.Array) ([]uint64, error) {
	own := &v.scratch[min(c, 1)].own
	switch a := a.(type) {
	case *array.Int64:
		return asWords(a.Int64Values()), nil
	case *array.Time64:
		return asWords(a.Time64Values()), nil
	case *array.Timestamp:
		return l.timestampWords(v, c, own, a), nil
	case *array.Int8:
		*own = widen(*own, a.Int8Values())
	case *array.Int16:
		*own = widen(*own, a.Int16Values())
	case *array.Int32:
		*own = widen(*own, a.Int32Values())
	case *array.Uint8:
		*own = widen(*own, a.Uint8Values())
	case *array.Uint16:
		*own = widen(*own, a.Uint16Values())
	case *array.Uint32:
		*own = widen(*own, a.Uint32Values())
	case *array.Date32:
		*own = widen(*own, a.Date32Values())
	case *array.Boolean:
		*own = grow(*own, a.Len())
		for i := range *own {
			(*own)[i] = 0
			if a.Value(i) {
				(*own)[i] = 1
			}
		}
	case *array.Float32:
		*own = grow(*own, a.Len())
		for i, x := range a.Float32Values() {
			(*own)[i] = canonical(float64(x))
		}
	case *array.Float64:
		*own = grow(*own, a.Len())
		for i, x := range a.Float64Values() {
			(*own)[i] = canonical(x)
		}
	default:
		return nil, l.mismatch(c, a)
	}
	return *own, nil
}

// canonical gives all NaNs one pattern and both zeros another, as Spark and
// DuckDB do for join keys.
func canonical(x float64) uint64 {
	if x == 0 {
		return 0
	}
	if x != x {
		return 0x7ff8000000000000
	}
	return math.Float64bits(x)
}

func (l *Layout) timestampWords(v *Vector, c int, own *[]uint64, a *array.Timestamp) []uint64 {
	from, to := a.DataType().(*arrow.TimestampType).Unit, l.types[c].(*arrow.TimestampType).Unit
	if from == to {
		return asWords(a.TimestampValues())
	}
	factor := int64(from.Multiplier() / to.Multiplier())
	*own = grow(*own, a.Len())
	for i, x := range a.TimestampValues() {
		y := int64(x) * factor
		if y/factor != int64(x) && v.Valid(i) {
			v.invalidate(i) // outside of the finer unit's range: equals nothing there
		}
		(*own)[i] = uint64(y)
	}
	return *own
}
