package expression

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/expr-lang/expr/ast"

	"github.com/varve-lake/varve/transforms/internal/names"
)

// Compile parses source, checks it against scope and lowers it to Arrow kernels. The error is an *Error.
func Compile(source string, scope Scope) (*Program, error) {
	tree, err := parse(source)
	if err != nil {
		return nil, err
	}
	c := &compiler{source: source, scope: scope, slots: map[string]int{}}
	root, err := c.lower(tree)
	if err != nil {
		var typed *Error
		if !errors.As(err, &typed) {
			err = &Error{Message: err.Error()}
		}
		return nil, err
	}
	return &Program{
		source: source, root: root, columns: c.columns, explain: c.explain, compiled: time.Now(),
	}, nil
}

// compiler turns a syntax tree into nodes.
type compiler struct {
	source  string
	scope   Scope
	columns []column
	slots   map[string]int // of columns
	symbols []symbol       // lets in sight, innermost last
	lets    int
	focus   []focus // predicates over lists that we are in, innermost last
	depth   int
	explain []string
}

// symbol is the name of a let. Inside a predicate, names of outside are seen through focus.
type symbol struct {
	name  string
	value node
}

// focus is what # stands for in a predicate.
type focus struct {
	element arrow.DataType
	acc     arrow.DataType // of #acc in a reduce
}

func (c *compiler) errorf(at ast.Node, hint, format string, args ...any) error {
	return &Error{
		Offset:  byteOffset(c.source, start(at).Location().From),
		Message: fmt.Sprintf(format, args...),
		Hint:    hint,
	}
}

// errorAt is errorf at the node's own place: an operator's, a property's.
func (c *compiler) errorAt(at ast.Node, hint, format string, args ...any) error {
	return &Error{Offset: byteOffset(c.source, at.Location().From), Message: fmt.Sprintf(format, args...), Hint: hint}
}

func (c *compiler) lower(n ast.Node) (node, error) {
	c.depth++
	defer func() { c.depth-- }()
	if c.depth > maxDepth {
		return nil, c.errorf(n, "", "the expression nests deeper than %d", maxDepth)
	}
	switch n := n.(type) {
	case *ast.NilNode:
		return nullConst(typeNull), nil
	case *ast.BoolNode:
		return boolConst(n.Value), nil
	case *ast.IntegerNode:
		return integerLiteral(int64(n.Value)), nil
	case *ast.FloatNode:
		return c.floatLiteral(n), nil
	case *ast.StringNode:
		return textConst(typeString, n.Value), nil
	case *ast.BytesNode:
		return textConst(typeBinary, string(n.Value)), nil
	case *ast.IdentifierNode:
		return c.identifier(n)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.conditional(n)
	case *ast.ChainNode:
		return c.lower(n.Node)
	case *ast.SequenceNode:
		return c.sequence(n)
	case *ast.VariableDeclaratorNode:
		return c.let(n)
	}
	return c.lowerNested(n)
}

func (c *compiler) lowerNested(n ast.Node) (node, error) {
	switch n := n.(type) {
	case *ast.MemberNode:
		return c.member(n)
	case *ast.SliceNode:
		return c.slice(n)
	case *ast.ArrayNode:
		return c.array(n)
	case *ast.MapNode:
		return c.structure(n)
	case *ast.PointerNode:
		return c.pointer(n)
	case *ast.BuiltinNode:
		return c.call(n, n.Name, n.Arguments)
	case *ast.CallNode:
		name, ok := n.Callee.(*ast.IdentifierNode)
		if !ok {
			return nil, c.errorf(n, "functions are called by name, as in upper(name)", "values have no methods")
		}
		return c.call(n, name.Value, n.Arguments)
	case *ast.PredicateNode:
		return nil, c.errorf(n, "", "a predicate stands where a value is expected")
	}
	return nil, c.errorf(n, "", "this form of expression is not supported")
}

// sequence is `a; b`: the values before the last have no effect, but must be right.
func (c *compiler) sequence(n *ast.SequenceNode) (node, error) {
	var last node
	for _, part := range n.Nodes {
		var err error
		if last, err = c.lower(part); err != nil {
			return nil, err
		}
	}
	return last, nil
}

func (c *compiler) let(n *ast.VariableDeclaratorNode) (node, error) {
	value, err := c.lower(n.Value)
	if err != nil {
		return nil, err
	}
	slot, bound := c.lets, value
	if _, constant := value.(*constNode); !constant {
		c.lets++
		bound = &letRef{slot: slot, typ: value.dataType()}
	}
	c.symbols = append(c.symbols, symbol{name: n.Name, value: bound})
	body, err := c.lower(n.Expr)
	c.symbols = c.symbols[:len(c.symbols)-1]
	if err != nil || bound == value {
		return body, err
	}
	return &letNode{slot: slot, value: value, body: body}, nil
}

func (c *compiler) identifier(n *ast.IdentifierNode) (node, error) {
	if n.Value == "null" {
		return nullConst(typeNull), nil
	}
	for _, s := range slices.Backward(c.symbols) {
		if s.name == n.Value {
			return s.value, nil
		}
	}
	return c.bareColumn(n, n.Value)
}

// bareColumn finds a column that is named without its side.
func (c *compiler) bareColumn(at ast.Node, name string) (node, error) {
	if bare, ok := c.scope[""]; ok {
		if _, found := bare.FieldsByName(name); found {
			return c.column(at, "", name)
		}
	}
	var sides []string
	for side, schema := range c.scope {
		if side != "" && schema.HasField(name) {
			sides = append(sides, side)
		}
	}
	slices.Sort(sides)
	switch {
	case len(sides) == 1 && c.scope[""] == nil:
		return c.column(at, sides[0], name)
	case len(sides) > 0:
		return nil, c.errorf(at, fmt.Sprintf("write %s.%s", strings.Join(sides, "."+name+" or "), name), "column %q is named without its side", name)
	case c.scope[name] != nil:
		return nil, c.errorf(at, "", "%q names a side of the merge, not a column", name)
	}
	return nil, c.unknown(at, name)
}

func (c *compiler) unknown(at ast.Node, name string) error {
	var known []string
	for _, side := range slices.Sorted(maps.Keys(c.scope)) {
		for _, f := range c.scope[side].Fields() {
			known = append(known, qualified(side, f.Name))
		}
	}
	for _, s := range c.symbols {
		known = append(known, s.name)
	}
	hint := ""
	if nearest := names.Nearest(name, known); nearest != "" {
		hint = fmt.Sprintf("did you mean %q?", nearest)
	}
	return c.errorf(at, hint, "unknown column %q", name)
}

func qualified(side, name string) string {
	if side == "" {
		return name
	}
	return side + "." + name
}

// column makes the node of a column of one side.
func (c *compiler) column(at ast.Node, side, name string) (node, error) {
	found, _ := c.scope[side].FieldsByName(name)
	full := qualified(side, name)
	switch {
	case len(found) == 0:
		return nil, c.unknown(at, full)
	case len(found) > 1:
		return nil, c.errorf(at, "", "column %q stands for %d columns of that name", full, len(found))
	}
	slot, ok := c.slots[full]
	if !ok {
		working := workingType(found[0].Type)
		if kindOf(working) == kindOther {
			return nil, c.errorf(at, "", "column %q has type %s, which expressions cannot read", full, found[0].Type)
		}
		slot = len(c.columns)
		c.slots[full] = slot
		c.columns = append(c.columns, column{name: full, typ: found[0].Type, working: working})
	}
	return &columnNode{slot: slot, typ: c.columns[slot].working}, nil
}

// integerLiteral is an int if it fits, else a long.
func integerLiteral(v int64) *constNode {
	n := fixedConst(typeLong, v)
	if int64(int32(v)) == v {
		n = fixedConst(typeInt, int32(v))
	}
	n.literal = strconv.FormatInt(v, 10)
	return n
}

// floatLiteral is a double that remembers its text, since a decimal on the other side takes it exactly.
func (c *compiler) floatLiteral(n *ast.FloatNode) *constNode {
	from, to := byteOffset(c.source, n.Location().From), byteOffset(c.source, n.Location().To)
	k := fixedConst(typeDouble, n.Value)
	if from < to {
		k.literal = strings.ReplaceAll(c.source[from:to], "_", "")
	}
	return k
}
