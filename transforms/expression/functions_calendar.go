package expression

import (
	"math"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/transforms/internal/civil"
	"github.com/varve-lake/varve/transforms/internal/vector"
)

// truncDays is the first day of the unit that holds a day; units within a day leave it.
func truncDays(unit string, days int64) int64 {
	if months, ok := unitMonths[unit]; ok {
		year, month, _ := civil.Date(days)
		first := (int64(month-1)/months)*months + 1
		return civil.Days(year, int(first), 1)
	}
	if unit == "week" {
		return days - int64(civil.Weekday(days)-1)
	}
	return days
}

// dateTrunc keeps x's type.
func dateTrunc(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 2, 3); err != nil {
		return nil, err
	}
	unit, err := c.unit(f, 0, units)
	if err != nil {
		return nil, err
	}
	v, err := c.moment(f, 1)
	if err != nil {
		return nil, err
	}
	t := v.dataType()
	if kindOf(t) == kindDate {
		return call(t, mapFixed(t, func(d int32) int32 { return int32(truncDays(unit, int64(d))) }), v), nil
	}
	if len(f.nodes) < 3 {
		return call(t, truncKernel(unit, t), v), nil
	}
	clock, err := c.clock(f, v, 2)
	if err != nil {
		return nil, err
	}
	zone, err := c.zone(f, 2)
	if err != nil {
		return nil, err
	}
	local := clock.dataType()
	return call(t, zoneKernel(t, zone.ToUTC), call(local, truncKernel(unit, local), clock)), nil
}

func truncKernel(unit string, t arrow.DataType) kernel {
	perDay, step := perSecond(t)*86400, unitMicros[unit]*(perSecond(t)/civil.MicrosPerSecond)
	if step > 0 && unit != "week" {
		return mapFixed(t, func(v int64) int64 { return v - civil.FloorMod(v, step) })
	}
	return mapFixed(t, func(v int64) int64 { return truncDays(unit, civil.FloorDiv(v, perDay)) * perDay })
}

// dateAdd keeps x's type; a date moved by less than days becomes a timestamp.
func dateAdd(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 3, 3); err != nil {
		return nil, err
	}
	unit, err := c.unit(f, 0, units)
	if err != nil {
		return nil, err
	}
	n, err := c.argument(f, 1, paramWhole)
	if err != nil {
		return nil, err
	}
	v, err := c.moment(f, 2)
	if err != nil {
		return nil, err
	}
	_, months := unitMonths[unit]
	if kindOf(v.dataType()) == kindDate {
		if months || unit == "week" || unit == "day" {
			return call(typeDate, addToDates(unit), v, n), nil
		}
		v = c.cast(v, typeTimestamp)
	}
	return call(v.dataType(), addToTimestamps(unit, v.dataType()), v, n), nil
}

func addToDates(unit string) kernel {
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		in, si := vector.Values[int32](args[0].arr), args[0].stride()
		by, sb := vector.Values[int64](args[1].arr), args[1].stride()
		return computeFixed(typeDate, n, ev.valid(args, n), func(i int) (int32, string) {
			days, problem := addDays(unit, int64(in[i*si]), by[i*sb])
			if days < math.MinInt32 || days > math.MaxInt32 {
				return 0, overflow
			}
			return int32(days), problem
		})
	}
}

// addDays moves a day by months, weeks or days.
func addDays(unit string, days, n int64) (int64, string) {
	if n > math.MaxInt32*2 || n < -math.MaxInt32*2 {
		return 0, overflow
	}
	if months, ok := unitMonths[unit]; ok {
		return civil.AddMonths(days, n*months), ""
	}
	return days + n*(unitMicros[unit]/civil.MicrosPerDay), ""
}

func addToTimestamps(unit string, t arrow.DataType) kernel {
	perDay, step := perSecond(t)*86400, unitMicros[unit]*(perSecond(t)/civil.MicrosPerSecond)
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		in, si := vector.Values[int64](args[0].arr), args[0].stride()
		by, sb := vector.Values[int64](args[1].arr), args[1].stride()
		return computeFixed(t, n, ev.valid(args, n), func(i int) (int64, string) {
			v, k := in[i*si], by[i*sb]
			delta, ok := multiply(k, step)
			if step == 0 { // a unit of months
				days := civil.FloorDiv(v, perDay)
				moved, problem := addDays(unit, days, k)
				if problem != "" {
					return 0, problem
				}
				delta, ok = multiply(moved-days, perDay)
			}
			sum, fits := integerOp("+", v, delta)
			if !ok || !fits {
				return 0, overflow
			}
			return sum, ""
		})
	}
}

// dateDiff counts boundaries, as DuckDB's date_diff does, but for weeks: DuckDB counts whole ones, here Mondays count.
func dateDiff(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 3, 3); err != nil {
		return nil, err
	}
	unit, err := c.unit(f, 0, units)
	if err != nil {
		return nil, err
	}
	a, err := c.moment(f, 1)
	if err != nil {
		return nil, err
	}
	b, err := c.moment(f, 2)
	if err != nil {
		return nil, err
	}
	common := commonType(a.dataType(), b.dataType())
	if common == nil {
		return nil, c.errorf(f.nodes[2], mismatchHint(a.dataType(), b.dataType()), "date_diff needs two moments of one type, found %s and %s",
			typeName(a.dataType()), typeName(b.dataType()))
	}
	if kindOf(common) == kindDate {
		common = typeTimestamp
	}
	return call(typeLong, diffKernel(unit, common), c.cast(a, common), c.cast(b, common)), nil
}

func diffKernel(unit string, t arrow.DataType) kernel {
	perDay := perSecond(t) * 86400
	number := func(v int64) int64 { // of the unit that holds v, counted from 1970
		days := civil.FloorDiv(v, perDay)
		if months, ok := unitMonths[unit]; ok {
			year, month, _ := civil.Date(days)
			return civil.FloorDiv(year*12+int64(month-1), months)
		}
		if unit == "week" {
			return civil.FloorDiv(days+3, 7)
		}
		return civil.FloorDiv(v, unitMicros[unit]*(perSecond(t)/civil.MicrosPerSecond))
	}
	return func(ev *evaluation, args []vec, n int) (arrow.Array, []Fault, error) {
		a, sa := vector.Values[int64](args[0].arr), args[0].stride()
		b, sb := vector.Values[int64](args[1].arr), args[1].stride()
		return computeFixed(typeLong, n, ev.valid(args, n), func(i int) (int64, string) {
			d, ok := integerOp("-", number(b[i*sb]), number(a[i*sa]))
			if !ok {
				return 0, overflow
			}
			return d, ""
		})
	}
}

func lastDay(c *compiler, f *funcCall) (node, error) {
	if err := f.arity(c, 1, 1); err != nil {
		return nil, err
	}
	v, err := c.moment(f, 0)
	if err != nil {
		return nil, err
	}
	if kindOf(v.dataType()) != kindDate {
		v = c.cast(v, typeDate)
	}
	return call(typeDate, mapFixed(typeDate, func(d int32) int32 {
		year, month, day := civil.Date(int64(d))
		return d + int32(civil.DaysIn(year, month)-day)
	}), v), nil
}
