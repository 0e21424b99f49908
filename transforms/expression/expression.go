package expression

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

// Scope says which columns an expression may name. The schema under "" holds bare columns; one under "s" holds columns
// that are written s.name and that a batch calls "s.name". Where no schema has bare columns, a bare name stands for the
// one scoped column of that name.
type Scope map[string]*arrow.Schema

// Program is a compiled expression. It is immutable and safe for concurrent use.
type Program struct {
	source   string
	root     node
	columns  []column
	explain  []string
	compiled time.Time // what now() is, unless the context says
}

// column is a column that a program reads.
type column struct {
	name    string // as a batch has it
	typ     arrow.DataType
	working arrow.DataType // what the kernels see
}

// Source is the text that was compiled.
func (p *Program) Source() string { return p.source }

// Type is the type of the result.
func (p *Program) Type() arrow.DataType { return p.root.dataType() }

// Columns names the columns that the expression needs, "x" or "s.x", sorted.
func (p *Program) Columns() []string {
	names := make([]string, len(p.columns))
	for i, c := range p.columns {
		names[i] = c.name
	}
	slices.Sort(names)
	return names
}

// Explain lists the parts of the expression that no kernel covers and that expr's VM runs row by row.
func (p *Program) Explain() []string { return slices.Clone(p.explain) }

type nowKey struct{}

// WithNow fixes what now() is. Without it, now() is the moment at which a program was compiled: one moment for all
// rows, but another one when a task is tried again.
func WithNow(ctx context.Context, now time.Time) context.Context {
	return context.WithValue(ctx, nowKey{}, now)
}

// Eval computes the expression for every row of batch, which holds at least Columns() by name. A row that the
// expression cannot be computed for is a *RowError. The caller releases the result.
func (p *Program) Eval(ctx context.Context, batch arrow.RecordBatch) (arrow.Array, error) {
	arr, faults, err := p.EvalRows(ctx, batch)
	if err != nil {
		return nil, err
	}
	if len(faults) > 0 {
		arr.Release()
		return nil, &RowError{Fault: faults[0]}
	}
	return arr, nil
}

// EvalRows is Eval, but a row that the expression cannot be computed for is null in the result and named in the faults,
// which are sorted by row, one a row.
func (p *Program) EvalRows(ctx context.Context, batch arrow.RecordBatch) (arrow.Array, []Fault, error) {
	ev := &evaluation{ctx: ctx, program: p, batch: batch, rows: int(batch.NumRows()), now: p.compiled}
	if now, ok := ctx.Value(nowKey{}).(time.Time); ok {
		ev.now = now
	}
	defer ev.release()
	v, err := p.root.eval(ev)
	if err != nil {
		return nil, nil, fmt.Errorf("evaluate %s: %w", p.source, err)
	}
	v = ev.spread(v)
	arr, err := ev.full(v)
	if err != nil {
		return nil, nil, fmt.Errorf("evaluate %s: %w", p.source, err)
	}
	if len(v.faults) > 0 {
		if arr, err = ev.nullAt(arr, v.faults); err != nil {
			return nil, nil, fmt.Errorf("evaluate %s: %w", p.source, err)
		}
	}
	if !arrow.TypeEqual(arr.DataType(), p.Type()) {
		return nil, nil, fmt.Errorf("evaluate %s: a kernel made %s, expected %s", p.source, arr.DataType(), p.Type())
	}
	arr.Retain()
	return arr, v.faults, nil
}

// evaluation is one run of a program over a batch, or of a predicate over the elements of a batch's lists. It holds
// every array that it makes until its end.
type evaluation struct {
	ctx     context.Context
	program *Program
	batch   arrow.RecordBatch
	rows    int
	now     time.Time
	columns []vec // by the program's columns, as they are needed
	lets    []vec // by the number of the let
	held    []arrow.Array

	// Over the elements of lists:
	outer    *evaluation
	outerRow []int32 // the row of the outer evaluation that holds each element
	element  vec
	index    vec
}

// vec is a column of values, or a single value that stands for every row.
type vec struct {
	arr    arrow.Array
	single bool
	faults []Fault // rows that could not be computed, in order, one a row; their value does not matter
}

// stride is 0 for a single value, so that i*stride is the place of row i's value.
func (v vec) stride() int {
	if v.single {
		return 0
	}
	return 1
}

// node is a checked part of an expression.
type node interface {
	dataType() arrow.DataType
	eval(*evaluation) (vec, error)
}

func (ev *evaluation) hold(arr arrow.Array) arrow.Array {
	ev.held = append(ev.held, arr)
	return arr
}

func (ev *evaluation) release() {
	for _, arr := range ev.held {
		arr.Release()
	}
	ev.held = nil
}

// column loads the column at slot in the type that kernels know.
func (ev *evaluation) column(slot int) (vec, error) {
	if ev.columns == nil {
		ev.columns = make([]vec, len(ev.program.columns))
	}
	if ev.columns[slot].arr != nil {
		return ev.columns[slot], nil
	}
	arr, err := ev.load(ev.program.columns[slot], slot)
	if err != nil {
		return vec{}, err
	}
	ev.columns[slot] = vec{arr: arr}
	return ev.columns[slot], nil
}

func (ev *evaluation) load(c column, slot int) (arrow.Array, error) {
	if ev.outer != nil {
		v, err := ev.outer.column(slot)
		if err != nil {
			return nil, err
		}
		arr, err := vector.Gather(ev.ctx, v.arr, ev.outerRow)
		if err != nil {
			return nil, err
		}
		return ev.hold(arr), nil
	}
	at := ev.batch.Schema().FieldIndices(c.name)
	if len(at) != 1 {
		return nil, fmt.Errorf("the batch has %d columns %q, expected 1", len(at), c.name)
	}
	arr := ev.batch.Column(at[0])
	if arrow.TypeEqual(arr.DataType(), c.working) {
		return arr, nil
	}
	if !arrow.TypeEqual(workingType(arr.DataType()), c.working) {
		return nil, fmt.Errorf("column %q is %s in the batch, expected %s", c.name, typeName(arr.DataType()), typeName(c.typ))
	}
	arr, err := toWorking(ev.ctx, arr, c.working)
	if err != nil {
		return nil, fmt.Errorf("column %q: %w", c.name, err)
	}
	return ev.hold(arr), nil
}

// toWorking brings an array to the type that the kernels see. The caller releases the result.
func toWorking(ctx context.Context, arr arrow.Array, working arrow.DataType) (arrow.Array, error) {
	return vector.Convert(ctx, arr, working)
}

// full is v with a value for each row.
func (ev *evaluation) full(v vec) (arrow.Array, error) {
	if !v.single {
		return v.arr, nil
	}
	arr, err := vector.Gather(ev.ctx, v.arr, make([]int32, ev.rows))
	if err != nil {
		return nil, err
	}
	return ev.hold(arr), nil
}

// spread turns a single value that could not be computed into one fault a row.
func (ev *evaluation) spread(v vec) vec {
	if !v.single || len(v.faults) == 0 {
		return v
	}
	faults := make([]Fault, ev.rows)
	for i := range faults {
		faults[i] = Fault{Row: i, Message: v.faults[0].Message}
	}
	return vec{arr: ev.hold(vector.Nulls(v.arr.DataType(), ev.rows)), faults: faults}
}

// nullAt is arr with null in the rows of faults.
func (ev *evaluation) nullAt(arr arrow.Array, faults []Fault) (arrow.Array, error) {
	places := make([]int32, arr.Len())
	for i := range places {
		places[i] = int32(i)
	}
	for _, f := range faults {
		places[f.Row] = -1
	}
	out, err := vector.Gather(ev.ctx, arr, places)
	if err != nil {
		return nil, err
	}
	return ev.hold(out), nil
}

// valid is the validity of rows in which no argument is null.
func (ev *evaluation) valid(args []vec, n int) vector.Bits {
	var valid vector.Bits
	for _, a := range args {
		valid = vector.And(valid, validityOf(a, n))
	}
	return valid
}

// validityOf is v's validity over n rows; nil when nothing is null.
func validityOf(v vec, n int) vector.Bits {
	bits := vector.Validity(v.arr)
	if !v.single || bits == nil {
		return bits
	}
	if bits.Get(0) {
		return nil
	}
	return vector.NewBits(n)
}

// mergeFaults joins two sorted lists of faults; the first message of a row stays.
func mergeFaults(a, b []Fault) []Fault {
	if len(a) == 0 {
		return b
	}
	if len(b) == 0 {
		return a
	}
	out := make([]Fault, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].Row < b[0].Row:
			out, a = append(out, a[0]), a[1:]
		case a[0].Row > b[0].Row:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// faultsWhere keeps the faults of rows for which keep holds.
func faultsWhere(faults []Fault, keep func(row int) bool) []Fault {
	var out []Fault
	for _, f := range faults {
		if keep(f.Row) {
			out = append(out, f)
		}
	}
	return out
}

// arrayOfNulls is n nulls, for a node that needs no kernel to know them.
func (ev *evaluation) nulls(dt arrow.DataType, n int) arrow.Array {
	if kindOf(dt) == kindNull {
		return ev.hold(array.NewNull(n))
	}
	return ev.hold(vector.Nulls(dt, n))
}
