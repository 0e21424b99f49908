package datafile

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func codedSchema() *iceberg.Schema {
	p := iceberg.PrimitiveTypes
	return iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "k", Type: p.Int32},
		iceberg.NestedField{ID: 2, Name: "few", Type: p.String},
		iceberg.NestedField{ID: 3, Name: "growing", Type: p.String},
		iceberg.NestedField{ID: 4, Name: "bytes", Type: p.Binary, Required: true},
		iceberg.NestedField{ID: 5, Name: "long", Type: p.String},
		iceberg.NestedField{ID: 6, Name: "different", Type: p.String},
		iceberg.NestedField{ID: 7, Name: "day", Type: p.String},
		iceberg.NestedField{ID: 8, Name: "n", Type: p.Int64, Required: true},
		iceberg.NestedField{ID: 9, Name: "id", Type: p.String},
		iceberg.NestedField{ID: 10, Name: "id bytes", Type: p.Binary},
	)
}

// codedBatch is rows whose texts repeat. Of the column that grows more are different from batch to batch, and in the one of long
// texts these come in later ones.
func codedBatch(rng *rand.Rand, schema *arrow.Schema, number, rows int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	nulls := rng.IntN(2) == 0
	for i := range rows {
		some := func(column int, text string) {
			f := schema.Field(column)
			switch {
			case f.Nullable && nulls && rng.IntN(5) == 0:
				b.Field(column).AppendNull()
			case f.Type.ID() == arrow.BINARY:
				b.Field(column).(*array.BinaryBuilder).Append([]byte(text))
			default:
				b.Field(column).(*array.StringBuilder).Append(text)
			}
		}
		if nulls && rng.IntN(9) == 0 {
			b.Field(0).AppendNull()
		} else {
			b.Field(0).(*array.Int32Builder).Append(rng.Int32N(40))
		}
		some(1, []string{"", "EUR", "a text of more than eight bytes"}[rng.IntN(3)])
		some(2, fmt.Sprint("v", rng.IntN(3<<(3*number))))
		some(3, strings.Repeat("\x00\xff", rng.IntN(4)))
		long := "short"
		if number > 3 && rng.IntN(10) == 0 {
			long = strings.Repeat("l", maxCodedText-1+rng.IntN(3))
		}
		some(4, long)
		some(5, fmt.Sprint(rng.Uint64()))
		some(6, fmt.Sprint("d", rng.IntN(3)))
		some(8, uuid.UUID{byte(rng.Uint32()), 5: byte(rng.Uint32()), 9: byte(number), 15: byte(i)}.String())
		id := uuid.UUID{0: byte(i), 3: byte(i >> 8), 11: byte(number)}.String()
		if number > 4 && rng.IntN(20) == 0 {
			id = strings.ToUpper(id[:rng.IntN(37)])
		}
		some(9, id)
		b.Field(7).(*array.Int64Builder).Append(int64(number)<<32 | int64(i))
	}
	return b.NewRecordBatch()
}

// withDictionaryColumns gives some columns of texts as arrow's dictionaries, with values that no row has, and that come twice.
func withDictionaryColumns(t *testing.T, rng *rand.Rand, batch arrow.RecordBatch) arrow.RecordBatch {
	fields, columns := batch.Schema().Fields(), append([]arrow.Array{}, batch.Columns()...)
	for i, c := range columns {
		text, ok := c.(*array.String)
		if !ok || rng.IntN(2) == 0 {
			continue
		}
		var values []string
		index := map[string][]int32{}
		add := func(v string) { index[v] = append(index[v], int32(len(values))); values = append(values, v) }
		add("unused")
		for j := range text.Len() {
			if text.IsValid(j) && (len(index[text.Value(j)]) == 0 || rng.IntN(50) == 0) {
				add(text.Value(j))
			}
		}
		b, of := array.NewInt32Builder(memory.DefaultAllocator), array.NewStringBuilder(memory.DefaultAllocator)
		of.AppendValues(values, nil)
		for j := range text.Len() {
			if text.IsNull(j) {
				b.AppendNull()
				continue
			}
			at := index[text.Value(j)]
			b.Append(at[rng.IntN(len(at))])
		}
		kind := &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}
		columns[i] = array.NewDictionaryArray(kind, b.NewArray(), of.NewArray())
		fields[i].Type = kind
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, batch.NumRows())
}

// Texts that go through sorting as numbers come out as they went in: from memory and by way of the disk, in one partition and
// in several, where there are too many of them for numbers, and where they come as dictionaries.
func TestTextsComeBackFromNumbers(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(24) {
		rng := rand.New(rand.NewPCG(seed, 11))
		schema := codedSchema()
		var spec *iceberg.PartitionSpec
		if seed%3 == 0 {
			s := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{7}, FieldID: 1000, Name: "day", Transform: iceberg.IdentityTransform{}})
			spec = &s
		}
		props := iceberg.Properties{}
		if seed%4 == 1 {
			props["write.parquet.dict-encoding-enabled.column.few"] = "false"
		}
		meta := newTable(t, schema, spec, table.UnsortedSortOrder, props)
		arrowSch := mustArrow(t, meta.CurrentSchema())
		limit := []int64{0, 64 << 10, 200 << 10, 1 << 20}[rng.IntN(4)]
		by := []table.SortField{asc(1)}
		if rng.IntN(3) == 0 {
			by = []table.SortField{desc(2), asc(1)}
		}
		opts := WriterOptions{Order: by, MemoryLimit: limit, TempDir: t.TempDir(), RowGroupRows: 1 + rng.IntN(4000)}
		write := func(plain bool, batches []arrow.RecordBatch) []iceberg.DataFile {
			w, err := NewWriter(t.Context(), meta, localFS, opts)
			require.NoError(t, err)
			if plain {
				w.codes = newTextCodes(arrowSch, 0)
				clear(w.codes.columns)
			}
			for _, b := range batches {
				require.NoError(t, w.Write(b))
			}
			for i, c := range w.codes.columns {
				if c != nil && c.packed {
					seen[fmt.Sprint(arrowSch.Field(i).Name, ", spilled ", w.spill != nil, ", given up ", !c.packs)] = true
				}
				if c != nil && c.texts.Load() != nil && len(c.texts.Load().ends) > 1 {
					seen[fmt.Sprint(arrowSch.Field(i).Name, ", spilled ", w.spill != nil, ", given up ", c.given == nil)] = true
				}
			}
			files, err := w.Close()
			require.NoError(t, err)
			return files
		}
		var texts, given []arrow.RecordBatch
		for number := range 7 {
			b := codedBatch(rng, arrowSch, number, 1+rng.IntN(3000))
			texts = append(texts, b)
			given = append(given, withDictionaryColumns(t, rng, b))
		}
		want, got := write(true, texts), write(false, given)
		require.Equal(t, len(want), len(got))
		for i := range want {
			wanted, _ := readAll(t, want[i], ReadOptions{Schema: meta.CurrentSchema()})
			gotten, _ := readAll(t, got[i], ReadOptions{Schema: meta.CurrentSchema()})
			require.Equal(t, rowTextsInOrder(wanted), rowTextsInOrder(gotten), "seed %d", seed)
			for c, f := range arrowSch.Fields() {
				checkBounds(t, schema, got[i], f, gotten.Column(c))
			}
			require.Equal(t, want[i].NullValueCounts(), got[i].NullValueCounts(), "seed %d", seed)
			requireTrueToFooter(t, got[i], fmt.Sprint("seed ", seed))
		}
	}
	for _, name := range []string{"few, spilled false, given up false", "few, spilled true, given up false", "growing, spilled false, given up true", "growing, spilled true, given up true", "long, spilled true, given up true", "id, spilled false, given up false", "id, spilled true, given up false", "id bytes, spilled false, given up true", "id bytes, spilled true, given up true"} {
		require.True(t, seen[name], "%s: did not happen; %v", name, seen)
	}
}
