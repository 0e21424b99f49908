package sql

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/bitutil"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/internal/columntype"
)

// DuckDB's types and what becomes of them in a result. The rule looks at types only, never at values, so that a
// query's schema is known before it runs:
//
//	BOOLEAN                                  boolean
//	TINYINT, SMALLINT, UTINYINT, USMALLINT   int
//	UINTEGER                                 long
//	UBIGINT                                  decimal(20,0)
//	HUGEINT (as sum of whole numbers), UHUGEINT   decimal(38,0); a value of 39 digits is an error
//	TIMESTAMP_S, TIMESTAMP_MS                timestamp
//	VARCHAR, ENUM, JSON                      string
//	UUID                                     uuid
//	BLOB                                     binary
//	T[], T[n]                                list<T>
//	STRUCT, MAP                              struct, map, by the same rules within
//	INTERVAL, TIMETZ, TIME_NS, BIT, UNION, BIGNUM, VARIANT, GEOMETRY   refused: Iceberg has nothing for them
//
// INTEGER, BIGINT, FLOAT, DOUBLE, DECIMAL, DATE, TIME, TIMESTAMP, TIMESTAMP_NS and TIMESTAMPTZ are what they are.

// conversion makes a column of the result out of DuckDB's. It is given the storage of extension types, and what it
// returns is the caller's.
type conversion struct {
	to       arrow.DataType
	leaf     func(arrow.Array, memory.Allocator) (arrow.ArrayData, error) // nil: the buffers are right as they are
	children []conversion
}

// normalise turns a schema of DuckDB's into the one that Run streams.
func normalise(native *arrow.Schema) (*arrow.Schema, []conversion, error) {
	fields, conversions := make([]arrow.Field, native.NumFields()), make([]conversion, native.NumFields())
	seen := map[string]bool{}
	for i, field := range native.Fields() {
		if seen[field.Name] {
			e := errorAt("", -1, Binding, "the result has two columns with the name %q", field.Name)
			e.Hint = "name one with AS"
			return nil, nil, e
		}
		seen[field.Name] = true
		c, err := convertField(field)
		if err != nil {
			e := errorAt("", -1, Unsupported, "column %q of the result is %v, which tables cannot hold", field.Name, err)
			e.Hint = "cast it"
			return nil, nil, e
		}
		conversions[i] = c
		fields[i] = arrow.Field{Name: field.Name, Type: c.to, Nullable: true}
	}
	return arrow.NewSchema(fields, nil), conversions, nil
}

// convertField reads a type of DuckDB's. The error is the SQL name of a type without a counterpart.
func convertField(field arrow.Field) (conversion, error) {
	switch name := extensionOf(field); name {
	case "":
	case "arrow.bool8":
		return conversion{to: arrow.FixedWidthTypes.Boolean, leaf: fromBool8}, nil
	case "arrow.uuid":
		return conversion{to: extensions.NewUUIDType()}, nil
	case "arrow.json":
		return conversion{to: arrow.BinaryTypes.String}, nil
	case "hugeint":
		return conversion{to: &arrow.Decimal128Type{Precision: 38}, leaf: fromHugeint}, nil
	case "uhugeint":
		return conversion{to: &arrow.Decimal128Type{Precision: 38}, leaf: fromUhugeint}, nil
	default:
		return conversion{}, fmt.Errorf("of type %s", strings.ToUpper(name))
	}
	return convertType(storageType(field.Type))
}

func convertType(t arrow.DataType) (conversion, error) {
	switch t := t.(type) {
	case *arrow.Int8Type, *arrow.Int16Type, *arrow.Uint8Type, *arrow.Uint16Type, *arrow.Uint32Type, *arrow.Uint64Type,
		*arrow.DictionaryType:
		to := columntype.Storable(t)
		return conversion{to: to, leaf: castTo(to)}, nil
	case *arrow.TimestampType:
		if t.Unit == arrow.Second || t.Unit == arrow.Millisecond {
			to := columntype.Storable(t)
			return conversion{to: to, leaf: castTo(to)}, nil
		}
		return conversion{to: columntype.Storable(t)}, nil
	case *arrow.Time64Type:
		if t.Unit != arrow.Microsecond {
			return conversion{}, fmt.Errorf("of type TIME_NS")
		}
	case *arrow.MonthDayNanoIntervalType:
		return conversion{}, fmt.Errorf("of type INTERVAL")
	case arrow.UnionType:
		return conversion{}, fmt.Errorf("of type UNION")
	case *arrow.StructType, *arrow.MapType, *arrow.ListType, *arrow.FixedSizeListType:
		return convertNested(t)
	}
	if _, err := columntype.Format(t); err != nil {
		return conversion{}, fmt.Errorf("of type %s", t)
	}
	return conversion{to: columntype.Storable(t)}, nil
}

func convertNested(t arrow.DataType) (conversion, error) {
	switch t := t.(type) {
	case *arrow.StructType:
		c := conversion{}
		var fields []arrow.Field
		for _, field := range t.Fields() {
			child, err := convertField(field)
			if err != nil {
				return c, err
			}
			c.children = append(c.children, child)
			fields = append(fields, arrow.Field{Name: field.Name, Type: child.to, Nullable: true})
		}
		c.to = arrow.StructOf(fields...)
		return c, nil
	case *arrow.MapType:
		entries, err := convertNested(arrow.StructOf(t.KeyField(), t.ItemField()))
		if err != nil {
			return entries, err
		}
		to := arrow.MapOf(entries.children[0].to, entries.children[1].to)
		entries.to = to.Elem()
		return conversion{to: to, children: []conversion{entries}}, nil
	case *arrow.FixedSizeListType:
		child, err := convertField(t.ElemField())
		return conversion{to: columntype.List(child.to), children: []conversion{child}}, err
	case *arrow.ListType:
		child, err := convertField(t.ElemField())
		return conversion{to: columntype.List(child.to), children: []conversion{child}}, err
	}
	return conversion{}, fmt.Errorf("of type %s", t)
}

// extensionOf is the name of an extension type, whether arrow-go knows it or has left it in the field's metadata; for
// a type of DuckDB's own, its SQL name in lower case.
func extensionOf(field arrow.Field) string {
	switch t := field.Type.(type) {
	case *extensions.OpaqueType:
		return t.TypeName
	case arrow.ExtensionType:
		return t.ExtensionName()
	}
	name, _ := field.Metadata.GetValue("ARROW:extension:name")
	if name != "arrow.opaque" {
		return name
	}
	var opaque struct {
		TypeName string `json:"type_name"`
	}
	serialized, _ := field.Metadata.GetValue("ARROW:extension:metadata")
	if json.Unmarshal([]byte(serialized), &opaque) != nil || opaque.TypeName == "" {
		return name
	}
	return opaque.TypeName
}

func storageType(t arrow.DataType) arrow.DataType {
	if extension, ok := t.(arrow.ExtensionType); ok {
		return extension.StorageType()
	}
	return t
}

func storageOf(a arrow.Array) arrow.Array {
	if extension, ok := a.(array.ExtensionArray); ok {
		return extension.Storage()
	}
	return a
}

// apply converts a column.
func (c conversion) apply(in arrow.Array, mem memory.Allocator) (arrow.Array, error) {
	data, err := c.data(in, mem)
	if err != nil {
		return nil, err
	}
	defer data.Release()
	return array.MakeFromData(data), nil
}

func (c conversion) data(in arrow.Array, mem memory.Allocator) (arrow.ArrayData, error) {
	in = storageOf(in)
	if c.leaf != nil {
		return c.leaf(in, mem)
	}
	from := in.Data()
	var children []arrow.ArrayData
	defer func() {
		for _, child := range children {
			child.Release()
		}
	}()
	for i, child := range c.children {
		values := array.MakeFromData(from.Children()[i])
		data, err := child.data(values, mem)
		values.Release()
		if err != nil {
			return nil, err
		}
		children = append(children, data)
	}
	buffers := from.Buffers()
	if list, ok := in.(*array.FixedSizeList); ok {
		offsets := arrayOffsets(list, mem)
		defer offsets.Release()
		return array.NewData(c.to, from.Len(), []*memory.Buffer{buffers[0], offsets}, children, from.NullN(), from.Offset()), nil
	}
	return array.NewData(c.to, from.Len(), buffers, children, from.NullN(), from.Offset()), nil
}

// arrayOffsets gives an array of fixed length the offsets of a list.
func arrayOffsets(list *array.FixedSizeList, mem memory.Allocator) *memory.Buffer {
	from, width := list.Data(), list.DataType().(*arrow.FixedSizeListType).Len()
	buffer := memory.NewResizableBuffer(mem)
	buffer.Resize((from.Offset() + from.Len() + 1) * 4)
	offsets := arrow.Int32Traits.CastFromBytes(buffer.Bytes())
	for i := range offsets {
		offsets[i] = int32(i) * width
	}
	return buffer
}

// copyValidity is a's validity bitmap from bit 0 on, nil if nothing is null.
func copyValidity(a arrow.Array, mem memory.Allocator) *memory.Buffer {
	if a.NullN() == 0 {
		return nil
	}
	buffer := memory.NewResizableBuffer(mem)
	buffer.Resize(int(bitutil.BytesForBits(int64(a.Len()))))
	bitutil.CopyBitmap(a.NullBitmapBytes(), a.Data().Offset(), a.Len(), buffer.Bytes(), 0)
	return buffer
}

func newFixed(to arrow.DataType, a arrow.Array, values *memory.Buffer, mem memory.Allocator) arrow.ArrayData {
	validity := copyValidity(a, mem)
	defer values.Release()
	if validity != nil {
		defer validity.Release()
	}
	return array.NewData(to, a.Len(), []*memory.Buffer{validity, values}, nil, a.NullN(), 0)
}

func fromBool8(a arrow.Array, mem memory.Allocator) (arrow.ArrayData, error) {
	in, ok := a.(*array.Int8)
	if !ok {
		return nil, fmt.Errorf("a boolean came as %s", a.DataType())
	}
	buffer := memory.NewResizableBuffer(mem)
	buffer.Resize(int(bitutil.BytesForBits(int64(in.Len()))))
	bits := buffer.Bytes()
	clear(bits)
	for i, v := range in.Int8Values() {
		if v != 0 {
			bitutil.SetBit(bits, i)
		}
	}
	return newFixed(arrow.FixedWidthTypes.Boolean, a, buffer, mem), nil
}

func fromHugeint(a arrow.Array, mem memory.Allocator) (arrow.ArrayData, error) {
	return fromInt128(a, mem, "HUGEINT", func(high uint64) bool { return false })
}

func fromUhugeint(a arrow.Array, mem memory.Allocator) (arrow.ArrayData, error) {
	return fromInt128(a, mem, "UHUGEINT", func(high uint64) bool { return int64(high) < 0 })
}

// fromInt128 reads 16 bytes, the low half first, which is Arrow's layout of a decimal too.
func fromInt128(a arrow.Array, mem memory.Allocator, name string, beyond func(high uint64) bool) (arrow.ArrayData, error) {
	in, ok := a.(*array.FixedSizeBinary)
	if !ok {
		return nil, fmt.Errorf("a %s came as %s", name, a.DataType())
	}
	buffer := memory.NewResizableBuffer(mem)
	buffer.Resize(in.Len() * arrow.Decimal128SizeBytes)
	out := arrow.Decimal128Traits.CastFromBytes(buffer.Bytes())
	for i := range out {
		out[i] = decimal128.Num{}
		if in.IsNull(i) {
			continue
		}
		bytes := in.Value(i)
		low, high := binary.LittleEndian.Uint64(bytes), binary.LittleEndian.Uint64(bytes[8:])
		out[i] = decimal128.New(int64(high), low)
		if beyond(high) || !out[i].FitsInPrecision(38) {
			buffer.Release()
			return nil, &Error{Kind: Data, Offset: -1, Message: "a " + name + " has more than the 38 digits of decimal(38,0)"}
		}
	}
	return newFixed(&arrow.Decimal128Type{Precision: 38}, a, buffer, mem), nil
}
