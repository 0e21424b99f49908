package sql

import (
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/apache/arrow-go/v18/arrow/memory"
	duckdb "github.com/duckdb/duckdb-go-bindings"

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

// conversion makes a column of the result out of the storage of DuckDB's.
type conversion struct {
	to       arrow.DataType
	leaf     func(arrow.Array, memory.Allocator) (arrow.ArrayData, error) // nil: the buffers are right as they are
	children []conversion
}

// normalise turns the types of a result's columns into the schema that Run streams.
func normalise(names []string, types []duckdb.LogicalType) (*arrow.Schema, []conversion, error) {
	fields, conversions := make([]arrow.Field, len(names)), make([]conversion, len(names))
	seen := map[string]bool{}
	for i, name := range names {
		if seen[name] {
			e := errorAt("", -1, Binding, "the result has two columns with the name %q", name)
			e.Hint = "name one with AS"
			return nil, nil, e
		}
		seen[name] = true
		c, err := convert(types[i])
		if err != nil {
			e := errorAt("", -1, Unsupported, "column %q of the result is of %v", name, err)
			e.Hint = "cast it"
			return nil, nil, e
		}
		conversions[i] = c
		fields[i] = arrow.Field{Name: name, Type: c.to, Nullable: true}
	}
	return arrow.NewSchema(fields, nil), conversions, nil
}

// leaves are the types without parameters, and how arrow_lossless_conversion brings them.
var leaves = map[duckdb.Type]conversion{
	duckdb.TypeBoolean:     {to: arrow.FixedWidthTypes.Boolean, leaf: fromBool8},
	duckdb.TypeTinyInt:     {to: arrow.PrimitiveTypes.Int32, leaf: castTo(arrow.PrimitiveTypes.Int32)},
	duckdb.TypeSmallInt:    {to: arrow.PrimitiveTypes.Int32, leaf: castTo(arrow.PrimitiveTypes.Int32)},
	duckdb.TypeUTinyInt:    {to: arrow.PrimitiveTypes.Int32, leaf: castTo(arrow.PrimitiveTypes.Int32)},
	duckdb.TypeUSmallInt:   {to: arrow.PrimitiveTypes.Int32, leaf: castTo(arrow.PrimitiveTypes.Int32)},
	duckdb.TypeInteger:     {to: arrow.PrimitiveTypes.Int32},
	duckdb.TypeSQLNull:     {to: arrow.PrimitiveTypes.Int32, leaf: castTo(arrow.PrimitiveTypes.Int32)},
	duckdb.TypeUInteger:    {to: arrow.PrimitiveTypes.Int64, leaf: castTo(arrow.PrimitiveTypes.Int64)},
	duckdb.TypeBigInt:      {to: arrow.PrimitiveTypes.Int64},
	duckdb.TypeUBigInt:     {to: &arrow.Decimal128Type{Precision: 20}, leaf: fromUint64},
	duckdb.TypeHugeInt:     {to: &arrow.Decimal128Type{Precision: 38}, leaf: fromHugeint},
	duckdb.TypeUHugeInt:    {to: &arrow.Decimal128Type{Precision: 38}, leaf: fromUhugeint},
	duckdb.TypeFloat:       {to: arrow.PrimitiveTypes.Float32},
	duckdb.TypeDouble:      {to: arrow.PrimitiveTypes.Float64},
	duckdb.TypeDate:        {to: arrow.FixedWidthTypes.Date32},
	duckdb.TypeTime:        {to: arrow.FixedWidthTypes.Time64us},
	duckdb.TypeTimestampS:  {to: timestamp, leaf: castTo(timestamp)},
	duckdb.TypeTimestampMS: {to: timestamp, leaf: castTo(timestamp)},
	duckdb.TypeTimestamp:   {to: timestamp},
	duckdb.TypeTimestampNS: {to: &arrow.TimestampType{Unit: arrow.Nanosecond}},
	duckdb.TypeTimestampTZ: {to: &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}},
	duckdb.TypeVarchar:     {to: arrow.BinaryTypes.String},
	duckdb.TypeEnum:        {to: arrow.BinaryTypes.String, leaf: fromDictionary},
	duckdb.TypeUUID:        {to: extensions.NewUUIDType()},
	duckdb.TypeBlob:        {to: arrow.BinaryTypes.Binary},
}

var timestamp = &arrow.TimestampType{Unit: arrow.Microsecond}

// refusals are the SQL names of the types that have no counterpart.
var refusals = map[duckdb.Type]string{
	duckdb.TypeInterval: "INTERVAL", duckdb.TypeTimeTZ: "TIME WITH TIME ZONE", duckdb.TypeTimeNS: "TIME_NS", duckdb.TypeBit: "BIT",
	duckdb.TypeUnion: "UNION", duckdb.TypeBigNum: "BIGNUM", duckdb.TypeGeometry: "GEOMETRY", duckdb.TypeVariant: "VARIANT",
}

// convert reads a type of DuckDB's.
func convert(t duckdb.LogicalType) (conversion, error) {
	id := duckdb.GetTypeId(t)
	if leaf, ok := leaves[id]; ok {
		return leaf, nil
	}
	switch id {
	case duckdb.TypeDecimal:
		return conversion{to: &arrow.Decimal128Type{
			Precision: int32(duckdb.DecimalWidth(t)), Scale: int32(duckdb.DecimalScale(t))}}, nil
	case duckdb.TypeList:
		return convertList(duckdb.ListTypeChildType(t))
	case duckdb.TypeArray:
		return convertList(duckdb.ArrayTypeChildType(t))
	case duckdb.TypeMap:
		return convertMap(duckdb.MapTypeKeyType(t), duckdb.MapTypeValueType(t))
	case duckdb.TypeStruct:
		return convertStruct(t)
	}
	name, ok := refusals[id]
	if !ok {
		name = fmt.Sprintf("an unknown kind (%d)", id)
	}
	return conversion{}, fmt.Errorf("type %s, which tables cannot hold", name)
}

func convertList(element duckdb.LogicalType) (conversion, error) {
	defer duckdb.DestroyLogicalType(&element)
	c, err := convert(element)
	if err != nil {
		return c, err
	}
	return conversion{to: columntype.List(c.to), children: []conversion{c}}, nil
}

func convertMap(key, value duckdb.LogicalType) (conversion, error) {
	defer duckdb.DestroyLogicalType(&key)
	defer duckdb.DestroyLogicalType(&value)
	k, err := convert(key)
	if err != nil {
		return k, err
	}
	v, err := convert(value)
	if err != nil {
		return v, err
	}
	to := arrow.MapOf(k.to, v.to)
	return conversion{to: to, children: []conversion{{to: to.Elem(), children: []conversion{k, v}}}}, nil
}

func convertStruct(t duckdb.LogicalType) (conversion, error) {
	var children []conversion
	var fields []arrow.Field
	for i := range duckdb.StructTypeChildCount(t) {
		child := duckdb.StructTypeChildType(t, i)
		c, err := convert(child)
		duckdb.DestroyLogicalType(&child)
		if err != nil {
			return c, err
		}
		children = append(children, c)
		fields = append(fields, arrow.Field{Name: duckdb.StructTypeChildName(t, i), Type: c.to, Nullable: true})
	}
	return conversion{to: arrow.StructOf(fields...), children: children}, nil
}
