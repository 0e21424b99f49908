package datafile

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"
)

// Numbers of any range are read from disk as they were, any rows of several arrays together: in the bytes that their range takes.
func TestNarrowNumbersComeBack(t *testing.T) {
	s, err := newSpill(t.TempDir())
	require.NoError(t, err)
	defer s.close()
	rng := rand.New(rand.NewPCG(1, 14))
	widths := map[int64]int{}
	for _, kind := range []arrow.DataType{
		arrow.PrimitiveTypes.Int64, arrow.FixedWidthTypes.Timestamp_us, arrow.FixedWidthTypes.Time64us, &arrow.Decimal128Type{Precision: 18, Scale: 2}, &arrow.Decimal128Type{Precision: 38},
	} {
		for bits := range 66 {
			var parts []part
			var want []arrow.Array
			for range 3 {
				a := numbersOf(rng, kind, bits, 1+rng.IntN(200))
				if bits%20 == 3 {
					a = numbersOf(rng, kind, bits, 2*narrowBlock+rng.IntN(100))
				}
				a = array.NewSlice(a, int64(rng.IntN(a.Len())), int64(a.Len()))
				at, err := s.put(a)
				require.NoError(t, err)
				widths[at.narrow.width]++
				from := rng.IntN(a.Len() + 1)
				to := from + rng.IntN(a.Len()-from+1)
				parts, want = append(parts, part{&at, int64(from), int64(to)}), append(want, array.NewSlice(a, int64(from), int64(to)))
			}
			got, err := s.get(kind, parts)
			require.NoError(t, err)
			all, err := array.Concatenate(want, memory.DefaultAllocator)
			require.NoError(t, err)
			requireSame(t, all, got, "%s, %d bits", kind, bits)
		}
	}
	for width := range int64(9) {
		require.Positive(t, widths[width], "%d bytes", width)
	}
}

// numbersOf are random numbers that differ in so many bits, about one that may be anywhere, with nulls in some arrays.
func numbersOf(rng *rand.Rand, kind arrow.DataType, bits, n int) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, kind)
	base := []int64{0, math.MinInt64, math.MaxInt64, int64(rng.Uint64())}[rng.IntN(4)]
	nulls := rng.IntN(3) == 0
	for range n {
		v := base
		if bits > 0 {
			v += int64(rng.Uint64() >> (64 - min(bits, 64)))
		}
		if nulls && rng.IntN(5) == 0 {
			b.AppendNull()
			continue
		}
		switch b := b.(type) {
		case *array.Int64Builder:
			b.Append(v)
		case *array.TimestampBuilder:
			b.Append(arrow.Timestamp(v))
		case *array.Time64Builder:
			b.Append(arrow.Time64(v))
		case *array.Decimal128Builder:
			d := decimal128.FromI64(v)
			if bits > 64 && rng.IntN(10) == 0 {
				d = decimal128.New(int64(rng.Uint64()), uint64(v))
			}
			b.Append(d)
		}
	}
	return b.NewArray()
}
