// Package avro reads Avro object container files block by block into Arrow builders. It trusts nothing in the file:
// sizes are bounded, and a schema that refers to itself is refused.
package avro

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Kind is the kind of an Avro type.
type Kind int

// The kinds.
const (
	Null Kind = iota
	Boolean
	Int
	Long
	Float
	Double
	Bytes
	String
	Record
	Enum
	Array
	Map
	Union
	Fixed
)

var primitives = map[string]Kind{
	"null": Null, "boolean": Boolean, "int": Int, "long": Long, "float": Float, "double": Double, "bytes": Bytes, "string": String,
}

// Schema is an Avro type.
type Schema struct {
	Kind      Kind
	Name      string // full name of a named type
	Logical   string
	Precision int
	Scale     int
	Size      int       // of a fixed
	Symbols   []string  // of an enum
	Fields    []Field   // of a record
	Items     *Schema   // of an array, or of a map's values
	Branches  []*Schema // of a union
}

// Field is a field of a record.
type Field struct {
	Name string
	Type *Schema
}

// The bounds of a schema.
const (
	maxDepth = 64
	maxNodes = 100_000
)

// ParseSchema reads a schema's JSON.
func ParseSchema(text []byte) (*Schema, error) {
	p := parser{named: map[string]*Schema{}, open: map[string]bool{}}
	return p.parse(text, "", 0)
}

type parser struct {
	named map[string]*Schema
	open  map[string]bool // records whose fields are being read: a reference to one is a recursion
	nodes int
}

// attributes are the keys of a schema in object form.
type attributes struct {
	Type      json.RawMessage   `json:"type"`
	Name      string            `json:"name"`
	Namespace *string           `json:"namespace"`
	Logical   json.RawMessage   `json:"logicalType"`
	Precision json.RawMessage   `json:"precision"`
	Scale     json.RawMessage   `json:"scale"`
	Size      *int              `json:"size"`
	Symbols   []string          `json:"symbols"`
	Fields    []fieldAttributes `json:"fields"`
	Items     json.RawMessage   `json:"items"`
	Values    json.RawMessage   `json:"values"`
}

type fieldAttributes struct {
	Name string          `json:"name"`
	Type json.RawMessage `json:"type"`
}

func (p *parser) parse(text json.RawMessage, namespace string, depth int) (*Schema, error) {
	if p.nodes++; depth > maxDepth || p.nodes > maxNodes {
		return nil, fmt.Errorf("the schema is too deep or too large")
	}
	var name string
	if json.Unmarshal(text, &name) == nil {
		return p.reference(name, namespace)
	}
	var branches []json.RawMessage
	if json.Unmarshal(text, &branches) == nil {
		return p.union(branches, namespace, depth)
	}
	var a attributes
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("the schema is not one: %w", err)
	}
	return p.object(a, namespace, depth)
}

func (p *parser) reference(name, namespace string) (*Schema, error) {
	if k, ok := primitives[name]; ok {
		return &Schema{Kind: k}, nil
	}
	for _, full := range []string{fullName(name, namespace), name} {
		if p.open[full] {
			return nil, fmt.Errorf("type %s contains itself: no table column can hold it", full)
		}
		if s, ok := p.named[full]; ok {
			return s, nil
		}
	}
	return nil, fmt.Errorf("type %q is not defined", name)
}

func fullName(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

func (p *parser) union(branches []json.RawMessage, namespace string, depth int) (*Schema, error) {
	s := &Schema{Kind: Union}
	for _, b := range branches {
		branch, err := p.parse(b, namespace, depth+1)
		if err != nil {
			return nil, err
		}
		if branch.Kind == Union {
			return nil, fmt.Errorf("a union directly inside of a union")
		}
		s.Branches = append(s.Branches, branch)
	}
	if len(s.Branches) == 0 {
		return nil, fmt.Errorf("a union without branches")
	}
	return s, nil
}

func (p *parser) object(a attributes, namespace string, depth int) (*Schema, error) {
	var kind string
	if json.Unmarshal(a.Type, &kind) != nil {
		if len(a.Type) == 0 {
			return nil, fmt.Errorf("a schema without a type")
		}
		return p.parse(a.Type, namespace, depth+1) // {"type": {...}}
	}
	switch kind {
	case "record", "error", "enum", "fixed":
		return p.define(kind, a, namespace, depth)
	case "array":
		items, err := p.parse(a.Items, namespace, depth+1)
		return &Schema{Kind: Array, Items: items}, err
	case "map":
		values, err := p.parse(a.Values, namespace, depth+1)
		return &Schema{Kind: Map, Items: values}, err
	}
	s, err := p.reference(kind, namespace)
	if err != nil || s.Name != "" {
		return s, err
	}
	s.annotate(a)
	return s, nil
}

// annotate notes the logical type. One that is not understood is no error: the underlying type stands.
func (s *Schema) annotate(a attributes) {
	_ = json.Unmarshal(a.Logical, &s.Logical)
	_ = json.Unmarshal(a.Precision, &s.Precision)
	_ = json.Unmarshal(a.Scale, &s.Scale)
}

func (p *parser) define(kind string, a attributes, namespace string, depth int) (*Schema, error) {
	if a.Name == "" {
		return nil, fmt.Errorf("a type of kind %s without a name", kind)
	}
	if a.Namespace != nil {
		namespace = *a.Namespace
	}
	s := &Schema{Name: fullName(a.Name, namespace)}
	if _, twice := p.named[s.Name]; twice || p.open[s.Name] {
		return nil, fmt.Errorf("type %s is defined twice", s.Name)
	}
	if i := strings.LastIndexByte(s.Name, '.'); i >= 0 {
		namespace = s.Name[:i]
	}
	switch kind {
	case "enum":
		s.Kind, s.Symbols = Enum, a.Symbols
	case "fixed":
		if a.Size == nil || *a.Size < 0 || *a.Size > maxBlock {
			return nil, fmt.Errorf("fixed type %s has no sound size", s.Name)
		}
		s.Kind, s.Size = Fixed, *a.Size
		s.annotate(a)
	default:
		s.Kind = Record
		p.open[s.Name] = true
		for _, f := range a.Fields {
			t, err := p.parse(f.Type, namespace, depth+1)
			if err != nil {
				return nil, fmt.Errorf("field %s: %w", f.Name, err)
			}
			s.Fields = append(s.Fields, Field{f.Name, t})
		}
		delete(p.open, s.Name)
	}
	p.named[s.Name] = s
	return s, nil
}
