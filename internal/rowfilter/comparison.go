package rowfilter

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/expr-lang/expr/ast"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/transforms/expression"
)

// comparison is of a column with a constant, or a test for null.
type comparison struct {
	column string
	op     string
	value  iceberg.Literal
	null   bool
}

var operations = map[string]iceberg.Operation{
	"==": iceberg.OpEQ, "!=": iceberg.OpNEQ, "<": iceberg.OpLT, "<=": iceberg.OpLTEQ, ">": iceberg.OpGT, ">=": iceberg.OpGTEQ,
}

var (
	inverse = map[string]string{"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
	swapped = map[string]string{"==": "==", "!=": "!=", "<": ">", ">": "<", "<=": ">=", ">=": "<="}
)

// expression holds for the rows for which the comparison is true, or false.
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
	return iceberg.LiteralPredicate(operations[op], column, c.value)
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
	c.value, err = literalOf(field, constant)
	return c, err == nil && c.value != nil
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
var steady = []string{"date", "timestamp", "timestamptz", "int", "long", "string", "cast", "duration", "date_add"}

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

// literalOf is a constant as a value of the column. Nil is none: of types that Iceberg's bounds do not order as
// expressions do, and of constants that no value of the column equals.
func literalOf(field arrow.Field, constant ast.Node) (iceberg.Literal, error) {
	notation, err := columntype.Format(field.Type)
	if err != nil {
		return nil, err
	}
	nothing := array.NewRecordBatch(arrow.NewSchema(nil, nil), nil, 1)
	defer nothing.Release()
	value, err := evaluate(fmt.Sprintf("cast(%s, %q)", constant, notation), expression.Scope{"": nothing.Schema()}, nothing)
	if err != nil {
		return nil, err
	}
	defer value.Release()
	if value.Len() != 1 || value.IsNull(0) || !arrow.TypeEqual(value.DataType(), field.Type) {
		return nil, nil
	}
	// The cast may have rounded, or read a text in another way than the comparison does.
	schema := arrow.NewSchema([]arrow.Field{field}, nil)
	one := array.NewRecordBatch(schema, []arrow.Array{value}, 1)
	defer one.Release()
	equal, err := evaluate(fmt.Sprintf("%s == (%s)", field.Name, constant), expression.Scope{"": schema}, one)
	if err != nil {
		return nil, err
	}
	defer equal.Release()
	if same, ok := equal.(*array.Boolean); !ok || same.IsNull(0) || !same.Value(0) {
		return nil, nil
	}
	return literal(value), nil
}

func evaluate(source string, scope expression.Scope, batch arrow.RecordBatch) (arrow.Array, error) {
	program, err := expression.Compile(source, scope)
	if err != nil {
		return nil, err
	}
	return program.Eval(context.Background(), batch)
}

func literal(a arrow.Array) iceberg.Literal {
	switch a := a.(type) {
	case *array.Boolean:
		return iceberg.NewLiteral(a.Value(0))
	case *array.Int32:
		return iceberg.NewLiteral(a.Value(0))
	case *array.Int64:
		return iceberg.NewLiteral(a.Value(0))
	case *array.String:
		return iceberg.NewLiteral(a.Value(0))
	case *array.Date32:
		return iceberg.NewLiteral(iceberg.Date(a.Value(0)))
	case *array.Timestamp:
		if a.DataType().(*arrow.TimestampType).Unit == arrow.Microsecond {
			return iceberg.NewLiteral(iceberg.Timestamp(a.Value(0)))
		}
	}
	return nil
}
