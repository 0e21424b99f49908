package merge

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
)

// batchRows is how many rows are worked on at a time.
const batchRows = 1 << 16

// rowsOf is batchRows for so many columns: of wide tables fewer rows, so that a batch takes some 32 MB at most.
func rowsOf(columns int) int {
	const batchBytes, columnBytes = 32 << 20, 16 // a text has more, and few columns are texts
	return min(max(batchBytes/(columnBytes*max(columns, 1)), 1<<10), batchRows)
}

// reader opens the table's data files for a merge.
type reader struct {
	fs     iceio.IO
	meta   table.Metadata
	schema *iceberg.Schema // with row lineage where the format has it
}

// newReader reads from the table's store; the bytes are added to read.
func newReader(ctx context.Context, head *table.Table, read *atomic.Int64) (*reader, error) {
	fs, err := head.FS(ctx)
	if err != nil {
		return nil, err
	}
	r := &reader{fs: metered(fs, read), meta: head.Metadata(), schema: head.Schema()}
	if r.meta.Version() >= 3 {
		r.schema = iceberg.SchemaWithRowLineage(r.schema)
	}
	return r, nil
}

// targetFile is a data file and the positions in it that are deleted already.
type targetFile struct {
	task    table.FileScanTask
	deleted *roaring64.Bitmap
	state   *fileState
}

func (r *reader) file(ctx context.Context, task table.FileScanTask) (*targetFile, error) {
	f := &targetFile{task: task}
	if task.File.Count() > math.MaxUint32-1 {
		return nil, fmt.Errorf("%s has more rows than can be merged into", task.File.FilePath())
	}
	var err error
	if f.deleted, err = r.deleted(ctx, task); err != nil {
		return nil, fmt.Errorf("deletes of %s: %w", task.File.FilePath(), err)
	}
	return f, nil
}

// block is a batch of a data file's rows, with their positions.
type block struct {
	*frame
	positions []uint32
}

// scan reads columns of a file's live rows, in order of position. Names get a
// prefix; rows, if not nil, are the only positions that are read. A column may
// be asked for twice. What do gets is valid during the call.
func (r *reader) scan(ctx context.Context, f *targetFile, prefix string, columns []string, rows *roaring64.Bitmap, do func(block) error) error {
	err := r.scanFile(ctx, f, prefix, columns, datafile.ReadOptions{Rows: rows}, do)
	return readError(f, err)
}

// scanGroup is scan of one row group. Other ones are read at the same time, so
// its columns are not.
func (r *reader) scanGroup(ctx context.Context, f *targetFile, group int, prefix string, columns []string, do func(block) error) error {
	err := r.scanFile(ctx, f, prefix, columns, datafile.ReadOptions{RowGroups: []int{group}, Parallelism: 1}, do)
	return readError(f, err)
}

func readError(f *targetFile, err error) error {
	if err != nil && !errors.As(err, new(*CardinalityError)) {
		return fmt.Errorf("read %s: %w", f.task.File.FilePath(), err)
	}
	return err
}

func (r *reader) scanFile(ctx context.Context, f *targetFile, prefix string, columns []string, opts datafile.ReadOptions, do func(block) error) error {
	var once []string
	for _, c := range columns {
		if !slices.Contains(once, c) {
			once = append(once, c)
		}
	}
	opts.Schema, opts.Columns, opts.Deleted = r.schema, once, f.deleted
	opts.BatchRows, opts.NameMapping, opts.Spec = rowsOf(len(once)), r.meta.NameMapping(), r.meta.PartitionSpecByID(int(f.task.File.SpecID()))
	rd, err := datafile.Open(ctx, r.fs, f.task.File, opts)
	if err != nil {
		return err
	}
	defer rd.Release()
	var own []uint32
	for rd.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		batch := rd.RecordBatch()
		n := int(batch.NumRows())
		first, positions := rd.Positions()
		own = slices.Grow(own[:0], n)[:n]
		for i := range own {
			if positions == nil {
				own[i] = uint32(first + int64(i))
			} else {
				own[i] = uint32(positions[i])
			}
		}
		b := block{frame: newFrame(n), positions: own}
		for _, c := range columns {
			b.names = append(b.names, prefix+c)
			b.columns = append(b.columns, batch.Column(slices.Index(once, c)))
		}
		if err := do(b); err != nil {
			return err
		}
	}
	return rd.Err()
}

// bitmapOf is the set of ascending positions.
func bitmapOf(positions []uint32) *roaring64.Bitmap {
	out := roaring64.New()
	wide := make([]uint64, 0, min(len(positions), batchRows))
	for _, p := range positions {
		wide = append(wide, uint64(p))
		if len(wide) == cap(wide) {
			out.AddMany(wide)
			wide = wide[:0]
		}
	}
	out.AddMany(wide)
	return out
}

// columnNames lists a schema's columns.
func columnNames(s *arrow.Schema) []string {
	out := make([]string, s.NumFields())
	for i, f := range s.Fields() {
		out[i] = f.Name
	}
	return out
}
