package planning

import (
	"fmt"
	"math"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/datafile"
)

// Of every value near the ends of a whole number's type, and around 0, the partition as engines write it passes what a predicate that
// holds for the value comes to for partitions; and what they write is not let through where it need not be.
func TestTruncatedWholeNumbersComeRound(t *testing.T) {
	ops := map[iceberg.Operation]func(v, c int64) bool{
		iceberg.OpLT: func(v, c int64) bool { return v < c }, iceberg.OpLTEQ: func(v, c int64) bool { return v <= c },
		iceberg.OpGT: func(v, c int64) bool { return v > c }, iceberg.OpGTEQ: func(v, c int64) bool { return v >= c },
		iceberg.OpEQ: func(v, c int64) bool { return v == c },
	}
	ints, longs := []int64{}, []int64{}
	for d := range int64(12) {
		ints = append(ints, math.MinInt32+d, math.MaxInt32-d, d-6)
		longs = append(longs, math.MinInt64+d, math.MaxInt64-d, math.MinInt32+d)
	}
	longs = append(longs, ints...)
	as32 := func(v, w int64) int64 { x, w32 := int32(v), int32(w); return int64(x - ((x%w32)+w32)%w32) } // as Java writes it
	as64 := func(v, w int64) int64 { return v - ((v%w)+w)%w }
	for _, c := range []struct {
		of     iceberg.Type
		values []int64
		wrote  []func(v, w int64) int64
	}{
		{iceberg.PrimitiveTypes.Int32, ints, []func(v, w int64) int64{as32}},
		{iceberg.PrimitiveTypes.Int64, longs, []func(v, w int64) int64{as64, as32}}, // promoted since
	} {
		for _, width := range []int64{1, 2, 3, 8, 10, 1 << 30} {
			left := 0
			for _, constant := range c.values {
				for op, holds := range ops {
					for i, wrote := range c.wrote {
						values, parts := []int64{}, []int64{}
						for _, v := range c.values {
							if i == 0 || v == int64(int32(v)) {
								values, parts = append(values, v), append(parts, wrote(v, width))
							}
						}
						for n, kept := range projected(t, c.of, width, op, constant, parts) {
							require.True(t, kept || !holds(values[n], constant), "%s truncate(%d): %d %s %d, partition %d", c.of, width, values[n], op, constant, parts[n])
							if !kept {
								left++
							}
						}
					}
				}
			}
			require.Positive(t, left)
		}
	}
	require.Nil(t, projectOne(iceberg.PartitionField{Name: "p", Transform: iceberg.TruncateTransform{Width: 1<<30 + 1}}, bound(t, iceberg.PrimitiveTypes.Int32, iceberg.OpGT, 5)))
}

func bound(t *testing.T, of iceberg.Type, op iceberg.Operation, constant int64) iceberg.BoundPredicate {
	t.Helper()
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "v", Type: of})
	var l iceberg.Literal = iceberg.NewLiteral(constant)
	if of == iceberg.PrimitiveTypes.Int32 {
		l = iceberg.NewLiteral(int32(constant))
	}
	p, err := iceberg.BindExpr(schema, iceberg.LiteralPredicate(op, iceberg.Reference("v"), l), true)
	require.NoError(t, err)
	out, ok := p.(iceberg.BoundPredicate)
	require.True(t, ok, fmt.Sprint(p))
	return out
}

// projected tells of partitions whether a predicate lets them through.
func projected(t *testing.T, of iceberg.Type, width int64, op iceberg.Operation, constant int64, parts []int64) []bool {
	t.Helper()
	keep, values := make([]bool, len(parts)), make([]any, len(parts))
	for i, v := range parts {
		keep[i], values[i] = true, v
		if of == iceberg.PrimitiveTypes.Int32 {
			values[i] = int32(v)
		}
	}
	part := iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1000, Name: "p", Transform: iceberg.TruncateTransform{Width: int(width)}}
	expr := projectOne(part, bound(t, of, op, constant))
	if expr == nil {
		return keep
	}
	condition, err := datafile.NewCondition(iceberg.NewSchema(0, iceberg.NestedField{ID: 1000, Name: "p", Type: of}), expr)
	require.NoError(t, err)
	condition.Narrow(keep, func(iceberg.NestedField) *datafile.Bounds { return datafile.NewValues(of, values) })
	return keep
}
