package datafile

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// Texts in plain pages, of both versions, required and not, with nulls from some row on, come as they were written: all of them,
// by odd batches, from the middle of the file, and without deleted rows.
func TestReaderReadsPlainTexts(t *testing.T) {
	p := iceberg.PrimitiveTypes
	for seed := range uint64(24) {
		rng := rand.New(rand.NewPCG(seed, 3))
		required, binary := seed%2 == 0, seed%3 == 0
		firstNull := []int{1 << 30, 700, 5}[rng.IntN(3)]
		b := array.NewStringBuilder(memory.DefaultAllocator)
		rows := 1000 + rng.IntN(500)
		for i := range rows {
			if !required && i >= firstNull && rng.IntN(4) == 0 {
				b.AppendNull()
				continue
			}
			b.Append(strings.Repeat(fmt.Sprint(rng.IntN(1000)), rng.IntN(12)))
		}
		var column arrow.Array = b.NewArray()
		field := iceberg.NestedField{ID: 1, Name: "s", Type: p.String, Required: required}
		if binary {
			column, field.Type = retype(column, arrow.BinaryTypes.Binary), p.Binary
		}
		schema := iceberg.NewSchema(0, field)
		batch := array.NewRecordBatch(mustArrow(t, schema), []arrow.Array{column}, int64(rows))
		path := filepath.Join(t.TempDir(), "plain.parquet")
		out, err := os.Create(path)
		require.NoError(t, err)
		props := parquet.NewWriterProperties(parquet.WithDictionaryDefault(false), parquet.WithDataPageSize(200+rng.Int64N(3000)), parquet.WithMaxRowGroupLength(400),
			parquet.WithDataPageVersion([]parquet.DataPageVersion{parquet.DataPageV1, parquet.DataPageV2}[rng.IntN(2)]))
		w, err := pqarrow.NewFileWriter(batch.Schema(), out, props, pqarrow.DefaultWriterProps())
		require.NoError(t, err)
		require.NoError(t, w.Write(batch))
		require.NoError(t, w.Close())
		df := fileEntry(t, path, int64(rows), nil)

		deleted, wanted := roaring64.New(), roaring64.New()
		var left, picked, last []int32
		for i := range rows {
			if rng.IntN(3) == 0 {
				deleted.Add(uint64(i))
			} else {
				left = append(left, int32(i))
			}
			if rng.IntN(40) == 0 {
				wanted.Add(uint64(i))
				picked = append(picked, int32(i))
			}
			if i >= 400 && i < 800 {
				last = append(last, int32(i))
			}
		}
		r, err := Open(t.Context(), localFS, df, ReadOptions{Schema: schema})
		require.NoError(t, err)
		require.True(t, r.Next())
		require.IsType(t, &textReader{}, r.cursors[0].reader)
		r.Release()
		for name, c := range map[string]struct {
			opts ReadOptions
			want arrow.RecordBatch
		}{
			"all":        {ReadOptions{}, batch},
			"by 77":      {ReadOptions{BatchRows: 77}, batch},
			"deleted":    {ReadOptions{Deleted: deleted, BatchRows: 100}, pickRows(t, batch, left)},
			"picked":     {ReadOptions{Rows: wanted}, pickRows(t, batch, picked)},
			"second row": {ReadOptions{RowGroups: []int{1}, BatchRows: 150}, pickRows(t, batch, last)},
		} {
			c.opts.Schema = schema
			got, _ := readAll(t, df, c.opts)
			requireSame(t, c.want.Column(0), got.Column(0), "seed %d: %s", seed, name)
		}
	}
}

func TestSkipOnes(t *testing.T) {
	for _, c := range []struct {
		levels []byte
		n      int
		ok     bool
	}{
		{[]byte{20, 1}, 10, true},             // ten times 1
		{[]byte{20, 0}, 10, false},            // ten times 0
		{[]byte{5, 0xff, 0x03}, 10, true},     // two groups of eight bits
		{[]byte{5, 0xff, 0x01}, 10, false},    // the tenth is 0
		{[]byte{3, 0xff, 4, 1}, 10, true},     // a group, then two times 1
		{[]byte{3, 0xff}, 10, false},          // they end early
		{[]byte{0, 1}, 10, false},             // a run of none
		{[]byte{0xff, 0xff, 0xff}, 10, false}, // no number
		{[]byte{5, 0xff}, 10, false},          // groups that are not there
		{nil, 0, true},
	} {
		page := append([]byte{byte(len(c.levels)), 0, 0, 0}, c.levels...)
		rest, ok := skipOnes(append(page, 42), c.n)
		require.Equal(t, c.ok, ok, c)
		if ok {
			require.Equal(t, []byte{42}, rest)
		}
	}
	_, ok := skipOnes([]byte{9, 0, 0, 0, 1}, 1)
	require.False(t, ok)
}

// Prune leaves out row groups whose Bloom filters hold none of the values asked for, and gives all rows of the others.
func TestReaderPrunesWithoutFiltering(t *testing.T) {
	schema := iceberg.NewSchemaWithIdentifiers(0, []int{1}, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.String, Required: true})
	meta := newTable(t, schema, nil, table.UnsortedSortOrder, nil)
	b := array.NewStringBuilder(memory.DefaultAllocator)
	rng := rand.New(rand.NewPCG(1, 8))
	for range 10_000 {
		b.Append(fmt.Sprintf("%016x", rng.Uint64()))
	}
	ids := b.NewStringArray()
	df := writeAll(t, meta, WriterOptions{RowGroupRows: 1000}, array.NewRecordBatch(mustArrow(t, schema), []arrow.Array{ids}, 10_000))[0]
	for row := range 30 {
		id := ids.Value(row * 300)
		got, positions := readAll(t, df, ReadOptions{Schema: schema, Prune: iceberg.IsIn(iceberg.Reference("id"), id, "no such id")})
		require.Contains(t, positions, int64(row*300))
		require.Less(t, got.NumRows(), int64(4000), "row groups that do not hold it are left out")
		require.Zero(t, got.NumRows()%1000, "and the others are whole")
	}
}
