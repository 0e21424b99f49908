package sources

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/sources/jsontext"
	"github.com/varve-lake/varve/sources/sniff"
)

// unknownColumns deals with columns that a file has and the schema lacks, before any row is read.
func unknownColumns(file File, mode string, names []string, tell func([]string) error) error {
	switch {
	case len(names) == 0:
		return nil
	case mode == Enforce:
		return &SchemaError{File: file.URI, Columns: names, Reason: "has columns that the schema lacks: " + shorten(names)}
	case mode == Evolve && tell != nil:
		return tell(names)
	}
	return nil
}

// shorten lists names, at most ten.
func shorten(names []string) string {
	if len(names) > 10 {
		return strings.Join(names[:10], ", ") + fmt.Sprintf(" and %d more", len(names)-10)
	}
	return strings.Join(names, ", ")
}

// unknownFields gathers what the objects of a file have and the schema lacks.
type unknownFields struct {
	file   File
	schema *arrow.Schema
	told   func([]arrow.Field)
	paths  []string
	fields map[string]*sniff.Fields // by the path of the object that has them
	known  map[string]bool          // told already
	parser jsontext.Parser
}

func newUnknownFields(file File, schema *arrow.Schema, told func([]arrow.Field)) *unknownFields {
	return &unknownFields{file: file, schema: schema, told: told, fields: map[string]*sniff.Fields{}, known: map[string]bool{}}
}

// add looks at a value of a field at a path. A name that no column can have is passed over.
func (u *unknownFields) add(path, name string, raw []byte) error {
	if name == "" || u.known[path+"\x00"+name] {
		return nil
	}
	f := u.fields[path]
	if f == nil {
		f = &sniff.Fields{}
		u.fields[path] = f
		u.paths = append(u.paths, path)
	}
	if len(f.Names) > MaxColumns {
		return &SchemaError{File: u.file.URI, Reason: fmt.Sprintf("has more than %d different fields", MaxColumns)}
	}
	u.parser.Reset(raw)
	return f.Get(name).JSON(&u.parser)
}

// tell reports what was gathered since it last did. New fields of a nested object come as the whole column, with its
// type widened by them.
func (u *unknownFields) tell() {
	var report []arrow.Field
	widened := map[string]int{}
	for _, path := range u.paths {
		added := fieldsOf(u.fields[path])
		for _, f := range added {
			u.known[path+"\x00"+f.Name] = true
		}
		if path == "" {
			report = append(report, added...)
			continue
		}
		column, rest, _ := strings.Cut(path, ".")
		at, ok := widened[column]
		if !ok {
			field, found := u.column(column)
			if !found {
				continue
			}
			at = len(report)
			widened[column] = at
			report = append(report, field)
		}
		report[at].Type = sniff.Extend(report[at].Type, nest(report[at].Type, rest, added))
	}
	u.paths, u.fields = nil, map[string]*sniff.Fields{}
	if len(report) > 0 {
		u.told(report)
	}
}

func (u *unknownFields) column(name string) (arrow.Field, bool) {
	fields, ok := u.schema.FieldsByName(name)
	if !ok {
		return arrow.Field{}, false
	}
	return fields[0], true
}

// nest wraps fields into the type that has them at a path inside of another type, and nothing else.
func nest(t arrow.DataType, path string, added []arrow.Field) arrow.DataType {
	if path == "" {
		return arrow.StructOf(added...)
	}
	name, rest, _ := strings.Cut(path, ".")
	switch t := t.(type) {
	case *arrow.StructType:
		if at, ok := t.FieldIdx(name); ok {
			return arrow.StructOf(arrow.Field{Name: name, Type: nest(t.Field(at).Type, rest, added), Nullable: true})
		}
	case *arrow.MapType:
		return arrow.MapOf(t.KeyType(), nest(t.ItemType(), rest, added))
	case *arrow.ListType:
		return columntype.List(nest(t.Elem(), rest, added))
	}
	return t
}

// fieldsOf turns what was seen into fields.
func fieldsOf(f *sniff.Fields) (fields []arrow.Field) {
	for i, name := range f.Names {
		fields = append(fields, arrow.Field{Name: name, Type: columntype.Storable(f.Columns[i].Type()), Nullable: true})
	}
	return fields
}
