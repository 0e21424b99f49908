package expression

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/vm"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// The functions of expr that have no kernel: expr's VM runs them row by row. Their arguments come from kernels; within
// them expr's own rules hold, where a comparison with nil is an error and so a fault of the row.
func init() {
	define("Lists, maps and structs",
		fn("reduce(list, expression, initial)", "Folds a list: #acc is the value so far, # the element. Runs on expr's VM.", `reduce([1, 2, 3], #acc + #, 0) == 6`, reduce),
		fn("groupBy(list, expression)", "A map from the expression's values to the lists of their elements. Runs on expr's VM.", `len(groupBy(["aa", "b", "cc"], len(#))) == 2`, groupBy),
	)
	define("Text",
		fn("splitAfter(s, separator)", "The parts of s, each with the separator at its end. Runs on expr's VM.", `splitAfter("a,b", ",") == ["a,", "b"]`, vmFunction(typeTexts, paramText, paramText)),
	)
	define("Numbers",
		fn("bitand(x, y)", "The bits that both have. Runs on expr's VM, as its kin.", `bitand(6, 3) == 2`, vmFunction(typeLong, paramWhole, paramWhole)),
		fn("bitor(x, y)", "The bits that one of both has.", `bitor(6, 3) == 7`, vmFunction(typeLong, paramWhole, paramWhole)),
		fn("bitxor(x, y)", "The bits that exactly one has.", `bitxor(6, 3) == 5`, vmFunction(typeLong, paramWhole, paramWhole)),
		fn("bitnot(x)", "The bits that x has not.", `bitnot(0) == -1`, vmFunction(typeLong, paramWhole)),
		fn("bitshl(x, n)", "x shifted left.", `bitshl(1, 3) == 8`, vmFunction(typeLong, paramWhole, paramWhole)),
		fn("bitshr(x, n)", "x shifted right.", `bitshr(8, 3) == 1`, vmFunction(typeLong, paramWhole, paramWhole)),
	)
}

// vmNode runs a piece of expr for each row.
type vmNode struct {
	typ     arrow.DataType
	program *vm.Program
	args    []node // the variables v0, v1, ... of the piece
	strict  int    // of the first so many arguments, a null makes the result null
}

func (v *vmNode) dataType() arrow.DataType { return v.typ }

func (v *vmNode) eval(ev *evaluation) (vec, error) {
	return (&callNode{args: v.args, typ: v.typ, run: v.run}).eval(ev)
}

func (v *vmNode) run(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	out := array.NewBuilder(vector.Allocator, v.typ)
	defer out.Release()
	read, env := make([]func(int) any, len(args)), map[string]any{}
	for k, a := range args {
		read[k] = goValues(a.arr)
	}
	valid := ev.valid(args[:v.strict], n)
	var machine vm.VM
	var faults []Fault
	for i := range n {
		if i%1024 == 0 && ev.ctx.Err() != nil {
			return nil, nil, ev.ctx.Err()
		}
		if !valid.IsValid(i) {
			out.AppendNull()
			continue
		}
		for k, a := range args {
			env[fmt.Sprintf("v%d", k)] = read[k](i * a.stride())
		}
		result, err := machine.Run(v.program, env)
		if wrong := appendGo(out, result); err == nil { // nil, and so a null, after an error
			err = wrong
		}
		if err != nil {
			message, _, _ := strings.Cut(err.Error(), "\n")
			faults = append(faults, Fault{Row: i, Message: message})
		}
	}
	return out.NewArray(), faults, nil
}

// onVM makes a node of expr's text over variables v0, v1, ...
func (c *compiler) onVM(f *funcCall, typ arrow.DataType, text string, strict int, args ...node) (node, error) {
	env := map[string]any{}
	for k, a := range args {
		if zero := goZero(a.dataType()); k < strict && zero != nil {
			env[fmt.Sprintf("v%d", k)] = zero // the others may be nil: their type is left open
		}
	}
	program, err := expr.Compile(text, expr.Env(env), expr.AllowUndefinedVariables())
	if err != nil {
		message, _, _ := strings.Cut(err.Error(), "\n")
		return nil, c.errorAt(f.at, "", "%s runs on expr's VM, which says: %s", f.name, message)
	}
	if !lossless(typ) {
		return nil, c.errorAt(f.at, "", "%s runs on expr's VM, which has no values of type %s", f.name, typeName(typ))
	}
	c.explain = append(c.explain, fmt.Sprintf("%s at byte %d has no kernel: expr's VM runs it row by row", f.name, byteOffset(c.source, f.at.Location().From)))
	out := &vmNode{typ: typ, program: program, args: args, strict: strict}
	if areConst(args...) {
		return fold(out), nil
	}
	return out, nil
}

// goZero tells expr's checker the type of an argument that is never nil.
func goZero(t arrow.DataType) any {
	switch k := kindOf(t); {
	case k == kindString:
		return ""
	case k.isInteger():
		return 0
	case k.isNumber():
		return 0.0
	case k == kindList:
		return []any{}
	}
	return nil
}

// lossless says whether values of a type come back from Go as they went.
func lossless(t arrow.DataType) bool {
	switch t := t.(type) {
	case *arrow.ListType:
		return lossless(t.Elem())
	case *arrow.MapType:
		return lossless(t.KeyType()) && lossless(t.ItemType())
	case *arrow.StructType:
		for _, f := range t.Fields() {
			if !lossless(f.Type) {
				return false
			}
		}
		return true
	}
	switch kindOf(t) {
	case kindBool, kindInt, kindLong, kindFloat, kindDouble, kindString, kindDate, kindTimestamp, kindTimestampTz, kindNull:
		return true
	}
	return false
}

// vmFunction is a function of plain arguments.
func vmFunction(typ arrow.DataType, params ...param) builder {
	return func(c *compiler, f *funcCall) (node, error) {
		args, err := c.arguments(f, len(params), params...)
		if err != nil {
			return nil, err
		}
		names := make([]string, len(args))
		for k := range names {
			names[k] = fmt.Sprintf("v%d", k)
		}
		return c.onVM(f, typ, fmt.Sprintf("%s(%s)", f.name, strings.Join(names, ", ")), len(args), args...)
	}
}

// reduce checks its expression as a kernel's would be, and lets the VM run it.
func reduce(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 2, 3); err != nil {
		return nil, err
	}
	list, err := c.argument(f, 0, paramList)
	if err != nil || kindOf(list.dataType()) == kindNull {
		return nullConst(typeNull), err
	}
	element := list.dataType().(*arrow.ListType).Elem()
	args, acc := []node{list}, element
	if len(f.nodes) == 3 {
		initial, err := c.lower(f.nodes[2])
		if err != nil {
			return nil, err
		}
		args, acc = append(args, initial), initial.dataType()
	}
	body, err := c.vmPredicate(f, focus{element: element, acc: acc})
	if err != nil {
		return nil, err
	}
	result := commonType(acc, body.typ)
	if result == nil {
		return nil, c.errorf(f.nodes[1], "", "the expression makes %s of %s", typeName(body.typ), typeName(acc))
	}
	if kindOf(result) == kindInt { // a fold of ints is computed in 64 bits
		result = typeLong
	}
	text := "reduce(v0, " + body.text(len(args))
	if len(args) == 2 {
		text += ", v1"
	}
	return c.onVM(f, result, text+")", 1, append(args, body.columns...)...)
}

func groupBy(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 2, 2); err != nil {
		return nil, err
	}
	list, err := c.argument(f, 0, paramList)
	if err != nil || kindOf(list.dataType()) == kindNull {
		return nullConst(typeNull), err
	}
	element := list.dataType().(*arrow.ListType).Elem()
	body, err := c.vmPredicate(f, focus{element: element})
	if err != nil {
		return nil, err
	}
	result := arrow.MapOf(body.typ, columntype.List(element))
	return c.onVM(f, result, "groupBy(v0, "+body.text(1)+")", 1, append([]node{list}, body.columns...)...)
}

// vmBody is a predicate in expr's text, with its columns as variables.
type vmBody struct {
	typ     arrow.DataType
	root    ast.Node
	columns []node
}

// text prints the predicate with its columns as variables from v<first> on.
func (b *vmBody) text(first int) string {
	visitor := &numberVariables{first: first}
	ast.Walk(&b.root, visitor)
	return b.root.String()
}

// vmPredicate checks a predicate, and takes its columns out as arguments.
func (c *compiler) vmPredicate(f *funcCall, within focus) (*vmBody, error) {
	predicate, ok := f.nodes[1].(*ast.PredicateNode)
	if !ok {
		return nil, c.errorf(f.nodes[1], "", "%s needs an expression over the elements", f.name)
	}
	c.focus = append(c.focus, within)
	checked, err := c.lower(predicate.Node)
	c.focus = c.focus[:len(c.focus)-1]
	if err != nil {
		return nil, err
	}
	body := &vmBody{typ: checked.dataType(), root: predicate.Node}
	foreign := &findCalls{}
	ast.Walk(&body.root, foreign)
	if foreign.name != "" {
		return nil, c.errorf(foreign.at, "", "%s runs on expr's VM, which has no function %s", f.name, foreign.name)
	}
	taken := &takeColumns{c: c, body: body}
	ast.Walk(&body.root, taken)
	return body, taken.err
}

// findCalls finds a call of a function that expr has not.
type findCalls struct {
	name string
	at   ast.Node
}

func (v *findCalls) Visit(n *ast.Node) {
	if call, ok := (*n).(*ast.CallNode); ok && v.at == nil {
		v.name, v.at = call.Callee.String(), call
	}
}

// takeColumns replaces columns by placeholders and collects their nodes.
type takeColumns struct {
	c    *compiler
	body *vmBody
	err  error
}

// placeholder is the name of the k-th column of a body; no source can have it.
func placeholder(k int) string { return fmt.Sprintf("\x00%d", k) }

func (t *takeColumns) Visit(n *ast.Node) {
	switch v := (*n).(type) {
	case *ast.IdentifierNode:
		if v.Value == "null" {
			ast.Patch(n, &ast.NilNode{})
			return
		}
		if t.c.isSide(v.Value) || strings.HasPrefix(v.Value, "\x00") || v.Value == "$env" {
			return // replaced with its member
		}
	case *ast.MemberNode:
		side, ok := v.Node.(*ast.IdentifierNode)
		if !ok || !t.c.isSide(side.Value) && side.Value != "$env" {
			return
		}
	case *ast.VariableDeclaratorNode:
		t.err = t.c.errorf(*n, "", "let cannot stand in an expression that runs on expr's VM")
		return
	default:
		return
	}
	column, err := t.c.lower(*n)
	if err != nil {
		if t.err == nil {
			t.err = err
		}
		return
	}
	ast.Patch(n, &ast.IdentifierNode{Value: placeholder(len(t.body.columns))})
	t.body.columns = append(t.body.columns, column)
}

// numberVariables gives placeholders their names.
type numberVariables struct{ first int }

func (v *numberVariables) Visit(n *ast.Node) {
	if id, ok := (*n).(*ast.IdentifierNode); ok && strings.HasPrefix(id.Value, "\x00") {
		var k int
		fmt.Sscanf(id.Value[1:], "%d", &k)
		ast.Patch(n, &ast.IdentifierNode{Value: fmt.Sprintf("v%d", v.first+k)})
	}
}
