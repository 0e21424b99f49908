package datafile

import (
	"context"
	"io"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

const benchGroup = 1 << 17

// benchLayout is the layout of some columns of the benchmark's table, and a row group of them.
func benchLayout(b testing.TB, columns ...string) (*layout, []arrow.RecordBatch) {
	whole := transactionsSchema()
	batch := transactions(b, whole, benchGroup, benchGroup)[0]
	var fields []iceberg.NestedField
	var arrays []arrow.Array
	for i, f := range whole.Fields() {
		for _, name := range columns {
			if f.Name == name {
				fields, arrays = append(fields, f), append(arrays, batch.Column(i))
			}
		}
	}
	meta := newTable(b, iceberg.NewSchema(0, fields...), iceberg.UnpartitionedSpec, table.UnsortedSortOrder, nil)
	l, err := newLayout(meta, WriterOptions{})
	if err != nil {
		b.Fatal(err)
	}
	return l, []arrow.RecordBatch{array.NewRecordBatch(l.arrow, arrays, benchGroup)}
}

// BenchmarkEncode encodes a row group of one column, and of all.
func BenchmarkEncode(b *testing.B) {
	for _, columns := range [][]string{{"transaction_id"}, {"user_id"}, {"amount"}, {"currency"}, {"ts"},
		{"transaction_id", "user_id", "amount", "currency", "status", "ts", "updated_at"}} {
		name := columns[0]
		if len(columns) > 1 {
			name = "all"
		}
		b.Run(name, func(b *testing.B) {
			l, batches := benchLayout(b, columns...)
			size := 0
			for b.Loop() {
				f := l.encodeFragment(context.Background(), batches)
				if f.err != nil {
					b.Fatal(f.err)
				}
				size = len(f.file)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchGroup, "ns/row")
			b.ReportMetric(float64(size)/benchGroup, "bytes/row")
		})
	}
}

// BenchmarkByteCopy lays an encoded row group into a file.
func BenchmarkByteCopy(b *testing.B) {
	l, batches := benchLayout(b, "transaction_id", "user_id", "amount", "currency", "status", "ts", "updated_at")
	f := l.encodeFragment(context.Background(), batches)
	if f.err != nil {
		b.Fatal(f.err)
	}
	b.SetBytes(int64(len(f.file)))
	for b.Loop() {
		a, err := newAssembler(io.Discard)
		if err != nil {
			b.Fatal(err)
		}
		if err := a.add(f.file); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchGroup, "ns/row")
}
