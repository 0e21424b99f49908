package civil

import (
	"math"
	"strings"
)

// scanner reads digits and signs from the left.
type scanner struct {
	s  string
	at int
}

// digits reads from low to high digits; ok is false if there are fewer.
func (c *scanner) digits(low, high int) (v int64, n int, ok bool) {
	for c.at < len(c.s) && n < high && c.s[c.at] >= '0' && c.s[c.at] <= '9' {
		v = v*10 + int64(c.s[c.at]-'0')
		c.at++
		n++
	}
	return v, n, n >= low
}

func (c *scanner) take(b byte) bool {
	if c.at < len(c.s) && c.s[c.at] == b {
		c.at++
		return true
	}
	return false
}

func (c *scanner) done() bool { return c.at == len(c.s) }

// ParseDate reads 2024-01-31, 2024-1-31 or 20240131.
func ParseDate(s string) (days int64, ok bool) {
	c := scanner{s: strings.TrimSpace(s)}
	days, ok = c.date()
	return days, ok && c.done()
}

func (c *scanner) date() (int64, bool) {
	negative := c.take('-')
	year, width, ok := c.digits(4, 8)
	if !ok {
		return 0, false
	}
	if width == 8 && !negative {
		return validDate(year/10000, year/100%100, year%100)
	}
	if width > 6 || !c.take('-') {
		return 0, false
	}
	month, _, okMonth := c.digits(1, 2)
	dash := c.take('-')
	day, _, okDay := c.digits(1, 2)
	if negative {
		year = -year
	}
	if !okMonth || !dash || !okDay {
		return 0, false
	}
	return validDate(year, month, day)
}

func validDate(year, month, day int64) (int64, bool) {
	if month < 1 || month > 12 || day < 1 || int(day) > DaysIn(year, int(month)) {
		return 0, false
	}
	days := Days(year, int(month), int(day))
	return days, days >= math.MinInt32 && days <= math.MaxInt32
}

// ParseTime reads 12:30, 12:30:00 or 12:30:00.123456, in nanoseconds; further digits are cut.
func ParseTime(s string) (nanos int64, ok bool) {
	c := scanner{s: strings.TrimSpace(s)}
	nanos, ok = c.time()
	return nanos, ok && c.done()
}

func (c *scanner) time() (int64, bool) {
	hour, _, ok := c.digits(1, 2)
	if !ok || hour > 23 || !c.take(':') {
		return 0, false
	}
	minute, _, ok := c.digits(2, 2)
	if !ok || minute > 59 {
		return 0, false
	}
	total := (hour*60 + minute) * 60
	if !c.take(':') {
		return total * 1_000_000_000, true
	}
	second, _, ok := c.digits(2, 2)
	if !ok || second > 59 {
		return 0, false
	}
	fraction := int64(0)
	if c.take('.') || c.take(',') {
		v, n, some := c.digits(1, 9)
		if !some {
			return 0, false
		}
		for ; n < 9; n++ {
			v *= 10
		}
		fraction = v
		c.digits(0, 20)
	}
	return (total+second)*1_000_000_000 + fraction, true
}

// Timestamp is a parsed date and time.
type Timestamp struct {
	Days      int64 // of the date, as written
	Nanos     int64 // of the time of the day, as written
	HasOffset bool
	Offset    int64 // seconds east of UTC
}

// ParseTimestamp reads a date, or a date and a time with a T or a space between, and then nothing, Z, UTC or an offset
// such as +02, +0200 or +02:00.
func ParseTimestamp(s string) (t Timestamp, ok bool) {
	c := scanner{s: strings.TrimSpace(s)}
	if t.Days, ok = c.date(); !ok {
		return t, false
	}
	if c.done() {
		return t, true
	}
	if !c.take('T') && !c.take('t') && !c.take(' ') {
		return t, false
	}
	if t.Nanos, ok = c.time(); !ok {
		return t, false
	}
	t.HasOffset, t.Offset, ok = c.offset()
	return t, ok && c.done()
}

func (c *scanner) offset() (has bool, seconds int64, ok bool) {
	c.take(' ')
	switch {
	case c.done():
		return false, 0, true
	case c.take('Z'), c.take('z'):
		return true, 0, true
	case strings.HasPrefix(c.s[c.at:], "UTC"):
		c.at += len("UTC")
		return true, 0, true
	}
	sign := int64(1)
	if c.take('-') {
		sign = -1
	} else if !c.take('+') {
		return false, 0, false
	}
	hour, _, ok := c.digits(2, 2)
	if !ok || hour > 18 {
		return false, 0, false
	}
	c.take(':')
	minute, n, _ := c.digits(0, 2)
	if n == 1 || minute > 59 {
		return false, 0, false
	}
	return true, sign * (hour*3600 + minute*60), true
}

// Value is the timestamp in UTC in units of a second's perSecond-th part; ok is false if 64 bits cannot hold it. A
// timestamp without an offset is read as UTC.
func (t Timestamp) Value(perSecond int64) (v int64, ok bool) {
	perDay := perSecond * 86400
	if t.Days > math.MaxInt64/perDay-2 || t.Days < math.MinInt64/perDay+2 {
		return 0, false
	}
	return t.Days*perDay + t.Nanos/(1_000_000_000/perSecond) - t.Offset*perSecond, true
}
