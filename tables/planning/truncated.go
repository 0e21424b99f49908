package planning

import (
	"math"

	"github.com/apache/iceberg-go"
)

// truncated is the transform truncate[W] of whole numbers: v - ((v % W + W) % W), computed in the column's width. Below the least
// multiple of W that the type has there is none, so that the values there come round, in Varve as in Java: all come out as one
// number, near the type's greatest. Of a long it may have been an int's, of files that are older than the column's promotion.
type truncated struct {
	width       int64
	least, most int64 // of the type
	literal     func(int64) iceberg.Literal
}

// maxWidth is up to which width nothing but the result exceeds 32 bits.
const maxWidth = 1 << 30

// truncatedBy is the transform of a column, if it is of whole numbers. Of a greater width than maxWidth it is not known what engines
// that compute in 32 bits wrote.
func truncatedBy(t iceberg.Transform, source iceberg.Type) (out truncated, whole, known bool) {
	transform, ok := t.(iceberg.TruncateTransform)
	if !ok {
		return out, false, false
	}
	out.width = int64(transform.Width)
	switch source.(type) {
	case iceberg.Int32Type:
		out.least, out.most = math.MinInt32, math.MaxInt32
		out.literal = func(v int64) iceberg.Literal { return iceberg.NewLiteral(int32(v)) }
	case iceberg.Int64Type:
		out.least, out.most = math.MinInt64, math.MaxInt64
		out.literal = func(v int64) iceberg.Literal { return iceberg.NewLiteral(v) }
	default:
		return out, false, false
	}
	return out, true, out.width > 0 && out.width <= maxWidth
}

// floor is the greatest multiple of the width that is not above v; below says that the type has none.
func (t truncated) floor(v, least int64) (out int64, below bool) {
	rest := v % t.width
	if rest < 0 {
		rest += t.width
	}
	return v - rest, v < least+rest
}

// round are what values that have no multiple below them have come out as.
func (t truncated) round() (out []int64) {
	if at, below := t.floor(t.least, t.least); below {
		if t.most == math.MaxInt32 {
			at = int64(int32(at))
		}
		out = append(out, at)
	}
	if t.most == math.MaxInt64 {
		if at, below := t.floor(math.MinInt32, math.MinInt32); below {
			out = append(out, int64(int32(at)))
		}
	}
	return out
}

// project is what a predicate on the column means for the partition field of a name: it holds for every partition of a row for which
// the predicate holds. Nil is every partition.
func (t truncated) project(name string, p iceberg.BoundPredicate) iceberg.BooleanExpression {
	field := iceberg.Reference(name)
	switch p := p.(type) {
	case iceberg.BoundUnaryPredicate:
		return p.AsUnbound(field)
	case iceberg.BoundSetPredicate:
		if p.Op() != iceberg.OpIn {
			return nil
		}
		var out iceberg.BooleanExpression = iceberg.AlwaysFalse{}
		for _, member := range p.Literals().Members() {
			v, ok := wholeNumber(member)
			if !ok {
				return nil
			}
			out = iceberg.NewOr(out, t.equal(field, v))
		}
		return out
	case iceberg.BoundLiteralPredicate:
		if v, ok := wholeNumber(p.Literal()); ok {
			return t.compare(field, p.Op(), v)
		}
	}
	return nil
}

func (t truncated) compare(field iceberg.Reference, op iceberg.Operation, v int64) iceberg.BooleanExpression {
	switch {
	case op == iceberg.OpEQ:
		return t.equal(field, v)
	case op == iceberg.OpLT && v == t.least, op == iceberg.OpGT && v == t.most:
		return iceberg.AlwaysFalse{}
	case op == iceberg.OpLT:
		return t.atMost(field, v-1)
	case op == iceberg.OpLTEQ:
		return t.atMost(field, v)
	case op == iceberg.OpGT:
		return t.atLeast(field, v+1)
	case op == iceberg.OpGTEQ:
		return t.atLeast(field, v)
	}
	return nil
}

func (t truncated) equal(field iceberg.Reference, v int64) iceberg.BooleanExpression {
	at, below := t.floor(v, t.least)
	if below {
		return t.came(field, iceberg.AlwaysFalse{})
	}
	out := iceberg.BooleanExpression(iceberg.LiteralPredicate(iceberg.OpEQ, field, t.literal(at)))
	if _, below := t.floor(v, math.MinInt32); below && v >= math.MinInt32 {
		return t.came(field, out)
	}
	return out
}

// atMost lets through what came round, since whatever did is among the least.
func (t truncated) atMost(field iceberg.Reference, v int64) iceberg.BooleanExpression {
	at, below := t.floor(v, t.least)
	if below {
		return t.came(field, iceberg.AlwaysFalse{})
	}
	return t.came(field, iceberg.LiteralPredicate(iceberg.OpLTEQ, field, t.literal(at)))
}

// atLeast lets through what came round by itself, since it lies near the greatest.
func (t truncated) atLeast(field iceberg.Reference, v int64) iceberg.BooleanExpression {
	at, below := t.floor(v, t.least)
	if below {
		return nil
	}
	return iceberg.LiteralPredicate(iceberg.OpGTEQ, field, t.literal(at))
}

// came adds what came round.
func (t truncated) came(field iceberg.Reference, out iceberg.BooleanExpression) iceberg.BooleanExpression {
	for _, at := range t.round() {
		out = iceberg.NewOr(out, iceberg.LiteralPredicate(iceberg.OpEQ, field, t.literal(at)))
	}
	return out
}

// wholeNumber is a literal's value; those beyond the type's range have none.
func wholeNumber(l iceberg.Literal) (int64, bool) {
	switch l.(type) {
	case iceberg.AboveMaxLiteral, iceberg.BelowMinLiteral:
		return 0, false
	}
	switch v := l.Any().(type) {
	case int32:
		return int64(v), true
	case int64:
		return v, true
	}
	return 0, false
}
