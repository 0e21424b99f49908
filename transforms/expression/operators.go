package expression

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/expr-lang/expr/ast"
)

func (c *compiler) unary(n *ast.UnaryNode) (node, error) {
	v, err := c.lower(n.Node)
	if err != nil {
		return nil, err
	}
	k := kindOf(v.dataType())
	switch n.Operator {
	case "not", "!":
		if k != kindBool && k != kindNull {
			return nil, c.errorf(n.Node, "", "%s needs a boolean, found %s", n.Operator, typeName(v.dataType()))
		}
		return call(typeBool, notKernel, c.cast(v, typeBool)), nil
	case "+", "-":
		if !k.isNumber() && k != kindDuration && k != kindNull {
			return nil, c.errorf(n.Node, "", "%s needs a number, found %s", n.Operator, typeName(v.dataType()))
		}
		if n.Operator == "+" || k == kindNull {
			return v, nil
		}
		return negate(v), nil
	}
	return nil, c.errorAt(n, "", "unknown operator %q", n.Operator)
}

// negate keeps a literal's text, so that -0.1 is as exact as 0.1.
func negate(v node) node {
	out := call(v.dataType(), negateKernel(v.dataType()), v)
	lit, isLit := v.(*constNode)
	folded, isConst := out.(*constNode)
	if isLit && isConst && lit.literal != "" {
		text, negative := strings.CutPrefix(lit.literal, "-")
		if !negative {
			text = "-" + text
		}
		folded.literal = text
	}
	return out
}

func (c *compiler) binary(n *ast.BinaryNode) (node, error) {
	switch n.Operator {
	case "and", "&&", "or", "||":
		return c.logic(n)
	case "==", "!=":
		if isNil(n.Left) || isNil(n.Right) {
			return c.nullTest(n)
		}
		return c.comparison(n)
	case "<", "<=", ">", ">=":
		return c.comparison(n)
	case "+", "-", "*", "/", "%", "**", "^":
		return c.arithmetic(n)
	case "in":
		return c.membership(n)
	case "contains", "startsWith", "endsWith", "matches":
		return c.textTest(n)
	case "??":
		return c.call(n, "coalesce", []ast.Node{n.Left, n.Right})
	case "..":
		return c.call(n, "range", []ast.Node{n.Left, n.Right})
	}
	return nil, c.errorAt(n, "", "unknown operator %q", n.Operator)
}

func isNil(n ast.Node) bool {
	if id, ok := n.(*ast.IdentifierNode); ok {
		return id.Value == "null"
	}
	_, ok := n.(*ast.NilNode)
	return ok
}

func (c *compiler) nullTest(n *ast.BinaryNode) (node, error) {
	tested := n.Left
	if isNil(tested) {
		tested = n.Right
	}
	v, err := c.lower(tested)
	if err != nil {
		return nil, err
	}
	return call(typeBool, nullTestKernel(n.Operator == "!="), v), nil
}

func (c *compiler) logic(n *ast.BinaryNode) (node, error) {
	sides := make([]node, 2)
	for i, side := range []ast.Node{n.Left, n.Right} {
		v, err := c.condition(side, n.Operator)
		if err != nil {
			return nil, err
		}
		sides[i] = v
	}
	logic := &logicNode{or: n.Operator == "or" || n.Operator == "||", left: sides[0], right: sides[1]}
	if areConst(sides...) {
		return fold(logic), nil
	}
	return logic, nil
}

// condition lowers an operand that must be boolean.
func (c *compiler) condition(n ast.Node, what string) (node, error) {
	v, err := c.lower(n)
	if err != nil {
		return nil, err
	}
	if k := kindOf(v.dataType()); k != kindBool && k != kindNull {
		hint := ""
		if k.isNumber() || k == kindString {
			hint = "compare it with something"
		}
		return nil, c.errorf(n, hint, "%s needs a boolean, found %s", what, typeName(v.dataType()))
	}
	return c.cast(v, typeBool), nil
}

func areConst(nodes ...node) bool {
	for _, n := range nodes {
		if _, ok := n.(*constNode); !ok {
			return false
		}
	}
	return true
}

// operands lowers both sides of an operator and lets each literal become what the other side is.
func (c *compiler) operands(n *ast.BinaryNode) (a, b node, err error) {
	if a, err = c.lower(n.Left); err != nil {
		return nil, nil, err
	}
	if b, err = c.lower(n.Right); err != nil {
		return nil, nil, err
	}
	return c.adapt(n.Left, a, n.Right, b)
}

func (c *compiler) adapt(an ast.Node, a node, bn ast.Node, b node) (node, node, error) {
	x, err := c.adaptTo(an, a, b.dataType())
	if err != nil {
		return nil, nil, err
	}
	y, err := c.adaptTo(bn, b, a.dataType())
	return x, y, err
}

// adaptTo turns a literal into the type that stands on the other side: text into a date, a number into a decimal. A
// literal beside a literal, and every other value, stays as it is.
func (c *compiler) adaptTo(at ast.Node, v node, other arrow.DataType) (node, error) {
	lit, ok := v.(*constNode)
	if !ok || lit.isNull() {
		return v, nil
	}
	own, k := kindOf(lit.dataType()), kindOf(other)
	switch {
	case own == kindString && (k == kindDate || k == kindTime || k.isTimestamp() || k == kindUUID || k == kindDuration):
		return c.textLiteral(at, lit, other)
	case lit.literal == "" || own == k:
		return v, nil
	case k == kindDecimal:
		if d, ok := decimalLiteral(lit.literal); ok {
			return d, nil
		}
	case k == kindFloat && own.isInteger():
		return c.cast(lit, typeDouble), nil
	case k == kindLong && own == kindInt, k == kindDouble && own.isInteger():
		return c.cast(lit, other), nil
	}
	return v, nil
}

func (c *compiler) textLiteral(at ast.Node, lit *constNode, to arrow.DataType) (node, error) {
	parsed := c.cast(lit, to)
	if _, ok := parsed.(*constNode); !ok {
		text, _ := constText(lit)
		return nil, c.errorf(at, literalHint(kindOf(to)), "%q is not %s", text, withArticle(to))
	}
	return parsed, nil
}

func literalHint(k kind) string {
	switch k {
	case kindDate:
		return `write it as "2024-01-31"`
	case kindTimestamp, kindTimestampTz:
		return `write it as "2024-01-31 12:30:00"`
	case kindTime:
		return `write it as "12:30:00"`
	case kindDuration:
		return `write it as "1h30m"`
	}
	return ""
}

func withArticle(t arrow.DataType) string {
	name := typeName(t)
	if strings.ContainsRune("aei", rune(name[0])) {
		return "an " + name
	}
	return "a " + name
}

// comparison is ==, !=, <, <=, > or >=; a null on either side makes it unknown.
func (c *compiler) comparison(n *ast.BinaryNode) (node, error) {
	a, b, err := c.operands(n)
	if err != nil {
		return nil, err
	}
	return c.compare(n, n.Operator, a, b)
}

var compareOps = map[string]compareOp{"==": opEq, "!=": opNe, "<": opLt, "<=": opLe, ">": opGt, ">=": opGe}

func (c *compiler) compare(at ast.Node, operator string, a, b node) (node, error) {
	op, ka, kb := compareOps[operator], kindOf(a.dataType()), kindOf(b.dataType())
	if ka == kindNull || kb == kindNull {
		return nullConst(typeBool), nil
	}
	if exactDecimals(ka, kb) {
		a, b = c.asDecimalNode(a), c.asDecimalNode(b)
		a, b = c.scaledAs(a, b), c.scaledAs(b, a)
		return call(typeBool, decimalCompareKernel(op, asDecimal(a.dataType()), asDecimal(b.dataType())), a, b), nil
	}
	common := commonType(a.dataType(), b.dataType())
	if common == nil {
		return nil, c.errorf(at, mismatchHint(a.dataType(), b.dataType()),
			"%s cannot be compared with %s", typeName(a.dataType()), typeName(b.dataType()))
	}
	if k := kindOf(common); k.isNested() && op != opEq && op != opNe {
		return nil, c.errorf(at, "", "%s values have no order", typeName(common))
	}
	return call(typeBool, compareKernel(op, common), c.cast(a, common), c.cast(b, common)), nil
}

func exactDecimals(a, b kind) bool {
	return (a == kindDecimal || b == kindDecimal) && a.isNumber() && b.isNumber() && !a.isFloating() && !b.isFloating()
}

func (c *compiler) asDecimalNode(v node) node { return c.cast(v, asDecimal(v.dataType())) }

// scaledAs gives a constant the scale of what it is compared with, if that is greater and the digits are there.
func (c *compiler) scaledAs(v, other node) node {
	_, isConst := v.(*constNode)
	scale := asDecimal(other.dataType()).Scale
	if !isConst || asDecimal(v.dataType()).Scale >= scale {
		return v
	}
	if scaled, ok := c.cast(v, &arrow.Decimal128Type{Precision: maxPrecision, Scale: scale}).(*constNode); ok {
		return scaled
	}
	return v
}

// mismatchHint says how two types can be brought together.
func mismatchHint(a, b arrow.DataType) string {
	ka, kb := kindOf(a), kindOf(b)
	if ka == kindString {
		a, b, ka, kb = b, a, kb, ka
	}
	switch {
	case kb == kindString && ka.isNested():
		return ""
	case kb == kindString:
		return fmt.Sprintf("%s(...) reads text as %s", castName(a), withArticle(a))
	case ka.isTimestamp() && kb.isTimestamp():
		return "timestamptz(...) reads a timestamp as UTC, timestamp(...) writes an instant as UTC"
	case ka.isTemporal() && kb.isTemporal():
		return "cast one side, as in date(...)"
	case ka == kindBool && kb.isNumber(), kb == kindBool && ka.isNumber():
		return "int(...) makes a boolean 0 or 1"
	}
	return ""
}

// castName is the function that casts to a type.
func castName(t arrow.DataType) string {
	name := typeName(t)
	if i := strings.IndexAny(name, "(<"); i > 0 {
		name = name[:i]
	}
	return name
}

// conditional is `a ? b : c` and `if a { b } else { c }`; an unknown condition takes the second branch.
func (c *compiler) conditional(n *ast.ConditionalNode) (node, error) {
	cond, err := c.condition(n.Cond, "a condition")
	if err != nil {
		return nil, err
	}
	branches, common, err := c.unified([]ast.Node{n.Exp1, n.Exp2}, "the branches of a condition")
	if err != nil {
		return nil, err
	}
	choose := &ifNode{typ: common, cond: cond, then: branches[0], other: branches[1]}
	if areConst(cond, branches[0], branches[1]) {
		return fold(choose), nil
	}
	return choose, nil
}

// unified lowers nodes and brings them to one type.
func (c *compiler) unified(nodes []ast.Node, what string) ([]node, arrow.DataType, error) {
	values := make([]node, len(nodes))
	for i, n := range nodes {
		v, err := c.lower(n)
		if err != nil {
			return nil, nil, err
		}
		values[i] = v
	}
	common, err := c.unify(nodes, values, what)
	return values, common, err
}

// unify brings values to one type, literals following the others.
func (c *compiler) unify(nodes []ast.Node, values []node, what string) (arrow.DataType, error) {
	common := arrow.DataType(typeNull)
	for _, literals := range []bool{false, true} {
		for i, v := range values {
			lit, isLit := v.(*constNode)
			isLit = isLit && (lit.literal != "" || kindOf(v.dataType()) == kindString)
			if isLit != literals {
				continue
			}
			adapted, err := c.adaptTo(nodes[i], v, common)
			if err != nil {
				return nil, err
			}
			values[i] = adapted
			next := commonType(common, adapted.dataType())
			if next == nil {
				return nil, c.errorf(nodes[i], mismatchHint(common, adapted.dataType()), "%s must have one type, found %s and %s",
					what, typeName(common), typeName(adapted.dataType()))
			}
			common = next
		}
	}
	for i, v := range values {
		values[i] = c.cast(v, common)
	}
	return common, nil
}
