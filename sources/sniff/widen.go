package sniff

import (
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/internal/columntype"
)

// Widen finds the narrowest type that holds the values of two types that tables store. Whatever has no common type but
// text becomes string.
func Widen(a, b arrow.DataType) arrow.DataType {
	if arrow.TypeEqual(a, b) {
		return a
	}
	if t, ok := numeric(a, b); ok {
		return t
	}
	if t, ok := temporalType(a, b); ok {
		return t
	}
	switch a := a.(type) {
	case *arrow.StructType:
		if b, ok := b.(*arrow.StructType); ok {
			return arrow.StructOf(WidenFields(a.Fields(), b.Fields())...)
		}
	case *arrow.ListType:
		if b, ok := b.(*arrow.ListType); ok {
			return columntype.List(Widen(a.Elem(), b.Elem()))
		}
	case *arrow.MapType:
		if b, ok := b.(*arrow.MapType); ok {
			key, item := a.KeyField(), a.ItemField()
			key.Type = Widen(key.Type, b.KeyType())
			item.Type = Widen(item.Type, b.ItemType())
			item.Nullable = item.Nullable || b.ItemField().Nullable
			return arrow.MapOfFields(key, item)
		}
	}
	if bytesOnly(a) && bytesOnly(b) {
		return arrow.BinaryTypes.Binary
	}
	return arrow.BinaryTypes.String
}

// WidenFields merges two lists of fields by name; those that only the second has come last.
func WidenFields(a, b []arrow.Field) []arrow.Field {
	merged := append([]arrow.Field(nil), a...)
	index := make(map[string]int, len(a))
	for i, f := range merged {
		index[f.Name] = i
	}
	for _, f := range b {
		i, ok := index[f.Name]
		if !ok {
			index[f.Name] = len(merged)
			merged = append(merged, f)
			continue
		}
		merged[i].Type = Widen(merged[i].Type, f.Type)
		merged[i].Nullable = merged[i].Nullable || f.Nullable
	}
	return merged
}

func bytesOnly(t arrow.DataType) bool {
	return t.ID() == arrow.BINARY || t.ID() == arrow.FIXED_SIZE_BINARY
}

// rank orders the numbers by what they hold; decimals stand apart.
var rank = map[arrow.Type]int{arrow.INT32: 1, arrow.INT64: 2, arrow.FLOAT32: 3, arrow.FLOAT64: 4}

func numeric(a, b arrow.DataType) (arrow.DataType, bool) {
	ra, rb := rank[a.ID()], rank[b.ID()]
	da, aDecimal := decimalOf(a)
	db, bDecimal := decimalOf(b)
	switch {
	case ra > 0 && rb > 0:
		wider := a
		if rb > ra {
			wider, ra, rb = b, rb, ra
		}
		if ra == 3 && rb < 3 { // no float holds all ints
			return arrow.PrimitiveTypes.Float64, true
		}
		return wider, true
	case aDecimal && bDecimal:
		scale := max(da.Scale, db.Scale)
		precision := max(da.Precision-da.Scale, db.Precision-db.Scale) + scale
		if precision > 38 {
			return nil, false
		}
		return &arrow.Decimal128Type{Precision: precision, Scale: scale}, true
	case (aDecimal && rb > 2) || (bDecimal && ra > 2):
		return arrow.PrimitiveTypes.Float64, true
	}
	return nil, false
}

// decimalOf is a type as a decimal, if it is one or a whole number beside one.
func decimalOf(t arrow.DataType) (*arrow.Decimal128Type, bool) {
	switch t.ID() {
	case arrow.DECIMAL128:
		return t.(*arrow.Decimal128Type), true
	case arrow.INT32:
		return &arrow.Decimal128Type{Precision: 10}, true
	case arrow.INT64:
		return &arrow.Decimal128Type{Precision: 19}, true
	}
	return nil, false
}

func temporalType(a, b arrow.DataType) (arrow.DataType, bool) {
	if a.ID() == arrow.DATE32 {
		a, b = b, a
	}
	ta, ok := a.(*arrow.TimestampType)
	if !ok {
		return nil, false
	}
	if b.ID() == arrow.DATE32 {
		return ta, ta.TimeZone == ""
	}
	tb, ok := b.(*arrow.TimestampType)
	if !ok || (ta.TimeZone == "") != (tb.TimeZone == "") {
		return nil, false
	}
	if tb.Unit > ta.Unit {
		return tb, true
	}
	return ta, true
}
