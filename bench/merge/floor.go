package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/compress"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	icebergtable "github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/merge"
)

// floorWorkers read and write at once, as many as the peers have threads.
const floorWorkers = 2

const key = "transaction_id"

// floor times what no MERGE of this workload can do without: reading the keys once, of all files, since
// ON names no column that could leave one out, and writing what changes. In merge-on-read that is the source's rows; in
// copy-on-write, where every row group of a day that the source has rows of changes, the columns of those files other than
// the key. Nothing is probed, and nothing stays.
func (b *bench) floor(ctx context.Context, name string) (map[string]any, error) {
	t, err := b.lake.Table(ctx, table)
	if err != nil {
		return nil, err
	}
	source, err := openParquet(filepath.Join(b.data, name+".parquet"))
	if err != nil {
		return nil, err
	}
	tasks, err := touched(ctx, t, source)
	if err != nil {
		return nil, err
	}
	store, err := t.FS(ctx)
	if err != nil {
		return nil, err
	}
	all, err := t.Iceberg().Scan().PlanFiles(ctx)
	if err != nil {
		return nil, err
	}
	schema := t.Iceberg().Schema()
	began := time.Now()
	if err := eachFile(ctx, all, func(ctx context.Context, f iceberg.DataFile, _ int) error {
		return readFile(ctx, store, f, schema, []string{key}, func(arrow.RecordBatch) error { return nil })
	}); err != nil {
		return nil, err
	}
	read := time.Since(began)
	began = time.Now()
	if b.strategy == merge.MergeOnRead {
		err = writeSource(ctx, t, store, source)
	} else {
		err = eachFile(ctx, tasks, func(ctx context.Context, f iceberg.DataFile, i int) error {
			return b.rewrite(ctx, store, f, schema, i)
		})
	}
	return map[string]any{"read_s": read.Seconds(), "write_s": time.Since(began).Seconds(), "files": len(all), "touched": len(tasks)}, err
}

// touched are the files of the days that the source has rows of.
func touched(ctx context.Context, t *tables.Table, source *parquetRows) ([]icebergtable.FileScanTask, error) {
	rows, err := source.Open(ctx, []string{"ts"})
	if err != nil {
		return nil, err
	}
	defer rows.Release()
	var low, high arrow.Timestamp
	for first := true; rows.Next(); first = false {
		values := rows.RecordBatch().Column(0).(*array.Timestamp).Values()
		if first {
			low, high = values[0], values[0]
		}
		low, high = min(low, slices.Min(values)), max(high, slices.Max(values))
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	ts := iceberg.Reference("ts")
	between := iceberg.NewAnd(iceberg.GreaterThanEqual(ts, iceberg.Timestamp(low)), iceberg.LessThanEqual(ts, iceberg.Timestamp(high)))
	return t.Iceberg().Scan(icebergtable.WithRowFilter(between)).PlanFiles(ctx)
}

func eachFile(ctx context.Context, tasks []icebergtable.FileScanTask, do func(context.Context, iceberg.DataFile, int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(floorWorkers)
	for i, task := range tasks {
		g.Go(func() error { return do(ctx, task.File, i) })
	}
	return g.Wait()
}

func readFile(ctx context.Context, store iceio.IO, f iceberg.DataFile, schema *iceberg.Schema, columns []string, each func(arrow.RecordBatch) error) error {
	r, err := datafile.Open(ctx, store, f, datafile.ReadOptions{Schema: schema, Columns: columns, Parallelism: 1})
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

// rewrite decodes a file's columns other than the key and encodes them again.
func (b *bench) rewrite(ctx context.Context, store iceio.IO, f iceberg.DataFile, schema *iceberg.Schema, number int) (err error) {
	var columns []string
	for _, field := range schema.Fields() {
		if field.Name != key {
			columns = append(columns, field.Name)
		}
	}
	out, err := os.Create(filepath.Join(b.work, fmt.Sprintf("floor-%d.parquet", number)))
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(out.Name()) }()
	defer func() { _ = out.Close() }()
	var w *pqarrow.FileWriter
	err = readFile(ctx, store, f, schema, columns, func(batch arrow.RecordBatch) error {
		if w == nil {
			props := parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd), parquet.WithMaxRowGroupLength(131072))
			if w, err = pqarrow.NewFileWriter(batch.Schema(), out, props, pqarrow.DefaultWriterProps()); err != nil {
				return err
			}
		}
		return w.WriteBuffered(batch)
	})
	if err != nil || w == nil {
		return err
	}
	return w.Close()
}

// writeSource writes the source's rows in the table's layout, and removes them.
func writeSource(ctx context.Context, t *tables.Table, store iceio.WriteFileIO, source *parquetRows) error {
	rows, err := source.Open(ctx, nil)
	if err != nil {
		return err
	}
	staged, err := t.Stage(ctx, rows, tables.StageOptions{Parallelism: floorWorkers})
	if err != nil {
		return err
	}
	for _, f := range staged.Files {
		if err := store.Remove(f.FilePath()); err != nil {
			return err
		}
	}
	return nil
}
