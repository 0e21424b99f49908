package datafile

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// readAll reads all rows and their positions as one batch.
func readAll(t testing.TB, df iceberg.DataFile, opts ReadOptions) (arrow.RecordBatch, []int64) {
	t.Helper()
	r, err := Open(context.Background(), iceio.LocalFS{}, df, opts)
	require.NoError(t, err)
	defer r.Release()
	var batches []arrow.RecordBatch
	positions := []int64{}
	for r.Next() {
		b := r.RecordBatch()
		b.Retain()
		batches = append(batches, b)
		first, list := r.Positions()
		for i := range b.NumRows() {
			if list != nil {
				positions = append(positions, list[i])
			} else {
				positions = append(positions, first+i)
			}
		}
	}
	require.NoError(t, r.Err())
	if len(batches) == 0 {
		b := array.NewRecordBuilder(memory.DefaultAllocator, r.Schema())
		defer b.Release()
		return b.NewRecordBatch(), positions
	}
	all, err := concatBatches(batches)
	require.NoError(t, err)
	return all, positions
}

// pickRows is the brute-force counterpart of every way of skipping rows.
func pickRows(t testing.TB, batch arrow.RecordBatch, rows []int32) arrow.RecordBatch {
	t.Helper()
	out, err := gatherBatch(context.Background(), batch, rows)
	require.NoError(t, err)
	return out
}

func requireSameBatch(t testing.TB, want, got arrow.RecordBatch, what string) {
	t.Helper()
	require.Equal(t, want.NumCols(), got.NumCols(), what)
	require.Equal(t, want.NumRows(), got.NumRows(), what)
	for i := range int(want.NumCols()) {
		require.Equal(t, want.ColumnName(i), got.ColumnName(i), what)
		requireSame(t, want.Column(i), got.Column(i), "%s: column %s", what, want.ColumnName(i))
	}
}

func TestReaderRoundTripsEveryType(t *testing.T) {
	seekGap = 20
	defer func() { seekGap = 2048 }()
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 2))
		meta := newTable(t, everyType(), nil, table.UnsortedSortOrder, iceberg.Properties{
			"write.parquet.page-size-bytes": "1024", "write.parquet.page-version": []string{"1", "2"}[seed%2]})
		schema, err := arrowSchema(meta.CurrentSchema())
		require.NoError(t, err)
		rows := 1 + rng.IntN(5000)
		batch := randomBatch(t, rng, schema, rows)
		df := writeAll(t, meta, WriterOptions{RowGroupRows: 1 + rng.IntN(4000)}, batch)[0]
		opts := ReadOptions{Schema: meta.CurrentSchema(), BatchRows: 1 + rng.IntN(3000)}

		got, positions := readAll(t, df, opts)
		requireSameBatch(t, batch, got, "all rows")
		for i, p := range positions {
			require.EqualValues(t, i, p)
		}

		// Only some rows, sparse ones and runs; and of them some deleted.
		opts.Rows, opts.Deleted = roaring64.New(), roaring64.New()
		for i := 0; i < rows; i += 1 + rng.IntN(500) {
			opts.Rows.Add(uint64(i))
			if rng.IntN(3) == 0 {
				opts.Rows.AddRange(uint64(i), uint64(i+rng.IntN(200)))
			}
		}
		for range rows / 3 {
			opts.Deleted.Add(uint64(rng.IntN(rows)))
		}
		var want []int32
		wantPositions := []int64{}
		for i := range rows {
			if opts.Rows.Contains(uint64(i)) && !opts.Deleted.Contains(uint64(i)) {
				want = append(want, int32(i))
				wantPositions = append(wantPositions, int64(i))
			}
		}
		got, positions = readAll(t, df, opts)
		requireSameBatch(t, pickRows(t, batch, want), got, "some rows")
		require.Equal(t, wantPositions, positions)
	}
}

// Batches of wide rows are short.
func TestReaderBatchesAreBounded(t *testing.T) {
	meta := newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, nil)
	text := strings.Repeat("x", 200_000)
	batch := orders(t, meta, 600, func(i int, b *array.RecordBuilder) {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		b.Field(1).(*array.StringBuilder).Append(text[:100_000+i])
		b.Field(2).AppendNull()
	})
	df := writeAll(t, meta, WriterOptions{}, batch)[0]
	r, err := Open(t.Context(), localFS, df, ReadOptions{Schema: meta.CurrentSchema()})
	require.NoError(t, err)
	defer r.Release()
	rows := int64(0)
	for r.Next() {
		require.LessOrEqual(t, batchBytes(r.RecordBatch()), int64(maxBatchBytes*3/2))
		rows += r.RecordBatch().NumRows()
	}
	require.NoError(t, r.Err())
	require.EqualValues(t, 600, rows)
}
