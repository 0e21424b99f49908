package simulation

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/fault"
)

const anotherEngine = "deletes of another engine"

// foreign deletes the rows of some keys as other engines do in format 2: by position deletes that come beside those that are
// there, a file for each data file, or one for several.
func (s *sim) foreign(writer string, i int, rng *rand.Rand) *operation {
	op := &operation{kind: anotherEngine, writer: writer, token: fmt.Sprintf("%s-%d", writer, i)}
	gone := map[int64]bool{}
	for _, k := range rng.Perm(keys)[:1+rng.IntN(3)] {
		gone[int64(k)] = true
	}
	together := rng.IntN(2) == 0
	time.Sleep(time.Duration(rng.Int64N(int64(3 * olderThan))))
	if s.catalog.current().Version() > 2 {
		return nil
	}
	op.effect = func(now state) state { return now.with(now.without(func(r row) bool { return gone[r.k] })) }
	op.sends = withoutSummaryToken // its snapshots tell nothing of Varve's; that it is made once, a property sees to
	op.do = func(p *process) (bool, error) {
		return p.planned(func(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
			return (&engine{head: head, gone: gone, together: together}).change(ctx)
		})
	}
	return op
}

var errFormat = errors.New("position deletes are of format 2")

// engine plans a delete at a head.
type engine struct {
	head     *table.Table
	gone     map[int64]bool
	together bool
	store    iceio.WriteFileIO
}

func (e *engine) change(ctx context.Context) (*commit.Change, error) {
	if e.head.CurrentSnapshot() == nil {
		return nil, nil
	}
	if e.head.Metadata().Version() > 2 {
		return nil, fault.New(fault.ErrDenied, "delete", errFormat)
	}
	fs, err := e.head.FS(ctx)
	if err != nil {
		return nil, err
	}
	e.store = fs.(iceio.WriteFileIO)
	tasks, err := e.head.Scan().PlanFiles(ctx)
	if err != nil {
		return nil, err
	}
	files := map[string][]iceberg.DataFile{} // of which one file of deletes is
	positions := map[string]*roaring64.Bitmap{}
	for _, task := range tasks {
		path := task.File.FilePath()
		if positions[path], err = e.positions(ctx, task); err != nil {
			return nil, err
		}
		of := path
		if e.together {
			of = datafile.PartitionKey(int(task.File.SpecID()), task.File.Partition())
		}
		if !positions[path].IsEmpty() {
			files[of] = append(files[of], task.File)
		}
	}
	change := &commit.Change{Operation: commit.RowDelta}
	for _, of := range slices.Sorted(maps.Keys(files)) {
		deletes, err := e.write(ctx, files[of], positions)
		if err != nil {
			return nil, err
		}
		change.AddDeletes = append(change.AddDeletes, deletes)
	}
	return change, nil
}

// positions are where in a file its live rows of the keys are.
func (e *engine) positions(ctx context.Context, task table.FileScanTask) (*roaring64.Bitmap, error) {
	before, err := datafile.Deletes(ctx, e.store, task)
	if err != nil {
		return nil, err
	}
	whole := table.FileScanTask{File: task.File, Length: task.File.FileSizeBytes()}
	rows, err := rowsInOrder(e.head, datafile.ScanOptions{Files: []table.FileScanTask{whole}})
	if err != nil {
		return nil, err
	}
	out := roaring64.New()
	for i, r := range rows {
		if e.gone[r.k] && (before == nil || !before.Contains(uint64(i))) {
			out.Add(uint64(i))
		}
	}
	return out, nil
}

// write writes a file of deletes, of one data file as Varve does, and of several as a file that names none.
func (e *engine) write(ctx context.Context, files []iceberg.DataFile, positions map[string]*roaring64.Bitmap) (iceberg.DataFile, error) {
	if !e.together {
		return datafile.WritePositionDeletes(ctx, e.head.Metadata(), e.store, files[0], positions[files[0].FilePath()])
	}
	id := func(n int) arrow.Metadata {
		return arrow.MetadataFrom(map[string]string{"PARQUET:field_id": fmt.Sprint(n)})
	}
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "file_path", Type: arrow.BinaryTypes.String, Metadata: id(2147483546)},
		{Name: "pos", Type: arrow.PrimitiveTypes.Int64, Metadata: id(2147483545)},
	}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	slices.SortFunc(files, func(x, y iceberg.DataFile) int { return cmp.Compare(x.FilePath(), y.FilePath()) })
	for _, f := range files {
		for _, at := range positions[f.FilePath()].ToArray() {
			b.Field(0).(*array.StringBuilder).Append(f.FilePath())
			b.Field(1).(*array.Int64Builder).Append(int64(at))
		}
	}
	rows := b.NewRecordBatch()
	var content bytes.Buffer
	w, err := pqarrow.NewFileWriter(schema, &content, parquet.NewWriterProperties(), pqarrow.DefaultWriterProps())
	if err != nil {
		return nil, err
	}
	if err := errors.Join(w.Write(rows), w.Close()); err != nil {
		return nil, err
	}
	path := location + "/data/" + uuid.NewString() + "-deletes.parquet"
	if err := e.store.WriteFile(path, content.Bytes()); err != nil {
		return nil, err
	}
	spec := e.head.Metadata().PartitionSpecByID(int(files[0].SpecID()))
	d, err := iceberg.NewDataFileBuilder(*spec, iceberg.EntryContentPosDeletes, path, iceberg.ParquetFile, files[0].Partition(), nil, nil, rows.NumRows(), int64(content.Len()))
	if err != nil {
		return nil, err
	}
	return d.Build(), nil
}
