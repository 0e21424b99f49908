package datafile

import (
	"bytes"
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// fragment is one row group, encoded in memory: as a Parquet file of its own, or as pieces of which each is a column chunk. Fragments are encoded on all cores and laid one
// behind the other by an assembler, which is how one file is written by many cores in order.
type fragment struct {
	file []byte
	rows int64
	nans map[int]int64 // by field id
	err  error
	// pieces, instead of file, are the column chunks of a row group that row describes. Those encoded here lie in chunks.
	row    *metadata.FileMetaData
	pieces []piece
	chunks *chunkBuffer
	// carried, instead of file, lies in another data file.
	carried *carried
}

// release gives back what the row group lay in, once it is in its file.
func (f *fragment) release() {
	f.carried.release()
	if f.chunks != nil {
		chunkBuffers.Put(f.chunks)
		f.chunks, f.pieces = nil, nil
	}
}

// encodeFragment encodes the rows of batches, whose schema is the layout's, as one row group. It does not release them.
func (l *layout) encodeFragment(ctx context.Context, batches []arrow.RecordBatch) fragment {
	columns, rows := columnsOf(batches, l.arrow.NumFields())
	return l.encodeColumns(ctx, columns, rows)
}

// encodeColumns is encodeFragment of columns in chunks.
func (l *layout) encodeColumns(ctx context.Context, columns [][]arrow.Array, rows int64) (f fragment) {
	defer func() {
		if r := recover(); r != nil { // arrow-go panics on what it cannot encode
			f = fragment{err: fmt.Errorf("encode row group: %v", r)}
		}
	}()
	if err := ctx.Err(); err != nil {
		return fragment{err: err}
	}
	f.rows, f.nans = rows, countNaNs(l.arrow, columns)
	var out bytes.Buffer
	options := []pqarrow.WriterOption{pqarrow.WithAllocator(allocator)}
	if l.storeSchema {
		options = append(options, pqarrow.WithStoreSchema())
	}
	indexed, schema, paths := l.withDictionaries(columns, rows)
	w, err := pqarrow.NewFileWriter(schema, &out, l.writerProperties(columns, f.rows, paths), pqarrow.NewArrowWriterProperties(options...))
	if err != nil {
		return fragment{err: fmt.Errorf("encode row group: %w", err)}
	}
	if err := writeColumns(ctx, w, schema, indexed, f.rows); err != nil {
		return fragment{err: err}
	}
	if err := w.Close(); err != nil {
		return fragment{err: fmt.Errorf("encode row group: %w", err)}
	}
	f.file = out.Bytes()
	if leaves, any := withEmpties(l.arrow, columns); any {
		if f.file, err = boundEmpties(f.file, leaves); err != nil {
			return fragment{err: fmt.Errorf("encode row group: %w", err)}
		}
	}
	return f
}

func writeColumns(ctx context.Context, w *pqarrow.FileWriter, schema *arrow.Schema, columns [][]arrow.Array, rows int64) error {
	if err := w.NewRowGroupChecked(); err != nil {
		return fmt.Errorf("begin row group: %w", err)
	}
	for i, chunks := range columns {
		if err := ctx.Err(); err != nil {
			return err
		}
		chunked := arrow.NewChunked(schema.Field(i).Type, chunks)
		err := w.WriteColumnChunked(chunked, 0, rows)
		chunked.Release()
		if err != nil {
			return fmt.Errorf("encode column %s: %w", schema.Field(i).Name, err)
		}
	}
	return nil
}
