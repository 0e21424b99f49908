package keys

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// column makes n values of a type out of few distinct ones, some null.
func column(rnd *rand.Rand, t arrow.DataType, n int, nulls bool) arrow.Array {
	b := array.NewBuilder(memory.DefaultAllocator, t)
	defer b.Release()
	for range n {
		if nulls && rnd.IntN(5) == 0 {
			b.AppendNull()
			continue
		}
		x := rnd.IntN(n)
		switch b := b.(type) {
		case *array.BooleanBuilder:
			b.Append(x%2 == 0)
		case *array.Int32Builder:
			b.Append(int32(x - n/2))
		case *array.Int64Builder:
			b.Append(int64(x - n/2))
		case *array.Date32Builder:
			b.Append(arrow.Date32(x))
		case *array.TimestampBuilder:
			b.Append(arrow.Timestamp(x))
		case *array.Float64Builder:
			b.Append([]float64{0, math.Copysign(0, -1), math.NaN(), 1.5, math.Inf(1), float64(x)}[rnd.IntN(6)])
		case *array.Decimal128Builder:
			b.Append(decimal128.FromI64(int64(x)))
		case *array.StringBuilder:
			b.Append(fmt.Sprint("key-", x))
		case *array.BinaryBuilder:
			b.Append([]byte{byte(x), byte(x >> 8)}[:rnd.IntN(3)])
		case *array.FixedSizeBinaryBuilder:
			b.Append([]byte{0, byte(x), byte(x >> 8)})
		case *extensions.UUIDBuilder:
			b.Append(uuid.UUID{0: byte(x), 15: byte(x >> 8)})
		default:
			panic(fmt.Sprintf("%T", b))
		}
	}
	return b.NewArray()
}

// text is row i of the columns as text that is equal for equal keys; "" if the
// key matches nothing.
func text(columns []arrow.Array, i int, nullSafe bool) string {
	out := ""
	for _, c := range columns {
		switch {
		case c.IsNull(i) && !nullSafe:
			return ""
		case c.IsNull(i):
			out += "|null"
		case c.DataType().ID() == arrow.FLOAT64 && c.(*array.Float64).Value(i) == 0:
			out += "|'0'"
		default:
			out += "|'" + c.ValueStr(i) + "'"
		}
	}
	return out
}

var keyTypes = []arrow.DataType{
	arrow.FixedWidthTypes.Boolean, arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64,
	arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Timestamp_us, arrow.PrimitiveTypes.Float64,
	&arrow.Decimal128Type{Precision: 20, Scale: 3}, arrow.BinaryTypes.String, arrow.BinaryTypes.Binary,
	&arrow.FixedSizeBinaryType{ByteWidth: 3}, extensions.NewUUIDType(),
}

func TestProbeFindsWhatAMapFinds(t *testing.T) {
	for seed := range uint64(400) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		types := make([]arrow.DataType, 1+rnd.IntN(3))
		for i := range types {
			types[i] = keyTypes[rnd.IntN(len(keyTypes))]
		}
		nullSafe, nulls := rnd.IntN(3) == 0, rnd.IntN(2) == 0
		name := fmt.Sprintf("seed %d: %v, null safe %v", seed, types, nullSafe)
		l, err := NewLayout(types, nullSafe)
		require.NoError(t, err, name)

		batch := func(n int) []arrow.Array {
			out := make([]arrow.Array, len(types))
			skip := rnd.IntN(3) // a slice, to catch forgotten offsets
			for i, dt := range types {
				a := column(rnd, dt, n+skip, nulls)
				out[i] = array.NewSlice(a, int64(skip), int64(n+skip))
			}
			return out
		}
		var v Vector
		table, want, row := NewTable(l), map[string][]uint32{}, uint32(0)
		for range rnd.IntN(4) {
			columns := batch(rnd.IntN(200))
			require.NoError(t, l.Encode(&v, columns), name)
			require.NoError(t, table.Add(&v), name)
			for i := range columns[0].Len() {
				if k := text(columns, i, nullSafe); k != "" {
					want[k] = append(want[k], row)
				}
				row++
			}
		}
		table.Build(nil)
		require.Equal(t, len(want), table.Distinct(), name)

		var p Prober
		for range 2 {
			columns := batch(rnd.IntN(300))
			require.NoError(t, l.Encode(&v, columns), name)
			found := map[uint32][]uint32{}
			last := uint32(0)
			for _, pair := range table.Probe(&v, &p) {
				require.GreaterOrEqual(t, pair.I, last, name)
				last = pair.I
				found[pair.I] = append(found[pair.I], pair.Row)
			}
			for i := range columns[0].Len() {
				slices.Sort(found[uint32(i)])
				require.Equal(t, want[text(columns, i, nullSafe)], found[uint32(i)], "%s: row %d", name, i)
			}
		}
	}
}

func TestCommonTypes(t *testing.T) {
	dec := func(p, s int32) arrow.DataType { return &arrow.Decimal128Type{Precision: p, Scale: s} }
	for _, c := range []struct{ a, b, want arrow.DataType }{
		{arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Int64},
		{arrow.PrimitiveTypes.Float32, arrow.PrimitiveTypes.Float64, arrow.PrimitiveTypes.Float64},
		{dec(9, 2), dec(18, 4), dec(38, 4)},
		{arrow.PrimitiveTypes.Int32, dec(18, 4), dec(38, 4)},
		{arrow.FixedWidthTypes.Timestamp_us, arrow.FixedWidthTypes.Timestamp_ns, arrow.FixedWidthTypes.Timestamp_ns},
		{arrow.BinaryTypes.LargeString, arrow.BinaryTypes.String, arrow.BinaryTypes.String},
		{arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int32, nil},
		{arrow.BinaryTypes.String, extensions.NewUUIDType(), nil},
		{arrow.PrimitiveTypes.Int64, arrow.PrimitiveTypes.Float64, nil},
		{arrow.FixedWidthTypes.Timestamp_us, &arrow.TimestampType{Unit: arrow.Microsecond}, nil},
		{arrow.FixedWidthTypes.Date32, arrow.FixedWidthTypes.Timestamp_us, nil},
		{arrow.ListOf(arrow.PrimitiveTypes.Int32), arrow.ListOf(arrow.PrimitiveTypes.Int32), nil},
	} {
		got, err := Common(c.a, c.b)
		if c.want == nil {
			require.Error(t, err, "%s, %s", c.a, c.b)
			continue
		}
		require.NoError(t, err)
		require.True(t, arrow.TypeEqual(c.want, got), "%s, %s: %s", c.a, c.b, got)
	}
}

// Columns of different but comparable types meet in the common one.
func TestUnequalTypesCompareByValue(t *testing.T) {
	ints := array.NewInt32Builder(memory.DefaultAllocator)
	ints.AppendValues([]int32{-1, 5, 2000000000}, nil)
	dec := array.NewDecimal128Builder(memory.DefaultAllocator, &arrow.Decimal128Type{Precision: 38, Scale: 30})
	for _, s := range []string{"-1", "5.5", "5"} {
		n, err := decimal128.FromString(s, 38, 30)
		require.NoError(t, err)
		dec.Append(n)
	}
	a, b := ints.NewArray(), dec.NewArray()
	common, err := Common(a.DataType(), b.DataType())
	require.NoError(t, err)
	for _, nullSafe := range []bool{false, true} {
		l, err := NewLayout([]arrow.DataType{common}, nullSafe)
		require.NoError(t, err)
		var v Vector
		table := NewTable(l)
		require.NoError(t, l.Encode(&v, []arrow.Array{a})) // 2000000000 has no place in decimal(38,30)
		require.NoError(t, table.Add(&v))
		table.Build(nil)
		require.NoError(t, l.Encode(&v, []arrow.Array{b}))
		require.Equal(t, []Pair{{0, 0}, {2, 1}}, table.Probe(&v, &Prober{}))
	}
}
