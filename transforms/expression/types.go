package expression

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/extensions"

	"github.com/varve-lake/varve/internal/columntype"
)

// kind classes the types that kernels know. Every column is brought to one of them as it is loaded.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindInt
	kindLong
	kindFloat
	kindDouble
	kindDecimal
	kindDate
	kindTime
	kindTimestamp   // without a zone; microseconds or nanoseconds
	kindTimestampTz // an instant
	kindDuration    // the difference of two timestamps; cannot be stored
	kindString
	kindBinary
	kindFixed
	kindUUID
	kindStruct
	kindList
	kindMap
	kindOther
)

var (
	typeBool        arrow.DataType = arrow.FixedWidthTypes.Boolean
	typeInt         arrow.DataType = arrow.PrimitiveTypes.Int32
	typeLong        arrow.DataType = arrow.PrimitiveTypes.Int64
	typeFloat       arrow.DataType = arrow.PrimitiveTypes.Float32
	typeDouble      arrow.DataType = arrow.PrimitiveTypes.Float64
	typeDate        arrow.DataType = arrow.FixedWidthTypes.Date32
	typeTime        arrow.DataType = arrow.FixedWidthTypes.Time64us
	typeTimestamp   arrow.DataType = &arrow.TimestampType{Unit: arrow.Microsecond}
	typeTimestampTz arrow.DataType = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
	typeDuration    arrow.DataType = arrow.FixedWidthTypes.Duration_us
	typeDurationNs  arrow.DataType = arrow.FixedWidthTypes.Duration_ns
	typeString      arrow.DataType = arrow.BinaryTypes.String
	typeBinary      arrow.DataType = arrow.BinaryTypes.Binary
	typeUUID        arrow.DataType = extensions.NewUUIDType()
	typeNull        arrow.DataType = arrow.Null
)

var kinds = map[arrow.Type]kind{
	arrow.NULL: kindNull, arrow.BOOL: kindBool, arrow.INT32: kindInt, arrow.INT64: kindLong,
	arrow.FLOAT32: kindFloat, arrow.FLOAT64: kindDouble, arrow.DECIMAL128: kindDecimal, arrow.DATE32: kindDate,
	arrow.TIME64: kindTime, arrow.DURATION: kindDuration, arrow.STRING: kindString, arrow.BINARY: kindBinary,
	arrow.FIXED_SIZE_BINARY: kindFixed, arrow.STRUCT: kindStruct, arrow.LIST: kindList, arrow.MAP: kindMap,
}

func kindOf(t arrow.DataType) kind {
	switch t := t.(type) {
	case *arrow.TimestampType:
		if t.TimeZone != "" {
			return kindTimestampTz
		}
		return kindTimestamp
	case *extensions.UUIDType:
		return kindUUID
	case *arrow.Decimal128Type:
		return kindDecimal
	}
	if k, ok := kinds[t.ID()]; ok {
		return k
	}
	return kindOther
}

func (k kind) isInteger() bool   { return k == kindInt || k == kindLong }
func (k kind) isFloating() bool  { return k == kindFloat || k == kindDouble }
func (k kind) isNumber() bool    { return k >= kindInt && k <= kindDecimal }
func (k kind) isTimestamp() bool { return k == kindTimestamp || k == kindTimestampTz }
func (k kind) isTemporal() bool  { return k == kindDate || k.isTimestamp() }
func (k kind) isNested() bool    { return k == kindStruct || k == kindList || k == kindMap }

// workingType is the type in which the kernels see a column of type t.
func workingType(t arrow.DataType) arrow.DataType {
	switch t.ID() {
	case arrow.NULL:
		return typeNull
	case arrow.DURATION:
		if t.(*arrow.DurationType).Unit == arrow.Nanosecond {
			return typeDurationNs
		}
		return typeDuration
	}
	return columntype.Storable(t)
}

// typeName is a type as users know it: Iceberg's notation, and two names of our own.
func typeName(t arrow.DataType) string {
	switch kindOf(t) {
	case kindNull:
		return "null"
	case kindDuration:
		return "duration"
	}
	name, err := columntype.Format(t)
	if err != nil {
		return t.String()
	}
	return name
}

// decimalType is decimal(p,s), with p and s brought into the bounds of a Decimal128 by dropping fraction digits beyond
// the sixth before integer digits, as Spark and SQL Server do.
func decimalType(p, s int32) *arrow.Decimal128Type {
	if p > maxPrecision {
		s = max(maxPrecision-(p-s), min(s, 6))
		p = maxPrecision
	}
	return &arrow.Decimal128Type{Precision: p, Scale: s}
}

const maxPrecision = 38

// asDecimal is the decimal type that holds every value of an integer or decimal type.
func asDecimal(t arrow.DataType) *arrow.Decimal128Type {
	switch t := t.(type) {
	case *arrow.Decimal128Type:
		return t
	case *arrow.Int32Type:
		return &arrow.Decimal128Type{Precision: 10}
	}
	return &arrow.Decimal128Type{Precision: 19}
}

func isNano(t arrow.DataType) bool {
	switch t := t.(type) {
	case *arrow.TimestampType:
		return t.Unit == arrow.Nanosecond
	case *arrow.DurationType:
		return t.Unit == arrow.Nanosecond
	}
	return false
}

// commonType is the type to which values of both types go without loss, as a conditional's branches or a comparison's
// sides need; nil if there is none.
func commonType(a, b arrow.DataType) arrow.DataType {
	ka, kb := kindOf(a), kindOf(b)
	switch {
	case arrow.TypeEqual(a, b):
		return a
	case ka == kindNull:
		return b
	case kb == kindNull:
		return a
	case ka.isNumber() && kb.isNumber():
		return commonNumber(a, b)
	case ka == kindDuration && kb == kindDuration:
		return typeDurationNs // the units differ
	case ka == kb && ka.isTimestamp():
		return finer(a, b)
	case ka == kindDate && kb == kindTimestamp:
		return b
	case ka == kindTimestamp && kb == kindDate:
		return a
	case ka == kb && ka.isNested():
		return commonNested(a, b)
	}
	return nil
}

func finer(a, b arrow.DataType) arrow.DataType {
	if isNano(a) {
		return a
	}
	return b
}

func commonNumber(a, b arrow.DataType) arrow.DataType {
	ka, kb := kindOf(a), kindOf(b)
	switch {
	case ka.isFloating() || kb.isFloating():
		return typeDouble // a float and an int too: a float cannot hold every int
	case ka == kindDecimal || kb == kindDecimal:
		da, db := asDecimal(a), asDecimal(b)
		s := max(da.Scale, db.Scale)
		return decimalType(max(da.Precision-da.Scale, db.Precision-db.Scale)+s, s)
	}
	return typeLong
}

// commonNested joins types of the same shape.
func commonNested(a, b arrow.DataType) arrow.DataType {
	switch a := a.(type) {
	case *arrow.ListType:
		if e := commonType(a.Elem(), b.(*arrow.ListType).Elem()); e != nil {
			return columntype.List(e)
		}
	case *arrow.MapType:
		b := b.(*arrow.MapType)
		k, v := commonType(a.KeyType(), b.KeyType()), commonType(a.ItemType(), b.ItemType())
		if k != nil && v != nil {
			return arrow.MapOf(k, v)
		}
	case *arrow.StructType:
		return commonStruct(a, b.(*arrow.StructType))
	}
	return nil
}

func commonStruct(a, b *arrow.StructType) arrow.DataType {
	if a.NumFields() != b.NumFields() {
		return nil
	}
	fields := make([]arrow.Field, a.NumFields())
	for i, f := range a.Fields() {
		t := commonType(f.Type, b.Field(i).Type)
		if f.Name != b.Field(i).Name || t == nil {
			return nil
		}
		fields[i] = arrow.Field{Name: f.Name, Type: t, Nullable: true}
	}
	return arrow.StructOf(fields...)
}
