package cell

import (
	"math"
	"math/bits"
	"strconv"
	"unsafe"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
)

// ParseLong reads a whole number of 64 bits. Zeros after a point ("5.0") do not harm.
func ParseLong(raw []byte) (int64, bool) {
	digits := raw
	negative := false
	if len(digits) > 0 && (digits[0] == '-' || digits[0] == '+') {
		negative = digits[0] == '-'
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		return parseLongSlow(raw)
	}
	var v int64
	for _, c := range digits {
		if c -= '0'; c > 9 {
			return parseLongSlow(raw)
		}
		v = v*10 + int64(c)
	}
	if negative {
		v = -v
	}
	return v, true
}

func parseLongSlow(raw []byte) (int64, bool) {
	for i, c := range raw {
		if c == '.' && i > 0 && onlyZeros(raw[i+1:]) {
			raw = raw[:i]
			break
		}
	}
	v, err := strconv.ParseInt(str(raw), 10, 64)
	return v, err == nil
}

func onlyZeros(raw []byte) bool {
	for _, c := range raw {
		if c != '0' {
			return false
		}
	}
	return true
}

// ParseDouble reads a decimal number of the given width, NaN, Infinity or inf. A number too large for the width is
// refused; one with more digits is rounded, as floating point is.
func ParseDouble(raw []byte, width int) (float64, bool) {
	switch str(raw) {
	case "NaN", "nan":
		return math.NaN(), true
	case "Infinity", "inf", "Inf", "+Infinity", "+inf":
		return math.Inf(1), true
	case "-Infinity", "-inf", "-Inf":
		return math.Inf(-1), true
	}
	for _, c := range raw {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return 0, false // strconv reads hexadecimal and underscores too
		}
	}
	v, err := strconv.ParseFloat(str(raw), width)
	return v, err == nil
}

// ParseDecimal reads a decimal number exactly: digits below the scale must be zeros.
func ParseDecimal(raw []byte, precision, scale int32) (decimal128.Num, bool) {
	n, ok := scanDecimal(raw)
	if !ok {
		return decimal128.Num{}, false
	}
	for ; n.scale > int64(scale); n.scale-- { // ends soon: at most 38 digits
		if n.zero() {
			n.scale = int64(scale)
			break
		}
		if !n.dropZero() {
			return decimal128.Num{}, false
		}
	}
	for ; n.scale < int64(scale); n.scale++ {
		if n.zero() {
			break
		}
		if !n.push(0) {
			return decimal128.Num{}, false
		}
	}
	v := decimal128.New(int64(n.hi), n.lo)
	if !v.FitsInPrecision(precision) {
		return decimal128.Num{}, false
	}
	if n.negative {
		v = v.Negate()
	}
	return v, true
}

// digits is an unsigned number of 127 bits with a sign and a decimal scale.
type digits struct {
	hi, lo   uint64
	scale    int64
	negative bool
}

func (d *digits) zero() bool { return d.hi|d.lo == 0 }

// push appends a decimal digit; false when it no longer fits.
func (d *digits) push(digit uint64) bool {
	over, hi := bits.Mul64(d.hi, 10)
	carry, lo := bits.Mul64(d.lo, 10)
	lo, c := bits.Add64(lo, digit, 0)
	hi, c = bits.Add64(hi, carry, c)
	if over != 0 || c != 0 || hi > math.MaxInt64 {
		return false
	}
	d.hi, d.lo = hi, lo
	return true
}

// dropZero takes the last digit off if it is a zero.
func (d *digits) dropZero() bool {
	hi, rest := d.hi/10, d.hi%10
	lo, rest := bits.Div64(rest, d.lo, 10)
	if rest != 0 {
		return false
	}
	d.hi, d.lo = hi, lo
	return true
}

func scanDecimal(raw []byte) (n digits, ok bool) {
	i, seen, point := 0, 0, false
	if i < len(raw) && (raw[i] == '-' || raw[i] == '+') {
		n.negative = raw[i] == '-'
		i++
	}
	pending := int64(0) // zeros at the end, not pushed: they may lie below any scale
	for ; i < len(raw); i++ {
		c := raw[i]
		switch {
		case c == '.' && !point:
			point = true
			continue
		case c == '0' && point:
			pending++
			seen++
			continue
		case c-'0' > 9:
			if seen == 0 || c != 'e' && c != 'E' {
				return n, false
			}
			exponent, err := strconv.ParseInt(str(raw[i+1:]), 10, 32)
			n.scale -= exponent
			return n, err == nil
		}
		seen++
		for ; pending > 0; pending-- {
			if !n.push(0) {
				return n, false
			}
			n.scale++
		}
		if !n.push(uint64(c - '0')) {
			return n, false
		}
		if point {
			n.scale++
		}
	}
	return n, seen > 0
}

// ParseBoolean reads true and false, t and f, yes and no, y and n, 1 and 0, in any case of letters.
func ParseBoolean(raw []byte) (value, ok bool) {
	var low [5]byte
	if len(raw) > len(low) {
		return false, false
	}
	for i, c := range raw {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		low[i] = c
	}
	switch string(low[:len(raw)]) {
	case "true", "t", "yes", "y", "1":
		return true, true
	case "false", "f", "no", "n", "0":
		return false, true
	}
	return false, false
}

// str is raw as a string without a copy; it must not outlive the call that it is made for.
func str(raw []byte) string { return unsafe.String(unsafe.SliceData(raw), len(raw)) }
