package tables

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/iceberg-go"

	"github.com/varve-lake/varve/internal/columntype"
)

// DocKey is the key of a column's documentation in an Arrow field's metadata.
const DocKey = "doc"

// icebergSchema gives the schema of a new table. Ids are in the order that Iceberg's own writers give them: the columns
// first, then what is nested in them.
func icebergSchema(s *arrow.Schema, identifier []string) (*iceberg.Schema, error) {
	if s == nil || s.NumFields() == 0 {
		return nil, badDefinition("a table needs a column")
	}
	ids := &fieldIDs{next: s.NumFields() + 1}
	seen := map[string]bool{}
	fields := make([]iceberg.NestedField, s.NumFields())
	for i, f := range s.Fields() {
		if f.Name == "" || seen[f.Name] {
			return nil, badDefinition("column %d: the name %q is empty or taken", i+1, f.Name)
		}
		seen[f.Name] = true
		t, err := ids.typeOf(f.Type)
		if err != nil {
			return nil, badDefinition("column %s: %v", f.Name, err)
		}
		fields[i] = iceberg.NestedField{ID: i + 1, Name: f.Name, Type: t, Required: !f.Nullable, Doc: docOf(f)}
	}
	schema := iceberg.NewSchema(0, fields...)
	var identifiers []int
	for _, name := range identifier {
		f, ok := schema.FindFieldByName(name)
		if !ok {
			return nil, badDefinition("identifier column %s is not a column", name)
		}
		switch f.Type.(type) {
		case iceberg.Float32Type, iceberg.Float64Type, iceberg.NestedType:
			return nil, badDefinition("identifier column %s: a %s does not identify a row", name, f.Type)
		}
		for i := range fields {
			if fields[i].ID == f.ID {
				fields[i].Required = true
			}
		}
		identifiers = append(identifiers, f.ID)
	}
	return iceberg.NewSchemaWithIdentifiers(0, identifiers, fields...), nil
}

func docOf(f arrow.Field) string {
	doc, _ := f.Metadata.GetValue(DocKey)
	return doc
}

// fieldIDs numbers the fields of new nested types.
type fieldIDs struct{ next int }

func (n *fieldIDs) take() int {
	n.next++
	return n.next - 1
}

// typeOf gives the Iceberg type that stores an Arrow type.
func (n *fieldIDs) typeOf(t arrow.DataType) (iceberg.Type, error) {
	if _, err := columntype.Format(t); err != nil {
		return nil, err
	}
	return n.stored(columntype.Storable(t))
}

func (n *fieldIDs) stored(t arrow.DataType) (iceberg.Type, error) {
	switch t := t.(type) {
	case *extensions.UUIDType:
		return iceberg.PrimitiveTypes.UUID, nil
	case *arrow.Decimal128Type:
		return iceberg.DecimalTypeOf(int(t.Precision), int(t.Scale)), nil
	case *arrow.FixedSizeBinaryType:
		return iceberg.FixedTypeOf(t.ByteWidth), nil
	case *arrow.TimestampType:
		return timestampType(t), nil
	case *arrow.StructType:
		return n.structType(t)
	case *arrow.MapType:
		out := &iceberg.MapType{KeyID: n.take(), ValueID: n.take(), ValueRequired: !t.ItemField().Nullable}
		var err error
		if out.KeyType, err = n.stored(t.KeyType()); err != nil {
			return nil, err
		}
		out.ValueType, err = n.stored(t.ItemType())
		return out, err
	case *arrow.ListType:
		out := &iceberg.ListType{ElementID: n.take(), ElementRequired: !t.ElemField().Nullable}
		var err error
		out.Element, err = n.stored(t.Elem())
		return out, err
	}
	if p, ok := primitiveTypes[t.ID()]; ok {
		return p, nil
	}
	return nil, fmt.Errorf("tables cannot store a column of Arrow type %s", t)
}

var primitiveTypes = map[arrow.Type]iceberg.Type{
	arrow.BOOL: iceberg.PrimitiveTypes.Bool, arrow.INT32: iceberg.PrimitiveTypes.Int32,
	arrow.INT64: iceberg.PrimitiveTypes.Int64, arrow.FLOAT32: iceberg.PrimitiveTypes.Float32,
	arrow.FLOAT64: iceberg.PrimitiveTypes.Float64, arrow.DATE32: iceberg.PrimitiveTypes.Date,
	arrow.TIME64: iceberg.PrimitiveTypes.Time, arrow.STRING: iceberg.PrimitiveTypes.String,
	arrow.BINARY: iceberg.PrimitiveTypes.Binary,
}

func timestampType(t *arrow.TimestampType) iceberg.Type {
	switch {
	case t.Unit == arrow.Nanosecond && t.TimeZone != "":
		return iceberg.PrimitiveTypes.TimestampTzNs
	case t.Unit == arrow.Nanosecond:
		return iceberg.PrimitiveTypes.TimestampNs
	case t.TimeZone != "":
		return iceberg.PrimitiveTypes.TimestampTz
	}
	return iceberg.PrimitiveTypes.Timestamp
}

func (n *fieldIDs) structType(t *arrow.StructType) (iceberg.Type, error) {
	out := &iceberg.StructType{FieldList: make([]iceberg.NestedField, t.NumFields())}
	for i, f := range t.Fields() {
		out.FieldList[i] = iceberg.NestedField{ID: n.take(), Name: f.Name, Required: !f.Nullable, Doc: docOf(f)}
	}
	for i, f := range t.Fields() {
		inner, err := n.stored(f.Type)
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
		out.FieldList[i].Type = inner
	}
	return out, nil
}

// arrowSchema gives a table's schema in the Arrow types of package columntype.
func arrowSchema(s *iceberg.Schema) (*arrow.Schema, error) {
	fields := make([]arrow.Field, len(s.Fields()))
	for i, f := range s.Fields() {
		field, err := arrowField(f)
		if err != nil {
			return nil, err
		}
		fields[i] = field
	}
	return arrow.NewSchema(fields, nil), nil
}

func arrowField(f iceberg.NestedField) (arrow.Field, error) {
	t, err := arrowType(f.Type)
	if err != nil {
		return arrow.Field{}, fmt.Errorf("column %s: %w", f.Name, err)
	}
	out := arrow.Field{Name: f.Name, Type: t, Nullable: !f.Required}
	if f.Doc != "" {
		out.Metadata = arrow.MetadataFrom(map[string]string{DocKey: f.Doc})
	}
	return out, nil
}

func arrowType(t iceberg.Type) (arrow.DataType, error) {
	switch t := t.(type) {
	case *iceberg.StructType:
		fields := make([]arrow.Field, len(t.FieldList))
		for i, f := range t.FieldList {
			field, err := arrowField(f)
			if err != nil {
				return nil, err
			}
			fields[i] = field
		}
		return arrow.StructOf(fields...), nil
	case *iceberg.ListType:
		element, err := arrowType(t.Element)
		if err != nil {
			return nil, err
		}
		return arrow.ListOfField(arrow.Field{Name: "element", Type: element, Nullable: !t.ElementRequired}), nil
	case *iceberg.MapType:
		key, err := arrowType(t.KeyType)
		if err != nil {
			return nil, err
		}
		value, err := arrowType(t.ValueType)
		if err != nil {
			return nil, err
		}
		return arrow.MapOfFields(arrow.Field{Name: "key", Type: key},
			arrow.Field{Name: "value", Type: value, Nullable: !t.ValueRequired}), nil
	case iceberg.DecimalType:
		return &arrow.Decimal128Type{Precision: int32(t.Precision()), Scale: int32(t.Scale())}, nil
	case iceberg.FixedType:
		return &arrow.FixedSizeBinaryType{ByteWidth: t.Len()}, nil
	}
	return columntype.Parse(t.String())
}

// typeText is a type in the notation of internal/columntype.
func typeText(t iceberg.Type) string {
	if a, err := arrowType(t); err == nil {
		if text, err := columntype.Format(a); err == nil {
			return text
		}
	}
	return t.String()
}
