package expression

import (
	"regexp"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/expr-lang/expr/ast"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

// concatKernel joins texts; a null makes the result null.
func concatKernel(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	valid := ev.valid(args, n)
	texts, strides, size := make([]vector.Texts, len(args)), make([]int, len(args)), 0
	for i, a := range args {
		texts[i], strides[i] = vector.TextsOf(a.arr), a.stride()
		if a.single {
			size += n * texts[i].Size()
		} else {
			size += texts[i].Size()
		}
	}
	out := vector.NewTextBuilder(n, size)
	for i := range n {
		if valid.IsValid(i) {
			for k, t := range texts {
				out.Data = append(out.Data, t.Bytes(i*strides[k])...)
			}
		}
		out.End()
	}
	arr, err := out.Finish(typeString, valid)
	return arr, nil, err
}

// textTest is contains, startsWith, endsWith or matches.
func (c *compiler) textTest(n *ast.BinaryNode) (node, error) {
	sides := make([]node, 2)
	for i, side := range []ast.Node{n.Left, n.Right} {
		v, err := c.lower(side)
		if err != nil {
			return nil, err
		}
		k := kindOf(v.dataType())
		if i == 0 && n.Operator == "contains" && k == kindList {
			return c.memberOf(n, n.Right, n.Left)
		}
		if k != kindString && k != kindNull {
			return nil, c.errorf(side, "string(...) turns it into text", "%s needs text, found %s", n.Operator, typeName(v.dataType()))
		}
		sides[i] = c.cast(v, typeString)
	}
	if n.Operator == "matches" {
		return c.matches(n, sides[0], sides[1])
	}
	return call(typeBool, textTestKernel(textTests[n.Operator]), sides...), nil
}

var textTests = map[string]func(s, part string) bool{
	"contains": strings.Contains, "startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix,
}

func textTestKernel(f func(s, part string) bool) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		a, b, sa, sb := vector.TextsOf(args[0].arr), vector.TextsOf(args[1].arr), args[0].stride(), args[1].stride()
		return computeBools(n, ev.valid(args, n), func(i int) (bool, string) {
			return f(a.At(i*sa), b.At(i*sb)), ""
		})
	}
}

// matches finds a regular expression (RE2) anywhere in text; a constant pattern is compiled once.
func (c *compiler) matches(n *ast.BinaryNode, s, pattern node) (node, error) {
	re, err := c.pattern(n.Right, pattern)
	if err != nil {
		return nil, err
	}
	run := func(ev *evaluation, args []vec, rows int) (arrow.Array, []Fault, error) {
		in, at := vector.TextsOf(args[0].arr), args[0].stride()
		compiled := patterns(re, args[1])
		return computeBools(rows, ev.valid(args, rows), func(i int) (bool, string) {
			re, problem := compiled(i)
			if problem != "" {
				return false, problem
			}
			return re.Match(in.Bytes(i * at)), ""
		})
	}
	return call(typeBool, run, s, pattern), nil
}

// pattern compiles a constant pattern; it is nil if the pattern is not constant.
func (c *compiler) pattern(at ast.Node, v node) (*regexp.Regexp, error) {
	text, ok := constText(v)
	if !ok {
		return nil, nil
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, c.errorf(at, "the syntax is RE2's", "%s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return re, nil
}

// patterns gives each row's regular expression; equal neighbours are compiled once.
func patterns(constant *regexp.Regexp, v vec) func(i int) (*regexp.Regexp, string) {
	if constant != nil {
		return func(int) (*regexp.Regexp, string) { return constant, "" }
	}
	in, at := vector.TextsOf(v.arr), v.stride()
	var last string
	var re *regexp.Regexp
	return func(i int) (*regexp.Regexp, string) {
		if text := in.At(i * at); re == nil || text != last {
			compiled, err := regexp.Compile(text)
			if err != nil {
				return nil, strings.TrimPrefix(err.Error(), "error parsing regexp: ")
			}
			re, last = compiled, text
		}
		return re, ""
	}
}
