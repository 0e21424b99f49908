package compile

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/plan"
)

// docKey is the key of a field's metadata that holds the column's doc, as package tables reads it.
const docKey = "doc"

// Columns writes a schema as a plan holds it.
func Columns(schema *arrow.Schema) ([]plan.Column, error) {
	out := make([]plan.Column, schema.NumFields())
	for i, f := range schema.Fields() {
		t, err := columntype.Format(f.Type)
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", f.Name, err)
		}
		doc, _ := f.Metadata.GetValue(docKey)
		out[i] = plan.Column{Name: f.Name, Type: t, Required: !f.Nullable, Doc: doc}
	}
	return out, nil
}

// Schema is the inverse of Columns.
func Schema(columns []plan.Column) (*arrow.Schema, error) {
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		t, err := columntype.Parse(c.Type)
		if err != nil {
			return nil, fmt.Errorf("column %q: type %q: %w", c.Name, c.Type, err)
		}
		fields[i] = field(c.Name, t, c.Required, c.Doc)
	}
	return arrow.NewSchema(fields, nil), nil
}

func field(name string, t arrow.DataType, required bool, doc string) arrow.Field {
	f := arrow.Field{Name: name, Type: t, Nullable: !required}
	if doc != "" {
		f.Metadata = arrow.NewMetadata([]string{docKey}, []string{doc})
	}
	return f
}

// notation is a type as users write it.
func notation(t arrow.DataType) string {
	s, err := columntype.Format(t)
	if err != nil {
		return t.String()
	}
	return s
}

// Sampled joins what two samples of the same files show: the columns of both, in the wider of two types, and behind them
// those that Varve adds.
func Sampled(a, b *arrow.Schema) *arrow.Schema {
	all := union(a, b).Fields()
	fields := make([]arrow.Field, 0, len(all))
	for _, added := range []bool{false, true} {
		for _, f := range all {
			if strings.HasPrefix(f.Name, "_") == added {
				fields = append(fields, f)
			}
		}
	}
	return arrow.NewSchema(fields, nil)
}

// union is the schema that a table has once more is added to what it has: its own columns first, each in the wider of
// the two types.
func union(have, more *arrow.Schema) *arrow.Schema {
	if have == nil {
		return more
	}
	fields := append([]arrow.Field(nil), have.Fields()...)
	for _, f := range more.Fields() {
		at := have.FieldIndices(f.Name)
		switch {
		case len(at) == 0:
			fields = append(fields, f)
		case widens(fields[at[0]].Type, f.Type):
			fields[at[0]].Type = f.Type
		}
	}
	return arrow.NewSchema(fields, nil)
}

// widens tells whether Iceberg can promote a column from one type to another without rewriting its files.
func widens(from, to arrow.DataType) bool {
	switch from := from.(type) {
	case *arrow.Int32Type:
		return to.ID() == arrow.INT64
	case *arrow.Float32Type:
		return to.ID() == arrow.FLOAT64
	case *arrow.Decimal128Type:
		wider, ok := to.(*arrow.Decimal128Type)
		return ok && wider.Scale == from.Scale && wider.Precision > from.Precision
	}
	return false
}

// lookup finds the column of that name.
func lookup(schema *arrow.Schema, name string) (arrow.Field, bool) {
	if at := schema.FieldIndices(name); len(at) > 0 {
		return schema.Field(at[0]), true
	}
	return arrow.Field{}, false
}
