package spec

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// cronField is one field of a cron line or of a calendar, with Temporal's bounds.
type cronField struct {
	name      string
	low, high int
	names     []string // of months or days, known by their first letters
	prefix    int      // how many letters at least
}

var (
	cronSecond  = cronField{name: "second", low: 0, high: 59}
	cronMinute  = cronField{name: "minute", low: 0, high: 59}
	cronHour    = cronField{name: "hour", low: 0, high: 23}
	cronDay     = cronField{name: "day of month", low: 1, high: 31}
	cronMonth   = cronField{name: "month", low: 1, high: 12, names: []string{"january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"}, prefix: 3}
	cronWeekday = cronField{name: "day of week", low: 0, high: 7, names: []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}, prefix: 2}
	cronYear    = cronField{name: "year", low: 2000, high: 2100}
)

// cronForms are Temporal's: five fields, with a year behind, and with seconds before.
var cronForms = map[int][]cronField{
	5: {cronMinute, cronHour, cronDay, cronMonth, cronWeekday},
	6: {cronMinute, cronHour, cronDay, cronMonth, cronWeekday, cronYear},
	7: {cronSecond, cronMinute, cronHour, cronDay, cronMonth, cronWeekday, cronYear},
}

var cronShorthands = map[string]bool{
	"@yearly": true, "@annually": true, "@monthly": true, "@weekly": true, "@daily": true, "@midnight": true, "@hourly": true,
}

var aCron = textLike("a cron line", "", checkCron)

// checkCron accepts what Temporal's server does, except what other keys say better: a time zone and @every.
func checkCron(s string) *problem {
	line, _, _ := strings.Cut(s, "#")
	switch trimmed := strings.TrimSpace(line); {
	case strings.HasPrefix(trimmed, "TZ=") || strings.HasPrefix(trimmed, "CRON_TZ="):
		return &problem{message: "a cron line has no time zone here", hint: "use schedule.timezone"}
	case strings.HasPrefix(trimmed, "@every"):
		return &problem{message: "@every is not a cron line here", hint: "use schedule.every"}
	case cronShorthands[trimmed]:
		return nil
	case strings.HasPrefix(trimmed, "@"):
		known := []string{"@hourly", "@daily", "@weekly", "@monthly", "@yearly"}
		return &problem{message: fmt.Sprintf("unknown cron shorthand %q: expected %s", shorten(trimmed), strings.Join(known, ", ")), hint: didYouMean(trimmed, known)}
	}
	words, offsets := fieldsAt(line)
	form, ok := cronForms[len(words)]
	if !ok {
		return &problem{message: fmt.Sprintf("cron line %q has %d fields: expected 5 (minute, hour, day of month, month, day of week), 6 with a year, or 7 with seconds first", shorten(s), len(words))}
	}
	for i, f := range form {
		if wrong := f.check(words[i]); wrong != nil {
			wrong.offset += offsets[i]
			return wrong
		}
	}
	if at := len(form) / 7; neverFires(words[at+2], words[at+3]) {
		return &problem{offset: offsets[at+2], message: fmt.Sprintf("cron line %q never fires: no such month has a day %s", shorten(s), words[at+2])}
	}
	return nil
}

// fieldsAt splits at white space and keeps each word's offset.
func fieldsAt(s string) (words []string, offsets []int) {
	start := -1
	for i, r := range s + " " {
		switch space := unicode.IsSpace(r); {
		case space && start >= 0:
			words, offsets = append(words, s[start:i]), append(offsets, start)
			start = -1
		case !space && start < 0:
			start = i
		}
	}
	return words, offsets
}

// check reads *, a, a-b, each with /step, separated by commas.
func (f cronField) check(s string) *problem {
	offset := 0
	for _, part := range strings.Split(s, ",") {
		if wrong := f.checkPart(part); wrong != nil {
			wrong.offset += offset
			return wrong
		}
		offset += len(part) + 1
	}
	return nil
}

func (f cronField) checkPart(part string) *problem {
	span, step, stepped := strings.Cut(part, "/")
	if n, err := strconv.Atoi(step); stepped && (err != nil || n < 1) {
		return &problem{offset: len(span) + 1, message: fmt.Sprintf("cron %s: expected a step above zero, found %q", f.name, shorten(step))}
	}
	if span == "*" {
		return nil
	}
	first, last, ranged := strings.Cut(span, "-")
	from, ok := f.value(first)
	if !ok {
		return f.outside(0, first)
	}
	if !ranged {
		return nil
	}
	to, ok := f.value(last)
	switch {
	case !ok:
		return f.outside(len(first)+1, last)
	case to < from:
		return &problem{offset: len(first) + 1, message: fmt.Sprintf("cron %s: %s comes before %s", f.name, last, first)}
	}
	return nil
}

func (f cronField) outside(offset int, found string) *problem {
	expected := fmt.Sprintf("%d to %d", f.low, f.high)
	if f.names != nil {
		expected += ", or a name such as " + f.names[1][:3]
	}
	return &problem{offset: offset, message: fmt.Sprintf("cron %s: expected %s, found %q", f.name, expected, shorten(found))}
}

func (f cronField) value(s string) (int, bool) {
	if n, err := strconv.Atoi(s); err == nil {
		return n, n >= f.low && n <= f.high
	}
	if len(s) >= f.prefix && f.names != nil {
		for i, name := range f.names {
			if strings.HasPrefix(name, strings.ToLower(s)) {
				return i + f.low, true
			}
		}
	}
	return 0, false
}

// neverFires reports single days that the given single months do not have, such as 31 in month 2.
func neverFires(days, months string) bool {
	longest := 0
	for _, m := range strings.Split(months, ",") {
		n, ok := cronMonth.value(m)
		if !ok {
			return false
		}
		longest = max(longest, []int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[n-1])
	}
	for _, d := range strings.Split(days, ",") {
		if n, err := strconv.Atoi(d); err != nil || n <= longest {
			return false
		}
	}
	return true
}

// aCalendarField reads one field of a calendar.
func aCalendarField(f cronField) shape[string] {
	return convert(scalar(&kind{label: "a " + f.name, scalar: map[string]any{"type": []string{"string", "integer"}}}, []tag{tagString, tagInt},
		func(t Text) (Text, *problem) {
			wrong := f.check(t.Value)
			if wrong != nil {
				wrong.message = "calendar " + strings.TrimPrefix(wrong.message, "cron ")
			}
			return t, wrong
		}), func(t Text) string { return t.Value })
}
