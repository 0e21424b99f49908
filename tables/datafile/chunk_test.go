package datafile

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"
	"github.com/stretchr/testify/require"
)

// Another decoder gets the numbers back: few and many, near and far from each other, over the whole range.
func TestDeltasAreTheNumbers(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 11))
		span := int64(1) << rng.IntN(63)
		wide, narrow := make([]int64, rng.IntN(700)), []int32(nil)
		at := int64(rng.Uint64())
		for i := range wide {
			switch rng.IntN(20) {
			case 0:
				at = int64(rng.Uint64())
			case 1:
				at = []int64{math.MinInt64, math.MaxInt64, 0}[rng.IntN(3)]
			default:
				at += rng.Int64N(span)
			}
			wide[i] = at
		}
		for _, v := range wide {
			narrow = append(narrow, int32(v))
		}
		var e deltaEncoder
		e.reset(false)
		for rest := wide; len(rest) > 0; {
			n := rng.IntN(len(rest) + 1)
			e.add(rest[:n])
			rest = rest[n:]
		}
		var d delta.BinaryPackedEncoding
		got, err := d.DecodeInt64(nil, e.finish(nil))
		require.NoError(t, err)
		require.Equal(t, wide, append([]int64{}, got...), "seed %d", seed)
		e.reset(true)
		for _, v := range narrow {
			e.add([]int64{int64(v)})
		}
		got32, err := d.DecodeInt32(nil, e.finish(nil))
		require.NoError(t, err)
		require.Equal(t, append([]int32{}, narrow...), append([]int32{}, got32...), "seed %d", seed)
	}
}

// Indices come back through our decoder, and through another.
func TestIndicesAreRunsAndGroups(t *testing.T) {
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 12))
		values := 1 + rng.IntN(1<<rng.IntN(13))
		indices := make([]int32, 1+rng.IntN(500))
		for i := range indices {
			if i > 0 && rng.IntN(1+int(seed%40)) > 0 {
				indices[i] = indices[i-1]
			} else {
				indices[i] = int32(rng.IntN(values))
			}
		}
		encoded := appendIndices(nil, indices, values)
		got := make([]int32, len(indices))
		require.NoError(t, hybrid(encoded[1:], int(encoded[0]), got))
		require.Equal(t, indices, got, "seed %d", seed)
		other, err := (&rle.DictionaryEncoding{}).DecodeInt32(nil, encoded)
		require.NoError(t, err)
		require.Equal(t, indices, other[:len(indices)], "seed %d", seed)
	}
}

// Row groups encoded here hold the rows, and are described as those that arrow-go encodes: in statistics, and page by page.
func TestChunksAreAsArrowGos(t *testing.T) {
	schema := everyType()
	for seed := range uint64(16) {
		rng := rand.New(rand.NewPCG(seed, 13))
		meta := newTable(t, schema, nil, table.UnsortedSortOrder, iceberg.Properties{
			"write.parquet.page-size-bytes": fmt.Sprint(1 << (4 + rng.IntN(14))), "write.parquet.compression-codec": []string{"zstd", "uncompressed"}[seed%2],
		})
		l, err := newLayout(meta, WriterOptions{})
		require.NoError(t, err)
		var batches []arrow.RecordBatch
		for range 1 + rng.IntN(3) {
			b := randomBatch(t, rng, l.arrow, 1+rng.IntN(3000))
			batches = append(batches, b.NewSlice(int64(rng.IntN(int(b.NumRows()))), b.NumRows()))
		}
		want, err := concatBatches(batches)
		require.NoError(t, err)
		theirs := l.encodeFragment(context.Background(), batches)
		require.NoError(t, theirs.err)
		plain, _, err := parseFooter(theirs.file)
		require.NoError(t, err)
		df := writeAll(t, meta, WriterOptions{}, batches...)[0]
		requireTrueToFooter(t, df, fmt.Sprint("seed ", seed))
		ours, err := file.OpenParquetFile(df.FilePath(), false)
		require.NoError(t, err)
		for c := range plain.Schema.NumColumns() {
			a, b := plain.RowGroups[0].Columns[c].MetaData, ours.MetaData().RowGroups[0].Columns[c].MetaData
			path := fmt.Sprintf("seed %d column %s", seed, plain.Schema.Column(c).Path())
			require.Equal(t, a.Statistics, b.Statistics, path)
			require.Equal(t, a.NumValues, b.NumValues, path)
			require.Equal(t, a.Encodings, b.Encodings, path)
			require.Equal(t, a.Codec, b.Codec, path)
			require.Equal(t, a.BloomFilterOffset == nil, b.BloomFilterOffset == nil, path)
		}
		for name, at := range map[string]int{"l": 2, "dec9": 5, "dec18": 6, "date": 8, "ts": 10, "s": 12, "bin": 15} {
			requirePagesWithin(t, ours, at, schema, name, want.Column(at))
		}
		require.NoError(t, ours.Close())
		got, _ := readAll(t, df, ReadOptions{Schema: meta.CurrentSchema()})
		for i, f := range l.arrow.Fields() {
			requireSame(t, want.Column(i), got.Column(i), "seed %d column %s", seed, f.Name)
		}
	}
}

// However long pages may be by the table's property, a row group of texts and integers has one page each, and an end.
func TestPagesWithoutBound(t *testing.T) {
	for _, bytes := range []int64{math.MaxInt64, math.MaxInt64 - levelRoom, math.MaxInt32 + 1} {
		meta := newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, iceberg.Properties{"write.parquet.page-size-bytes": fmt.Sprint(bytes)})
		l, err := newLayout(meta, WriterOptions{})
		require.NoError(t, err)
		want := randomBatch(t, rand.New(rand.NewPCG(1, 1)), l.arrow, 3000)
		df := writeAll(t, meta, WriterOptions{}, want)[0]
		got, _ := readAll(t, df, ReadOptions{Schema: meta.CurrentSchema()})
		for i, f := range l.arrow.Fields() {
			requireSame(t, want.Column(i), got.Column(i), "pages of %d bytes, column %s", bytes, f.Name)
		}
		require.Positive(t, l.maxIndexed(1))
	}
}

// The footer that row groups begin as copies of may say where a dictionary is. A chunk that has none does not.
func TestChunksWithoutDictionaryNameNone(t *testing.T) {
	l, err := newLayout(newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, nil), WriterOptions{})
	require.NoError(t, err)
	const rows = 1000
	b := array.NewRecordBuilder(allocator, l.arrow)
	for i := range rows {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		b.Field(1).(*array.StringBuilder).Append(fmt.Sprintf("%032d", i*i))
		b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(i))
	}
	batch := b.NewRecordBatch()
	g := newGroupEncoder(l)
	template, at := g.template, int64(4)
	g.template = func() ([]byte, error) {
		empty, err := template()
		if err != nil {
			return nil, err
		}
		meta, err := metadata.NewFileMetaData(empty, nil)
		if err != nil {
			return nil, err
		}
		for _, c := range meta.RowGroups[0].Columns {
			c.MetaData.DictionaryPageOffset = &at
		}
		var out bytes.Buffer
		_, err = meta.WriteTo(&out, nil)
		return out.Bytes(), err
	}
	f := g.encodeGroup(context.Background(), []arrow.RecordBatch{batch}, nil)
	require.NoError(t, f.err)
	defer f.release()
	require.Len(t, f.pieces, 3)
	for _, p := range f.pieces {
		require.Nil(t, p.meta.RowGroups[p.group].Columns[p.leaf].MetaData.DictionaryPageOffset, "column %d", p.leaf)
	}
}

// requirePagesWithin holds the page index of a leaf, of which no nested column comes before, against the column's values.
func requirePagesWithin(t *testing.T, r *file.Reader, leaf int, schema *iceberg.Schema, name string, a arrow.Array) {
	t.Helper()
	pages, err := r.GetPageIndexReader().RowGroup(0)
	require.NoError(t, err)
	bounds, err := pages.GetColumnIndex(leaf)
	require.NoError(t, err)
	offsets, err := pages.GetOffsetIndex(leaf)
	require.NoError(t, err)
	field, _ := schema.FindFieldByName(name)
	bind, err := bindTransform(iceberg.IdentityTransform{}, field.Type)
	require.NoError(t, err)
	keys := bind(a, a.IsNull)
	places := offsets.GetPageLocations()
	require.Len(t, bounds.GetNullPages(), len(places), name)
	for p, place := range places {
		end := a.Len()
		if p+1 < len(places) {
			end = int(places[p+1].FirstRowIndex)
		}
		nulls, least, most := 0, "", ""
		for i := int(place.FirstRowIndex); i < end; i++ {
			if a.IsNull(i) {
				nulls++
				continue
			}
			key := string(keys.appendKey(nil, i))
			if least == "" || key < least {
				least = key
			}
			most = max(most, key)
		}
		require.EqualValues(t, nulls, bounds.GetNullCounts()[p], name)
		require.Equal(t, nulls == end-int(place.FirstRowIndex), bounds.GetNullPages()[p], name)
		if least == "" {
			continue
		}
		low, high := slices.Clone(bounds.GetMinValues()[p]), slices.Clone(bounds.GetMaxValues()[p])
		if _, is := field.Type.(iceberg.DecimalType); is { // Parquet's whole numbers begin with the lowest byte
			slices.Reverse(low)
			slices.Reverse(high)
		}
		require.Equal(t, []byte(least), boundKey(t, field.Type, low), name)
		require.Equal(t, []byte(most), boundKey(t, field.Type, high), name)
	}
}

// Texts whose bounds are too long for statistics have none, and are all there.
func TestChunksOfLongTexts(t *testing.T) {
	meta := newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, nil)
	long := strings.Repeat("x", 10_000)
	batch := orders(t, meta, 300, func(i int, b *array.RecordBuilder) {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		b.Field(1).(*array.StringBuilder).Append(fmt.Sprint(i, long))
		b.Field(2).AppendNull()
	})
	df := writeAll(t, meta, WriterOptions{}, batch)[0]
	requireTrueToFooter(t, df, "long texts")
	require.NotContains(t, df.LowerBoundValues(), 2)
	got, _ := readAll(t, df, ReadOptions{Schema: meta.CurrentSchema()})
	for i := range batch.Columns() {
		requireSame(t, batch.Column(i), got.Column(i), "column %d", i)
	}
	_, positions := readAll(t, df, ReadOptions{Schema: meta.CurrentSchema(), Filter: iceberg.EqualTo(iceberg.Reference("name"), fmt.Sprint(7, long))})
	require.Equal(t, []int64{7}, positions)
}

// A decimal with more digits than its column has is an error that names the column.
func TestChunksRefuseDecimalsTooLong(t *testing.T) {
	for _, text := range []string{"1234567890123456789", "-12345678901234567890123", "1000000000000000000"} {
		meta := newTable(t, iceberg.NewSchema(0, nested(1, "amount", iceberg.DecimalTypeOf(18, 0))), nil, table.UnsortedSortOrder, nil)
		schema, err := arrowSchema(meta.CurrentSchema())
		require.NoError(t, err)
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		n, err := decimal128.FromString(text, 38, 0)
		require.NoError(t, err)
		b.Field(0).(*array.Decimal128Builder).Append(n)
		w, err := NewWriter(context.Background(), meta, localFS, WriterOptions{})
		require.NoError(t, err)
		err = w.Write(b.NewRecordBatch())
		if err == nil {
			_, err = w.Close()
		}
		require.ErrorContains(t, err, "amount")
		require.NoError(t, w.Abort())
	}
}
