package transforms

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/transforms/expression"
	"github.com/varve-lake/varve/transforms/internal/render"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// The columns that say where a row came from.
const (
	SourceFileColumn = "_source_file"
	SourceRowColumn  = "_source_row"
)

// Rejected is a row that a chain took out of the stream, with the reason.
type Rejected struct {
	Reason      string
	Column      string // the column at fault, if it is one
	Expectation string // the expectation that quarantined the row; empty for a fault of the data
	Row         string // the row as JSON, as it stood when it was rejected
	SourceFile  string // _source_file of the row that entered the chain, if it had one
	SourceRow   int64  // _source_row
}

// origin is the row's place for messages, with a colon; empty if it is not known.
func (r Rejected) origin() string {
	switch {
	case r.SourceFile == "":
		return ""
	case r.SourceRow == 0:
		return r.SourceFile + ": "
	}
	return fmt.Sprintf("%s: row %d: ", r.SourceFile, r.SourceRow)
}

// Observer hears of what a chain takes out of the stream.
type Observer struct {
	Reject func(Rejected) error                 // an error stops the stream; without Reject a rejected row is an error
	Warn   func(expectation string, rows int64) // once a batch; may be nil
}

// FaultError is a row that a step could not be computed for, where nobody takes rejected rows.
type FaultError struct {
	Row Rejected
}

func (e *FaultError) Error() string { return e.Row.origin() + e.Row.Reason }

// ExpectationError is a row that broke an expectation whose policy is fail.
type ExpectationError struct {
	Name string
	That string
	Row  Rejected
}

func (e *ExpectationError) Error() string { return e.Row.origin() + e.Row.Reason }

// frame is a batch on its way through a chain.
type frame struct {
	input  arrow.RecordBatch // as it entered
	batch  arrow.RecordBatch // as it is now
	from   []int32           // the input row of each row of batch; nil while none has left
	obs    Observer
	counts Counts
}

func newFrame(batch arrow.RecordBatch, obs Observer) *frame {
	batch.Retain()
	return &frame{input: batch, batch: batch, obs: obs}
}

func (f *frame) release() { f.batch.Release() }

// replace takes over batch, whose rows are those of the batch before.
func (f *frame) replace(batch arrow.RecordBatch) {
	f.batch.Release()
	f.batch = batch
}

// keep leaves the rows whose bit is one.
func (f *frame) keep(ctx context.Context, keep vector.Bits) error {
	n := int(f.batch.NumRows())
	places := vector.Places(keep, n)
	if len(places) == n {
		return nil
	}
	batch, err := vector.GatherBatch(ctx, f.batch, places)
	if err != nil {
		return err
	}
	f.replace(batch)
	if f.from != nil {
		for i, k := range places {
			places[i] = f.from[k]
		}
	}
	f.from = places
	return nil
}

// fault is a row of the current batch with what is wrong with it.
type fault struct {
	expression.Fault
	column string
}

// merge adds a column's faults to a sorted list, one a row: the first column's stays.
func merge(faults []fault, more []expression.Fault, column string) []fault {
	if len(more) == 0 {
		return faults
	}
	out := make([]fault, 0, len(faults)+len(more))
	for len(faults) > 0 || len(more) > 0 {
		switch {
		case len(more) == 0 || len(faults) > 0 && faults[0].Row < more[0].Row:
			out, faults = append(out, faults[0]), faults[1:]
		case len(faults) == 0 || more[0].Row < faults[0].Row:
			out, more = append(out, fault{more[0], column}), more[1:]
		default:
			out, faults, more = append(out, faults[0]), faults[1:], more[1:]
		}
	}
	return out
}

// rejectFaults reports the rows at fault, as they are in seen, and gives the bits of the others.
func (f *frame) rejectFaults(seen arrow.RecordBatch, faults []fault) (vector.Bits, error) {
	n := int(seen.NumRows())
	keep := vector.Ones(n)
	if len(faults) == 0 {
		return keep, nil
	}
	write := render.Rows(seen)
	for _, wrong := range faults {
		keep.Clear(wrong.Row)
		r := f.rejected(write, wrong.Row)
		r.Reason, r.Column = wrong.Message, wrong.column
		if wrong.column != "" {
			r.Reason = fmt.Sprintf("column %q: %s", wrong.column, wrong.Message)
		}
		if err := f.reject(r); err != nil {
			return nil, err
		}
	}
	f.counts.Faulty += int64(len(faults))
	return keep, nil
}

func (f *frame) reject(r Rejected) error {
	if f.obs.Reject == nil {
		return &FaultError{Row: r}
	}
	return f.obs.Reject(r)
}

// rejected describes row i of the current batch.
func (f *frame) rejected(write render.Writer, i int) Rejected {
	r := Rejected{Row: string(write(nil, i))}
	at := i
	if f.from != nil {
		at = int(f.from[i])
	}
	if c := f.origin(SourceFileColumn, at); c != nil {
		r.SourceFile = c.ValueStr(at)
	}
	if c, ok := f.origin(SourceRowColumn, at).(*array.Int64); ok {
		r.SourceRow = c.Value(at)
	}
	return r
}

// origin is a column of the input if it has a value at a row.
func (f *frame) origin(name string, at int) arrow.Array {
	found := f.input.Schema().FieldIndices(name)
	if len(found) != 1 {
		return nil
	}
	column := f.input.Column(found[0])
	if column.DataType().ID() == arrow.NULL || column.IsNull(at) { // a Null array says that its rows are not null
		return nil
	}
	return column
}
