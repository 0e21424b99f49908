package civil

import "strconv"

// AppendDate appends 2024-01-31.
func AppendDate(dst []byte, days int64) []byte {
	year, month, day := Date(days)
	if year < 0 {
		dst, year = append(dst, '-'), -year
	}
	dst = appendPadded(dst, year, 4)
	dst = appendPadded(append(dst, '-'), int64(month), 2)
	return appendPadded(append(dst, '-'), int64(day), 2)
}

// AppendTime appends 12:30:00 or, with a fraction, 12:30:00.5; perSecond is the unit of v.
func AppendTime(dst []byte, v, perSecond int64) []byte {
	seconds := v / perSecond
	dst = appendPadded(dst, seconds/3600, 2)
	dst = appendPadded(append(dst, ':'), seconds/60%60, 2)
	dst = appendPadded(append(dst, ':'), seconds%60, 2)
	fraction := v % perSecond
	if fraction == 0 {
		return dst
	}
	dst = append(dst, '.')
	width := len(strconv.FormatInt(perSecond, 10)) - 1
	dst = appendPadded(dst, fraction, width)
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// AppendTimestamp appends 2024-01-31 12:30:00 with sep between date and time; perSecond is the unit of v.
func AppendTimestamp(dst []byte, v, perSecond int64, sep byte) []byte {
	perDay := perSecond * 86400
	days := FloorDiv(v, perDay)
	dst = append(AppendDate(dst, days), sep)
	return AppendTime(dst, v-days*perDay, perSecond)
}

func appendPadded(dst []byte, v int64, width int) []byte {
	var digits [20]byte
	i := len(digits)
	for v > 0 || i > len(digits)-width {
		i--
		digits[i] = byte('0' + v%10)
		v /= 10
	}
	return append(dst, digits[i:]...)
}
