package datafile

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	iceio "github.com/apache/iceberg-go/io"
)

// RowsFile names a staged file of rows, written by WriteRows.
type RowsFile struct {
	URI   string `json:"uri"`
	Rows  int64  `json:"rows"`
	Bytes int64  `json:"bytes"`
}

// rowsGroupBytes ends a row group of staged rows, in memory; rows that wide are read back in small batches.
const rowsGroupBytes = 64 << 20

// WriteRows writes all rows of rdr to a plain Parquet file, lossless for all of Varve's Arrow types. After an error there is
// no file. It does not release rdr.
func WriteRows(ctx context.Context, store iceio.WriteFileIO, uri string, rdr array.RecordReader) (RowsFile, error) {
	out, err := writeRows(ctx, store, uri, rdr)
	if err != nil {
		return RowsFile{}, fmt.Errorf("write rows to %s: %w", uri, err)
	}
	return out, nil
}

func writeRows(ctx context.Context, store iceio.WriteFileIO, uri string, rdr array.RecordReader) (RowsFile, error) {
	sink, err := store.Create(uri)
	if err != nil {
		return RowsFile{}, err
	}
	out := RowsFile{URI: uri}
	out.Rows, out.Bytes, err = encodeRows(ctx, sink, rdr)
	if err = conclude(sink, err); err == nil {
		err = syncDirectories([]string{uri}, uri)
	}
	if err != nil {
		return RowsFile{}, errors.Join(err, removeIfThere(store, uri))
	}
	return out, nil
}

// encodeRows encodes row groups on all cores and lays them into sink in order.
func encodeRows(ctx context.Context, sink iceio.FileWriter, rdr array.RecordReader) (rows, bytes int64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l := rowsLayout(rdr.Schema())
	out := bufio.NewWriterSize(sink, 256<<10)
	a, err := newAssembler(out)
	if err != nil {
		return 0, 0, err
	}
	queue, done := make(chan chan fragment, runtime.GOMAXPROCS(0)), make(chan error, 1)
	go func() {
		var failed error
		for encoded := range queue {
			f := <-encoded
			if failed == nil {
				failed = f.err
			}
			if failed == nil {
				rows += f.rows
				failed = a.add(f.file)
			}
			if failed != nil {
				cancel(failed)
			}
		}
		done <- failed
	}()
	readErr := l.feed(ctx, rdr, queue)
	close(queue)
	if err := errors.Join(<-done, readErr); err != nil {
		return 0, 0, err
	}
	if a.rowGroups() == 0 { // the schema is worth a file too
		f := l.encodeFragment(ctx, nil)
		if f.err != nil {
			return 0, 0, f.err
		}
		if err := a.add(f.file); err != nil {
			return 0, 0, err
		}
	}
	if _, err := a.finish(nil); err != nil {
		return 0, 0, err
	}
	return rows, a.size(), out.Flush()
}

// feed sends a reader's rows to be encoded, a row group each.
func (l *layout) feed(ctx context.Context, rdr array.RecordReader, queue chan<- chan fragment) error {
	var batches []arrow.RecordBatch
	var rows, bytes int64
	send := func() error {
		group := batches
		batches, rows, bytes = nil, 0, 0
		encoded := make(chan fragment, 1)
		go func() {
			f := l.encodeFragment(ctx, group)
			for _, b := range group {
				b.Release()
			}
			encoded <- f
		}()
		select {
		case queue <- encoded:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	for rdr.Next() {
		b := rdr.RecordBatch()
		if b.NumRows() == 0 {
			continue
		}
		b.Retain()
		batches = append(batches, b)
		rows += b.NumRows()
		bytes += batchBytes(b)
		if rows >= l.rowGroupRows || bytes >= rowsGroupBytes {
			if err := send(); err != nil {
				return err
			}
		}
	}
	if err := rdr.Err(); err != nil {
		for _, b := range batches {
			b.Release()
		}
		return err
	}
	if len(batches) == 0 {
		return nil
	}
	return send()
}

// rowsLayout is how staged rows are written: fast, and with their Arrow types in the footer.
func rowsLayout(schema *arrow.Schema) *layout {
	return &layout{
		arrow: schema, storeSchema: true, codec: compress.Codecs.Zstd, level: 1, rowGroupRows: defaultRowGroupRows,
		pageBytes: 1 << 20, dictBytes: 1 << 20, bloomMaxBytes: 1 << 10,
	}
}

// OpenRows reads files of WriteRows one after the other; columns nil is all. All files have one schema, the first one's.
func OpenRows(ctx context.Context, store iceio.IO, files []RowsFile, columns []string) (array.RecordReader, error) {
	if len(files) == 0 {
		return nil, errors.New("open rows: no file, and so no schema")
	}
	var schema *arrow.Schema
	err := eachRow(ctx, store, files[0].URI, columns, func(s *arrow.Schema) { schema = s }, nil)
	if err != nil {
		return nil, fmt.Errorf("open rows: %w", err)
	}
	return readOrdered(ctx, orderedOptions{
		what: "read rows", schema: schema, files: len(files), parallelism: runtime.GOMAXPROCS(0),
		read: func(ctx context.Context, i int, each func(arrow.RecordBatch) error) error {
			return eachRow(ctx, store, files[i].URI, columns, nil, func(b arrow.RecordBatch) error {
				same, err := conformBatch(ctx, b, schema)
				if err != nil {
					return fmt.Errorf("%s: %w", files[i].URI, err)
				}
				defer same.Release()
				return each(same)
			})
		},
	}), nil
}

// eachRow opens a file of rows, tells its schema, and calls each with its batches, if there is an each.
func eachRow(ctx context.Context, store iceio.IO, uri string, columns []string, tell func(*arrow.Schema), each func(arrow.RecordBatch) error) error {
	source, err := store.Open(uri)
	if err != nil {
		return err
	}
	defer source.Close()
	return protect(func() error {
		if err := readRows(ctx, source, columns, tell, each); err != nil {
			return fmt.Errorf("%s: %w", uri, err)
		}
		return nil
	})
}

func readRows(ctx context.Context, source iceio.File, columns []string, tell func(*arrow.Schema), each func(arrow.RecordBatch) error) error {
	reader, err := file.NewParquetReader(source)
	if err != nil {
		return err
	}
	rows, err := pqarrow.NewFileReader(reader, pqarrow.ArrowReadProperties{BatchSize: defaultBatchRows}, allocator)
	if err != nil {
		return err
	}
	whole, err := rows.Schema()
	if err != nil {
		return err
	}
	leaves, schema, err := rowsColumns(rows.Manifest, whole, columns)
	if err != nil {
		return err
	}
	if tell != nil {
		tell(schema)
	}
	if each == nil || reader.NumRows() == 0 {
		return nil
	}
	if len(leaves) == 0 {
		return each(array.NewRecordBatch(schema, nil, reader.NumRows()))
	}
	rr, err := rows.GetRecordReader(ctx, leaves, nil)
	if err != nil {
		return err
	}
	defer rr.Release()
	for rr.Next() {
		b := rr.RecordBatch()
		ordered := make([]arrow.Array, schema.NumFields())
		for i, f := range schema.Fields() {
			ordered[i] = b.Column(b.Schema().FieldIndices(f.Name)[0])
		}
		out := array.NewRecordBatch(schema, ordered, b.NumRows())
		err := each(out)
		out.Release()
		if err != nil {
			return err
		}
	}
	if err := rr.Err(); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// rowsColumns finds the Parquet columns of the columns asked for, and their schema in the order asked for.
func rowsColumns(manifest *pqarrow.SchemaManifest, whole *arrow.Schema, columns []string) ([]int, *arrow.Schema, error) {
	if columns == nil {
		for _, f := range whole.Fields() {
			columns = append(columns, f.Name)
		}
	}
	leaves := map[int]bool{}
	var fields []arrow.Field
	for _, name := range columns {
		at := whole.FieldIndices(name)
		if len(at) != 1 {
			return nil, nil, fmt.Errorf("column %q is there %d times", name, len(at))
		}
		fields = append(fields, whole.Field(at[0]))
		addLeaves(&manifest.Fields[at[0]], leaves)
	}
	return slices.Sorted(maps.Keys(leaves)), arrow.NewSchema(fields, nil), nil
}
