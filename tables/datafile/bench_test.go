package datafile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

const benchRows = 1 << 20

// transactions is the table of the MERGE benchmark: a key of 36 bytes, six columns more, thirty days.
func transactionsSchema() *iceberg.Schema {
	p := iceberg.PrimitiveTypes
	return iceberg.NewSchemaWithIdentifiers(0, []int{1},
		iceberg.NestedField{ID: 1, Name: "transaction_id", Type: p.String, Required: true},
		iceberg.NestedField{ID: 2, Name: "user_id", Type: p.Int64},
		iceberg.NestedField{ID: 3, Name: "amount", Type: iceberg.DecimalTypeOf(18, 2)},
		iceberg.NestedField{ID: 4, Name: "currency", Type: p.String},
		iceberg.NestedField{ID: 5, Name: "status", Type: p.String},
		iceberg.NestedField{ID: 6, Name: "ts", Type: p.TimestampTz},
		iceberg.NestedField{ID: 7, Name: "updated_at", Type: p.TimestampTz},
	)
}

func transactions(b testing.TB, schema *iceberg.Schema, rows, batchRows int) []arrow.RecordBatch {
	arrowSch, err := arrowSchema(schema)
	if err != nil {
		b.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	currencies, states := []string{"USD", "EUR", "GBP", "JPY", "CHF"}, []string{"settled", "pending", "failed"}
	var out []arrow.RecordBatch
	rb := array.NewRecordBuilder(memory.DefaultAllocator, arrowSch)
	defer rb.Release()
	const day = 86_400_000_000
	for i := range rows {
		rb.Field(0).(*array.StringBuilder).Append(fmt.Sprintf("%08x-%04x-%04x-%04x-%012x", rng.Uint32(), rng.Uint32()&0xffff, rng.Uint32()&0xffff, rng.Uint32()&0xffff, rng.Uint64()&0xffffffffffff))
		rb.Field(1).(*array.Int64Builder).Append(rng.Int64N(200_000))
		rb.Field(2).(*array.Decimal128Builder).Append(decimal128.FromI64(rng.Int64N(1_000_000)))
		rb.Field(3).(*array.StringBuilder).Append(currencies[rng.IntN(5)])
		rb.Field(4).(*array.StringBuilder).Append(states[rng.IntN(3)])
		ts := arrow.Timestamp(1_760_000_000_000_000 + rng.Int64N(30*day))
		rb.Field(5).(*array.TimestampBuilder).Append(ts)
		rb.Field(6).(*array.TimestampBuilder).Append(ts + arrow.Timestamp(rng.Int64N(3_600_000_000)))
		if (i+1)%batchRows == 0 || i+1 == rows {
			out = append(out, rb.NewRecordBatch())
		}
	}
	return out
}

func benchTable(b testing.TB, partitioned, sorted bool) table.Metadata {
	schema := transactionsSchema()
	spec := *iceberg.UnpartitionedSpec
	if partitioned {
		spec = iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{6}, FieldID: 1000, Name: "ts_day", Transform: iceberg.DayTransform{}})
	}
	order := table.UnsortedSortOrder
	if sorted {
		var err error
		if order, err = table.NewSortOrder(1, []table.SortField{{SourceIDs: []int{2}, Transform: iceberg.IdentityTransform{}, Direction: table.SortASC, NullOrder: table.NullsFirst}}); err != nil {
			b.Fatal(err)
		}
	}
	return newTable(b, schema, &spec, order, nil)
}

func BenchmarkWrite(b *testing.B) {
	batches := transactions(b, transactionsSchema(), benchRows, 1<<16)
	for _, c := range []struct {
		name                string
		partitioned, sorted bool
	}{{"plain", false, false}, {"days", true, false}, {"sorted", false, true}} {
		b.Run(c.name, func(b *testing.B) {
			meta := benchTable(b, c.partitioned, c.sorted)
			var size int64
			for b.Loop() {
				w, err := NewWriter(context.Background(), meta, iceio.LocalFS{}, WriterOptions{})
				if err != nil {
					b.Fatal(err)
				}
				for _, batch := range batches {
					if err := w.Write(batch); err != nil {
						b.Fatal(err)
					}
				}
				files, err := w.Close()
				if err != nil {
					b.Fatal(err)
				}
				size = 0
				for _, f := range files {
					size += f.FileSizeBytes()
					os.Remove(f.FilePath())
				}
			}
			b.ReportMetric(float64(benchRows)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mrows/s")
			b.ReportMetric(float64(size)/1e6, "MB")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	meta := benchTable(b, false, false)
	batches := transactions(b, transactionsSchema(), benchRows, 1<<16)
	df := writeAll(b, meta, WriterOptions{}, batches...)[0]
	sparse := roaring64.New()
	for i := 0; i < benchRows; i += 1000 {
		sparse.Add(uint64(i))
	}
	few := roaring64.New()
	for i := 0; i < benchRows; i += 100_000 {
		few.Add(uint64(i))
	}
	key := batches[3].Column(0).(*array.String).Value(77)
	for _, c := range []struct {
		name string
		opts ReadOptions
		rows int
	}{
		{"all", ReadOptions{}, benchRows},
		{"key", ReadOptions{Columns: []string{"transaction_id"}}, benchRows},
		{"others", ReadOptions{Columns: []string{"user_id", "amount", "currency", "status", "ts", "updated_at"}}, benchRows},
		{"every thousandth row", ReadOptions{Rows: sparse}, benchRows/1000 + 1},
		{"eleven rows", ReadOptions{Rows: few}, 11},
		{"one key", ReadOptions{Filter: iceberg.EqualTo(iceberg.Reference("transaction_id"), key)}, 1},
		{"a tenth by filter", ReadOptions{Filter: iceberg.LessThan(iceberg.Reference("user_id"), int64(20_000))}, -1},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.opts.Schema = meta.CurrentSchema()
			for b.Loop() {
				r, err := Open(context.Background(), iceio.LocalFS{}, df, c.opts)
				if err != nil {
					b.Fatal(err)
				}
				rows := 0
				for r.Next() {
					rows += int(r.RecordBatch().NumRows())
				}
				r.Release()
				if r.Err() != nil || c.rows >= 0 && rows != c.rows {
					b.Fatal(rows, r.Err())
				}
			}
		})
	}
}

func BenchmarkScan(b *testing.B) {
	l := &lake{b, &memoryCatalog{meta: benchTable(b, true, false), fs: iceio.LocalFS{}}}
	l.commit(writeAll(b, l.meta(), WriterOptions{}, transactions(b, transactionsSchema(), benchRows, 1<<16)...), nil, nil)
	for b.Loop() {
		r, err := Scan(context.Background(), l.table(), ScanOptions{})
		if err != nil {
			b.Fatal(err)
		}
		rows := 0
		for r.Next() {
			rows += int(r.RecordBatch().NumRows())
		}
		r.Release()
		if rows != benchRows || r.Err() != nil {
			b.Fatal(rows, r.Err())
		}
	}
}
