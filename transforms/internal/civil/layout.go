package civil

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // zones are there on every machine
)

// Format reads and writes dates and times by the directives of C's strftime that DuckDB has too.
type Format struct {
	parts []part
}

// part is a directive, or literal text.
type part struct {
	directive byte // 0 for text
	text      string
}

const directives = "YymdHIMSfpjbBaAzZT%F"

// IsFormat says whether text has a directive.
func IsFormat(text string) bool { return strings.Contains(text, "%") }

// ParseFormat reads a format: %Y %y %m %d %j %H %I %p %M %S %f %b %B %a %A %z %Z %F %T %%.
func ParseFormat(text string) (Format, error) {
	var f Format
	for i := 0; i < len(text); i++ {
		if text[i] != '%' {
			f.literal(text[i : i+1])
			continue
		}
		i++
		if i < len(text) && text[i] == '-' { // %-d: without padding, which reading takes anyway
			i++
		}
		if i == len(text) || strings.IndexByte(directives, text[i]) < 0 {
			return f, fmt.Errorf("the format %q has no directive after %%", text)
		}
		switch text[i] {
		case '%':
			f.literal("%")
		case 'F':
			f.expand("Y-m-d")
		case 'T':
			f.expand("H:M:S")
		default:
			f.parts = append(f.parts, part{directive: text[i]})
		}
	}
	return f, nil
}

func (f *Format) literal(s string) {
	if n := len(f.parts); n > 0 && f.parts[n-1].directive == 0 {
		f.parts[n-1].text += s
		return
	}
	f.parts = append(f.parts, part{text: s})
}

func (f *Format) expand(short string) {
	for i := range len(short) {
		if strings.IndexByte(directives, short[i]) >= 0 {
			f.parts = append(f.parts, part{directive: short[i]})
		} else {
			f.literal(short[i : i+1])
		}
	}
}

// fields are what a text says of a moment.
type fields struct {
	year, month, day, yearDay   int64
	hour, minute, second, nanos int64
	pm, twelve, hasYDay         bool
	hasOffset                   bool
	offset                      int64
}

// Parse reads text. Without a date it is 1970-01-01, without a time midnight.
func (f Format) Parse(text string) (Timestamp, bool) {
	c, v := scanner{s: strings.TrimSpace(text)}, fields{year: 1970, month: 1, day: 1}
	for _, p := range f.parts {
		if p.directive == 0 {
			if !strings.HasPrefix(c.s[c.at:], p.text) {
				return Timestamp{}, false
			}
			c.at += len(p.text)
		} else if !c.directive(p.directive, &v) {
			return Timestamp{}, false
		}
	}
	if !c.done() {
		return Timestamp{}, false
	}
	return v.timestamp()
}

// numeric are the directives that are digits, with where they go and how many there are at most.
func (v *fields) numeric(directive byte) (to *int64, digits int, low, high int64) {
	switch directive {
	case 'Y':
		return &v.year, 4, 0, 9999
	case 'm':
		return &v.month, 2, 1, 12
	case 'd':
		return &v.day, 2, 1, 31
	case 'j':
		v.hasYDay = true
		return &v.yearDay, 3, 1, 366
	case 'H':
		return &v.hour, 2, 0, 23
	case 'I':
		v.twelve = true
		return &v.hour, 2, 1, 12
	case 'M':
		return &v.minute, 2, 0, 59
	case 'S':
		return &v.second, 2, 0, 59
	}
	return nil, 0, 0, 0
}

func (c *scanner) directive(d byte, v *fields) bool {
	if to, digits, low, high := v.numeric(d); to != nil {
		n, _, ok := c.digits(1, digits)
		*to = n
		return ok && n >= low && n <= high
	}
	switch d {
	case 'y': // POSIX: 69 to 99 are 19xx
		n, _, ok := c.digits(2, 2)
		if v.year = 2000 + n; n >= 69 {
			v.year = 1900 + n
		}
		return ok
	case 'f':
		n, width, ok := c.digits(1, 9)
		for ; width < 9; width++ {
			n *= 10
		}
		v.nanos = n
		return ok
	case 'p':
		return c.half(v)
	case 'b', 'B':
		n, ok := c.name(12, func(i int) string { return time.Month(i + 1).String() })
		v.month = int64(n + 1)
		return ok
	case 'a', 'A':
		_, ok := c.name(7, func(i int) string { return time.Weekday(i).String() })
		return ok
	}
	var ok bool // %z and %Z
	v.hasOffset, v.offset, ok = c.offset()
	return ok && v.hasOffset
}

func (c *scanner) half(v *fields) bool {
	if len(c.s)-c.at < 2 {
		return false
	}
	word := strings.ToUpper(c.s[c.at : c.at+2])
	c.at += 2
	v.pm = word == "PM"
	return word == "AM" || word == "PM"
}

// name reads a month or a day of the week by its full name or its first three letters.
func (c *scanner) name(n int, of func(int) string) (int, bool) {
	rest := c.s[c.at:]
	for _, short := range []bool{false, true} {
		for i := range n {
			word := of(i)
			if short {
				word = word[:3]
			}
			if len(rest) >= len(word) && strings.EqualFold(rest[:len(word)], word) {
				c.at += len(word)
				return i, true
			}
		}
	}
	return 0, false
}

func (v *fields) timestamp() (Timestamp, bool) {
	days, ok := validDate(v.year, v.month, v.day)
	if v.hasYDay {
		days, ok = Days(v.year, 1, 1)+v.yearDay-1, v.yearDay <= 365 || IsLeap(v.year)
	}
	hour := v.hour
	if v.twelve {
		hour %= 12
		if v.pm {
			hour += 12
		}
	}
	nanos := ((hour*60+v.minute)*60+v.second)*1_000_000_000 + v.nanos
	return Timestamp{Days: days, Nanos: nanos, HasOffset: v.hasOffset, Offset: v.offset}, ok
}

// Append writes a moment given in units of a second's perSecond-th part, in UTC.
func (f Format) Append(dst []byte, value, perSecond int64) []byte {
	perDay := perSecond * 86400
	days := FloorDiv(value, perDay)
	rest := value - days*perDay
	seconds, nanos := rest/perSecond, rest%perSecond*(1_000_000_000/perSecond)
	year, month, day := Date(days)
	for _, p := range f.parts {
		switch p.directive {
		case 0:
			dst = append(dst, p.text...)
		case 'Y':
			dst = appendPadded(dst, max(year, 0), 4)
		case 'y':
			dst = appendPadded(dst, FloorMod(year, 100), 2)
		case 'm':
			dst = appendPadded(dst, int64(month), 2)
		case 'd':
			dst = appendPadded(dst, int64(day), 2)
		case 'j':
			dst = appendPadded(dst, days-Days(year, 1, 1)+1, 3)
		case 'b':
			dst = append(dst, time.Month(month).String()[:3]...)
		case 'B':
			dst = append(dst, time.Month(month).String()...)
		case 'a':
			dst = append(dst, time.Weekday(Weekday(days) % 7).String()[:3]...)
		case 'A':
			dst = append(dst, time.Weekday(Weekday(days)%7).String()...)
		default:
			dst = appendClock(dst, p.directive, seconds, nanos)
		}
	}
	return dst
}

func appendClock(dst []byte, directive byte, seconds, nanos int64) []byte {
	switch directive {
	case 'H':
		return appendPadded(dst, seconds/3600, 2)
	case 'I':
		return appendPadded(dst, (seconds/3600+11)%12+1, 2)
	case 'M':
		return appendPadded(dst, seconds/60%60, 2)
	case 'S':
		return appendPadded(dst, seconds%60, 2)
	case 'f':
		return appendPadded(dst, nanos/1000, 6)
	case 'p':
		if seconds >= 43200 {
			return append(dst, "PM"...)
		}
		return append(dst, "AM"...)
	case 'z':
		return append(dst, "+00"...)
	}
	return append(dst, "UTC"...)
}

// Zone is a time zone.
type Zone struct {
	location *time.Location
}

// LoadZone finds a zone of the IANA database, or a fixed offset such as +02:00.
func LoadZone(name string) (Zone, error) {
	c := scanner{s: name}
	if strings.HasPrefix(name, "+") || strings.HasPrefix(name, "-") {
		if _, seconds, ok := c.offset(); ok && c.done() {
			return Zone{time.FixedZone(name, int(seconds))}, nil
		}
	}
	if name == "" || name == "Local" { // the machine's own zone would make results depend on where they are computed
		return Zone{}, fmt.Errorf("unknown time zone %s", strconv.Quote(name))
	}
	location, err := time.LoadLocation(name)
	if err != nil {
		return Zone{}, fmt.Errorf("unknown time zone %s", strconv.Quote(name))
	}
	return Zone{location}, nil
}

// FromUTC is the clock time in the zone, as if it were UTC, of an instant.
func (z Zone) FromUTC(v, perSecond int64) int64 {
	_, offset := time.Unix(FloorDiv(v, perSecond), 0).In(z.location).Zone()
	return v + int64(offset)*perSecond
}

// ToUTC is the instant of a clock time in the zone. A time that a change of clocks skips is moved on by the gap; of a
// time that comes twice it is the first.
func (z Zone) ToUTC(v, perSecond int64) int64 {
	local := FloorDiv(v, perSecond)
	_, before := time.Unix(local-86400, 0).In(z.location).Zone()
	_, after := time.Unix(local+86400, 0).In(z.location).Zone()
	// An offset is right if it holds at the instant that it leads to; the greater one leads to the earlier instant.
	for _, offset := range []int{max(before, after), min(before, after)} {
		if _, actual := time.Unix(local-int64(offset), 0).In(z.location).Zone(); actual == offset {
			return v - int64(offset)*perSecond
		}
	}
	return v - int64(before)*perSecond
}
