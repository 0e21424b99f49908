package keys

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"
)

// Whatever the values and the order in which they come, Between is never less
// than the truth, and the truth is never more than the count.
func TestRangeNeverMissesAValue(t *testing.T) {
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		spread := uint(rnd.IntN(64))
		var all []int64
		r := NewRange()
		start := int64(rnd.Uint64())
		for batch := range 5 {
			b := array.NewInt64Builder(memory.DefaultAllocator)
			for i := range rnd.IntN(300) {
				x := start + int64(rnd.Uint64()>>spread)
				switch seed % 3 {
				case 1: // descending
					x = start - int64(batch*1000+i)
				case 2: // widening on both sides
					x = start + int64(batch*300+i)*int64(1-2*(i%2))<<(spread/4)
				}
				all = append(all, x)
				b.Append(x)
			}
			b.AppendNull()
			r.Add(b.NewArray())
		}
		require.True(t, r.Nulls())
		for range 100 {
			low := start + int64(rnd.Uint64()>>spread)
			high := low + int64(rnd.Uint64()>>(spread+1)>>rnd.IntN(20))
			if high < low {
				low, high = high, low
			}
			truth := uint64(0)
			for _, x := range all {
				if low <= x && x <= high {
					truth++
				}
			}
			got := r.Between(OrderInt(low), OrderInt(high))
			require.GreaterOrEqual(t, got, truth, "seed %d: [%d, %d]", seed, low, high)
			require.LessOrEqual(t, got, uint64(len(all)))
		}
	}
}

func TestRangeOfText(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 8))
		prefix := "user_"[:rnd.IntN(6)]
		var all [][]byte
		r := NewRange()
		for batch := range 3 {
			b := array.NewStringBuilder(memory.DefaultAllocator)
			for range 1 + rnd.IntN(100) {
				s := fmt.Sprint(prefix, rnd.IntN(100000))
				if batch == 2 && seed%5 == 0 {
					s = fmt.Sprint(rnd.IntN(1000)) // another prefix, later
				}
				all = append(all, []byte(s))
				b.Append(s)
			}
			r.Add(b.NewArray())
		}
		for range 100 {
			low, high := []byte(fmt.Sprint(prefix, rnd.IntN(100000))), []byte(fmt.Sprint(prefix[:rnd.IntN(len(prefix)+1)], rnd.IntN(100000)))
			if bytes.Compare(high, low) < 0 {
				low, high = high, low
			}
			truth := uint64(0)
			for _, x := range all {
				if bytes.Compare(low, x) <= 0 && bytes.Compare(x, high) <= 0 {
					truth++
				}
			}
			require.GreaterOrEqual(t, r.BetweenText(low, high), truth, "seed %d: [%s, %s]", seed, low, high)
		}
	}
}

// It is of use: dense values leave their surroundings empty.
func TestRangeTellsWhereNothingIs(t *testing.T) {
	b := array.NewInt64Builder(memory.DefaultAllocator)
	for i := range 1000 {
		b.Append(int64(i))
		b.Append(int64(1_000_000_000 + i))
	}
	r := NewRange()
	r.Add(b.NewArray())
	require.Zero(t, r.Between(OrderInt(1_000_000), OrderInt(900_000_000)))
	require.Zero(t, r.Between(OrderInt(-5), OrderInt(-1)))
	require.LessOrEqual(t, r.Between(OrderInt(1_000_000_000), OrderInt(math.MaxInt64)), uint64(1100))

	f := array.NewFloat64Builder(memory.DefaultAllocator)
	f.AppendValues([]float64{math.Copysign(0, -1), 5, math.Inf(-1)}, nil)
	r = NewRange()
	r.Add(f.NewArray())
	zero, ok := OrderFloat(0)
	require.True(t, ok)
	require.NotZero(t, r.Between(zero, zero))
	f.Append(math.NaN())
	r.Add(f.NewArray())
	require.Equal(t, uint64(3), r.Between(1, 2), "with a NaN nothing is known")
	_, ok = OrderFloat(math.NaN())
	require.False(t, ok)

	s := array.NewStringBuilder(memory.DefaultAllocator)
	for i := range 100 {
		s.Append(fmt.Sprintf("order-%05d", i))
	}
	r = NewRange()
	r.Add(s.NewArray())
	require.Zero(t, r.BetweenText([]byte("order-00200"), []byte("order-1")))
	require.Zero(t, r.BetweenText([]byte("p"), []byte("q")))
	require.Equal(t, uint64(100), r.BetweenText([]byte("a"), []byte("z")))
	_, _, low, high, ok := r.Ends()
	require.True(t, ok)
	require.Equal(t, "order-00000 order-00099", string(low)+" "+string(high))

	l := array.NewListBuilder(memory.DefaultAllocator, arrow.PrimitiveTypes.Int32)
	l.Append(true)
	r = NewRange()
	r.Add(l.NewArray())
	_, _, _, _, ok = r.Ends()
	require.False(t, ok)
}
