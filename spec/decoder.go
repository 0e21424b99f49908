package spec

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// decoder walks a document's nodes by the language's definition and gathers what is wrong.
type decoder struct {
	doc        *document
	parameters map[string]string // by name; nil while parameters themselves are decoded
	getenv     func(string) (string, bool)

	defaults *yaml.Node // the pipeline's `defaults`, a map, or nil

	found    Diagnostics
	reported map[string]bool // findings by place and message: aliases and defaults are decoded more than once
	secrets  []string        // environment variables that hold secrets
	secret   map[int]bool    // lines that hold an inlined secret and are not to be shown
	visited  int
	expanded int
	owner    Pos  // of the name or key whose object is read next
	partial  bool // the next object is a set of defaults: nothing is required of it
}

func (d *decoder) add(severity Severity, at Pos, message, hint string) {
	finding := Diagnostic{Pos: at, Severity: severity, Message: message, Hint: hint}
	key := fmt.Sprintf("%d:%d:%s", at.Line, at.Column, message)
	if d.reported[key] || len(d.found) >= maxFindings {
		return
	}
	d.reported[key] = true
	d.found = append(d.found, finding)
}

func (d *decoder) fail(at Pos, format string, args ...any) {
	d.add(Error, at, fmt.Sprintf(format, args...), "")
}

func (d *decoder) failHint(at Pos, hint, format string, args ...any) {
	d.add(Error, at, fmt.Sprintf(format, args...), hint)
}

func (d *decoder) warn(at Pos, format string, args ...any) {
	d.add(Warning, at, fmt.Sprintf(format, args...), "")
}

func (d *decoder) pos(n *yaml.Node) Pos { return d.doc.pos(n) }

// follow gives the node that an alias stands for. It counts visits, which bounds what nested aliases can cost; past the
// bound there is no node.
func (d *decoder) follow(n *yaml.Node) *yaml.Node {
	if n == nil {
		return nil
	}
	if d.visited++; d.visited > maxNodes {
		if d.visited == maxNodes+1 {
			d.fail(d.pos(n), "the file stands for more than %d values: its aliases or defaults multiply", maxNodes)
		}
		return nil
	}
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// survey checks what holds for every node, whatever it means: depth, tags, keys, merge keys, duplicates.
func (d *decoder) survey(n *yaml.Node, depth int) bool {
	if depth > maxDepth {
		d.fail(d.pos(n), "lists and maps nest deeper than %d", maxDepth)
		return false
	}
	if n.Style&yaml.TaggedStyle != 0 && !tagAllowed(n) {
		d.fail(d.pos(n), "tag %s has no meaning here: remove it", shorten(n.Tag))
	}
	ok := true
	if n.Kind == yaml.MappingNode {
		d.surveyKeys(n)
	}
	for _, child := range n.Content {
		ok = d.survey(child, depth+1) && ok
	}
	return ok
}

func tagAllowed(n *yaml.Node) bool {
	switch n.Kind {
	case yaml.MappingNode:
		return n.Tag == "!!map"
	case yaml.SequenceNode:
		return n.Tag == "!!seq"
	}
	_, ok := knownTags[n.Tag]
	return ok
}

func (d *decoder) surveyKeys(n *yaml.Node) {
	first := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind == yaml.ScalarNode && key.Tag == "!!merge" {
			d.failHint(d.pos(key), "use `defaults:`, or an alias for the whole value", "merge keys (<<) are not part of YAML 1.2")
			continue
		}
		name, ok := keyText(key)
		if !ok {
			d.fail(d.pos(key), "a key is a plain word or a string, found %s", describe(key, key.Value))
			continue
		}
		if splitByComma(n, i) {
			d.failHint(d.pos(key), "write the whole value in quotes", "within { } a comma ends a value, here before %q", shorten(name))
			continue
		}
		if before, again := first[name]; again {
			d.fail(d.pos(key), "key %q is given twice, first on line %d", shorten(name), d.pos(before).Line)
			continue
		}
		first[name] = key
	}
}

// splitByComma reports the second half of a value such as decimal(18,2) that YAML has split at its comma, so that the
// half stands as a key without a value.
func splitByComma(n *yaml.Node, i int) bool {
	key, value := n.Content[i], n.Content[i+1]
	return n.Style&yaml.FlowStyle != 0 && i > 0 && key.Style == 0 && value.Kind == yaml.ScalarNode && value.Value == "" && value.Style == 0 &&
		strings.ContainsAny(key.Value, ")>]") && !strings.ContainsAny(key.Value, "(<[")
}

// keyText is a key's name. Numbers and booleans name nothing in the language but may be columns of data, so they pass.
func keyText(key *yaml.Node) (string, bool) {
	if key.Kind == yaml.AliasNode {
		key = key.Alias
	}
	if key == nil || key.Kind != yaml.ScalarNode || scalarTag(key, key.Value) == tagNull {
		return "", false
	}
	return key.Value, true
}

// member is one key: value of a map.
type member struct {
	name  string
	key   *yaml.Node
	value *yaml.Node
}

// members lists a map's members in the file's order, each name once, without those that survey reported.
func (d *decoder) members(n *yaml.Node) []member {
	out := make([]member, 0, len(n.Content)/2)
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, ok := keyText(n.Content[i])
		if !ok || seen[name] || n.Content[i].Tag == "!!merge" || splitByComma(n, i) {
			continue
		}
		seen[name] = true
		out = append(out, member{name, n.Content[i], n.Content[i+1]})
	}
	return out
}

// mismatch reports a value of the wrong kind.
func (d *decoder) mismatch(n *yaml.Node, text, want string) {
	hint := ""
	if n.Kind == yaml.ScalarNode && strings.HasPrefix(want, "a string") && scalarTag(n, text) != tagNull {
		hint = fmt.Sprintf("write %q in quotes", shorten(text))
	}
	d.failHint(d.pos(n), hint, "expected %s, found %s", want, describe(n, text))
}

// finish returns what was found, in the file's order, with source lines.
func (d *decoder) finish(data []byte) Diagnostics {
	d.found.Sort()
	d.found = d.found.WithSource(data)
	for i := range d.found {
		if d.secret[d.found[i].Line] {
			d.found[i].Source = ""
		}
	}
	return d.found
}

// quoteList writes names for a message: "a", "b" or "c".
func quoteList(names []string, last string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	if len(quoted) < 2 {
		return strings.Join(quoted, "")
	}
	return strings.Join(quoted[:len(quoted)-1], ", ") + " " + last + " " + quoted[len(quoted)-1]
}

// didYouMean is the hint for an unknown name.
func didYouMean(name string, known []string) string {
	if near := Nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}
