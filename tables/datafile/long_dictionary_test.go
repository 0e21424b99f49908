package datafile

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"
)

// Few long texts, each of many rows, take little in a file and much in a batch: batches that come as dictionaries are as short as those
// of texts, and what is too long for one is an error.
func TestLongTextsOfADictionary(t *testing.T) {
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "s", Type: iceberg.PrimitiveTypes.String})
	b := array.NewRecordBuilder(memory.DefaultAllocator, mustArrow(t, schema))
	defer b.Release()
	texts := []string{strings.Repeat("x", 40_000), strings.Repeat("y", 40_000), ""}
	for i := range 9000 {
		b.Field(0).(*array.StringBuilder).Append(texts[i%3])
	}
	batch := b.NewRecordBatch()
	defer batch.Release()
	df := dictionaryFile(t, rand.New(rand.NewPCG(3, 3)), schema, batch)
	for _, dictionaries := range []bool{false, true} {
		r, err := Open(t.Context(), localFS, df, ReadOptions{Schema: schema, Dictionaries: dictionaries, BatchRows: 2500})
		require.NoError(t, err)
		n, most := int64(0), int64(0)
		for r.Next() {
			if n += r.RecordBatch().NumRows(); n > 2500 { // the first is a guess
				most = max(most, r.RecordBatch().NumRows())
			}
		}
		require.NoError(t, r.Err())
		require.EqualValues(t, 9000, n)
		require.Less(t, most, int64(2500), "dictionaries: %v", dictionaries)
		r.Release()
	}

	values := array.NewStringBuilder(memory.DefaultAllocator)
	values.Append(strings.Repeat("z", 33_000))
	indices := array.NewInt32Builder(memory.DefaultAllocator)
	indices.AppendValues(make([]int32, 1<<16), nil)
	kind := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
	_, err := conformArray(t.Context(), array.NewDictionaryArray(kind, indices.NewArray(), values.NewArray()), arrow.BinaryTypes.String)
	require.ErrorContains(t, err, "2 GiB")
}
