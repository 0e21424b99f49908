package datafile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// memoryCatalog keeps one table's metadata in memory.
type memoryCatalog struct {
	mu   sync.Mutex
	meta table.Metadata
	fs   iceio.IO
}

func (c *memoryCatalog) LoadTable(context.Context, table.Identifier) (*table.Table, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return table.New(table.Identifier{"t"}, c.meta, c.meta.Location()+"/metadata/0.json", func(context.Context) (iceio.IO, error) { return c.fs, nil }, c), nil
}

func (c *memoryCatalog) CommitTable(_ context.Context, _ table.Identifier, _ []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	meta, err := table.UpdateTableMetadata(c.meta, updates, "")
	if err == nil {
		c.meta = meta
	}
	return meta, "", err
}

// lake is a table that commits.
type lake struct {
	t   testing.TB
	cat *memoryCatalog
}

func newLake(t testing.TB, schema *iceberg.Schema, spec *iceberg.PartitionSpec, props iceberg.Properties) *lake {
	return &lake{t, &memoryCatalog{meta: newTable(t, schema, spec, table.UnsortedSortOrder, props), fs: iceio.LocalFS{}}}
}

func (l *lake) table() *table.Table {
	tbl, err := l.cat.LoadTable(context.Background(), nil)
	require.NoError(l.t, err)
	return tbl
}

func (l *lake) meta() table.Metadata { return l.table().Metadata() }

func (l *lake) commit(rows, deletes, gone []iceberg.DataFile) {
	l.t.Helper()
	tx := l.table().NewTransaction()
	delta := tx.NewRowDelta(nil)
	delta.AddRows(rows...)
	delta.AddDeletes(deletes...)
	delta.RemoveDeletes(gone...)
	require.NoError(l.t, delta.Commit(context.Background()))
	_, err := tx.Commit(context.Background())
	require.NoError(l.t, err)
}

func (l *lake) tasks() []table.FileScanTask {
	tasks, err := l.table().Scan().PlanFiles(context.Background())
	require.NoError(l.t, err)
	return tasks
}

// ids scans the table and returns its first column.
func (l *lake) ids(opts ScanOptions) []int64 {
	l.t.Helper()
	r, err := Scan(context.Background(), l.table(), opts)
	require.NoError(l.t, err)
	defer r.Release()
	out := []int64{}
	for r.Next() {
		out = append(out, r.RecordBatch().Column(0).(*array.Int64).Int64Values()...)
	}
	require.NoError(l.t, r.Err())
	return out
}

func (l *lake) append(ids ...int64) []iceberg.DataFile {
	files := writeAll(l.t, l.meta(), WriterOptions{}, numbers(l.t, l.meta(), ids...))
	l.commit(files, nil, nil)
	return files
}

func TestScanReadsFilesInOrder(t *testing.T) {
	l := newLake(t, ordersSchema(), nil, nil)
	require.Empty(t, l.ids(ScanOptions{}), "a table without a snapshot")
	var want []int64
	for i := range int64(12) {
		l.append(ascending(i*100, 100)...)
	}
	for _, task := range l.tasks() {
		got, _ := readAll(t, task.File, ReadOptions{Schema: l.meta().CurrentSchema()})
		want = append(want, got.Column(0).(*array.Int64).Int64Values()...)
	}
	for _, parallelism := range []int{1, 2, 5, 100} {
		require.Equal(t, want, l.ids(ScanOptions{Parallelism: parallelism, BatchRows: 7}))
	}
	for _, limit := range []int64{1, 99, 100, 101, 555, 1200, 5000} {
		require.Equal(t, want[:min(limit, 1200)], l.ids(ScanOptions{Limit: limit, BatchRows: 30}))
	}
	require.Equal(t, ascending(250, 5), l.ids(ScanOptions{Filter: iceberg.NewAnd(iceberg.GreaterThanEqual(iceberg.Reference("id"), int64(250)), iceberg.LessThan(iceberg.Reference("id"), int64(255)))}))
	require.Equal(t, want[100:200], l.ids(ScanOptions{Files: l.tasks()[1:2], Columns: []string{"id", "ts"}}))
	require.Empty(t, l.ids(ScanOptions{Files: []table.FileScanTask{}}))
	first := l.meta().Snapshots()[0].SnapshotID
	require.Equal(t, ascending(0, 100), l.ids(ScanOptions{SnapshotID: &first}))

	_, err := Scan(context.Background(), l.table(), ScanOptions{Columns: []string{"nope"}})
	require.ErrorContains(t, err, `column "nope"`)
	_, err = Scan(context.Background(), l.table(), ScanOptions{Filter: iceberg.EqualTo(iceberg.Reference("nope"), int64(1))})
	require.ErrorContains(t, err, "nope")
}

// Large files are planned in pieces of their row groups; each row is in one.
func TestScanSplitsFiles(t *testing.T) {
	l := newLake(t, ordersSchema(), nil, iceberg.Properties{table.ReadSplitTargetSizeKey: "5000"})
	l.commit(writeAll(t, l.meta(), WriterOptions{RowGroupRows: 100}, numbers(t, l.meta(), ascending(0, 1000)...)), nil, nil)
	require.Greater(t, len(l.tasks()), 1)
	require.Equal(t, ascending(0, 1000), l.ids(ScanOptions{}))
}

func TestScanAppliesPositionDeletes(t *testing.T) {
	spec := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{3}, FieldID: 1000, Name: "ts_day", Transform: iceberg.DayTransform{}})
	for _, c := range []struct {
		version string
		spec    *iceberg.PartitionSpec
	}{{"2", nil}, {"2", &spec}, {"3", nil}, {"3", &spec}} {
		t.Run(fmt.Sprintf("v%s %v", c.version, c.spec != nil), func(t *testing.T) {
			l := newLake(t, ordersSchema(), c.spec, iceberg.Properties{"format-version": c.version})
			l.append(ascending(0, 70)...)
			l.append(ascending(1000, 70)...)
			gone := map[int64]bool{}
			rng := rand.New(rand.NewPCG(1, 1))
			for range 3 { // a second and third delete of the same files
				var deletes, replaced []iceberg.DataFile
				var vectors []VectorDelete
				for _, task := range l.tasks() {
					rows, _ := readAll(t, task.File, ReadOptions{Schema: l.meta().CurrentSchema()})
					deleted, err := Deletes(t.Context(), localFS, task)
					require.NoError(t, err)
					before := deleted.GetCardinality()
					positions := roaring64.New()
					for i := range int(rows.NumRows()) {
						if rng.IntN(5) == 0 {
							positions.Add(uint64(i))
							gone[rows.Column(0).(*array.Int64).Value(i)] = true
						}
					}
					if positions.IsEmpty() {
						continue
					}
					if c.version == "2" {
						df, err := WritePositionDeletes(t.Context(), l.meta(), localFS, task.File, positions)
						require.NoError(t, err)
						require.Equal(t, task.File.Partition(), df.Partition())
						require.Equal(t, task.File.FilePath(), *df.ReferencedDataFile())
						require.EqualValues(t, positions.GetCardinality(), df.Count())
						deletes = append(deletes, df)
					} else {
						positions.Or(deleted)
						vectors = append(vectors, VectorDelete{task.File, positions})
						replaced = append(replaced, task.DeletionVectorFiles...)
						require.LessOrEqual(t, before, positions.GetCardinality())
					}
				}
				if c.version == "3" {
					var err error
					deletes, err = WriteDeletionVectors(t.Context(), l.meta(), localFS, vectors)
					require.NoError(t, err)
					require.Len(t, deletes, len(vectors))
				}
				l.commit(nil, deletes, replaced)
				var want []int64
				for _, id := range append(ascending(0, 70), ascending(1000, 70)...) {
					if !gone[id] {
						want = append(want, id)
					}
				}
				require.ElementsMatch(t, want, l.ids(ScanOptions{BatchRows: 11}))
				require.ElementsMatch(t, want, l.ids(ScanOptions{Filter: iceberg.GreaterThan(iceberg.Reference("id"), int64(-1))}))
			}
		})
	}
}

func TestDeletesRefuses(t *testing.T) {
	v2, v3 := newLake(t, ordersSchema(), nil, nil), newLake(t, ordersSchema(), nil, iceberg.Properties{"format-version": "3"})
	two, three := v2.append(1, 2)[0], v3.append(1, 2)[0]
	_, err := WritePositionDeletes(t.Context(), v2.meta(), localFS, two, roaring64.New())
	require.ErrorContains(t, err, "no position to delete")
	_, err = WritePositionDeletes(t.Context(), v3.meta(), localFS, three, roaring64.BitmapOf(1))
	require.ErrorContains(t, err, "format version 3")
	_, err = WriteDeletionVectors(t.Context(), v2.meta(), localFS, []VectorDelete{{two, roaring64.BitmapOf(1)}})
	require.ErrorContains(t, err, "format version 2")
	_, err = WriteDeletionVectors(t.Context(), v3.meta(), localFS, []VectorDelete{{three, roaring64.BitmapOf(1)}, {three, roaring64.BitmapOf(0)}})
	require.ErrorContains(t, err, "two vectors for")
	_, err = WriteDeletionVectors(t.Context(), v3.meta(), localFS, nil)
	require.Error(t, err)
}

// One position-delete file of a partition, as Spark writes them, names many data files.
func TestScanAppliesSharedPositionDeletes(t *testing.T) {
	l := newLake(t, ordersSchema(), nil, nil)
	var batches []arrow.RecordBatch
	layout, err := newLayoutOf(l.meta(), iceberg.PositionalDeleteSchema, WriterOptions{})
	require.NoError(t, err)
	want := []int64{}
	for i := range int64(4) {
		f := l.append(ascending(i*10, 10)...)[0]
		for b := range positionDeleteBatches(layout.arrow, f.FilePath(), roaring64.BitmapOf(uint64(i), 9)) {
			batches = append(batches, b)
		}
		for id := i * 10; id < i*10+9; id++ {
			if id != i*10+i {
				want = append(want, id)
			}
		}
	}
	uri := l.meta().Location() + "/data/shared-deletes.parquet"
	footer, size, err := layout.writeFile(t.Context(), localFS, uri, func(yield func(arrow.RecordBatch) bool) {
		for _, b := range batches {
			yield(b)
		}
	})
	require.NoError(t, err)
	shared, err := table.DataFileFromMetadata(table.DataFileArgs{Schema: iceberg.PositionalDeleteSchema, Spec: *iceberg.UnpartitionedSpec,
		Format: iceberg.ParquetFile, Metadata: footer, FilePath: uri, FileSize: size, Content: iceberg.EntryContentPosDeletes, FormatVersion: 2})
	require.NoError(t, err)
	l.commit(nil, []iceberg.DataFile{shared}, nil)
	require.ElementsMatch(t, want, l.ids(ScanOptions{}))
	for _, task := range l.tasks() {
		deleted, err := Deletes(t.Context(), localFS, task)
		require.NoError(t, err)
		require.EqualValues(t, 2, deleted.GetCardinality())
	}
}

// equalityDelete writes the delete file that another engine would: rows to delete by the columns of some ids.
func equalityDelete(t testing.TB, l *lake, ids []int, spec *iceberg.PartitionSpec, partition map[int]any, rows arrow.RecordBatch) iceberg.DataFile {
	t.Helper()
	var fields []iceberg.NestedField
	for _, id := range ids {
		f, ok := l.meta().CurrentSchema().FindFieldByID(id)
		require.True(t, ok)
		f.Required = false
		fields = append(fields, f)
	}
	schema := iceberg.NewSchema(0, fields...)
	layout, err := newLayoutOf(l.meta(), schema, WriterOptions{})
	require.NoError(t, err)
	batch, err := conformBatch(t.Context(), rows, layout.arrow)
	require.NoError(t, err)
	uri := fmt.Sprintf("%s/data/equality-%d.parquet", l.meta().Location(), time.Now().UnixNano())
	footer, size, err := layout.writeFile(t.Context(), localFS, uri, func(yield func(arrow.RecordBatch) bool) { yield(batch) })
	require.NoError(t, err)
	df, err := table.DataFileFromMetadata(table.DataFileArgs{Schema: schema, Spec: *spec, Format: iceberg.ParquetFile, Metadata: footer, FilePath: uri,
		FileSize: size, Content: iceberg.EntryContentEqDeletes, EqualityFieldIDs: ids, PartitionValues: partition, FormatVersion: 2})
	require.NoError(t, err)
	return df
}

func record(t testing.TB, schema *arrow.Schema, json string) arrow.RecordBatch {
	t.Helper()
	b, _, err := array.RecordFromJSON(allocator, schema, strings.NewReader(json))
	require.NoError(t, err)
	return b
}

func TestScanAppliesEqualityDeletes(t *testing.T) {
	l := newLake(t, ordersSchema(), nil, nil)
	byID := arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64, Nullable: true}}, nil)
	l.append(1, 2, 3, 4)
	// Rows of the same commit, and of later ones, are not deleted: sequence numbers.
	l.commit(writeAll(t, l.meta(), WriterOptions{}, numbers(t, l.meta(), 2, 3)), []iceberg.DataFile{
		equalityDelete(t, l, []int{1}, iceberg.UnpartitionedSpec, nil, record(t, byID, `[{"id": 2}, {"id": 3}]`))}, nil)
	l.append(3, 5)
	require.ElementsMatch(t, []int64{1, 4, 2, 3, 3, 5}, l.ids(ScanOptions{}))
	require.ElementsMatch(t, []int64{3, 3}, l.ids(ScanOptions{Filter: iceberg.EqualTo(iceberg.Reference("id"), int64(3))}))

	// By two columns, one of them null, though the scan reads neither.
	names := arrow.NewSchema([]arrow.Field{{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true}, {Name: "ts", Type: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}, Nullable: true}}, nil)
	l.commit(writeAll(t, l.meta(), WriterOptions{}, orders(t, l.meta(), 3, func(i int, b *array.RecordBuilder) {
		b.Field(0).(*array.Int64Builder).Append(int64(100 + i))
		if i == 0 {
			b.Field(1).AppendNull()
		} else {
			b.Field(1).(*array.StringBuilder).Append([]string{"", "", "x"}[i])
		}
		b.Field(2).AppendNull()
	})), nil, nil)
	l.commit(nil, []iceberg.DataFile{equalityDelete(t, l, []int{2, 3}, iceberg.UnpartitionedSpec, nil, record(t, names, `[{"name": null, "ts": null}, {"name": "x", "ts": null}]`))}, nil)
	require.ElementsMatch(t, []int64{1, 4, 2, 3, 3, 5, 101}, l.ids(ScanOptions{Columns: []string{"id"}}))

	// Together with position deletes.
	for _, task := range l.tasks() {
		rows, _ := readAll(t, task.File, ReadOptions{Schema: l.meta().CurrentSchema()})
		if rows.Column(0).(*array.Int64).Value(0) == 1 {
			df, err := WritePositionDeletes(t.Context(), l.meta(), localFS, task.File, roaring64.BitmapOf(3))
			require.NoError(t, err)
			l.commit(nil, []iceberg.DataFile{df}, nil)
		}
	}
	require.ElementsMatch(t, []int64{1, 2, 3, 3, 5, 101}, l.ids(ScanOptions{Columns: []string{"id"}}))

	// The deletes hold on when the column they compare is dropped.
	tx := l.table().NewTransaction()
	require.NoError(t, tx.UpdateSchema(true, true).DeleteColumn([]string{"name"}).Commit())
	_, err := tx.Commit(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, l.meta().CurrentSchema().NumFields())
	require.ElementsMatch(t, []int64{1, 2, 3, 3, 5, 101}, l.ids(ScanOptions{}))
}

func TestScanAppliesEqualityDeletesWithinTheirPartition(t *testing.T) {
	spec := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{3}, FieldID: 1000, Name: "ts_day", Transform: iceberg.DayTransform{}})
	l := newLake(t, ordersSchema(), &spec, nil)
	l.append(ascending(0, 48)...) // two days of hours
	byName := arrow.NewSchema([]arrow.Field{{Name: "name", Type: arrow.BinaryTypes.String, Nullable: true}}, nil)
	l.commit(nil, []iceberg.DataFile{equalityDelete(t, l, []int{2}, &spec, map[int]any{1000: iceberg.Date(1)}, record(t, byName, `[{"name": "a name that takes some room"}]`))}, nil)
	require.ElementsMatch(t, ascending(0, 24), l.ids(ScanOptions{}))
}

// slowFS counts open files and fails on demand.
type slowFS struct {
	iceio.LocalFS
	mu         sync.Mutex
	open, most int
	total      int
	fail       string
}

type slowFile struct {
	iceio.File
	fs *slowFS
}

var errUnreachable = errors.New("store unreachable")

func (s *slowFS) Open(name string) (iceio.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == s.fail {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errUnreachable}
	}
	f, err := s.LocalFS.Open(name)
	if err != nil {
		return nil, err
	}
	s.open++
	s.total++
	s.most = max(s.most, s.open)
	return &slowFile{f, s}, nil
}

func (f *slowFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.fs.open--
	return f.File.Close()
}

func TestScanIsBoundedAndStops(t *testing.T) {
	l := newLake(t, ordersSchema(), nil, nil)
	for i := range int64(20) {
		l.append(ascending(i*100, 100)...)
	}
	tasks := l.tasks()
	store := &slowFS{}
	l.cat.fs = store
	scan := func(ctx context.Context, opts ScanOptions) array.RecordReader {
		opts.Files, opts.BatchRows = tasks, 10
		r, err := Scan(ctx, l.table(), opts)
		require.NoError(t, err)
		return r
	}
	drain := func(r array.RecordReader) (rows int64, err error) {
		defer r.Release()
		for r.Next() {
			rows += r.RecordBatch().NumRows()
		}
		return rows, r.Err()
	}

	rows, err := drain(scan(t.Context(), ScanOptions{Parallelism: 3}))
	require.NoError(t, err)
	require.EqualValues(t, 2000, rows)
	require.LessOrEqual(t, store.most, 3)
	require.Zero(t, store.open)

	store.total = 0
	rows, err = drain(scan(t.Context(), ScanOptions{Parallelism: 3, Limit: 15}))
	require.NoError(t, err)
	require.EqualValues(t, 15, rows)
	require.Less(t, store.total, 10, "a limit does not read all files")
	require.Zero(t, store.open)

	// Left halfway.
	r := scan(t.Context(), ScanOptions{Parallelism: 3})
	require.True(t, r.Next())
	r.Release()
	require.Zero(t, store.open)

	// Cancelled: an error, not a short result.
	ctx, cancel := context.WithCancel(t.Context())
	r = scan(ctx, ScanOptions{Parallelism: 2})
	require.True(t, r.Next())
	cancel()
	rows, err = drain(r)
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, rows, int64(2000))
	require.Zero(t, store.open)

	// A file that cannot be opened, and one that is not there.
	store.fail = tasks[7].File.FilePath()
	rows, err = drain(scan(t.Context(), ScanOptions{Parallelism: 4}))
	require.ErrorIs(t, err, errUnreachable)
	require.EqualValues(t, 700, rows)
	require.Zero(t, store.open)
	store.fail = ""
	require.NoError(t, os.Remove(tasks[3].File.FilePath()))
	_, err = drain(scan(t.Context(), ScanOptions{}))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// Rows of any Arrow type that Varve has come back as they were.
func TestRowsFiles(t *testing.T) {
	schema, err := arrowSchema(everyType())
	require.NoError(t, err)
	fields := []arrow.Field{}
	for _, f := range schema.Fields() {
		fields = append(fields, arrow.Field{Name: f.Name, Type: f.Type, Nullable: f.Nullable})
	}
	fields = append(fields, arrow.Field{Name: "ns", Type: &arrow.TimestampType{Unit: arrow.Nanosecond}, Nullable: true}, arrow.Field{Name: "nstz", Type: arrow.FixedWidthTypes.Timestamp_ns, Nullable: true})
	schema = arrow.NewSchema(fields, nil)
	rng := rand.New(rand.NewPCG(4, 4))
	var files []RowsFile
	var batches []arrow.RecordBatch
	for i, rows := range []int{1000, 0, 3, 200} {
		var mine []arrow.RecordBatch
		for at := 0; at < rows; at += 300 {
			mine = append(mine, randomBatch(t, rng, schema, min(300, rows-at)))
		}
		rdr, err := array.NewRecordReader(schema, mine)
		require.NoError(t, err)
		f, err := WriteRows(t.Context(), localFS, fmt.Sprintf("%s/rows-%d.parquet", t.TempDir(), i), rdr)
		require.NoError(t, err)
		require.EqualValues(t, rows, f.Rows)
		info, err := os.Stat(f.URI)
		require.NoError(t, err)
		require.Equal(t, info.Size(), f.Bytes)
		files, batches = append(files, f), append(batches, mine...)
	}
	want, err := concatBatches(batches)
	require.NoError(t, err)
	read := func(files []RowsFile, columns []string) (*arrow.Schema, arrow.RecordBatch) {
		r, err := OpenRows(t.Context(), localFS, files, columns)
		require.NoError(t, err)
		defer r.Release()
		var got []arrow.RecordBatch
		for r.Next() {
			r.RecordBatch().Retain()
			got = append(got, r.RecordBatch())
		}
		require.NoError(t, r.Err())
		if got == nil {
			return r.Schema(), nil
		}
		all, err := concatBatches(got)
		require.NoError(t, err)
		return r.Schema(), all
	}
	back, got := read(files, nil)
	for i, f := range schema.Fields() {
		require.True(t, arrow.TypeEqual(f.Type, back.Field(i).Type), "%s: %s", f, back.Field(i))
		require.Equal(t, f.Nullable, back.Field(i).Nullable)
	}
	requireSameBatch(t, want, got, "rows")
	_, got = read(files[2:], []string{"m", "i", "u"})
	require.EqualValues(t, 203, got.NumRows())
	require.Equal(t, "m", got.ColumnName(0))
	back, got = read(files[1:2], []string{"s"})
	require.Nil(t, got)
	require.Equal(t, arrow.BinaryTypes.String, back.Field(0).Type)

	_, err = OpenRows(t.Context(), localFS, files, []string{"nope"})
	require.ErrorContains(t, err, `column "nope"`)
	_, err = OpenRows(t.Context(), localFS, nil, nil)
	require.Error(t, err)
	_, err = OpenRows(t.Context(), localFS, []RowsFile{{URI: files[0].URI + ".gone"}}, nil)
	require.ErrorIs(t, err, fs.ErrNotExist)

	// A reader that fails leaves no file.
	path := t.TempDir() + "/failed.parquet"
	rdr := array.ReaderFromIter(schema, func(yield func(arrow.RecordBatch, error) bool) {
		_ = yield(batches[0], nil) && yield(nil, errUnreachable)
	})
	_, err = WriteRows(t.Context(), localFS, path, rdr)
	require.ErrorIs(t, err, errUnreachable)
	require.NoFileExists(t, path)
}

func TestScanRowLineage(t *testing.T) {
	l := newLake(t, ordersSchema(), nil, iceberg.Properties{"format-version": "3"})
	l.append(ascending(0, 30)...)
	l.append(ascending(100, 30)...)
	lineage := func(opts ScanOptions) map[int64][2]int64 {
		opts.Columns, opts.BatchRows = []string{"id", "_row_id", "_last_updated_sequence_number"}, 7
		r, err := Scan(t.Context(), l.table(), opts)
		require.NoError(t, err)
		defer r.Release()
		out := map[int64][2]int64{}
		for r.Next() {
			b := r.RecordBatch()
			for i := range int(b.NumRows()) {
				require.True(t, b.Column(1).IsValid(i) && b.Column(2).IsValid(i))
				out[b.Column(0).(*array.Int64).Value(i)] = [2]int64{b.Column(1).(*array.Int64).Value(i), b.Column(2).(*array.Int64).Value(i)}
			}
		}
		require.NoError(t, r.Err())
		return out
	}
	before := lineage(ScanOptions{})
	require.Len(t, before, 60)
	seen := map[int64]bool{}
	for id, v := range before {
		require.False(t, seen[v[0]], "row id %d is there twice", v[0])
		seen[v[0]] = true
		require.Equal(t, int64(1)+id/100, v[1])
	}
	require.Len(t, lineage(ScanOptions{Filter: iceberg.LessThan(iceberg.Reference("id"), int64(3))}), 3)

	// Rows 0 to 29 move to another file: row 5 changed, row 6 is gone, row 7000 is new.
	tasks, err := l.table().Scan(table.WithRowFilter(iceberg.LessThan(iceberg.Reference("id"), int64(100)))).PlanFiles(t.Context())
	require.NoError(t, err)
	require.Len(t, tasks, 1)
	moved, _ := readAll(t, tasks[0].File, ReadOptions{Schema: iceberg.SchemaWithRowLineage(l.meta().CurrentSchema()), FirstRowID: tasks[0].FirstRowID, SequenceNumber: tasks[0].DataSequenceNumber})
	b := array.NewRecordBuilder(allocator, moved.Schema())
	for i := range int(moved.NumRows()) {
		for c := range 5 {
			if i == 6 {
				continue
			}
			if i == 5 && c == 4 || i == 7 && c > 2 { // 7 makes way for a new row
				b.Field(c).AppendNull()
				continue
			}
			if i == 7 && c == 0 {
				b.Field(0).(*array.Int64Builder).Append(7000)
				continue
			}
			require.NoError(t, b.Field(c).AppendValueFromString(moved.Column(c).ValueStr(i)))
		}
	}
	files := writeAll(t, l.meta(), WriterOptions{RowLineage: true}, b.NewRecordBatch())
	tx := l.table().NewTransaction()
	require.NoError(t, tx.NewRewrite(nil).DeleteFile(tasks[0].File).AddDataFile(files[0]).Commit(t.Context()))
	_, err = tx.Commit(t.Context())
	require.NoError(t, err)
	after := lineage(ScanOptions{})
	require.Len(t, after, 59)
	for id, v := range after {
		switch id {
		case 5:
			require.Equal(t, before[5][0], v[0])
			require.EqualValues(t, 3, v[1])
		case 7000:
			require.False(t, seen[v[0]])
			require.EqualValues(t, 3, v[1])
		default:
			require.Equal(t, before[id], v, "row %d", id)
		}
	}

	v2 := newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, nil)
	_, err = NewWriter(t.Context(), v2, localFS, WriterOptions{RowLineage: true})
	require.ErrorContains(t, err, "format version 2 has no row lineage")
}
