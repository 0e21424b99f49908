package vector_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/compute"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms/internal/rowtest"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

func manyKinds(t testing.TB) arrow.RecordBatch {
	var rows []string
	for range 30 {
		rows = append(rows,
			`{"b": true, "i": 1, "l": 2, "x": 0.5, "m": "1.25", "s": "abc", "f": "AQID", "u": "00112233-4455-6677-8899-aabbccddeeff", "p": {"x": 1, "s": "q"}, "xs": [1, null, 3], "mm": [{"key": "k", "value": 1}]}`,
			`{"b": false, "i": 4, "l": 5, "x": 1.5, "m": "2.25", "s": "", "f": "BAUG", "u": null, "p": null, "xs": [], "mm": []}`,
			`{}`,
			`{"b": null, "i": 7, "l": 8, "x": 2.5, "m": "3.25", "s": "é", "f": null, "p": {"x": null, "s": null}, "xs": null, "mm": null}`,
		)
	}
	return rowtest.Batch(t, "b boolean; i int; l long; x double; m decimal(9,2); s string; f fixed(3); u uuid; p struct<x: int, s: string>; xs list<int>; mm map<string, int>", rows...)
}

// Gather is checked against arrow-go's Take, on slices that begin anywhere.
func TestGatherAgreesWithTake(t *testing.T) {
	ctx, r := context.Background(), rand.New(rand.NewPCG(5, 6))
	batch := manyKinds(t)
	for range 50 {
		from := r.Int64N(batch.NumRows())
		sliced := batch.NewSlice(from, from+1+r.Int64N(batch.NumRows()-from))
		places := make([]int32, r.IntN(100))
		b := array.NewInt32Builder(memory.DefaultAllocator)
		for i := range places {
			places[i] = r.Int32N(int32(sliced.NumRows())+1) - 1
			if places[i] < 0 {
				b.AppendNull()
			} else {
				b.Append(places[i])
			}
		}
		indices := b.NewArray()
		for k, column := range sliced.Columns() {
			got, err := vector.Gather(ctx, column, places)
			require.NoError(t, err)
			want, err := compute.TakeArray(ctx, column, indices)
			require.NoError(t, err)
			require.True(t, array.Equal(want, got), "%s\nwant %s\ngot  %s", batch.ColumnName(k), want, got)
			require.Equal(t, want.NullN(), got.NullN())
		}
	}
}

func TestBits(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		n, offset := r.IntN(100), r.IntN(20)
		b := array.NewBooleanBuilder(memory.DefaultAllocator)
		for range n + offset {
			if r.IntN(3) == 0 {
				b.AppendNull()
			} else {
				b.Append(r.IntN(2) == 0)
			}
		}
		arr := array.NewSlice(b.NewArray(), int64(offset), int64(offset+n)).(*array.Boolean)
		values, valid := vector.Bools(arr), vector.Validity(arr)
		for i := range n {
			require.Equal(t, arr.IsValid(i), valid.IsValid(i))
			if arr.IsValid(i) {
				require.Equal(t, arr.Value(i), values.Get(i))
			}
		}
		var seen []int32
		vector.Bits(values).Each(n, func(i int) bool { seen = append(seen, int32(i)); return true })
		require.Equal(t, vector.Places(values, n), append([]int32{}, seen...))
		require.Equal(t, len(seen), values.Count(n))
	}
}

func TestTextBuilder(t *testing.T) {
	b := vector.NewTextBuilder(3, 4)
	b.Append("ab")
	b.End()
	b.Append("dropped")
	b.Cut()
	b.End()
	b.Append("c")
	b.End()
	arr, err := b.Finish(arrow.BinaryTypes.String, nil)
	require.NoError(t, err)
	require.Equal(t, `["ab" "" "c"]`, arr.String())
}

func TestConvertWhatCannotBe(t *testing.T) {
	batch := manyKinds(t)
	_, err := vector.Convert(context.Background(), batch.Column(8), arrow.PrimitiveTypes.Int32)
	require.ErrorContains(t, err, "the fields differ")
	_, err = vector.Convert(context.Background(), batch.Column(9), arrow.PrimitiveTypes.Int32)
	require.ErrorContains(t, err, "convert list")
}
