package expression

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/expr-lang/expr/ast"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

// membership is `x in [a, b]`, `x in 1..9`, `x in list` or `key in map`. As in SQL, a value that is not found among
// values of which one is null is unknown.
func (c *compiler) membership(n *ast.BinaryNode) (node, error) {
	switch right := n.Right.(type) {
	case *ast.ArrayNode:
		return c.oneOf(n, right)
	case *ast.BinaryNode:
		if right.Operator == ".." {
			return c.between(n, right)
		}
	}
	return c.memberOf(n, n.Left, n.Right)
}

func (c *compiler) between(n *ast.BinaryNode, bounds *ast.BinaryNode) (node, error) {
	low, err := c.comparison(&ast.BinaryNode{Operator: ">=", Left: n.Left, Right: bounds.Left})
	if err != nil {
		return nil, err
	}
	high, err := c.comparison(&ast.BinaryNode{Operator: "<=", Left: n.Left, Right: bounds.Right})
	if err != nil {
		return nil, err
	}
	return &logicNode{left: low, right: high}, nil
}

// oneOf looks constants up in a set and compares with the others one by one.
func (c *compiler) oneOf(n *ast.BinaryNode, list *ast.ArrayNode) (node, error) {
	x, err := c.lower(n.Left)
	if err != nil {
		return nil, err
	}
	if kindOf(x.dataType()) == kindNull && len(list.Nodes) > 0 {
		return nullConst(typeBool), nil
	}
	var constants []arrow.Array
	var others node
	for _, element := range list.Nodes {
		e, err := c.lower(element)
		if err != nil {
			return nil, err
		}
		subject, value, err := c.adapt(n.Left, x, element, e)
		if err != nil {
			return nil, err
		}
		if k, ok := c.constantLike(x, value); ok && subject == x {
			constants = append(constants, k.arr)
			continue
		}
		equal, err := c.compare(element, "==", subject, value)
		if err != nil {
			return nil, err
		}
		others = orNode(others, equal)
	}
	if len(constants) == 0 && others == nil {
		return boolConst(false), nil
	}
	if len(constants) > 0 {
		values, err := array.Concatenate(constants, vector.Allocator)
		if err != nil {
			return nil, err
		}
		others = orNode(call(typeBool, setKernel(values), x), others)
	}
	return others, nil
}

func orNode(a, b node) node {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return &logicNode{or: true, left: a, right: b}
}

// constantLike is a constant in x's own type, if it is one without loss.
func (c *compiler) constantLike(x, value node) (*constNode, bool) {
	t := x.dataType()
	if _, ok := value.(*constNode); !ok || kindOf(t).isNested() {
		return nil, false
	}
	if common := commonType(t, value.dataType()); common == nil || !arrow.TypeEqual(common, t) {
		return nil, false
	}
	k, ok := c.cast(value, t).(*constNode)
	return k, ok
}

// setKernel looks each row up among the values.
func setKernel(values arrow.Array) kernel {
	hasNull := values.NullN() > 0
	switch kindOf(values.DataType()) {
	case kindInt, kindDate:
		return lookup(fixedSet[int32](values), hasNull, fixedKey[int32])
	case kindLong, kindTime, kindTimestamp, kindTimestampTz, kindDuration:
		return lookup(fixedSet[int64](values), hasNull, fixedKey[int64])
	case kindDecimal:
		return lookup(fixedSet[decimal128.Num](values), hasNull, fixedKey[decimal128.Num])
	case kindFloat:
		return lookup(keySet(values, floatKey[float32]), hasNull, floatKey[float32])
	case kindDouble:
		return lookup(keySet(values, floatKey[float64]), hasNull, floatKey[float64])
	case kindBool:
		return lookup(keySet(values, boolKey), hasNull, boolKey)
	}
	if k := kindOf(values.DataType()); (k == kindString || k == kindBinary) && values.Len() <= fewTexts {
		return fewTextsKernel(values, hasNull)
	}
	return lookup(keySet(values, textKey), hasNull, textKey)
}

// fewTexts is how many texts are compared one by one faster than they are looked up.
const fewTexts = 8

func fewTextsKernel(values arrow.Array, hasNull bool) kernel {
	wanted := vector.TextsOf(values)
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		in, found := vector.TextsOf(args[0].arr), vector.NewBits(n)
		for k := range values.Len() {
			if values.IsNull(k) {
				continue
			}
			for i, b := range equalsText(in, wanted.At(k), true, n) {
				found[i] |= b
			}
		}
		return foundOrUnknown(found, ev.valid(args, n), hasNull, n), nil, nil
	}
}

// foundOrUnknown makes what is not found unknown if a null is among the values: it may be that.
func foundOrUnknown(found, valid vector.Bits, hasNull bool, n int) arrow.Array {
	if hasNull {
		valid = vector.And(valid, found)
	}
	return vector.FromBools(found, n, valid)
}

func fixedKey[T vector.Fixed](arr arrow.Array) func(i int) T {
	in := vector.Values[T](arr)
	return func(i int) T { return in[i] }
}

// floatKey makes every NaN equal, and -0 equal to 0.
func floatKey[T float32 | float64](arr arrow.Array) func(i int) int64 {
	in := vector.Values[T](arr)
	return func(i int) int64 { return orderedFloat64(float64(in[i])) }
}

func boolKey(arr arrow.Array) func(i int) bool { return vector.Bools(arr).Get }

func textKey(arr arrow.Array) func(i int) string {
	read := bytesReader(arr)
	return func(i int) string { return vector.StringOf(read(i)) }
}

func fixedSet[T interface {
	vector.Fixed
	comparable
}](values arrow.Array) map[T]struct{} {
	return keySet(values, fixedKey[T])
}

func keySet[K comparable](values arrow.Array, key func(arrow.Array) func(int) K) map[K]struct{} {
	set, read := make(map[K]struct{}, values.Len()), key(values)
	for i := range values.Len() {
		if values.IsValid(i) {
			set[read(i)] = struct{}{}
		}
	}
	return set
}

func lookup[K comparable](set map[K]struct{}, hasNull bool, key func(arrow.Array) func(int) K) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		read, valid := key(args[0].arr), ev.valid(args, n)
		found := vector.NewBits(n)
		for i := range n {
			if valid.IsValid(i) {
				if _, ok := set[read(i)]; ok {
					found.Set(i)
				}
			}
		}
		return foundOrUnknown(found, valid, hasNull, n), nil, nil
	}
}

// memberOf is `x in xs` for a column of lists, or `key in m` for one of maps.
func (c *compiler) memberOf(at *ast.BinaryNode, left, right ast.Node) (node, error) {
	x, err := c.lower(left)
	if err != nil {
		return nil, err
	}
	xs, err := c.lower(right)
	if err != nil {
		return nil, err
	}
	var element arrow.DataType
	switch t := xs.dataType().(type) {
	case *arrow.ListType:
		element = t.Elem()
	case *arrow.MapType:
		element = t.KeyType()
	case *arrow.NullType:
		return nullConst(typeBool), nil
	default:
		return nil, c.errorf(right, "write a list, as in x in [1, 2]", "in needs a list or a map, found %s", typeName(t))
	}
	if x, err = c.adaptTo(left, x, element); err != nil {
		return nil, err
	}
	common := commonType(x.dataType(), element)
	if common == nil {
		return nil, c.errorf(at, mismatchHint(x.dataType(), element), "%s cannot be among values of %s", typeName(x.dataType()), typeName(element))
	}
	return call(typeBool, memberKernel(castKernel(element, common), common), c.cast(x, common), xs), nil
}

// memberKernel looks x up among its row's elements (or keys), which it first casts to x's type.
func memberKernel(toCommon kernel, t arrow.DataType) kernel {
	equal := compareKernel(opEq, t)
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		x, lists := args[0], args[1]
		offsets, elements, rows, err := ev.elements(lists, n)
		if err != nil {
			return nil, nil, err
		}
		keys, _, err := castChild(ev, toCommon, elements)
		if err != nil {
			return nil, nil, err
		}
		// Each element beside its row's x.
		subjects := x
		if !x.single {
			taken, err := vector.Gather(ev.ctx, x.arr, rows)
			if err != nil {
				return nil, nil, err
			}
			subjects = vec{arr: ev.hold(taken)}
		}
		hits, _, err := equal(ev, []vec{subjects, {arr: keys}}, keys.Len())
		if err != nil {
			return nil, nil, err
		}
		isTrue, isFalse := truths(vec{arr: ev.hold(hits)}, keys.Len())
		return anyOf(offsets, isTrue, isFalse, ev.valid([]vec{lists}, n), n), nil, nil
	}
}

// anyOf is true for rows with a true element, false where all are false, else unknown; a null list is unknown.
func anyOf(offsets []int32, isTrue, isFalse, valid vector.Bits, n int) arrow.Array {
	outTrue, outFalse := vector.NewBits(n), vector.NewBits(n)
	for i := range n {
		if !valid.IsValid(i) {
			continue
		}
		some, all := false, true
		for j := int(offsets[i]); j < int(offsets[i+1]); j++ {
			some = some || isTrue.Get(j)
			all = all && isFalse.Get(j)
		}
		if some {
			outTrue.Set(i)
		} else if all {
			outFalse.Set(i)
		}
	}
	return fromTruths(outTrue, outFalse, n)
}
