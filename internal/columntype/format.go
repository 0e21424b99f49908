package columntype

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/extensions"
)

// Format writes a type in Iceberg's notation; it is the inverse of Parse. Arrow has widths and encodings that Iceberg
// has not: they are named by the nearest type that holds their values. Times of nanoseconds are the exception: Iceberg
// has microseconds only. The error says which type no table can store.
func Format(t arrow.DataType) (string, error) {
	stored, err := storable(t)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	write(&b, stored)
	return b.String(), nil
}

// Storable is the Arrow type in which tables store a column of type t: Parse of Format of t, with nullability and
// metadata of nested fields kept. A type that no table can store comes back as it is; Format says why.
func Storable(t arrow.DataType) arrow.DataType {
	stored, err := storable(t)
	if err != nil {
		return t
	}
	return stored
}

func storable(t arrow.DataType) (arrow.DataType, error) {
	switch t := t.(type) {
	case nil:
		return nil, fmt.Errorf("tables cannot store a column without a type")
	case *extensions.UUIDType:
		return t, nil
	case *extensions.Bool8Type:
		return primitives["boolean"], nil
	case arrow.ExtensionType:
		return storable(t.StorageType())
	case *arrow.TimestampType:
		return storableTimestamp(t), nil
	case *arrow.DictionaryType:
		return storable(t.ValueType)
	case *arrow.RunEndEncodedType:
		return storable(t.Encoded())
	case *arrow.FixedSizeBinaryType:
		return t, nil
	case arrow.DecimalType:
		return storableDecimal(t)
	case *arrow.StructType:
		return storableStruct(t)
	case *arrow.MapType:
		return storableMap(t)
	case arrow.ListLikeType:
		element, err := storableField(t.ElemField())
		if err != nil {
			return nil, err
		}
		element.Name = "element"
		return arrow.ListOfField(element), nil
	}
	if t.ID() == arrow.UINT64 {
		return &arrow.Decimal128Type{Precision: 20}, nil
	}
	if name, ok := plain[t.ID()]; ok {
		return primitives[name], nil
	}
	return nil, unstorable(t)
}

// plain maps Arrow's types without parameters to the names of those that tables store.
var plain = map[arrow.Type]string{
	arrow.BOOL: "boolean",
	arrow.INT8: "int", arrow.INT16: "int", arrow.INT32: "int", arrow.UINT8: "int", arrow.UINT16: "int",
	arrow.INT64: "long", arrow.UINT32: "long",
	arrow.FLOAT16: "float", arrow.FLOAT32: "float", arrow.FLOAT64: "double",
	arrow.DATE32: "date", arrow.DATE64: "date", arrow.TIME32: "time", arrow.TIME64: "time",
	arrow.STRING: "string", arrow.LARGE_STRING: "string", arrow.STRING_VIEW: "string",
	arrow.BINARY: "binary", arrow.LARGE_BINARY: "binary", arrow.BINARY_VIEW: "binary",
}

func storableTimestamp(t *arrow.TimestampType) arrow.DataType {
	name := "timestamp"
	if t.TimeZone != "" {
		name += "tz"
	}
	if t.Unit == arrow.Nanosecond {
		name += "_ns"
	}
	return primitives[name]
}

func storableDecimal(t arrow.DecimalType) (arrow.DataType, error) {
	p, s := t.GetPrecision(), t.GetScale()
	if p < 1 || p > 38 || s < 0 || s > p {
		return nil, unstorable(t)
	}
	return &arrow.Decimal128Type{Precision: p, Scale: s}, nil
}

func storableStruct(t *arrow.StructType) (arrow.DataType, error) {
	if t.NumFields() == 0 {
		return nil, unstorable(t)
	}
	fields := make([]arrow.Field, t.NumFields())
	for i, f := range t.Fields() {
		stored, err := storableField(f)
		if err != nil {
			return nil, fmt.Errorf("struct field %s: %w", f.Name, err)
		}
		fields[i] = stored
	}
	return arrow.StructOf(fields...), nil
}

func storableMap(t *arrow.MapType) (arrow.DataType, error) {
	key, err := storableField(t.KeyField())
	if err != nil {
		return nil, fmt.Errorf("map key: %w", err)
	}
	value, err := storableField(t.ItemField())
	if err != nil {
		return nil, fmt.Errorf("map value: %w", err)
	}
	stored := arrow.MapOfFields(key, value)
	stored.KeysSorted = t.KeysSorted
	return stored, nil
}

func storableField(f arrow.Field) (arrow.Field, error) {
	stored, err := storable(f.Type)
	f.Type = stored
	return f, err
}

// write prints a type that storable made.
func write(b *strings.Builder, t arrow.DataType) {
	switch t := t.(type) {
	case *arrow.Decimal128Type:
		fmt.Fprintf(b, "decimal(%d,%d)", t.Precision, t.Scale)
	case *arrow.FixedSizeBinaryType:
		fmt.Fprintf(b, "fixed(%d)", t.ByteWidth)
	case *arrow.ListType:
		b.WriteString("list<")
		write(b, t.Elem())
		b.WriteByte('>')
	case *arrow.MapType:
		b.WriteString("map<")
		write(b, t.KeyType())
		b.WriteString(", ")
		write(b, t.ItemType())
		b.WriteByte('>')
	case *arrow.StructType:
		b.WriteString("struct<")
		for i, f := range t.Fields() {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(quoteField(f.Name))
			b.WriteString(": ")
			write(b, f.Type)
		}
		b.WriteByte('>')
	default:
		b.WriteString(primitiveName(t))
	}
}

func primitiveName(t arrow.DataType) string {
	for _, name := range Primitives {
		if arrow.TypeEqual(primitives[name], t) {
			return name
		}
	}
	return t.String() // not reached: storable makes no other type
}

// quoteField quotes a name that could not be read back bare.
func quoteField(name string) string {
	for i := 0; i < len(name); i++ {
		if !isWord(name[i]) {
			return strconv.Quote(name)
		}
	}
	if name == "" {
		return `""`
	}
	return name
}
