package datafile

import (
	"context"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
)

// ReadOptions say what of a data file is read.
type ReadOptions struct {
	// Schema is the schema to project to, by field id.
	Schema *iceberg.Schema
	// Columns names the top-level columns of Schema to read, in this order; nil is all.
	Columns []string
	// Deleted holds positions to skip.
	Deleted *roaring64.Bitmap
	// RowGroups are the row groups to read; nil is all.
	RowGroups []int
	// Filter is evaluated exactly; row groups that cannot match are not read.
	Filter iceberg.BooleanExpression
	// Rows, if set, are the only positions to return; pages without any are not decoded.
	Rows *roaring64.Bitmap
	// BatchRows bounds the rows of a batch. Default: 65,536.
	BatchRows int
	// NameMapping gives field ids to files written without them.
	NameMapping iceberg.NameMapping
	// Spec is the partition spec of the file, so that identity columns absent from the file are filled from its partition.
	Spec *iceberg.PartitionSpec
}

// Reader gives the rows of one data file.
type Reader struct{}

// Open opens a data file for reading.
func Open(ctx context.Context, fs iceio.IO, file iceberg.DataFile, opts ReadOptions) (*Reader, error) {
	return nil, errNotYet
}

// Schema is the Arrow schema of the batches.
func (r *Reader) Schema() *arrow.Schema { return nil }

// Next advances to the next batch; false at the end or on an error.
func (r *Reader) Next() bool { return false }

// RecordBatch is the current batch, valid until the next call of Next.
func (r *Reader) RecordBatch() arrow.RecordBatch { return nil }

// Positions gives the positions in the file of the current batch's rows: first and nil when they are consecutive,
// else one position for each row.
func (r *Reader) Positions() (first int64, positions []int64) { return 0, nil }

// Err is the error that ended the rows early.
func (r *Reader) Err() error { return errNotYet }

// Release closes the file.
func (r *Reader) Release() {}
