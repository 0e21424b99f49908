package expression

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

// choose takes row i from a where the bit is one, else from b. Both have one type.
func choose(ev *evaluation, first vector.Bits, a, b vec) (arrow.Array, error) {
	dt, n := a.arr.DataType(), ev.rows
	switch kindOf(dt) {
	case kindNull:
		return array.NewNull(n), nil
	case kindBool:
		return chooseBools(first, a, b, n), nil
	case kindInt, kindDate:
		return chooseFixed[int32](dt, first, a, b, n), nil
	case kindLong, kindTime, kindTimestamp, kindTimestampTz, kindDuration:
		return chooseFixed[int64](dt, first, a, b, n), nil
	case kindFloat:
		return chooseFixed[float32](dt, first, a, b, n), nil
	case kindDouble:
		return chooseFixed[float64](dt, first, a, b, n), nil
	case kindDecimal:
		return chooseFixed[decimal128.Num](dt, first, a, b, n), nil
	case kindUUID:
		return chooseFixed[[16]byte](dt, first, a, b, n), nil
	case kindString, kindBinary:
		return chooseTexts(dt, first, a, b, n)
	}
	return chooseOther(ev, first, a, b, n)
}

// chooseValidity is the validity of the rows chosen.
func chooseValidity(first vector.Bits, a, b vec, n int) vector.Bits {
	va, vb := validityOf(a, n), validityOf(b, n)
	if va == nil && vb == nil {
		return nil
	}
	out := vector.NewBits(n)
	for i := range out {
		x, y := byte(0xff), byte(0xff)
		if va != nil {
			x = va[i]
		}
		if vb != nil {
			y = vb[i]
		}
		out[i] = x&first[i] | y&^first[i]
	}
	return out
}

func chooseBools(first vector.Bits, a, b vec, n int) arrow.Array {
	at, _ := truths(a, n)
	bt, _ := truths(b, n)
	out := vector.NewBits(n)
	for i := range out {
		out[i] = at[i]&first[i] | bt[i]&^first[i]
	}
	return vector.FromBools(out, n, chooseValidity(first, a, b, n))
}

func chooseFixed[T vector.Fixed](dt arrow.DataType, first vector.Bits, a, b vec, n int) arrow.Array {
	av, bv, sa, sb := vector.Values[T](a.arr), vector.Values[T](b.arr), a.stride(), b.stride()
	out := vector.Alloc[T](n)
	for i := range out {
		if first.Get(i) {
			out[i] = av[i*sa]
		} else {
			out[i] = bv[i*sb]
		}
	}
	return vector.FromValues(dt, out, chooseValidity(first, a, b, n))
}

func chooseTexts(dt arrow.DataType, first vector.Bits, a, b vec, n int) (arrow.Array, error) {
	at, bt, sa, sb := vector.TextsOf(a.arr), vector.TextsOf(b.arr), a.stride(), b.stride()
	valid := chooseValidity(first, a, b, n)
	out := vector.NewTextBuilder(n, at.Size()/2+bt.Size()/2)
	for i := range n {
		if valid.IsValid(i) {
			if first.Get(i) {
				out.Append(at.At(i * sa))
			} else {
				out.Append(bt.At(i * sb))
			}
		}
		out.End()
	}
	return out.Finish(dt, valid)
}

// chooseOther puts b behind a and gathers.
func chooseOther(ev *evaluation, first vector.Bits, a, b vec, n int) (arrow.Array, error) {
	both, err := array.Concatenate([]arrow.Array{a.arr, b.arr}, memory.DefaultAllocator)
	if err != nil {
		return nil, err
	}
	defer both.Release()
	at, sa, sb := make([]int32, n), a.stride(), b.stride()
	for i := range at {
		if first.Get(i) {
			at[i] = int32(i * sa)
		} else {
			at[i] = int32(a.arr.Len() + i*sb)
		}
	}
	return vector.Gather(ev.ctx, both, at)
}
