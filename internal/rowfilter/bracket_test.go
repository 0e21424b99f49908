package rowfilter

import (
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/expr-lang/expr/parser"
	"github.com/stretchr/testify/require"
)

// Doubles beside 2^60 are 128 and more apart, so that many longs are equal to one. Wherever among them a cast comes to, the values
// beside it do not bound those that are equal.
func TestBracketBesideEqualValues(t *testing.T) {
	const double = 1 << 60
	constant, err := parser.Parse("1152921504606846976.0")
	require.NoError(t, err)
	field := arrow.Field{Name: "m", Type: arrow.PrimitiveTypes.Int64}
	among := func(middle int64) bracket {
		b := array.NewInt64Builder(memory.DefaultAllocator)
		defer b.Release()
		b.AppendValues([]int64{middle - 1, middle, middle + 1}, nil)
		three := b.NewArray()
		defer three.Release()
		got, err := bracketAmong(field, constant.Node, three)
		require.NoError(t, err)
		return got
	}
	for _, middle := range []int64{double, double - 64, double - 65, double + 128, double + 129} {
		require.False(t, among(middle).known(), "%d", middle-double)
	}
	// One of the longs beside the three equals it, and none of them does.
	for middle, want := range map[int64][2]bool{double - 100: {}, double + 200: {}} {
		got := among(middle)
		require.Equal(t, want, [2]bool{got.low != nil, got.high != nil}, "%d", middle-double)
	}
}
