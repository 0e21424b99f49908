package datafile

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow/array"
	iceio "github.com/apache/iceberg-go/io"
)

// RowsFile names a staged file of rows, written by WriteRows.
type RowsFile struct {
	URI   string `json:"uri"`
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"`
}

// WriteRows writes all rows of rdr to a plain Parquet file, lossless for all of Varve's Arrow types.
func WriteRows(ctx context.Context, fs iceio.WriteFileIO, uri string, rdr array.RecordReader) (RowsFile, error) {
	return RowsFile{}, errNotYet
}

// OpenRows reads files of WriteRows one after the other; columns nil is all.
func OpenRows(ctx context.Context, fs iceio.IO, files []RowsFile, columns []string) (array.RecordReader, error) {
	return nil, errNotYet
}
