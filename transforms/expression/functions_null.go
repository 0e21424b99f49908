package expression

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/expr-lang/expr/ast"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

func init() {
	define("Nulls and faults",
		fn("coalesce(x, ...)", "The first argument that is not null; `x ?? y` is the same.",
			`coalesce(nil, 2, 3) == 2`, coalesce),
		fn("nullif(x, y)", "Null if x equals y, else x.",
			`nullif("NA", "NA") == nil`, nullif),
		fn("same(x, y)", "Whether x and y are equal or both null; never unknown. SQL's IS NOT DISTINCT FROM.",
			`same(nil, nil) and not same(1, nil)`, same),
		fn("try(x)", "x, or null for a row in which x cannot be computed.",
			`try(1 / 0) == nil`, try),
		fn("type(x)", "The name of x's type.",
			`type(1.5) == "double"`, typeFunction),
	)
}

func coalesce(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 1, -1); err != nil {
		return nil, err
	}
	values, common, err := c.unified(f.nodes, "the arguments of "+f.title())
	if err != nil {
		return nil, err
	}
	out := &coalesceNode{typ: common, values: values}
	if areConst(values...) {
		return fold(out), nil
	}
	return out, nil
}

// title names a call in messages: operators that stand for functions by their sign.
func (f *funcCall) title() string {
	if op, ok := f.at.(*ast.BinaryNode); ok {
		return op.Operator
	}
	return f.name
}

// nullif keeps x's own type: y is brought to a type in which both compare.
func nullif(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 2, 2); err != nil {
		return nil, err
	}
	x, err := c.lower(f.nodes[0])
	if err != nil {
		return nil, err
	}
	y, err := c.lower(f.nodes[1])
	if err != nil {
		return nil, err
	}
	a, b, err := c.adapt(f.nodes[0], x, f.nodes[1], y)
	if err != nil {
		return nil, err
	}
	equal, err := c.compare(f.at, "==", a, b)
	if err != nil {
		return nil, err
	}
	out := &ifNode{typ: a.dataType(), cond: equal, then: nullConst(a.dataType()), other: a}
	if areConst(equal, a) {
		return fold(out), nil
	}
	return out, nil
}

func same(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 2, 2); err != nil {
		return nil, err
	}
	values, common, err := c.unified(f.nodes, "the arguments of same")
	if err != nil {
		return nil, err
	}
	if kindOf(common) == kindNull {
		return boolConst(true), nil
	}
	return call(typeBool, sameKernel(common), values...), nil
}

func sameKernel(t arrow.DataType) kernel {
	equal := compareKernel(opEq, t)
	if d, ok := t.(*arrow.Decimal128Type); ok {
		equal = decimalCompareKernel(opEq, d, d)
	}
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		eq, _, err := equal(ev, args, n)
		if err != nil {
			return nil, nil, err
		}
		isTrue, _ := truths(vec{arr: ev.hold(eq)}, n)
		a, b := validityOf(args[0], n), validityOf(args[1], n)
		for i := range n {
			if !a.IsValid(i) && !b.IsValid(i) {
				isTrue.Set(i)
			}
		}
		return vector.FromBools(isTrue, n, nil), nil, nil
	}
}

func try(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 1, 1); err != nil {
		return nil, err
	}
	v, err := c.lower(f.nodes[0])
	if err != nil {
		return nil, err
	}
	if areConst(v) {
		return v, nil
	}
	return &tryNode{value: v}, nil
}

func typeFunction(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 1, 1); err != nil {
		return nil, err
	}
	v, err := c.lower(f.nodes[0])
	if err != nil {
		return nil, err
	}
	return textConst(typeString, typeName(v.dataType())), nil
}
