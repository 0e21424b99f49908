package transforms_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// endless makes rows as they are read, each with a key of its own.
type endless struct {
	rows int64
	each func() // after some batches
}

var endlessSchema = arrow.NewSchema([]arrow.Field{{Name: "k", Type: arrow.PrimitiveTypes.Int64}}, nil)

func (e *endless) Schema() *arrow.Schema { return endlessSchema }

func (e *endless) Open(context.Context, []string) (array.RecordReader, error) {
	const size = 16 << 10
	at, batches := int64(0), 0
	return array.ReaderFromIter(endlessSchema, func(yield func(arrow.RecordBatch, error) bool) {
		for at < e.rows {
			keys := vector.Alloc[int64](int(min(size, e.rows-at)))
			for i := range keys {
				keys[i] = at + int64(i)
			}
			at += int64(len(keys))
			column := vector.FromValues(arrow.PrimitiveTypes.Int64, keys, nil)
			if batches++; batches%16 == 0 && e.each != nil {
				e.each()
			}
			if !yield(array.NewRecordBatch(endlessSchema, []arrow.Array{column}, int64(len(keys))), nil) {
				return
			}
		}
	}), nil
}

// heap is the bytes that are live.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkDedupe(b *testing.B) {
	for name, limit := range map[string]int64{"in memory": 1 << 30, "spilled": 4 << 20} {
		b.Run(name, func(b *testing.B) {
			src := &endless{rows: 500_000}
			for b.Loop() {
				rows, _, err := transforms.Dedupe(context.Background(), src, []string{"k"}, "latest", nil,
					transforms.DedupeOptions{MemoryLimit: limit, TempDir: b.TempDir()})
				require.NoError(b, err)
				for rows.Next() {
				}
				rows.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(src.rows), "ns/row")
		})
	}
}
