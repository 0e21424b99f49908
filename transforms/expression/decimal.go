package expression

import (
	"math/big"
	"math/bits"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

// magnitude is a decimal's unscaled value without its sign.
type magnitude struct{ hi, lo uint64 }

func magnitudeOf(n decimal128.Num) (m magnitude, negative bool) {
	hi, lo := uint64(n.HighBits()), n.LowBits()
	if n.HighBits() >= 0 {
		return magnitude{hi, lo}, false
	}
	lo, carry := bits.Add64(^lo, 1, 0)
	return magnitude{^hi + carry, lo}, true
}

func (m magnitude) signed(negative bool) decimal128.Num {
	if !negative {
		return decimal128.New(int64(m.hi), m.lo)
	}
	lo, carry := bits.Add64(^m.lo, 1, 0)
	return decimal128.New(int64(^m.hi+carry), lo)
}

func (m magnitude) less(o magnitude) bool { return m.hi < o.hi || m.hi == o.hi && m.lo < o.lo }

// times is m*f; ok is false if it exceeds 128 bits.
func (m magnitude) times(f uint64) (out magnitude, ok bool) {
	carry, lo := bits.Mul64(m.lo, f)
	over, hi := bits.Mul64(m.hi, f)
	hi, c := bits.Add64(hi, carry, 0)
	return magnitude{hi, lo}, over == 0 && c == 0
}

// over is m/d and the remainder.
func (m magnitude) over(d uint64) (magnitude, uint64) {
	hi, rest := m.hi/d, m.hi%d
	lo, rest := bits.Div64(rest, m.lo, d)
	return magnitude{hi, lo}, rest
}

// powers are the powers of ten that 64 bits hold.
var powers = func() (p [20]uint64) {
	p[0] = 1
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * 10
	}
	return p
}()

// limits[p] is the smallest magnitude of more than p digits.
var limits = func() (l [maxPrecision + 1]magnitude) {
	l[0] = magnitude{0, 1}
	for i := 1; i < len(l); i++ {
		l[i], _ = l[i-1].times(10)
	}
	return l
}()

// shift moves a magnitude by digits: up exactly, down with the half rounded away from zero. ok is false on overflow.
func (m magnitude) shift(digits int32) (out magnitude, ok bool) {
	ok = true
	for ; digits > 0 && ok; digits -= min(digits, 19) {
		m, ok = m.times(powers[min(digits, 19)])
	}
	for ; digits < 0; digits += min(-digits, 19) {
		step := min(-digits, 19)
		var rest uint64
		m, rest = m.over(powers[step])
		// The digits that earlier steps cut are less than one of rest, so they cannot lift it to the half.
		if step == -digits && rest >= powers[step]/2 && step > 0 {
			lo, carry := bits.Add64(m.lo, 1, 0)
			m = magnitude{m.hi + carry, lo}
		}
	}
	return m, ok
}

// truncate drops digits of the fraction.
func (m magnitude) truncate(digits int32) magnitude {
	for ; digits > 0; digits -= min(digits, 19) {
		m, _ = m.over(powers[min(digits, 19)])
	}
	return m
}

// rescale brings a value from one scale to a type; ok is false if it has too many digits for it.
func rescale(n decimal128.Num, from int32, to *arrow.Decimal128Type) (decimal128.Num, bool) {
	m, negative := magnitudeOf(n)
	m, ok := m.shift(to.Scale - from)
	return m.signed(negative), ok && m.less(limits[to.Precision])
}

func fits(n decimal128.Num, precision int32) bool {
	m, _ := magnitudeOf(n)
	return m.less(limits[precision])
}

// isSmall says whether n fits 64 bits.
func isSmall(n decimal128.Num) bool { return n.HighBits() == int64(n.LowBits())>>63 }

// parseDecimal reads digits with a point and an exponent; the result has the scale that the text has.
func parseDecimal(text string) (value *big.Int, scale int32, ok bool) {
	mantissa, exponent := text, int64(0)
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		var good bool
		if exponent, good = parseInt(text[i+1:]); !good || exponent < -1000 || exponent > 1000 {
			return nil, 0, false
		}
		mantissa = text[:i]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	unsigned := strings.TrimLeft(whole, "+-")
	if len(whole)-len(unsigned) > 1 || unsigned == "" && fraction == "" || len(mantissa) > 400 {
		return nil, 0, false
	}
	digits := unsigned + fraction
	for i := 0; i < len(digits); i++ {
		if digits[i] < '0' || digits[i] > '9' {
			return nil, 0, false
		}
	}
	value, ok = new(big.Int).SetString(digits, 10)
	if ok && strings.HasPrefix(whole, "-") {
		value.Neg(value)
	}
	return value, int32(int64(len(fraction)) - exponent), ok
}

var bigTen = big.NewInt(10)

func bigPower(n int32) *big.Int { return new(big.Int).Exp(bigTen, big.NewInt(int64(n)), nil) }

// roundBig brings an exact value to a type, with the half rounded away from zero.
func roundBig(value *big.Int, scale int32, to *arrow.Decimal128Type) (decimal128.Num, bool) {
	if scale <= to.Scale {
		return fromBig(new(big.Int).Mul(value, bigPower(to.Scale-scale)), to.Precision)
	}
	return fromBig(divideHalfUp(value, bigPower(scale-to.Scale)), to.Precision)
}

func divideHalfUp(a, b *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(a, b, new(big.Int))
	if r.Abs(r).Lsh(r, 1).CmpAbs(b) >= 0 {
		if a.Sign()*b.Sign() < 0 {
			return q.Sub(q, big.NewInt(1))
		}
		return q.Add(q, big.NewInt(1))
	}
	return q
}

func fromBig(v *big.Int, precision int32) (decimal128.Num, bool) {
	if v.BitLen() > 127 {
		return decimal128.Num{}, false
	}
	n := decimal128.FromBigInt(v)
	return n, fits(n, precision)
}

// decimalLiteral is the constant of exactly the digits that the source has.
func decimalLiteral(text string) (*constNode, bool) {
	value, scale, ok := parseDecimal(text)
	if !ok {
		return nil, false
	}
	if scale < 0 {
		value.Mul(value, bigPower(-scale))
		scale = 0
	}
	precision := max(int32(len(new(big.Int).Abs(value).String())), scale, 1)
	if precision > maxPrecision {
		return nil, false
	}
	n, _ := fromBig(value, precision)
	k := fixedConst(&arrow.Decimal128Type{Precision: precision, Scale: scale}, n)
	k.literal = text
	return k, true
}

// decimalResult is the type of an operator's result over decimals, by the rules of Spark and SQL Server.
func decimalResult(op string, a, b *arrow.Decimal128Type) *arrow.Decimal128Type {
	whole := max(a.Precision-a.Scale, b.Precision-b.Scale)
	s := max(a.Scale, b.Scale)
	switch op {
	case "*":
		return decimalType(a.Precision+b.Precision+1, a.Scale+b.Scale)
	case "/":
		s = max(6, a.Scale+b.Precision+1)
		return decimalType(a.Precision-a.Scale+b.Scale+s, s)
	case "%":
		return decimalType(min(a.Precision-a.Scale, b.Precision-b.Scale)+s, s)
	}
	return decimalType(whole+s+1, s)
}

// decimalOp computes one value at the scale of to; problem names what went wrong.
type decimalOp func(a, b decimal128.Num) (out decimal128.Num, problem string)

const (
	overflow       = "the result is out of range"
	divisionByZero = "division by zero"
)

func decimalKernel(op string, ta, tb, to *arrow.Decimal128Type) kernel {
	f := decimalOps[op](ta, tb, to)
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		a, b := vector.Values[decimal128.Num](args[0].arr), vector.Values[decimal128.Num](args[1].arr)
		sa, sb := args[0].stride(), args[1].stride()
		return computeFixed(to, n, ev.valid(args, n), func(i int) (decimal128.Num, string) {
			return f(a[i*sa], b[i*sb])
		})
	}
}

var decimalOps = map[string]func(ta, tb, to *arrow.Decimal128Type) decimalOp{
	"+": addDecimals, "-": subtractDecimals, "*": multiplyDecimals, "/": divideDecimals, "%": remainderDecimals,
}

func addDecimals(ta, tb, to *arrow.Decimal128Type) decimalOp {
	s := max(ta.Scale, tb.Scale)
	wide := &arrow.Decimal128Type{Precision: maxPrecision, Scale: s}
	return func(a, b decimal128.Num) (decimal128.Num, string) {
		x, okA := rescale(a, ta.Scale, wide)
		y, okB := rescale(b, tb.Scale, wide)
		if okA && okB {
			sum := x.Add(y)
			if x.Sign() == y.Sign() && sum.Sign() != x.Sign() { // past 128 bits
				return decimal128.Num{}, overflow
			}
			return orOverflow(rescale(sum, s, to))
		}
		sum := new(big.Int).Add(
			new(big.Int).Mul(a.BigInt(), bigPower(s-ta.Scale)), new(big.Int).Mul(b.BigInt(), bigPower(s-tb.Scale)))
		return orOverflow(roundBig(sum, s, to))
	}
}

func subtractDecimals(ta, tb, to *arrow.Decimal128Type) decimalOp {
	add := addDecimals(ta, tb, to)
	return func(a, b decimal128.Num) (decimal128.Num, string) { return add(a, b.Negate()) }
}

func orOverflow(n decimal128.Num, ok bool) (decimal128.Num, string) {
	if !ok {
		return decimal128.Num{}, overflow
	}
	return n, ""
}

func multiplyDecimals(ta, tb, to *arrow.Decimal128Type) decimalOp {
	s := ta.Scale + tb.Scale
	return func(a, b decimal128.Num) (decimal128.Num, string) {
		if isSmall(a) && isSmall(b) {
			ma, na := magnitudeOf(a)
			mb, nb := magnitudeOf(b)
			hi, lo := bits.Mul64(ma.lo, mb.lo)
			return orOverflow(rescale(magnitude{hi, lo}.signed(na != nb), s, to))
		}
		return orOverflow(roundBig(new(big.Int).Mul(a.BigInt(), b.BigInt()), s, to))
	}
}

func divideDecimals(ta, tb, to *arrow.Decimal128Type) decimalOp {
	up := to.Scale - ta.Scale + tb.Scale
	return func(a, b decimal128.Num) (decimal128.Num, string) {
		if b.Sign() == 0 {
			return decimal128.Num{}, divisionByZero
		}
		ma, na := magnitudeOf(a)
		mb, nb := magnitudeOf(b)
		if scaled, ok := ma.shift(up); ok && up >= 0 && mb.hi == 0 {
			q, rest := scaled.over(mb.lo)
			if rest >= mb.lo-rest {
				lo, carry := bits.Add64(q.lo, 1, 0)
				q = magnitude{q.hi + carry, lo}
			}
			return orOverflow(q.signed(na != nb), q.less(limits[to.Precision]))
		}
		x, y := a.BigInt(), b.BigInt()
		if up >= 0 {
			x = new(big.Int).Mul(x, bigPower(up))
		} else {
			y = new(big.Int).Mul(y, bigPower(-up))
		}
		return orOverflow(fromBig(divideHalfUp(x, y), to.Precision))
	}
}

func remainderDecimals(ta, tb, to *arrow.Decimal128Type) decimalOp {
	s := max(ta.Scale, tb.Scale)
	return func(a, b decimal128.Num) (decimal128.Num, string) {
		if b.Sign() == 0 {
			return decimal128.Num{}, divisionByZero
		}
		x := new(big.Int).Mul(a.BigInt(), bigPower(s-ta.Scale))
		y := new(big.Int).Mul(b.BigInt(), bigPower(s-tb.Scale))
		return orOverflow(roundBig(x.Rem(x, y), s, to))
	}
}
