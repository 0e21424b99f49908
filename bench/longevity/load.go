package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
)

// changing are the tables that phases change, of each copy; static those that they do not, of which there is one.
var (
	changing = []string{"orders", "lineitem"}
	static   = []string{"customer", "nation", "region", "supplier", "part"}
)

// filesWanted is how many files lineitem begins with, roughly.
const filesWanted = 8

func (b *bench) id() commit.ID {
	b.commits++
	return commit.ID{Writer: "bench", Token: fmt.Sprint(b.commits)}
}

// load makes all tables of the generator's files.
func (b *bench) load(ctx context.Context, data string) error {
	info, err := os.Stat(filepath.Join(data, "lineitem.parquet"))
	if err != nil {
		return err
	}
	b.target = max(info.Size()/filesWanted, 256<<10)
	for _, name := range changing {
		for _, of := range copies {
			if err := b.loadOne(ctx, data, name, of+"."+name); err != nil {
				return fmt.Errorf("load %s.%s: %w", of, name, err)
			}
		}
	}
	for _, name := range static {
		if err := b.loadOne(ctx, data, name, "static."+name); err != nil {
			return fmt.Errorf("load %s: %w", name, err)
		}
	}
	return nil
}

func (b *bench) loadOne(ctx context.Context, data, name, as string) error {
	f, err := file.OpenParquetFile(filepath.Join(data, name+".parquet"), false)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{Parallel: true, BatchSize: 64 << 10}, memory.DefaultAllocator)
	if err != nil {
		return err
	}
	schema, err := r.Schema()
	if err != nil {
		return err
	}
	fields := schema.Fields()
	for i := range fields {
		fields[i].Metadata = arrow.Metadata{}
	}
	t, _, err := b.lake.Ensure(ctx, tables.Definition{
		Name: as, Schema: arrow.NewSchema(fields, nil),
		Properties: map[string]string{"write.target-file-size-bytes": fmt.Sprint(b.target)},
	})
	if err != nil {
		return err
	}
	rows, err := r.GetRecordReader(ctx, nil, nil)
	if err != nil {
		return err
	}
	staged, err := t.Stage(ctx, rows, tables.StageOptions{})
	if err != nil {
		return err
	}
	if name == "lineitem" {
		b.rowsOfLineitem = staged.Rows
	}
	_, err = t.Append(ctx, tables.CommitOptions{ID: b.id()}, staged)
	return err
}
