package datafile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"
)

// WritePositionDeletes writes a format version 2 position-delete file for one data file, and describes it with that file's
// partition and spec, and with the file it refers to. Positions that a former delete file deletes need not be among them.
func WritePositionDeletes(ctx context.Context, meta table.Metadata, store iceio.WriteFileIO, dataFile iceberg.DataFile, positions *roaring64.Bitmap) (iceberg.DataFile, error) {
	df, err := writePositionDeletes(ctx, meta, store, dataFile, positions)
	if err != nil {
		return nil, fmt.Errorf("write position deletes of %s: %w", dataFile.FilePath(), err)
	}
	return df, nil
}

func writePositionDeletes(ctx context.Context, meta table.Metadata, store iceio.WriteFileIO, dataFile iceberg.DataFile, positions *roaring64.Bitmap) (iceberg.DataFile, error) {
	if meta.Version() != 2 {
		return nil, fmt.Errorf("format version %d has no position-delete files to add", meta.Version())
	}
	if positions == nil || positions.IsEmpty() {
		return nil, errors.New("no position to delete")
	}
	spec := meta.PartitionSpecByID(int(dataFile.SpecID()))
	if spec == nil {
		return nil, fmt.Errorf("partition spec %d is not in the table", dataFile.SpecID())
	}
	l, err := newLayoutOf(meta, iceberg.PositionalDeleteSchema, WriterOptions{})
	if err != nil {
		return nil, err
	}
	l.keyValues = append(l.keyValues, keyValue{"delete-type", "position"})
	uri := l.place("", uuid.NewString()+"-deletes.parquet")
	footer, size, err := l.writeFile(ctx, store, uri, positionDeleteBatches(l.arrow, dataFile.FilePath(), positions))
	if err != nil {
		return nil, err
	}
	path := dataFile.FilePath()
	return table.DataFileFromMetadata(table.DataFileArgs{
		Schema: iceberg.PositionalDeleteSchema, Spec: *spec, Format: iceberg.ParquetFile, Metadata: footer, FilePath: uri,
		FileSize: size, Content: iceberg.EntryContentPosDeletes, PartitionValues: presentValues(dataFile.Partition()),
		FormatVersion: meta.Version(), ReferencedDataFile: &path,
	})
}

// presentValues leaves out null partition values, which iceberg-go takes as not known.
func presentValues(partition map[int]any) map[int]any {
	out := map[int]any{}
	for id, v := range partition {
		if v != nil {
			out[id] = v
		}
	}
	return out
}

// positionDeleteBatches are rows of (path, position), ascending, a row group each.
func positionDeleteBatches(schema *arrow.Schema, path string, positions *roaring64.Bitmap) iter.Seq[arrow.RecordBatch] {
	return func(yield func(arrow.RecordBatch) bool) {
		b := array.NewRecordBuilder(allocator, schema)
		defer b.Release()
		paths, rows := b.Field(0).(*array.StringBuilder), b.Field(1).(*array.Int64Builder)
		it := positions.Iterator()
		for it.HasNext() {
			for n := 0; n < defaultRowGroupRows && it.HasNext(); n++ {
				paths.Append(path)
				rows.Append(int64(it.Next()))
			}
			if !yield(b.NewRecordBatch()) {
				return
			}
		}
	}
}

// writeFile writes batches as one file, a row group each, and releases them. The bytes are on disk when it returns; after an
// error there is no file.
func (l *layout) writeFile(ctx context.Context, store iceio.WriteFileIO, uri string, batches iter.Seq[arrow.RecordBatch]) (*metadata.FileMetaData, int64, error) {
	sink, err := store.Create(uri)
	if err != nil {
		return nil, 0, err
	}
	footer, size, err := l.fill(ctx, sink, batches)
	if err = conclude(sink, err); err == nil {
		err = syncDirectories([]string{uri}, l.location)
	}
	if err != nil {
		return nil, 0, errors.Join(err, removeIfThere(store, uri))
	}
	return footer, size, nil
}

func (l *layout) fill(ctx context.Context, sink iceio.FileWriter, batches iter.Seq[arrow.RecordBatch]) (footer *metadata.FileMetaData, size int64, err error) {
	out := bufio.NewWriterSize(sink, 256<<10)
	a, err := newAssembler(out)
	if err != nil {
		return nil, 0, err
	}
	for b := range batches {
		f := l.encodeFragment(ctx, []arrow.RecordBatch{b})
		b.Release()
		if f.err != nil {
			return nil, 0, f.err
		}
		if err := a.add(f.file); err != nil {
			return nil, 0, err
		}
	}
	if footer, err = a.finish(l.keyValues); err != nil {
		return nil, 0, err
	}
	return footer, a.size(), out.Flush()
}

func removeIfThere(store iceio.IO, uri string) error {
	if err := store.Remove(uri); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
