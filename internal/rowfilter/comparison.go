package rowfilter

import (
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/expr-lang/expr/ast"
)

// comparison is of a column with a constant, or a test for null.
type comparison struct {
	column string
	op     string
	value  bracket
	null   bool
}

var operations = map[string]iceberg.Operation{
	"==": iceberg.OpEQ, "!=": iceberg.OpNEQ, "<": iceberg.OpLT, "<=": iceberg.OpLTEQ, ">": iceberg.OpGT, ">=": iceberg.OpGTEQ,
}

var (
	inverse = map[string]string{"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
	swapped = map[string]string{"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
)

// expression holds for the rows for which the comparison is true, or false. Nil holds for all rows.
func (c comparison) expression(truth bool) iceberg.BooleanExpression {
	op, column := c.op, iceberg.Reference(c.column)
	if !truth {
		op = inverse[op]
	}
	switch {
	case c.null && op == "==":
		return iceberg.IsNull(column)
	case c.null:
		return iceberg.NotNull(column)
	}
	out := c.value.cover(op, column)
	if c.value.floating && (op == ">" || op == ">=" || op == "!=") && out != nil {
		// To an expression NaN is above all numbers, to Iceberg it is in no order.
		return iceberg.NewOr(out, iceberg.IsNaN(column))
	}
	return out
}

// comparison reads one, in either order.
func (b *bounder) comparison(n *ast.BinaryNode) (comparison, bool) {
	c := comparison{op: n.Operator}
	if _, ok := operations[n.Operator]; !ok {
		return c, false
	}
	column, isColumn := n.Left.(*ast.IdentifierNode)
	constant := n.Right
	if !isColumn || len(b.columns.FieldIndices(column.Value)) != 1 {
		if column, isColumn = n.Right.(*ast.IdentifierNode); !isColumn || len(b.columns.FieldIndices(column.Value)) != 1 {
			return c, false
		}
		constant, c.op = n.Left, swapped[n.Operator]
	}
	c.column = column.Value
	field := b.columns.Field(b.columns.FieldIndices(column.Value)[0])
	if null(constant) {
		c.null = true
		// The library cannot bind a test of a nested column.
		return c, (c.op == "==" || c.op == "!=") && !arrow.IsNested(field.Type.ID())
	}
	if !fixed(constant) {
		return c, false
	}
	var err error
	c.value, err = bracketOf(field, constant)
	return c, err == nil && c.value.known()
}

// null tells the constant, by both of its names.
func null(n ast.Node) bool {
	if name, ok := n.(*ast.IdentifierNode); ok {
		return name.Value == "null"
	}
	_, ok := n.(*ast.NilNode)
	return ok
}

// steady are the functions whose value depends on their arguments alone: now() is another each time.
var steady = []string{
	"date", "timestamp", "timestamptz", "time", "int", "long", "float", "double", "decimal", "uuid", "string", "cast", "duration", "date_add",
}

// fixed tells whether an expression is the same for every row, whenever it is evaluated.
func fixed(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.StringNode, *ast.BoolNode:
		return true
	case *ast.UnaryNode:
		return fixed(n.Node)
	case *ast.BinaryNode:
		return fixed(n.Left) && fixed(n.Right)
	case *ast.CallNode:
		name, ok := n.Callee.(*ast.IdentifierNode)
		return ok && slices.Contains(steady, name.Value) && !slices.ContainsFunc(n.Arguments, func(a ast.Node) bool { return !fixed(a) })
	case *ast.BuiltinNode:
		return slices.Contains(steady, n.Name) && !slices.ContainsFunc(n.Arguments, func(a ast.Node) bool { return !fixed(a) })
	}
	return false
}
