package datafile

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// fileEntry describes a file as a table's manifest would.
func fileEntry(t testing.TB, path string, rows int64, nans map[int]int64) iceberg.DataFile {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	b, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentData, path, iceberg.ParquetFile, nil, nil, nil, rows, info.Size())
	require.NoError(t, err)
	return b.NaNValueCounts(nans).Build()
}

// encodeGroup makes a row group of the columns that have values, and carries the others.
func encodeGroup(f *Carried, group int, columns [][]arrow.Array, rows int64) (*CarriedGroup, error) {
	g, err := f.Begin(group, rows)
	if err != nil {
		return nil, err
	}
	for c, values := range columns {
		if values != nil {
			if err := g.Encode([]int{c}, [][]arrow.Array{values}); err != nil {
				return nil, err
			}
		}
	}
	return g, g.End()
}

// carryRandomly writes a file anew: of each row group some columns get other values, and some groups lose rows. It returns
// the rows there should be, and how many column chunks were carried.
func carryRandomly(t testing.TB, rng *rand.Rand, f *Carried, batch arrow.RecordBatch) (arrow.RecordBatch, int) {
	t.Helper()
	var want []arrow.RecordBatch
	carried := 0
	for g := range f.RowGroups() {
		first, end := f.Positions(g)
		old := batch.NewSlice(first, end)
		other := randomBatch(t, rng, batch.Schema(), int(end-first))
		columns, values := make([][]arrow.Array, batch.NumCols()), make([]arrow.Array, batch.NumCols())
		n := end - first
		if rng.IntN(4) == 0 {
			n = rng.Int64N(n)
		}
		for c := range columns {
			values[c] = array.NewSlice(old.Column(c), 0, n)
			change := rng.IntN(3) == 0
			if change {
				values[c] = array.NewSlice(other.Column(c), 0, n)
			}
			if !change && f.Fits(g, c) && n == end-first {
				carried++
				continue
			}
			half := n / 2
			columns[c] = []arrow.Array{array.NewSlice(values[c], 0, half), array.NewSlice(values[c], half, n)}
		}
		if n > 0 {
			encoded, err := encodeGroup(f, g, columns, n)
			require.NoError(t, err)
			require.NoError(t, f.Add(encoded))
			want = append(want, array.NewRecordBatch(batch.Schema(), values, n))
		}
	}
	if len(want) == 0 {
		return batch.NewSlice(0, 0), carried
	}
	all, err := concatBatches(want)
	require.NoError(t, err)
	return all, carried
}

// What is carried reads as what is decoded and encoded again, and its description in the manifest is the same.
func TestCarriedFilesAreThoseEncodedAnew(t *testing.T) {
	db, err := sql.Open("duckdb", "")
	require.NoError(t, err)
	defer db.Close()
	carried := 0
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 9))
		props := iceberg.Properties{"write.parquet.page-size-bytes": "512", "write.parquet.row-group-limit": "60",
			"write.parquet.compression-codec": []string{"zstd", "snappy", "none"}[seed%3], "write.parquet.page-version": []string{"1", "2"}[seed%2]}
		meta := newTable(t, everyType(), nil, table.UnsortedSortOrder, props)
		schema, err := arrowSchema(meta.CurrentSchema())
		require.NoError(t, err)
		batch := randomBatch(t, rng, schema, 50+rng.IntN(300))
		old := writeAll(t, meta, WriterOptions{}, batch)[0]
		c, err := NewCarrier(context.Background(), meta, localFS, WriterOptions{})
		require.NoError(t, err)
		f, err := c.Open(context.Background(), old)
		require.NoError(t, err)
		require.NotNil(t, f)
		want, n := carryRandomly(t, rng, f, batch)
		carried += n
		files, bytes, err := f.Close()
		require.NoError(t, err)
		require.Equal(t, n > 0, bytes > 0)
		if want.NumRows() == 0 {
			require.Empty(t, files)
			continue
		}
		require.Len(t, files, 1)
		what := fmt.Sprint("seed ", seed)
		got, _ := readAll(t, files[0], ReadOptions{Schema: meta.CurrentSchema()})
		for i := range int(want.NumCols()) {
			conformed, err := conformArray(context.Background(), got.Column(i), schema.Field(i).Type)
			require.NoError(t, err)
			requireSame(t, want.Column(i), conformed, "%s: column %s", what, want.ColumnName(i))
			checkBounds(t, meta.CurrentSchema(), files[0], schema.Field(i), want.Column(i))
		}
		sameMetrics(t, writeAll(t, meta, WriterOptions{}, want)[0], files[0], what)
		requireTrueToFooter(t, files[0], what)
		requireDuckDBReads(t, db, want, files[0].FilePath(), what)
	}
	require.Greater(t, carried, 400)
}

// sameMetrics compares the metrics that do not depend on encodings.
func sameMetrics(t testing.TB, want, got iceberg.DataFile, what string) {
	t.Helper()
	require.Equal(t, want.Count(), got.Count(), what)
	require.Equal(t, want.ValueCounts(), got.ValueCounts(), what)
	require.Equal(t, want.NullValueCounts(), got.NullValueCounts(), what)
	require.Equal(t, want.NaNValueCounts(), got.NaNValueCounts(), what)
	require.Equal(t, want.LowerBoundValues(), got.LowerBoundValues(), what)
	require.Equal(t, want.UpperBoundValues(), got.UpperBoundValues(), what)
}

// requireTrueToFooter compares sizes and offsets of a description with the file's footer, and looks up each page.
func requireTrueToFooter(t testing.TB, df iceberg.DataFile, what string) {
	t.Helper()
	info, err := os.Stat(df.FilePath())
	require.NoError(t, err)
	require.Equal(t, info.Size(), df.FileSizeBytes(), what)
	r, err := file.OpenParquetFile(df.FilePath(), false)
	require.NoError(t, err)
	defer r.Close()
	sizes, splits := map[int]int64{}, []int64{}
	for g := range r.NumRowGroups() {
		rg := r.MetaData().RowGroup(g)
		pages, err := r.GetPageIndexReader().RowGroup(g)
		require.NoError(t, err)
		for c := range rg.NumColumns() {
			chunk, err := rg.ColumnChunk(c)
			require.NoError(t, err)
			at := chunk.DataPageOffset()
			if chunk.HasDictionaryPage() {
				at = chunk.DictionaryPageOffset()
			}
			if c == 0 {
				splits = append(splits, at)
			}
			sizes[int(r.MetaData().Schema.Column(c).SchemaNode().FieldID())] += chunk.TotalCompressedSize()
			if pages == nil {
				continue
			}
			offsets, err := pages.GetOffsetIndex(c)
			require.NoError(t, err)
			if offsets == nil {
				continue
			}
			locations := offsets.GetPageLocations()
			require.Equal(t, chunk.DataPageOffset(), locations[0].Offset, what)
			last := locations[len(locations)-1]
			require.Equal(t, at+chunk.TotalCompressedSize(), last.Offset+int64(last.CompressedPageSize), what)
		}
	}
	require.Equal(t, splits, df.SplitOffsets(), what)
	for id, n := range df.ColumnSizes() {
		require.Equal(t, sizes[id], n, "%s: field %d", what, id)
	}
}

func requireDuckDBReads(t testing.TB, db *sql.DB, want arrow.RecordBatch, path, what string) {
	t.Helper()
	rows, err := db.Query("SELECT l, s, i FROM read_parquet('" + path + "')")
	require.NoError(t, err, what)
	defer rows.Close()
	at := func(name string) arrow.Array { return want.Column(want.Schema().FieldIndices(name)[0]) }
	l, s, i := at("l").(*array.Int64), at("s").(*array.String), at("i").(*array.Int32)
	n := 0
	for ; rows.Next(); n++ {
		var gotL sql.NullInt64
		var gotS sql.NullString
		var gotI int32
		require.NoError(t, rows.Scan(&gotL, &gotS, &gotI))
		require.Equal(t, l.IsNull(n), !gotL.Valid, what)
		require.Equal(t, s.IsNull(n), !gotS.Valid, what)
		require.Equal(t, i.Value(n), gotI, what)
		if gotL.Valid {
			require.Equal(t, l.Value(n), gotL.Int64, what)
		}
		if gotS.Valid {
			require.Equal(t, s.Value(n), gotS.String, what)
		}
	}
	require.NoError(t, rows.Err())
	require.EqualValues(t, want.NumRows(), n, what)
	var distinct int64
	require.NoError(t, db.QueryRow("SELECT count(*) FROM (SELECT * FROM read_parquet('"+path+"'))").Scan(&distinct))
	require.EqualValues(t, want.NumRows(), distinct, what)
	// One key after the other, which takes statistics and Bloom filters into account.
	for k := range min(20, i.Len()) {
		var found int64
		require.NoError(t, db.QueryRow(fmt.Sprintf("SELECT count(*) FROM read_parquet('%s') WHERE i = %d", path, i.Value(k))).Scan(&found))
		require.Positive(t, found, what)
	}
}

// Files as other writers make them are carried as far as they fit, and never wrongly.
func TestCarriedFilesOfOtherWriters(t *testing.T) {
	db, err := sql.Open("duckdb", "")
	require.NoError(t, err)
	defer db.Close()
	meta := newTable(t, everyType(), nil, table.UnsortedSortOrder, iceberg.Properties{"write.parquet.row-group-limit": "100"})
	schema, err := arrowSchema(meta.CurrentSchema())
	require.NoError(t, err)
	for _, c := range []struct {
		name  string
		props []parquet.WriterProperty
		none  bool // nothing fits but lists and maps
	}{
		{name: "defaults"},
		{name: "data page v2, gzip", props: []parquet.WriterProperty{parquet.WithDataPageVersion(parquet.DataPageV2), parquet.WithCompression(compress.Codecs.Gzip)}},
		{name: "format 1, snappy, no dictionaries", props: []parquet.WriterProperty{parquet.WithVersion(parquet.V1_0), parquet.WithCompression(compress.Codecs.Snappy), parquet.WithDictionaryDefault(false)}},
		{name: "page index, Bloom filters", props: []parquet.WriterProperty{parquet.WithPageIndexEnabled(true), parquet.WithBloomFilterEnabled(true)}},
		{name: "decimals as integers", props: []parquet.WriterProperty{parquet.WithStoreDecimalAsInteger(true)}},
		{name: "delta encodings", props: []parquet.WriterProperty{parquet.WithDictionaryDefault(false), parquet.WithEncodingFor("s", parquet.Encodings.DeltaByteArray), parquet.WithEncodingFor("l", parquet.Encodings.DeltaBinaryPacked)}},
		{name: "no statistics", props: []parquet.WriterProperty{parquet.WithStats(false)}, none: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 5))
			batch := randomBatch(t, rng, schema, 500)
			path := filepath.Join(t.TempDir(), "foreign.parquet")
			out, err := os.Create(path)
			require.NoError(t, err)
			w, err := pqarrow.NewFileWriter(schema, out, parquet.NewWriterProperties(append(c.props, parquet.WithMaxRowGroupLength(100))...), pqarrow.DefaultWriterProps())
			require.NoError(t, err)
			require.NoError(t, w.Write(batch))
			require.NoError(t, w.Close())
			carrier, err := NewCarrier(context.Background(), meta, localFS, WriterOptions{})
			require.NoError(t, err)
			f, err := carrier.Open(context.Background(), fileEntry(t, path, 500, map[int]int64{4: 0}))
			require.NoError(t, err)
			require.NotNil(t, f)
			require.False(t, f.Fits(0, 4), "NaNs of column d were not counted")
			want, n := carryRandomly(t, rng, f, batch)
			require.Positive(t, n)
			require.Equal(t, c.none, !f.Fits(0, 0))
			files, _, err := f.Close()
			require.NoError(t, err)
			got, _ := readAll(t, files[0], ReadOptions{Schema: meta.CurrentSchema()})
			for i := range int(want.NumCols()) {
				conformed, err := conformArray(context.Background(), got.Column(i), schema.Field(i).Type)
				require.NoError(t, err)
				requireSame(t, want.Column(i), conformed, "column %s", want.ColumnName(i))
			}
			requireTrueToFooter(t, files[0], c.name)
			requireDuckDBReads(t, db, want, files[0].FilePath(), c.name)
		})
	}
}

// DuckDB's files, with field ids and without.
func TestCarriedFilesOfDuckDB(t *testing.T) {
	db, err := sql.Open("duckdb", "")
	require.NoError(t, err)
	defer db.Close()
	p := iceberg.PrimitiveTypes
	schema := iceberg.NewSchema(0, nested(1, "l", p.Int64), nested(2, "s", p.String), nested(3, "dec", iceberg.DecimalTypeOf(9, 3)), nested(4, "ts", p.TimestampTz))
	meta := newTable(t, schema, nil, table.UnsortedSortOrder, iceberg.Properties{"write.parquet.row-group-limit": "2048"})
	carrier, err := NewCarrier(context.Background(), meta, localFS, WriterOptions{})
	require.NoError(t, err)
	for _, ids := range []string{"", ", FIELD_IDS {l: 1, s: 2, dec: 3, ts: 4}"} {
		path := t.TempDir() + "/duck.parquet"
		_, err = db.Exec(`COPY (SELECT CASE WHEN i % 5 > 0 THEN i END AS l, 'text ' || (i % 50) AS s, (i / 8)::DECIMAL(9,3) AS dec, TIMESTAMPTZ '1969-12-31 23:00:00Z' + INTERVAL (i) MINUTE AS ts
			FROM range(5000) t(i)) TO '` + path + `' (FORMAT parquet, ROW_GROUP_SIZE 2048` + ids + `)`)
		require.NoError(t, err)
		f, err := carrier.Open(context.Background(), fileEntry(t, path, 5000, nil))
		require.NoError(t, err)
		if ids == "" {
			require.Nil(t, f, "a file without field ids has no column of the table")
			continue
		}
		if f == nil {
			t.Skip("this DuckDB leaves out what says that bounds mean something")
		}
		fits := 0
		for g := range f.RowGroups() {
			first, end := f.Positions(g)
			r, err := Open(context.Background(), localFS, fileEntry(t, path, 5000, nil), ReadOptions{Schema: schema, RowGroups: []int{g}})
			require.NoError(t, err)
			columns := make([][]arrow.Array, schema.NumFields())
			for r.Next() {
				for c := range columns {
					if !f.Fits(g, c) {
						r.RecordBatch().Column(c).Retain()
						columns[c] = append(columns[c], r.RecordBatch().Column(c))
					} else {
						fits++
					}
				}
			}
			require.NoError(t, r.Err())
			r.Release()
			encoded, err := encodeGroup(f, g, columns, end-first)
			require.NoError(t, err)
			require.NoError(t, f.Add(encoded))
		}
		require.Positive(t, fits)
		files, _, err := f.Close()
		require.NoError(t, err)
		requireTrueToFooter(t, files[0], "duckdb")
		var same bool
		require.NoError(t, db.QueryRow(`SELECT NOT EXISTS ((SELECT l, s, dec, ts FROM read_parquet('`+path+`')) EXCEPT ALL (SELECT l, s, dec, ts FROM read_parquet('`+files[0].FilePath()+`')))`).Scan(&same))
		require.True(t, same)
	}
}

func TestCarrierRefuses(t *testing.T) {
	p := iceberg.PrimitiveTypes
	schema := iceberg.NewSchema(0, nested(1, "id", p.Int64), nested(2, "s", p.String))
	spec := iceberg.NewPartitionSpecID(3, iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1000, Name: "b", Transform: iceberg.BucketTransform{NumBuckets: 2}})
	small := iceberg.Properties{"write.parquet.row-group-limit": "10"}
	plain := newTable(t, schema, nil, table.UnsortedSortOrder, small)
	rows := record(t, mustArrow(t, schema), `[{"id": 1, "s": "a"}, {"id": 2, "s": "b"}]`)
	df := writeAll(t, plain, WriterOptions{}, rows)[0]
	b, err := iceberg.NewDataFileBuilder(spec, iceberg.EntryContentData, df.FilePath(), iceberg.ParquetFile, map[int]any{1000: int32(1)}, nil, nil, 2, df.FileSizeBytes())
	require.NoError(t, err)
	otherSpec := b.Build()
	for _, c := range []struct {
		name string
		meta table.Metadata
		df   iceberg.DataFile
	}{
		{"another partition spec", plain, otherSpec},
		{"a sort order", newTable(t, schema, nil, sortOrder(t, asc(1)), small), df},
		{"small row groups", newTable(t, schema, nil, table.UnsortedSortOrder, nil), df},
		{"other columns", newTable(t, iceberg.NewSchema(0, nested(1, "more", p.Int64), nested(2, "id", p.Int64), nested(3, "s", p.String)), nil, table.UnsortedSortOrder, small), df},
		{"other types", newTable(t, iceberg.NewSchema(0, nested(1, "id", p.String), nested(2, "s", p.Int64)), nil, table.UnsortedSortOrder, small), df},
	} {
		carrier, err := NewCarrier(context.Background(), c.meta, localFS, WriterOptions{})
		require.NoError(t, err, c.name)
		f, err := carrier.Open(context.Background(), c.df)
		require.NoError(t, err, c.name)
		require.Nil(t, f, c.name)
	}
	// One column that became wider does not keep the other from being carried.
	wider := newTable(t, iceberg.NewSchema(0, nested(1, "id", p.Int32), nested(2, "s", p.String)), nil, table.UnsortedSortOrder, small)
	carrier, err := NewCarrier(context.Background(), wider, localFS, WriterOptions{})
	require.NoError(t, err)
	f, err := carrier.Open(context.Background(), df)
	require.NoError(t, err)
	require.False(t, f.Fits(0, 0))
	require.True(t, f.Fits(0, 1))
	require.NoError(t, f.Abort())
}

func mustArrow(t testing.TB, schema *iceberg.Schema) *arrow.Schema {
	t.Helper()
	out, err := arrowSchema(schema)
	require.NoError(t, err)
	return out
}

// A broken file is an error that names it, and leaves nothing behind.
func TestCarriedBrokenFiles(t *testing.T) {
	meta := newTable(t, everyType(), nil, table.UnsortedSortOrder, iceberg.Properties{"write.parquet.row-group-limit": "100", "write.parquet.page-size-bytes": "1024"})
	schema := mustArrow(t, meta.CurrentSchema())
	rng := rand.New(rand.NewPCG(1, 1))
	df := writeAll(t, meta, WriterOptions{}, randomBatch(t, rng, schema, 300))[0]
	whole, err := os.ReadFile(df.FilePath())
	require.NoError(t, err)
	footer := len(whole) - 8 - int(binary.LittleEndian.Uint32(whole[len(whole)-8:]))
	carrier, err := NewCarrier(context.Background(), meta, localFS, WriterOptions{})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "broken.parquet")
	copied := func(broken []byte) error {
		require.NoError(t, os.WriteFile(path, broken, 0o644))
		f, err := carrier.Open(context.Background(), fileEntry(t, path, 300, df.NaNValueCounts()))
		if err != nil || f == nil {
			return err
		}
		for g := range f.RowGroups() {
			first, end := f.Positions(g)
			columns := make([][]arrow.Array, schema.NumFields())
			for c := range columns {
				if end-first > 1000 {
					return f.Abort()
				}
				if !f.Fits(g, c) {
					columns[c] = []arrow.Array{randomBatch(t, rng, schema, int(end-first)).Column(c)}
				}
			}
			encoded, err := encodeGroup(f, g, columns, end-first)
			if err == nil {
				err = f.Add(encoded)
			}
			if err != nil {
				require.NoError(t, f.Abort())
				return err
			}
		}
		_, _, err = f.Close()
		require.NoError(t, f.Abort())
		return err
	}
	require.NoError(t, copied(whole))
	for _, broken := range [][]byte{{}, whole[:8], whole[:len(whole)/2], whole[:len(whole)-1], whole[footer:], append(slices.Clone(whole[:len(whole)-4]), "PARE"...)} {
		require.ErrorContains(t, copied(broken), "broken.parquet")
	}
	for range 400 { // nothing but errors or files; no panic
		broken := slices.Clone(whole)
		for range 1 + rng.IntN(3) {
			broken[footer+rng.IntN(len(whole)-8-footer)] = byte(rng.IntN(256))
		}
		_ = copied(broken)
	}
	left, err := filepath.Glob(filepath.Join(meta.Location(), "data", "*.parquet"))
	require.NoError(t, err)
	require.Equal(t, []string{df.FilePath()}, left)
}
