package rowfilter

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
)

// bounds says of a condition what can be said in Iceberg's terms: comparisons of columns with constants, tests for null,
// and their combinations. What else there is in it may be true and may be false.
//
// Iceberg's expressions are two-valued, and a condition has three values: so what holds where a condition is true, and
// what holds where it is false, are told apart, and the rows where it is unknown have a null in one of its columns.
func bounds(condition string, columns *arrow.Schema) (may, rest iceberg.BooleanExpression, err error) {
	tree, err := parser.Parse(condition)
	if err != nil {
		return nil, nil, fmt.Errorf("condition %q: %w", condition, err)
	}
	b := &bounder{columns: columns}
	return b.is(tree.Node, true), b.isNot(tree.Node), nil
}

type bounder struct{ columns *arrow.Schema }

// is covers the rows for which a condition is true, or false: it holds for all of them. Nil holds for all rows.
func (b *bounder) is(n ast.Node, truth bool) iceberg.BooleanExpression {
	switch n := n.(type) {
	case *ast.BoolNode:
		if n.Value == truth {
			return nil
		}
		return iceberg.AlwaysFalse{}
	case *ast.IdentifierNode:
		if b.kind(n) == arrow.BOOL {
			return iceberg.EqualTo(iceberg.Reference(n.Value), truth)
		}
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			return b.is(n.Node, !truth)
		}
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&":
			return join(b.is(n.Left, truth), b.is(n.Right, truth), truth)
		case "or", "||":
			return join(b.is(n.Left, truth), b.is(n.Right, truth), !truth)
		case "in":
			if truth {
				return b.in(n)
			}
			return nil
		}
		if c, ok := b.comparison(n); ok {
			return c.expression(truth)
		}
	}
	return nil
}

// join is the conjunction, or the disjunction, of two covers.
func join(x, y iceberg.BooleanExpression, and bool) iceberg.BooleanExpression {
	switch {
	case and && x == nil:
		return y
	case and && y == nil:
		return x
	case x == nil || y == nil:
		return nil
	case and:
		return iceberg.NewAnd(x, y)
	}
	return iceberg.NewOr(x, y)
}

// isNot covers the rows for which a condition is false or unknown.
func (b *bounder) isNot(n ast.Node) iceberg.BooleanExpression {
	switch n := n.(type) {
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "&&":
			return join(b.isNot(n.Left), b.isNot(n.Right), false)
		case "or", "||":
			return join(b.isNot(n.Left), b.isNot(n.Right), true)
		}
	}
	unknown, known := b.unknown(n)
	if !known {
		return nil
	}
	return join(b.is(n, false), unknown, false)
}

// unknown covers the rows for which a condition is unknown; known is false if it cannot be said.
func (b *bounder) unknown(n ast.Node) (cover iceberg.BooleanExpression, known bool) {
	switch n := n.(type) {
	case *ast.BoolNode:
		return iceberg.AlwaysFalse{}, true
	case *ast.IdentifierNode:
		if b.kind(n) == arrow.BOOL {
			return iceberg.IsNull(iceberg.Reference(n.Value)), true
		}
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			return b.unknown(n.Node)
		}
	case *ast.BinaryNode:
		if slices.Contains([]string{"and", "&&", "or", "||"}, n.Operator) {
			left, leftKnown := b.unknown(n.Left)
			right, rightKnown := b.unknown(n.Right)
			if !leftKnown || !rightKnown {
				return nil, false
			}
			return iceberg.NewOr(left, right), true
		}
		if c, ok := b.comparison(n); ok && c.null {
			return iceberg.AlwaysFalse{}, true
		} else if ok {
			return iceberg.IsNull(iceberg.Reference(c.column)), true
		}
	}
	return nil, false
}

// kind is the type of a column that a condition names.
func (b *bounder) kind(n *ast.IdentifierNode) arrow.Type {
	if at := b.columns.FieldIndices(n.Value); len(at) == 1 {
		return b.columns.Field(at[0]).Type.ID()
	}
	return arrow.NULL
}

// in covers the rows of `column in [a, b]`.
func (b *bounder) in(n *ast.BinaryNode) iceberg.BooleanExpression {
	list, ok := n.Right.(*ast.ArrayNode)
	if !ok || len(list.Nodes) == 0 {
		return nil
	}
	var out iceberg.BooleanExpression
	for i, element := range list.Nodes {
		c, ok := b.comparison(&ast.BinaryNode{Operator: "==", Left: n.Left, Right: element})
		if !ok || c.null {
			return nil
		}
		if equal := c.expression(true); i == 0 {
			out = equal
		} else {
			out = iceberg.NewOr(out, equal)
		}
	}
	return out
}
