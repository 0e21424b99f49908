package expression

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
)

// maxSource bounds the text of an expression; expr's parser recurses.
const maxSource = 64 << 10

// maxDepth bounds the nesting of an expression.
const maxDepth = 1000

// parse reads source with expr's parser.
func parse(source string) (root ast.Node, err error) {
	if !utf8.ValidString(source) {
		return nil, &Error{Message: "the expression is not valid UTF-8"}
	}
	if len(source) > maxSource {
		return nil, &Error{Message: fmt.Sprintf("the expression is %d bytes long, more than %d", len(source), maxSource)}
	}
	if strings.TrimSpace(source) == "" {
		return nil, &Error{Message: "the expression is empty"}
	}
	defer func() { // the parser is another project's: its bug is no reason to end the process
		if r := recover(); r != nil {
			root, err = nil, &Error{Message: fmt.Sprintf("the expression cannot be parsed: %v", r)}
		}
	}()
	tree, err := parser.Parse(source)
	if err != nil {
		return nil, parseError(source, err)
	}
	return tree.Node, nil
}

// parseError is expr's error in our words, at its byte.
func parseError(source string, err error) error {
	var at *file.Error
	if !errors.As(err, &at) {
		return &Error{Message: err.Error()}
	}
	offset := byteOffset(source, at.From)
	switch {
	case strings.HasPrefix(at.Message, "unexpected token EOF"), strings.HasPrefix(at.Message, "unexpected end"):
		return &Error{Offset: len(source), Message: "the expression ends too early"}
	case at.Message == `unexpected token Operator("=")`:
		return &Error{Offset: offset, Message: `unexpected "="`, Hint: `"==" compares`}
	case strings.HasPrefix(at.Message, "literal not terminated"):
		return &Error{Offset: min(offset, len(source)), Message: "a string's closing quote is missing"}
	case strings.Contains(at.Message, "literal: strconv."):
		return numberError(source, at.Message)
	case strings.HasPrefix(at.Message, "unexpected token "):
		return &Error{Offset: offset, Message: "unexpected " + tokenText(at.Message)}
	}
	return &Error{Offset: offset, Message: strings.ToLower(at.Message[:1]) + at.Message[1:]}
}

// numberError finds the number that expr could not read, which it places at the token behind.
func numberError(source, message string) error {
	_, quoted, _ := strings.Cut(message, `parsing "`)
	text, _, _ := strings.Cut(quoted, `"`)
	return &Error{
		Offset:  max(strings.Index(source, text), 0),
		Message: fmt.Sprintf("%s is no number in range", text),
		Hint:    `decimal("...") holds 38 digits`,
	}
}

// tokenText turns expr's `unexpected token Identifier("x")` into `"x"`.
func tokenText(message string) string {
	open, end := strings.IndexByte(message, '('), strings.LastIndexByte(message, ')')
	if open < 0 || end < open {
		return strings.TrimPrefix(message, "unexpected token ")
	}
	return message[open+1 : end]
}

// byteOffset turns expr's rune offset into one of bytes.
func byteOffset(source string, runes int) int {
	for i := range source {
		if runes == 0 {
			return i
		}
		runes--
	}
	return len(source)
}

// start is the node whose place in the source is the leftmost of n's; expr gives an operator its own place.
func start(n ast.Node) ast.Node {
	switch n := n.(type) {
	case *ast.BinaryNode:
		return start(n.Left)
	case *ast.ConditionalNode:
		return start(n.Cond)
	case *ast.MemberNode:
		return start(n.Node)
	case *ast.ChainNode:
		return start(n.Node)
	case *ast.SliceNode:
		return start(n.Node)
	case *ast.CallNode:
		return start(n.Callee)
	case *ast.SequenceNode:
		return start(n.Nodes[0])
	}
	return n
}
