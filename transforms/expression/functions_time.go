package expression

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/transforms/internal/civil"
	"github.com/varve-lake/varve/transforms/internal/names"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

func init() {
	define("Dates and times",
		fn("now()", "The instant at which the run evaluates; the same for all rows.", `now() > timestamptz("2024-01-01")`, now),
		part("year", "The year of a date or a timestamp (of an instant, in UTC or the zone named).", `year("2024-01-31") == 2024`),
		part("quarter", "The quarter, 1 to 4.", `quarter("2024-04-01") == 2`),
		part("month", "The month, 1 to 12.", `month("2024-01-31") == 1`),
		part("week", "The ISO week, 1 to 53.", `week("2024-12-30") == 1`),
		part("day", "The day of the month.", `day("2024-01-31") == 31`),
		part("day_of_week", "The day of the week, 1 for Monday to 7 for Sunday.", `day_of_week("2024-01-31") == 3`),
		part("day_of_year", "The day of the year, from 1.", `day_of_year("2024-02-01") == 32`),
		part("hour", "The hour, 0 to 23.", `hour("2024-01-31 12:30") == 12`),
		part("minute", "The minute.", `minute("2024-01-31 12:30") == 30`),
		part("second", "The second, without its fraction.", `second("2024-01-31 12:30:15.5") == 15`),
		fn("date_trunc(unit, x, zone)", "The start of x's year, quarter, month, week (Monday), day, hour, minute, second, millisecond or microsecond; of an instant, in UTC or the zone named.",
			`date_trunc("hour", timestamp("2024-01-31 12:30")) == "2024-01-31 12:00:00"`, dateTrunc),
		fn("date_add(unit, n, x)", "x moved by n units. A day that a month has not becomes its last.",
			`date_add("month", 1, date("2024-01-31")) == "2024-02-29"`, dateAdd),
		fn("date_diff(unit, x, y)", "How many boundaries of the unit lie between x and y.",
			`date_diff("day", date("2024-01-31"), date("2024-02-02")) == 2`, dateDiff),
		fn("last_day(x)", "The last day of x's month.", `last_day(date("2024-02-10")) == "2024-02-29"`, lastDay),
		fn("make_date(year, month, day)", "A date of its parts; one that the calendar has not is a fault.", `make_date(2024, 2, 29) == "2024-02-29"`,
			strict(typeDate, makeDate, paramWhole, paramWhole, paramWhole)),
		fn("make_timestamp(year, month, day, hour, minute, second)", "A timestamp of its parts; the second may have a fraction.",
			`make_timestamp(2024, 1, 31, 5, 15, 0) == "2024-01-31 05:15:00"`,
			strict(typeTimestamp, makeTimestamp, paramWhole, paramWhole, paramWhole, paramWhole, paramWhole, paramDouble)),
		fn("at_zone(x, zone)", "The clock time of an instant in a zone, a timestamp.",
			`at_zone(timestamptz("2024-07-01 16:00"), "America/New_York") == "2024-07-01 12:00:00"`, atZone),
		fn("from_unix(n, unit)", "The instant n seconds (or milliseconds, microseconds, nanoseconds) after 1970-01-01.",
			`from_unix(1706704200) == "2024-01-31 12:30:00"`, fromUnix),
		fn("to_unix(x, unit)", "How many whole seconds (or milliseconds, microseconds, nanoseconds) x lies after 1970-01-01.",
			`to_unix(timestamptz("2024-01-31 12:30")) == 1706704200`, toUnix),
		fn("total_seconds(d)", "A duration in seconds.", `total_seconds(duration("1h")) == 3600`, totalSeconds),
		fn("strftime(x, format)", "x as text by a format: %Y %y %m %d %j %H %I %p %M %S %f %b %B %a %A %F %T %%.",
			`strftime(date("2024-01-31"), "%d.%m.%Y") == "31.01.2024"`, strftime),
	)
}

// units are the units of date_trunc, date_add and date_diff, from the coarsest.
var units = []string{"year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond", "microsecond"}

// unitMicros are the units of fixed length.
var unitMicros = map[string]int64{
	"week": 7 * civil.MicrosPerDay, "day": civil.MicrosPerDay, "hour": 3600e6, "minute": 60e6, "second": 1e6, "millisecond": 1e3, "microsecond": 1,
}

var unitMonths = map[string]int64{"year": 12, "quarter": 3, "month": 1}

func (c *compiler) unit(f *funcCall, i int, known []string) (string, error) {
	text, err := c.constTextArgument(f, i)
	if err != nil {
		return "", err
	}
	name := strings.TrimSuffix(strings.ToLower(text), "s")
	if !slices.Contains(known, name) {
		hint := "it is one of " + strings.Join(known, ", ")
		if nearest := names.Nearest(name, known); nearest != "" {
			hint = fmt.Sprintf("did you mean %q?", nearest)
		}
		return "", c.errorf(f.nodes[i], hint, "unknown unit %q", text)
	}
	return name, nil
}

func (c *compiler) zone(f *funcCall, i int) (civil.Zone, error) {
	name, err := c.constTextArgument(f, i)
	if err != nil {
		return civil.Zone{}, err
	}
	zone, err := civil.LoadZone(name)
	if err != nil {
		return zone, c.errorf(f.nodes[i], `as in "Europe/Berlin" or "+02:00"`, "%v", err)
	}
	return zone, nil
}

// zoneKernel moves timestamps between a zone's clock and UTC.
func zoneKernel(to arrow.DataType, move func(v, perSecond int64) int64) kernel {
	unit := perSecond(to)
	return mapFixed(to, func(v int64) int64 { return move(v, unit) })
}

// moment lowers an argument that is a date or a timestamp; a literal text is read as a timestamp.
func (c *compiler) moment(f *funcCall, i int) (node, error) {
	v, err := c.lower(f.nodes[i])
	if err != nil {
		return nil, err
	}
	if v, err = c.adaptTo(f.nodes[i], v, typeTimestamp); err != nil {
		return nil, err
	}
	switch k := kindOf(v.dataType()); {
	case k == kindNull:
		return nullConst(typeTimestamp), nil
	case !k.isTemporal():
		return nil, c.errorf(f.nodes[i], "timestamp(...) and date(...) read text", "%s needs a date or a timestamp, found %s", f.name, typeName(v.dataType()))
	}
	return v, nil
}

// clock is a moment as a timestamp without a zone: an instant's clock time in the zone that argument i names, or UTC.
func (c *compiler) clock(f *funcCall, v node, i int) (node, error) {
	if len(f.nodes) <= i {
		if kindOf(v.dataType()) == kindTimestampTz {
			return c.cast(v, localType(v.dataType())), nil
		}
		return v, nil
	}
	if kindOf(v.dataType()) != kindTimestampTz {
		return nil, c.errorf(f.nodes[i], "timestamptz(ts, zone) makes an instant of it", "a zone goes with an instant, found %s", typeName(v.dataType()))
	}
	zone, err := c.zone(f, i)
	if err != nil {
		return nil, err
	}
	t := localType(v.dataType())
	return call(t, zoneKernel(t, zone.FromUTC), v), nil
}

// localType is the type of an instant's clock time.
func localType(t arrow.DataType) arrow.DataType {
	return &arrow.TimestampType{Unit: t.(*arrow.TimestampType).Unit}
}

// part defines a function that is one part of a moment.
func part(name, doc, example string) function {
	return fn(name+"(x, zone)", doc, example, func(c *compiler, f *funcCall) (node, error) {
		if err := f.arity(c, 1, 2); err != nil {
			return nil, err
		}
		v, err := c.moment(f, 0)
		if err != nil {
			return nil, err
		}
		if v, err = c.clock(f, v, 1); err != nil {
			return nil, err
		}
		return call(typeInt, partKernel(parts[name], v.dataType()), v), nil
	})
}

// parts compute from a day number and the microseconds of the day.
var parts = map[string]func(days, micros int64) int64{
	"year":        func(days, _ int64) int64 { y, _, _ := civil.Date(days); return y },
	"quarter":     func(days, _ int64) int64 { _, m, _ := civil.Date(days); return int64(m+2) / 3 },
	"month":       func(days, _ int64) int64 { _, m, _ := civil.Date(days); return int64(m) },
	"week":        func(days, _ int64) int64 { _, w := civil.Week(days); return int64(w) },
	"day":         func(days, _ int64) int64 { _, _, d := civil.Date(days); return int64(d) },
	"day_of_week": func(days, _ int64) int64 { return int64(civil.Weekday(days)) },
	"day_of_year": func(days, _ int64) int64 { y, _, _ := civil.Date(days); return days - civil.Days(y, 1, 1) + 1 },
	"hour":        func(_, micros int64) int64 { return micros / 3600e6 },
	"minute":      func(_, micros int64) int64 { return micros / 60e6 % 60 },
	"second":      func(_, micros int64) int64 { return micros / 1e6 % 60 },
}

func partKernel(f func(days, micros int64) int64, t arrow.DataType) kernel {
	if kindOf(t) == kindDate {
		return mapFixed(typeInt, func(d int32) int32 { return int32(f(int64(d), 0)) })
	}
	ofMicros := func(v int64) int32 {
		days := civil.FloorDiv(v, civil.MicrosPerDay)
		return int32(f(days, v-days*civil.MicrosPerDay))
	}
	if isNano(t) {
		return mapFixed(typeInt, func(v int64) int32 { return ofMicros(civil.FloorDiv(v, 1000)) })
	}
	return mapFixed(typeInt, ofMicros)
}

// now is a node since it differs from run to run.
type nowNode struct{}

func (nowNode) dataType() arrow.DataType { return typeTimestampTz }

func (nowNode) eval(ev *evaluation) (vec, error) {
	root := ev
	for root.outer != nil {
		root = root.outer
	}
	k := fixedConst(typeTimestampTz, root.now.UnixMicro())
	return vec{arr: ev.hold(k.arr), single: true}, nil
}

func now(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 0, 0); err != nil {
		return nil, err
	}
	return nowNode{}, nil
}

func makeDate(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	read := wholes(args)
	return computeFixed(typeDate, n, ev.valid(args, n), func(i int) (int32, string) {
		days, problem := dateOf(read(0, i), read(1, i), read(2, i))
		return int32(days), problem
	})
}

// wholes reads arguments that are longs.
func wholes(args []vec) func(arg, i int) int64 {
	values, strides := make([][]int64, len(args)), make([]int, len(args))
	for k, a := range args {
		if kindOf(a.arr.DataType()) == kindLong {
			values[k], strides[k] = vector.Values[int64](a.arr), a.stride()
		}
	}
	return func(arg, i int) int64 { return values[arg][i*strides[arg]] }
}

func dateOf(year, month, day int64) (int64, string) {
	if year < -9999 || year > 99999 || month < 1 || month > 12 || day < 1 || day > int64(civil.DaysIn(year, int(month))) {
		return 0, fmt.Sprintf("there is no date %d-%d-%d", year, month, day)
	}
	return civil.Days(year, int(month), int(day)), ""
}

func makeTimestamp(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
	read := wholes(args)
	seconds, stride := vector.Values[float64](args[5].arr), args[5].stride()
	return computeFixed(typeTimestamp, n, ev.valid(args, n), func(i int) (int64, string) {
		days, problem := dateOf(read(0, i), read(1, i), read(2, i))
		if problem != "" {
			return 0, problem
		}
		hour, minute, second := read(3, i), read(4, i), seconds[i*stride]
		if hour < 0 || hour > 23 || minute < 0 || minute > 59 || !(second >= 0 && second < 60) {
			return 0, fmt.Sprintf("there is no time %d:%d:%v", hour, minute, second)
		}
		return days*civil.MicrosPerDay + (hour*60+minute)*60e6 + int64(math.Round(second*1e6)), ""
	})
}

func atZone(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 2, 2); err != nil {
		return nil, err
	}
	v, err := c.lower(f.nodes[0])
	if err != nil {
		return nil, err
	}
	if kindOf(v.dataType()) == kindNull {
		v = nullConst(typeTimestampTz)
	}
	return c.clock(f, v, 1)
}

var unixUnits = []string{"second", "millisecond", "microsecond", "nanosecond"}

// unixUnit is how many of the unit a second has.
func (c *compiler) unixUnit(f *funcCall) (int64, error) {
	if len(f.nodes) < 2 {
		return 1, nil
	}
	unit, err := c.unit(f, 1, unixUnits)
	if err != nil {
		return 0, err
	}
	return int64(math.Pow10(3 * slices.Index(unixUnits, unit))), nil
}

func fromUnix(c *compiler, f *funcCall) (node, error) {
	args, err := c.arguments(f, 1, paramNumber, paramText)
	if err != nil {
		return nil, err
	}
	unit, err := c.unixUnit(f)
	if err != nil {
		return nil, err
	}
	if k := kindOf(args[0].dataType()); !k.isInteger() && k != kindNull { // seconds with a fraction
		return call(typeTimestampTz, eachValue(typeTimestampTz, func(x float64) (int64, string) {
			v := math.Round(x * float64(civil.MicrosPerSecond/max(unit, 1)))
			if unit > civil.MicrosPerSecond {
				v = math.Round(x / float64(unit/civil.MicrosPerSecond))
			}
			if !(math.Abs(v) < math.MaxInt64) {
				return 0, overflow
			}
			return int64(v), ""
		}), c.cast(args[0], typeDouble)), nil
	}
	return call(typeTimestampTz, eachValue(typeTimestampTz, func(x int64) (int64, string) {
		if unit > civil.MicrosPerSecond {
			return civil.FloorDiv(x, unit/civil.MicrosPerSecond), ""
		}
		v, ok := multiply(x, civil.MicrosPerSecond/unit)
		if !ok {
			return 0, overflow
		}
		return v, ""
	}), c.cast(args[0], typeLong)), nil
}

func toUnix(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 1, 2); err != nil {
		return nil, err
	}
	v, err := c.moment(f, 0)
	if err != nil {
		return nil, err
	}
	unit, err := c.unixUnit(f)
	if err != nil {
		return nil, err
	}
	if kindOf(v.dataType()) == kindDate {
		v = c.cast(v, typeTimestamp)
	}
	from := perSecond(v.dataType())
	return call(typeLong, eachValue(typeLong, func(x int64) (int64, string) {
		if unit <= from {
			return civil.FloorDiv(x, from/unit), ""
		}
		out, ok := multiply(x, unit/from)
		if !ok {
			return 0, overflow
		}
		return out, ""
	}), v), nil
}

func totalSeconds(c *compiler, f *funcCall) (node, error) {
	args, err := c.arguments(f, 1, param{"a duration", func(k kind) bool { return k == kindDuration }, nil})
	if err != nil {
		return nil, err
	}
	if kindOf(args[0].dataType()) == kindNull {
		return nullConst(typeDouble), nil
	}
	unit := float64(perSecond(args[0].dataType()))
	return call(typeDouble, mapFixed(typeDouble, func(v int64) float64 { return float64(v) / unit }), args[0]), nil
}

func strftime(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 2, 2); err != nil {
		return nil, err
	}
	v, err := c.moment(f, 0)
	if err != nil {
		return nil, err
	}
	text, err := c.constTextArgument(f, 1)
	if err != nil {
		return nil, err
	}
	format, err := civil.ParseFormat(text)
	if err != nil {
		return nil, c.errorf(f.nodes[1], "as in %Y-%m-%d %H:%M:%S", "%v", err)
	}
	if kindOf(v.dataType()) == kindDate {
		v = c.cast(v, typeTimestamp)
	}
	unit := perSecond(v.dataType())
	run := func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		in := vector.Values[int64](args[0].arr)
		return computeTexts(typeString, n, 20*n, ev.valid(args, n), func(dst []byte, i int) ([]byte, string) {
			return format.Append(dst, in[i], unit), ""
		})
	}
	return call(typeString, run, v), nil
}
