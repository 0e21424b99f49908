package expression

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/expr-lang/expr/ast"

	"github.com/varve-lake/varve/transforms/internal/names"
)

// FunctionDoc describes a function of the expression language.
type FunctionDoc struct {
	Name      string
	Group     string // the section of the reference
	Signature string
	Doc       string
	Example   string // an expression that is true
}

// Functions lists the functions of the language by group and name.
func Functions() []FunctionDoc {
	docs := make([]FunctionDoc, 0, len(functions))
	for _, f := range functions {
		docs = append(docs, f.FunctionDoc)
	}
	slices.SortFunc(docs, func(a, b FunctionDoc) int {
		return cmp.Or(cmp.Compare(slices.Index(groups, a.Group), slices.Index(groups, b.Group)), cmp.Compare(a.Name, b.Name))
	})
	return docs
}

// groups are the sections of the reference, in order.
var groups = []string{"Nulls and faults", "Casts", "Text", "Numbers", "Dates and times", "Keys and hashes", "JSON", "Lists, maps and structs"}

// function is an entry of the language: its documentation and what lowers a call of it.
type function struct {
	FunctionDoc
	build builder
}

// builder lowers a call.
type builder func(c *compiler, call *funcCall) (node, error)

// funcCall is a call in the source.
type funcCall struct {
	at    ast.Node
	name  string
	nodes []ast.Node
}

// functions is filled by the files that define them, one a group.
var functions = map[string]function{}

func define(group string, list ...function) {
	for _, f := range list {
		f.Group = group
		f.Name, _, _ = strings.Cut(f.Signature, "(")
		functions[f.Name] = f
	}
}

// fn is an entry of define.
func fn(signature, doc, example string, build builder) function {
	return function{FunctionDoc: FunctionDoc{Signature: signature, Doc: doc, Example: example}, build: build}
}

func (c *compiler) call(at ast.Node, name string, args []ast.Node) (node, error) {
	f, ok := functions[name]
	if !ok {
		hint := foreign[name]
		if nearest := names.Nearest(name, slices.Sorted(maps.Keys(functions))); nearest != "" && hint == "" {
			hint = fmt.Sprintf("did you mean %q?", nearest)
		}
		return nil, c.errorAt(at, hint, "unknown function %q", name)
	}
	return f.build(c, &funcCall{at: at, name: name, nodes: args})
}

// foreign are functions of expr and of SQL that go by another name here.
var foreign = map[string]string{
	"timezone": "zones are named by text, as in at_zone(ts, \"Europe/Berlin\")",
	"fromJSON": "json_get(text, \"path\") reads a part of a JSON text", "toPairs": "maps have keys and values",
	"fromPairs": "a struct is written {name: value}", "get": "a member is m[key]", "substr": "part of a text is text[0:3]",
	"substring": "part of a text is text[0:3]", "length": "the function is len", "ifnull": "the operator is ??",
	"nvl": "the operator is ??", "isnull": "the test is x == null", "if": "the operator is a ? b : c",
	"least": "the function is min", "greatest": "the function is max", "to_date": "the function is date(text, format)",
	"to_timestamp": "the function is timestamp(text, format)", "strptime": "the function is timestamp(text, format)",
	"current_timestamp": "the function is now()", "current_date": "the expression is date(now())",
	"power": "the operator is **", "pow": "the operator is **", "mod": "the operator is %", "log": "the functions are ln and log10",
	"concat_ws": "the function is join_text(separator, ...)", "regexp_replace": "the function is regex_replace",
	"regexp_extract": "the function is regex_extract", "bigint": "the type is long", "varchar": "the type is string",
	"bool": "the type is boolean",
}

// arity checks the number of arguments; most -1 means any.
func (f *funcCall) arity(c *compiler, least, most int) error {
	n := len(f.nodes)
	if n >= least && (most < 0 || n <= most) {
		return nil
	}
	expected := fmt.Sprintf("%d", least)
	switch {
	case most < 0:
		expected = fmt.Sprintf("at least %d", least)
	case most > least:
		expected = fmt.Sprintf("%d to %d", least, most)
	}
	noun := "arguments"
	if expected == "1" {
		noun = "argument"
	}
	return c.errorAt(f.at, functions[f.name].Signature, "%s takes %s %s, found %d", f.name, expected, noun, n)
}

// param says what an argument may be, and what it is brought to.
type param struct {
	what   string // for the error: "text"
	accept func(kind) bool
	to     arrow.DataType // nil leaves it
}

var (
	paramText   = param{"text", func(k kind) bool { return k == kindString }, typeString}
	paramWhole  = param{"a whole number", kind.isInteger, typeLong}
	paramNumber = param{"a number", kind.isNumber, nil}
	paramDouble = param{"a number", kind.isNumber, typeDouble}
	paramBytes  = param{"text or bytes", func(k kind) bool { return k == kindString || k == kindBinary || k == kindFixed || k == kindUUID }, nil}
	paramList   = param{"a list", func(k kind) bool { return k == kindList }, nil}
	paramAny    = param{"a value", func(kind) bool { return true }, nil}
)

// argument lowers argument i as p wants it. An untyped null becomes p's type.
func (c *compiler) argument(f *funcCall, i int, p param) (node, error) {
	v, err := c.lower(f.nodes[i])
	if err != nil {
		return nil, err
	}
	k := kindOf(v.dataType())
	if k != kindNull && !p.accept(k) {
		hint := ""
		if p.to == typeString {
			hint = "string(...) turns it into text"
		}
		return nil, c.errorf(f.nodes[i], hint, "%s needs %s, found %s", f.name, p.what, typeName(v.dataType()))
	}
	if p.to != nil {
		v = c.cast(v, p.to)
	}
	return v, nil
}

// arguments lowers all arguments by params; those beyond the first least may be absent.
func (c *compiler) arguments(f *funcCall, least int, params ...param) ([]node, error) {
	if err := f.arity(c, least, len(params)); err != nil {
		return nil, err
	}
	out := make([]node, len(f.nodes))
	for i := range f.nodes {
		v, err := c.argument(f, i, params[i])
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// strict makes a function of fixed parameters and result that is null if an argument is.
func strict(result arrow.DataType, run kernel, params ...param) builder {
	return func(c *compiler, f *funcCall) (node, error) {
		args, err := c.arguments(f, len(params), params...)
		if err != nil {
			return nil, err
		}
		return call(result, run, args...), nil
	}
}

// constTextArgument is an argument that must be a constant text.
func (c *compiler) constTextArgument(f *funcCall, i int) (string, error) {
	v, err := c.argument(f, i, paramText)
	if err != nil {
		return "", err
	}
	text, ok := constText(v)
	if !ok {
		return "", c.errorf(f.nodes[i], "", "%s needs a constant text here", f.name)
	}
	return text, nil
}
