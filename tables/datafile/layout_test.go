package datafile

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

func sortOrder(t testing.TB, fields ...table.SortField) table.SortOrder {
	t.Helper()
	order, err := table.NewSortOrder(1, fields)
	require.NoError(t, err)
	return order
}

func asc(id int) table.SortField {
	return table.SortField{SourceIDs: []int{id}, Transform: iceberg.IdentityTransform{}, Direction: table.SortASC, NullOrder: table.NullsFirst}
}

func desc(id int) table.SortField {
	return table.SortField{SourceIDs: []int{id}, Transform: iceberg.IdentityTransform{}, Direction: table.SortDESC, NullOrder: table.NullsLast}
}

// inOrder says whether a file's rows lie in an order.
func inOrder(t testing.TB, schema *iceberg.Schema, order table.SortOrder, batch arrow.RecordBatch) bool {
	t.Helper()
	s, err := newSorter(schema, order)
	require.NoError(t, err)
	return unmoved(s.order([]arrow.RecordBatch{batch}).entries)
}

func TestWriterSorts(t *testing.T) {
	orders := map[string]table.SortOrder{
		"int":                   sortOrder(t, asc(3)),
		"int down":              sortOrder(t, desc(3)),
		"text, then double":     sortOrder(t, asc(13), desc(5)),
		"double":                sortOrder(t, asc(5)),
		"decimals":              sortOrder(t, desc(8), asc(6)),
		"days, then uuid":       sortOrder(t, table.SortField{SourceIDs: []int{12}, Transform: iceberg.DayTransform{}, Direction: table.SortASC, NullOrder: table.NullsLast}, asc(14)),
		"bucket, binary, fixed": sortOrder(t, table.SortField{SourceIDs: []int{13}, Transform: iceberg.BucketTransform{NumBuckets: 4}, Direction: table.SortDESC, NullOrder: table.NullsFirst}, desc(16), asc(15)),
		"nested":                sortOrder(t, asc(18)),
	}
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			meta := newTable(t, everyType(), nil, order, nil)
			schema, err := arrowSchema(meta.CurrentSchema())
			require.NoError(t, err)
			rng := rand.New(rand.NewPCG(9, 9))
			batches := []arrow.RecordBatch{randomBatch(t, rng, schema, 700), randomBatch(t, rng, schema, 1), randomBatch(t, rng, schema, 500)}
			files := writeAll(t, meta, WriterOptions{RowGroupRows: 300}, batches...)
			require.Len(t, files, 1)
			require.NotNil(t, files[0].SortOrderID())
			require.Equal(t, 1, *files[0].SortOrderID())
			got, _ := readAll(t, files[0], ReadOptions{Schema: meta.CurrentSchema()})
			require.EqualValues(t, 1201, got.NumRows())
			require.True(t, inOrder(t, meta.CurrentSchema(), order, got))
			all, err := concatBatches(batches)
			require.NoError(t, err)
			requireSameRows(t, all, got)
		})
	}
}

// requireSameRows compares rows in any order.
func requireSameRows(t testing.TB, want, got arrow.RecordBatch) {
	t.Helper()
	require.Equal(t, rowTexts(want), rowTexts(got))
}

func rowTexts(b arrow.RecordBatch) []string {
	out := rowTextsInOrder(b)
	slices.Sort(out)
	return out
}

func rowTextsInOrder(b arrow.RecordBatch) []string {
	out := make([]string, b.NumRows())
	for i := range out {
		var s strings.Builder
		for _, c := range b.Columns() {
			s.WriteString(c.ValueStr(i))
			s.WriteByte('|')
		}
		out[i] = s.String()
	}
	return out
}

// numbers is a batch of the orders table whose ids are given.
func numbers(t testing.TB, meta table.Metadata, ids ...int64) arrow.RecordBatch {
	return orders(t, meta, len(ids), func(i int, b *array.RecordBuilder) {
		b.Field(0).(*array.Int64Builder).Append(ids[i])
		b.Field(1).(*array.StringBuilder).Append("a name that takes some room")
		b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(ids[i]) * 3_600_000_000)
	})
}

func ascending(from, n int64) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = from + int64(i)
	}
	return out
}

// What memory has no room for is spilled and merged: the files are sorted as a whole, and rows are in few files.
func TestWriterSpills(t *testing.T) {
	days := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{3}, FieldID: 1000, Name: "ts_day", Transform: iceberg.DayTransform{}})
	ids := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1000, Name: "b", Transform: iceberg.BucketTransform{NumBuckets: 150}})
	for name, c := range map[string]struct {
		spec  *iceberg.PartitionSpec
		order table.SortOrder
		files int
	}{
		"sorted":                 {iceberg.UnpartitionedSpec, sortOrder(t, asc(1)), 1},
		"sorted down by text":    {iceberg.UnpartitionedSpec, sortOrder(t, desc(2), desc(1)), 1},
		"sorted and partitioned": {&days, sortOrder(t, asc(1)), 42},
		"many partitions":        {&ids, table.UnsortedSortOrder, 150},
	} {
		t.Run(name, func(t *testing.T) {
			meta := newTable(t, ordersSchema(), c.spec, c.order, nil)
			store, temp := &countingFS{}, t.TempDir()
			w, err := NewWriter(context.Background(), meta, store, WriterOptions{MemoryLimit: 200 << 10, TempDir: temp, RowGroupRows: 3000})
			require.NoError(t, err)
			rng := rand.New(rand.NewPCG(7, 7))
			var batches []arrow.RecordBatch
			for range 10 {
				values := make([]int64, 2000)
				for i := range values {
					values[i] = rng.Int64N(1000)
				}
				batches = append(batches, numbers(t, meta, values...))
				require.NoError(t, w.Write(batches[len(batches)-1]))
			}
			require.NotNil(t, w.spill)
			files, err := w.Close()
			require.NoError(t, err)
			require.Len(t, files, c.files)
			var parts []arrow.RecordBatch
			for _, f := range files {
				got, _ := readAll(t, f, ReadOptions{Schema: meta.CurrentSchema()})
				parts = append(parts, got)
				if !c.order.IsUnsorted() {
					require.NotNil(t, f.SortOrderID())
					require.True(t, inOrder(t, meta.CurrentSchema(), c.order, got))
				}
			}
			got, err := concatBatches(parts)
			require.NoError(t, err)
			want, err := concatBatches(batches)
			require.NoError(t, err)
			requireSameRows(t, want, got)
			left, err := os.ReadDir(temp)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

func TestWriterSpillFailures(t *testing.T) {
	meta := newTable(t, ordersSchema(), nil, sortOrder(t, asc(1)), nil)
	w, err := NewWriter(context.Background(), meta, localFS, WriterOptions{MemoryLimit: 1, TempDir: t.TempDir() + "/not/there"})
	require.NoError(t, err)
	err = w.Write(numbers(t, meta, 1, 2))
	require.ErrorContains(t, err, "spill rows: open")
	require.NotErrorIs(t, err, os.ErrNotExist, "it is no data file that is absent")
	require.NoError(t, w.Abort())

	w, err = NewWriter(context.Background(), meta, localFS, WriterOptions{MemoryLimit: 1, TempDir: t.TempDir()})
	require.NoError(t, err)
	require.NoError(t, w.Write(numbers(t, meta, 1, 2)))
	require.NotNil(t, w.spill)
	require.NoError(t, w.Abort())
	_, err = w.spill.file.Stat()
	require.ErrorIs(t, err, os.ErrClosed)
}

// A file claims its order only where its row groups were seen to follow each other.
func TestWriterClaimsOrderOnlyWhenTrue(t *testing.T) {
	f := &outFile{sorted: true}
	f.expect(rowGroup{rows: 1, first: []byte("a"), last: []byte("c")}, 1)
	f.expect(rowGroup{rows: 1, first: []byte("c"), last: []byte("d")}, 1)
	require.True(t, f.sorted)
	f.expect(rowGroup{rows: 1, first: []byte("b"), last: []byte("z")}, 1)
	require.False(t, f.sorted)
	f.expect(rowGroup{rows: 1, first: []byte("z"), last: []byte("z")}, 1)
	require.False(t, f.sorted)
}

func TestWriterRollsAtTheTarget(t *testing.T) {
	for _, sorted := range []bool{false, true} {
		order := table.UnsortedSortOrder
		if sorted {
			order = sortOrder(t, asc(1))
		}
		meta := newTable(t, ordersSchema(), nil, order, iceberg.Properties{table.WriteTargetFileSizeBytesKey: "100000"})
		rng := rand.New(rand.NewPCG(1, 1))
		var batches []arrow.RecordBatch
		for range 20 {
			ids := make([]int64, 5000)
			for i := range ids {
				ids[i] = rng.Int64()
			}
			batches = append(batches, numbers(t, meta, ids...))
		}
		files := writeAll(t, meta, WriterOptions{}, batches...)
		require.Greater(t, len(files), 5)
		rows := int64(0)
		for i, f := range files {
			rows += f.Count()
			info, err := os.Stat(f.FilePath())
			require.NoError(t, err)
			require.Equal(t, info.Size(), f.FileSizeBytes())
			require.Less(t, f.FileSizeBytes(), int64(160_000), "file %d of %d", i, len(files))
			if i > 0 && i < len(files)-1 { // before the first row group is written its size is a guess
				require.Greater(t, f.FileSizeBytes(), int64(50_000), "file %d of %d", i, len(files))
			}
		}
		require.EqualValues(t, 100_000, rows)
	}
}

func TestWriterPartitions(t *testing.T) {
	spec := iceberg.NewPartitionSpec(
		iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1000, Name: "name", Transform: iceberg.IdentityTransform{}},
		iceberg.PartitionField{SourceIDs: []int{3}, FieldID: 1001, Name: "ts_day", Transform: iceberg.DayTransform{}},
		iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1002, Name: "gone", Transform: iceberg.VoidTransform{}})
	meta := newTable(t, ordersSchema(), &spec, table.UnsortedSortOrder, nil)
	names := []string{"a", "b/../c", "", "d e%"}
	const day = 86_400_000_000
	batch := orders(t, meta, 400, func(i int, b *array.RecordBuilder) {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		if i%5 == 4 {
			b.Field(1).AppendNull()
		} else {
			b.Field(1).(*array.StringBuilder).Append(names[i%5])
		}
		if i%7 == 0 {
			b.Field(2).AppendNull()
		} else {
			b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(i%3-2)*day + arrow.Timestamp(i))
		}
	})
	files := writeAll(t, meta, WriterOptions{Prefix: "p"}, batch, batch)
	require.Len(t, files, 20) // 5 names, 3 days and null
	total := int64(0)
	for _, f := range files {
		total += f.Count()
		require.Contains(t, f.FilePath(), "/data/name=")
		require.NotContains(t, f.FilePath(), "/..")
		require.True(t, strings.HasPrefix(filepath.Base(f.FilePath()), "p-"))
		got, _ := readAll(t, f, ReadOptions{Schema: meta.CurrentSchema()})
		partition := f.Partition()
		require.Len(t, partition, 3)
		require.Nil(t, partition[1002])
		for i := range int(got.NumRows()) {
			if got.Column(1).IsNull(i) {
				require.Nil(t, partition[1000])
			} else {
				require.Equal(t, got.Column(1).ValueStr(i), partition[1000])
			}
			if got.Column(2).IsNull(i) {
				require.Nil(t, partition[1001])
			} else {
				require.Equal(t, iceberg.Date(floorDiv(int64(got.Column(2).(*array.Timestamp).Value(i)), day)), partition[1001])
			}
		}
	}
	require.EqualValues(t, 800, total)
}

// More partitions than files may be open, and than memory holds rows of.
func TestWriterManyPartitions(t *testing.T) {
	spec := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1000, Name: "id", Transform: iceberg.IdentityTransform{}})
	meta := newTable(t, ordersSchema(), &spec, table.UnsortedSortOrder, nil)
	store := &countingFS{}
	w, err := NewWriter(context.Background(), meta, store, WriterOptions{MemoryLimit: 64 << 10, RowGroupRows: 5})
	require.NoError(t, err)
	for range 4 {
		ids := make([]int64, 3000)
		for i := range ids {
			ids[i] = int64(i % 150)
		}
		require.NoError(t, w.Write(numbers(t, meta, ids...)))
	}
	files, err := w.Close()
	require.NoError(t, err)
	rows := map[int64]int64{}
	for _, f := range files {
		rows[f.Partition()[1000].(int64)] += f.Count()
	}
	require.Len(t, rows, 150)
	for id, n := range rows {
		require.EqualValues(t, 80, n, "partition %d", id)
	}
	require.LessOrEqual(t, store.most, maxOpenFiles)
}

func TestWriterPlacesFiles(t *testing.T) {
	for name, c := range map[string]struct {
		props iceberg.Properties
		want  string
	}{
		"default":            {iceberg.Properties{}, `^LOCATION/data/UUID-00000\.parquet$`},
		"data path":          {iceberg.Properties{table.WriteDataPathKey: "DIR/elsewhere/"}, `^DIR/elsewhere/UUID-00000\.parquet$`},
		"object storage":     {iceberg.Properties{table.ObjectStoreEnabledKey: "true"}, `^LOCATION/data/[01]{4}/[01]{4}/[01]{4}/[01]{8}/UUID-00000\.parquet$`},
		"object, no folders": {iceberg.Properties{table.ObjectStoreEnabledKey: "true", table.WriteObjectStorePartitionedPathsKey: "false"}, `^LOCATION/data/[01]{4}/[01]{4}/[01]{4}/[01]{8}-UUID-00000\.parquet$`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for k, v := range c.props {
				c.props[k] = strings.ReplaceAll(v, "DIR", dir)
			}
			meta := newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, c.props)
			f := writeAll(t, meta, WriterOptions{}, numbers(t, meta, 1, 2))[0]
			want := strings.NewReplacer("LOCATION", meta.Location(), "DIR", dir, "UUID", "[0-9a-f-]{36}").Replace(c.want)
			require.Regexp(t, want, f.FilePath())
		})
	}
}

func TestWriterEncodes(t *testing.T) {
	meta := newTable(t, transactionsSchema(), nil, table.UnsortedSortOrder, nil)
	df := writeAll(t, meta, WriterOptions{}, transactions(t, transactionsSchema(), 20_000, 5_000)...)[0]
	f, err := os.Open(df.FilePath())
	require.NoError(t, err)
	defer f.Close()
	r, err := file.NewParquetReader(f)
	require.NoError(t, err)
	require.NotNil(t, r.MetaData().KeyValueMetadata().FindValue("iceberg.schema"))
	for i, want := range []string{"PLAIN", "DELTA_BINARY_PACKED", "DELTA_BINARY_PACKED", "RLE_DICTIONARY", "RLE_DICTIONARY", "DELTA_BINARY_PACKED", "DELTA_BINARY_PACKED"} {
		chunk, err := r.MetaData().RowGroup(0).ColumnChunk(i)
		require.NoError(t, err)
		var encodings []string
		for _, e := range chunk.Encodings() {
			encodings = append(encodings, e.String())
		}
		require.Contains(t, encodings, want, chunk.PathInSchema())
		require.Equal(t, want == "RLE_DICTIONARY", chunk.HasDictionaryPage(), chunk.PathInSchema())
		require.Equal(t, "ZSTD", chunk.Compression().String())
		require.NotNil(t, chunk.GetOffsetIndexLocation())
		require.NotNil(t, chunk.GetColumnIndexLocation())
		require.Equal(t, i == 0, chunk.BloomFilterOffset() > 0, "a Bloom filter on the identifier only")
		if i == 0 { // of some 10 bits a row, rounded up to a power of two
			require.InDelta(t, 20_000*10/8, chunk.BloomFilterLength(), 20_000)
		}
	}
	require.Equal(t, []int64{4}, df.SplitOffsets())
}

func TestWriterProperties(t *testing.T) {
	for name, c := range map[string]struct {
		props iceberg.Properties
		err   string
	}{
		"codec":              {iceberg.Properties{"write.parquet.compression-codec": "snappy"}, ""},
		"no codec":           {iceberg.Properties{"write.parquet.compression-codec": "uncompressed", "write.metadata.metrics.default": "none"}, ""},
		"gzip":               {iceberg.Properties{"write.parquet.compression-codec": "gzip", "write.parquet.compression-level": "9", "write.metadata.metrics.default": "counts"}, ""},
		"bloom":              {iceberg.Properties{"write.parquet.bloom-filter-enabled.column.name": "true", "write.parquet.bloom-filter-fpp.column.name": "0.1", "write.metadata.metrics.default": "full"}, ""},
		"dictionary":         {iceberg.Properties{"write.parquet.dict-encoding-enabled.column.name": "false", "write.parquet.page-version": "2"}, ""},
		"unknown codec":      {iceberg.Properties{"write.parquet.compression-codec": "rar"}, `codec "rar" is not known`},
		"level":              {iceberg.Properties{"write.parquet.compression-level": "99"}, "99 is out of range"},
		"page version":       {iceberg.Properties{"write.parquet.page-version": "3"}, `page version "3" is not known`},
		"format":             {iceberg.Properties{"write.format.default": "orc"}, "only parquet can be written"},
		"target":             {iceberg.Properties{"write.target-file-size-bytes": "much"}, `"much" is not a whole number`},
		"negative target":    {iceberg.Properties{"write.target-file-size-bytes": "-1"}, "-1 is not a positive number"},
		"bloom probability":  {iceberg.Properties{"write.parquet.bloom-filter-fpp.column.id": "2"}, "is not a probability"},
		"row group by bytes": {iceberg.Properties{"write.parquet.row-group-size-bytes": "1000"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			meta := newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, c.props)
			w, err := NewWriter(context.Background(), meta, iceio.LocalFS{}, WriterOptions{})
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			batch := numbers(t, meta, ascending(0, 300)...)
			require.NoError(t, w.Write(batch))
			files, err := w.Close()
			require.NoError(t, err)
			got, _ := readAll(t, files[0], ReadOptions{Schema: meta.CurrentSchema()})
			requireSameBatch(t, batch, got, name)
			bounds := c.props["write.metadata.metrics.default"] != "none" && c.props["write.metadata.metrics.default"] != "counts"
			require.Equal(t, bounds, len(files[0].LowerBoundValues()) > 0)
			require.Equal(t, c.props["write.metadata.metrics.default"] != "none", len(files[0].ValueCounts()) > 0)
		})
	}
}

// Parquet leaves statistics of long values out; bounds of the other row groups would not bound these.
func TestWriterLongValuesHaveNoBounds(t *testing.T) {
	meta := newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, nil)
	batch := orders(t, meta, 400, func(i int, b *array.RecordBuilder) {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		text := "m"
		if i == 250 {
			text = strings.Repeat("z", 10_000)
		}
		b.Field(1).(*array.StringBuilder).Append(text)
		b.Field(2).AppendNull()
	})
	df := writeAll(t, meta, WriterOptions{RowGroupRows: 100}, batch)[0]
	require.NotContains(t, df.UpperBoundValues(), 2)
	require.NotContains(t, df.LowerBoundValues(), 2)
	require.Contains(t, df.UpperBoundValues(), 1)
	require.EqualValues(t, 400, df.NullValueCounts()[3])
	got, _ := readAll(t, df, ReadOptions{Schema: meta.CurrentSchema(), Filter: iceberg.GreaterThan(iceberg.Reference("name"), "n")})
	require.EqualValues(t, 1, got.NumRows())
}

func TestWriterRefuses(t *testing.T) {
	meta := newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, nil)
	field := func(name string, typ arrow.DataType) arrow.Field {
		return arrow.Field{Name: name, Type: typ, Nullable: true}
	}
	tz := &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "Europe/Paris"}
	for name, c := range map[string]struct {
		fields []arrow.Field
		null   bool
		err    string
	}{
		"fewer columns":    {fields: []arrow.Field{field("id", arrow.PrimitiveTypes.Int64)}, err: "batch has 1 columns, the table has 3"},
		"other name":       {fields: []arrow.Field{field("id", arrow.PrimitiveTypes.Int64), field("nom", arrow.BinaryTypes.String), field("ts", tz)}, err: `column 2 of the batch is "nom", of the table "name"`},
		"other type":       {fields: []arrow.Field{field("id", arrow.BinaryTypes.String), field("name", arrow.BinaryTypes.String), field("ts", tz)}, err: "column id: type utf8 cannot be written as int64"},
		"narrower":         {fields: []arrow.Field{field("id", arrow.PrimitiveTypes.Uint64), field("name", arrow.BinaryTypes.String), field("ts", tz)}, err: "column id: type uint64 cannot be written as int64"},
		"no zone":          {fields: []arrow.Field{field("id", arrow.PrimitiveTypes.Int64), field("name", arrow.BinaryTypes.String), field("ts", &arrow.TimestampType{Unit: arrow.Microsecond})}, err: "column ts: type timestamp[us] cannot be written"},
		"null in required": {fields: []arrow.Field{field("id", arrow.PrimitiveTypes.Int64), field("name", arrow.BinaryTypes.String), field("ts", tz)}, null: true, err: "column id is required and holds a null"},
		"wider types":      {fields: []arrow.Field{field("id", arrow.PrimitiveTypes.Int16), field("name", arrow.BinaryTypes.LargeString), field("ts", &arrow.TimestampType{Unit: arrow.Second, TimeZone: "UTC"})}},
		"dictionary":       {fields: []arrow.Field{field("id", arrow.PrimitiveTypes.Int32), field("name", &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int32, ValueType: arrow.BinaryTypes.String}), field("ts", tz)}},
		"null column":      {fields: []arrow.Field{field("id", arrow.PrimitiveTypes.Int32), field("name", arrow.Null), field("ts", tz)}},
	} {
		t.Run(name, func(t *testing.T) {
			b := array.NewRecordBuilder(allocator, arrow.NewSchema(c.fields, nil))
			for i := range b.Fields() {
				if c.null {
					b.Field(i).AppendNull()
				} else {
					b.Field(i).AppendEmptyValue()
				}
			}
			w, err := NewWriter(context.Background(), meta, iceio.LocalFS{}, WriterOptions{})
			require.NoError(t, err)
			err = w.Write(b.NewRecordBatch())
			if c.err == "" {
				require.NoError(t, err)
				files, err := w.Close()
				require.NoError(t, err)
				require.EqualValues(t, 1, files[0].Count())
				return
			}
			require.ErrorContains(t, err, c.err)
			_, err = w.Close()
			require.ErrorContains(t, err, c.err, "an error sticks")
			require.NoError(t, w.Abort())
		})
	}
}

// countingFS counts open files, and fails where it is told to.
type countingFS struct {
	iceio.LocalFS
	open, most int
	created    []string
	failAfter  int // bytes; 0 never
	mu         chan struct{}
}

type countingFile struct {
	iceio.FileWriter
	fs      *countingFS
	written int
}

var errFull = errors.New("disk full")

func (c *countingFS) lock() func() {
	if c.mu == nil {
		c.mu = make(chan struct{}, 1)
	}
	c.mu <- struct{}{}
	return func() { <-c.mu }
}

func (c *countingFS) Create(name string) (iceio.FileWriter, error) {
	f, err := c.LocalFS.Create(name)
	if err != nil {
		return nil, err
	}
	defer c.lock()()
	c.open++
	c.most = max(c.most, c.open)
	c.created = append(c.created, name)
	return &countingFile{FileWriter: f, fs: c}, nil
}

func (f *countingFile) Write(p []byte) (int, error) {
	f.written += len(p)
	if f.fs.failAfter > 0 && f.written > f.fs.failAfter {
		return 0, errFull
	}
	return f.FileWriter.Write(p)
}

func (f *countingFile) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{f}, r)
}

func (f *countingFile) Close() error {
	defer f.fs.lock()()
	f.fs.open--
	return f.FileWriter.Close()
}

func TestWriterFailuresAreReportedAndCleanedUp(t *testing.T) {
	meta := newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, nil)
	store := &countingFS{failAfter: 20_000}
	w, err := NewWriter(context.Background(), meta, store, WriterOptions{RowGroupRows: 1000})
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		ids := make([]int64, 1000)
		for i := range ids {
			ids[i] = rng.Int64()
		}
		if err = w.Write(numbers(t, meta, ids...)); err != nil {
			break
		}
	}
	if err == nil {
		_, err = w.Close()
	}
	require.ErrorIs(t, err, errFull)
	require.NoError(t, w.Abort())
	require.Zero(t, store.open)
	require.NotEmpty(t, store.created)
	for _, name := range store.created {
		require.NoFileExists(t, name)
	}
}

func TestWriterAbortRemovesOnlyItsOwn(t *testing.T) {
	meta := newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, nil)
	other := writeAll(t, meta, WriterOptions{}, numbers(t, meta, 1))[0]
	for _, closed := range []bool{false, true} {
		store := &countingFS{}
		w, err := NewWriter(context.Background(), meta, store, WriterOptions{RowGroupRows: 10})
		require.NoError(t, err)
		require.NoError(t, w.Write(numbers(t, meta, ascending(0, 100)...)))
		if closed {
			_, err := w.Close()
			require.NoError(t, err)
		}
		require.NoError(t, w.Abort())
		require.NoError(t, w.Abort())
		require.Zero(t, store.open)
		require.NotEmpty(t, store.created)
		for _, name := range store.created {
			require.NoFileExists(t, name)
		}
		require.Error(t, w.Write(numbers(t, meta, 1)))
	}
	require.FileExists(t, other.FilePath())
}

func TestWriterStopsWhenCancelled(t *testing.T) {
	meta := newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, nil)
	ctx, cancel := context.WithCancel(context.Background())
	w, err := NewWriter(ctx, meta, iceio.LocalFS{}, WriterOptions{RowGroupRows: 10})
	require.NoError(t, err)
	require.NoError(t, w.Write(numbers(t, meta, ascending(0, 100)...)))
	cancel()
	require.ErrorIs(t, w.Write(numbers(t, meta, 1)), context.Canceled)
	_, err = w.Close()
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, w.Abort())
}

func TestWriterWithoutRows(t *testing.T) {
	meta := newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, nil)
	require.Empty(t, writeAll(t, meta, WriterOptions{}, numbers(t, meta)))
}
