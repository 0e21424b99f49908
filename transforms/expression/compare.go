package expression

import (
	"bytes"
	"cmp"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

type compareOp uint8

const (
	opEq compareOp = iota
	opNe
	opLt
	opLe
	opGt
	opGe
)

// swapped is the operator for which b op a equals a op b.
var swapped = [...]compareOp{opEq: opEq, opNe: opNe, opLt: opGt, opLe: opGe, opGt: opLt, opGe: opLe}

// holds says whether an order of -1, 0 or 1 fulfils the operator.
func (op compareOp) holds(order int) bool {
	switch op {
	case opEq:
		return order == 0
	case opNe:
		return order != 0
	case opLt:
		return order < 0
	case opLe:
		return order <= 0
	case opGt:
		return order > 0
	}
	return order >= 0
}

// compareKernel compares values of one type.
func compareKernel(op compareOp, t arrow.DataType) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		a, b := args[0], args[1]
		valid := ev.valid(args, n)
		var out vector.Bits
		switch kindOf(t) {
		case kindInt, kindDate:
			out = compareFixed[int32](op, a, b, n)
		case kindLong, kindTime, kindTimestamp, kindTimestampTz, kindDuration:
			out = compareFixed[int64](op, a, b, n)
		case kindFloat:
			out = compareFloats[float32](op, a, b, n, orderedFloat32)
		case kindDouble:
			out = compareFloats[float64](op, a, b, n, orderedFloat64)
		case kindString, kindBinary:
			out = compareTexts(op, a, b, n)
		default:
			out = compareRows(op, orderOf(t, a, b), valid, n)
		}
		return vector.FromBools(out, n, valid), nil, nil
	}
}

func compareFixed[T vector.Fixed](op compareOp, a, b vec, n int) vector.Bits {
	switch av := any(vector.Values[T](a.arr)).(type) {
	case []int32:
		return compareValues(op, av, vector.Values[int32](b.arr), a.single, b.single, n)
	case []int64:
		return compareValues(op, av, vector.Values[int64](b.arr), a.single, b.single, n)
	}
	return vector.NewBits(n)
}

// compareFloats gives floats SQL's order: NaN equals NaN and is above every number. Without a NaN it is IEEE's.
func compareFloats[T float32 | float64, K cmp.Ordered](op compareOp, a, b vec, n int, key func(T) K) vector.Bits {
	av, bv := vector.Values[T](a.arr), vector.Values[T](b.arr)
	if !hasNaN(av) && !hasNaN(bv) {
		return compareValues(op, av, bv, a.single, b.single, n)
	}
	return compareValues(op, keys(av, key), keys(bv, key), a.single, b.single, n)
}

func hasNaN[T float32 | float64](values []T) bool {
	found := false
	for _, v := range values {
		found = found || v != v
	}
	return found
}

func keys[T, K any](values []T, key func(T) K) []K {
	out := make([]K, len(values))
	for i, v := range values {
		out[i] = key(v)
	}
	return out
}

// orderedFloat64 maps floats to integers of the same order: -0 is 0, NaN the greatest.
func orderedFloat64(f float64) int64 {
	if f != f {
		return math.MaxInt64
	}
	bits := int64(math.Float64bits(f + 0))
	if bits < 0 {
		return math.MinInt64 - bits
	}
	return bits
}

func orderedFloat32(f float32) int64 { return orderedFloat64(float64(f)) }

// compareValues compares columns with columns or with a single value.
func compareValues[T cmp.Ordered](op compareOp, a, b []T, aSingle, bSingle bool, n int) vector.Bits {
	out := vector.NewBits(n)
	if n == 0 {
		return out
	}
	if aSingle && !bSingle {
		a, b, op, bSingle = b, a, swapped[op], true
	} else if aSingle {
		bSingle = false // one value with one value
	}
	inverted := op == opNe || op == opGt || op == opGe
	switch op {
	case opNe:
		op = opEq
	case opGt:
		op = opLe
	case opGe:
		op = opLt
	}
	if bSingle {
		compareSingle(op, a[:n], b[0], out)
	} else {
		comparePairs(op, a[:n], b[:n], out)
	}
	if inverted {
		for i := range out {
			out[i] = ^out[i]
		}
	}
	return out
}

// bit is 1 for true; the compiler makes it one instruction.
func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// compareSingle sets out's bits. The loops are apart so that each is tight: a byte of out is made in a register.
func compareSingle[T cmp.Ordered](op compareOp, a []T, b T, out vector.Bits) {
	for k := range out {
		part, bits := a[8*k:min(8*k+8, len(a))], byte(0)
		switch op {
		case opEq:
			for j, v := range part {
				bits |= bit(v == b) << j
			}
		case opLt:
			for j, v := range part {
				bits |= bit(v < b) << j
			}
		case opLe:
			for j, v := range part {
				bits |= bit(v <= b) << j
			}
		}
		out[k] = bits
	}
}

func comparePairs[T cmp.Ordered](op compareOp, a, b []T, out vector.Bits) {
	for k := range out {
		part, bits := a[8*k:min(8*k+8, len(a))], byte(0)
		other := b[8*k:][:len(part)]
		switch op {
		case opEq:
			for j, v := range part {
				bits |= bit(v == other[j]) << j
			}
		case opLt:
			for j, v := range part {
				bits |= bit(v < other[j]) << j
			}
		case opLe:
			for j, v := range part {
				bits |= bit(v <= other[j]) << j
			}
		}
		out[k] = bits
	}
}

func compareTexts(op compareOp, a, b vec, n int) vector.Bits {
	at, bt, sa, sb := vector.TextsOf(a.arr), vector.TextsOf(b.arr), a.stride(), b.stride()
	out := vector.NewBits(n)
	if op == opEq || op == opNe {
		if b.single && !a.single {
			return equalsText(at, bt.At(0), op == opEq, n)
		}
		for i := range n {
			out[i>>3] |= bit((at.At(i*sa) == bt.At(i*sb)) == (op == opEq)) << (i & 7)
		}
		return out
	}
	for i := range n {
		if op.holds(bytes.Compare(at.Bytes(i*sa), bt.Bytes(i*sb))) {
			out.Set(i)
		}
	}
	return out
}

// equalsText compares with one value: by the first eight bytes in a register, and by all only where those agree.
func equalsText(in vector.Texts, want string, equal bool, n int) vector.Bits {
	head, mask := vector.Head(vector.BytesOf(want))
	out, flip := vector.NewBits(n), bit(!equal)
	for i := range n {
		same := bit(in.Len(i) == len(want)) & bit(in.Head(i)&mask == head) // no branch: text comes in no order
		if len(want) > 8 && same == 1 {
			same = bit(in.At(i) == want)
		}
		out[i>>3] |= (same ^ flip) << (i & 7)
	}
	return out
}

func compareRows(op compareOp, order func(i int) int, valid vector.Bits, n int) vector.Bits {
	out := vector.NewBits(n)
	for i := range n {
		if valid.IsValid(i) && op.holds(order(i)) {
			out.Set(i)
		}
	}
	return out
}

// orderOf compares row by row, for the types that have no tight loop. Of nested values only equality is known.
func orderOf(t arrow.DataType, a, b vec) func(i int) int {
	sa, sb := a.stride(), b.stride()
	switch kindOf(t) {
	case kindBool:
		av, bv := vector.Bools(a.arr), vector.Bools(b.arr)
		return func(i int) int { return int(bit(av.Get(i*sa))) - int(bit(bv.Get(i*sb))) }
	case kindUUID, kindFixed:
		width := t.(interface{ Bytes() int }).Bytes()
		av, bv := vector.FixedBytesOf(a.arr, width), vector.FixedBytesOf(b.arr, width)
		return func(i int) int { return bytes.Compare(av.Bytes(i*sa), bv.Bytes(i*sb)) }
	}
	return func(i int) int {
		x, y := int64(i*sa), int64(i*sb)
		if array.SliceEqual(a.arr, x, x+1, b.arr, y, y+1) {
			return 0
		}
		return 1
	}
}

// decimalCompareKernel compares decimals exactly, whatever their scales.
func decimalCompareKernel(op compareOp, ta, tb *arrow.Decimal128Type) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		a, b := vector.Values[decimal128.Num](args[0].arr), vector.Values[decimal128.Num](args[1].arr)
		sa, sb := args[0].stride(), args[1].stride()
		out := vector.NewBits(n)
		for i := range n {
			if op.holds(compareDecimals(a[i*sa], ta.Scale, b[i*sb], tb.Scale)) {
				out.Set(i)
			}
		}
		return vector.FromBools(out, n, ev.valid(args, n)), nil, nil
	}
}

func compareDecimals(a decimal128.Num, as int32, b decimal128.Num, bs int32) int {
	if as == bs {
		return a.Cmp(b)
	}
	if as > bs {
		return -compareDecimals(b, bs, a, as)
	}
	// a has the smaller scale: a value that 128 bits cannot hold at b's scale is beyond every b.
	m, negative := magnitudeOf(a)
	up, ok := m.shift(bs - as)
	if !ok || !up.less(limits[maxPrecision]) {
		return a.Sign()
	}
	return up.signed(negative).Cmp(b)
}
