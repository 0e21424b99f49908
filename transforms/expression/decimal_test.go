package expression_test

import (
	"context"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms/expression"
)

// randomDecimal is a value of up to so many digits; small, large and extreme ones are as frequent.
func randomDecimal(r *rand.Rand, precision int32) *big.Int {
	digits := 1 + r.IntN(int(precision))
	var b strings.Builder
	for range digits {
		b.WriteByte(byte('0' + r.IntN(10)))
	}
	if r.IntN(5) == 0 {
		b.Reset()
		b.WriteString(strings.Repeat("9", digits))
	}
	v, _ := new(big.Int).SetString(b.String(), 10)
	if r.IntN(2) == 0 {
		v.Neg(v)
	}
	return v
}

func decimalArray(t arrow.DecimalType, values []*big.Int) arrow.Array {
	b := array.NewDecimal128Builder(allocator, t.(*arrow.Decimal128Type))
	for _, v := range values {
		b.Append(decimal128.FromBigInt(v))
	}
	return b.NewArray()
}

// pow10 is ten to the power of n, which may be negative.
func pow10(n int32) *big.Rat {
	p := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(n, -n))), nil))
	if n < 0 {
		p.Inv(p)
	}
	return p
}

func rat(v *big.Int, scale int32) *big.Rat {
	return new(big.Rat).Mul(new(big.Rat).SetInt(v), pow10(-scale))
}

// rounded is a value at a scale, the half away from zero; nil if it has more digits than the precision.
func rounded(v *big.Rat, t *arrow.Decimal128Type) *big.Int {
	scaled := new(big.Rat).Mul(v, pow10(t.Scale))
	half := big.NewRat(1, 2)
	if scaled.Sign() < 0 {
		half.Neg(half)
	}
	scaled.Add(scaled, half)
	q := new(big.Int).Quo(scaled.Num(), scaled.Denom())
	if len(new(big.Int).Abs(q).String()) > int(t.Precision) {
		return nil
	}
	return q
}

// Decimals of every precision and scale agree with exact rational numbers.
func TestDecimalsAgreeWithRationals(t *testing.T) {
	ops := map[string]func(x, y *big.Rat) *big.Rat{
		"+": func(x, y *big.Rat) *big.Rat { return new(big.Rat).Add(x, y) },
		"-": func(x, y *big.Rat) *big.Rat { return new(big.Rat).Sub(x, y) },
		"*": func(x, y *big.Rat) *big.Rat { return new(big.Rat).Mul(x, y) },
		"/": func(x, y *big.Rat) *big.Rat { return new(big.Rat).Quo(x, y) },
		"%": func(x, y *big.Rat) *big.Rat {
			q := new(big.Rat).Quo(x, y)
			whole := new(big.Rat).SetInt(new(big.Int).Quo(q.Num(), q.Denom()))
			return new(big.Rat).Sub(x, whole.Mul(whole, y))
		},
	}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 9))
		types := make([]*arrow.Decimal128Type, 2)
		columns, values := make([]arrow.Array, 2), make([][]*big.Int, 2)
		const n = 20
		for k := range types {
			p := 1 + r.Int32N(38)
			types[k] = &arrow.Decimal128Type{Precision: p, Scale: r.Int32N(p + 1)}
			for range n {
				values[k] = append(values[k], randomDecimal(r, p))
			}
			columns[k] = decimalArray(types[k], values[k])
		}
		schema := arrow.NewSchema([]arrow.Field{{Name: "a", Type: types[0]}, {Name: "b", Type: types[1]}}, nil)
		batch := array.NewRecordBatch(schema, columns, n)
		eval := func(source string) (*expression.Program, arrow.Array, map[int]string) {
			p, err := expression.Compile(source, expression.Scope{"": schema})
			require.NoError(t, err, source)
			out, faults, err := p.EvalRows(context.Background(), batch)
			require.NoError(t, err, source)
			wrong := map[int]string{}
			for _, f := range faults {
				wrong[f.Row] = f.Message
			}
			return p, out, wrong
		}
		for op, exact := range ops {
			p, out, wrong := eval("a " + op + " b")
			to := p.Type().(*arrow.Decimal128Type)
			for i := range n {
				x, y := rat(values[0][i], types[0].Scale), rat(values[1][i], types[1].Scale)
				what := fmt.Sprintf("seed %d: %s %s %s as %s", seed, x.FloatString(40), op, y.FloatString(40), to)
				if y.Sign() == 0 && (op == "/" || op == "%") {
					require.Equal(t, "division by zero", wrong[i], what)
					continue
				}
				want := rounded(exact(x, y), to)
				if want == nil {
					require.Equal(t, "the result is out of range", wrong[i], what)
					continue
				}
				require.Empty(t, wrong[i], what)
				require.Equal(t, want.String(), out.(*array.Decimal128).Value(i).BigInt().String(), what)
			}
		}
		for op, holds := range comparisons {
			_, out, _ := eval("a " + op + " b")
			for i := range n {
				x, y := rat(values[0][i], types[0].Scale), rat(values[1][i], types[1].Scale)
				require.Equal(t, holds(x.Cmp(y)), out.(*array.Boolean).Value(i), "%s %s %s", x, op, y)
			}
		}
		to := &arrow.Decimal128Type{Precision: 1 + r.Int32N(38)}
		to.Scale = r.Int32N(to.Precision + 1)
		_, out, wrong := eval(fmt.Sprintf("decimal(a, %d, %d)", to.Precision, to.Scale))
		for i := range n {
			want := rounded(rat(values[0][i], types[0].Scale), to)
			require.Equal(t, want == nil, wrong[i] != "")
			if want != nil {
				require.Equal(t, want.String(), out.(*array.Decimal128).Value(i).BigInt().String())
			}
		}
		for how, digits := range map[string]int32{"round(a)": 0, "round(a, 2)": 2, "round(a, -3)": -3} {
			p, out, wrong := eval(how)
			for i := range n {
				want := rounded(rat(values[0][i], types[0].Scale), &arrow.Decimal128Type{Precision: 60, Scale: min(digits, types[0].Scale)})
				got := rat(out.(*array.Decimal128).Value(i).BigInt(), p.Type().(*arrow.Decimal128Type).Scale)
				if wrong[i] == "" {
					require.Zero(t, rat(want, min(digits, types[0].Scale)).Cmp(got), "%s of %s: %s", how, rat(values[0][i], types[0].Scale).FloatString(40), got.FloatString(40))
				}
			}
		}
	}
}
