package rows

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"
)

var (
	decimalType = &arrow.Decimal128Type{Precision: 18, Scale: 2}
	nestedType  = arrow.StructOf(
		arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
		arrow.Field{Name: "tags", Type: arrow.ListOf(arrow.BinaryTypes.String), Nullable: true},
		arrow.Field{Name: "m", Type: arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Float64), Nullable: true})
)

func parse(t testing.TB, dt arrow.DataType, json string) arrow.Array {
	t.Helper()
	a, _, err := array.FromJSON(memory.DefaultAllocator, dt, strings.NewReader(json))
	require.NoError(t, err)
	return a
}

// samples are values of every kind that a table holds.
var samples = []struct {
	t    arrow.DataType
	json string
}{
	{arrow.FixedWidthTypes.Boolean, `[true, null, false, true]`},
	{arrow.PrimitiveTypes.Int32, `[1, null, -3, 4]`},
	{arrow.PrimitiveTypes.Int64, `[1, 2, -3, 4]`},
	{arrow.PrimitiveTypes.Float64, `[1.5, null, -0.0, 4]`},
	{decimalType, `["1.50", null, "-0.01", "4.00"]`},
	{arrow.FixedWidthTypes.Date32, `["2026-01-01", null, "1969-12-31", "2026-01-02"]`},
	{arrow.BinaryTypes.String, `["a", null, "", "dddd"]`},
	{&arrow.FixedSizeBinaryType{ByteWidth: 3}, `["YWFh", null, "YmJi", "Y2Nj"]`},
	{extensions.NewUUIDType(), `["11111111-1111-1111-1111-111111111111", null, "21111111-1111-1111-1111-111111111111", "31111111-1111-1111-1111-111111111111"]`},
	{arrow.ListOf(arrow.PrimitiveTypes.Int32), `[[1, null], null, [], [4, 5, 6]]`},
	{nestedType, `[{"a": 1, "tags": ["x", null], "m": [{"key": "k", "value": 1.5}]}, null, {"a": null, "tags": null, "m": null}, {"a": 4, "tags": [], "m": []}]`},
	{arrow.Null, `[null, null, null, null]`},
}

func TestGatherIsWhatItNames(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, s := range samples {
		whole := parse(t, s.t, s.json)
		for range 50 {
			chunks := []arrow.Array{whole, array.NewSlice(whole, 1, 4), array.NewSlice(whole, 2, 2), array.NewSlice(whole, 3, 4)}
			var refs []Ref
			var want []string
			for range rnd.IntN(12) {
				c := rnd.IntN(len(chunks))
				if n := chunks[c].Len(); n > 0 && rnd.IntN(6) > 0 {
					r := rnd.IntN(n)
					refs, want = append(refs, At(c, r)), append(want, chunks[c].ValueStr(r))
				} else {
					refs, want = append(refs, Null), append(want, array.NullValueStr)
				}
			}
			got, err := Gather(chunks, refs)
			require.NoError(t, err)
			require.Equal(t, len(refs), got.Len())
			require.True(t, arrow.TypeEqual(s.t, got.DataType()))
			for i := range want {
				require.Equal(t, want[i], got.ValueStr(i), "%s row %d", s.t, i)
			}
			got.Release()
		}
	}
}

func TestDifferIsBitForBit(t *testing.T) {
	for _, s := range samples {
		whole := parse(t, s.t, s.json)
		a, b := array.NewSlice(whole, 0, 3), array.NewSlice(whole, 1, 4)
		for i := range 3 {
			for _, c := range []struct {
				x, y arrow.Array
				want bool
			}{
				{a, a, false}, {b, b, false},
				{a, b, a.ValueStr(i) != b.ValueStr(i)},
			} {
				got := make([]bool, 3)
				require.NoError(t, Differ(c.x, c.y, got))
				require.Equal(t, c.want, got[i], "%s row %d", s.t, i)
			}
		}
	}
	floats := func(x ...float64) arrow.Array {
		b := array.NewFloat64Builder(memory.DefaultAllocator)
		b.AppendValues(x, nil)
		return b.NewArray()
	}
	nan2 := math.Float64frombits(math.Float64bits(math.NaN()) + 1)
	got := make([]bool, 4)
	require.NoError(t, Differ(floats(0, math.NaN(), math.NaN(), 1), floats(math.Copysign(0, -1), math.NaN(), nan2, 1), got))
	require.Equal(t, []bool{true, false, true, false}, got)
	require.Error(t, Differ(floats(1), parse(t, arrow.BinaryTypes.String, `["1"]`), make([]bool, 1)))
}

func TestCast(t *testing.T) {
	ts := func(u arrow.TimeUnit, tz string) arrow.DataType { return &arrow.TimestampType{Unit: u, TimeZone: tz} }
	dec := func(p, s int32) arrow.DataType { return &arrow.Decimal128Type{Precision: p, Scale: s} }
	structOf := func(f ...arrow.Field) arrow.DataType { return arrow.StructOf(f...) }
	i32, i64, str := arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int64, arrow.BinaryTypes.String
	for _, c := range []struct {
		from     arrow.DataType
		json     string
		to       arrow.DataType
		want     string // "" when the value does not fit
		unstored bool   // the types do not go together
	}{
		{from: i32, json: `[1, null]`, to: i64, want: `[1, null]`},
		{from: i64, json: `[1, null]`, to: i32, want: `[1, null]`},
		{from: i64, json: `[2147483648]`, to: i32},
		{from: arrow.PrimitiveTypes.Float64, json: `[1.5]`, to: arrow.PrimitiveTypes.Float32, want: `[1.5]`},
		{from: arrow.PrimitiveTypes.Float64, json: `[0.1]`, to: arrow.PrimitiveTypes.Float32, want: `[0.1]`},
		{from: arrow.PrimitiveTypes.Float64, json: `[1.5]`, to: i32},
		{from: i32, json: `[3]`, to: dec(18, 2), want: `["3.00"]`},
		{from: i64, json: `[300]`, to: dec(4, 2)},
		{from: dec(18, 2), json: `["3.10"]`, to: dec(10, 1), want: `["3.1"]`},
		{from: dec(18, 2), json: `["3.11"]`, to: dec(10, 1)},
		{from: dec(38, 0), json: `["99999999999999999999999999999999999999"]`, to: dec(38, 10)},
		{from: dec(9, 2), json: `["1234567.89"]`, to: dec(38, 30), want: `["1234567.89"]`},
		{from: dec(9, 2), json: `["3.00"]`, to: i32, want: `[3]`},
		{from: ts(arrow.Second, ""), json: `["2026-01-01 00:00:00"]`, to: ts(arrow.Microsecond, ""), want: `["2026-01-01 00:00:00"]`},
		{from: ts(arrow.Nanosecond, "UTC"), json: `["2026-01-01 00:00:00.000001Z"]`, to: ts(arrow.Microsecond, "UTC"), want: `["2026-01-01 00:00:00.000001Z"]`},
		{from: ts(arrow.Nanosecond, "UTC"), json: `["2026-01-01 00:00:00.000000001Z"]`, to: ts(arrow.Microsecond, "UTC")},
		{from: arrow.FixedWidthTypes.Date32, json: `["2026-01-01"]`, to: ts(arrow.Microsecond, ""), want: `["2026-01-01 00:00:00"]`},
		{from: ts(arrow.Microsecond, ""), json: `[]`, to: ts(arrow.Microsecond, "UTC"), unstored: true},
		{from: str, json: `[]`, to: i32, unstored: true},
		{from: i32, json: `[]`, to: str, unstored: true},
		{from: arrow.Null, json: `[null]`, to: nestedType, want: `[null]`},
		{from: arrow.BinaryTypes.LargeString, json: `["a", null]`, to: str, want: `["a", null]`},
		{from: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: str}, json: `["a", null, "a"]`, to: str, want: `["a", null, "a"]`},
		{from: &arrow.FixedSizeBinaryType{ByteWidth: 16}, json: `["MTIzNDU2Nzg5MDEyMzQ1Ng=="]`, to: extensions.NewUUIDType(), want: `["31323334-3536-3738-3930-313233343536"]`},
		{from: extensions.NewUUIDType(), json: `["31323334-3536-3738-3930-313233343536"]`, to: &arrow.FixedSizeBinaryType{ByteWidth: 16}, want: `["MTIzNDU2Nzg5MDEyMzQ1Ng=="]`},
		{from: arrow.LargeListOf(i32), json: `[[1], null]`, to: arrow.ListOf(i64), want: `[[1], null]`},
		{from: structOf(arrow.Field{Name: "b", Type: i32, Nullable: true}, arrow.Field{Name: "x", Type: str, Nullable: true}), json: `[{"b": 1, "x": "?"}, null]`,
			to:   structOf(arrow.Field{Name: "a", Type: str, Nullable: true}, arrow.Field{Name: "b", Type: i64, Nullable: true}),
			want: `[{"a": null, "b": 1}, null]`},
		{from: structOf(arrow.Field{Name: "b", Type: i32}), json: `[]`, to: structOf(arrow.Field{Name: "a", Type: i32}), unstored: true},
		{from: arrow.MapOf(str, i32), json: `[[{"key": "k", "value": 1}], null]`, to: arrow.MapOf(str, i64), want: `[[{"key": "k", "value": 1}], null]`},
		{from: nestedType, json: `[]`, to: i32, unstored: true},
	} {
		name := fmt.Sprintf("%s to %s: %s", c.from, c.to, c.json)
		if err := Assignable(c.from, c.to); c.unstored {
			require.Error(t, err, name)
			continue
		} else {
			require.NoError(t, err, name)
		}
		a := parse(t, c.from, c.json)
		got, err := Cast(context.Background(), a, c.to)
		if c.want == "" {
			require.Error(t, err, name)
			continue
		}
		require.NoError(t, err, name)
		want := parse(t, c.to, c.want)
		require.True(t, array.Equal(want, got), "%s: %s", name, got)
		require.True(t, arrow.TypeEqual(c.to, got.DataType(), arrow.CheckMetadata()), name)

		// The same of a slice.
		if a.Len() > 1 {
			got, err := Cast(context.Background(), array.NewSlice(a, 1, int64(a.Len())), c.to)
			require.NoError(t, err, name)
			require.True(t, array.Equal(array.NewSlice(want, 1, int64(a.Len())), got), "%s: slice: %s", name, got)
		}
	}
}

func BenchmarkGather(b *testing.B) {
	const n = 65536
	str := array.NewStringBuilder(memory.DefaultAllocator)
	num := array.NewInt64Builder(memory.DefaultAllocator)
	refs := make([]Ref, n)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		str.Append(fmt.Sprintf("%036d", i))
		num.Append(int64(i))
		refs[i] = At(0, rnd.IntN(n))
	}
	for name, a := range map[string]arrow.Array{"text36": str.NewArray(), "int64": num.NewArray()} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				out, _ := Gather([]arrow.Array{a}, refs)
				out.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
	}
}
