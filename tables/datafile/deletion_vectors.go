package datafile

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/apache/iceberg-go/table/dv"
	"github.com/google/uuid"
)

// VectorDelete names the rows of one data file that a deletion vector is to delete.
type VectorDelete struct {
	DataFile iceberg.DataFile
	// Positions are all deleted positions, those of a former deletion vector or position deletes included: a data file has one
	// vector, and whoever commits this one removes the former in the same snapshot.
	Positions *roaring64.Bitmap
}

// WriteDeletionVectors writes one Puffin file that holds a deletion vector for each data file (format version 3). It gives one
// entry for each, in order.
func WriteDeletionVectors(ctx context.Context, meta table.Metadata, fs iceio.WriteFileIO, deletes []VectorDelete) ([]iceberg.DataFile, error) {
	out, err := writeDeletionVectors(ctx, meta, fs, deletes)
	if err != nil {
		return nil, fmt.Errorf("write deletion vectors: %w", err)
	}
	return out, nil
}

func writeDeletionVectors(ctx context.Context, meta table.Metadata, fs iceio.WriteFileIO, deletes []VectorDelete) ([]iceberg.DataFile, error) {
	if meta.Version() < 3 {
		return nil, fmt.Errorf("format version %d has none", meta.Version())
	}
	if len(deletes) == 0 {
		return nil, errors.New("no data file to delete from")
	}
	l, err := newLayout(meta, WriterOptions{})
	if err != nil {
		return nil, err
	}
	w := dv.NewDVWriter(fs, func(id int32) *iceberg.PartitionSpec { return meta.PartitionSpecByID(int(id)) })
	seen := map[string]bool{}
	for _, d := range deletes {
		path := d.DataFile.FilePath()
		if seen[path] {
			return nil, fmt.Errorf("two vectors for %s", path)
		}
		seen[path] = true
		if d.Positions == nil || d.Positions.IsEmpty() {
			return nil, fmt.Errorf("no position of %s to delete", path)
		}
		bitmap, err := toVector(d.Positions)
		if err != nil {
			return nil, err
		}
		w.Load(path, bitmap, d.DataFile.SpecID(), d.DataFile.Partition())
	}
	uri := l.place("", uuid.NewString()+"-deletes.puffin")
	out, err := w.Flush(ctx, uri)
	if err != nil {
		return nil, err
	}
	return out, syncWritten(uri, l.location)
}

// toVector converts a bitmap by way of the portable form that both libraries write.
func toVector(positions *roaring64.Bitmap) (*dv.RoaringPositionBitmap, error) {
	var portable bytes.Buffer
	if _, err := positions.WriteTo(&portable); err != nil {
		return nil, err
	}
	return dv.DeserializeRoaringPositionBitmap(portable.Bytes())
}

// syncWritten makes a local file durable that was written through a file system without a say in it.
func syncWritten(uri, table string) error {
	path, ok := localPath(uri)
	if !ok {
		return nil
	}
	if err := syncDirectory(path); err != nil { // a file syncs as a folder does
		return fmt.Errorf("sync %s: %w", uri, err)
	}
	return syncDirectories([]string{uri}, table)
}
