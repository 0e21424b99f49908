package changes

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/transforms"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// Rows streams the rows to merge, in the columns of to. It takes over the reference to decisions.
func Rows(ctx context.Context, def Definition, in Input, decisions array.RecordReader, to *arrow.Schema) array.RecordReader {
	return apply(ctx, &application{def: def, in: in, to: to, wanted: []int32{write, gone}}, decisions)
}

// Tombstones streams the deletes to remember, in the columns of to, which are of the keys and of those that keep the
// sequence. It takes over the reference to decisions.
func Tombstones(ctx context.Context, def Definition, in Input, decisions array.RecordReader, to *arrow.Schema) array.RecordReader {
	wanted := int32(gone)
	if def.History {
		wanted = deletes
	}
	return apply(ctx, &application{def: def, in: in, to: to, wanted: []int32{wanted}}, decisions)
}

// application goes through rows and the decisions about them side by side.
type application struct {
	def    Definition
	in     Input
	to     *arrow.Schema
	wanted []int32 // decisions
}

func apply(ctx context.Context, a *application, decisions array.RecordReader) array.RecordReader {
	return array.ReaderFromIter(a.to, func(yield func(arrow.RecordBatch, error) bool) {
		d := &decided{reader: decisions}
		defer decisions.Release()
		err := a.through(ctx, d, a.in.Table, 0, false, yield)
		if err == nil {
			err = a.through(ctx, d, a.in.Events, a.in.TableRows, true, yield)
		}
		if err == nil && d.fill() {
			err = fmt.Errorf("resolve events: the rows changed between two readings: there is no row %d", d.n())
		}
		if err == nil {
			err = decisions.Err()
		}
		if err != nil && err != errEnough {
			yield(nil, err)
		}
	})
}

var errEnough = fmt.Errorf("no more rows are wanted")

// through goes through the rows of the table or of the events, which are numbered from first.
func (a *application) through(ctx context.Context, d *decided, rows transforms.Rewindable, first int64, events bool, yield func(arrow.RecordBatch, error) bool) error {
	if rows == nil || !d.fill() || !events && d.n() >= a.in.TableRows {
		return nil
	}
	from, err := rows.Open(ctx, nil)
	if err != nil {
		return err
	}
	defer from.Release()
	for from.Next() && d.fill() {
		if err := ctx.Err(); err != nil {
			return err
		}
		batch := from.RecordBatch()
		last := first + batch.NumRows()
		for d.fill() && d.n() < last {
			out, err := a.part(ctx, batch, first, d, events)
			if err != nil {
				return err
			}
			if out != nil && !yield(out, nil) {
				return errEnough
			}
		}
		first = last
	}
	return from.Err()
}

// part makes rows of those that one batch of decisions is about; nil if it wants none of them.
func (a *application) part(ctx context.Context, batch arrow.RecordBatch, first int64, d *decided, events bool) (arrow.RecordBatch, error) {
	var at, of []int32
	for ; d.row < d.rows() && d.n() < first+batch.NumRows(); d.row++ {
		if d.what() == conflict {
			row := int(d.n() - first)
			return nil, &TieError{Key: describe(batch, row, a.def.Keys), Sequence: describe(batch, row, a.def.Sequence)}
		}
		if slices.Contains(a.wanted, d.what()) {
			at, of = append(at, int32(d.n()-first)), append(of, int32(d.row))
		}
	}
	if len(at) == 0 {
		return nil, nil
	}
	columns := make([]arrow.Array, a.to.NumFields())
	for i, field := range a.to.Fields() {
		column, err := a.column(ctx, field, batch, at, d, of, events)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", field.Name, err)
		}
		defer column.Release()
		columns[i] = column
	}
	return array.NewRecordBatch(a.to, columns, int64(len(at))), nil
}

func (a *application) column(ctx context.Context, field arrow.Field, batch arrow.RecordBatch, at []int32, d *decided, of []int32, events bool) (arrow.Array, error) {
	n := len(at)
	switch {
	case field.Name == a.def.Deleted:
		out := vector.NewBits(n)
		for i, row := range of {
			if d.column("what").(*array.Int32).Value(int(row)) == gone {
				out.Set(i)
			}
		}
		return vector.FromBools(out, n, nil), nil
	case a.def.History && field.Name == a.def.IsCurrent:
		out, until := vector.NewBits(n), d.column("until")
		for i, row := range of {
			if until.IsNull(int(row)) {
				out.Set(i)
			}
		}
		return vector.FromBools(out, n, nil), nil
	case a.def.History && field.Name == a.def.ValidTo:
		return gathered(ctx, d.column("until"), of, field.Type)
	}
	name := field.Name
	if events {
		name = a.def.event(name)
	}
	found := batch.Schema().FieldIndices(name)
	if len(found) == 0 {
		return vector.Nulls(field.Type, n), nil
	}
	return gathered(ctx, batch.Column(found[0]), at, field.Type)
}

func gathered(ctx context.Context, from arrow.Array, at []int32, to arrow.DataType) (arrow.Array, error) {
	picked, err := vector.Gather(ctx, from, at)
	if err != nil {
		return nil, err
	}
	defer picked.Release()
	return vector.Convert(ctx, picked, to)
}

// decided is a cursor over decisions.
type decided struct {
	reader array.RecordReader
	batch  arrow.RecordBatch
	row    int
	ended  bool
}

// fill makes sure that there is a current decision; false at the end.
func (d *decided) fill() bool {
	for d.ended || d.batch == nil || d.row >= d.rows() {
		if d.ended = d.ended || !d.reader.Next(); d.ended {
			return false
		}
		d.batch, d.row = d.reader.RecordBatch(), 0
	}
	return true
}

func (d *decided) rows() int { return int(d.batch.NumRows()) }

func (d *decided) column(name string) arrow.Array {
	return d.batch.Column(d.batch.Schema().FieldIndices(name)[0])
}

func (d *decided) n() int64    { return d.column("n").(*array.Int64).Value(d.row) }
func (d *decided) what() int32 { return d.column("what").(*array.Int32).Value(d.row) }
