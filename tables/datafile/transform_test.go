package datafile

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// literalOf is the Iceberg literal of one value, the way iceberg-go's own transforms take it.
func literalOf(t testing.TB, typ iceberg.Type, a arrow.Array, i int) iceberg.Literal {
	t.Helper()
	bind, err := bindIdentity(typ)
	require.NoError(t, err)
	switch v := bind(a, a.IsNull).value(i).(type) {
	case bool:
		return iceberg.NewLiteral(v)
	case int32:
		return iceberg.NewLiteral(v)
	case int64:
		return iceberg.NewLiteral(v)
	case iceberg.Date:
		return iceberg.NewLiteral(v)
	case iceberg.Time:
		return iceberg.NewLiteral(v)
	case iceberg.Timestamp:
		return iceberg.NewLiteral(v)
	case iceberg.TimestampNano:
		return iceberg.NewLiteral(v)
	case iceberg.Decimal:
		return iceberg.NewLiteral(v)
	case string:
		return iceberg.NewLiteral(v)
	case []byte:
		return iceberg.NewLiteral(v)
	default:
		lit, err := iceberg.LiteralFromBytes(typ, bytesAt(a)(i))
		require.NoError(t, err)
		return lit
	}
}

// Every transform of every type gives what iceberg-go's scalar transforms give, value by value.
func TestTransformsAgreeWithIcebergGo(t *testing.T) {
	p := iceberg.PrimitiveTypes
	types := []iceberg.Type{p.Bool, p.Int32, p.Int64, p.Date, p.Time, p.Timestamp, p.TimestampTz, p.TimestampNs, p.TimestampTzNs,
		p.String, p.Binary, p.UUID, iceberg.FixedTypeOf(7), iceberg.DecimalTypeOf(9, 2), iceberg.DecimalTypeOf(18, 0), iceberg.DecimalTypeOf(38, 5)}
	transforms := []iceberg.Transform{iceberg.IdentityTransform{}, iceberg.VoidTransform{}, iceberg.BucketTransform{NumBuckets: 16},
		iceberg.BucketTransform{NumBuckets: 7}, iceberg.TruncateTransform{Width: 3}, iceberg.TruncateTransform{Width: 100},
		iceberg.YearTransform{}, iceberg.MonthTransform{}, iceberg.DayTransform{}, iceberg.HourTransform{}}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, typ := range types {
		at, err := table.TypeToArrowType(typ, false, false)
		require.NoError(t, err)
		batch := randomBatch(t, rng, arrow.NewSchema([]arrow.Field{{Name: "x", Type: at, Nullable: true}}, nil), 400)
		a := batch.Column(0)
		for _, tr := range transforms {
			bind, err := bindTransform(tr, typ)
			_, hour := tr.(iceberg.HourTransform)
			if _, date := typ.(iceberg.DateType); !tr.CanTransform(typ) || hour && date {
				require.Error(t, err, "%s of %s", tr, typ)
				continue
			}
			require.NoError(t, err, "%s of %s", tr, typ)
			k := bind(a, a.IsNull)
			for i := range a.Len() {
				if a.IsNull(i) {
					require.True(t, k.null(i))
					continue
				}
				want := tr.Apply(iceberg.Optional[iceberg.Literal]{Valid: true, Val: literalOf(t, typ, a, i)})
				require.Equal(t, want.Valid, !k.null(i), "%s of %s", tr, typ)
				if !want.Valid {
					continue
				}
				require.EqualValues(t, want.Val.Any(), k.value(i), "%s of %s %s", tr, typ, a.ValueStr(i))
			}
		}
	}
}

func TestTransformsOfEarlyTimes(t *testing.T) {
	const hour, day = 3_600_000_000, 86_400_000_000
	cases := []struct {
		micros                   int64
		year, month, days, hours int32
	}{
		{0, 0, 0, 0, 0}, {-1, -1, -1, -1, -1}, {hour, 0, 0, 0, 1}, {-hour, -1, -1, -1, -1}, {-hour - 1, -1, -1, -1, -2},
		{-31 * day, -1, -1, -31, -31 * 24}, {-31*day - 1, -1, -2, -32, -31*24 - 1},
		{-365 * day, -1, -12, -365, -365 * 24}, {-365*day - 1, -2, -13, -366, -365*24 - 1},
		{59 * day, 0, 2, 59, 59 * 24},
		{-719162 * day, -1969, -1969 * 12, -719162, -719162 * 24}, // 0001-01-01
	}
	b := array.NewTimestampBuilder(allocator, &arrow.TimestampType{Unit: arrow.Microsecond})
	for _, c := range cases {
		b.Append(arrow.Timestamp(c.micros))
	}
	a := b.NewArray()
	for name, tr := range map[string]iceberg.Transform{"year": iceberg.YearTransform{}, "month": iceberg.MonthTransform{}, "day": iceberg.DayTransform{}, "hour": iceberg.HourTransform{}} {
		bind, err := bindTransform(tr, iceberg.PrimitiveTypes.Timestamp)
		require.NoError(t, err)
		k := bind(a, a.IsNull)
		for i, c := range cases {
			want := map[string]any{"year": c.year, "month": c.month, "day": iceberg.Date(c.days), "hour": c.hours}[name]
			require.Equal(t, want, k.value(i), "%s of %d", name, c.micros)
		}
	}
}

func TestTransformErrors(t *testing.T) {
	for _, c := range []struct {
		tr  iceberg.Transform
		typ iceberg.Type
	}{
		{iceberg.BucketTransform{NumBuckets: 4}, iceberg.PrimitiveTypes.Float64},
		{iceberg.TruncateTransform{Width: 4}, iceberg.PrimitiveTypes.UUID},
		{iceberg.DayTransform{}, iceberg.PrimitiveTypes.String},
		{iceberg.IdentityTransform{}, &iceberg.ListType{ElementID: 2, Element: iceberg.PrimitiveTypes.Int32}},
	} {
		_, err := bindTransform(c.tr, c.typ)
		require.ErrorContains(t, err, "does not apply", "%s of %s", c.tr, c.typ)
	}
}

// Keys order as values do, whatever the type.
func TestKeysOrderAsFloatsDo(t *testing.T) {
	ascending := []float64{math.Copysign(math.NaN(), -1), math.Inf(-1), -math.MaxFloat64, -1, -math.SmallestNonzeroFloat64,
		math.Copysign(0, -1), 0, math.SmallestNonzeroFloat64, 1, math.MaxFloat64, math.Inf(1), math.NaN()}
	for i := 1; i < len(ascending); i++ {
		require.Less(t, floatBits(ascending[i-1]), floatBits(ascending[i]), "%v %v", ascending[i-1], ascending[i])
	}
}
