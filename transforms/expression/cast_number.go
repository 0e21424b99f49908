package expression

import (
	"fmt"
	"math"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// castNumber is among int, long, float, double and decimal. A fraction is cut where the target has none, and rounded
// half up where it has a shorter one; a value out of the target's range is a fault.
func castNumber(from, to arrow.DataType) kernel {
	switch kindOf(to) {
	case kindInt:
		return toInteger[int32](from, to, math.MinInt32, math.MaxInt32)
	case kindLong:
		return toInteger[int64](from, to, math.MinInt64, math.MaxInt64)
	case kindFloat:
		return toFloat[float32](from, to)
	case kindDouble:
		return toFloat[float64](from, to)
	}
	return toDecimal(from, to.(*arrow.Decimal128Type))
}

func outOfRange(v string, to arrow.DataType) string {
	return fmt.Sprintf("%s is out of the range of %s", v, typeName(to))
}

func toInteger[T int32 | int64](from, to arrow.DataType, low, high int64) kernel {
	narrow := func(v int64) (T, string) {
		if v < low || v > high {
			return 0, outOfRange(strconv.FormatInt(v, 10), to)
		}
		return T(v), ""
	}
	truncate := func(f float64) (T, string) {
		f = math.Trunc(f)
		// float64(MaxInt64) is 2^63, which is already too large; MinInt64 is exact.
		if f != f || f < float64(low) || f > float64(high) || high == math.MaxInt64 && f >= math.MaxInt64 {
			return 0, outOfRange(strconv.FormatFloat(f, 'g', -1, 64), to)
		}
		return T(f), ""
	}
	switch from := from.(type) {
	case *arrow.Int32Type:
		return mapFixed(to, func(v int32) T { return T(v) })
	case *arrow.Int64Type:
		return eachValue(to, narrow)
	case *arrow.Float32Type:
		return eachValue(to, func(v float32) (T, string) { return truncate(float64(v)) })
	case *arrow.Float64Type:
		return eachValue(to, truncate)
	case *arrow.Decimal128Type:
		return eachValue(to, func(v decimal128.Num) (T, string) {
			m, negative := magnitudeOf(v)
			whole := m.truncate(from.Scale).signed(negative)
			if !isSmall(whole) {
				return 0, outOfRange(v.ToString(from.Scale), to)
			}
			return narrow(int64(whole.LowBits()))
		})
	}
	return nil
}

func toFloat[T float32 | float64](from, to arrow.DataType) kernel {
	switch from := from.(type) {
	case *arrow.Int32Type:
		return mapFixed(to, func(v int32) T { return T(v) })
	case *arrow.Int64Type:
		return mapFixed(to, func(v int64) T { return T(v) })
	case *arrow.Float32Type:
		return mapFixed(to, func(v float32) T { return T(v) })
	case *arrow.Float64Type:
		return eachValue(to, func(v float64) (T, string) {
			if out := T(v); !math.IsInf(float64(out), 0) || math.IsInf(v, 0) {
				return out, ""
			}
			return 0, outOfRange(strconv.FormatFloat(v, 'g', -1, 64), to)
		})
	case *arrow.Decimal128Type:
		return mapFixed(to, func(v decimal128.Num) T { return T(decimalToDouble(v, from.Scale)) })
	}
	return nil
}

// decimalToDouble is the double nearest to a decimal.
func decimalToDouble(v decimal128.Num, scale int32) float64 {
	// Both are exact doubles, so one division rounds once (Clinger's fast path).
	if isSmall(v) && scale <= 22 {
		if i := int64(v.LowBits()); i > -(1<<53) && i < 1<<53 {
			return float64(i) / math.Pow10(int(scale))
		}
	}
	f, _ := strconv.ParseFloat(v.ToString(scale), 64) // at most 38 digits: always in range
	return f
}

func toDecimal(from arrow.DataType, to *arrow.Decimal128Type) kernel {
	integer := func(v int64) (decimal128.Num, string) {
		n, ok := rescale(decimal128.FromI64(v), 0, to)
		if !ok {
			return n, outOfRange(strconv.FormatInt(v, 10), to)
		}
		return n, ""
	}
	floating := func(bits int) func(v float64) (decimal128.Num, string) {
		return func(v float64) (decimal128.Num, string) { return floatToDecimal(v, bits, to) }
	}
	switch from := from.(type) {
	case *arrow.Int32Type:
		return eachValue(to, func(v int32) (decimal128.Num, string) { return integer(int64(v)) })
	case *arrow.Int64Type:
		return eachValue(to, integer)
	case *arrow.Float32Type:
		return eachValue(to, func(v float32) (decimal128.Num, string) { return floating(32)(float64(v)) })
	case *arrow.Float64Type:
		return eachValue(to, floating(64))
	case *arrow.Decimal128Type:
		return eachValue(to, func(v decimal128.Num) (decimal128.Num, string) {
			n, ok := rescale(v, from.Scale, to)
			if !ok {
				return n, outOfRange(v.ToString(from.Scale), to)
			}
			return n, ""
		})
	}
	return nil
}

// floatToDecimal rounds the shortest decimal that names the float, so that 1.005 becomes 1.01 at two digits.
func floatToDecimal(v float64, bits int, to *arrow.Decimal128Type) (decimal128.Num, string) {
	text := strconv.FormatFloat(v, 'g', -1, bits)
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return decimal128.Num{}, outOfRange(text, to)
	}
	value, scale, ok := parseDecimal(text)
	if !ok {
		return decimal128.Num{}, outOfRange(text, to)
	}
	n, ok := roundBig(value, scale, to)
	if !ok {
		return n, outOfRange(text, to)
	}
	return n, ""
}
