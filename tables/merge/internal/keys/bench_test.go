package keys

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
)

const benchBatch = 1 << 16

// benchKeys makes a batch of key columns, all of different keys for different at.
var benchKeys = []struct {
	name  string
	types []arrow.DataType
	make  func(at int) []arrow.Array
}{
	{"word", []arrow.DataType{arrow.PrimitiveTypes.Int64}, func(at int) []arrow.Array { return []arrow.Array{benchInts(at)} }},
	{"uuid", []arrow.DataType{extensions.NewUUIDType()}, func(at int) []arrow.Array {
		b := extensions.NewUUIDBuilder(memory.DefaultAllocator)
		rnd := rand.New(rand.NewPCG(uint64(at), 0))
		for range benchBatch {
			b.Append(uuid.UUID{byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32())})
		}
		return []arrow.Array{b.NewArray()}
	}},
	{"text36", []arrow.DataType{arrow.BinaryTypes.String}, func(at int) []arrow.Array { return []arrow.Array{benchText(at)} }},
	{"text36+int64", []arrow.DataType{arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int64}, func(at int) []arrow.Array {
		return []arrow.Array{benchText(at), benchInts(at)}
	}},
}

func benchInts(at int) arrow.Array {
	b := array.NewInt64Builder(memory.DefaultAllocator)
	for i := range benchBatch {
		b.Append(int64(at+i) * 7)
	}
	return b.NewArray()
}

func benchText(at int) arrow.Array {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	for i := range benchBatch {
		b.Append(fmt.Sprintf("%036d", at+i))
	}
	return b.NewArray()
}

func perKey(b *testing.B) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchBatch, "ns/key")
}

// BenchmarkProbe encodes and probes a batch of which one key in 25 is in a table of half a million.
func BenchmarkProbe(b *testing.B) {
	for _, k := range benchKeys {
		b.Run(k.name, func(b *testing.B) {
			l, _ := NewLayout(k.types, false)
			table := NewTable(l)
			var v Vector
			for at := 0; at < 500_000; at += benchBatch {
				_ = l.Encode(&v, k.make(at*25))
				_ = table.Add(&v)
			}
			table.Build(nil)
			target := k.make(7 * benchBatch)
			var p Prober
			b.ResetTimer()
			for b.Loop() {
				_ = l.Encode(&v, target)
				table.Probe(&v, &p)
			}
			perKey(b)
		})
	}
}

// BenchmarkEncode makes a batch's keys comparable and hashes them.
func BenchmarkEncode(b *testing.B) {
	for _, k := range benchKeys {
		b.Run(k.name, func(b *testing.B) {
			l, _ := NewLayout(k.types, false)
			columns := k.make(0)
			var v Vector
			b.ResetTimer()
			for b.Loop() {
				_ = l.Encode(&v, columns)
			}
			perKey(b)
		})
	}
}

// BenchmarkFilter passes a batch of hashes, nearly all absent, through the filter of half a million keys.
func BenchmarkFilter(b *testing.B) {
	f := NewFilter(500_000)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 500_000 {
		f.Add(rnd.Uint64())
	}
	hashes := make([]uint64, benchBatch)
	for i := range hashes {
		hashes[i] = rnd.Uint64()
	}
	var selected []uint32
	b.ResetTimer()
	for b.Loop() {
		selected = f.Pass(hashes, selected)
	}
	perKey(b)
}
