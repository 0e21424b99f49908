package datafile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
)

// dictionaryFile writes texts with arrow-go alone: in pages of either version, with dictionaries that end within a chunk or do not.
func dictionaryFile(t *testing.T, rng *rand.Rand, schema *iceberg.Schema, batch arrow.RecordBatch) iceberg.DataFile {
	version, limit := parquet.DataPageV1, int64(1<<20)
	if rng.IntN(2) == 0 {
		version = parquet.DataPageV2
	}
	if rng.IntN(3) == 0 {
		limit = int64(1 + rng.IntN(300)) // pages of texts behind pages of indices
	}
	path := filepath.Join(t.TempDir(), "f.parquet")
	f, err := os.Create(path)
	require.NoError(t, err)
	w, err := pqarrow.NewFileWriter(batch.Schema(), f, parquet.NewWriterProperties(
		parquet.WithDataPageVersion(version), parquet.WithDictionaryPageSizeLimit(limit), parquet.WithDataPageSize(int64(20+rng.IntN(2000))),
		parquet.WithMaxRowGroupLength(int64(1+rng.IntN(int(batch.NumRows())))), parquet.WithCompression(compress.Codecs.Snappy), parquet.WithBatchSize(int64(1+rng.IntN(500))),
	), pqarrow.DefaultWriterProps())
	require.NoError(t, err)
	require.NoError(t, w.Write(batch))
	require.NoError(t, w.Close())
	info, err := os.Stat(path)
	require.NoError(t, err)
	b, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentData, path, iceberg.ParquetFile, nil, nil, nil, batch.NumRows(), info.Size())
	require.NoError(t, err)
	return b.Build()
}

// Texts that are read as dictionaries are those that are read as texts: with nulls and without, in whole and in parts, with rows
// deleted, and where a dictionary ends before its column chunk does.
func TestDictionariesReadAsTheirTexts(t *testing.T) {
	p := iceberg.PrimitiveTypes
	schema := iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "few", Type: p.String},
		iceberg.NestedField{ID: 2, Name: "full", Type: p.String, Required: true},
		iceberg.NestedField{ID: 3, Name: "bytes", Type: p.Binary},
		iceberg.NestedField{ID: 4, Name: "one", Type: p.String},
		iceberg.NestedField{ID: 5, Name: "nulls", Type: p.String},
	)
	came := map[bool]int{}
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 12))
		b := array.NewRecordBuilder(memory.DefaultAllocator, mustArrow(t, schema))
		different := 1 + rng.IntN(300)
		for range 1 + rng.IntN(3000) {
			text := fmt.Sprint("t", rng.IntN(different))[:rng.IntN(3)]
			if rng.IntN(3) == 0 {
				b.Field(0).AppendNull()
				b.Field(2).AppendNull()
			} else {
				b.Field(0).(*array.StringBuilder).Append(text)
				b.Field(2).(*array.BinaryBuilder).Append([]byte(fmt.Sprint(rng.IntN(different))))
			}
			b.Field(1).(*array.StringBuilder).Append(fmt.Sprint("a longer text ", rng.IntN(different)))
			b.Field(3).(*array.StringBuilder).Append("one")
			b.Field(4).AppendNull()
		}
		batch := b.NewRecordBatch()
		df := dictionaryFile(t, rng, schema, batch)
		opts := ReadOptions{Schema: schema, BatchRows: 1 + rng.IntN(2000)}
		if rng.IntN(2) == 0 {
			opts.Deleted = roaring64.New()
			for i := range batch.NumRows() {
				if rng.IntN(4) == 0 || i > 500 && i < 2900 && seed%3 == 0 {
					opts.Deleted.Add(uint64(i))
				}
			}
		}
		want, _ := readAll(t, df, opts)
		opts.Dictionaries = true
		r, err := Open(context.Background(), localFS, df, opts)
		require.NoError(t, err)
		var got []string
		for r.Next() {
			for _, c := range r.RecordBatch().Columns() {
				came[c.DataType().ID() == arrow.DICTIONARY]++
			}
			plain, err := conformBatch(t.Context(), r.RecordBatch(), mustArrow(t, schema))
			require.NoError(t, err)
			got = append(got, rowTextsInOrder(plain)...)
		}
		require.NoError(t, r.Err(), "seed %d", seed)
		r.Release()
		require.Equal(t, rowTextsInOrder(want), got, "seed %d", seed)
	}
	require.Greater(t, came[true], 1000)
	require.Greater(t, came[false], 100)
}

// Indices that no dictionary has, and pages that end early, are errors.
func TestHybridOfNumbers(t *testing.T) {
	for width := range 33 {
		rng := rand.New(rand.NewPCG(uint64(width), 1))
		want := make([]int32, 8*(1+rng.IntN(5)))
		bits := make([]byte, len(want)*width/8)
		for i := range want {
			want[i] = int32(rng.Uint64() & (1<<width - 1))
			for b := range width {
				if want[i]>>b&1 == 1 {
					bits[(i*width+b)/8] |= 1 << ((i*width + b) % 8)
				}
			}
		}
		run := make([]byte, (width+7)/8)
		for i := range run {
			run[i] = byte(want[0] >> (8 * i))
		}
		data := append([]byte{byte(len(want)/8<<1 | 1)}, bits...)
		data = append(append(data, 5<<1), run...)
		want = append(want, want[0], want[0], want[0], want[0], want[0])
		got := make([]int32, len(want))
		require.NoError(t, hybrid(data, width, got))
		require.Equal(t, want, got, "width %d", width)
		require.NoError(t, hybrid(data, width, got[:3]))
		require.Equal(t, want[:3], got[:3])
		require.Error(t, hybrid(data, width, make([]int32, len(want)+1)))
		if width > 0 {
			require.Error(t, hybrid(data[:len(data)-1], width, got))
		}
	}
	d := &dictionaryReader{values: array.MakeArrayOfNull(memory.DefaultAllocator, arrow.BinaryTypes.String, 3)}
	_, err := d.decode(nil, []byte{2, 8 << 1, 3}, 8)
	require.ErrorContains(t, err, "index 3 of a dictionary of 3 values")
}

// A run has room for numbers that its bits have not: a definition level of 3 is no value, and no three.
func TestLevelsAndIndicesBeyondTheirBitsAreErrors(t *testing.T) {
	texts := array.NewStringBuilder(memory.DefaultAllocator)
	texts.AppendValues([]string{"a", "b"}, nil)
	d := &dictionaryReader{values: texts.NewArray()}
	run := func(n, v byte) []byte { return []byte{n << 1, v} }
	indices := append([]byte{1}, run(8, 1)...) // of one bit each
	got, err := d.decode(run(4, 1), indices, 4)
	require.NoError(t, err)
	require.Equal(t, []int32{1, 1, 1, 1}, got)
	got, err = d.decode(append(run(3, 0), run(1, 1)...), indices, 4)
	require.NoError(t, err)
	require.Equal(t, []int32{-1, -1, -1, 1}, got)
	for _, level := range []byte{2, 3, 255} {
		_, err = d.decode(append(run(2, 1), run(2, level)...), indices, 4)
		require.ErrorIs(t, err, errNotParquet, level)
		require.ErrorContains(t, err, fmt.Sprintf("a run of %d among numbers of 1 bits", level))
	}
	_, err = d.decode(run(4, 1), append([]byte{1}, run(8, 2)...), 4)
	require.ErrorContains(t, err, "a run of 2 among numbers of 1 bits")
}
