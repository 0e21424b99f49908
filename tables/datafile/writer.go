package datafile

import (
	"context"
	"errors"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

var errNotYet = errors.New("datafile: not built yet")

// WriterOptions tune a Writer; zero values mean the table's properties, then this package's defaults.
type WriterOptions struct {
	// TargetFileSize is where a file is closed and the next begun, in bytes. Default: write.target-file-size-bytes, 512 MiB.
	TargetFileSize int64
	// RowGroupRows is the number of rows in a row group. Default: 131,072.
	RowGroupRows int
	// MemoryLimit bounds the rows buffered before they are sorted and written, over all partitions. Default: 256 MiB.
	MemoryLimit int64
	// Prefix begins the name of every file written, before a uuid of the writer's own.
	Prefix string
	// Parallelism is the number of files encoded at once. Default: GOMAXPROCS.
	Parallelism int
}

// Writer writes batches as Parquet data files in the table's current layout.
type Writer struct{}

// NewWriter returns a Writer for the table that meta describes.
func NewWriter(ctx context.Context, meta table.Metadata, fs iceio.WriteFileIO, opts WriterOptions) (*Writer, error) {
	return nil, errNotYet
}

// Write adds a batch whose columns are those of the table's current schema, in order.
func (w *Writer) Write(batch arrow.RecordBatch) error { return errNotYet }

// Close writes what is buffered and returns all data files, described for a manifest. Nothing is committed.
func (w *Writer) Close() ([]iceberg.DataFile, error) { return nil, errNotYet }

// Abort removes the files this writer wrote, and no others.
func (w *Writer) Abort() error { return errNotYet }
