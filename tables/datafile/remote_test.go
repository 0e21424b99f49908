package datafile

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/cache"
)

// far is a store whose every read is a request. It says what was asked of it.
type far struct {
	mu    sync.Mutex
	reads []span
}

type farFile struct {
	*os.File
	of *far
}

func (f *far) Open(uri string) (iceio.File, error) {
	file, err := os.Open(strings.TrimPrefix(uri, "far://"))
	return &farFile{file, f}, err
}

func (f *far) Remove(string) error { return os.ErrPermission }

func (f *farFile) ReadAt(p []byte, off int64) (int, error) {
	f.of.mu.Lock()
	f.of.reads = append(f.of.reads, span{off, off + int64(len(p))})
	f.of.mu.Unlock()
	return f.File.ReadAt(p, off)
}

func (f *far) requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.reads)
	f.reads = nil
	return n
}

type farData struct{ iceberg.DataFile }

func (d farData) FilePath() string {
	return "far://" + strings.TrimPrefix(d.DataFile.FilePath(), "file://")
}

// wronglySized is a file whose manifest has its size wrong.
type wronglySized struct{ iceberg.DataFile }

func (d wronglySized) FileSizeBytes() int64 { return d.DataFile.FileSizeBytes() + 7 }

// readFar reads a file that lies far away.
func readFar(t *testing.T, fs iceio.IO, df iceberg.DataFile, opts ReadOptions) (out []arrow.RecordBatch) {
	t.Helper()
	r, err := Open(t.Context(), fs, df, opts)
	require.NoError(t, err)
	defer r.Release()
	for r.Next() {
		r.RecordBatch().Retain()
		out = append(out, r.RecordBatch())
	}
	require.NoError(t, r.Err())
	return out
}

func TestRemoteFilesAreReadAsLocalOnes(t *testing.T) {
	seekGap = 50
	defer func() { seekGap = 2048 }()
	rng := rand.New(rand.NewPCG(7, 7))
	props := iceberg.Properties{"write.parquet.page-size-bytes": "512"}
	for _, c := range []string{"i", "l", "s", "u"} {
		props["write.parquet.bloom-filter-enabled.column."+c] = "true"
	}
	meta := newTable(t, everyType(), nil, sortOrder(t, asc(2)), props)
	schema, err := arrowSchema(meta.CurrentSchema())
	require.NoError(t, err)
	df := writeAll(t, meta, WriterOptions{RowGroupRows: 500}, randomBatch(t, rng, schema, 1400))[0]
	whole, _ := readAll(t, df, ReadOptions{Schema: meta.CurrentSchema()})
	kept, onDisk := cache.New(64<<20, nil), t.TempDir()
	for i := range 120 {
		opts := ReadOptions{Schema: meta.CurrentSchema(), Columns: []string{"s", "i", "ls", "st"}[:1+rng.IntN(4)], BatchRows: 1 + rng.IntN(700)}
		if i%4 > 0 {
			opts.Filter = randomPredicate(t, rng, meta.CurrentSchema(), whole, 1).expr
		}
		want := readFar(t, localFS, df, opts)
		switch i % 3 {
		case 0:
			opts.Cache = kept
		case 1:
			opts.Cache = cache.New(64<<20, cache.NewDisk(onDisk, 64<<20))
		}
		var from iceberg.DataFile = farData{df}
		if i%7 == 0 {
			from = wronglySized{from}
		}
		store := &far{}
		got := readFar(t, store, from, opts)
		require.Len(t, got, len(want))
		for b := range want {
			for c := range want[b].NumCols() {
				requireSame(t, want[b].Column(int(c)), got[b].Column(int(c)), "%v", opts.Filter)
			}
		}
		if opts.Filter == nil && opts.Cache == kept && i > 20 {
			// One for each of the three row groups: all columns of one are fetched together.
			require.LessOrEqual(t, store.requests(), 3)
		}
	}
}

// A point read of a file whose footer is known reads the pages of the filter's column, and then those of the others.
func TestRemotePointReadTakesTwoRequests(t *testing.T) {
	meta := newTable(t, ordersSchema(), nil, sortOrder(t, asc(1)), iceberg.Properties{"write.parquet.page-size-bytes": "1024"})
	ids := ascending(0, 60_000)
	for i := range ids {
		ids[i] = ids[i]*1000 + ids[i]*ids[i]%997
	}
	df := writeAll(t, meta, WriterOptions{RowGroupRows: 60_000}, numbers(t, meta, ids...))[0]
	store, counts := &far{}, &Counters{}
	opts := ReadOptions{Schema: meta.CurrentSchema(), Cache: cache.New(64<<20, nil), Counters: counts}
	for i, at := range []int{1000, 31_000, 59_000} {
		opts.Filter = iceberg.EqualTo(iceberg.Reference("id"), ids[at])
		got := readFar(t, store, farData{df}, opts)
		require.Len(t, got, 1)
		require.EqualValues(t, 1, got[0].NumRows())
		if n := store.requests(); i > 0 {
			require.LessOrEqual(t, n, 2)
		}
	}
	require.Positive(t, counts.PagesPruned.Load())
	require.Less(t, counts.Bytes.Load(), df.FileSizeBytes()*3)
}

// Who looks for a value in a file that has no bounds for it reads the end of the file and the Bloom filter, by a request each, and the
// next who does so nothing.
func TestRemoteBloomFilterTakesTwoRequests(t *testing.T) {
	meta := newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, iceberg.Properties{"write.parquet.bloom-filter-enabled.column.name": "true"})
	batch := orders(t, meta, 100_000, func(i int, b *array.RecordBuilder) {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		b.Field(1).(*array.StringBuilder).Append(fmt.Sprintf("%016x", uint64(i)*0x9e3779b97f4a7c15))
		b.Field(2).AppendNull()
	})
	df := writeAll(t, meta, WriterOptions{RowGroupRows: 100_000}, batch)[0]
	store, counts := &far{}, &Counters{}
	opts := ReadOptions{Schema: meta.CurrentSchema(), Cache: cache.New(64<<20, nil), Counters: counts}
	for i, absent := range []string{"8000000000000001", "7000000000000002", "7000000000000003"} {
		opts.Filter = iceberg.EqualTo(iceberg.Reference("name"), absent)
		require.False(t, MayHold(t.Context(), store, farData{df}, opts), absent)
		require.Equal(t, []int{2, 0, 0}[i], store.requests())
	}
	require.EqualValues(t, 3, counts.BloomNegatives.Load())
	require.Greater(t, counts.Bytes.Load(), int64(tailBytes+64<<10), "the filter does not lie in the tail")
	seven := uint64(7)
	opts.Filter = iceberg.EqualTo(iceberg.Reference("name"), fmt.Sprintf("%016x", seven*0x9e3779b97f4a7c15))
	require.True(t, MayHold(t.Context(), store, farData{df}, opts))
}

func TestJoinRanges(t *testing.T) {
	require.Equal(t, []span{{0, 40}, {60, 70}}, join([]span{{60, 70}, {20, 40}, {0, 10}}, 10))
	require.Equal(t, []span{{0, 10}, {20, 40}}, join([]span{{20, 40}, {0, 10}}, 9))
	require.Equal(t, []span{{0, 50}}, join([]span{{0, 50}, {10, 20}}, 0))
	require.Empty(t, join(nil, 5))
}
