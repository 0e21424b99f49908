package compile

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/transforms/expression"
)

func (c *compiler) fail(pos spec.Pos, hint, format string, args ...any) {
	c.report(spec.Error, pos, hint, format, args...)
}

func (c *compiler) warn(pos spec.Pos, hint, format string, args ...any) {
	c.report(spec.Warning, pos, hint, format, args...)
}

func (c *compiler) report(severity spec.Severity, pos spec.Pos, hint, format string, args ...any) {
	c.diagnostics = append(c.diagnostics, spec.Diagnostic{
		Pos: pos, Severity: severity, Message: fmt.Sprintf(format, args...), Hint: hint,
	})
}

// meant is the hint that names the nearest of the known names, or empty.
func meant(name string, known []string) string {
	if nearest := spec.Nearest(name, known); nearest != "" && nearest != name {
		return fmt.Sprintf("did you mean %q?", nearest)
	}
	return ""
}

func names(schema *arrow.Schema) []string {
	out := make([]string, schema.NumFields())
	for i, f := range schema.Fields() {
		out[i] = f.Name
	}
	return out
}

// noColumn reports a column that is not where it is looked for.
func (c *compiler) noColumn(at spec.Pos, column, where string, schema *arrow.Schema) {
	c.fail(at, meant(column, names(schema)), "column %q is not in %s", column, where)
}

// word is a column as expressions name it, with the side of a merge before it.
var word = regexp.MustCompile(`^(?:([A-Za-z_][A-Za-z0-9_]*)\s*\.\s*)?([A-Za-z_][A-Za-z0-9_]*)`)

// expression reports a mistake in an expression at its place in the file. That a column is unknown is said with where it
// was looked for: where names the scope's schemas.
func (c *compiler) expression(text spec.Text, err error, scope expression.Scope, where map[string]string) {
	var wrong *expression.Error
	if !errors.As(err, &wrong) {
		c.fail(text.Pos, "", "%v", err)
		return
	}
	at := text.At(wrong.Offset)
	side, column, found := unknown(text.Value, wrong.Offset, scope)
	switch {
	case found && scope[side] == nil:
		c.fail(at, "", "%s cannot be named here: %s", side, sides[side])
		return
	case found:
		c.fail(at, wrong.Hint, "column %q is not in %s", column, where[side])
		return
	}
	c.fail(at, wrong.Hint, "%s", wrong.Message)
}

// unknown tells whether an expression names, at offset, a column that the scope does not have.
func unknown(source string, offset int, scope expression.Scope) (side, column string, found bool) {
	if offset < 0 || offset > len(source) {
		return "", "", false
	}
	m := word.FindStringSubmatchIndex(source[offset:])
	if m == nil || strings.HasPrefix(strings.TrimLeft(source[offset+m[1]:], " "), "(") {
		return "", "", false
	}
	if m[2] >= 0 {
		side = source[offset+m[2] : offset+m[3]]
	}
	column = source[offset+m[4] : offset+m[5]]
	if side == "" {
		if schema := scope[""]; schema != nil {
			return "", column, !schema.HasField(column) && !reserved[column]
		}
		return "", "", false
	}
	schema := scope[side]
	if schema == nil {
		return side, column, sides[side] != "" && len(scope) > 0 && scope[""] == nil
	}
	return side, column, !schema.HasField(column)
}

// sides says of each side of a merge in which clauses it is not there.
var sides = map[string]string{
	"s": "a target row that no source row matches has none",
	"t": "a source row that matches no target row has none",
}

// reserved are words of the expression language that could pass for columns.
var reserved = map[string]bool{
	"nil": true, "null": true, "true": true, "false": true, "not": true, "and": true, "or": true, "in": true,
	"matches": true, "contains": true, "startsWith": true, "endsWith": true, "let": true, "if": true, "else": true,
}

// mentions tells whether an expression names one of the columns: then nothing sure can be said of it.
func mentions(source string, columns map[string]bool) bool {
	for _, name := range identifier.FindAllString(source, -1) {
		if columns[name] {
			return true
		}
	}
	return false
}

var identifier = regexp.MustCompile(`[A-Za-z_][A-Za-z0-9_]*`)
