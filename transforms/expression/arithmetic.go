package expression

import (
	"math"
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/expr-lang/expr/ast"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

// arithmetic is + - * / % ** over numbers, + over text, and + and - over dates, timestamps and durations.
func (c *compiler) arithmetic(n *ast.BinaryNode) (node, error) {
	a, b, err := c.operands(n)
	if err != nil {
		return nil, err
	}
	ka, kb := kindOf(a.dataType()), kindOf(b.dataType())
	switch {
	case ka == kindNull && kb == kindNull:
		return nullConst(typeNull), nil
	case ka.isNumber() && kb.isNumber(), ka.isNumber() && kb == kindNull, ka == kindNull && kb.isNumber():
		return c.numeric(n.Operator, a, b), nil
	case n.Operator == "+" && (ka == kindString || kb == kindString):
		return c.concatenation(n, a, b)
	}
	if out := c.temporal(n.Operator, a, b); out != nil {
		return out, nil
	}
	return nil, c.errorf(n, arithmeticHint(n.Operator, a.dataType(), b.dataType()), "%s cannot combine %s and %s",
		n.Operator, typeName(a.dataType()), typeName(b.dataType()))
}

func arithmeticHint(op string, a, b arrow.DataType) string {
	ka, kb := kindOf(a), kindOf(b)
	switch {
	case ka == kindDate && kb == kindDate && op == "+":
		return "dates can be subtracted, not added"
	case ka.isTemporal() && kb.isNumber():
		return `add a duration, as in ts + duration("1h")`
	case ka.isTemporal() && kb.isTemporal():
		return mismatchHint(a, b)
	case ka == kindBool || kb == kindBool:
		return "int(...) makes a boolean 0 or 1"
	case ka == kindString || kb == kindString:
		return mismatchHint(a, b)
	}
	return ""
}

// concatenation joins text; other values are not turned into text unasked.
func (c *compiler) concatenation(n *ast.BinaryNode, a, b node) (node, error) {
	for i, v := range []node{a, b} {
		if k := kindOf(v.dataType()); k != kindString && k != kindNull {
			return nil, c.errorf([]ast.Node{n.Left, n.Right}[i], "string(...) turns it into text",
				"+ joins text with text, found %s", typeName(v.dataType()))
		}
	}
	return joinTexts(c.cast(a, typeString), c.cast(b, typeString)), nil
}

// joinTexts makes one kernel of a + b + c.
func joinTexts(a, b node) node {
	if left, ok := a.(*callNode); ok && len(left.args) > 1 && left.typ == typeString && left.join {
		joined := call(typeString, concatKernel, append(append([]node(nil), left.args...), b)...).(*callNode)
		joined.join = true
		return joined
	}
	out := call(typeString, concatKernel, a, b)
	if joined, ok := out.(*callNode); ok {
		joined.join = true
	}
	return out
}

// numeric picks the type in which to compute: decimal if one side is and the other is exact, double if one side is
// floating, and for / and ** of integers; else int or long.
func (c *compiler) numeric(op string, a, b node) node {
	a, b = c.numberIfNull(a, b), c.numberIfNull(b, a)
	ka, kb := kindOf(a.dataType()), kindOf(b.dataType())
	if exactDecimals(ka, kb) && op != "**" && op != "^" {
		ta, tb := asDecimal(a.dataType()), asDecimal(b.dataType())
		to := decimalResult(op, ta, tb)
		return call(to, decimalKernel(op, ta, tb, to), c.cast(a, ta), c.cast(b, tb))
	}
	t := commonType(a.dataType(), b.dataType())
	switch {
	case op == "**" || op == "^" || op == "/" && kindOf(t) != kindFloat:
		t = typeDouble
	case kindOf(t) == kindDecimal:
		t = typeDouble
	}
	a, b = c.cast(a, t), c.cast(b, t)
	switch kindOf(t) {
	case kindInt:
		return call(t, integerKernel[int32](op, t), a, b)
	case kindLong:
		return call(t, integerKernel[int64](op, t), a, b)
	case kindFloat:
		return call(t, floatKernel[float32](op, t), a, b)
	}
	return call(t, floatKernel[float64](op, t), a, b)
}

// numberIfNull gives an untyped null the other side's type.
func (c *compiler) numberIfNull(v, other node) node {
	if kindOf(v.dataType()) == kindNull {
		return nullConst(other.dataType())
	}
	return v
}

// integerKernel computes with overflow checked: first without branches, and again row by row if anything overflowed.
func integerKernel[T int32 | int64](op string, t arrow.DataType) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		a, b := vector.Values[T](args[0].arr), vector.Values[T](args[1].arr)
		sa, sb, valid := args[0].stride(), args[1].stride(), ev.valid(args, n)
		if op != "%" {
			if out, ok := fastIntegers(op, a, b, sa, sb, n); ok {
				return vector.FromValues(t, out, valid), nil, nil
			}
		}
		return computeFixed(t, n, valid, func(i int) (T, string) {
			x, y := a[i*sa], b[i*sb]
			if op == "%" && y == 0 {
				return 0, divisionByZero
			}
			v, ok := integerOp(op, x, y)
			if !ok {
				return 0, overflow
			}
			return v, ""
		})
	}
}

// fastIntegers gives up if any row overflows, also one that is null.
func fastIntegers[T int32 | int64](op string, a, b []T, sa, sb, n int) ([]T, bool) {
	out, bad := vector.Alloc[T](n), T(0)
	switch op {
	case "+":
		for i := range out {
			x, y := a[i*sa], b[i*sb]
			r := x + y
			out[i] = r
			bad |= (x ^ r) & (y ^ r)
		}
	case "-":
		for i := range out {
			x, y := a[i*sa], b[i*sb]
			r := x - y
			out[i] = r
			bad |= (x ^ y) & (x ^ r)
		}
	case "*":
		for i := range out {
			r, ok := integerOp(op, a[i*sa], b[i*sb])
			if !ok {
				return nil, false
			}
			out[i] = r
		}
	}
	return out, bad >= 0
}

func integerOp[T int32 | int64](op string, x, y T) (T, bool) {
	switch op {
	case "+":
		r := x + y
		return r, (x^r)&(y^r) >= 0
	case "-":
		r := x - y
		return r, (x^y)&(x^r) >= 0
	case "*":
		return multiply(x, y)
	}
	if y == -1 {
		return 0, true // the least integer too
	}
	return x % y, true
}

func multiply[T int32 | int64](x, y T) (T, bool) {
	if v := int64(x) * int64(y); int64(x) == int64(int32(x)) && int64(y) == int64(int32(y)) {
		return T(v), int64(T(v)) == v
	}
	hi, lo := bits.Mul64(uint64(x), uint64(y))
	// Mul64 is unsigned: correct the high word for negative factors (Warren, Hacker's Delight, 8-3).
	high := int64(hi) - int64(y)&(int64(x)>>63) - int64(x)&(int64(y)>>63)
	return T(lo), high == int64(lo)>>63
}

// floatKernel computes in IEEE arithmetic, but a division by zero is a fault.
func floatKernel[T float32 | float64](op string, t arrow.DataType) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		a, b := vector.Values[T](args[0].arr), vector.Values[T](args[1].arr)
		sa, sb, valid := args[0].stride(), args[1].stride(), ev.valid(args, n)
		out := vector.Alloc[T](n)
		switch op {
		case "+":
			for i := range out {
				out[i] = a[i*sa] + b[i*sb]
			}
		case "-":
			for i := range out {
				out[i] = a[i*sa] - b[i*sb]
			}
		case "*":
			for i := range out {
				out[i] = a[i*sa] * b[i*sb]
			}
		case "/":
			zero := false
			for i := range out {
				out[i] = a[i*sa] / b[i*sb]
				zero = zero || b[i*sb] == 0
			}
			if zero {
				return computeFixed(t, n, valid, func(i int) (T, string) { return floatOp(op, a[i*sa], b[i*sb]) })
			}
		default:
			return computeFixed(t, n, valid, func(i int) (T, string) { return floatOp(op, a[i*sa], b[i*sb]) })
		}
		return vector.FromValues(t, out, valid), nil, nil
	}
}

func floatOp[T float32 | float64](op string, x, y T) (T, string) {
	switch {
	case op == "**" || op == "^":
		return T(math.Pow(float64(x), float64(y))), ""
	case y == 0:
		return 0, divisionByZero
	case op == "%":
		return T(math.Mod(float64(x), float64(y))), ""
	}
	return x / y, ""
}

func negateKernel(t arrow.DataType) kernel {
	switch kindOf(t) {
	case kindInt:
		return negateIntegers[int32](t)
	case kindLong, kindDuration:
		return negateIntegers[int64](t)
	case kindFloat:
		return mapFixed(t, func(v float32) float32 { return -v })
	case kindDouble:
		return mapFixed(t, func(v float64) float64 { return -v })
	}
	return mapFixed(t, decimal128.Num.Negate)
}

func negateIntegers[T int32 | int64](t arrow.DataType) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		in := vector.Values[T](args[0].arr)
		return computeFixed(t, n, ev.valid(args, n), func(i int) (T, string) {
			if in[i] == -in[i] && in[i] != 0 {
				return 0, overflow
			}
			return -in[i], ""
		})
	}
}

// mapFixed applies a function that cannot fail to every row, null or not.
func mapFixed[A, B vector.Fixed](t arrow.DataType, f func(A) B) kernel {
	return func(_ *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		in, out := vector.Values[A](args[0].arr), vector.Alloc[B](n)
		for i, v := range in {
			out[i] = f(v)
		}
		return vector.FromValues(t, out, vector.Validity(args[0].arr)), nil, nil
	}
}
