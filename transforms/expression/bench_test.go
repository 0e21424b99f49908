package expression_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms/expression"
)

const benchRows = 64 << 10

// benchBatch has the shape of flight records, one value in ten null.
func benchBatch() arrow.RecordBatch {
	r := rand.New(rand.NewPCG(3, 4))
	b := array.NewRecordBuilder(memory.DefaultAllocator, arrow.NewSchema([]arrow.Field{
		{Name: "distance", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
		{Name: "flight", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: "delay", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		{Name: "amount", Type: &arrow.Decimal128Type{Precision: 18, Scale: 2}, Nullable: true},
		{Name: "carrier", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "tailnum", Type: arrow.BinaryTypes.String, Nullable: true},
		{Name: "ts", Type: &arrow.TimestampType{Unit: arrow.Microsecond}, Nullable: true},
	}, nil))
	defer b.Release()
	carriers := []string{"UA", "AA", "DL", "B6"}
	for range benchRows {
		for k := range b.Fields() {
			if r.IntN(10) == 0 {
				b.Field(k).AppendNull()
				continue
			}
			switch f := b.Field(k).(type) {
			case *array.Int32Builder:
				f.Append(r.Int32N(5000))
			case *array.Int64Builder:
				f.Append(r.Int64N(9000))
			case *array.Float64Builder:
				f.Append(r.NormFloat64() * 20)
			case *array.Decimal128Builder:
				f.Append(decimal128.FromI64(r.Int64N(1e9)))
			case *array.StringBuilder:
				if k == 4 {
					f.Append(carriers[r.IntN(4)])
				} else {
					f.Append("N" + string(rune('1'+r.IntN(9))) + "23AA")
				}
			case *array.TimestampBuilder:
				f.Append(arrow.Timestamp(1356998400e6 + r.Int64N(31536000e6)))
			}
		}
	}
	return b.NewRecordBatch()
}

func BenchmarkEval(b *testing.B) {
	batch := benchBatch()
	for _, source := range []string{
		`distance > 1000`,
		`distance < flight`,
		`delay != nil and delay > 15`,
		`carrier == "UA"`,
		`carrier in ["UA", "AA"]`,
		`tailnum startsWith "N1" or distance > 4000`,
		`amount > 100.5`,
		`distance + 1`,
		`flight * 2`,
		`delay / 60`,
		`amount * 1.1`,
		`carrier + string(flight) + "/" + string(ts)`,
		`upper(tailnum)`,
		`date_trunc("day", ts)`,
		`year(ts)`,
		`delay > 15 ? "late" : "on time"`,
		`coalesce(delay, 0)`,
		`hash(carrier, flight, ts)`,
		`tailnum matches "^N[0-9]+"`,
	} {
		b.Run(source, func(b *testing.B) {
			p, err := expression.Compile(source, expression.Scope{"": batch.Schema()})
			require.NoError(b, err)
			for b.Loop() {
				out, err := p.Eval(context.Background(), batch)
				if err != nil {
					b.Fatal(err)
				}
				out.Release()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchRows, "ns/row")
		})
	}
}
