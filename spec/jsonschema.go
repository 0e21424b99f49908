package spec

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
)

// PipelineSchema is the JSON Schema (2020-12) of a pipeline file, for editors. What depends on more than the file's form
// only Decode knows.
func PipelineSchema() []byte {
	return schemaOf(pipelineLanguage.kind, "Varve pipeline")
}

// ProjectSchema is the JSON Schema (2020-12) of varve.yaml.
func ProjectSchema() []byte { return schemaOf(projectLanguage.kind, "Varve project") }

// referenceSchema accepts a scalar that a parameter or the environment will supply.
var referenceSchema = map[string]any{"$ref": "#/$defs/reference"}

type schemaMaker struct{ defs map[string]any }

func schemaOf(root *kind, title string) []byte {
	g := schemaMaker{defs: map[string]any{
		"reference": map[string]any{
			"type": "string", "pattern": `\$\{[^{}]+\}`,
			"description": "A value with ${parameter} or ${env:NAME} in it.",
		},
	}}
	schema := g.object(root.object)
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["title"] = title
	schema["$defs"] = g.defs
	out, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		panic(err) // the definition holds a value that is not JSON: a mistake of this package, found by its tests
	}
	return append(out, '\n')
}

// of is the schema of a kind.
func (g schemaMaker) of(k *kind) map[string]any {
	switch {
	case k.object != nil:
		if _, done := g.defs[k.object.name]; !done {
			g.defs[k.object.name] = nil // an object may hold itself
			g.defs[k.object.name] = g.object(k.object)
		}
		return map[string]any{"$ref": "#/$defs/" + k.object.name}
	case k.values != nil:
		names := make([]string, len(k.values))
		for i, v := range k.values {
			names[i] = v.name
		}
		return orReference(map[string]any{"enum": names})
	case k.elem != nil:
		return withMinimum(map[string]any{"type": "array", "items": g.of(k.elem)}, "minItems", k.nonZero)
	case k.entries != nil:
		s := map[string]any{"type": "object", "additionalProperties": g.of(k.entries)}
		if pattern, ok := k.names.scalar["pattern"]; ok {
			s["propertyNames"] = map[string]any{"pattern": pattern}
		}
		return withMinimum(s, "minProperties", k.nonZero)
	case k.oneOf != nil:
		forms := make([]any, len(k.oneOf))
		for i, form := range k.oneOf {
			forms[i] = g.of(form)
		}
		return map[string]any{"anyOf": forms}
	}
	s := maps.Clone(k.scalar)
	if _, fixed := s["const"]; !fixed && needsReference(s) {
		return orReference(s)
	}
	return s
}

// needsReference tells the schemas that would refuse a text with a reference.
func needsReference(s map[string]any) bool {
	_, pattern := s["pattern"]
	return pattern || s["type"] == "integer" || s["type"] == "number" || s["type"] == "boolean"
}

func orReference(s map[string]any) map[string]any {
	return map[string]any{"anyOf": []any{s, referenceSchema}}
}

func withMinimum(s map[string]any, key string, is bool) map[string]any {
	if is {
		s[key] = 1
	}
	return s
}

func (g schemaMaker) object(o *objectKind) map[string]any {
	properties := map[string]any{}
	var required []string
	for _, k := range o.keys {
		properties[k.name] = g.key(k)
		if k.required {
			required = append(required, k.name)
		}
	}
	s := map[string]any{
		"type": "object", "description": o.doc, "properties": properties, "additionalProperties": false,
	}
	if required != nil {
		s["required"] = required
	}
	company := map[string][]string{}
	var all []any
	for _, r := range o.rules {
		if r.what == needs {
			company[r.keys[0]] = []string{r.keys[1]}
			continue
		}
		all = append(all, r.schema()...)
	}
	if len(company) > 0 {
		s["dependentRequired"] = company
	}
	if all != nil {
		s["allOf"] = all
	}
	return s
}

// schema is a rule's part of its object's schema.
func (r rule) schema() []any {
	each := make([]any, len(r.keys))
	for i, name := range r.keys {
		each[i] = map[string]any{"required": []string{name}}
	}
	switch r.what {
	case atLeastOne:
		return []any{map[string]any{"anyOf": each}}
	case exactlyOne:
		return []any{map[string]any{"oneOf": each}}
	}
	var out []any // at most one: the defaults may supply it
	for i := range r.keys {
		for j := range i {
			out = append(out, map[string]any{"not": map[string]any{"required": []string{r.keys[j], r.keys[i]}}})
		}
	}
	return out
}

func (g schemaMaker) key(k *keyKind) map[string]any {
	s := g.of(k.kind)
	s["description"] = k.text()
	if k.initial != nil {
		s["default"] = plainValue(*k.initial)
	}
	if k.example != "" {
		s["examples"] = []any{exampleValue(k.example)}
	}
	return s
}

// text is a key's documentation, for an editor.
func (k *keyKind) text() string {
	var b strings.Builder
	if k.later {
		b.WriteString("Not yet supported. ")
	}
	b.WriteString(k.doc)
	for _, v := range k.kind.allValues() {
		fmt.Fprintf(&b, "\n- %s: %s", v.name, v.doc)
		if v.later {
			b.WriteString(" (not yet supported)")
		}
	}
	if k.auto != "" {
		b.WriteString("\nDefault: " + k.auto + ".")
	}
	return b.String()
}

// allValues are the words that a kind accepts, also in a list or in one of several forms.
func (k *kind) allValues() []value {
	out := k.values
	if k.elem != nil {
		out = k.elem.values
	}
	for _, form := range k.oneOf {
		out = append(out, form.values...)
	}
	return out
}

// plainValue is the value of a plain scalar.
func plainValue(text string) any {
	switch resolve(text) {
	case tagBool:
		return text == "true"
	case tagInt:
		n, _ := strconv.Atoi(text)
		return n
	case tagFloat:
		v, _ := strconv.ParseFloat(text, 64)
		return v
	}
	return text
}

// exampleValue reads an example's YAML.
func exampleValue(text string) any {
	doc, failed := parse("", []byte(text))
	if failed != nil {
		panic(failed) // a mistake of this package, found by its tests
	}
	d := &decoder{doc: doc, reported: map[string]bool{}}
	return d.data(doc.root, 0)
}
