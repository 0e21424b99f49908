package expression

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

// notKernel negates; unknown stays unknown.
func notKernel(_ *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	in := vector.Bools(args[0].arr)
	out := vector.NewBits(n)
	for i := range out {
		out[i] = ^in[i]
	}
	return vector.FromBools(out, n, vector.Validity(args[0].arr)), nil, nil
}

// nullTestKernel is `x == nil`, or `x != nil` if negated.
func nullTestKernel(negated bool) kernel {
	return func(_ *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		valid := vector.Validity(args[0].arr)
		out := vector.NewBits(n)
		for i := range out {
			b := byte(0xff)
			if valid != nil {
				b = valid[i]
			}
			if !negated {
				b = ^b
			}
			out[i] = b
		}
		return vector.FromBools(out, n, nil), nil, nil
	}
}

// logicNode is Kleene's and/or: false and unknown is false, true or unknown is true. A row for which the left side
// decides does not fail by the right side.
type logicNode struct {
	or          bool
	left, right node
}

func (l *logicNode) dataType() arrow.DataType { return typeBool }

func (l *logicNode) eval(ev *evaluation) (vec, error) {
	a, err := l.left.eval(ev)
	if err != nil {
		return vec{}, err
	}
	b, err := l.right.eval(ev)
	if err != nil {
		return vec{}, err
	}
	a, b = ev.spread(a), ev.spread(b)
	n, single := ev.rows, a.single && b.single
	if single {
		n = 1
	}
	at, af := truths(a, n)
	bt, bf := truths(b, n)
	// A row is true where all (any) sides are true, false where any (all) side is false, else unknown.
	isTrue, isFalse := vector.NewBits(n), vector.NewBits(n)
	for i := range isTrue {
		if l.or {
			isTrue[i], isFalse[i] = at[i]|bt[i], af[i]&bf[i]
		} else {
			isTrue[i], isFalse[i] = at[i]&bt[i], af[i]|bf[i]
		}
	}
	decided := af
	if l.or {
		decided = at
	}
	faults := mergeFaults(a.faults, faultsWhere(b.faults, func(row int) bool { return !decided.Get(row) }))
	return vec{arr: ev.hold(fromTruths(isTrue, isFalse, n)), single: single, faults: faults}, nil
}

// truths are the rows in which v is true, and those in which it is false.
func truths(v vec, n int) (isTrue, isFalse vector.Bits) {
	isTrue, isFalse = vector.NewBits(n), vector.NewBits(n)
	if v.single {
		if vector.Validity(v.arr).IsValid(0) {
			if vector.Bools(v.arr).Get(0) {
				return vector.Ones(n), isFalse
			}
			return isTrue, vector.Ones(n)
		}
		return isTrue, isFalse
	}
	values, valid := vector.Bools(v.arr), vector.Validity(v.arr)
	for i := range isTrue {
		known := byte(0xff)
		if valid != nil {
			known = valid[i]
		}
		isTrue[i], isFalse[i] = values[i]&known, ^values[i]&known
	}
	return isTrue, isFalse
}

func fromTruths(isTrue, isFalse vector.Bits, n int) arrow.Array {
	valid := vector.NewBits(n)
	for i := range valid {
		valid[i] = isTrue[i] | isFalse[i]
	}
	return vector.FromBools(isTrue, n, valid)
}

// ifNode takes a value from one of two branches, row by row. A row does not fail by the branch that it does not take.
type ifNode struct {
	typ               arrow.DataType
	cond, then, other node
}

func (f *ifNode) dataType() arrow.DataType { return f.typ }

func (f *ifNode) eval(ev *evaluation) (vec, error) {
	parts := make([]vec, 3)
	for i, n := range []node{f.cond, f.then, f.other} {
		v, err := n.eval(ev)
		if err != nil {
			return vec{}, err
		}
		parts[i] = ev.spread(v)
	}
	cond, then, other := parts[0], parts[1], parts[2]
	if cond.single {
		taken := other
		if isTrue, _ := truths(cond, 1); isTrue.Get(0) {
			taken = then
		}
		return taken, nil
	}
	isTrue, _ := truths(cond, ev.rows)
	arr, err := choose(ev, isTrue, then, other)
	if err != nil {
		return vec{}, err
	}
	faults := mergeFaults(
		faultsWhere(then.faults, isTrue.Get),
		faultsWhere(other.faults, func(row int) bool { return !isTrue.Get(row) }),
	)
	return vec{arr: ev.hold(arr), faults: mergeFaults(cond.faults, faults)}, nil
}

// coalesceNode takes the first value that is not null. A row does not fail by values behind the one taken.
type coalesceNode struct {
	typ    arrow.DataType
	values []node
}

func (c *coalesceNode) dataType() arrow.DataType { return c.typ }

func (c *coalesceNode) eval(ev *evaluation) (vec, error) {
	var acc vec
	for i, value := range c.values {
		v, err := value.eval(ev)
		if err != nil {
			return vec{}, err
		}
		v = ev.spread(v)
		if i == 0 {
			acc = v
		} else if acc, err = ev.orElse(acc, v); err != nil {
			return vec{}, err
		}
		if acc.arr.NullN() == 0 && kindOf(acc.arr.DataType()) != kindNull {
			break
		}
	}
	return acc, nil
}

// orElse is a where it is not null, else b.
func (ev *evaluation) orElse(a, b vec) (vec, error) {
	if a.single {
		if vector.Validity(a.arr).IsValid(0) {
			return a, nil
		}
		return b, nil
	}
	present := validityOf(a, ev.rows)
	if present == nil {
		return a, nil
	}
	arr, err := choose(ev, present, a, b)
	if err != nil {
		return vec{}, err
	}
	late := faultsWhere(b.faults, func(row int) bool { return !present.Get(row) })
	return vec{arr: ev.hold(arr), faults: mergeFaults(a.faults, late)}, nil
}

// tryNode makes null of what cannot be computed.
type tryNode struct{ value node }

func (t *tryNode) dataType() arrow.DataType { return t.value.dataType() }

func (t *tryNode) eval(ev *evaluation) (vec, error) {
	v, err := t.value.eval(ev)
	if err != nil || len(v.faults) == 0 {
		return v, err
	}
	v = ev.spread(v)
	arr, err := ev.nullAt(v.arr, v.faults)
	return vec{arr: arr}, err
}
