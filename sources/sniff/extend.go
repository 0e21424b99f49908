package sniff

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/internal/columntype"
)

// Missing lists the nested fields that a type has and another lacks, by their paths.
func Missing(in, from arrow.DataType) (paths []string) {
	under := func(name string, in, from arrow.DataType) {
		for _, path := range Missing(in, from) {
			paths = append(paths, name+"."+path)
		}
	}
	switch from := from.(type) {
	case *arrow.StructType:
		in, ok := in.(*arrow.StructType)
		if !ok {
			return nil
		}
		for _, f := range from.Fields() {
			if at, ok := in.FieldIdx(f.Name); ok {
				under(f.Name, in.Field(at).Type, f.Type)
			} else {
				paths = append(paths, f.Name)
			}
		}
	case *arrow.MapType:
		if in, ok := in.(*arrow.MapType); ok {
			under("key", in.KeyType(), from.KeyType())
			under("value", in.ItemType(), from.ItemType())
		}
	case arrow.ListLikeType:
		if in, ok := in.(arrow.ListLikeType); ok {
			under("element", in.Elem(), from.Elem())
		}
	}
	return paths
}

// Extend is a type with the nested fields that Missing lists, and otherwise as it was.
func Extend(t, from arrow.DataType) arrow.DataType {
	switch t := t.(type) {
	case *arrow.StructType:
		from, ok := from.(*arrow.StructType)
		if !ok {
			return t
		}
		fields := append([]arrow.Field(nil), t.Fields()...)
		for _, f := range from.Fields() {
			if at, ok := t.FieldIdx(f.Name); ok {
				fields[at].Type = Extend(fields[at].Type, f.Type)
			} else {
				fields = append(fields, arrow.Field{Name: f.Name, Type: columntype.Storable(f.Type), Nullable: true})
			}
		}
		return arrow.StructOf(fields...)
	case *arrow.MapType:
		if from, ok := from.(*arrow.MapType); ok {
			key, item := t.KeyField(), t.ItemField()
			key.Type, item.Type = Extend(key.Type, from.KeyType()), Extend(item.Type, from.ItemType())
			return arrow.MapOfFields(key, item)
		}
	case *arrow.ListType:
		if from, ok := from.(arrow.ListLikeType); ok {
			element := t.ElemField()
			element.Type = Extend(element.Type, from.Elem())
			return arrow.ListOfField(element)
		}
	}
	return t
}
