package datafile

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/google/uuid"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// newTable makes the metadata of a table in a folder of the test's own.
func newTable(t testing.TB, schema *iceberg.Schema, spec *iceberg.PartitionSpec, order table.SortOrder, props iceberg.Properties) table.Metadata {
	t.Helper()
	if spec == nil {
		spec = iceberg.UnpartitionedSpec
	}
	if props == nil {
		props = iceberg.Properties{}
	}
	if props["format-version"] == "" {
		props["format-version"] = "2"
	}
	meta, err := table.NewMetadata(schema, spec, order, t.TempDir(), props)
	require.NoError(t, err)
	return meta
}

func ordersSchema() *iceberg.Schema {
	return iceberg.NewSchemaWithIdentifiers(0, []int{1},
		iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64, Required: true},
		iceberg.NestedField{ID: 2, Name: "name", Type: iceberg.PrimitiveTypes.String},
		iceberg.NestedField{ID: 3, Name: "ts", Type: iceberg.PrimitiveTypes.TimestampTz},
	)
}

func orders(t testing.TB, meta table.Metadata, n int, row func(i int, b *array.RecordBuilder)) arrow.RecordBatch {
	t.Helper()
	schema, err := arrowSchema(meta.CurrentSchema())
	require.NoError(t, err)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for i := range n {
		row(i, b)
	}
	return b.NewRecordBatch()
}

func TestWriterUnpartitioned(t *testing.T) {
	meta := newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, nil)
	w, err := NewWriter(context.Background(), meta, iceio.LocalFS{}, WriterOptions{Prefix: "test"})
	require.NoError(t, err)
	batch := orders(t, meta, 1000, func(i int, b *array.RecordBuilder) {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		b.Field(1).(*array.StringBuilder).Append("name")
		b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(i) * 1_000_000)
	})
	require.NoError(t, w.Write(batch))
	files, err := w.Close()
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.EqualValues(t, 1000, files[0].Count())
	t.Log(files[0])
}

// writeAll writes batches through a Writer and returns the data files.
func writeAll(t testing.TB, meta table.Metadata, opts WriterOptions, batches ...arrow.RecordBatch) []iceberg.DataFile {
	t.Helper()
	w, err := NewWriter(context.Background(), meta, iceio.LocalFS{}, opts)
	require.NoError(t, err)
	for _, b := range batches {
		require.NoError(t, w.Write(b))
	}
	files, err := w.Close()
	require.NoError(t, err)
	return files
}

// readPlain reads a file by arrow-go alone.
func readPlain(t testing.TB, uri string) arrow.Table {
	t.Helper()
	f, err := os.Open(uri)
	require.NoError(t, err)
	defer f.Close()
	tbl, err := pqarrow.ReadTable(context.Background(), f, nil, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	require.NoError(t, err)
	return tbl
}

func TestWriterEveryTypeAndBoundsHold(t *testing.T) {
	schema := everyType()
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 1))
		meta := newTable(t, schema, nil, table.UnsortedSortOrder, iceberg.Properties{})
		arrowSch, err := arrowSchema(meta.CurrentSchema())
		require.NoError(t, err)
		rows := 1 + rng.IntN(3000)
		batch := randomBatch(t, rng, arrowSch, rows)
		files := writeAll(t, meta, WriterOptions{RowGroupRows: 1 + rng.IntN(2000)}, batch)
		require.Len(t, files, 1)
		df := files[0]
		require.EqualValues(t, rows, df.Count())
		tbl := readPlain(t, df.FilePath())
		require.EqualValues(t, rows, tbl.NumRows())
		for i, f := range arrowSch.Fields() {
			got, err := array.Concatenate(tbl.Column(i).Data().Chunks(), memory.DefaultAllocator)
			require.NoError(t, err)
			conformed, err := conformArray(context.Background(), got, f.Type)
			require.NoError(t, err, f.Name)
			requireSame(t, batch.Column(i), conformed, "seed %d column %s", seed, f.Name)
			checkBounds(t, meta.CurrentSchema(), df, f, batch.Column(i))
		}
	}
}

// checkBounds verifies counts and bounds of a top-level column of a primitive type, value by value.
func checkBounds(t *testing.T, schema *iceberg.Schema, df iceberg.DataFile, f arrow.Field, a arrow.Array) {
	t.Helper()
	id := arrowFieldID(f)
	field, _ := schema.FindFieldByID(id)
	if _, primitive := field.Type.(iceberg.PrimitiveType); !primitive {
		return
	}
	require.EqualValues(t, a.Len(), df.ValueCounts()[id], f.Name)
	require.EqualValues(t, a.NullN(), df.NullValueCounts()[id], f.Name)
	nans := int64(0)
	bind, err := bindTransform(iceberg.IdentityTransform{}, field.Type)
	require.NoError(t, err)
	keys := bind(a, a.IsNull)
	lower, upper := df.LowerBoundValues()[id], df.UpperBoundValues()[id]
	for i := range a.Len() {
		if a.IsNull(i) {
			continue
		}
		if at := float64At(a); at != nil && math.IsNaN(at(i)) {
			nans++
			continue
		}
		v := keys.appendKey(nil, i)
		if lower != nil {
			require.LessOrEqual(t, bytes.Compare(boundKey(t, field.Type, lower), v), 0, "%s: lower bound above row %d", f.Name, i)
		}
		if upper != nil {
			require.GreaterOrEqual(t, bytes.Compare(boundKey(t, field.Type, upper), v), 0, "%s: upper bound below row %d", f.Name, i)
		}
	}
	require.Equal(t, nans, df.NaNValueCounts()[id], f.Name)
}

// boundKey is a serialised bound as the sort key of its value.
func boundKey(t *testing.T, typ iceberg.Type, raw []byte) []byte {
	t.Helper()
	lit, err := iceberg.LiteralFromBytes(typ, raw)
	require.NoError(t, err)
	switch v := lit.Any().(type) {
	case bool:
		if v {
			return appendInt64Key(nil, 1)
		}
		return appendInt64Key(nil, 0)
	case int32:
		return appendInt64Key(nil, int64(v))
	case int64:
		return appendInt64Key(nil, v)
	case iceberg.Date:
		return appendInt64Key(nil, int64(v))
	case iceberg.Time:
		return appendInt64Key(nil, int64(v))
	case iceberg.Timestamp:
		return appendInt64Key(nil, int64(v))
	case float32:
		return binary.BigEndian.AppendUint64(nil, floatBits(float64(v)))
	case float64:
		return binary.BigEndian.AppendUint64(nil, floatBits(v))
	case iceberg.Decimal:
		key := binary.BigEndian.AppendUint64(nil, uint64(v.Val.HighBits())^(1<<63))
		return binary.BigEndian.AppendUint64(key, v.Val.LowBits())
	case string:
		return appendBytesKey(nil, []byte(v))
	case []byte:
		return appendBytesKey(nil, v)
	case uuid.UUID:
		return appendBytesKey(nil, v[:])
	}
	t.Fatalf("no key for a bound of %T", lit.Any())
	return nil
}

// requireSame compares values; NaNs are equal, and zeros differ by sign.
func requireSame(t testing.TB, want, got arrow.Array, format string, args ...any) {
	t.Helper()
	what := fmt.Sprintf(format, args...)
	require.True(t, arrow.TypeEqual(want.DataType(), got.DataType()), "%s: %s is not %s", what, got.DataType(), want.DataType())
	require.Equal(t, want.Len(), got.Len(), what)
	for i := range want.Len() {
		if want.IsNull(i) != got.IsNull(i) || want.ValueStr(i) != got.ValueStr(i) {
			t.Fatalf("%s: row %d is %s, not %s", what, i, got.ValueStr(i), want.ValueStr(i))
		}
	}
}

var localFS = iceio.LocalFS{}
