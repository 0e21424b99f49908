package expression

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

// kernel computes n rows from its arguments; n is 1 if all of them are single values. It returns an array that the
// evaluation comes to own, and the rows that could not be computed.
type kernel func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error)

// columnNode is a column of the batch.
type columnNode struct {
	slot int
	typ  arrow.DataType
}

func (c *columnNode) dataType() arrow.DataType         { return c.typ }
func (c *columnNode) eval(ev *evaluation) (vec, error) { return ev.column(c.slot) }

// constNode is a value known at compile time. A number that stands in the source keeps its text, so that it can become
// exactly what the other operand is.
type constNode struct {
	arr     arrow.Array // one value, in Go's memory
	literal string
}

func (c *constNode) dataType() arrow.DataType      { return c.arr.DataType() }
func (c *constNode) eval(*evaluation) (vec, error) { return vec{arr: c.arr, single: true}, nil }
func (c *constNode) isNull() bool                  { return !vector.Validity(c.arr).IsValid(0) }

// callNode applies a kernel to its arguments.
type callNode struct {
	args []node
	typ  arrow.DataType
	run  kernel
	join bool // a concatenation, which takes further texts
}

func (c *callNode) dataType() arrow.DataType { return c.typ }

func (c *callNode) eval(ev *evaluation) (vec, error) {
	if err := ev.ctx.Err(); err != nil {
		return vec{}, err
	}
	args, single := make([]vec, len(c.args)), true
	var faults []Fault
	for i, a := range c.args {
		v, err := a.eval(ev)
		if err != nil {
			return vec{}, err
		}
		v = ev.spread(v)
		args[i], single = v, single && v.single
		faults = mergeFaults(faults, v.faults)
	}
	n := ev.rows
	if single {
		n = 1
	}
	arr, own, err := c.run(ev, args, n)
	if err != nil {
		return vec{}, err
	}
	return vec{arr: ev.hold(arr), single: single, faults: mergeFaults(faults, own)}, nil
}

// call makes the node of a kernel over args; a kernel over constants runs at once.
func call(typ arrow.DataType, run kernel, args ...node) node {
	n := &callNode{args: args, typ: typ, run: run}
	for _, a := range args {
		if _, ok := a.(*constNode); !ok {
			return n
		}
	}
	return fold(n)
}

// fold computes a node without columns; if that fails, it fails at each row that needs it.
func fold(n node) node {
	ev := &evaluation{ctx: context.Background(), rows: 1}
	defer ev.release()
	v, err := n.eval(ev)
	if err != nil || len(v.faults) > 0 || v.arr.Len() != 1 {
		return n
	}
	v.arr.Retain()
	return &constNode{arr: v.arr}
}

func boolConst(v bool) *constNode {
	bits := vector.NewBits(1)
	if v {
		bits.Set(0)
	}
	return &constNode{arr: vector.FromBools(bits, 1, nil)}
}

func fixedConst[T vector.Fixed](dt arrow.DataType, v T) *constNode {
	return &constNode{arr: vector.FromValues(dt, []T{v}, nil)}
}

func textConst(dt arrow.DataType, s string) *constNode {
	b := vector.NewTextBuilder(1, len(s))
	b.Append(s)
	b.End()
	arr, _ := b.Finish(dt, nil) // a source is shorter than 2 GiB
	return &constNode{arr: arr}
}

func nullConst(dt arrow.DataType) *constNode {
	if kindOf(dt) == kindNull {
		return &constNode{arr: array.NewNull(1)}
	}
	return &constNode{arr: vector.Nulls(dt, 1)}
}

// constText is the text of a constant string argument.
func constText(n node) (string, bool) {
	c, ok := n.(*constNode)
	if !ok || c.isNull() || kindOf(c.dataType()) != kindString {
		return "", false
	}
	return vector.TextsOf(c.arr).At(0), true
}

// letNode computes a value once and binds it for its body.
type letNode struct {
	slot        int
	value, body node
}

func (l *letNode) dataType() arrow.DataType { return l.body.dataType() }

func (l *letNode) eval(ev *evaluation) (vec, error) {
	v, err := l.value.eval(ev)
	if err != nil {
		return vec{}, err
	}
	ev.bind(l.slot, ev.spread(v))
	return l.body.eval(ev)
}

// letRef is the value of a let.
type letRef struct {
	slot int
	typ  arrow.DataType
}

func (l *letRef) dataType() arrow.DataType         { return l.typ }
func (l *letRef) eval(ev *evaluation) (vec, error) { return ev.bound(l.slot) }

func (ev *evaluation) bind(slot int, v vec) {
	for len(ev.lets) <= slot {
		ev.lets = append(ev.lets, vec{})
	}
	ev.lets[slot] = v
}

func (ev *evaluation) bound(slot int) (vec, error) {
	if slot < len(ev.lets) && ev.lets[slot].arr != nil {
		return ev.lets[slot], nil
	}
	v, err := ev.outer.bound(slot)
	if err != nil || v.single {
		return v, err
	}
	arr, err := vector.Gather(ev.ctx, v.arr, ev.outerRow)
	if err != nil {
		return vec{}, err
	}
	taken := vec{arr: ev.hold(arr)}
	for i, row := range ev.outerRow {
		if m, ok := faultOf(v.faults, int(row)); ok {
			taken.faults = append(taken.faults, Fault{Row: i, Message: m})
		}
	}
	ev.bind(slot, taken)
	return taken, nil
}

func faultOf(faults []Fault, row int) (string, bool) {
	for _, f := range faults {
		if f.Row == row {
			return f.Message, true
		}
	}
	return "", false
}
