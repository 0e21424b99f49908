package datafile

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/cache"
)

// ScanOptions say what of a table is read.
type ScanOptions struct {
	// SnapshotID is the snapshot to read, with the schema it has; nil is the current one, with the table's current schema.
	SnapshotID *int64
	// Columns names the top-level columns to read, in this order; nil is all. On a table of format version 3 _row_id and
	// _last_updated_sequence_number can be named too.
	Columns []string
	// Filter is evaluated exactly.
	Filter iceberg.BooleanExpression
	// Limit ends the scan after this many rows; zero is no limit.
	Limit int64
	// Parallelism is the number of files read at once. Default: GOMAXPROCS.
	Parallelism int
	// Files are the tasks to read instead of planning them; nil plans. They are read in this order.
	Files []table.FileScanTask
	// BatchRows bounds the rows of a batch. Default: 65,536.
	BatchRows int
	// Schema is the schema to read with; nil is the one that SnapshotID says.
	Schema *iceberg.Schema
	// Dictionaries asks for texts that lie in dictionary encoding as arrays of arrow's dictionary type, so that batches need not be
	// of the reader's schema. It is for scans without a Filter.
	Dictionaries bool
	// ValidTexts ends the scan with a *TextError at a text that is not UTF-8.
	ValidTexts bool
	// Cache keeps what is read of files beside their rows; nil keeps nothing.
	Cache *cache.Cache
	// Counters, if set, count what is read and left out.
	Counters *Counters
}

// leastBatch is for how few rows a batch is made: where many are deleted, many batches would be.
const leastBatch = 1024

// scan is what all files of a scan share.
type scan struct {
	fs      iceio.IO
	meta    table.Metadata
	schema  *iceberg.Schema
	opts    ScanOptions
	deletes *deleteFiles
	equal   *equalityDeletes
	columns int // decoded at once in each file
}

// Scan reads the rows of a table, files in parallel but in order, deletes applied. At any time there are at most Parallelism
// open files, of each of which a few batches wait. Cancelling ctx ends it; Release does too.
func Scan(ctx context.Context, tbl *table.Table, opts ScanOptions) (array.RecordReader, error) {
	r, err := newScan(ctx, tbl, opts)
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	return r, nil
}

func newScan(ctx context.Context, tbl *table.Table, opts ScanOptions) (array.RecordReader, error) {
	fs, err := tbl.FS(ctx)
	if err != nil {
		return nil, err
	}
	tasks, schema, err := planScan(ctx, tbl, opts)
	if err != nil {
		return nil, err
	}
	if opts.Parallelism <= 0 {
		opts.Parallelism = runtime.GOMAXPROCS(0)
	}
	if opts.Filter == nil && opts.Limit > 0 && opts.Limit < defaultBatchRows && opts.BatchRows == 0 {
		opts.BatchRows = max(int(opts.Limit), leastBatch) // few more are decoded than are given
	}
	s := &scan{
		fs: fs, meta: tbl.Metadata(), schema: schema, opts: opts,
		deletes: newDeleteFiles(fs, tasks).keptIn(opts.Cache), equal: newEqualityDeletes(fs, tbl.Metadata(), schema),
		columns: max(1, opts.Parallelism/max(1, len(tasks))),
	}
	selected := schema
	if opts.Columns != nil {
		if selected, err = selectColumns(schema, opts.Columns); err != nil {
			return nil, err
		}
	}
	if _, err := bindFilter(schema, opts.Filter); err != nil { // also where there is no file to find it out
		return nil, err
	}
	arrowSchema, err := table.SchemaToArrowSchema(selected, nil, false, false)
	if err != nil {
		return nil, err
	}
	return readOrdered(ctx, orderedOptions{
		schema: arrowSchema, files: len(tasks), parallelism: opts.Parallelism, limit: opts.Limit, what: "scan",
		read: func(ctx context.Context, i int, each func(arrow.RecordBatch) error) error {
			return s.readFile(ctx, tasks[i], each)
		},
	}), nil
}

// planScan finds the files to read and the schema to read them with.
func planScan(ctx context.Context, tbl *table.Table, opts ScanOptions) ([]table.FileScanTask, *iceberg.Schema, error) {
	if opts.Schema != nil && opts.Files != nil {
		return opts.Files, withLineage(tbl.Metadata(), opts.Schema, opts.Columns), nil
	}
	var options []table.ScanOption
	if opts.SnapshotID != nil {
		options = append(options, table.WithSnapshotID(*opts.SnapshotID))
	}
	filter, err := PlanFilter(tbl.Metadata(), opts.Filter)
	if err != nil {
		return nil, nil, err
	}
	if filter != nil {
		options = append(options, table.WithRowFilter(filter))
	}
	planner := tbl.Scan(options...)
	defer planner.Close()
	schema, err := planner.Projection()
	if err != nil {
		return nil, nil, err
	}
	if opts.Schema != nil {
		schema = opts.Schema
	}
	schema = withLineage(tbl.Metadata(), schema, opts.Columns)
	if opts.Files != nil {
		return opts.Files, schema, nil
	}
	tasks, err := planner.PlanFiles(ctx)
	return tasks, schema, err
}

// withLineage adds the columns of row lineage where they are asked for and the table has them.
func withLineage(meta table.Metadata, schema *iceberg.Schema, columns []string) *iceberg.Schema {
	if meta.Version() >= 3 && (slices.Contains(columns, iceberg.RowIDColumnName) || slices.Contains(columns, iceberg.LastUpdatedSequenceNumberColumnName)) {
		return iceberg.SchemaWithRowLineage(schema)
	}
	return schema
}

// readFile calls each with the batches of a file's rows that are not deleted.
func (s *scan) readFile(ctx context.Context, task table.FileScanTask, each func(arrow.RecordBatch) error) error {
	opts := ReadOptions{
		Schema: s.schema, Columns: s.opts.Columns, Filter: s.opts.Filter, BatchRows: s.opts.BatchRows,
		NameMapping: s.meta.NameMapping(), Spec: s.meta.PartitionSpecByID(int(task.File.SpecID())), Parallelism: s.columns,
		Offset: task.Start, Length: task.Length, FirstRowID: task.FirstRowID, SequenceNumber: task.DataSequenceNumber,
		Cache: s.opts.Cache, Counters: s.opts.Counters, ValidTexts: s.opts.ValidTexts,
	}
	if s.opts.Filter != nil && !MayHold(ctx, s.fs, task.File, opts) {
		return nil
	}
	deleted, err := s.deletes.positions(ctx, task)
	if err != nil {
		return err
	}
	if !deleted.IsEmpty() {
		opts.Deleted = deleted
	}
	if len(task.EqualityDeleteFiles) > 0 {
		return s.equal.read(ctx, task, opts, each)
	}
	opts.Dictionaries = s.opts.Dictionaries && opts.Filter == nil
	r, err := Open(ctx, s.fs, task.File, opts)
	if err != nil {
		return err
	}
	defer r.Release()
	for r.Next() {
		if err := each(r.RecordBatch()); err != nil {
			return err
		}
	}
	return r.Err()
}
