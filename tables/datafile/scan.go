package datafile

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// ScanOptions say what of a table is read.
type ScanOptions struct {
	// SnapshotID is the snapshot to read; nil is the current one.
	SnapshotID *int64
	// Columns names the top-level columns to read, in this order; nil is all.
	Columns []string
	// Filter is evaluated exactly.
	Filter iceberg.BooleanExpression
	// Limit ends the scan after this many rows; zero is no limit.
	Limit int64
	// Parallelism is the number of files read at once. Default: GOMAXPROCS.
	Parallelism int
	// Files are the tasks to read instead of planning them; nil plans.
	Files []table.FileScanTask
}

// Scan reads the rows of a table, files in parallel but in order, deletes applied.
func Scan(ctx context.Context, tbl *table.Table, opts ScanOptions) (array.RecordReader, error) {
	return nil, errNotYet
}
