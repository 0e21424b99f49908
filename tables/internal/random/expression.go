package random

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/google/uuid"
)

// Expression is a merge.Expression that is evaluated value by value, and can be written as SQL.
type Expression struct {
	SQL     string // DuckDB's
	Spark   string // Spark's
	Kind    *Kind
	columns []string
	eval    func(get func(string) any) any
}

// Columns implements merge.Expression.
func (e *Expression) Columns() []string { return e.columns }

// Type implements merge.Expression.
func (e *Expression) Type() arrow.DataType { return e.Kind.Type }

// Value is the expression's value where get gives those of its columns.
func (e *Expression) Value(get func(name string) any) any { return e.eval(get) }

// Eval implements merge.Expression.
func (e *Expression) Eval(_ context.Context, batch arrow.RecordBatch) (arrow.Array, error) {
	at := map[string]arrow.Array{}
	for _, c := range e.columns {
		i := batch.Schema().FieldIndices(c)
		if len(i) != 1 {
			return nil, fmt.Errorf("%s: no column %s in the batch", e.SQL, c)
		}
		at[c] = batch.Column(i[0])
	}
	out := make([]any, batch.NumRows())
	for row := range out {
		out[row] = e.eval(func(c string) any { return ValueAt(at[c], row) })
	}
	return ArrayOf(e.Kind.Type, out), nil
}

// Ref is the column of a scope, "s" or "t".
func Ref(scope string, c Column) *Expression {
	name := scope + "." + c.Name
	return &Expression{SQL: name, Spark: name, Kind: c.Kind, columns: []string{name}, eval: func(get func(string) any) any { return get(name) }}
}

// Constant is the same value in each row.
func Constant(k *Kind, v any) *Expression {
	return &Expression{SQL: Literal(v, k), Spark: SparkLiteral(v, k), Kind: k, eval: func(func(string) any) any { return v }}
}

// both combines two expressions into one.
func both(k *Kind, format string, a, b *Expression, eval func(x, y any) any) *Expression {
	return &Expression{
		SQL: fmt.Sprintf(format, a.SQL, b.SQL), Spark: fmt.Sprintf(format, a.Spark, b.Spark), Kind: k, columns: append(append([]string{}, a.columns...), b.columns...),
		eval: func(get func(string) any) any { return eval(a.eval(get), b.eval(get)) },
	}
}

// Compare is a = b, a <> b, a < b or a >= b, unknown where one is null.
func Compare(op string, a, b *Expression) *Expression {
	return both(KindNamed("boolean"), "(%s "+op+" %s)", a, b, func(x, y any) any {
		if x == nil || y == nil {
			return nil
		}
		c := Order(x, y)
		switch op {
		case "=":
			return c == 0
		case "<>":
			return c != 0
		case "<":
			return c < 0
		}
		return c >= 0
	})
}

// Order compares two values of a kind, as DuckDB does: NaN is equal to itself
// and above all others.
func Order(x, y any) int {
	switch x := x.(type) {
	case bool:
		return cmp.Compare(b2i(x), b2i(y.(bool)))
	case int64:
		return cmp.Compare(x, y.(int64))
	case float64:
		y := y.(float64)
		switch {
		case x != x || y != y:
			return b2i(x != x) - b2i(y != y)
		case x == y:
			return 0
		}
		return cmp.Compare(x, y)
	case decimal128.Num:
		return x.Cmp(y.(decimal128.Num))
	case string:
		return strings.Compare(x, y.(string))
	case []byte:
		return bytes.Compare(x, y.([]byte))
	case uuid.UUID:
		y := y.(uuid.UUID)
		return bytes.Compare(x[:], y[:])
	}
	panic(fmt.Sprintf("no order of %T", x))
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func not(a *Expression) *Expression {
	return &Expression{SQL: "(NOT " + a.SQL + ")", Spark: "(NOT " + a.Spark + ")", Kind: a.Kind, columns: a.columns, eval: func(get func(string) any) any {
		if v := a.eval(get); v != nil {
			return !v.(bool)
		}
		return nil
	}}
}

func isNull(a *Expression) *Expression {
	return &Expression{SQL: "(" + a.SQL + " IS NULL)", Spark: "(" + a.Spark + " IS NULL)", Kind: KindNamed("boolean"), columns: a.columns,
		eval: func(get func(string) any) any { return a.eval(get) == nil }}
}

func and(a, b *Expression) *Expression {
	return both(KindNamed("boolean"), "(%s AND %s)", a, b, func(x, y any) any {
		if x == false || y == false {
			return false
		}
		if x == nil || y == nil {
			return nil
		}
		return true
	})
}

// Coalesce is a, or b where a is null.
func Coalesce(a, b *Expression) *Expression {
	return both(a.Kind, "coalesce(%s, %s)", a, b, func(x, y any) any {
		if x == nil {
			return y
		}
		return x
	})
}

// Condition makes a random condition over the columns of some scopes.
func Condition(r *rand.Rand, scopes map[string][]Column) *Expression {
	operand := func() (*Expression, *Kind) {
		for {
			name := []string{"s", "t"}[r.IntN(2)]
			columns := scopes[name]
			if len(columns) == 0 {
				continue
			}
			c := columns[r.IntN(len(columns))]
			return Ref(name, c), c.Kind
		}
	}
	a, k := operand()
	var out *Expression
	switch choice := r.IntN(6); {
	case choice == 0 || !k.Key:
		out = isNull(a)
	default:
		b := Constant(k, k.Gen(r))
		if r.IntN(2) == 0 {
			for _, name := range []string{"s", "t"} {
				for _, c := range scopes[name] {
					if c.Kind == k && Ref(name, c).SQL != a.SQL && r.IntN(2) == 0 {
						b = Ref(name, c)
					}
				}
			}
		}
		out = Compare([]string{"=", "<>", "<", ">="}[r.IntN(4)], a, b)
	}
	if r.IntN(5) == 0 {
		out = not(out)
	}
	if r.IntN(4) == 0 {
		out = and(out, Condition(r, scopes))
	}
	return out
}
