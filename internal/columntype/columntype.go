// Package columntype translates between Iceberg's notation of types, in which pipelines and plans name them, and the
// Arrow types that carry their values.
//
//	boolean int long float double decimal(P,S) date time timestamp timestamptz timestamp_ns timestamptz_ns
//	string uuid fixed(L) binary struct<a: T, b: T> list<T> map<K, V>
package columntype

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/extensions"
)

// Primitives are the names of the types without parameters, in the order in which they are documented.
var Primitives = []string{
	"boolean", "int", "long", "float", "double", "date", "time", "timestamp", "timestamptz", "timestamp_ns",
	"timestamptz_ns", "string", "uuid", "binary",
}

// MaxDepth bounds the nesting of a type, so that a hostile type cannot exhaust the stack.
const MaxDepth = 32

var primitives = map[string]arrow.DataType{
	"boolean":        arrow.FixedWidthTypes.Boolean,
	"int":            arrow.PrimitiveTypes.Int32,
	"long":           arrow.PrimitiveTypes.Int64,
	"float":          arrow.PrimitiveTypes.Float32,
	"double":         arrow.PrimitiveTypes.Float64,
	"date":           arrow.FixedWidthTypes.Date32,
	"time":           arrow.FixedWidthTypes.Time64us,
	"timestamp":      &arrow.TimestampType{Unit: arrow.Microsecond},
	"timestamptz":    &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"},
	"timestamp_ns":   &arrow.TimestampType{Unit: arrow.Nanosecond},
	"timestamptz_ns": &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"},
	"string":         arrow.BinaryTypes.String,
	"uuid":           extensions.NewUUIDType(),
	"binary":         arrow.BinaryTypes.Binary,
}

// synonyms are names of other systems, for the hint of an unknown type.
var synonyms = map[string]string{
	"bool": "boolean", "integer": "int", "int32": "int", "smallint": "int", "tinyint": "int", "int64": "long",
	"bigint": "long", "real": "float", "float32": "float", "float64": "double", "numeric": "decimal", "text": "string",
	"varchar": "string", "char": "string", "str": "string", "bytes": "binary", "blob": "binary", "varbinary": "binary",
	"datetime": "timestamp", "timestamp_tz": "timestamptz", "timestamp_ntz": "timestamp", "array": "list",
	"row": "struct", "guid": "uuid",
}

// Error says where and why a type's notation is not understood.
type Error struct {
	Offset  int // byte offset in the notation
	Message string
	Hint    string // the name that was probably meant; may be empty
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return fmt.Sprintf("%s; did you mean %q?", e.Message, e.Hint)
}

// List makes a list type with Iceberg's name of its element.
func List(element arrow.DataType) *arrow.ListType {
	return arrow.ListOfField(arrow.Field{Name: "element", Type: element, Nullable: true})
}

// unstorable is the error of an Arrow type that no Iceberg type can hold.
func unstorable(t arrow.DataType) error {
	return fmt.Errorf("tables cannot store a column of Arrow type %s", t)
}
