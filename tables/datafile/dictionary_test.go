package datafile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// Texts as indices are the same texts, whatever their lengths, in chunks that are slices and with nulls.
func TestIndexedTexts(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 6))
		different := 1 + rng.IntN(200)
		var chunks []arrow.Array
		rows := 0
		for range 1 + rng.IntN(3) {
			b := array.NewStringBuilder(memory.DefaultAllocator)
			n := 50 + rng.IntN(500)
			for range n {
				if seed%3 == 0 && rng.IntN(4) == 0 {
					b.AppendNull()
					continue
				}
				x := rng.IntN(different)
				b.Append(strings.Repeat(string(rune('a'+x%3)), x%20) + fmt.Sprint(x / 20)[:min(x/20, 1)])
			}
			from := rng.IntN(20)
			chunks = append(chunks, array.NewSlice(b.NewArray(), int64(from), int64(n)))
			rows += n - from
		}
		dict := indexed(chunks, rows, maxDictionary)
		require.NotNil(t, dict)
		values, at, seen := dict.Dictionary().(*array.String), 0, map[string]bool{}
		for i := range values.Len() {
			require.False(t, seen[values.Value(i)], "%q is there twice", values.Value(i))
			seen[values.Value(i)] = true
		}
		nulls := 0
		for _, c := range chunks {
			for i := range c.Len() {
				require.Equal(t, c.IsNull(i), dict.IsNull(at))
				if c.IsValid(i) {
					require.Equal(t, c.(*array.String).Value(i), values.Value(dict.GetValueIndex(at)))
				} else {
					nulls++
				}
				at++
			}
		}
		require.Equal(t, nulls, dict.NullN())
	}
}

func TestShortTextsAreTheirWords(t *testing.T) {
	d := newTextDictionary(arrow.BinaryTypes.Binary)
	want := map[string]int32{}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20_000 {
		text := make([]byte, rng.IntN(10))
		for i := range text {
			text[i] = byte(rng.IntN(3)) // zeros among them
		}
		index, known := want[string(text)]
		if !known {
			index = int32(len(want))
			if index == maxDictionary {
				break
			}
			want[string(text)] = index
		}
		require.Equal(t, index, d.index(text), "%v", text)
	}
}

// Too many values for a dictionary of one page are left to arrow-go.
func TestIndexedGivesUp(t *testing.T) {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	for i := range 3 * maxDictionary {
		b.Append(fmt.Sprint(i))
	}
	a := b.NewArray()
	require.Nil(t, indexed([]arrow.Array{a}, a.Len(), maxDictionary))
	few := array.NewSlice(a, 0, 100)
	require.NotNil(t, indexed([]arrow.Array{few}, 100, (&layout{pageBytes: 1 << 20}).maxIndexed(100)))
	require.Nil(t, indexed([]arrow.Array{few}, 100, (&layout{pageBytes: 100}).maxIndexed(100)), "7 bits a row are more than half a page")
	require.Nil(t, indexed([]arrow.Array{array.MakeArrayOfNull(memory.DefaultAllocator, arrow.BinaryTypes.String, 10)}, 10, maxDictionary))
}

// What is written from indices has the bounds, counts, page index and Bloom filter that texts have.
func TestWriterDescribesIndexedTexts(t *testing.T) {
	schema := iceberg.NewSchema(0, nested(1, "s", iceberg.PrimitiveTypes.String), nested(2, "b", iceberg.PrimitiveTypes.Binary))
	meta := newTable(t, schema, nil, table.UnsortedSortOrder, iceberg.Properties{"write.parquet.bloom-filter-enabled.column.s": "true"})
	arrowSch := mustArrow(t, schema)
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrowSch)
	for i := range 5000 {
		if i%7 == 0 {
			b.Field(0).AppendNull()
		} else {
			b.Field(0).(*array.StringBuilder).Append([]string{"beta", "alpha", "gamma and more than eight"}[i%3])
		}
		b.Field(1).(*array.BinaryBuilder).Append([]byte{9, byte(i % 5)})
	}
	batch := b.NewRecordBatch()
	l, err := newLayout(meta, WriterOptions{})
	require.NoError(t, err)
	_, _, paths := l.withDictionaries([][]arrow.Array{{batch.Column(0)}, {batch.Column(1)}}, 5000)
	require.Equal(t, []string{"s", "b"}, paths)
	df := writeAll(t, meta, WriterOptions{RowGroupRows: 2000}, batch)[0]
	for i, f := range arrowSch.Fields() {
		checkBounds(t, schema, df, f, batch.Column(i))
	}
	require.Equal(t, "alpha", string(df.LowerBoundValues()[1]))
	require.Equal(t, []byte{9, 4}, df.UpperBoundValues()[2])
	requireTrueToFooter(t, df, "indexed")
	got, _ := readAll(t, df, ReadOptions{Schema: schema})
	requireSame(t, batch.Column(0), got.Column(0), "s")
	requireSame(t, batch.Column(1), got.Column(1), "b")
	for text, n := range map[string]int{"alpha": 1429, "delta": 0, "": 0} {
		_, positions := readAll(t, df, ReadOptions{Schema: schema, Filter: iceberg.EqualTo(iceberg.Reference("s"), text)})
		require.Len(t, positions, n, text)
	}
	frag := l.encodeFragment(context.Background(), []arrow.RecordBatch{batch})
	require.NoError(t, frag.err)
	footer, _, err := parseFooter(frag.file)
	require.NoError(t, err)
	for c := range 2 {
		chunk, err := footer.RowGroup(0).ColumnChunk(c)
		require.NoError(t, err)
		require.True(t, chunk.HasDictionaryPage())
		require.NotNil(t, footer.RowGroups[0].Columns[c].ColumnIndexOffset)
	}
}
