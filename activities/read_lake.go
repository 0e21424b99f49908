package activities

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/internal/lakesql"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/transforms"
)

// openTasks streams files of another table, in the columns of its schema as the plan saw it.
func (a *Activities) openTasks(ctx context.Context, j *job, tasks []scanTask, schema *arrow.Schema, c *collector) (array.RecordReader, error) {
	source, err := a.lake.Table(ctx, j.Table.From.Table)
	if err != nil {
		return nil, err
	}
	files, err := decodeTasks(source, tasks)
	if err != nil {
		return nil, err
	}
	c.counts.Files += len(files)
	for _, f := range files {
		c.counts.Bytes += f.File.FileSizeBytes()
	}
	have, err := source.Schema()
	if err != nil {
		return nil, err
	}
	var columns []string
	for _, f := range schema.Fields() {
		if have.HasField(f.Name) {
			columns = append(columns, f.Name)
		}
	}
	rows, err := source.Scan(ctx, tables.ScanOptions{Columns: columns, Files: files})
	if err != nil {
		return nil, err
	}
	return a.conformed(&counted{RecordReader: rows, collect: c}, schema, c)
}

// openQuery streams the result of the table's query over the snapshots that were pinned.
func (a *Activities) openQuery(ctx context.Context, j *job, schema *arrow.Schema, c *collector) (array.RecordReader, error) {
	engine, err := a.sql()
	if err != nil {
		return nil, err
	}
	rows, err := engine.Run(ctx, j.Table.SQL.Query, lakesql.New(a.lake, j.Snapshots))
	if err != nil {
		return nil, fmt.Errorf("query of %s: %w", j.Table.Name, err)
	}
	return a.conformed(&counted{RecordReader: rows, collect: c}, schema, c)
}

// conformed gives rows a schema if theirs is another one. It takes over the reference to rows.
func (a *Activities) conformed(rows array.RecordReader, to *arrow.Schema, c *collector) (array.RecordReader, error) {
	if sameColumns(rows.Schema(), to) {
		return rows, nil
	}
	out, err := transforms.Conform(rows, to, transforms.ConformOptions{Observer: transforms.Observer{Reject: c.reject}})
	if err != nil {
		rows.Release()
		return nil, err
	}
	return out, nil
}

// sameColumns tells whether two schemas have the same columns in the same order, apart from documentation.
func sameColumns(a, b *arrow.Schema) bool {
	if a.NumFields() != b.NumFields() {
		return false
	}
	for i, f := range a.Fields() {
		g := b.Field(i)
		if f.Name != g.Name || f.Nullable && !g.Nullable || !arrow.TypeEqual(f.Type, g.Type) {
			return false
		}
	}
	return true
}

// counted counts the rows that are read.
type counted struct {
	array.RecordReader
	collect *collector
}

func (r *counted) Next() bool {
	if !r.RecordReader.Next() {
		return false
	}
	r.collect.counts.RowsRead += r.RecordBatch().NumRows()
	return true
}
