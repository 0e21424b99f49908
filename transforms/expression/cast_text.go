package expression

import (
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/google/uuid"

	"github.com/varve-lake/varve/transforms/internal/civil"
	"github.com/varve-lake/varve/transforms/internal/render"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// castFromText reads text as a value. Blanks around it do not matter; text that is no value is a fault.
func castFromText(to arrow.DataType) kernel {
	switch kindOf(to) {
	case kindBool:
		return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
			in := vector.TextsOf(args[0].arr)
			return computeBools(n, ev.valid(args, n), func(i int) (bool, string) { return parseBool(in.At(i)) })
		}
	case kindInt:
		return parsed(to, integerParser[int32](to))
	case kindLong:
		return parsed(to, integerParser[int64](to))
	case kindFloat:
		return parsed(to, func(s string) (float32, bool) { f, ok := parseFloat(s, 32); return float32(f), ok })
	case kindDouble:
		return parsed(to, func(s string) (float64, bool) { return parseFloat(s, 64) })
	case kindDecimal:
		return parsed(to, decimalParser(to.(*arrow.Decimal128Type)))
	case kindDate:
		return parsed(to, func(s string) (int32, bool) { d, ok := civil.ParseDate(s); return int32(d), ok })
	case kindTime:
		return parsed(to, func(s string) (int64, bool) { t, ok := civil.ParseTime(s); return t / 1000, ok })
	case kindTimestamp, kindTimestampTz:
		return parsed(to, timestampParser(to))
	case kindDuration:
		return parsed(to, durationParser(to))
	case kindUUID:
		return parsed(to, parseUUID)
	}
	return textToBytes(to)
}

// parsed casts by a parser of text.
func parsed[T vector.Fixed](to arrow.DataType, parse func(string) (T, bool)) kernel {
	return eachFixed(to, func(arr arrow.Array) func(int) (T, string) {
		in := vector.TextsOf(arr)
		return func(i int) (T, string) {
			v, ok := parse(in.At(i))
			if !ok {
				return v, malformed(in.At(i), to)
			}
			return v, ""
		}
	})
}

// malformed says that text is not a value of a type, quoting its beginning.
func malformed(s string, to arrow.DataType) string {
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "…"
	}
	return fmt.Sprintf("%q is not %s", s, withArticle(to))
}

func parseBool(s string) (bool, string) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "t", "yes", "y", "1":
		return true, ""
	case "false", "f", "no", "n", "0":
		return false, ""
	}
	return false, malformed(s, typeBool)
}

func parseInt(s string) (int64, bool) {
	v, err := strconv.ParseInt(s, 10, 64)
	return v, err == nil
}

// integerParser reads whole numbers; 12.0 is one, 12.5 is not.
func integerParser[T int32 | int64](to arrow.DataType) func(string) (T, bool) {
	bits := 64
	if kindOf(to) == kindInt {
		bits = 32
	}
	return func(s string) (T, bool) {
		s = strings.TrimSpace(s)
		if v, err := strconv.ParseInt(s, 10, bits); err == nil {
			return T(v), true
		}
		value, scale, ok := parseDecimal(s)
		if !ok {
			return 0, false
		}
		whole := value
		if scale > 0 {
			var rest *big.Int
			if whole, rest = new(big.Int).QuoRem(value, bigPower(scale), new(big.Int)); rest.Sign() != 0 {
				return 0, false
			}
		} else if scale < 0 {
			whole = new(big.Int).Mul(value, bigPower(-scale))
		}
		v := T(whole.Int64())
		return v, whole.IsInt64() && int64(v) == whole.Int64()
	}
}

func parseFloat(s string, bits int) (float64, bool) {
	s = strings.TrimSpace(s)
	if strings.ContainsAny(s, "xXpP_") {
		return 0, false
	}
	v, err := strconv.ParseFloat(s, bits)
	return v, err == nil
}

func decimalParser(to *arrow.Decimal128Type) func(string) (decimal128.Num, bool) {
	return func(s string) (decimal128.Num, bool) {
		value, scale, ok := parseDecimal(strings.TrimSpace(s))
		if !ok {
			return decimal128.Num{}, false
		}
		return roundBig(value, scale, to)
	}
}

// perSecond is the unit of a timestamp or duration type.
func perSecond(t arrow.DataType) int64 {
	if isNano(t) {
		return 1_000_000_000
	}
	return civil.MicrosPerSecond
}

func timestampParser(to arrow.DataType) func(string) (int64, bool) {
	unit := perSecond(to)
	return func(s string) (int64, bool) {
		t, ok := civil.ParseTimestamp(s)
		if !ok {
			return 0, false
		}
		return t.Value(unit)
	}
}

func parseUUID(s string) (out [16]byte, ok bool) {
	id, err := uuid.Parse(strings.TrimSpace(s))
	return id, err == nil
}

func textToBytes(to arrow.DataType) kernel {
	switch kindOf(to) {
	case kindBinary:
		return retype(to)
	case kindFixed:
		return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
			in := vector.TextsOf(args[0].arr)
			return fixedBytes(to, n, ev.valid(args, n), func(i int) ([]byte, string) { return in.Bytes(i), "" })
		}
	}
	return nil
}

// castToText writes values as DuckDB does, so that a key is the same in an expression and in SQL.
func castToText(from arrow.DataType) kernel {
	if kindOf(from) == kindBinary || kindOf(from) == kindFixed {
		return bytesToText
	}
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		write := render.Text(args[0].arr)
		return computeTexts(typeString, n, 12*n, ev.valid(args, n), func(dst []byte, i int) ([]byte, string) {
			return write(dst, i), ""
		})
	}
}

func bytesToText(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	read := bytesReader(args[0].arr)
	return computeTexts(typeString, n, 16*n, ev.valid(args, n), func(dst []byte, i int) ([]byte, string) {
		b := read(i)
		if !utf8.Valid(b) {
			return dst, "the bytes are not valid UTF-8"
		}
		return append(dst, b...), ""
	})
}

// durationParser reads Go's notation, also with w and d: 1d12h, 90m, 1.5s.
func durationParser(to arrow.DataType) func(string) (int64, bool) {
	perNano := 1_000_000_000 / perSecond(to)
	return func(s string) (int64, bool) {
		nanos, ok := parseDuration(strings.TrimSpace(s))
		return nanos / perNano, ok
	}
}

var durationUnits = []struct {
	name  string
	nanos float64
}{
	{"ns", 1}, {"us", 1e3}, {"µs", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9}, {"w", 7 * 86400e9},
}

func parseDuration(s string) (int64, bool) {
	negative := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(strings.TrimPrefix(s, "-"), "+")
	if s == "" {
		return 0, false
	}
	var total float64
	for s != "" {
		end := strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if end <= 0 {
			return 0, false
		}
		v, err := strconv.ParseFloat(s[:end], 64)
		if err != nil {
			return 0, false
		}
		s = s[end:]
		unit := strings.IndexFunc(s, func(r rune) bool { return r >= '0' && r <= '9' || r == '.' })
		if unit < 0 {
			unit = len(s)
		}
		nanos, ok := durationUnit(s[:unit])
		if !ok {
			return 0, false
		}
		total += v * nanos
		s = s[unit:]
	}
	if negative {
		total = -total
	}
	return int64(math.Round(total)), math.Abs(total) < math.MaxInt64
}

func durationUnit(name string) (float64, bool) {
	for _, u := range durationUnits {
		if u.name == name {
			return u.nanos, true
		}
	}
	return 0, false
}
