package datafile

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

func nested(id int, name string, t iceberg.Type) iceberg.NestedField {
	return iceberg.NestedField{ID: id, Name: name, Type: t}
}

func structure(fields ...iceberg.NestedField) *iceberg.StructType {
	return &iceberg.StructType{FieldList: fields}
}

// A file of an old schema is read with a new one: everything a schema may go through at once.
func TestReaderEvolvedSchema(t *testing.T) {
	p := iceberg.PrimitiveTypes
	old := iceberg.NewSchema(0,
		nested(1, "a", p.Int32), nested(2, "b", p.Float32), nested(3, "c", iceberg.DecimalTypeOf(9, 2)), nested(4, "dropped", p.String),
		nested(5, "s", structure(nested(6, "x", p.Int32), nested(7, "y", p.String), nested(8, "z", p.Bool))),
		iceberg.NestedField{ID: 9, Name: "l", Type: &iceberg.ListType{ElementID: 10, Element: structure(nested(11, "k", p.Int32))}},
		iceberg.NestedField{ID: 12, Name: "m", Type: &iceberg.MapType{KeyID: 13, KeyType: p.String, ValueID: 14, ValueType: structure(nested(15, "v", p.Float32))}},
		nested(16, "day", p.Date))
	withDefault := func(f iceberg.NestedField, v any) iceberg.NestedField {
		f.InitialDefault = v
		return f
	}
	now := iceberg.NewSchema(1,
		iceberg.NestedField{ID: 12, Name: "map", Type: &iceberg.MapType{KeyID: 13, KeyType: p.String, ValueID: 14, ValueType: structure(nested(30, "new", p.String), nested(15, "v", p.Float64))}},
		nested(2, "a", p.Float64), // the name another column had
		nested(1, "b", p.Int64),
		nested(3, "c", iceberg.DecimalTypeOf(20, 2)),
		nested(20, "dropped", p.Int64), // a new column under an old name
		withDefault(nested(21, "text", p.String), "so far"),
		withDefault(nested(22, "amount", iceberg.DecimalTypeOf(10, 2)), "14.20"),
		withDefault(nested(23, "uuid", p.UUID), "f79c3e09-677c-4bbd-a479-3f349cb785e7"),
		withDefault(nested(24, "on", p.Date), "2017-11-16"),
		withDefault(nested(25, "raw", p.Binary), "00ff"),
		withDefault(nested(26, "yes", p.Bool), true),
		withDefault(nested(27, "n", p.Int32), float64(34)),
		nested(5, "s", structure(nested(8, "z", p.Bool), nested(31, "w", p.Int32), nested(6, "x", p.Int64))),
		iceberg.NestedField{ID: 9, Name: "l", Type: &iceberg.ListType{ElementID: 10, Element: structure(nested(32, "more", p.Date), nested(11, "k", p.Int64))}},
		nested(16, "day", p.TimestampNs),
		nested(33, "empty", structure(nested(34, "q", p.Int32))),
	)
	meta := newTable(t, old, nil, table.UnsortedSortOrder, nil)
	schema, err := arrowSchema(meta.CurrentSchema())
	require.NoError(t, err)
	batch := randomBatch(t, rand.New(rand.NewPCG(5, 5)), schema, 500)
	df := writeAll(t, meta, WriterOptions{}, batch)[0]
	// Metadata assigns ids of its own, in the same order as here.
	require.Equal(t, old.Fields(), meta.CurrentSchema().Fields())

	got, _ := readAll(t, df, ReadOptions{Schema: now})
	column := func(name string) arrow.Array { return got.Column(got.Schema().FieldIndices(name)[0]) }
	for i := range 500 {
		same := func(want arrow.Array, got arrow.Array, format string) {
			t.Helper()
			require.Equal(t, want.IsNull(i), got.IsNull(i))
			if want.IsValid(i) {
				require.Equal(t, want.ValueStr(i), got.ValueStr(i), format)
			}
		}
		same(batch.Column(0), column("b"), "int to long, renamed")
		same(batch.Column(2), column("c"), "wider decimal")
		if v := batch.Column(1).(*array.Float32); v.IsValid(i) && v.Value(i) == v.Value(i) {
			require.Equal(t, float64(v.Value(i)), column("a").(*array.Float64).Value(i))
		}
		if v := batch.Column(7).(*array.Date32); v.IsValid(i) {
			require.EqualValues(t, int64(v.Value(i))*86_400_000_000_000, column("day").(*array.Timestamp).Value(i))
		}
		s, was := column("s").(*array.Struct), batch.Column(4).(*array.Struct)
		require.Equal(t, was.IsNull(i), s.IsNull(i))
		if was.IsValid(i) {
			same(was.Field(2), s.Field(0), "z")
			same(was.Field(0), s.Field(2), "x")
			require.True(t, s.Field(1).IsNull(i))
		}
		require.Equal(t, batch.Column(5).IsNull(i), column("l").IsNull(i))
		require.Equal(t, batch.Column(6).IsNull(i), column("map").IsNull(i))
		require.Equal(t, `so far 14.2 f79c3e09-677c-4bbd-a479-3f349cb785e7 2017-11-16 AP8= true 34`, fmt.Sprint(column("text").ValueStr(i), " ", column("amount").ValueStr(i), " ", column("uuid").ValueStr(i), " ",
			column("on").ValueStr(i), " ", column("raw").ValueStr(i), " ", column("yes").ValueStr(i), " ", column("n").ValueStr(i)))
		require.True(t, column("dropped").IsNull(i))
		require.True(t, column("empty").IsNull(i))
	}
	l, was := column("l").(*array.List), batch.Column(5).(*array.List)
	require.Equal(t, was.ListValues().Len(), l.ListValues().Len())
	for i := range l.ListValues().Len() {
		require.True(t, l.ListValues().(*array.Struct).Field(0).IsNull(i))
		require.Equal(t, was.ListValues().(*array.Struct).Field(0).ValueStr(i), l.ListValues().(*array.Struct).Field(1).ValueStr(i))
	}
	values := column("map").(*array.Map).Items().(*array.Struct)
	require.Equal(t, batch.Column(6).(*array.Map).Items().Len(), values.Len())
	require.Equal(t, values.Len(), values.Field(0).NullN())

	// Filters work on the new schema, also where the file has another type, or no column.
	for expr, rows := range map[iceberg.BooleanExpression]int64{
		iceberg.EqualTo(iceberg.Reference("text"), "so far"):     500,
		iceberg.EqualTo(iceberg.Reference("text"), "other"):      0,
		iceberg.IsNull(iceberg.Reference("dropped")):             500,
		iceberg.NotNull(iceberg.Reference("empty.q")):            0,
		iceberg.EqualTo(iceberg.Reference("b"), int64(1)<<40):    0,
		iceberg.IsNull(iceberg.Reference("s.w")):                 500,
		iceberg.GreaterThan(iceberg.Reference("n"), int32(34)):   0,
		iceberg.LessThanEqual(iceberg.Reference("n"), int32(34)): 500,
	} {
		_, positions := readAll(t, df, ReadOptions{Schema: now, Columns: []string{"c"}, Filter: expr})
		require.Len(t, positions, int(rows), "%s", expr)
	}

	// Rows without columns are counted.
	none, positions := readAll(t, df, ReadOptions{Schema: now, Columns: []string{}})
	require.EqualValues(t, 500, none.NumRows())
	require.Len(t, positions, 500)

	_, err = Open(t.Context(), localFS, df, ReadOptions{Schema: iceberg.NewSchema(2, iceberg.NestedField{ID: 99, Name: "must", Type: p.Int32, Required: true})})
	require.ErrorContains(t, err, "column must: it is required, has no initial default, and is not in the file")
	_, err = Open(t.Context(), localFS, df, ReadOptions{Schema: iceberg.NewSchema(2, nested(4, "dropped", p.Int32))})
	require.ErrorContains(t, err, "type utf8 in the file cannot be read as int32")
	_, err = Open(t.Context(), localFS, df, ReadOptions{Schema: now, Columns: []string{"nope"}})
	require.ErrorContains(t, err, `column "nope" is not in the schema`)
}

// foreignFile is a file that another writer might have made, described as a data file.
func foreignFile(t testing.TB, batch arrow.RecordBatch, options ...pqarrow.WriterOption) iceberg.DataFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "foreign.parquet")
	f, err := os.Create(path)
	require.NoError(t, err)
	w, err := pqarrow.NewFileWriter(batch.Schema(), f, parquet.NewWriterProperties(), pqarrow.NewArrowWriterProperties(options...))
	require.NoError(t, err)
	require.NoError(t, w.Write(batch))
	require.NoError(t, w.Close())
	return described1(t, path, nil, iceberg.UnpartitionedSpec)
}

func described1(t testing.TB, path string, partition map[int]any, spec *iceberg.PartitionSpec) iceberg.DataFile {
	t.Helper()
	b, err := iceberg.NewDataFileBuilder(*spec, iceberg.EntryContentData, path, iceberg.ParquetFile, partition, nil, nil, 1, 1)
	require.NoError(t, err)
	return b.Build()
}

func TestReaderFilesWithoutFieldIDs(t *testing.T) {
	p := iceberg.PrimitiveTypes
	fields := []arrow.Field{
		{Name: "old_name", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
		{Name: "l", Type: arrow.ListOf(arrow.PrimitiveTypes.Int32), Nullable: true},
		{Name: "s", Type: arrow.StructOf(arrow.Field{Name: "x", Type: arrow.BinaryTypes.String, Nullable: true}), Nullable: true},
		{Name: "m", Type: arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Float64), Nullable: true},
		{Name: "unmapped", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
	}
	batch := randomBatch(t, rand.New(rand.NewPCG(8, 8)), arrow.NewSchema(fields, nil), 100)
	df := foreignFile(t, batch, pqarrow.WithStoreSchema())
	schema := iceberg.NewSchema(0, nested(1, "name", p.Int64),
		iceberg.NestedField{ID: 2, Name: "l", Type: &iceberg.ListType{ElementID: 3, Element: p.Int64}},
		nested(4, "s", structure(nested(5, "x", p.String))),
		iceberg.NestedField{ID: 6, Name: "m", Type: &iceberg.MapType{KeyID: 7, KeyType: p.String, ValueID: 8, ValueType: p.Float64}},
		nested(9, "unmapped", p.Int32))
	_, err := Open(t.Context(), localFS, df, ReadOptions{Schema: schema})
	require.ErrorIs(t, err, errNoFieldIDs)

	id := func(n int) *int { return &n }
	mapping := iceberg.NameMapping{
		{FieldID: id(1), Names: []string{"name", "old_name"}},
		{FieldID: id(2), Names: []string{"l"}, Fields: []iceberg.MappedField{{FieldID: id(3), Names: []string{"element"}}}},
		{FieldID: id(4), Names: []string{"s"}, Fields: []iceberg.MappedField{{FieldID: id(5), Names: []string{"x"}}}},
		{FieldID: id(6), Names: []string{"m"}, Fields: []iceberg.MappedField{{FieldID: id(7), Names: []string{"key"}}, {FieldID: id(8), Names: []string{"value"}}}},
	}
	got, _ := readAll(t, df, ReadOptions{Schema: schema, NameMapping: mapping})
	for i := range 100 {
		for c := range 4 {
			require.Equal(t, batch.Column(c).ValueStr(i), got.Column(c).ValueStr(i), fields[c].Name)
		}
		require.True(t, got.Column(4).IsNull(i))
	}
}

// A table that was migrated from Hive keeps its partition columns in the folders' names only.
func TestReaderFillsIdentityPartitionColumns(t *testing.T) {
	p := iceberg.PrimitiveTypes
	schema := iceberg.NewSchema(0, nested(1, "x", p.Int64), nested(2, "country", p.String), nested(3, "day", p.Date), nested(4, "n", p.Int32), nested(5, "b", p.String))
	spec := iceberg.NewPartitionSpec(
		iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1000, Name: "country", Transform: iceberg.IdentityTransform{}},
		iceberg.PartitionField{SourceIDs: []int{3}, FieldID: 1001, Name: "day", Transform: iceberg.IdentityTransform{}},
		iceberg.PartitionField{SourceIDs: []int{4}, FieldID: 1002, Name: "n", Transform: iceberg.IdentityTransform{}},
		iceberg.PartitionField{SourceIDs: []int{5}, FieldID: 1003, Name: "b", Transform: iceberg.BucketTransform{NumBuckets: 2}})
	meta := newTable(t, iceberg.NewSchema(0, nested(1, "x", p.Int64)), nil, table.UnsortedSortOrder, nil)
	as, err := arrowSchema(meta.CurrentSchema())
	require.NoError(t, err)
	written := writeAll(t, meta, WriterOptions{}, randomBatch(t, rand.New(rand.NewPCG(1, 1)), as, 10))[0]
	df := described1(t, written.FilePath(), map[int]any{1000: "FR", 1001: iceberg.Date(3), 1002: nil, 1003: int32(1)}, &spec)
	got, _ := readAll(t, df, ReadOptions{Schema: schema, Spec: &spec})
	for i := range 10 {
		require.Equal(t, "FR 1970-01-04", got.Column(1).ValueStr(i)+" "+got.Column(2).ValueStr(i))
		require.True(t, got.Column(3).IsNull(i))
		require.True(t, got.Column(4).IsNull(i))
	}
	_, positions := readAll(t, df, ReadOptions{Schema: schema, Spec: &spec, Filter: iceberg.EqualTo(iceberg.Reference("country"), "DE")})
	require.Empty(t, positions)
	_, positions = readAll(t, df, ReadOptions{Schema: schema, Spec: &spec, Filter: iceberg.EqualTo(iceberg.Reference("country"), "FR")})
	require.Len(t, positions, 10)
}

// Other writers store the same types in other physical forms.
func TestReaderForeignTypes(t *testing.T) {
	id := arrow.NewMetadata([]string{fieldIDKey}, []string{"1"})
	us := &arrow.TimestampType{Unit: arrow.Microsecond}
	for name, c := range map[string]struct {
		file    arrow.DataType
		json    string
		want    iceberg.Type
		text    string
		options []pqarrow.WriterOption
		err     string
	}{
		"int96 timestamp":      {file: &arrow.TimestampType{Unit: arrow.Nanosecond}, json: `["2020-01-02 03:04:05.123456789"]`, want: iceberg.PrimitiveTypes.Timestamp, text: "2020-01-02T03:04:05.123456", options: []pqarrow.WriterOption{pqarrow.WithDeprecatedInt96Timestamps(true)}},
		"int96 before 1970":    {file: &arrow.TimestampType{Unit: arrow.Nanosecond}, json: `["1960-01-02 03:04:05.123456789"]`, want: iceberg.PrimitiveTypes.TimestampTz, text: "1960-01-02T03:04:05.123456Z", options: []pqarrow.WriterOption{pqarrow.WithDeprecatedInt96Timestamps(true)}},
		"milliseconds":         {file: &arrow.TimestampType{Unit: arrow.Millisecond}, json: `["2020-01-02 03:04:05.123"]`, want: iceberg.PrimitiveTypes.Timestamp, text: "2020-01-02T03:04:05.123"},
		"no zone where wanted": {file: us, json: `["2020-01-02 03:04:05.123"]`, want: iceberg.PrimitiveTypes.TimestampTz, text: "2020-01-02T03:04:05.123Z"},
		"to nanoseconds":       {file: us, json: `["2020-01-02 03:04:05.123"]`, want: iceberg.PrimitiveTypes.TimestampNs, text: "2020-01-02T03:04:05.123"},
		"time in milliseconds": {file: arrow.FixedWidthTypes.Time32ms, json: `["03:04:05.123"]`, want: iceberg.PrimitiveTypes.Time, text: "03:04:05.123000"},
		"time in nanoseconds":  {file: arrow.FixedWidthTypes.Time64ns, json: `["03:04:05.123456789"]`, want: iceberg.PrimitiveTypes.Time, text: "03:04:05.123456"},
		"small int":            {file: arrow.PrimitiveTypes.Int8, json: `[-5]`, want: iceberg.PrimitiveTypes.Int32, text: "-5"},
		"unsigned":             {file: arrow.PrimitiveTypes.Uint32, json: `[4000000000]`, want: iceberg.PrimitiveTypes.Int64, text: "4000000000"},
		"uuid as fixed":        {file: &arrow.FixedSizeBinaryType{ByteWidth: 16}, json: `["AAECAwQFBgcICQoLDA0ODw=="]`, want: iceberg.PrimitiveTypes.UUID, text: "00010203-0405-0607-0809-0a0b0c0d0e0f"},
		"fixed as uuid":        {file: extensions.NewUUIDType(), json: `["00010203-0405-0607-0809-0a0b0c0d0e0f"]`, want: iceberg.FixedTypeOf(16), text: "AAECAwQFBgcICQoLDA0ODw=="},
		"text as bytes":        {file: arrow.BinaryTypes.Binary, json: `["aGk="]`, want: iceberg.PrimitiveTypes.String, text: "hi"},
		"bytes as text":        {file: arrow.BinaryTypes.String, json: `["hi"]`, want: iceberg.PrimitiveTypes.Binary, text: "aGk="},
		"large text":           {file: arrow.BinaryTypes.LargeString, json: `["hi"]`, want: iceberg.PrimitiveTypes.String, text: "hi", options: []pqarrow.WriterOption{pqarrow.WithStoreSchema()}},
		"dictionary":           {file: &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, json: `["hi"]`, want: iceberg.PrimitiveTypes.String, text: "hi", options: []pqarrow.WriterOption{pqarrow.WithStoreSchema()}},
		"wider decimal":        {file: &arrow.Decimal128Type{Precision: 30, Scale: 2}, json: `["12345678901234567890.12"]`, want: iceberg.DecimalTypeOf(38, 2), text: "12345678901234567890.12"},
		"narrower decimal":     {file: &arrow.Decimal128Type{Precision: 30, Scale: 2}, json: `["1.12"]`, want: iceberg.DecimalTypeOf(20, 2), err: "cannot be read as"},
		"other scale":          {file: &arrow.Decimal128Type{Precision: 10, Scale: 3}, json: `["1.123"]`, want: iceberg.DecimalTypeOf(20, 2), err: "cannot be read as"},
		"narrower int":         {file: arrow.PrimitiveTypes.Int64, json: `[1]`, want: iceberg.PrimitiveTypes.Int32, err: "cannot be read as"},
		"text for a number":    {file: arrow.BinaryTypes.String, json: `["1"]`, want: iceberg.PrimitiveTypes.Int32, err: "type utf8 in the file cannot be read as int32"},
		"struct for a number":  {file: arrow.StructOf(arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int32}), json: `[{"a": 1}]`, want: iceberg.PrimitiveTypes.Int32, err: "cannot be read as int"},
		"number for a list":    {file: arrow.PrimitiveTypes.Int32, json: `[1]`, want: &iceberg.ListType{ElementID: 2, Element: iceberg.PrimitiveTypes.Int32}, err: "cannot be read as list<int>"},
	} {
		t.Run(name, func(t *testing.T) {
			b := array.NewRecordBuilder(allocator, arrow.NewSchema([]arrow.Field{{Name: "x", Type: c.file, Nullable: true, Metadata: id}}, nil))
			require.NoError(t, b.Field(0).UnmarshalJSON([]byte(c.json)))
			b.Field(0).AppendNull()
			df := foreignFile(t, b.NewRecordBatch(), c.options...)
			schema := iceberg.NewSchema(0, nested(1, "renamed", c.want))
			if c.err != "" {
				_, err := Open(t.Context(), localFS, df, ReadOptions{Schema: schema})
				require.ErrorContains(t, err, c.err)
				return
			}
			got, _ := readAll(t, df, ReadOptions{Schema: schema, Filter: iceberg.NotNull(iceberg.Reference("renamed"))})
			require.EqualValues(t, 1, got.NumRows())
			require.Equal(t, c.text, got.Column(0).ValueStr(0))
			got, _ = readAll(t, df, ReadOptions{Schema: schema})
			require.EqualValues(t, 2, got.NumRows())
			require.True(t, got.Column(0).IsNull(1))
		})
	}
}
