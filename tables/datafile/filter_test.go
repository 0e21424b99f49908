package datafile

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// testPredicate is a predicate and an evaluation of it that shares nothing with the package's: over sort keys, row by row.
type testPredicate struct {
	expr iceberg.BooleanExpression
	eval func(row int) truth
}

func randomPredicate(t testing.TB, rng *rand.Rand, schema *iceberg.Schema, batch arrow.RecordBatch, depth int) testPredicate {
	if depth > 0 && rng.IntN(3) > 0 {
		l, r := randomPredicate(t, rng, schema, batch, depth-1), randomPredicate(t, rng, schema, batch, depth-1)
		switch rng.IntN(3) {
		case 0:
			return testPredicate{iceberg.NewAnd(l.expr, r.expr), func(i int) truth { return min(l.eval(i), r.eval(i)) }}
		case 1:
			return testPredicate{iceberg.NewOr(l.expr, r.expr), func(i int) truth { return max(l.eval(i), r.eval(i)) }}
		}
		return testPredicate{iceberg.NewNot(l.expr), func(i int) truth { return isTrue - l.eval(i) }}
	}
	names := []string{"b", "i", "l", "dec9", "dec18", "dec38", "date", "time", "ts", "tstz", "s", "u", "fix", "bin", "st.x"}
	name := names[rng.IntN(len(names))]
	field, ok := schema.FindFieldByName(name)
	require.True(t, ok, name)
	path, _, _ := pathTo(schema, field.ID)
	values, null := path.resolve(batch)
	bind, err := bindIdentity(field.Type)
	require.NoError(t, err)
	keys := bind(values, null)
	ref := iceberg.Reference(name)
	of := func(b bool) truth {
		if b {
			return isTrue
		}
		return isFalse
	}
	unknown := func(f func(int) bool) func(int) truth {
		return func(i int) truth {
			if null(i) {
				return isUnknown
			}
			return of(f(i))
		}
	}
	constant := rng.IntN(values.Len())
	for n := 0; null(constant) && n < 100; n++ {
		constant = rng.IntN(values.Len())
	}
	if op := rng.IntN(9); op == 0 || null(constant) {
		return testPredicate{iceberg.IsNull(ref), func(i int) truth { return of(null(i)) }}
	} else if op == 1 {
		return testPredicate{iceberg.NotNull(ref), func(i int) truth { return of(!null(i)) }}
	} else if text, str := values.(*array.String); op == 2 && str {
		prefix := text.Value(constant)
		if runes := []rune(prefix); len(runes) > 2 {
			prefix = string(runes[:2])
		}
		return testPredicate{iceberg.StartsWith(ref, prefix), unknown(func(i int) bool { return strings.HasPrefix(text.Value(i), prefix) })}
	}
	lit := literalOf(t, field.Type, values, constant)
	if rng.IntN(5) == 0 {
		return testPredicate{iceberg.SetPredicate(iceberg.OpIn, ref, []iceberg.Literal{lit, literalOf(t, field.Type, values, constant)}),
			unknown(func(i int) bool { return bytes.Equal(keys.appendKey(nil, i), keys.appendKey(nil, constant)) })}
	}
	op := []iceberg.Operation{iceberg.OpLT, iceberg.OpLTEQ, iceberg.OpGT, iceberg.OpGTEQ, iceberg.OpEQ, iceberg.OpNEQ}[rng.IntN(6)]
	return testPredicate{iceberg.LiteralPredicate(op, ref, lit), unknown(func(i int) bool {
		c := bytes.Compare(keys.appendKey(nil, i), keys.appendKey(nil, constant))
		return map[iceberg.Operation]bool{iceberg.OpLT: c < 0, iceberg.OpLTEQ: c <= 0, iceberg.OpGT: c > 0, iceberg.OpGTEQ: c >= 0, iceberg.OpEQ: c == 0, iceberg.OpNEQ: c != 0}[op]
	})}
}

// Filtered reads, with all their pruning, give the rows that evaluating every row gives.
func TestReaderFiltersExactly(t *testing.T) {
	seekGap = 50
	defer func() { seekGap = 2048 }()
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 3))
		order := table.UnsortedSortOrder
		if seed%2 == 1 { // sorted files prune
			order = sortOrder(t, asc([]int{2, 9, 13, 8}[rng.IntN(4)]))
		}
		props := iceberg.Properties{"write.parquet.page-size-bytes": "512"}
		for _, c := range []string{"i", "l", "s", "u", "dec9", "dec18", "dec38", "date", "ts", "fix", "bin"} {
			props["write.parquet.bloom-filter-enabled.column."+c] = "true"
		}
		meta := newTable(t, everyType(), nil, order, props)
		schema, err := arrowSchema(meta.CurrentSchema())
		require.NoError(t, err)
		df := writeAll(t, meta, WriterOptions{RowGroupRows: 500}, randomBatch(t, rng, schema, 1400))[0]
		whole, _ := readAll(t, df, ReadOptions{Schema: meta.CurrentSchema()})
		for range 60 {
			p := randomPredicate(t, rng, meta.CurrentSchema(), whole, 2)
			opts := ReadOptions{Schema: meta.CurrentSchema(), Filter: p.expr, Columns: []string{"s", "i", "ls", "st"}[:1+rng.IntN(4)], BatchRows: 1 + rng.IntN(700)}
			if rng.IntN(3) == 0 {
				opts.Deleted = roaring64.New()
				opts.Deleted.AddRange(uint64(rng.IntN(700)), uint64(700+rng.IntN(700)))
			}
			var want []int32
			for i := range int(whole.NumRows()) {
				if p.eval(i) == isTrue && (opts.Deleted == nil || !opts.Deleted.Contains(uint64(i))) {
					want = append(want, int32(i))
				}
			}
			got, positions := readAll(t, df, opts)
			require.Len(t, positions, len(want), "seed %d: %s", seed, p.expr)
			for i, p := range positions {
				require.EqualValues(t, want[i], p)
			}
			picked := pickRows(t, whole, want)
			for i, name := range opts.Columns {
				requireSame(t, picked.Column(whole.Schema().FieldIndices(name)[0]), got.Column(i), "seed %d: %s: %s", seed, p.expr, name)
			}
		}
	}
}

func TestReaderFiltersFloats(t *testing.T) {
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "f", Type: iceberg.PrimitiveTypes.Float64}, iceberg.NestedField{ID: 2, Name: "g", Type: iceberg.PrimitiveTypes.Float32})
	meta := newTable(t, schema, nil, table.UnsortedSortOrder, nil)
	values := []float64{math.NaN(), math.Copysign(0, -1), 0, 1, math.Inf(1), -5}
	as, err := arrowSchema(meta.CurrentSchema())
	require.NoError(t, err)
	b := array.NewRecordBuilder(allocator, as)
	for _, v := range values {
		b.Field(0).(*array.Float64Builder).Append(v)
		b.Field(1).(*array.Float32Builder).Append(float32(v))
	}
	b.Field(0).AppendNull()
	b.Field(1).AppendNull()
	df := writeAll(t, meta, WriterOptions{RowGroupRows: 3}, b.NewRecordBatch())[0]
	for _, name := range []string{"f", "g"} {
		ref := iceberg.Reference(name)
		lit := func(v float64) iceberg.Literal {
			if name == "g" {
				return iceberg.NewLiteral(float32(v))
			}
			return iceberg.NewLiteral(v)
		}
		for want, expr := range map[string]iceberg.BooleanExpression{
			"[1 2]":         iceberg.LiteralPredicate(iceberg.OpEQ, ref, lit(0)),
			"[1 2 ]":        iceberg.SetPredicate(iceberg.OpIn, ref, []iceberg.Literal{lit(0), lit(77)}),
			"[0]":           iceberg.IsNaN(ref),
			"[1 2 3 4 5]":   iceberg.NotNaN(ref),
			"[3 4]":         iceberg.LiteralPredicate(iceberg.OpGT, ref, lit(0)),
			"[1 2 5]":       iceberg.LiteralPredicate(iceberg.OpLTEQ, ref, lit(0)),
			"[0 1 2 4 5]":   iceberg.LiteralPredicate(iceberg.OpNEQ, ref, lit(1)),
			"[6]":           iceberg.IsNull(ref),
			"[0 1 2 3 4 5]": iceberg.NotNull(ref),
			"[1 2 3 4 5  ]": iceberg.LiteralPredicate(iceberg.OpLTEQ, ref, lit(math.Inf(1))),
		} {
			_, positions := readAll(t, df, ReadOptions{Schema: meta.CurrentSchema(), Filter: expr})
			require.Equal(t, strings.ReplaceAll(strings.ReplaceAll(want, " ]", "]"), " ]", "]"), fmt.Sprint(positions), "%s", expr)
		}
	}
}

// What pruning is for: most row groups of a sorted file are not read.
func TestReaderPrunes(t *testing.T) {
	meta := newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, iceberg.Properties{"write.parquet.page-size-bytes": "128"})
	ids := ascending(0, 20_000)
	for i := range ids {
		ids[i] = ids[i]*1000 + ids[i]*ids[i]%997 // of uneven steps, which do not pack to nothing
	}
	df := writeAll(t, meta, WriterOptions{RowGroupRows: 5000}, numbers(t, meta, ids...))[0]
	r, err := Open(t.Context(), localFS, df, ReadOptions{Schema: meta.CurrentSchema(), Filter: iceberg.EqualTo(iceberg.Reference("id"), ids[12_345])})
	require.NoError(t, err)
	defer r.Release()
	f := r.filter
	read := int64(0)
	for g := range r.groups {
		p := &pruner{source: r.source, footer: r.footer, reader: r.parquet, leaves: r.leaves, group: g, whole: []span{{0, 5000}}}
		spans := p.spans(f.root)
		require.Equal(t, g == 2, len(spans) > 0, "row group %d", g)
		read += spanRows(spans)
	}
	require.Less(t, read, int64(2500), "pages of the row group are pruned too")

	// A Bloom filter tells an absent key that lies within the bounds.
	evens := make([]int64, 1000)
	for i := range evens {
		evens[i] = int64(i) * 2
	}
	df = writeAll(t, meta, WriterOptions{}, numbers(t, meta, evens...))[0]
	pruned := 0
	for id := int64(1); id < 200; id += 2 {
		r, err := Open(t.Context(), localFS, df, ReadOptions{Schema: meta.CurrentSchema(), Filter: iceberg.EqualTo(iceberg.Reference("id"), id)})
		require.NoError(t, err)
		chunk, err := r.parquet.MetaData().RowGroup(0).ColumnChunk(0)
		require.NoError(t, err)
		p := &pruner{source: r.source, footer: r.footer, reader: r.parquet, leaves: r.leaves}
		if !p.bloomMayMatch(r.filter.root.leaf, r.leaves[1], chunk) {
			pruned++
		}
		r.Release()
	}
	require.Greater(t, pruned, 90)
}

func TestFilterErrors(t *testing.T) {
	for name, expr := range map[string]iceberg.BooleanExpression{
		"unknown column": iceberg.EqualTo(iceberg.Reference("nope"), int64(1)),
		"in a list":      iceberg.EqualTo(iceberg.Reference("ls.element"), "x"),
		"type":           iceberg.EqualTo(iceberg.Reference("date"), "not a date"),
	} {
		_, err := bindFilter(everyType(), expr)
		require.Error(t, err, name)
	}
	f, err := bindFilter(everyType(), iceberg.AlwaysTrue{})
	require.NoError(t, err)
	require.Nil(t, f)
}

// Of many constants a Bloom filter is not asked by a read for each.
func TestBloomOfManyConstants(t *testing.T) {
	schema := iceberg.NewSchemaWithIdentifiers(0, []int{1}, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true})
	meta := newTable(t, schema, nil, table.UnsortedSortOrder, iceberg.Properties{"write.parquet.bloom-filter-fpp.column.id": "0.000001"})
	b := array.NewRecordBuilder(memory.DefaultAllocator, mustArrow(t, schema))
	defer b.Release()
	for i := range 1000 {
		b.Field(0).(*array.Int64Builder).Append(int64(i) * 20)
	}
	df := writeAll(t, meta, WriterOptions{}, b.NewRecordBatch())[0]
	var absent []iceberg.Literal
	for i := range int64(5000) {
		absent = append(absent, iceberg.NewLiteral(i*2+1))
	}
	for _, constants := range [][]iceberg.Literal{absent[:3], absent, append(absent[:len(absent):len(absent)], iceberg.NewLiteral(int64(40)))} {
		var counters Counters
		in := iceberg.SetPredicate(iceberg.OpIn, iceberg.Reference("id"), constants)
		got, _ := readAll(t, df, ReadOptions{Schema: schema, Filter: in, Counters: &counters})
		require.EqualValues(t, max(len(constants)-len(absent), 0), got.NumRows())
		require.Less(t, counters.Requests.Load(), int64(30))
	}
}
