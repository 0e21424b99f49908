package datafile

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"
)

func TestSpans(t *testing.T) {
	a, b := []span{{0, 5}, {10, 20}, {30, 31}}, []span{{3, 12}, {19, 40}}
	require.Equal(t, []span{{3, 5}, {10, 12}, {19, 20}, {30, 31}}, intersect(a, b))
	require.Equal(t, []span{{0, 40}}, union(a, b))
	require.Equal(t, []span{{0, 2}, {3, 4}}, union([]span{{3, 4}}, []span{{0, 2}}))
	require.Empty(t, intersect(a, nil))
	require.Equal(t, a, union(nil, a))
	head, rest := cutSpans(a, 7)
	require.Equal(t, []span{{0, 5}, {10, 12}}, head)
	require.Equal(t, []span{{12, 20}, {30, 31}}, rest)
	head, rest = cutSpans(a, 100)
	require.Equal(t, a, head)
	require.Empty(t, rest)
	rows := roaring64.BitmapOf(1, 3, 4, 90, 200, 201)
	require.Equal(t, []span{{3, 5}, {90, 91}, {200, 201}}, spansOf(rows, span{2, 201}, 0))
	require.Equal(t, []span{{1, 91}, {200, 202}}, spansOf(rows, span{0, 1000}, 90))
}

func TestPageBoundsStillBound(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	pieces := []string{"a", "zz", "\U0010ffff", "\ud7ff", "é", "\xff", "\x00"}
	for range 3000 {
		var s strings.Builder
		for range rng.IntN(60) {
			s.WriteString(pieces[rng.IntN(len(pieces))])
		}
		v := []byte(s.String())
		low, high := cutBound(v), raiseBound(v)
		require.LessOrEqual(t, bytes.Compare(low, v), 0)
		require.GreaterOrEqual(t, bytes.Compare(high, v), 0)
		require.LessOrEqual(t, len(low), pageBoundBytes)
		if utf8.Valid(v) {
			require.True(t, utf8.Valid(low) && utf8.Valid(high), "%q", v)
		}
		if len(v) > pageBoundBytes && len(high) > pageBoundBytes {
			require.Equal(t, v, high, "only where nothing short is above it")
		}
	}
	require.Equal(t, bytes.Repeat([]byte{0xff}, 100), raiseBound(bytes.Repeat([]byte{0xff}, 100)))
}

func TestGatherIsTakeOfEveryType(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	schema, err := arrowSchema(everyType())
	require.NoError(t, err)
	batch := randomBatch(t, rng, schema, 300)
	part := batch.NewSlice(37, 250) // arrays with offsets are where mistakes are made
	rows := []int32{}
	for range 500 {
		rows = append(rows, int32(rng.IntN(int(part.NumRows()))))
	}
	got, err := gatherBatch(t.Context(), part, rows)
	require.NoError(t, err)
	for c := range schema.NumFields() {
		for i, r := range rows {
			require.Equal(t, part.Column(c).ValueStr(int(r)), got.Column(c).ValueStr(i), schema.Field(c).Name)
		}
	}
	for _, none := range [][]int32{nil, {}} {
		got, err = gatherBatch(t.Context(), part, none)
		require.NoError(t, err)
		require.Zero(t, got.NumRows())
	}
	require.InDelta(t, batchBytes(batch)*213/300, batchBytes(part), float64(batchBytes(batch))/6)
}

func TestConformNested(t *testing.T) {
	want := arrow.StructOf(
		arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		arrow.Field{Name: "l", Type: arrow.ListOfField(arrow.Field{Name: "element", Type: arrow.StructOf(arrow.Field{Name: "x", Type: arrow.BinaryTypes.String, Nullable: false}), Nullable: true}), Nullable: true},
		arrow.Field{Name: "m", Type: arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Float64), Nullable: true},
		arrow.Field{Name: "absent", Type: arrow.FixedWidthTypes.Date32, Nullable: true})
	have := func(more ...arrow.Field) *arrow.StructType {
		return arrow.StructOf(append([]arrow.Field{
			{Name: "m", Type: arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Float32), Nullable: true},
			{Name: "l", Type: arrow.LargeListOf(arrow.StructOf(arrow.Field{Name: "x", Type: arrow.BinaryTypes.String, Nullable: true})), Nullable: true},
			{Name: "a", Type: arrow.PrimitiveTypes.Int8, Nullable: true}}, more...)...)
	}
	schema := arrow.NewSchema([]arrow.Field{{Name: "s", Type: want, Nullable: true}}, nil)
	conform := func(typ arrow.DataType, json string) (arrow.RecordBatch, error) {
		b := array.NewRecordBuilder(allocator, arrow.NewSchema([]arrow.Field{{Name: "s", Type: typ, Nullable: true}}, nil))
		require.NoError(t, b.Field(0).UnmarshalJSON([]byte(json)))
		whole := b.NewRecordBatch()
		return conformBatch(t.Context(), whole.NewSlice(1, whole.NumRows()), schema)
	}
	got, err := conform(have(), `[null, {"a": 5, "l": [{"x": "y"}, null], "m": [{"key": "k", "value": 1.5}]}, null, {"a": null, "l": null, "m": []}]`)
	require.NoError(t, err)
	var texts []string
	for i := range 3 {
		texts = append(texts, got.Column(0).ValueStr(i))
	}
	require.Equal(t, []string{`{"a":5,"absent":null,"l":[{"x":"y"},null],"m":[{"key":"k","value":1.5}]}`, array.NullValueStr, `{"a":null,"absent":null,"l":null,"m":[]}`}, texts)

	_, err = conform(have(), `[null, {"a": 1, "l": [{"x": null}], "m": []}]`)
	require.ErrorContains(t, err, "column s.l.element.x is required and holds a null")
	_, err = conform(have(arrow.Field{Name: "new", Type: arrow.PrimitiveTypes.Int32}), `[null, {"a": 1, "l": [], "m": [], "new": 1}]`)
	require.ErrorContains(t, err, "column s: field new is not in the table")
	_, err = conform(arrow.StructOf(arrow.Field{Name: "a", Type: arrow.BinaryTypes.String}), `[null, {"a": "x"}]`)
	require.ErrorContains(t, err, "column s: field a: type utf8 cannot be written as int64")
}

func TestSafePathsAndLocalPaths(t *testing.T) {
	require.Equal(t, "a=b_2F.._/c=__/", safePath("a=b%2F..ÿ/c=日本/"))
	require.Len(t, strings.Split(safePath("a="+strings.Repeat("x", 500)+"/"), "/")[0], 120)
	for uri, want := range map[string]string{"/a/b": "/a/b", "file:///a/b%20c": "/a/b c", "file:/a/b": "/a/b", "file://localhost/a": "/a", "s3://a/b": "", "relative": "", "file:": ""} {
		path, ok := localPath(uri)
		require.Equal(t, want != "", ok, uri)
		if ok {
			require.Equal(t, want, path, uri)
		}
	}
}

func TestKeysDoNotRunTogether(t *testing.T) {
	// Keys of neighbouring columns do not run into each other.
	keys := [][]byte{appendBytesKey(appendBytesKey(nil, []byte("a")), []byte("b")), appendBytesKey(appendBytesKey(nil, []byte("ab")), nil),
		appendBytesKey(appendBytesKey(nil, []byte("a\x00")), []byte("b")), appendBytesKey(appendBytesKey(nil, nil), []byte("ab"))}
	for i := range keys {
		for j := range i {
			require.False(t, bytes.HasPrefix(keys[i], keys[j]) || slices.Equal(keys[i], keys[j]))
		}
	}
	require.Less(t, string(appendBytesKey(nil, []byte("a"))), string(appendBytesKey(nil, []byte("a\x00"))))
	require.Less(t, string(appendBytesKey(nil, []byte("a\x00"))), string(appendBytesKey(nil, []byte("ab"))))
}
