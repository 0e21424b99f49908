package spec

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The language is defined once, from shapes. A shape decodes a kind of value and describes it; the JSON Schema and the
// reference are made from the descriptions, so that neither can say what the decoder does not do.

// shape is how one kind of value is read.
type shape[T any] struct {
	kind   *kind
	decode func(d *decoder, n *yaml.Node, out *T)
}

// kind describes a shape. One of scalar, object, elem, entries and oneOf is set.
type kind struct {
	label   string         // "a duration", as messages and the reference name it
	scalar  map[string]any // its JSON Schema
	values  []value        // of a closed enumeration
	object  *objectKind
	elem    *kind // of a list
	entries *kind // of a map by name
	names   *kind // of such a map's keys
	nonZero bool  // a list or map must not be empty
	oneOf   []*kind
}

// value is one of a closed enumeration.
type value struct {
	name  string
	doc   string
	later bool // decoded, but not yet carried out
}

// objectKind describes a map with known keys.
type objectKind struct {
	name  string // in the schema's $defs and the reference's headings
	noun  string // in messages; by default the name with its article
	doc   string
	keys  []*keyKind
	rules []rule
}

// keyKind describes one key of an object.
type keyKind struct {
	name     string
	doc      string
	initial  *string // default, as YAML
	auto     string  // default in words, where it depends on other keys
	example  string  // YAML
	required bool
	later    bool // decoded, but not yet carried out
	kind     *kind
}

// problem is why a scalar's text is not of its kind. Offset is in bytes of the text.
type problem struct {
	offset  int
	message string
	hint    string
	secret  bool // the line holds a secret and is not to be shown
}

// at reads a node by a shape, following an alias.
func (s shape[T]) at(d *decoder, n *yaml.Node, out *T) {
	if n = d.follow(n); n != nil {
		s.decode(d, n, out)
	}
}

// scalar makes a shape of one text. allow lists the tags of YAML's core schema that it accepts.
func scalar[T any](k *kind, allow []tag, parse func(t Text) (T, *problem)) shape[T] {
	return shape[T]{k, func(d *decoder, n *yaml.Node, out *T) {
		if n.Kind != yaml.ScalarNode {
			d.mismatch(n, "", k.label)
			return
		}
		t, complete := d.text(n)
		if !complete {
			return
		}
		is := scalarTag(n, t.Value)
		if !slices.Contains(allow, is) && t.Value != n.Value {
			is = resolve(t.Value) // a reference in a flow map must be quoted: its value counts
		}
		if !slices.Contains(allow, is) {
			d.mismatch(n, t.Value, k.label)
			return
		}
		v, wrong := parse(t)
		if wrong != nil {
			if wrong.secret {
				d.secret[t.Pos.Line] = true
			}
			d.failHint(t.At(wrong.offset), wrong.hint, "%s", wrong.message)
			return
		}
		*out = v
	}}
}

// convert makes a shape of U from one of T.
func convert[T, U any](s shape[T], to func(T) U) shape[U] {
	return shape[U]{s.kind, func(d *decoder, n *yaml.Node, out *U) {
		var v T
		before := len(d.found)
		s.decode(d, n, &v)
		if len(d.found) == before {
			*out = to(v)
		}
	}}
}

// optional reads a value whose absence is nil. A value with mistakes is kept as far as it was read.
func optional[T any](s shape[T]) shape[*T] {
	return shape[*T]{s.kind, func(d *decoder, n *yaml.Node, out **T) {
		*out = new(T)
		s.decode(d, n, *out)
	}}
}

// list reads a list.
func list[T any](label string, elem shape[T]) shape[[]T] {
	k := &kind{label: label, elem: elem.kind}
	return shape[[]T]{k, func(d *decoder, n *yaml.Node, out *[]T) {
		if n.Kind != yaml.SequenceNode {
			d.mismatch(n, n.Value, label)
			return
		}
		d.owner = Pos{}
		for _, child := range n.Content {
			var v T
			before := len(d.found)
			elem.at(d, child, &v)
			if len(d.found) == before || elem.kind.object != nil {
				*out = append(*out, v)
			}
		}
	}}
}

// nonEmpty refuses an empty list or map.
func nonEmpty[T any](s shape[[]T]) shape[[]T] {
	k := *s.kind
	k.nonZero = true
	return shape[[]T]{&k, func(d *decoder, n *yaml.Node, out *[]T) {
		s.decode(d, n, out)
		if n.Kind != yaml.ScalarNode && len(n.Content) == 0 {
			d.fail(d.pos(n), "expected %s, found an empty one", k.label)
		}
	}}
}

// entry is one member of a map by name.
type entry[V any] struct {
	Name  Text
	Value V
}

// named reads a map by name, in the file's order.
func named[V any](label string, names shape[Text], values shape[V]) shape[[]entry[V]] {
	k := &kind{label: label, names: names.kind, entries: values.kind}
	return shape[[]entry[V]]{k, func(d *decoder, n *yaml.Node, out *[]entry[V]) {
		if n.Kind != yaml.MappingNode {
			d.mismatch(n, n.Value, label)
			return
		}
		for _, m := range d.members(n) {
			var e entry[V]
			d.name(names, m, &e.Name)
			d.owner = e.Name.Pos
			values.at(d, m.value, &e.Value)
			d.owner = Pos{}
			*out = append(*out, e)
		}
	}}
}

// name reads a key as a text of the given shape. Keys are names: a number or boolean is taken as its text.
func (d *decoder) name(names shape[Text], m member, out *Text) {
	key := m.key
	if key.Kind == yaml.AliasNode {
		key = key.Alias
	}
	*out = newText(d.doc, key, m.name, nil)
	if d.refuseReference(out.Pos, m.name) {
		return
	}
	quoted := *key
	quoted.Style |= yaml.TaggedStyle
	quoted.Tag = "!!str"
	var checked Text
	names.at(d, &quoted, &checked)
}

// alternative is one form of a union.
type alternative[T any] struct {
	kind   *kind
	node   yaml.Kind
	decode func(d *decoder, n *yaml.Node, out *T)
}

// as makes an alternative that reads nodes of one kind and puts what it read where it belongs.
func as[T, V any](node yaml.Kind, s shape[V], put func(out *T, v V)) alternative[T] {
	return alternative[T]{s.kind, node, func(d *decoder, n *yaml.Node, out *T) {
		var v V
		s.decode(d, n, &v)
		put(out, v)
	}}
}

// union reads a value in one of several forms, told apart by the kind of its node.
func union[T any](label string, forms ...alternative[T]) shape[T] {
	k := &kind{label: label}
	for _, f := range forms {
		k.oneOf = append(k.oneOf, f.kind)
	}
	return shape[T]{k, func(d *decoder, n *yaml.Node, out *T) {
		for _, f := range forms {
			if f.node == n.Kind {
				f.decode(d, n, out)
				return
			}
		}
		d.mismatch(n, n.Value, label)
	}}
}

// article drops the article of a label.
func article(label string) string {
	return strings.TrimPrefix(strings.TrimPrefix(label, "a "), "an ")
}

// convertAll makes a shape of a list of U from one of T.
func convertAll[T, U any](s shape[[]T], to func(T) U) shape[[]U] {
	return shape[[]U]{s.kind, func(d *decoder, n *yaml.Node, out *[]U) {
		var all []T
		s.decode(d, n, &all)
		for _, v := range all {
			*out = append(*out, to(v))
		}
	}}
}
