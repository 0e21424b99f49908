package sql

import "github.com/apache/arrow-go/v18/arrow"

// unreadable says why DuckDB cannot read a column of type t, "" if it can.
func unreadable(t arrow.DataType) string {
	switch t := t.(type) {
	case *arrow.TimestampType:
		if t.Unit == arrow.Nanosecond && t.TimeZone != "" {
			return "DuckDB has timestamps with time zone in microseconds only"
		}
	case *arrow.Float16Type, *arrow.Decimal256Type:
		return "DuckDB has no such type"
	case arrow.NestedType:
		for _, field := range t.Fields() {
			if reason := unreadable(field.Type); reason != "" {
				return reason
			}
		}
	}
	return ""
}

// sameLayout holds if values of type a can be read as b: names, nullability and metadata within do not matter.
func sameLayout(a, b arrow.DataType) bool {
	if arrow.TypeEqual(a, b) {
		return true
	}
	if a.ID() != b.ID() {
		return false
	}
	x, nested := a.(arrow.NestedType)
	y, _ := b.(arrow.NestedType)
	if !nested || y == nil || len(x.Fields()) != len(y.Fields()) {
		return false
	}
	if m, ok := a.(*arrow.FixedSizeListType); ok && m.Len() != b.(*arrow.FixedSizeListType).Len() {
		return false
	}
	if _, ok := a.(arrow.UnionType); ok {
		return false
	}
	for i, field := range x.Fields() {
		if !sameLayout(field.Type, y.Fields()[i].Type) {
			return false
		}
	}
	return true
}

// cheapestFirst orders columns by their number, but for the one that costs least to read, which comes first.
func cheapestFirst(schema *arrow.Schema, refused []error) []int {
	best, least := 0, 1<<30
	for i, field := range schema.Fields() {
		cost := 1 << 20
		if fixed, ok := storageType(field.Type).(arrow.FixedWidthDataType); ok {
			cost = fixed.BitWidth()
		} else if _, nested := field.Type.(arrow.NestedType); nested {
			cost = 1 << 24
		}
		if cost < least && refused[i] == nil {
			best, least = i, cost
		}
	}
	order := []int{best}
	for i := range schema.NumFields() {
		if i != best {
			order = append(order, i)
		}
	}
	return order
}
