package datafile

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/internal/rows"
)

// gauge is an allocator that tells, from time to time, what is alive on the heap: while it looks nobody gets memory, so that what
// others throw away in the meantime does not count.
type gauge struct {
	memory.Allocator
	sync.RWMutex
	before uint64
	most   atomic.Uint64
}

func gauged(t *testing.T) *gauge {
	g := &gauge{Allocator: memory.NewGoAllocator()}
	before, gathered := allocator, rows.Allocator
	allocator, rows.Allocator = g, g
	g.before = g.look()
	g.most.Store(g.before)
	done := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				g.most.Store(max(g.most.Load(), g.look()))
			}
		}
	})
	t.Cleanup(func() {
		close(done)
		looking.Wait()
		allocator, rows.Allocator = before, gathered
	})
	return g
}

// look is the bytes that are alive. What is made and thrown away while it is collected counts as alive, and more so on a busy
// machine: it looks until nobody goes on for want of memory, so that the figure no longer falls.
func (g *gauge) look() uint64 {
	g.Lock()
	defer g.Unlock()
	alive := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	least := uint64(math.MaxUint64)
	for range 10 {
		runtime.GC()
		metrics.Read(alive)
		now := alive[0].Value.Uint64()
		if now >= least {
			break
		}
		least = now
	}
	return least
}

func (g *gauge) Allocate(n int) []byte {
	g.RLock()
	defer g.RUnlock()
	return g.Allocator.Allocate(n)
}

func (g *gauge) Reallocate(n int, b []byte) []byte {
	g.RLock()
	defer g.RUnlock()
	return g.Allocator.Reallocate(n, b)
}

// Rows of any width, and with keys of any, are sorted within a memory that has room for a sixth of them: by runs that are read
// back a little at a time, and merged in turns where there are too many.
func TestSortingStaysWithinItsMemory(t *testing.T) {
	const limit, total = 8 << 20, 50 << 20
	narrow := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64})
	for name, c := range map[string]struct {
		schema *iceberg.Schema
		by     int // the column sorted by
		width  int // bytes of a row
	}{
		"narrow rows":                      {ordersSchema(), 1, 100},
		"wide rows":                        {ordersSchema(), 1, 20_000},
		"rows as large as a batch may be":  {ordersSchema(), 1, 400_000},
		"a single number":                  {narrow, 1, 8},
		"wide keys":                        {ordersSchema(), 2, 20_000},
		"keys that take most of their row": {ordersSchema(), 2, 100},
	} {
		t.Run(name, func(t *testing.T) {
			meta := newTable(t, c.schema, nil, sortOrder(t, asc(c.by)), iceberg.Properties{table.ParquetCompressionKey: "uncompressed"})
			schema, err := arrowSchema(meta.CurrentSchema())
			require.NoError(t, err)
			g := gauged(t)
			w, err := NewWriter(context.Background(), meta, localFS, WriterOptions{MemoryLimit: limit, TempDir: t.TempDir(), Parallelism: 1, Order: []table.SortField{asc(c.by)}})
			require.NoError(t, err)
			rng := rand.New(rand.NewPCG(3, uint64(c.width)))
			n := int64(0)
			for size := 0; size < total; {
				batch := unsortedBatch(rng, schema, max(1, 400_000/c.width), c.width)
				size, n = size+int(batch.NumRows())*c.width, n+batch.NumRows()
				require.NoError(t, w.Write(batch))
				batch.Release()
			}
			require.NotNil(t, w.spill)
			written := g.most.Load()
			files, err := w.Close()
			require.NoError(t, err)
			require.Len(t, files, 1)
			require.Equal(t, n, files[0].Count())
			t.Logf("%d rows; at most %.1f of the limit, %.1f before the merge", n, float64(g.most.Load()-g.before)/limit, float64(written-g.before)/limit)
			require.Less(t, written-g.before, uint64(2*limit))
			// Row groups are encoded meanwhile, of which each takes as much again as pages and once more as a file.
			require.Less(t, g.most.Load()-g.before, uint64(3*limit))
		})
	}
}

// unsortedBatch is rows of a table with a number, or of orders, of so many bytes each.
func unsortedBatch(rng *rand.Rand, schema *arrow.Schema, n, width int) arrow.RecordBatch {
	b := array.NewRecordBuilder(allocator, schema)
	defer b.Release()
	text := []byte(strings.Repeat("x", max(width-8, 8)))
	for i := range n {
		b.Field(0).(*array.Int64Builder).Append(rng.Int64N(50))
		if len(b.Fields()) > 1 {
			copy(text[len(text)-8:], fmt.Sprintf("%08d", rng.IntN(1e8)))
			b.Field(1).(*array.StringBuilder).Append(string(text))
			b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(i))
		}
	}
	return b.NewRecordBatch()
}

// Sorted by way of the disk, rows of any type come in the same order as sorted in memory, equal ones as they came: in few runs, and
// in so many that they are merged in turns.
func TestSpilledRowsComeAsFromMemory(t *testing.T) {
	for name, order := range map[string][]table.SortField{
		"number, null in some runs only": {desc(3)},
		"few different texts, then more": {asc(13), desc(5)},
		"boolean":                        {asc(1)},
		"decimals":                       {desc(8), asc(6)},
		"nested":                         {asc(18)},
	} {
		for _, limit := range []int64{1, 10 << 10, 100 << 10} {
			t.Run(fmt.Sprintf("%s, %d bytes", name, limit), func(t *testing.T) {
				meta := newTable(t, everyType(), nil, table.UnsortedSortOrder, nil)
				schema, err := arrowSchema(meta.CurrentSchema())
				require.NoError(t, err)
				rng := rand.New(rand.NewPCG(5, uint64(limit)))
				var batches []arrow.RecordBatch
				for range 8 {
					batches = append(batches, repetitive(t, rng, schema, 150))
				}
				want := writeAll(t, meta, WriterOptions{Order: order, RowGroupRows: 100}, batches...)
				got := writeAll(t, meta, WriterOptions{Order: order, RowGroupRows: 100, MemoryLimit: limit, TempDir: t.TempDir()}, batches...)
				require.Len(t, got, 1)
				wanted, _ := readAll(t, want[0], ReadOptions{Schema: meta.CurrentSchema()})
				gotten, _ := readAll(t, got[0], ReadOptions{Schema: meta.CurrentSchema()})
				require.Equal(t, rowTextsInOrder(wanted), rowTextsInOrder(gotten))
			})
		}
	}
}

// repetitive is random rows of which many are equal in some columns, often without any null.
func repetitive(t *testing.T, rng *rand.Rand, schema *arrow.Schema, rows int) arrow.RecordBatch {
	some := randomBatch(t, rng, schema, 1+rng.IntN(rows))
	columns, withNulls := make([]arrow.Array, some.NumCols()), rng.IntN(3) == 0
	for i, c := range some.Columns() {
		var full []int32
		for row := range c.Len() {
			if c.IsValid(row) {
				full = append(full, int32(row))
			}
		}
		pick := make([]int32, rows)
		for j := range pick {
			pick[j] = int32(rng.IntN(c.Len()))
			if len(full) > 0 && !withNulls {
				pick[j] = full[rng.IntN(len(full))]
			}
		}
		var err error
		columns[i], err = gather(t.Context(), c, pick)
		require.NoError(t, err)
	}
	return array.NewRecordBatch(schema, columns, int64(rows))
}

// What lists hold counts row by row: of one long text among many short ones the row that has it takes the memory.
func TestSizesOfUnevenLists(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	lists := array.NewListBuilder(memory.DefaultAllocator, arrow.BinaryTypes.String)
	texts := lists.ValueBuilder().(*array.StringBuilder)
	for _, row := range [][]string{{"a"}, {long, "b"}, {}, {"c", "d"}} {
		lists.Append(true)
		texts.AppendValues(row, nil)
	}
	lists.AppendNull()
	nested := array.NewListBuilder(memory.DefaultAllocator, arrow.ListOf(arrow.BinaryTypes.String))
	inner := nested.ValueBuilder().(*array.ListBuilder)
	for _, row := range [][]string{{"a"}, {long, "b"}, {}, {"c", "d"}, {}} {
		nested.Append(true)
		inner.Append(true)
		inner.ValueBuilder().(*array.StringBuilder).AppendValues(row, nil)
	}
	for _, a := range []arrow.Array{lists.NewArray(), nested.NewArray()} {
		for _, from := range []int64{0, 1} {
			var vary []uint32
			part := array.NewSlice(a, from, int64(a.Len()))
			each := addSizes(part, &vary)
			require.Len(t, vary, part.Len())
			for i, size := range vary {
				if i == 1-int(from) {
					require.Greater(t, each+int64(size), int64(100_000))
				} else {
					require.Less(t, each+int64(size), int64(50), "%s row %d", a.DataType(), i)
				}
			}
		}
	}
}
