package rowfilter

import (
	"context"
	"fmt"
	"math"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/expr-lang/expr/ast"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/transforms/expression"
)

// bracket is where a constant stands among the values of a column's type: it is one of them, both low and high, or it lies between
// two neighbours, as 1.005 does among decimals of scale 2. A side is nil where the type has no value there.
type bracket struct {
	low, high iceberg.Literal
	exact     bool
	floating  bool
}

func (b bracket) known() bool { return b.low != nil || b.high != nil }

// cover holds for all values of a column, other than NaN, that stand to the constant as the operator says. Nil holds for all.
func (b bracket) cover(op string, column iceberg.Reference) iceberg.BooleanExpression {
	if b.exact {
		return iceberg.LiteralPredicate(operations[op], column, b.low)
	}
	var below, above iceberg.BooleanExpression
	if b.high != nil {
		below = iceberg.LiteralPredicate(iceberg.OpLTEQ, column, b.high)
	}
	if b.low != nil {
		above = iceberg.LiteralPredicate(iceberg.OpGTEQ, column, b.low)
	}
	switch op {
	case "<", "<=":
		return below
	case ">", ">=":
		return above
	case "==":
		return join(below, above, true)
	}
	return nil
}

// bracketOf finds a constant among the values of a column. It knows nothing of types that Iceberg's bounds do not order as
// expressions do, and of constants beyond the type.
//
// An expression compares in a type that may be wider than the column's, or coarser: of longs beside a double some are equal to the
// double that are not equal to each other. So what counts is how the expression itself orders the value that the constant is cast
// to, and the two beside it. A cast never changes an order, it only makes equal what is not: if of the three the middle one alone
// equals the constant, no other value of the column does.
func bracketOf(field arrow.Field, constant ast.Node) (bracket, error) {
	notation, err := columntype.Format(field.Type)
	if err != nil {
		return bracket{}, err
	}
	nothing := array.NewRecordBatch(arrow.NewSchema(nil, nil), nil, 1)
	defer nothing.Release()
	value, err := evaluate(fmt.Sprintf("cast(%s, %q)", constant, notation), expression.Scope{"": nothing.Schema()}, nothing)
	if err != nil {
		return bracket{}, err
	}
	defer value.Release()
	if value.Len() != 1 || value.IsNull(0) || !arrow.TypeEqual(value.DataType(), field.Type) {
		return bracket{}, nil
	}
	three, err := beside(value)
	if err != nil {
		return bracket{}, err
	}
	defer three.Release()
	return bracketAmong(field, constant, three)
}

// bracketAmong finds a constant among three neighbours. If it equals one of the outer ones, which then are not where the cast should
// have come to, or are equal to the middle one, others beyond may equal it too: it is not known where it stands.
func bracketAmong(field arrow.Field, constant ast.Node, three arrow.Array) (bracket, error) {
	equal, err := compared(field, "==", constant, three)
	if err != nil || is(equal[0]) || is(equal[2]) {
		return bracket{}, err
	}
	if is(equal[1]) {
		l := literal(three, 1)
		return bracket{low: l, high: l, exact: true, floating: arrow.IsFloating(field.Type.ID())}, nil
	}
	return between(field, constant, three)
}

// between finds the neighbours that a constant lies between, which the cast has rounded to one of.
func between(field arrow.Field, constant ast.Node, three arrow.Array) (bracket, error) {
	less, err := compared(field, "<", constant, three)
	if err != nil {
		return bracket{}, err
	}
	out := bracket{floating: arrow.IsFloating(field.Type.ID())}
	switch {
	case is(less[1]) && !is(less[2]) && less[2] != nil:
		out.low, out.high = literal(three, 1), literal(three, 2)
	case less[1] != nil && !*less[1] && is(less[0]):
		out.low, out.high = literal(three, 0), literal(three, 1)
	}
	return out, nil
}

func is(truth *bool) bool { return truth != nil && *truth }

// compared compares values of a column with a constant, as the condition does; nil is unknown.
func compared(field arrow.Field, op string, constant ast.Node, values arrow.Array) ([]*bool, error) {
	schema := arrow.NewSchema([]arrow.Field{{Name: field.Name, Type: field.Type, Nullable: true}}, nil)
	batch := array.NewRecordBatch(schema, []arrow.Array{values}, int64(values.Len()))
	defer batch.Release()
	result, err := evaluate(fmt.Sprintf("%s %s (%s)", field.Name, op, constant), expression.Scope{"": schema}, batch)
	if err != nil {
		return nil, err
	}
	defer result.Release()
	out := make([]*bool, values.Len())
	if truths, ok := result.(*array.Boolean); ok {
		for i := range out {
			if truths.IsValid(i) {
				v := truths.Value(i)
				out[i] = &v
			}
		}
	}
	return out, nil
}

func evaluate(source string, scope expression.Scope, batch arrow.RecordBatch) (arrow.Array, error) {
	program, err := expression.Compile(source, scope)
	if err != nil {
		return nil, err
	}
	return program.Eval(context.Background(), batch)
}

// beside is a value, the second of three, and the two next to it in its type; null where there is none, as of texts.
func beside(a arrow.Array) (arrow.Array, error) {
	before, after := next(a, -1), next(a, 1)
	defer before.Release()
	defer after.Release()
	return array.Concatenate([]arrow.Array{before, a, after}, memory.DefaultAllocator)
}

// next is the value before the one of an array, or after it.
func next(a arrow.Array, step int64) arrow.Array {
	builder := array.NewBuilder(memory.DefaultAllocator, a.DataType())
	defer builder.Release()
	whole := func(v, least, most int64, add func(int64)) {
		if step < 0 && v == least || step > 0 && v == most {
			builder.AppendNull()
			return
		}
		add(v + step)
	}
	switch b := builder.(type) {
	case *array.Int32Builder:
		whole(int64(a.(*array.Int32).Value(0)), math.MinInt32, math.MaxInt32, func(v int64) { b.Append(int32(v)) })
	case *array.Date32Builder:
		whole(int64(a.(*array.Date32).Value(0)), math.MinInt32, math.MaxInt32, func(v int64) { b.Append(arrow.Date32(v)) })
	case *array.Int64Builder:
		whole(a.(*array.Int64).Value(0), math.MinInt64, math.MaxInt64, b.Append)
	case *array.Time64Builder:
		whole(int64(a.(*array.Time64).Value(0)), 0, 24*60*60*1_000_000-1, func(v int64) { b.Append(arrow.Time64(v)) })
	case *array.TimestampBuilder:
		whole(int64(a.(*array.Timestamp).Value(0)), math.MinInt64, math.MaxInt64, func(v int64) { b.Append(arrow.Timestamp(v)) })
	case *array.Float32Builder:
		b.Append(math.Nextafter32(a.(*array.Float32).Value(0), float32(math.Inf(int(step)))))
	case *array.Float64Builder:
		b.Append(math.Nextafter(a.(*array.Float64).Value(0), math.Inf(int(step))))
	case *array.Decimal128Builder:
		v := a.(*array.Decimal128).Value(0).Add(decimal128.FromI64(step))
		if v.FitsInPrecision(b.Type().(*arrow.Decimal128Type).Precision) {
			b.Append(v)
		} else {
			b.AppendNull()
		}
	default:
		b.AppendNull()
	}
	return builder.NewArray()
}

// literal is a value as Iceberg compares it; nil is one of a type that Iceberg's bounds do not order as expressions do.
func literal(a arrow.Array, at int) iceberg.Literal {
	if a.IsNull(at) {
		return nil
	}
	switch a := a.(type) {
	case *array.Boolean:
		return iceberg.NewLiteral(a.Value(at))
	case *array.Int32:
		return iceberg.NewLiteral(a.Value(at))
	case *array.Int64:
		return iceberg.NewLiteral(a.Value(at))
	case *array.Float32:
		return iceberg.NewLiteral(a.Value(at))
	case *array.Float64:
		return iceberg.NewLiteral(a.Value(at))
	case *array.String:
		return iceberg.NewLiteral(a.Value(at))
	case *array.Date32:
		return iceberg.NewLiteral(iceberg.Date(a.Value(at)))
	case *array.Time64:
		return iceberg.NewLiteral(iceberg.Time(a.Value(at)))
	case *array.Timestamp:
		if a.DataType().(*arrow.TimestampType).Unit == arrow.Nanosecond {
			return iceberg.NewLiteral(iceberg.TimestampNano(a.Value(at)))
		}
		return iceberg.NewLiteral(iceberg.Timestamp(a.Value(at)))
	case *array.Decimal128:
		return iceberg.NewLiteral(iceberg.Decimal{Val: a.Value(at), Scale: int(a.DataType().(*arrow.Decimal128Type).Scale)})
	case *extensions.UUIDArray:
		return iceberg.NewLiteral(a.Value(at))
	}
	return nil
}
