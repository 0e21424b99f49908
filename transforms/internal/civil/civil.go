// Package civil computes with dates and times of the proleptic Gregorian calendar, as Arrow and Iceberg store them: days
// and microseconds since 1970-01-01.
package civil

const (
	MicrosPerSecond = int64(1_000_000)
	MicrosPerDay    = 86_400 * MicrosPerSecond
	NanosPerDay     = MicrosPerDay * 1000
)

// Date is the year, month and day of a day number (Howard Hinnant, "chrono-compatible low-level date algorithms").
func Date(days int64) (year int64, month, day int) {
	z := days + 719468
	era := FloorDiv(z, 146097)
	doe := z - era*146097
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	day = int(doy - (153*mp+2)/5 + 1)
	month = int(mp + 3)
	if month > 12 {
		month -= 12
	}
	year = yoe + era*400
	if month <= 2 {
		year++
	}
	return year, month, day
}

// Days is the day number of a date; day may lie outside the month.
func Days(year int64, month, day int) int64 {
	if month <= 2 {
		year--
	}
	era := FloorDiv(year, 400)
	yoe := year - era*400
	mp := int64(month) - 3
	if month <= 2 {
		mp = int64(month) + 9
	}
	doy := (153*mp+2)/5 + int64(day) - 1
	return era*146097 + yoe*365 + yoe/4 - yoe/100 + doy - 719468
}

// FloorDiv rounds towards minus infinity.
func FloorDiv(a, b int64) int64 {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// FloorMod is a - FloorDiv(a, b)*b.
func FloorMod(a, b int64) int64 {
	m := a % b
	if m != 0 && (m < 0) != (b < 0) {
		m += b
	}
	return m
}

// IsLeap says whether a year has a 29 February.
func IsLeap(year int64) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

// DaysIn is the number of days of a month.
func DaysIn(year int64, month int) int {
	switch {
	case month == 2 && IsLeap(year):
		return 29
	case month == 2:
		return 28
	case month == 4, month == 6, month == 9, month == 11:
		return 30
	}
	return 31
}

// Weekday is the ISO day of the week, 1 for Monday to 7 for Sunday.
func Weekday(days int64) int { return int(FloorMod(days+3, 7)) + 1 }

// Week is the ISO week and the year that it belongs to.
func Week(days int64) (year int64, week int) {
	thursday := days + int64(4-Weekday(days))
	year, _, _ = Date(thursday)
	return year, int((thursday-Days(year, 1, 1))/7) + 1
}

// AddMonths moves a date by months; a day that the new month has not becomes its last.
func AddMonths(days int64, months int64) int64 {
	year, month, day := Date(days)
	total := year*12 + int64(month-1) + months
	year, month = FloorDiv(total, 12), int(FloorMod(total, 12))+1
	return Days(year, month, min(day, DaysIn(year, month)))
}
