package cell

// Zone says whether a time of day came with an offset from UTC.
type Zone int

// The kinds of zone.
const (
	NoTime  Zone = iota // a date alone
	NoZone              // a date and a time
	HasZone             // and an offset
)

const (
	nanosPerSecond = 1_000_000_000
	secondsPerDay  = 24 * 60 * 60
)

// Instant is what a date, or a date and a time, says: in UTC if it came with a zone.
type Instant struct {
	Seconds int64 // since 1970-01-01
	Nanos   int64 // 0 to 999,999,999
	Zone    Zone
}

// ParseInstant reads ISO 8601's extended forms: 2013-01-31, 2013-01-31T05:00, 2013-01-31 05:00:59.123456,
// and with Z, +01, +0100 or +01:00 behind. Digits of a second beyond nanoseconds are cut off.
func ParseInstant(raw []byte) (Instant, bool) {
	day, ok := parseDay(raw)
	if !ok {
		return Instant{}, false
	}
	t := Instant{Seconds: day * secondsPerDay}
	if raw = raw[10:]; len(raw) == 0 {
		return t, true
	}
	if raw[0] != 'T' && raw[0] != ' ' && raw[0] != 't' {
		return t, false
	}
	seconds, nanos, raw, ok := parseClock(raw[1:])
	if !ok {
		return t, false
	}
	t.Seconds, t.Nanos, t.Zone = t.Seconds+seconds, nanos, NoZone
	if len(raw) > 0 {
		offset, ok := parseOffset(raw)
		if !ok {
			return t, false
		}
		t.Seconds, t.Zone = t.Seconds-offset, HasZone
	}
	return t, true
}

// ParseDate reads 2013-01-31 as days since 1970-01-01.
func ParseDate(raw []byte) (int32, bool) {
	if len(raw) != 10 {
		return 0, false
	}
	day, ok := parseDay(raw)
	return int32(day), ok
}

// ParseTime reads 05:00, 05:00:59 or 05:00:59.123456 as nanoseconds since midnight.
func ParseTime(raw []byte) (int64, bool) {
	seconds, nanos, rest, ok := parseClock(raw)
	return seconds*nanosPerSecond + nanos, ok && len(rest) == 0
}

func parseDay(raw []byte) (int64, bool) {
	if len(raw) < 10 || raw[4] != '-' || raw[7] != '-' {
		return 0, false
	}
	high, ok1 := two(raw)
	low, ok2 := two(raw[2:])
	month, ok3 := two(raw[5:])
	day, ok4 := two(raw[8:])
	year := high*100 + low
	if !(ok1 && ok2 && ok3 && ok4) || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || year < 1 {
		return 0, false
	}
	return daysFromCivil(year, month, day), true
}

// two reads two digits; raw is at least two bytes long.
func two(raw []byte) (int64, bool) {
	a, b := raw[0]-'0', raw[1]-'0'
	return int64(a)*10 + int64(b), a <= 9 && b <= 9
}

func daysIn(year, month int64) int64 {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// daysFromCivil counts days since 1970-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-Compatible
// Low-Level Date Algorithms"); the year is positive.
func daysFromCivil(y, m, d int64) int64 {
	if m <= 2 {
		y--
	}
	era := y / 400
	yearOfEra := y - era*400
	dayOfYear := (153*((m+9)%12)+2)/5 + d - 1
	return era*146097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear - 719468
}

// parseClock reads hh:mm, hh:mm:ss or hh:mm:ss.fraction and returns what follows.
func parseClock(raw []byte) (seconds, nanos int64, rest []byte, ok bool) {
	if len(raw) < 5 || raw[2] != ':' {
		return 0, 0, raw, false
	}
	hour, ok1 := two(raw)
	minute, ok2 := two(raw[3:])
	if !ok1 || !ok2 || hour > 23 || minute > 59 {
		return 0, 0, raw, false
	}
	seconds = hour*3600 + minute*60
	if raw = raw[5:]; len(raw) == 0 || raw[0] != ':' {
		return seconds, 0, raw, true
	}
	if len(raw) < 3 {
		return 0, 0, raw, false
	}
	second, ok := two(raw[1:])
	if !ok || second > 59 {
		return 0, 0, raw, false
	}
	seconds += second
	if raw = raw[3:]; len(raw) > 1 && (raw[0] == '.' || raw[0] == ',') && raw[1]-'0' <= 9 {
		nanos, raw = fraction(raw[1:])
	}
	return seconds, nanos, raw, true
}

func fraction(raw []byte) (nanos int64, rest []byte) {
	unit := int64(nanosPerSecond)
	for len(raw) > 0 && raw[0]-'0' <= 9 {
		unit /= 10
		nanos += int64(raw[0]-'0') * unit
		raw = raw[1:]
	}
	return nanos, raw
}

// parseOffset reads Z, +hh, +hhmm or +hh:mm as seconds east of UTC.
func parseOffset(raw []byte) (int64, bool) {
	if len(raw) == 1 && (raw[0] == 'Z' || raw[0] == 'z') {
		return 0, true
	}
	sign := int64(1)
	switch {
	case len(raw) < 3:
		return 0, false
	case raw[0] == '-':
		sign = -1
	case raw[0] != '+':
		return 0, false
	}
	hours, ok := two(raw[1:])
	if !ok || hours > 18 {
		return 0, false
	}
	raw = raw[3:]
	if len(raw) > 0 && raw[0] == ':' {
		if raw = raw[1:]; len(raw) == 0 {
			return 0, false
		}
	}
	switch len(raw) {
	case 0:
		return sign * hours * 3600, true
	case 2:
		minutes, ok := two(raw)
		return sign * (hours*3600 + minutes*60), ok && minutes <= 59
	}
	return 0, false
}
