package sources_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	arrowmemory "github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/sources"
)

// parquetFile writes rows, given as a JSON array, with row groups of some rows.
func parquetFile(t testing.TB, s *arrow.Schema, rows string, groupRows int64, props ...pqarrow.WriterOption) []byte {
	batch, _, err := array.RecordFromJSON(arrowmemory.DefaultAllocator, s, strings.NewReader(rows))
	require.NoError(t, err)
	defer batch.Release()
	var b bytes.Buffer
	w, err := pqarrow.NewFileWriter(s, &b, parquet.NewWriterProperties(parquet.WithMaxRowGroupLength(groupRows), parquet.WithStats(true)), pqarrow.NewArrowWriterProperties(props...))
	require.NoError(t, err)
	for from := int64(0); from < batch.NumRows(); from += groupRows {
		part := batch.NewSlice(from, min(from+groupRows, batch.NumRows()))
		require.NoError(t, w.Write(part))
		part.Release()
	}
	require.NoError(t, w.Close())
	return b.Bytes()
}

var parquetColumns = []string{"id long", "s string", "u uuid", "dec decimal(18,2)", "at timestamptz", "day date", "tm time", "r struct<x: int, y: list<string>>",
	"l list<struct<a: double>>", "m map<string, long>", "b boolean", "by binary", "fx fixed(2)"}

const parquetRow = `{"id":1,"s":"é","u":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","dec":"1.50","at":"2024-01-31T05:00:00Z","day":"2024-01-31","tm":"05:00:00",
	"r":{"x":1,"y":["a",null]},"l":[{"a":1.5}],"m":[{"key":"k","value":2}],"b":true,"by":"YWI=","fx":"YWI="}`

func TestParquet(t *testing.T) {
	s := schema(t, parquetColumns...)
	rows := "[" + strings.Repeat(parquetRow+`,{"id":null},`, 5) + parquetRow + "]"
	for _, stored := range []bool{true, false} { // with and without the Arrow schema in the footer
		var props []pqarrow.WriterOption
		if stored {
			props = append(props, pqarrow.WithStoreSchema())
		}
		store := bytesStore("f.parquet", parquetFile(t, s, rows, 4, props...))
		opts := sources.Options{Format: sources.Parquet, Malformed: sources.Quarantine}
		inferred := inferOne(t, store, opts)
		require.Equal(t, strings.Join(parquetColumns, ", "), notation(t, inferred))
		got := read(t, store, store.file, inferred, opts)
		require.NoError(t, got.err)
		require.Len(t, got.rows, 11)
		require.Equal(t, 3, got.batches, "a row group after another")
		require.Equal(t, `1|é|6ba7b810-9dad-11d1-80b4-00c04fd430c8|1.5|2024-01-31T05:00:00Z|2024-01-31|05:00:00.000000|{"x":1,"y":["a",null]}|[{"a":1.5}]|[{"key":"k","value":2}]|true|YWI=|YWI=|f.parquet|11|2026-01-02T03:04:05Z`, got.rows[10])
		require.Equal(t, strings.Repeat("null|", 13)+"f.parquet|10|2026-01-02T03:04:05Z", got.rows[9])

		got = read(t, store, store.file, schema(t, "_source_row long", "r struct<y: list<string>, z: date>", "dec decimal(5,1)", "id string"), opts)
		require.NoError(t, got.err)
		require.Equal(t, []string{`1|{"y":["a",null],"z":null}|1.5|1`, "2|null|null|null"}, got.rows[:2])
		got = read(t, store, store.file, schema(t, "_source_row long"), opts)
		require.NoError(t, got.err)
		require.Equal(t, []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"}, got.rows, "no column of the file")
	}
}

func TestParquetTypesOfFiles(t *testing.T) {
	s := arrow.NewSchema([]arrow.Field{
		{Name: "i8", Type: arrow.PrimitiveTypes.Int8, Nullable: true}, {Name: "u32", Type: arrow.PrimitiveTypes.Uint32, Nullable: true}, {Name: "u64", Type: arrow.PrimitiveTypes.Uint64, Nullable: true},
		{Name: "ms", Type: &arrow.TimestampType{Unit: arrow.Millisecond}, Nullable: true}, {Name: "ns", Type: &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}, Nullable: true},
		{Name: "dict", Type: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}, Nullable: true},
		{Name: "large", Type: arrow.BinaryTypes.LargeString, Nullable: true},
	}, nil)
	rows := `[{"i8":-1,"u32":4294967295,"u64":18446744073709551615,"ms":"2024-01-31 05:00:00","ns":"2024-01-31T05:00:00.123456789Z","dict":"x","large":"y"},{}]`
	opts := sources.Options{Format: sources.Parquet}
	for _, tt := range []struct {
		name  string
		props pqarrow.WriterOption
		types string
		ns    string
	}{
		{"nanoseconds", pqarrow.WithStoreSchema(), "ns timestamptz_ns", "2024-01-31T05:00:00.123456789Z"},
		{"INT96", pqarrow.WithDeprecatedInt96Timestamps(true), "ns timestamptz", "2024-01-31T05:00:00.123456Z"},
	} {
		data := parquetFile(t, s, rows, 10, tt.props)
		store := bytesStore("f.parquet", data)
		inferred := inferOne(t, store, opts)
		require.Contains(t, notation(t, inferred), tt.types, tt.name)
		got := read(t, store, store.file, schema(t, "i8 int", "u32 long", "u64 decimal(20,0)", tt.types, "dict string", "large string"), opts)
		require.NoError(t, got.err, tt.name)
		require.Equal(t, []string{"-1|4294967295|18446744073709551615|" + tt.ns + "|x|y", "null|null|null|null|null|null"}, got.rows, tt.name)
	}
}

func TestParquetFaultsAndNewColumns(t *testing.T) {
	s := schema(t, "a long", "s string", "new struct<x: int>")
	store := bytesStore("f.parquet", parquetFile(t, s, `[{"a":1,"s":"1","new":{"x":1}},{"a":3000000000,"s":"2"},{"a":3,"s":"x"},{"a":4,"s":"4"}]`, 2))
	opts := sources.Options{Format: sources.Parquet, Malformed: sources.Quarantine}
	got := read(t, store, store.file, schema(t, "a int", "s int", "_source_row long"), opts)
	require.NoError(t, got.err)
	require.Equal(t, []string{"1|1|1", "4|4|4"}, got.rows)
	require.Equal(t, []string{"row 2 line 0 a: expected int, found 3000000000", `row 3 line 0 s: expected int, found "x"`}, got.rejected)
	require.Equal(t, []string{"new struct<x: int>"}, got.columns)
	opts.Malformed = sources.Fail
	got = read(t, store, store.file, schema(t, "a int"), opts)
	require.ErrorContains(t, got.err, `f.parquet: row 2: column "a": expected int, found 3000000000`)
	opts.SchemaMode = sources.Enforce
	got = read(t, store, store.file, schema(t, "a long"), opts)
	require.ErrorContains(t, got.err, "has columns that the schema lacks: s, new")
	opts.SchemaMode = sources.Rescue
	got = read(t, store, store.file, schema(t, "a long", "_rescued string"), opts)
	require.NoError(t, got.err)
	require.Equal(t, []string{`1|{"s":"1","new":{"x":1}}`, `3000000000|{"s":"2","new":null}`}, got.rows[:2])
}

func TestParquetBroken(t *testing.T) {
	data := parquetFile(t, schema(t, parquetColumns...), "["+parquetRow+","+parquetRow+"]", 1)
	footer := int(binary.LittleEndian.Uint32(data[len(data)-8:]))
	broken := map[string][]byte{
		"cut":               data[:len(data)-1],
		"half":              data[:len(data)/2],
		"only magic":        []byte("PAR1PAR1"),
		"footer too long":   append(append(bytes.Clone(data[:len(data)-8]), 0xff, 0xff, 0xff, 0x7f), "PAR1"...),
		"footer of zeros":   append(append(bytes.Clone(data[:len(data)-8-footer]), make([]byte, footer)...), data[len(data)-8:]...),
		"pages of zeros":    append(make([]byte, len(data)-8-footer), data[len(data)-8-footer:]...),
		"pages of garbage":  append(bytes.Repeat([]byte{0xa7}, len(data)-8-footer), data[len(data)-8-footer:]...),
		"pages are missing": append([]byte("PAR1"), data[len(data)-8-footer:]...),
	}
	for name, bad := range broken {
		store := bytesStore("f.parquet", bad)
		got := read(t, store, store.file, schema(t, parquetColumns...), sources.Options{Format: sources.Parquet, Memory: arrowmemory.DefaultAllocator})
		require.ErrorAs(t, got.err, new(*sources.BrokenFileError), name)
	}
	store := bytesStore("f.parquet.gz", data)
	got := read(t, store, store.file, schema(t, "id long"), sources.Options{Format: sources.Parquet})
	require.ErrorContains(t, got.err, "Parquet compresses its pages itself")
}

// Nested fields that the schema lacks are dealt with as columns are.
func TestParquetNewNestedFields(t *testing.T) {
	s := schema(t, "id long", "r struct<x: int, l: list<struct<a: int, b: date>>>")
	store := bytesStore("f.parquet", parquetFile(t, s, `[{"id":1,"r":{"x":1,"l":[{"a":1,"b":"2024-01-31"}]}},{"id":2}]`, 2))
	narrow := schema(t, "id long", "r struct<l: list<struct<a: long>>>", "_rescued string")
	opts := sources.Options{Format: sources.Parquet}
	got := read(t, store, store.file, narrow, opts)
	require.NoError(t, got.err)
	require.Equal(t, []string{`1|{"l":[{"a":1}]}|null`, "2|null|null"}, got.rows)
	require.Equal(t, []string{"r struct<l: list<struct<a: long, b: date>>, x: int>"}, got.columns)
	opts.SchemaMode = sources.Enforce
	got = read(t, store, store.file, narrow, opts)
	require.ErrorContains(t, got.err, "has columns that the schema lacks: r.x, r.l.element.b")
	opts.SchemaMode = sources.Rescue
	got = read(t, store, store.file, narrow, opts)
	require.NoError(t, got.err)
	require.Equal(t, []string{`1|{"l":[{"a":1}]}|{"r":{"l":[{"a":1,"b":"2024-01-31"}],"x":1}}`, "2|null|null"}, got.rows)
}

// Whatever byte of a file is wrong, the reader ends with rows or an error.
func TestParquetRandomDamage(t *testing.T) {
	data := parquetFile(t, schema(t, parquetColumns...), "["+strings.Repeat(parquetRow+",", 50)+parquetRow+"]", 20)
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		bad := bytes.Clone(data)
		for range 1 + random.IntN(4) {
			bad[random.IntN(len(bad))] = byte(random.Uint32())
		}
		drain(t, bad, sources.Options{Format: sources.Parquet, Malformed: sources.Drop})
	}
}

func FuzzParquet(f *testing.F) {
	f.Add(parquetFile(f, schema(f, parquetColumns...), "["+parquetRow+","+parquetRow+"]", 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		drain(t, data, sources.Options{Format: sources.Parquet, Malformed: sources.Drop})
	})
}
