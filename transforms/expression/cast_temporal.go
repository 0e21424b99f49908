package expression

import (
	"math"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/transforms/internal/civil"
)

// castTemporal is among date, time, timestamp and timestamptz. A timestamp without a zone is read, and an instant
// written, as UTC.
func castTemporal(from, to arrow.DataType) kernel {
	fk, tk := kindOf(from), kindOf(to)
	switch {
	case fk.isTimestamp() && tk.isTimestamp():
		return castTimestamp(from, to)
	case fk == kindDuration && tk == kindDuration:
		return scaleTime(from, to)
	case fk == kindDate && tk.isTimestamp():
		perDay := perSecond(to) * 86400
		return eachValue(to, func(days int32) (int64, string) {
			v := int64(days) * perDay
			if v/perDay != int64(days) {
				return 0, outOfRange(string(civil.AppendDate(nil, int64(days))), to)
			}
			return v, ""
		})
	case fk.isTimestamp() && tk == kindDate:
		perDay := perSecond(from) * 86400
		return eachValue(to, func(v int64) (int32, string) {
			days := civil.FloorDiv(v, perDay)
			if days < math.MinInt32 || days > math.MaxInt32 {
				return 0, outOfRange(strconv.FormatInt(v, 10), to)
			}
			return int32(days), ""
		})
	case fk.isTimestamp() && tk == kindTime:
		unit := perSecond(from)
		return mapFixed(to, func(v int64) int64 {
			return civil.FloorMod(v, unit*86400) / (unit / civil.MicrosPerSecond)
		})
	}
	return nil
}

func castTimestamp(from, to arrow.DataType) kernel {
	if isNano(from) == isNano(to) {
		return retype(to)
	}
	return scaleTime(from, to)
}

// scaleTime changes between microseconds and nanoseconds; the fraction of a microsecond is cut.
func scaleTime(from, to arrow.DataType) kernel {
	if isNano(from) == isNano(to) {
		return retype(to)
	}
	if isNano(from) {
		return mapFixed(to, func(v int64) int64 { return civil.FloorDiv(v, 1000) })
	}
	return eachValue(to, func(v int64) (int64, string) {
		if v > math.MaxInt64/1000 || v < math.MinInt64/1000 {
			return 0, outOfRange(strconv.FormatInt(v, 10)+" microseconds", to)
		}
		return v * 1000, ""
	})
}

// temporal is + and - over dates, timestamps and durations, and * and / of a duration; nil if the operands do not go
// together. A date and a whole number of days is a date; the difference of two dates is a number of days.
func (c *compiler) temporal(op string, a, b node) node {
	ka, kb := kindOf(a.dataType()), kindOf(b.dataType())
	additive := op == "+" || op == "-"
	switch {
	case op == "+" && (kb.isTemporal() && (ka == kindDuration || ka.isInteger() && kb == kindDate)):
		return c.temporal(op, b, a)
	case additive && ka == kindDate && kb.isInteger():
		return c.dateDays(op, a, b)
	case additive && ka.isTemporal() && kb == kindDuration:
		return c.shifted(op, a, b)
	case op == "-" && ka == kindDate && kb == kindDate:
		return call(typeLong, integerKernel[int64](op, typeLong), c.days(a), c.days(b))
	case op == "-" && ka.isTemporal() && kb.isTemporal():
		if t := commonType(a.dataType(), b.dataType()); t != nil {
			return call(durationOf(t), integerKernel[int64](op, durationOf(t)), c.cast(a, t), c.cast(b, t))
		}
	case additive && ka == kindDuration && kb == kindDuration:
		t := commonType(a.dataType(), b.dataType())
		return call(t, integerKernel[int64](op, t), c.cast(a, t), c.cast(b, t))
	case op == "*" && kb == kindDuration && ka.isInteger():
		return c.temporal(op, b, a)
	case op == "*" && ka == kindDuration && kb.isInteger():
		return call(a.dataType(), integerKernel[int64](op, a.dataType()), a, c.cast(b, typeLong))
	case op == "/" && ka == kindDuration && kb == kindDuration:
		t := commonType(a.dataType(), b.dataType())
		return c.numeric(op, c.ticks(c.cast(a, t)), c.ticks(c.cast(b, t)))
	}
	return nil
}

func durationOf(t arrow.DataType) arrow.DataType {
	if isNano(t) {
		return typeDurationNs
	}
	return typeDuration
}

// ticks is a duration's or timestamp's number.
func (c *compiler) ticks(v node) node { return call(typeLong, retype(typeLong), v) }

// days is a date's number of days.
func (c *compiler) days(v node) node {
	return call(typeLong, mapFixed(typeLong, func(d int32) int64 { return int64(d) }), v)
}

func (c *compiler) dateDays(op string, date, n node) node {
	sum := call(typeLong, integerKernel[int64](op, typeLong), c.days(date), c.cast(n, typeLong))
	return call(typeDate, eachValue(typeDate, func(v int64) (int32, string) {
		if v < math.MinInt32 || v > math.MaxInt32 {
			return 0, overflow
		}
		return int32(v), ""
	}), sum)
}

// shifted is a timestamp moved by a duration; a date becomes a timestamp.
func (c *compiler) shifted(op string, a, d node) node {
	t := a.dataType()
	switch {
	case kindOf(t) == kindDate && isNano(d.dataType()):
		t = &arrow.TimestampType{Unit: arrow.Nanosecond}
	case kindOf(t) == kindDate:
		t = typeTimestamp
	case isNano(d.dataType()) && !isNano(t):
		t = &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: t.(*arrow.TimestampType).TimeZone}
	}
	return call(t, integerKernel[int64](op, t), c.cast(a, t), c.cast(d, durationOf(t)))
}
