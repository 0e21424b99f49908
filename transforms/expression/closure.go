package expression

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/expr-lang/expr/ast"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// closureNode evaluates a predicate over the elements of all lists of a batch at once, and gathers its results.
type closureNode struct {
	typ  arrow.DataType
	list node
	body node
	// finish makes the result of n rows from the elements, the bounds of the rows and the predicate's values.
	finish func(ev *evaluation, x closureInput) (arrow.Array, []Fault, error)
	// decides says whether the element's result ends its row, so that later faults do not count; nil if none does.
	decides func(isTrue, isFalse bool) bool
}

// closureInput is what a finish sees.
type closureInput struct {
	n        int
	offsets  []int32
	elements arrow.Array
	body     vec // a value for each element
	valid    vector.Bits
}

func (k *closureNode) dataType() arrow.DataType { return k.typ }

func (k *closureNode) eval(ev *evaluation) (vec, error) {
	list, err := k.list.eval(ev)
	if err != nil {
		return vec{}, err
	}
	list = ev.spread(list)
	n := ev.rows
	offsets, elements, rows, err := ev.elements(list, n)
	if err != nil {
		return vec{}, err
	}
	inner := &evaluation{
		ctx: ev.ctx, program: ev.program, rows: elements.Len(), now: ev.now,
		outer: ev, outerRow: rows, element: vec{arr: elements}, index: vec{arr: ev.hold(places(offsets))},
	}
	defer inner.release()
	body, err := k.body.eval(inner)
	if err != nil {
		return vec{}, err
	}
	body = inner.spread(body)
	if body.arr, err = inner.full(body); err != nil {
		return vec{}, err
	}
	body.single = false
	x := closureInput{n: n, offsets: offsets, elements: elements, body: body, valid: validityOf(list, n)}
	arr, own, err := k.finish(ev, x)
	if err != nil {
		return vec{}, err
	}
	return vec{arr: ev.hold(arr), faults: mergeFaults(list.faults, mergeFaults(k.faults(x), own))}, nil
}

// faults are the rows with an element that the predicate could not be computed for, before the row was decided.
func (k *closureNode) faults(x closureInput) []Fault {
	left := x.body.faults
	if len(left) == 0 {
		return nil
	}
	var isTrue, isFalse vector.Bits
	if k.decides != nil {
		isTrue, isFalse = truths(x.body, x.body.arr.Len())
	}
	var out []Fault
	for i := 0; i < x.n && len(left) > 0; i++ {
		decided := !x.valid.IsValid(i)
		for j := int(x.offsets[i]); j < int(x.offsets[i+1]); j++ {
			if len(left) > 0 && left[0].Row == j {
				if !decided {
					out = append(out, Fault{Row: i, Message: left[0].Message})
					decided = true
				}
				left = left[1:]
				continue
			}
			decided = decided || k.decides != nil && k.decides(isTrue.Get(j), isFalse.Get(j))
		}
	}
	return out
}

// places is each element's place in its row.
func places(offsets []int32) arrow.Array {
	out := vector.Alloc[int32](int(offsets[len(offsets)-1]))
	for i := 0; i+1 < len(offsets); i++ {
		for j := offsets[i]; j < offsets[i+1]; j++ {
			out[j] = j - offsets[i]
		}
	}
	return vector.FromValues(typeInt, out, nil)
}

// elementNode is # in a predicate, indexNode #index.
type elementNode struct{ typ arrow.DataType }

func (e *elementNode) dataType() arrow.DataType         { return e.typ }
func (e *elementNode) eval(ev *evaluation) (vec, error) { return ev.element, nil }

type indexNode struct{}

func (indexNode) dataType() arrow.DataType         { return typeInt }
func (indexNode) eval(ev *evaluation) (vec, error) { return ev.index, nil }

func (c *compiler) pointer(n *ast.PointerNode) (node, error) {
	if len(c.focus) == 0 {
		return nil, c.errorf(n, "", "# stands for an element in a predicate, as in any(list, # > 1)")
	}
	innermost := c.focus[len(c.focus)-1]
	switch {
	case n.Name == "":
		return &elementNode{typ: innermost.element}, nil
	case n.Name == "index":
		return indexNode{}, nil
	case n.Name == "acc" && innermost.acc != nil:
		return &elementNode{typ: innermost.acc}, nil // only its type is asked for
	}
	return nil, c.errorf(n, "the names are # and #index", "unknown name #%s", n.Name)
}

// closure lowers a list and a predicate over its elements.
func (c *compiler) closure(f *funcCall) (list, body node, err error) {
	if err := f.arity(c, 2, 2); err != nil {
		return nil, nil, err
	}
	if list, err = c.argument(f, 0, paramList); err != nil {
		return nil, nil, err
	}
	if kindOf(list.dataType()) == kindNull {
		list = nullConst(columntype.List(typeNull))
	}
	predicate, ok := f.nodes[1].(*ast.PredicateNode)
	if !ok {
		return nil, nil, c.errorf(f.nodes[1], "", "%s needs a predicate", f.name)
	}
	c.focus = append(c.focus, focus{element: list.dataType().(*arrow.ListType).Elem()})
	body, err = c.lower(predicate.Node)
	c.focus = c.focus[:len(c.focus)-1]
	return list, body, err
}

// predicate is closure for a boolean body.
func (c *compiler) predicate(f *funcCall) (list, body node, err error) {
	if list, body, err = c.closure(f); err != nil {
		return nil, nil, err
	}
	if k := kindOf(body.dataType()); k != kindBool && k != kindNull {
		return nil, nil, c.errorf(f.nodes[1].(*ast.PredicateNode).Node, "", "%s needs a boolean predicate, found %s", f.name, typeName(body.dataType()))
	}
	return list, c.cast(body, typeBool), nil
}
