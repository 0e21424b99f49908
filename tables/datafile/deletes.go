package datafile

import (
	"context"
	"errors"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

var errNotYet = errors.New("datafile: not built yet")

// Deletes returns the positions of task's data file that its position deletes and deletion vectors delete.
// It never returns nil without an error.
func Deletes(ctx context.Context, fs iceio.IO, task table.FileScanTask) (*roaring64.Bitmap, error) {
	return nil, errNotYet
}

// WritePositionDeletes writes a format version 2 position-delete file for one data file.
func WritePositionDeletes(ctx context.Context, meta table.Metadata, fs iceio.WriteFileIO, dataFile iceberg.DataFile, positions *roaring64.Bitmap) (iceberg.DataFile, error) {
	return nil, errNotYet
}

// VectorDelete names the rows of one data file that a deletion vector is to delete.
type VectorDelete struct {
	DataFile iceberg.DataFile
	// Positions are all deleted positions, those of a former deletion vector included: a data file has one vector.
	Positions *roaring64.Bitmap
}

// WriteDeletionVectors writes one Puffin file that holds a deletion vector for each data file (format version 3).
func WriteDeletionVectors(ctx context.Context, meta table.Metadata, fs iceio.WriteFileIO, deletes []VectorDelete) ([]iceberg.DataFile, error) {
	return nil, errNotYet
}
