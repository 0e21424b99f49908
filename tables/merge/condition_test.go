//go:build differential

package merge_test

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

// expression is a merge.Expression that is evaluated value by value, and can be
// written as SQL.
type expression struct {
	sql     string
	kind    *kind
	columns []string
	eval    func(get func(string) any) any
}

func (e *expression) Columns() []string    { return e.columns }
func (e *expression) Type() arrow.DataType { return e.kind.t }

func (e *expression) Eval(_ context.Context, batch arrow.RecordBatch) (arrow.Array, error) {
	at := map[string]arrow.Array{}
	for _, c := range e.columns {
		i := batch.Schema().FieldIndices(c)
		if len(i) != 1 {
			return nil, fmt.Errorf("%s: no column %s in the batch", e.sql, c)
		}
		at[c] = batch.Column(i[0])
	}
	out := make([]any, batch.NumRows())
	for row := range out {
		out[row] = e.eval(func(c string) any { return valueAt(at[c], row) })
	}
	return arrayOf(e.kind.t, out), nil
}

func ref(scope string, c column) *expression {
	name := scope + "." + c.name
	return &expression{sql: name, kind: c.kind, columns: []string{name}, eval: func(get func(string) any) any { return get(name) }}
}

func constant(k *kind, v any) *expression {
	return &expression{sql: literal(v, k), kind: k, eval: func(func(string) any) any { return v }}
}

// both combines two expressions into one.
func both(k *kind, format string, a, b *expression, eval func(x, y any) any) *expression {
	return &expression{
		sql: fmt.Sprintf(format, a.sql, b.sql), kind: k, columns: append(append([]string{}, a.columns...), b.columns...),
		eval: func(get func(string) any) any { return eval(a.eval(get), b.eval(get)) },
	}
}

func compare(op string, a, b *expression) *expression {
	return both(kindNamed("boolean"), "(%s "+op+" %s)", a, b, func(x, y any) any {
		if x == nil || y == nil {
			return nil
		}
		c := order(x, y)
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

// order compares two values of a kind, as DuckDB does: NaN is equal to itself
// and above all others.
func order(x, y any) int {
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

func not(a *expression) *expression {
	return &expression{sql: "(NOT " + a.sql + ")", kind: a.kind, columns: a.columns, eval: func(get func(string) any) any {
		if v := a.eval(get); v != nil {
			return !v.(bool)
		}
		return nil
	}}
}

func isNull(a *expression) *expression {
	return &expression{sql: "(" + a.sql + " IS NULL)", kind: kindNamed("boolean"), columns: a.columns,
		eval: func(get func(string) any) any { return a.eval(get) == nil }}
}

func and(a, b *expression) *expression {
	return both(kindNamed("boolean"), "(%s AND %s)", a, b, func(x, y any) any {
		if x == false || y == false {
			return false
		}
		if x == nil || y == nil {
			return nil
		}
		return true
	})
}

func coalesce(a, b *expression) *expression {
	return both(a.kind, "coalesce(%s, %s)", a, b, func(x, y any) any {
		if x == nil {
			return y
		}
		return x
	})
}

// condition makes a random condition over the columns of some scopes.
func condition(r *rand.Rand, scopes map[string][]column) *expression {
	operand := func() (*expression, *kind) {
		for {
			name := []string{"s", "t"}[r.IntN(2)]
			columns := scopes[name]
			if len(columns) == 0 {
				continue
			}
			c := columns[r.IntN(len(columns))]
			return ref(name, c), c.kind
		}
	}
	a, k := operand()
	var out *expression
	switch choice := r.IntN(6); {
	case choice == 0 || !k.key:
		out = isNull(a)
	default:
		b := constant(k, k.gen(r))
		if r.IntN(2) == 0 {
			for _, name := range []string{"s", "t"} {
				for _, c := range scopes[name] {
					if c.kind == k && ref(name, c).sql != a.sql && r.IntN(2) == 0 {
						b = ref(name, c)
					}
				}
			}
		}
		out = compare([]string{"=", "<>", "<", ">="}[r.IntN(4)], a, b)
	}
	if r.IntN(5) == 0 {
		out = not(out)
	}
	if r.IntN(4) == 0 {
		out = and(out, condition(r, scopes))
	}
	return out
}
