package rowkey_test

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms/internal/rowkey"
	"github.com/varve-lake/varve/transforms/internal/rowtest"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// everyKind is rows in rising order by every column but the last, nulls first.
func everyKind(t *testing.T) arrow.RecordBatch {
	return rowtest.Batch(t, "b boolean; i int; l long; f float; x double; m decimal(38,2); s string; bin binary; d date; ts timestamp; u uuid; xs list<int>",
		`{}`,
		`{"b": false, "i": -2147483648, "l": -5, "f": -1.5, "x": -1e300, "m": "-100000000000000000000.01", "s": "", "bin": "", "d": "1969-12-31", "ts": "1969-12-31 00:00", "u": "00000000-0000-0000-0000-000000000000", "xs": []}`,
		`{"b": true, "i": -1, "l": 0, "f": 0, "x": -0.5, "m": "-0.01", "s": "a", "bin": "AA==", "d": "1970-01-01", "ts": "1970-01-01 00:00", "u": "00000000-0000-0000-0000-000000000001", "xs": [1]}`,
		`{"b": true, "i": 0, "l": 1, "f": 1.25, "x": 0, "m": "0.00", "s": "a\u0000", "bin": "AAA=", "d": "2024-01-01", "ts": "2024-01-01 00:00", "u": "00000000-0000-0000-0001-000000000000", "xs": [1, 2]}`,
		`{"b": true, "i": 7, "l": 9223372036854775807, "f": 1e30, "x": 1e308, "m": "99999999999999999999.99", "s": "a\u0000b", "bin": "AAH/", "d": "2024-01-02", "ts": "2024-01-01 00:00:00.000001", "u": "ffffffff-0000-0000-0000-000000000000", "xs": [null]}`,
	)
}

func TestOrderOfEveryKind(t *testing.T) {
	batch := everyKind(t)
	n := int(batch.NumRows())
	for k, name := range []string{"b", "i", "l", "f", "x", "m", "s", "bin", "d", "ts", "u"} {
		var low, high rowkey.Rows
		require.NoError(t, low.EncodeOrder([]arrow.Array{batch.Column(k)}, n, false))
		require.NoError(t, high.EncodeOrder([]arrow.Array{batch.Column(k)}, n, true))
		for i := 1; i < n; i++ {
			want := -1
			if name == "b" && i > 2 {
				want = 0
			}
			require.Equal(t, want, bytes.Compare(low.Bytes(i-1), low.Bytes(i)), "%s: rows %d and %d", name, i-1, i)
			require.Equal(t, 1, bytes.Compare(high.Bytes(0), high.Bytes(i)), "%s: a null above row %d", name, i)
		}
	}
	var rows rowkey.Rows
	require.ErrorContains(t, rows.EncodeOrder(batch.Columns()[11:], n, false), "have no order")
}

func TestEqualityOfEveryKind(t *testing.T) {
	batch := everyKind(t)
	twice, err := vector.GatherBatch(context.Background(), batch, []int32{4, 3, 2, 1, 0, 0, 1, 2, 3, 4})
	require.NoError(t, err)
	for k := range batch.Columns() {
		var rows rowkey.Rows
		require.NoError(t, rows.Encode([]arrow.Array{twice.Column(k)}, 10))
		for i := range 10 {
			for j := range 10 {
				same := min(i, 9-i) == min(j, 9-j)
				if batch.ColumnName(k) == "b" {
					same = batch.Column(k).ValueStr(4-min(i, 9-i)) == batch.Column(k).ValueStr(4-min(j, 9-j))
				}
				require.Equal(t, same, bytes.Equal(rows.Bytes(i), rows.Bytes(j)), "%s: rows %d and %d", batch.ColumnName(k), i, j)
			}
		}
	}
}

// Columns do not run into each other.
func TestColumnsAreApart(t *testing.T) {
	batch := rowtest.Batch(t, "a string; b string", `{"a": "x", "b": "yz"}`, `{"a": "xy", "b": "z"}`, `{"a": "x"}`, `{"b": "x"}`, `{"a": "", "b": "x"}`)
	for _, encode := range []func(r *rowkey.Rows) error{
		func(r *rowkey.Rows) error { return r.Encode(batch.Columns(), 5) },
		func(r *rowkey.Rows) error { return r.EncodeOrder(batch.Columns(), 5, false) },
	} {
		var rows rowkey.Rows
		require.NoError(t, encode(&rows))
		seen := map[string]bool{}
		for i := range rows.Len() {
			seen[string(rows.Bytes(i))] = true
		}
		require.Len(t, seen, 5)
	}
}

func TestFloats(t *testing.T) {
	b := array.NewFloat64Builder(memory.DefaultAllocator)
	values := []float64{math.Inf(-1), -1, math.Copysign(0, -1), 0, 1e-300, 2, math.Inf(1), math.NaN(), -math.NaN()}
	b.AppendValues(values, nil)
	arr := b.NewArray()
	var equal, order rowkey.Rows
	require.NoError(t, equal.Encode([]arrow.Array{arr}, len(values)))
	require.NoError(t, order.EncodeOrder([]arrow.Array{arr}, len(values), false))
	require.Equal(t, equal.Bytes(2), equal.Bytes(3), "-0 is 0")
	require.Equal(t, equal.Bytes(7), equal.Bytes(8), "NaN is NaN")
	for i := 1; i < len(values); i++ {
		want := -1
		if i == 3 || i == 8 {
			want = 0
		}
		require.Equal(t, want, bytes.Compare(order.Bytes(i-1), order.Bytes(i)), i)
	}
}

func TestRandomOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	const n = 400
	a, s := array.NewInt64Builder(memory.DefaultAllocator), array.NewStringBuilder(memory.DefaultAllocator)
	texts := []string{"", "\x00", "\x00\x01", "a", "a\x00", "ab", "b", "\xff"}
	for range n {
		a.Append(int64(r.IntN(3) - 1))
		s.Append(texts[r.IntN(len(texts))])
	}
	ints, strs := a.NewInt64Array(), s.NewStringArray()
	var rows rowkey.Rows
	require.NoError(t, rows.EncodeOrder([]arrow.Array{ints, strs}, n, false))
	for range 5000 {
		i, j := r.IntN(n), r.IntN(n)
		want := cmp.Or(cmp.Compare(ints.Value(i), ints.Value(j)), cmp.Compare(strs.Value(i), strs.Value(j)))
		require.Equal(t, want, bytes.Compare(rows.Bytes(i), rows.Bytes(j)))
	}
}

// The encoding is stored, by hashes: it must not change.
func TestEncodingIsStable(t *testing.T) {
	batch := rowtest.Batch(t, "b boolean; i int; x double; m decimal(5,2); s string; d date; u uuid; n string",
		`{"b": true, "i": -2, "x": 1.5, "m": "1.25", "s": "é", "d": "1970-01-02", "u": "00112233-4455-6677-8899-aabbccddeeff"}`)
	var rows rowkey.Rows
	require.NoError(t, rows.Encode(batch.Columns(), 1))
	require.Equal(t, []byte("\x03\x01"+
		"\x01\xfe\xff\xff\xff\xff\xff\xff\xff"+
		"\x02\x00\x00\x00\x00\x00\x00\xf8\x3f"+
		"\x04\x02\x7d\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"+
		"\x05\x02\x00\x00\x00\xc3\xa9"+
		"\x07\x01\x00\x00\x00\x00\x00\x00\x00"+
		"\x0a\x10\x00\x00\x00\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"+
		"\x00"), rows.Bytes(0))
}
