package expression_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms/expression"
)

// Random expressions are evaluated by the kernels, over a batch, and by closures that compute one row at a time in plain
// Go; both agree on every value, null and fault.

// value is a scalar: nil (null), bool, int32, int64, float64 or string.
type value any

// scalar evaluates one row; ok is false for a fault.
type scalar func(row map[string]value) (v value, ok bool)

// random is a random expression: its text and what it means.
type random struct {
	text string
	eval scalar
}

type generator struct{ r *rand.Rand }

func (g generator) pick(choices ...func(depth int) random) func(depth int) random {
	return choices[g.r.IntN(len(choices))]
}

func (g generator) bool(depth int) random {
	if depth == 0 {
		return g.leaf("p", "q", func() (string, value) { b := g.r.IntN(2) == 0; return fmt.Sprint(b), b })
	}
	return g.pick(g.and, g.or, g.not, g.isNull, g.compareInts, g.compareLongs, g.compareDoubles, g.compareTexts, g.inInts,
		func(d int) random { return g.ternary(d, g.bool) }, func(d int) random { return g.coalesce(d, g.bool) })(depth - 1)
}

func (g generator) int(depth int) random {
	if depth == 0 {
		return g.leaf("i", "j", func() (string, value) { n := int32(g.r.IntN(7) - 3); return fmt.Sprintf("(%d)", n), n })
	}
	return g.pick(g.addInts, g.length,
		func(d int) random { return g.ternary(d, g.int) }, func(d int) random { return g.coalesce(d, g.int) })(depth - 1)
}

func (g generator) long(depth int) random {
	if depth == 0 {
		return g.leaf("l", "k", func() (string, value) { n := int64(5_000_000_000); return fmt.Sprint(n), n })
	}
	return g.pick(g.addLongs, func(d int) random { return g.ternary(d, g.long) })(depth - 1)
}

func (g generator) double(depth int) random {
	if depth == 0 {
		return g.leaf("x", "y", func() (string, value) { return "0.5", 0.5 })
	}
	return g.pick(g.addDoubles, g.divide, func(d int) random { return g.ternary(d, g.double) },
		func(d int) random { return g.coalesce(d, g.double) })(depth - 1)
}

func (g generator) string(depth int) random {
	if depth == 0 {
		return g.leaf("s", "t", func() (string, value) { return `"é"`, "é" })
	}
	return g.pick(g.concat, g.upper, func(d int) random { return g.ternary(d, g.string) },
		func(d int) random { return g.coalesce(d, g.string) })(depth - 1)
}

// leaf is one of two columns, or a literal.
func (g generator) leaf(a, b string, literal func() (string, value)) random {
	name := a
	switch g.r.IntN(5) {
	case 0:
		text, v := literal()
		return random{text, func(map[string]value) (value, bool) { return v, true }}
	case 1, 2:
		name = b
	}
	return random{name, func(row map[string]value) (value, bool) { return row[name], true }}
}

// strictly combines values that are neither null nor faulty.
func strictly(a, b random, text string, f func(x, y value) (value, bool)) random {
	return random{text, func(row map[string]value) (value, bool) {
		x, okX := a.eval(row)
		y, okY := b.eval(row)
		if !okX || !okY {
			return nil, false
		}
		if x == nil || y == nil {
			return nil, true
		}
		return f(x, y)
	}}
}

func (g generator) and(d int) random {
	a, b := g.bool(d), g.bool(d)
	return random{fmt.Sprintf("(%s and %s)", a.text, b.text), kleene(a, b, false)}
}

func (g generator) or(d int) random {
	a, b := g.bool(d), g.bool(d)
	return random{fmt.Sprintf("(%s or %s)", a.text, b.text), kleene(a, b, true)}
}

// kleene is and (or) by the truth table, row by row, where the left side's false (true) decides.
func kleene(a, b random, decides bool) scalar {
	return func(row map[string]value) (value, bool) {
		x, ok := a.eval(row)
		if !ok {
			return nil, false
		}
		if x == decides {
			return decides, true
		}
		y, ok := b.eval(row)
		switch {
		case !ok:
			return nil, false
		case y == decides:
			return decides, true
		case x == nil || y == nil:
			return nil, true
		}
		return !decides, true
	}
}

func (g generator) not(d int) random {
	a := g.bool(d)
	return random{fmt.Sprintf("(not %s)", a.text), func(row map[string]value) (value, bool) {
		x, ok := a.eval(row)
		if !ok || x == nil {
			return nil, ok
		}
		return !x.(bool), true
	}}
}

func (g generator) isNull(d int) random {
	a := g.pick(g.int, g.string, g.bool, g.double)(d)
	negated := g.r.IntN(2) == 0
	op := "=="
	if negated {
		op = "!="
	}
	return random{fmt.Sprintf("(%s %s nil)", a.text, op), func(row map[string]value) (value, bool) {
		x, ok := a.eval(row)
		return (x == nil) != negated, ok
	}}
}

var comparisons = map[string]func(order int) bool{
	"==": func(o int) bool { return o == 0 }, "!=": func(o int) bool { return o != 0 },
	"<": func(o int) bool { return o < 0 }, "<=": func(o int) bool { return o <= 0 },
	">": func(o int) bool { return o > 0 }, ">=": func(o int) bool { return o >= 0 },
}

func (g generator) compare(a, b random, order func(x, y value) int) random {
	ops := []string{"==", "!=", "<", "<=", ">", ">="}
	op := ops[g.r.IntN(len(ops))]
	return strictly(a, b, fmt.Sprintf("(%s %s %s)", a.text, op, b.text), func(x, y value) (value, bool) {
		return comparisons[op](order(x, y)), true
	})
}

func (g generator) compareInts(d int) random {
	return g.compare(g.int(d), g.int(d), func(x, y value) int { return int(x.(int32)) - int(y.(int32)) })
}

func (g generator) compareLongs(d int) random {
	return g.compare(g.long(d), g.int(d), func(x, y value) int {
		a, b := x.(int64), int64(y.(int32))
		switch {
		case a < b:
			return -1
		case a > b:
			return 1
		}
		return 0
	})
}

// compareDoubles has SQL's order: NaN equals itself and is the greatest.
func (g generator) compareDoubles(d int) random {
	return g.compare(g.double(d), g.double(d), func(x, y value) int {
		a, b := x.(float64), y.(float64)
		switch {
		case math.IsNaN(a) && math.IsNaN(b), a == b:
			return 0
		case math.IsNaN(a), a > b:
			return 1
		}
		return -1
	})
}

func (g generator) compareTexts(d int) random {
	return g.compare(g.string(d), g.string(d), func(x, y value) int { return strings.Compare(x.(string), y.(string)) })
}

func (g generator) inInts(d int) random {
	a, others, withNull := g.int(d), []int32{-1, 2}, g.r.IntN(2) == 0
	text := fmt.Sprintf("(%s in [-1, 2])", a.text)
	if withNull {
		text = fmt.Sprintf("(%s in [-1, nil, 2])", a.text)
	}
	return random{text, func(row map[string]value) (value, bool) {
		x, ok := a.eval(row)
		if !ok || x == nil {
			return nil, ok
		}
		if x == others[0] || x == others[1] {
			return true, true
		}
		if withNull {
			return nil, true
		}
		return false, true
	}}
}

func (g generator) addInts(d int) random {
	a, b := g.int(d), g.int(d)
	op := []string{"+", "-", "*", "%"}[g.r.IntN(4)]
	return strictly(a, b, fmt.Sprintf("(%s %s %s)", a.text, op, b.text), func(x, y value) (value, bool) {
		m, n := int64(x.(int32)), int64(y.(int32))
		var out int64
		switch op {
		case "+":
			out = m + n
		case "-":
			out = m - n
		case "*":
			out = m * n
		case "%":
			if n == 0 {
				return nil, false
			}
			out = m % n
		}
		if out != int64(int32(out)) {
			return nil, false
		}
		return int32(out), true
	})
}

func (g generator) addLongs(d int) random {
	a, b := g.long(d), g.int(d)
	return strictly(a, b, fmt.Sprintf("(%s + %s)", a.text, b.text), func(x, y value) (value, bool) {
		m, n := x.(int64), int64(y.(int32))
		out := m + n
		if n > 0 && out < m || n < 0 && out > m {
			return nil, false
		}
		return out, true
	})
}

func (g generator) addDoubles(d int) random {
	a, b := g.double(d), g.int(d)
	op := []string{"+", "-", "*"}[g.r.IntN(3)]
	return strictly(a, b, fmt.Sprintf("(%s %s %s)", a.text, op, b.text), func(x, y value) (value, bool) {
		m, n := x.(float64), float64(y.(int32))
		switch op {
		case "+":
			return m + n, true
		case "-":
			return m - n, true
		}
		return m * n, true
	})
}

func (g generator) divide(d int) random {
	a, b := g.int(d), g.int(d)
	return strictly(a, b, fmt.Sprintf("(%s / %s)", a.text, b.text), func(x, y value) (value, bool) {
		if y.(int32) == 0 {
			return nil, false
		}
		return float64(x.(int32)) / float64(y.(int32)), true
	})
}

func (g generator) concat(d int) random {
	a, b := g.string(d), g.string(d)
	return strictly(a, b, fmt.Sprintf("(%s + %s)", a.text, b.text), func(x, y value) (value, bool) {
		return x.(string) + y.(string), true
	})
}

func (g generator) upper(d int) random {
	a := g.string(d)
	return strictly(a, a, fmt.Sprintf("upper(%s)", a.text), func(x, _ value) (value, bool) { return strings.ToUpper(x.(string)), true })
}

func (g generator) length(d int) random {
	a := g.string(d)
	return strictly(a, a, fmt.Sprintf("len(%s)", a.text), func(x, _ value) (value, bool) { return int32(len([]rune(x.(string)))), true })
}

func (g generator) ternary(d int, of func(int) random) random {
	c, a, b := g.bool(d), of(d), of(d)
	return random{fmt.Sprintf("(%s ? %s : %s)", c.text, a.text, b.text), func(row map[string]value) (value, bool) {
		x, ok := c.eval(row)
		switch {
		case !ok:
			return nil, false
		case x == true:
			return a.eval(row)
		}
		return b.eval(row)
	}}
}

func (g generator) coalesce(d int, of func(int) random) random {
	a, b := of(d), of(d)
	return random{fmt.Sprintf("(%s ?? %s)", a.text, b.text), func(row map[string]value) (value, bool) {
		x, ok := a.eval(row)
		if !ok || x != nil {
			return x, ok
		}
		return b.eval(row)
	}}
}

var propertySchema = arrow.NewSchema([]arrow.Field{
	{Name: "p", Type: arrow.FixedWidthTypes.Boolean, Nullable: true}, {Name: "q", Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
	{Name: "i", Type: arrow.PrimitiveTypes.Int32, Nullable: true}, {Name: "j", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
	{Name: "l", Type: arrow.PrimitiveTypes.Int64, Nullable: true}, {Name: "k", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "x", Type: arrow.PrimitiveTypes.Float64, Nullable: true}, {Name: "y", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
	{Name: "s", Type: arrow.BinaryTypes.String, Nullable: true}, {Name: "t", Type: arrow.BinaryTypes.String, Nullable: true},
}, nil)

// randomBatch makes rows of few different values, so that they meet, some nulls and the extremes.
func randomBatch(r *rand.Rand, n int) (arrow.RecordBatch, []map[string]value) {
	b := array.NewRecordBuilder(memory.DefaultAllocator, propertySchema)
	defer b.Release()
	rows := make([]map[string]value, n)
	nulls := r.IntN(3) > 0 // columns without nulls have no validity
	for i := range rows {
		rows[i] = map[string]value{}
		for k, f := range propertySchema.Fields() {
			if nulls && r.IntN(4) == 0 {
				b.Field(k).AppendNull()
				continue
			}
			var v value
			switch f := b.Field(k).(type) {
			case *array.BooleanBuilder:
				v = r.IntN(2) == 0
				f.Append(v.(bool))
			case *array.Int32Builder:
				v = []int32{-3, -1, 0, 1, 2, math.MaxInt32, math.MinInt32}[r.IntN(7)]
				f.Append(v.(int32))
			case *array.Int64Builder:
				v = []int64{-1, 0, 2, math.MaxInt64, math.MinInt64}[r.IntN(5)]
				f.Append(v.(int64))
			case *array.Float64Builder:
				v = []float64{-1.5, 0, math.Copysign(0, -1), 0.5, math.NaN(), math.Inf(1)}[r.IntN(6)]
				f.Append(v.(float64))
			case *array.StringBuilder:
				v = []string{"", "a", "é", "ab\x00"}[r.IntN(4)]
				f.Append(v.(string))
			}
			rows[i][f.Name] = v
		}
	}
	return b.NewRecordBatch(), rows
}

func TestKernelsAgreeWithScalars(t *testing.T) {
	for seed := range uint64(2000) {
		g := generator{rand.New(rand.NewPCG(seed, 7))}
		e := g.pick(g.bool, g.int, g.long, g.double, g.string)(1 + g.r.IntN(3))
		batch, rows := randomBatch(g.r, g.r.IntN(80))
		// A slice begins within a byte of the bitmaps.
		from := g.r.IntN(len(rows) + 1)
		sliced := batch.NewSlice(int64(from), int64(len(rows)))
		p, err := expression.Compile(e.text, expression.Scope{"": propertySchema})
		require.NoError(t, err, e.text)
		out, faults, err := p.EvalRows(context.Background(), sliced)
		require.NoError(t, err, e.text)
		require.Equal(t, len(rows)-from, out.Len(), e.text)
		wrong := map[int]bool{}
		for _, f := range faults {
			wrong[f.Row] = true
		}
		for i, row := range rows[from:] {
			want, ok := e.eval(row)
			require.Equal(t, !ok, wrong[i], "seed %d: %s: row %v: fault", seed, e.text, row)
			if !ok {
				require.True(t, out.IsNull(i), e.text)
				continue
			}
			require.True(t, sameValue(want, valueAt(out, i)), "seed %d: %s: row %v: expected %v, found %v", seed, e.text, row, want, valueAt(out, i))
		}
	}
}

func sameValue(a, b value) bool {
	x, isFloat := a.(float64)
	y, too := b.(float64)
	if isFloat && too {
		return x == y || math.IsNaN(x) && math.IsNaN(y)
	}
	return a == b
}

func valueAt(arr arrow.Array, i int) value {
	if arr.IsNull(i) {
		return nil
	}
	switch arr := arr.(type) {
	case *array.Boolean:
		return arr.Value(i)
	case *array.Int32:
		return arr.Value(i)
	case *array.Int64:
		return arr.Value(i)
	case *array.Float64:
		return arr.Value(i)
	case *array.String:
		return arr.Value(i)
	}
	return "unknown type " + arr.DataType().String()
}
