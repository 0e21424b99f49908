package expression

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/expr-lang/expr/ast"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

// itself is the predicate that is the element.
func itself() ast.Node { return &ast.PredicateNode{Node: &ast.PointerNode{}} }

// numbers lowers a list of numbers, or an expression over a list's elements.
func (c *compiler) numbers(f *funcCall) (list, body node, err error) {
	if len(f.nodes) == 1 {
		f.nodes = append(f.nodes, itself())
	}
	if list, body, err = c.closure(f); err != nil {
		return nil, nil, err
	}
	if k := kindOf(body.dataType()); !k.isNumber() && k != kindNull {
		return nil, nil, c.errorf(f.nodes[0], "", "%s needs numbers, found %s", f.name, typeName(body.dataType()))
	}
	return list, body, nil
}

// sumFunction sums integers to a long, decimals to 38 digits, floating-point numbers to a double.
func sumFunction(c *compiler, f *funcCall) (node, error) {
	list, body, err := c.numbers(f)
	if err != nil {
		return nil, err
	}
	t := typeDouble
	switch k := kindOf(body.dataType()); {
	case k.isInteger():
		t = typeLong
	case k == kindDecimal:
		t = &arrow.Decimal128Type{Precision: maxPrecision, Scale: body.dataType().(*arrow.Decimal128Type).Scale}
	}
	return closureCall(&closureNode{typ: t, list: list, body: c.cast(body, t), finish: func(ev *evaluation, x closureInput) (arrow.Array, []Fault, error) {
		switch kindOf(t) {
		case kindLong:
			return sums(t, x, func(a, b int64) (int64, bool) { return integerOp("+", a, b) })
		case kindDecimal:
			return sums(t, x, addExactly)
		}
		return sums(t, x, func(a, b float64) (float64, bool) { return a + b, true })
	}}), nil
}

// addExactly adds decimals of one scale.
func addExactly(a, b decimal128.Num) (decimal128.Num, bool) {
	sum := a.Add(b)
	wrapped := a.Sign() == b.Sign() && sum.Sign() != a.Sign()
	return sum, !wrapped && fits(sum, maxPrecision)
}

// sums adds up each row's values.
func sums[T vector.Fixed](t arrow.DataType, x closureInput, add func(a, b T) (T, bool)) (arrow.Array, []Fault, error) {
	in, present := vector.Values[T](x.body.arr), vector.Validity(x.body.arr)
	some := nullable(x.n, func(i int) bool {
		for j := int(x.offsets[i]); j < int(x.offsets[i+1]) && x.valid.IsValid(i); j++ {
			if present.IsValid(j) {
				return true
			}
		}
		return false
	})
	return computeFixed(t, x.n, some, func(i int) (T, string) {
		var sum T
		for j := int(x.offsets[i]); j < int(x.offsets[i+1]); j++ {
			if !present.IsValid(j) {
				continue
			}
			var ok bool
			if sum, ok = add(sum, in[j]); !ok {
				return sum, overflow
			}
		}
		return sum, ""
	})
}

func meanFunction(c *compiler, f *funcCall) (node, error) {
	list, body, err := c.numbers(f)
	if err != nil {
		return nil, err
	}
	return closureCall(&closureNode{typ: typeDouble, list: list, body: c.cast(body, typeDouble), finish: func(_ *evaluation, x closureInput) (arrow.Array, []Fault, error) {
		in, present := vector.Values[float64](x.body.arr), vector.Validity(x.body.arr)
		out, valid := vector.Alloc[float64](x.n), vector.NewBits(x.n)
		for i := range out {
			sum, n := 0.0, 0
			for j := int(x.offsets[i]); j < int(x.offsets[i+1]) && x.valid.IsValid(i); j++ {
				if present.IsValid(j) {
					sum, n = sum+in[j], n+1
				}
			}
			if n > 0 {
				out[i] = sum / float64(n)
				valid.Set(i)
			}
		}
		return vector.FromValues(typeDouble, out, valid), nil, nil
	}}), nil
}
