package spec

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// object reads a map with known keys into a T.
type object[T any] struct {
	kind  *kind
	keys  []key[T]
	pos   func(*T) *Pos
	check func(d *decoder, m keys, out *T)
	wrong map[string]string // what to say of keys that belong elsewhere
}

// key is one key of an object of type T.
type key[T any] struct {
	*keyKind
	set func(d *decoder, n *yaml.Node, out *T)
}

// option says more of a key.
type option func(*keyKind)

// field declares a key: its name, its shape, where its value goes, and its documentation.
func field[T, V any](name string, s shape[V], at func(*T) *V, doc string, opts ...option) key[T] {
	k := &keyKind{name: name, doc: doc, kind: s.kind}
	for _, o := range opts {
		o(k)
	}
	return key[T]{k, func(d *decoder, n *yaml.Node, out *T) { s.at(d, n, at(out)) }}
}

// initial is a key's default, as the text of a plain scalar.
func initial(text string) option { return func(k *keyKind) { k.initial = &text } }

// auto is a key's default in words; a check sets it.
func auto(words string) option { return func(k *keyKind) { k.auto = words } }

// example shows a value, as YAML.
func example(yaml string) option { return func(k *keyKind) { k.example = yaml } }

// required makes a key's absence a mistake.
func required(k *keyKind) { k.required = true }

// later marks a key that is checked but whose execution is still to come: its use is an error.
func later(k *keyKind) { k.later = true }

// rule is a condition between keys of one object.
type rule struct {
	what ruleKind
	keys []string
}

type ruleKind int

const (
	exactlyOne ruleKind = iota
	oneSource           // exactly one, where defaults may supply it
	atLeastOne
	needs // the first key goes only beside the second
)

// define makes an object's shape.
func define[T any](name, doc string, keys ...key[T]) *object[T] {
	o := &object[T]{keys: keys}
	info := &objectKind{name: name, doc: doc}
	for _, k := range keys {
		info.keys = append(info.keys, k.keyKind)
	}
	o.kind = &kind{label: "a map of " + strings.ReplaceAll(name, "_", " ") + "'s keys", object: info}
	return o
}

func (o *object[T]) at(pos func(*T) *Pos) *object[T] { o.pos = pos; return o }

func (o *object[T]) rule(what ruleKind, names ...string) *object[T] {
	o.kind.object.rules = append(o.kind.object.rules, rule{what, names})
	return o
}

// misplaced says where a key belongs that might be looked for here.
func (o *object[T]) misplaced(name, message string) *object[T] {
	if o.wrong == nil {
		o.wrong = map[string]string{}
	}
	o.wrong[name] = message
	return o
}

// checked adds what no rule can say. It runs whatever was found before it, so it must bear zero values.
func (o *object[T]) checked(check func(d *decoder, m keys, out *T)) *object[T] {
	o.check = check
	return o
}

// called says how messages name the object, where its name will not do.
func (o *object[T]) called(noun string) *object[T] { o.kind.object.noun = noun; return o }

func (o *object[T]) shape() shape[T] { return shape[T]{o.kind, o.decode} }

// keys are the members of the object being read, for checks.
type keys struct {
	node    *yaml.Node
	owner   Pos // of the object's name, or else of the object
	members map[string]member
	meant   []string // known keys that unknown ones resemble: they are not missed as well
}

func (m keys) has(name string) bool { _, ok := m.members[name]; return ok }

// pos is where a key's value stands, or else the object.
func (m keys) pos(d *decoder, name string) Pos {
	if found, ok := m.members[name]; ok {
		return d.pos(found.value)
	}
	return m.owner
}

// keyPos is where a key stands, or else the object.
func (m keys) keyPos(d *decoder, name string) Pos {
	if found, ok := m.members[name]; ok {
		return d.pos(found.key)
	}
	return m.owner
}

func (o *object[T]) decode(d *decoder, n *yaml.Node, out *T) {
	partial, owner := d.partial, d.owner
	d.partial, d.owner = false, Pos{}
	if n.Kind != yaml.MappingNode {
		d.mismatch(n, n.Value, o.kind.label)
		return
	}
	if o.pos != nil {
		*o.pos(out) = d.pos(n)
	}
	if owner.Line == 0 {
		owner = d.pos(n)
	}
	m := keys{n, owner, map[string]member{}, nil}
	for _, found := range d.members(n) {
		i := slices.IndexFunc(o.keys, func(k key[T]) bool { return k.name == found.name })
		if i < 0 {
			m.meant = append(m.meant, o.unknown(d, found, n.Style&yaml.FlowStyle != 0))
			continue
		}
		m.members[found.name] = found
		if o.keys[i].later {
			d.fail(d.pos(found.key), "%s is not yet supported", found.name)
		}
		d.owner = d.pos(found.key)
		o.keys[i].set(d, found.value, out)
		d.owner = Pos{}
	}
	if partial {
		return
	}
	for _, k := range o.keys {
		switch {
		case m.has(k.name) || slices.Contains(m.meant, k.name):
		case k.required:
			d.fail(owner, "%s needs a key %q", o.noun(), k.name)
		case k.initial != nil:
			k.set(d, &yaml.Node{Kind: yaml.ScalarNode, Value: *k.initial, Line: n.Line, Column: n.Column}, out)
		}
	}
	for _, r := range o.kind.object.rules {
		r.check(d, m, o.noun())
	}
	if o.check != nil {
		o.check(d, m, out)
	}
}

func (o *object[T]) noun() string {
	if o.kind.object.noun != "" {
		return o.kind.object.noun
	}
	name := strings.ReplaceAll(o.kind.object.name, "_", " ")
	if strings.ContainsRune("aeiou", rune(name[0])) {
		return "an " + name
	}
	return "a " + name
}

// unknown reports a key that the object has not, and gives the one that was probably meant.
func (o *object[T]) unknown(d *decoder, m member, flow bool) string {
	if message, ok := o.wrong[m.name]; ok {
		d.fail(d.pos(m.key), "%s", message)
		return o.keys[len(o.keys)-1].name // whichever: the clause's action is not missed as well
	}
	names := make([]string, len(o.keys))
	for i, k := range o.keys {
		names[i] = k.name
	}
	hint := didYouMean(m.name, names)
	switch {
	case hint != "":
	case flow && m.value.Kind == yaml.ScalarNode && m.value.Value == "" && m.value.Style == 0:
		hint = "within { } a comma ends a value: write one that has a comma in quotes"
	default:
		hint = "its keys are " + strings.Join(names, ", ")
	}
	d.failHint(d.pos(m.key), hint, "unknown key %q in %s", shorten(m.name), o.noun())
	return Nearest(m.name, names)
}

func (r rule) check(d *decoder, m keys, noun string) {
	var given []string
	missed := true // a key that is misspelt or put here wrongly is reported already
	for _, name := range r.keys {
		if m.has(name) {
			given = append(given, name)
		}
		missed = missed && !slices.Contains(m.meant, name)
	}
	slices.SortFunc(given, func(a, b string) int { return m.keyPos(d, a).compare(m.keyPos(d, b)) })
	switch r.what {
	case needs:
		if m.has(r.keys[0]) && !m.has(r.keys[1]) && missed {
			d.fail(m.keyPos(d, r.keys[0]), "%q goes only with %q", r.keys[0], r.keys[1])
		}
	case atLeastOne:
		if len(given) == 0 && missed {
			d.fail(m.owner, "%s needs at least one of %s", noun, quoteList(r.keys, "and"))
		}
	default:
		if len(given) == 0 && missed {
			d.fail(m.owner, "%s needs %s", noun, quoteList(r.keys, "or"))
		}
		for _, extra := range given[min(1, len(given)):] {
			d.fail(m.keyPos(d, extra), "%s has %s: give exactly one of %s", noun, quoteList(given, "and"), quoteList(r.keys, "and"))
		}
	}
}

// compare orders places of one file.
func (p Pos) compare(q Pos) int {
	if p.Line != q.Line {
		return p.Line - q.Line
	}
	return p.Column - q.Column
}

// sentence says a rule in words, for the reference.
func (r rule) sentence() string {
	switch r.what {
	case needs:
		return fmt.Sprintf("`%s` goes only with `%s`.", r.keys[0], r.keys[1])
	case atLeastOne:
		return "At least one of `" + strings.Join(r.keys, "`, `") + "` is given."
	}
	return "Exactly one of `" + strings.Join(r.keys, "`, `") + "` is given."
}
