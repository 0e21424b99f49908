package merge

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/tables/internal/rows"
)

// plainSource sees a source without dictionaries and large variants of types:
// nothing behind it has to know of them.
type plainSource struct {
	Source
	schema *arrow.Schema
}

func plain(s Source) Source {
	from := s.Schema()
	fields := make([]arrow.Field, from.NumFields())
	same := true
	for i, f := range from.Fields() {
		fields[i] = f
		fields[i].Type = plainType(f.Type)
		same = same && arrow.TypeEqual(f.Type, fields[i].Type)
	}
	if same {
		return s
	}
	return &plainSource{Source: s, schema: arrow.NewSchema(fields, nil)}
}

func plainType(t arrow.DataType) arrow.DataType {
	switch t := t.(type) {
	case *arrow.DictionaryType:
		return plainType(t.ValueType)
	case *arrow.LargeStringType:
		return arrow.BinaryTypes.String
	case *arrow.LargeBinaryType:
		return arrow.BinaryTypes.Binary
	case *arrow.ListType:
		return listOf(t.ElemField())
	case *arrow.LargeListType:
		return listOf(t.ElemField())
	case *arrow.StructType:
		fields := t.Fields()
		for i := range fields {
			fields[i].Type = plainType(fields[i].Type)
		}
		return arrow.StructOf(fields...)
	}
	return t
}

func listOf(element arrow.Field) arrow.DataType {
	element.Type = plainType(element.Type)
	return arrow.ListOfField(element)
}

func (s *plainSource) Schema() *arrow.Schema { return s.schema }

func (s *plainSource) Open(ctx context.Context, columns []string) (array.RecordReader, error) {
	r, err := s.Source.Open(ctx, columns)
	if err != nil {
		return nil, err
	}
	return &plainReader{RecordReader: r, ctx: ctx, to: s.schema}, nil
}

type plainReader struct {
	array.RecordReader
	ctx   context.Context
	to    *arrow.Schema
	batch arrow.RecordBatch
	err   error
}

func (r *plainReader) Next() bool {
	r.drop()
	if r.err != nil || !r.RecordReader.Next() {
		return false
	}
	from := r.RecordReader.RecordBatch()
	f := newFrame(int(from.NumRows()))
	defer f.release()
	for i, c := range from.Columns() {
		name := from.ColumnName(i)
		to, _ := fieldOf(r.to, name)
		a, err := rows.Cast(r.ctx, c, to.Type)
		if err != nil {
			r.err = fmt.Errorf("source column %s: %w", name, err)
			return false
		}
		f.add(name, a)
	}
	r.batch = f.batch()
	return true
}

func (r *plainReader) RecordBatch() arrow.RecordBatch { return r.batch }

func (r *plainReader) Schema() *arrow.Schema {
	from := r.RecordReader.Schema()
	fields := make([]arrow.Field, from.NumFields())
	for i, f := range from.Fields() {
		fields[i], _ = fieldOf(r.to, f.Name)
	}
	return arrow.NewSchema(fields, nil)
}

func (r *plainReader) Err() error {
	if r.err != nil {
		return r.err
	}
	return r.RecordReader.Err()
}

func (r *plainReader) drop() {
	if r.batch != nil {
		r.batch.Release()
		r.batch = nil
	}
}

func (r *plainReader) Release() {
	r.drop()
	r.RecordReader.Release()
}

// each reads columns of the source from first to last, batch by batch. The
// columns passed on are in the order asked for, and valid during the call.
func each(ctx context.Context, s Source, columns []string, do func(columns []arrow.Array, n int) error) error {
	r, err := s.Open(ctx, columns)
	if err != nil {
		return fmt.Errorf("open source: %w", err)
	}
	defer r.Release()
	out := make([]arrow.Array, len(columns))
	for r.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		batch := r.RecordBatch()
		for i, c := range columns {
			at := batch.Schema().FieldIndices(c)
			if len(at) != 1 {
				return fmt.Errorf("read source: no column %s in a batch", c)
			}
			out[i] = batch.Column(at[0])
		}
		if err := do(out, int(batch.NumRows())); err != nil {
			return err
		}
	}
	if err := r.Err(); err != nil {
		return fmt.Errorf("read source: %w", err)
	}
	return nil
}
