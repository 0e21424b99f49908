package expression

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

func init() {
	define("Numbers",
		fn("abs(x)", "The absolute value, in x's type.", `abs(-2) == 2`, absFunction),
		fn("sign(x)", "-1, 0 or 1.", `sign(-0.5) == -1`, signFunction),
		fn("floor(x)", "The whole number not above x; of a double a double, of a decimal a decimal.", `floor(-1.5) == -2`, rounding("floor")),
		fn("ceil(x)", "The whole number not below x.", `ceil(1.2) == 2`, rounding("ceil")),
		fn("round(x, digits)", "x with so many digits after the point (0 if absent), the half away from zero.", `round(2.345, 1) == 2.3`, rounding("round")),
		fn("trunc(x)", "x without its fraction.", `trunc(-1.5) == -1`, rounding("trunc")),
		fn("div(x, y)", "The whole quotient of whole numbers, towards zero.", `div(7, 2) == 3`, divFunction),
		fn("sqrt(x)", "The square root; of a negative number a fault.", `sqrt(9) == 3`, floating(math.Sqrt)),
		fn("exp(x)", "e to the power of x.", `exp(0) == 1`, floating(math.Exp)),
		fn("ln(x)", "The natural logarithm; of a number not above 0 a fault.", `ln(1) == 0`, floating(math.Log)),
		fn("log10(x)", "The logarithm to base 10.", `log10(1000) == 3`, floating(math.Log10)),
		fn("is_nan(x)", "Whether a floating-point number is not a number.", `is_nan(double("nan"))`, strict(typeBool, nanKernel, paramDouble)),
		fn("min(x, ...)", "The least argument, or the least element of a list; nulls are left out.", `min(3, nil, 1) == 1 and min([3, 2]) == 2`, extremum(opLt)),
		fn("max(x, ...)", "The greatest argument, or the greatest element of a list; nulls are left out.", `max(3, nil, 1) == 3`, extremum(opGt)),
	)
}

func (c *compiler) oneNumber(f *funcCall) (node, error) {
	args, err := c.arguments(f, 1, paramNumber)
	if err != nil {
		return nil, err
	}
	return c.numberIfNull(args[0], nullConst(typeDouble)), nil
}

func absFunction(c *compiler, f *funcCall) (node, error) {
	args, err := c.arguments(f, 1, param{"a number or a duration", func(k kind) bool { return k.isNumber() || k == kindDuration }, nil})
	if err != nil {
		return nil, err
	}
	v := c.numberIfNull(args[0], nullConst(typeDouble))
	t := v.dataType()
	switch kindOf(t) {
	case kindInt:
		return call(t, absIntegers[int32](t), v), nil
	case kindLong, kindDuration:
		return call(t, absIntegers[int64](t), v), nil
	case kindFloat:
		return call(t, mapFixed(t, func(v float32) float32 { return float32(math.Abs(float64(v))) }), v), nil
	case kindDouble:
		return call(t, mapFixed(t, math.Abs), v), nil
	}
	return call(t, mapFixed(t, decimal128.Num.Abs), v), nil
}

func absIntegers[T int32 | int64](t arrow.DataType) kernel {
	return eachValue(t, func(v T) (T, string) {
		if v < 0 {
			v = -v
		}
		if v < 0 {
			return 0, overflow
		}
		return v, ""
	})
}

func signFunction(c *compiler, f *funcCall) (node, error) {
	v, err := c.oneNumber(f)
	if err != nil {
		return nil, err
	}
	run := func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		read := doubleReader(args[0].arr)
		return computeFixed(typeInt, n, ev.valid(args, n), func(i int) (int32, string) {
			switch x := read(i); {
			case x > 0:
				return 1, ""
			case x < 0:
				return -1, ""
			}
			return 0, ""
		})
	}
	return call(typeInt, run, v), nil
}

var roundings = map[string]func(float64) float64{"floor": math.Floor, "ceil": math.Ceil, "round": math.Round, "trunc": math.Trunc}

// rounding is floor, ceil, round or trunc; whole numbers stay what they are.
func rounding(how string) builder {
	return func(c *compiler, f *funcCall) (node, error) {
		params := []param{paramNumber}
		if how == "round" {
			params = append(params, paramWhole)
		}
		args, err := c.arguments(f, 1, params...)
		if err != nil {
			return nil, err
		}
		digits := int64(0)
		if len(args) == 2 {
			k, ok := args[1].(*constNode)
			if !ok || k.isNull() {
				return nil, c.errorf(f.nodes[1], "", "round needs a constant number of digits")
			}
			digits = vector.Values[int64](k.arr)[0]
		}
		v := c.numberIfNull(args[0], nullConst(typeDouble))
		return c.rounded(v, how, int32(min(max(digits, -400), 400))), nil
	}
}

func (c *compiler) rounded(v node, how string, digits int32) node {
	t, f := v.dataType(), roundings[how]
	switch k := kindOf(t); {
	case k.isInteger() && digits >= 0:
		return v
	case k == kindDecimal:
		return c.roundedDecimal(v, how, digits)
	case k == kindFloat && digits == 0:
		return call(t, mapFixed(t, func(x float32) float32 { return float32(f(float64(x))) }), v)
	}
	out := call(typeDouble, mapFixed(typeDouble, roundTo(f, digits)), c.cast(v, typeDouble))
	if kindOf(t) != kindDouble {
		return call(t, castKernel(typeDouble, t), out)
	}
	return out
}

// roundTo rounds at a digit; beyond what a double holds there is nothing to round.
func roundTo(f func(float64) float64, digits int32) func(float64) float64 {
	if digits == 0 {
		return f
	}
	power := math.Pow10(int(max(digits, -digits)))
	return func(x float64) float64 {
		if digits < 0 {
			return f(x/power) * power
		}
		if out := f(x*power) / power; !math.IsInf(out, 0) && !math.IsNaN(out) {
			return out
		}
		return x
	}
}

// roundedDecimal has the scale asked for, and a digit more before the point, into which rounding may carry.
func (c *compiler) roundedDecimal(v node, how string, digits int32) node {
	from := v.dataType().(*arrow.Decimal128Type)
	if digits >= from.Scale {
		return v
	}
	scale := max(digits, 0)
	to := &arrow.Decimal128Type{Precision: min(from.Precision-from.Scale+scale+1, maxPrecision), Scale: scale}
	return call(to, eachValue(to, func(x decimal128.Num) (decimal128.Num, string) {
		m, negative := magnitudeOf(x)
		cut, whole := from.Scale-digits, magnitude{}
		if cut <= maxPrecision {
			whole = m.truncate(cut)
		}
		up := false
		switch back, _ := whole.shift(cut); how {
		case "round":
			whole, _ = m.shift(-cut)
		case "floor":
			up = negative && back != m
		case "ceil":
			up = !negative && back != m
		}
		if up {
			one := whole.signed(false).Add(decimal128.FromI64(1))
			whole, _ = magnitudeOf(one)
		}
		whole, _ = whole.shift(scale - digits)
		return orOverflow(whole.signed(negative), whole.less(limits[to.Precision]))
	}), v)
}

func divFunction(c *compiler, f *funcCall) (node, error) {
	args, err := c.arguments(f, 2, paramWhole, paramWhole)
	if err != nil {
		return nil, err
	}
	run := func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		a, b := vector.Values[int64](args[0].arr), vector.Values[int64](args[1].arr)
		sa, sb := args[0].stride(), args[1].stride()
		return computeFixed(typeLong, n, ev.valid(args, n), func(i int) (int64, string) {
			x, y := a[i*sa], b[i*sb]
			switch {
			case y == 0:
				return 0, divisionByZero
			case y == -1 && x == math.MinInt64:
				return 0, overflow
			}
			return x / y, ""
		})
	}
	return call(typeLong, run, args...), nil
}

// floating is a function of a double; a result that is not a number, of an argument that is one, is a fault.
func floating(f func(float64) float64) builder {
	return strict(typeDouble, eachValue(typeDouble, func(x float64) (float64, string) {
		y := f(x)
		if math.IsNaN(y) && !math.IsNaN(x) || math.IsInf(y, -1) && !math.IsInf(x, 0) {
			return 0, "the argument is out of the function's range"
		}
		return y, ""
	}), paramDouble)
}

func nanKernel(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	in := vector.Values[float64](args[0].arr)
	return computeBools(n, ev.valid(args, n), func(i int) (bool, string) { return math.IsNaN(in[i]), "" })
}

// extremum is min or max, of several arguments or of a list.
func extremum(op compareOp) builder {
	return func(c *compiler, f *funcCall) (node, error) {
		if err := f.arity(c, 1, -1); err != nil {
			return nil, err
		}
		values, common, err := c.unified(f.nodes, "the arguments of "+f.name)
		if err != nil {
			return nil, err
		}
		if list, ok := common.(*arrow.ListType); ok && len(values) == 1 {
			common, values = list.Elem(), []node{call(list.Elem(), listExtremum(op, list.Elem()), values...)}
		}
		if kindOf(common).isNested() {
			return nil, c.errorf(f.nodes[0], "", "%s values have no order", typeName(common))
		}
		best := values[0]
		for _, v := range values[1:] {
			best = c.better(op, common, best, v)
		}
		return best, nil
	}
}

// better is the one of two values that comes first by op; a null gives way.
func (c *compiler) better(op compareOp, t arrow.DataType, a, b node) node {
	if kindOf(t) == kindNull {
		return a
	}
	first := call(typeBool, orderKernel(op, t), a, b)
	out := &ifNode{typ: t, cond: first, then: a, other: &coalesceNode{typ: t, values: []node{b, a}}}
	if areConst(a, b) {
		return fold(out)
	}
	return out
}

func orderKernel(op compareOp, t arrow.DataType) kernel {
	if d, ok := t.(*arrow.Decimal128Type); ok {
		return decimalCompareKernel(op, d, d)
	}
	return compareKernel(op, t)
}

// listExtremum finds the least or greatest element of each list.
func listExtremum(op compareOp, t arrow.DataType) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		offsets, elements, _, err := ev.elements(args[0], n)
		if err != nil {
			return nil, nil, err
		}
		if kindOf(t) == kindNull {
			return ev.nullsOwned(t, n), nil, nil
		}
		present, outer := vector.Validity(elements), ev.valid(args, n)
		less := elementOrder(t, elements)
		places := make([]int32, n)
		for i := range places {
			places[i] = -1
			for j := offsets[i]; j < offsets[i+1] && outer.IsValid(i); j++ {
				if present.IsValid(int(j)) && (places[i] < 0 || op.holds(less(int(j), int(places[i])))) {
					places[i] = j
				}
			}
		}
		out, err := vector.Gather(ev.ctx, elements, places)
		return out, nil, err
	}
}
