package transforms

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/transforms/expression"
)

// arrange gives the columns another order and other names; it is select, rename and drop.
type arrange struct {
	from   []int
	schema *arrow.Schema
}

func (s *arrange) explain() []string { return nil }

func (s *arrange) apply(_ context.Context, f *frame) error {
	columns := make([]arrow.Array, len(s.from))
	for i, k := range s.from {
		columns[i] = f.batch.Column(k)
	}
	f.replace(array.NewRecordBatch(s.schema, columns, f.batch.NumRows()))
	return nil
}

// pick is the arrangement of the columns at some places.
func pick(in *arrow.Schema, from []int) (*arrange, *arrow.Schema) {
	fields := make([]arrow.Field, len(from))
	for i, k := range from {
		fields[i] = in.Field(k)
	}
	schema := arrow.NewSchema(fields, nil)
	return &arrange{from: from, schema: schema}, schema
}

func compileSelect(in *arrow.Schema, columns []string) (step, *arrow.Schema, string, error) {
	if len(columns) == 0 {
		return nil, nil, "", errors.New("select names no column")
	}
	var from []int
	seen := map[string]bool{}
	for _, name := range columns {
		k, err := place(in, name)
		if err != nil {
			return nil, nil, name, err
		}
		if seen[name] {
			return nil, nil, name, fmt.Errorf("column %q is selected twice", name)
		}
		seen[name] = true
		from = append(from, k)
	}
	compiled, out := pick(in, from)
	return compiled, out, "", nil
}

func compileDrop(in *arrow.Schema, columns []string) (step, *arrow.Schema, string, error) {
	dropped := map[int]bool{}
	for _, name := range columns {
		k, err := place(in, name)
		if err != nil {
			return nil, nil, name, err
		}
		if dropped[k] {
			return nil, nil, name, fmt.Errorf("column %q is dropped twice", name)
		}
		dropped[k] = true
	}
	var from []int
	for k := range in.NumFields() {
		if !dropped[k] {
			from = append(from, k)
		}
	}
	if len(from) == 0 {
		return nil, nil, "", errors.New("drop leaves no column")
	}
	compiled, out := pick(in, from)
	return compiled, out, "", nil
}

func compileRename(in *arrow.Schema, assigns []Assign) (step, *arrow.Schema, string, error) {
	fields, from := in.Fields(), make([]int, in.NumFields())
	renamed := map[int]bool{}
	for _, a := range assigns {
		k, err := place(in, a.Name)
		switch {
		case err != nil:
			return nil, nil, a.Name, err
		case renamed[k]:
			return nil, nil, a.Name, fmt.Errorf("column %q is renamed twice", a.Name)
		case a.Value == "":
			return nil, nil, a.Name, errors.New("a column needs a name")
		}
		renamed[k] = true
		fields[k].Name = a.Value
	}
	seen := map[string]int{}
	for k, f := range fields {
		from[k] = k
		first, twice := seen[f.Name]
		if twice && (renamed[k] || renamed[first]) {
			at := k
			if !renamed[k] {
				at = first
			}
			return nil, nil, in.Field(at).Name, fmt.Errorf("there is a column %q already", f.Name)
		}
		seen[f.Name] = k
	}
	schema := arrow.NewSchema(fields, nil)
	return &arrange{from: from, schema: schema}, schema, "", nil
}

// cast changes columns' types. A value that does not fit is a fault of its row.
type cast struct {
	columns []castColumn
	schema  *arrow.Schema
}

type castColumn struct {
	name string
	at   int
	to   arrow.DataType
}

func compileCast(in *arrow.Schema, assigns []Assign) (step, *arrow.Schema, string, error) {
	out, fields, seen := &cast{}, in.Fields(), map[string]bool{}
	for _, a := range assigns {
		k, err := place(in, a.Name)
		if err != nil {
			return nil, nil, a.Name, err
		}
		to, err := columntype.Parse(a.Value)
		if err != nil {
			return nil, nil, a.Name, err
		}
		if err := expression.CanCast(fields[k].Type, to); err != nil {
			return nil, nil, a.Name, err
		}
		if seen[a.Name] {
			return nil, nil, a.Name, fmt.Errorf("column %q is cast twice", a.Name)
		}
		seen[a.Name] = true
		fields[k].Type = to
		out.columns = append(out.columns, castColumn{name: a.Name, at: k, to: to})
	}
	out.schema = arrow.NewSchema(fields, nil)
	return out, out.schema, "", nil
}

func (s *cast) explain() []string { return nil }

func (s *cast) apply(ctx context.Context, f *frame) error {
	before := f.batch
	before.Retain()
	defer before.Release()
	columns := append([]arrow.Array(nil), before.Columns()...)
	var faults []fault
	for _, c := range s.columns {
		arr, wrong, err := expression.Cast(ctx, before.Column(c.at), c.to)
		if err != nil {
			return fmt.Errorf("cast %s: %w", c.name, err)
		}
		defer arr.Release()
		columns[c.at], faults = arr, merge(faults, wrong, c.name)
	}
	f.replace(array.NewRecordBatch(s.schema, columns, before.NumRows()))
	keep, err := f.rejectFaults(before, faults)
	if err != nil {
		return err
	}
	return f.keep(ctx, keep)
}
