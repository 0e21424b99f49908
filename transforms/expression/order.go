package expression

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"

	"github.com/varve-lake/varve/transforms/internal/vector"
)

// elementOrder compares two valid elements of one array by their places.
func elementOrder(t arrow.DataType, arr arrow.Array) func(i, j int) int {
	switch kindOf(t) {
	case kindInt, kindDate:
		return orderBy(vector.Values[int32](arr))
	case kindLong, kindTime, kindTimestamp, kindTimestampTz, kindDuration:
		return orderBy(vector.Values[int64](arr))
	case kindFloat:
		return orderBy(keys(vector.Values[float32](arr), orderedFloat32))
	case kindDouble:
		return orderBy(keys(vector.Values[float64](arr), orderedFloat64))
	case kindDecimal:
		in := vector.Values[decimal128.Num](arr)
		return func(i, j int) int { return in[i].Cmp(in[j]) }
	case kindBool:
		in := vector.Bools(arr)
		return func(i, j int) int { return int(bit(in.Get(i))) - int(bit(in.Get(j))) }
	case kindString, kindBinary, kindFixed, kindUUID:
		read := bytesReader(arr)
		return func(i, j int) int { return bytes.Compare(read(i), read(j)) }
	}
	return func(int, int) int { return 0 }
}

func orderBy[T cmp.Ordered](values []T) func(i, j int) int {
	return func(i, j int) int { return cmp.Compare(values[i], values[j]) }
}

// nullsOwned is nulls that a kernel hands over to its caller.
func (ev *evaluation) nullsOwned(t arrow.DataType, n int) arrow.Array {
	arr := ev.nulls(t, n)
	arr.Retain()
	return arr
}

// sortAny sorts values of one type of the VM's.
func sortAny(values []any) {
	slices.SortFunc(values, func(a, b any) int {
		switch a := a.(type) {
		case int:
			if b, ok := b.(int); ok {
				return cmp.Compare(a, b)
			}
		case float64:
			if b, ok := b.(float64); ok {
				return cmp.Compare(a, b)
			}
		case time.Time:
			if b, ok := b.(time.Time); ok {
				return a.Compare(b)
			}
		}
		return cmp.Compare(fmt.Sprint(a), fmt.Sprint(b))
	})
}
