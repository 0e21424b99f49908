package datafile

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// gauge is an allocator that knows the most that was in use at one time.
type gauge struct {
	memory.Allocator
	now, most atomic.Int64
}

func (g *gauge) used(n int) {
	now := g.now.Add(int64(n))
	for most := g.most.Load(); now > most && !g.most.CompareAndSwap(most, now); most = g.most.Load() {
	}
}

func (g *gauge) Allocate(n int) []byte { g.used(n); return g.Allocator.Allocate(n) }

func (g *gauge) Reallocate(n int, b []byte) []byte {
	g.used(n - len(b))
	return g.Allocator.Reallocate(n, b)
}

func (g *gauge) Free(b []byte) { g.used(-len(b)); g.Allocator.Free(b) }

func gauged(t *testing.T) *gauge {
	g := &gauge{Allocator: memory.NewGoAllocator()}
	before := allocator
	allocator = g
	t.Cleanup(func() { allocator = before })
	return g
}

// Rows of any width are sorted within a memory that has room for a twentieth of them: by runs that are read back a little at a
// time, and merged in turns where there are too many.
func TestSortingStaysWithinItsMemory(t *testing.T) {
	const limit, total = 2 << 20, 40 << 20
	for name, width := range map[string]int{"narrow rows": 100, "wide rows": 20_000, "rows as large as a batch should be": 200_000} {
		t.Run(name, func(t *testing.T) {
			meta := newTable(t, ordersSchema(), nil, sortOrder(t, asc(1)), iceberg.Properties{table.ParquetCompressionKey: "uncompressed"})
			g := gauged(t)
			w, err := NewWriter(context.Background(), meta, localFS, WriterOptions{MemoryLimit: limit, TempDir: t.TempDir(), Parallelism: 1})
			require.NoError(t, err)
			rng, n := rand.New(rand.NewPCG(3, uint64(width))), int64(0)
			text := strings.Repeat("x", width-8)
			for size := 0; size < total; {
				batch := orders(t, meta, max(1, 200_000/width), func(_ int, b *array.RecordBuilder) {
					b.Field(0).(*array.Int64Builder).Append(rng.Int64N(50))
					b.Field(1).(*array.StringBuilder).Append(text + string(binary.BigEndian.AppendUint32(nil, uint32(n)|0x01010101)))
					b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(n))
					n++
					size += width
				})
				require.NoError(t, w.Write(batch))
				batch.Release()
			}
			files, err := w.Close()
			require.NoError(t, err)
			t.Logf("%d rows, %d files; at most %.1f of the limit", n, len(files), float64(g.most.Load())/limit)
			require.Less(t, g.most.Load(), int64(4*limit))
			seen, last := make([]bool, n), int64(-1)
			for _, f := range files {
				got, _ := readAll(t, f, ReadOptions{Schema: meta.CurrentSchema()})
				ids, came := got.Column(0).(*array.Int64), got.Column(2).(*array.Timestamp)
				for i := range int(got.NumRows()) {
					if ids.Value(i) < last || seen[came.Value(i)] {
						t.Fatalf("row %d, of id %d, after id %d; seen before: %v", came.Value(i), ids.Value(i), last, seen[came.Value(i)])
					}
					last, seen[came.Value(i)] = ids.Value(i), true
				}
				got.Release()
			}
			require.NotContains(t, seen, false)
		})
	}
}
