package activities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/sources"
	"github.com/varve-lake/varve/transforms"
)

// open streams what a group reads, in the columns of the job's input.
func (a *Activities) open(ctx context.Context, p *pulse, j *job, g group, c *collector) (array.RecordReader, *fileReader, error) {
	schema, err := compile.Schema(j.Table.Input)
	if err != nil {
		return nil, nil, err
	}
	switch t := &j.Table; {
	case t.Files != nil:
		r, err := a.openFiles(ctx, p, j, g.Files, schema, c)
		if err != nil {
			return nil, nil, err
		}
		return &counted{RecordReader: r, collect: c}, r, nil
	case t.From != nil:
		r, err := a.openTasks(ctx, j, g.Tasks, schema, c)
		return r, nil, err
	default:
		r, err := a.openQuery(ctx, j, schema, c)
		return r, nil, err
	}
}

// errNewColumns ends the reading of files that have columns which the job lacks and the table would keep.
var errNewColumns = errors.New("the files have new columns")

// fileReader streams files one after the other.
type fileReader struct {
	refs    atomic.Int64
	ctx     context.Context
	a       *Activities
	pulse   *pulse
	table   *plan.Table
	files   []sources.File
	schema  *arrow.Schema
	options sources.Options
	collect *collector

	next    int // of files
	current array.RecordReader
	read    int64 // bytes of the files before the current one
	err     error
	fresh   []plan.Column // found and not in the schema
}

func (a *Activities) openFiles(ctx context.Context, p *pulse, j *job, files []sources.File, schema *arrow.Schema, c *collector) (*fileReader, error) {
	options, err := fileOptions(*j.Table.Files, j.Build.LoadedAt)
	if err != nil {
		return nil, err
	}
	r := &fileReader{ctx: ctx, a: a, pulse: p, table: &j.Table, files: files, schema: schema, options: options, collect: c}
	r.refs.Store(1)
	return r, nil
}

func (r *fileReader) Schema() *arrow.Schema { return r.schema }

func (r *fileReader) Next() bool {
	for r.err == nil {
		if r.current == nil {
			if r.next == len(r.files) {
				return false
			}
			r.err = r.open(r.files[r.next])
			r.next++
			continue
		}
		if r.current.Next() {
			if r.err = r.new(); r.err != nil {
				return false
			}
			return true
		}
		r.err = r.fault(r.current.Err())
		r.close()
		if r.err == nil {
			r.err = r.new()
		}
	}
	return false
}

// new is errNewColumns if the table would keep one of the columns found.
func (r *fileReader) new() error {
	if len(r.fresh) == 0 {
		return nil
	}
	matter, err := r.matter()
	if err == nil && matter {
		return errNewColumns
	}
	r.fresh = nil // the steps leave them out
	return err
}

func (r *fileReader) matter() (bool, error) {
	t := *r.table
	if err := addColumns(&t, r.fresh); err != nil {
		return false, err
	}
	return len(t.Columns) != len(r.table.Columns) || len(t.Rows) != len(r.table.Rows), nil
}

func (r *fileReader) open(f sources.File) error {
	current, err := sources.Open(r.ctx, r.a.store, f, r.schema, r.options, r.observer())
	if err != nil {
		return r.fault(err)
	}
	r.current = current
	r.pulse.files.Add(1)
	r.collect.counts.Files++
	return r.new()
}

func (r *fileReader) observer() sources.Observer {
	return sources.Observer{
		Reject: func(row sources.Rejected) error {
			r.collect.counts.RowsRead++
			return r.collect.reject(transforms.Rejected{
				Reason: row.Reason, Column: row.Column, Row: row.Raw, SourceFile: row.File, SourceRow: row.Row,
			})
		},
		NewColumns: func(fields []arrow.Field) {
			columns, err := compile.Columns(arrow.NewSchema(fields, nil))
			if err != nil {
				r.collect.warn(fmt.Sprintf("new columns are left out: %v", err))
				return
			}
			for i := range columns {
				columns[i].Required = false
			}
			r.fresh = append(r.fresh, columns...)
		},
		Note:     r.collect.warn,
		Progress: func(bytes int64) { r.pulse.bytes.Store(r.read + bytes) },
	}
}

// fault tells a file that is gone, which a new plan leaves out, from one that cannot be read.
func (r *fileReader) fault(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return stale(err)
	}
	return err
}

func (r *fileReader) close() {
	if r.current == nil {
		return
	}
	r.current.Release()
	r.current = nil
	size := r.files[r.next-1].Size
	r.read += size
	r.collect.counts.Bytes += size
}

// rest looks for new columns in the files that were not read, so that one more plan takes in those of the whole group.
func (r *fileReader) rest() ([]plan.Column, error) {
	found := r.fresh
	r.close()
	for ; r.next < len(r.files); r.next++ {
		r.fresh = nil
		current, err := sources.Open(r.ctx, r.a.store, r.files[r.next], r.schema, r.options, r.observer())
		if err != nil {
			return nil, r.fault(err)
		}
		current.Release()
		found = append(found, r.fresh...)
	}
	return found, nil
}

func (r *fileReader) RecordBatch() arrow.RecordBatch { return r.current.RecordBatch() }
func (r *fileReader) Record() arrow.RecordBatch      { return r.RecordBatch() }
func (r *fileReader) Err() error                     { return r.err }
func (r *fileReader) Retain()                        { r.refs.Add(1) }

func (r *fileReader) Release() {
	if r.refs.Add(-1) == 0 && r.current != nil {
		r.current.Release()
		r.current = nil
	}
}
