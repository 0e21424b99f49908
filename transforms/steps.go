package transforms

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/transforms/expression"
	"github.com/varve-lake/varve/transforms/internal/names"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// compileStep checks a step against the columns before it, and gives those after it. Of an error, field is the
// assignment or the column that it is about.
func compileStep(in *arrow.Schema, s Step) (compiled step, out *arrow.Schema, field string, err error) {
	set := 0
	for _, is := range []bool{s.Filter != "", s.Derive != nil, s.Select != nil, s.Rename != nil, s.Cast != nil, s.Drop != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return nil, nil, "", fmt.Errorf("a step is one of filter, derive, select, rename, cast and drop, found %d of them", set)
	case s.Filter != "":
		compiled, err = compileFilter(in, s.Filter)
		return compiled, in, "", err
	case s.Derive != nil:
		return compileDerive(in, s.Derive)
	case s.Cast != nil:
		return compileCast(in, s.Cast)
	case s.Rename != nil:
		return compileRename(in, s.Rename)
	case s.Select != nil:
		return compileSelect(in, s.Select)
	}
	return compileDrop(in, s.Drop)
}

// unknownColumn names the nearest column.
func unknownColumn(in *arrow.Schema, name string) error {
	known := make([]string, in.NumFields())
	for i, f := range in.Fields() {
		known[i] = f.Name
	}
	err := &expression.Error{Message: fmt.Sprintf("unknown column %q", name)}
	if nearest := names.Nearest(name, known); nearest != "" {
		err.Hint = fmt.Sprintf("did you mean %q?", nearest)
	}
	return err
}

// place is where a column stands.
func place(in *arrow.Schema, name string) (int, error) {
	switch found := in.FieldIndices(name); len(found) {
	case 0:
		return 0, unknownColumn(in, name)
	case 1:
		return found[0], nil
	default:
		return 0, fmt.Errorf("column %q stands for %d columns of that name", name, len(found))
	}
}

// filter keeps the rows for which a predicate is true: neither false nor unknown.
type filter struct {
	predicate *expression.Program
}

func compileFilter(in *arrow.Schema, source string) (step, error) {
	p, err := compilePredicate(in, source)
	if err != nil {
		return nil, err
	}
	return &filter{predicate: p}, nil
}

func compilePredicate(in *arrow.Schema, source string) (*expression.Program, error) {
	p, err := expression.Compile(source, expression.Scope{"": in})
	if err != nil {
		return nil, err
	}
	if id := p.Type().ID(); id != arrow.BOOL && id != arrow.NULL {
		return nil, &expression.Error{Message: "expected a boolean, found " + typeName(p.Type()), Hint: "compare it with something"}
	}
	return p, nil
}

func typeName(t arrow.DataType) string {
	if name, err := columntype.Format(t); err == nil {
		return name
	}
	return t.String()
}

func (s *filter) explain() []string { return s.predicate.Explain() }

func (s *filter) apply(ctx context.Context, f *frame) error {
	isTrue, faults, err := truth(ctx, s.predicate, f.batch)
	if err != nil {
		return err
	}
	if _, err := f.rejectFaults(f.batch, merge(nil, faults, "")); err != nil {
		return err
	}
	n := f.batch.NumRows()
	if err := f.keep(ctx, isTrue); err != nil {
		return err
	}
	f.counts.Filtered += n - f.batch.NumRows() - int64(len(faults))
	return nil
}

// truth is the rows for which a predicate is true.
func truth(ctx context.Context, p *expression.Program, batch arrow.RecordBatch) (vector.Bits, []expression.Fault, error) {
	arr, faults, err := p.EvalRows(ctx, batch)
	if err != nil {
		return nil, nil, err
	}
	defer arr.Release()
	n := arr.Len()
	if arr.DataType().ID() == arrow.NULL {
		return vector.NewBits(n), faults, nil
	}
	return vector.And(vector.Bools(arr), vector.Validity(arr)).Copy(n), faults, nil
}

// derive adds columns, or replaces them in place.
type derive struct {
	assigns []derived
	schema  *arrow.Schema
}

type derived struct {
	name    string
	at      int // where the column goes; the number of columns so far for a new one
	program *expression.Program
	schema  *arrow.Schema // after this column
}

func compileDerive(in *arrow.Schema, assigns []Assign) (step, *arrow.Schema, string, error) {
	out := &derive{schema: in}
	for _, a := range assigns {
		p, err := expression.Compile(a.Value, expression.Scope{"": out.schema})
		if err != nil {
			return nil, nil, a.Name, err
		}
		if err := storable(p.Type()); err != nil {
			return nil, nil, a.Name, err
		}
		fields, at := out.schema.Fields(), out.schema.NumFields()
		switch found := out.schema.FieldIndices(a.Name); {
		case a.Name == "":
			return nil, nil, a.Name, errors.New("a derived column needs a name")
		case len(found) > 1:
			return nil, nil, a.Name, fmt.Errorf("column %q stands for %d columns of that name", a.Name, len(found))
		case len(found) == 1:
			at = found[0]
			fields[at] = arrow.Field{Name: a.Name, Type: p.Type(), Nullable: true}
		default:
			fields = append(fields, arrow.Field{Name: a.Name, Type: p.Type(), Nullable: true})
		}
		out.schema = arrow.NewSchema(fields, nil)
		out.assigns = append(out.assigns, derived{name: a.Name, at: at, program: p, schema: out.schema})
	}
	return out, out.schema, "", nil
}

// storable refuses types that no table can hold.
func storable(t arrow.DataType) error {
	switch t.ID() {
	case arrow.NULL:
		return &expression.Error{Message: "the type of null is not known", Hint: "name it, as in string(nil)"}
	case arrow.DURATION:
		return &expression.Error{Message: "a duration cannot be stored", Hint: "total_seconds(...) is a number"}
	}
	if _, err := columntype.Format(t); err != nil {
		return &expression.Error{Message: err.Error()}
	}
	return nil
}

func (s *derive) explain() []string {
	var out []string
	for _, a := range s.assigns {
		for _, line := range a.program.Explain() {
			out = append(out, a.name+": "+line)
		}
	}
	return out
}

func (s *derive) apply(ctx context.Context, f *frame) error {
	before := f.batch
	before.Retain()
	defer before.Release()
	var faults []fault
	for _, a := range s.assigns {
		arr, wrong, err := a.program.EvalRows(ctx, f.batch)
		if err != nil {
			return fmt.Errorf("derive %s: %w", a.name, err)
		}
		columns := append([]arrow.Array(nil), f.batch.Columns()...)
		if a.at == len(columns) {
			columns = append(columns, arr)
		} else {
			columns[a.at] = arr
		}
		f.replace(array.NewRecordBatch(a.schema, columns, f.batch.NumRows()))
		arr.Release()
		faults = merge(faults, wrong, a.name)
	}
	keep, err := f.rejectFaults(before, faults)
	if err != nil {
		return err
	}
	return f.keep(ctx, keep)
}
