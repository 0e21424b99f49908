package compile

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"github.com/varve-lake/varve/plan"
)

// splitEqualities takes `s.a == t.b` out of the conjunction that a predicate is. What is left is an expression again, or
// empty. Columns of different types stay in it: comparing them is the expression's business.
func splitEqualities(predicate string, s, t *arrow.Schema) ([]plan.Pair, string, error) {
	tree, err := parser.Parse(predicate)
	if err != nil {
		return nil, "", fmt.Errorf("predicate %q: %w", predicate, err)
	}
	var pairs []plan.Pair
	var rest []string
	for _, term := range conjuncts(tree.Node) {
		pair, ok := equality(term)
		source, inRows := lookup(s, pair.Source)
		target, inTable := lookup(t, pair.Target)
		if ok && inRows && inTable && notation(source.Type) == notation(target.Type) {
			pairs = append(pairs, pair)
			continue
		}
		rest = append(rest, "("+term.String()+")")
	}
	return pairs, strings.Join(rest, " && "), nil
}

func conjuncts(n ast.Node) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && (b.Operator == "&&" || b.Operator == "and") {
		return append(conjuncts(b.Left), conjuncts(b.Right)...)
	}
	return []ast.Node{n}
}

// equality reads s.a == t.b, in either order.
func equality(n ast.Node) (plan.Pair, bool) {
	b, ok := n.(*ast.BinaryNode)
	if !ok || b.Operator != "==" {
		return plan.Pair{}, false
	}
	left, leftColumn := side(b.Left)
	right, rightColumn := side(b.Right)
	switch {
	case left == "s" && right == "t":
		return plan.Pair{Source: leftColumn, Target: rightColumn}, true
	case left == "t" && right == "s":
		return plan.Pair{Source: rightColumn, Target: leftColumn}, true
	}
	return plan.Pair{}, false
}

// side reads s.column or t.column.
func side(n ast.Node) (name, column string) {
	m, ok := n.(*ast.MemberNode)
	if !ok {
		return "", ""
	}
	of, ok := m.Node.(*ast.IdentifierNode)
	if !ok {
		return "", ""
	}
	property, ok := m.Property.(*ast.StringNode)
	if !ok {
		return "", ""
	}
	return of.Value, property.Value
}
