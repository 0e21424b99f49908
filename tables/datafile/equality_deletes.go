package datafile

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// equalityDeletes applies the equality deletes that other engines (Flink above all) write. Which of them apply to a data file,
// by sequence number and partition, is the scan planner's to say.
type equalityDeletes struct {
	fs     iceio.IO
	meta   table.Metadata
	schema *iceberg.Schema // the scan's

	mu   sync.Mutex
	sets map[string]*equalitySet // by path of the delete file
}

// equalitySet is the rows of one delete file.
type equalitySet struct {
	once   sync.Once
	schema *iceberg.Schema // the columns compared
	keys   map[string]bool
	err    error
}

func newEqualityDeletes(fs iceio.IO, meta table.Metadata, schema *iceberg.Schema) *equalityDeletes {
	return &equalityDeletes{fs: fs, meta: meta, schema: schema, sets: map[string]*equalitySet{}}
}

func (e *equalityDeletes) set(ctx context.Context, f iceberg.DataFile) (*equalitySet, error) {
	e.mu.Lock()
	s := e.sets[f.FilePath()]
	if s == nil {
		s = &equalitySet{}
		e.sets[f.FilePath()] = s
	}
	e.mu.Unlock()
	s.once.Do(func() {
		if s.schema, s.err = e.columns(f.EqualityFieldIDs()); s.err == nil {
			s.err = s.load(ctx, e.fs, e.meta, f)
		}
	})
	return s, s.err
}

// columns is a schema of the top-level columns that are compared. One that the scan's schema does not have, since it was
// dropped, is found in a former one: its deletes hold on.
func (e *equalityDeletes) columns(ids []int) (*iceberg.Schema, error) {
	var fields []iceberg.NestedField
	for _, id := range ids {
		top, err := e.column(id)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(fields, func(f iceberg.NestedField) bool { return f.ID == top.ID }) {
			fields = append(fields, top)
		}
	}
	return iceberg.NewSchema(0, fields...), nil
}

func (e *equalityDeletes) column(id int) (iceberg.NestedField, error) {
	if path, _, ok := pathTo(e.schema, id); ok {
		return e.schema.Field(path[0]), nil
	}
	for _, schema := range append([]*iceberg.Schema{e.meta.CurrentSchema()}, e.meta.Schemas()...) {
		path, _, ok := pathTo(schema, id)
		if !ok {
			continue
		}
		top := schema.Field(path[0])
		if _, live := e.schema.FindFieldByID(top.ID); live {
			return top, fmt.Errorf("column %d was dropped from within %s", id, top.Name)
		}
		// Under a name of its own, since its old one may be another's.
		top.Name = fmt.Sprintf("dropped column %d", top.ID)
		top.Required = false
		return top, nil
	}
	return iceberg.NestedField{}, fmt.Errorf("column %d is in no schema of the table", id)
}

func (s *equalitySet) load(ctx context.Context, fs iceio.IO, meta table.Metadata, f iceberg.DataFile) error {
	r, err := Open(ctx, fs, f, ReadOptions{Schema: optional(s.schema), NameMapping: meta.NameMapping(), Parallelism: 1})
	if err != nil {
		return err
	}
	defer r.Release()
	s.keys = map[string]bool{}
	for r.Next() {
		key, err := rowKeys(s.schema, f.EqualityFieldIDs(), r.RecordBatch())
		if err != nil {
			return err
		}
		for i := range int(r.RecordBatch().NumRows()) {
			s.keys[string(key(nil, i))] = true
		}
	}
	return r.Err()
}

// optional is a schema in which nothing is required: a delete file of a struct's field has only that field.
func optional(schema *iceberg.Schema) *iceberg.Schema {
	fields := slices.Clone(schema.Fields())
	for i := range fields {
		fields[i].Required = false
	}
	return iceberg.NewSchema(schema.ID, fields...)
}

// rowKeys gives rows' bytes over the fields compared. Nulls are equal to nulls here, and NaNs to NaNs.
func rowKeys(schema *iceberg.Schema, ids []int, batch arrow.RecordBatch) (func([]byte, int) []byte, error) {
	type part struct {
		null func(int) bool
		key  func([]byte, int) []byte
	}
	var parts []part
	for _, id := range ids {
		path, _, ok := pathTo(schema, id)
		if !ok {
			return nil, fmt.Errorf("column %d is not among those read", id)
		}
		values, null := path.resolve(batch)
		parts = append(parts, part{null, setKey(values)})
	}
	return func(dst []byte, row int) []byte {
		for _, p := range parts {
			if p.null(row) {
				dst = append(dst, 0)
				continue
			}
			// The length before the value keeps neighbours apart.
			start := len(dst)
			dst = p.key(append(dst, 1, 0, 0, 0, 0), row)
			binary.LittleEndian.PutUint32(dst[start+1:], uint32(len(dst)-start-5))
		}
		return dst
	}, nil
}

// read reads a data file with its equality deletes applied.
func (e *equalityDeletes) read(ctx context.Context, task table.FileScanTask, opts ReadOptions, each func(arrow.RecordBatch) error) error {
	var sets []*equalitySet
	output := opts.Columns
	if output == nil {
		for _, f := range opts.Schema.Fields() {
			output = append(output, f.Name)
		}
	}
	fields, columns := slices.Clone(opts.Schema.Fields()), slices.Clone(output)
	for _, f := range task.EqualityDeleteFiles {
		s, err := e.set(ctx, f)
		if err != nil {
			return fmt.Errorf("equality deletes %s: %w", f.FilePath(), err)
		}
		sets = append(sets, s)
		for _, field := range s.schema.Fields() {
			if !slices.Contains(columns, field.Name) {
				columns = append(columns, field.Name)
			}
			if !slices.ContainsFunc(fields, func(f iceberg.NestedField) bool { return f.ID == field.ID }) {
				fields = append(fields, field)
			}
		}
	}
	opts.Schema, opts.Columns = iceberg.NewSchema(opts.Schema.ID, fields...), columns
	r, err := Open(ctx, e.fs, task.File, opts)
	if err != nil {
		return err
	}
	defer r.Release()
	for r.Next() {
		batch, err := survivors(ctx, r.RecordBatch(), len(output), task.EqualityDeleteFiles, sets)
		if err != nil {
			return err
		}
		if batch.NumRows() > 0 {
			err = each(batch)
		}
		batch.Release()
		if err != nil {
			return err
		}
	}
	return r.Err()
}

// survivors are the rows that no set holds, without the columns that were read only to find out.
func survivors(ctx context.Context, batch arrow.RecordBatch, columns int, files []iceberg.DataFile, sets []*equalitySet) (arrow.RecordBatch, error) {
	var rows []int32
	tests := make([]func(int) bool, len(sets))
	for i, s := range sets {
		sub, err := byName(batch, s.schema)
		if err != nil {
			return nil, err
		}
		key, err := rowKeys(s.schema, files[i].EqualityFieldIDs(), sub)
		sub.Release()
		if err != nil {
			return nil, err
		}
		var scratch []byte
		tests[i] = func(row int) bool {
			scratch = key(scratch[:0], row)
			return s.keys[string(scratch)]
		}
	}
	for row := range int(batch.NumRows()) {
		if !slices.ContainsFunc(tests, func(deleted func(int) bool) bool { return deleted(row) }) {
			rows = append(rows, int32(row))
		}
	}
	fields := batch.Schema().Fields()[:columns]
	out := array.NewRecordBatch(arrow.NewSchema(fields, nil), batch.Columns()[:columns], batch.NumRows())
	if len(rows) == int(batch.NumRows()) {
		return out, nil
	}
	defer out.Release()
	return gatherBatch(ctx, out, rows)
}

func byName(batch arrow.RecordBatch, schema *iceberg.Schema) (arrow.RecordBatch, error) {
	var fields []arrow.Field
	var columns []arrow.Array
	for _, f := range schema.Fields() {
		at := batch.Schema().FieldIndices(f.Name)
		if len(at) != 1 {
			return nil, fmt.Errorf("column %q was not read", f.Name)
		}
		fields = append(fields, batch.Schema().Field(at[0]))
		columns = append(columns, batch.Column(at[0]))
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, batch.NumRows()), nil
}
