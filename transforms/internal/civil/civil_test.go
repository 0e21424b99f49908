package civil_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms/internal/civil"
)

func TestDateAgreesWithTime(t *testing.T) {
	for days := int64(-800_000); days < 800_000; days += 13 {
		want := time.Unix(days*86400, 0).UTC()
		year, month, day := civil.Date(days)
		require.Equal(t, []int{want.Year(), int(want.Month()), want.Day()}, []int{int(year), month, day}, days)
		require.Equal(t, days, civil.Days(year, month, day))
		isoYear, isoWeek := want.ISOWeek()
		gotYear, gotWeek := civil.Week(days)
		require.Equal(t, []int{isoYear, isoWeek}, []int{int(gotYear), gotWeek}, days)
		require.Equal(t, (int(want.Weekday())+6)%7+1, civil.Weekday(days))
	}
}

func TestAddMonths(t *testing.T) {
	at := func(s string) int64 {
		days, ok := civil.ParseDate(s)
		require.True(t, ok, s)
		return days
	}
	cases := []struct {
		from   string
		months int64
		want   string
	}{
		{"2024-01-31", 1, "2024-02-29"},
		{"2023-01-31", 1, "2023-02-28"},
		{"2024-03-31", -1, "2024-02-29"},
		{"2024-05-15", -17, "2022-12-15"},
		{"1970-01-01", -1, "1969-12-01"},
	}
	for _, c := range cases {
		require.Equal(t, at(c.want), civil.AddMonths(at(c.from), c.months), c.from)
	}
}

func TestParseTimestamp(t *testing.T) {
	cases := []struct {
		in   string
		want string // in UTC; empty for an error
	}{
		{"2013-01-01 05:00:00", "2013-01-01 05:00:00"},
		{" 2013-01-01T05:00Z ", "2013-01-01 05:00:00"},
		{"2013-01-01T05:00:00.5+02:00", "2013-01-01 03:00:00.5"},
		{"2013-01-01 00:00:00-0530", "2013-01-01 05:30:00"},
		{"2013-01-01 05:00:00 UTC", "2013-01-01 05:00:00"},
		{"2013-01-01", "2013-01-01 00:00:00"},
		{"20130101", "2013-01-01 00:00:00"},
		{"1969-12-31 23:59:59.999999", "1969-12-31 23:59:59.999999"},
		{"0001-01-01", "0001-01-01 00:00:00"},
		{"-0044-03-15 12:00", "-0044-03-15 12:00:00"},
		{"2013-02-29", ""},
		{"2013-13-01", ""},
		{"2013-01-01 24:00:00", ""},
		{"2013-01-01 05:00:60", ""},
		{"2013-01-01 05:00:00+2", ""},
		{"2013-01-01x05:00:00", ""},
		{"2013-01-01 05", ""},
		{"13-01-01", ""},
		{"99999999", ""},
		{"", ""},
		{"NA", ""},
	}
	for _, c := range cases {
		parsed, ok := civil.ParseTimestamp(c.in)
		require.Equal(t, c.want != "", ok, c.in)
		if !ok {
			continue
		}
		v, ok := parsed.Value(civil.MicrosPerSecond)
		require.True(t, ok, c.in)
		require.Equal(t, c.want, string(civil.AppendTimestamp(nil, v, civil.MicrosPerSecond, ' ')), c.in)
	}
}

func TestTimestampOutOfRange(t *testing.T) {
	parsed, ok := civil.ParseTimestamp("5000-01-01 00:00:00")
	require.True(t, ok)
	_, ok = parsed.Value(1_000_000_000)
	require.False(t, ok, "year 5000 is beyond 64 bits of nanoseconds")
}

func TestFormats(t *testing.T) {
	cases := []struct{ format, text, want string }{
		{"%d/%m/%Y", "31/01/2024", "2024-01-31 00:00:00"},
		{"%Y%m%d%H%M%S", "20240131123005", "2024-01-31 12:30:05"},
		{"%b %d, %Y %I:%M %p", "Feb 3, 2024 12:05 AM", "2024-02-03 00:05:00"},
		{"%A %B %-d %y", "monday MARCH 4 99", "1999-03-04 00:00:00"},
		{"%FT%T.%f%z", "2024-01-31T12:30:00.25+02:00", "2024-01-31 10:30:00.25"},
		{"%Y-%j", "2024-366", "2024-12-31 00:00:00"},
		{"%H:%M", "05:15", "1970-01-01 05:15:00"},
		{"100%% %Y", "100% 2024", "2024-01-01 00:00:00"},
		{"%Y-%j", "2023-366", ""},
		{"%d/%m/%Y", "31/02/2024", ""},
		{"%d/%m/%Y", "1/1/2024x", ""},
		{"%I:%M %p", "13:00 PM", ""},
	}
	for _, c := range cases {
		f, err := civil.ParseFormat(c.format)
		require.NoError(t, err, c.format)
		parsed, ok := f.Parse(c.text)
		require.Equal(t, c.want != "", ok, c.text)
		if ok {
			v, _ := parsed.Value(civil.MicrosPerSecond)
			require.Equal(t, c.want, string(civil.AppendTimestamp(nil, v, civil.MicrosPerSecond, ' ')), c.text)
		}
	}
	for _, bad := range []string{"%", "%Q", "%Y-%"} {
		_, err := civil.ParseFormat(bad)
		require.Error(t, err, bad)
	}
}

func TestFormatAgreesWithTime(t *testing.T) {
	f, err := civil.ParseFormat("%Y %y %m %d %j %H %I %M %S %f %p %b %B %a %A")
	require.NoError(t, err)
	for v := int64(-5_000_000_000_000_000); v < 5_000_000_000_000_000; v += 7_777_777_777_777 {
		at := time.UnixMicro(v).UTC()
		want := at.Format("2006 06 01 02 002 15 03 04 05.000000 PM Jan January Mon Monday")
		want = strings.Replace(want, ".", " ", 1)
		require.Equal(t, want, string(f.Append(nil, v, civil.MicrosPerSecond)), v)
	}
}

func TestZones(t *testing.T) {
	zone, err := civil.LoadZone("America/New_York")
	require.NoError(t, err)
	at := func(s string) int64 {
		parsed, ok := civil.ParseTimestamp(s)
		require.True(t, ok, s)
		v, _ := parsed.Value(civil.MicrosPerSecond)
		return v
	}
	cases := []struct{ local, utc string }{
		{"2024-07-01 12:00", "2024-07-01 16:00"},
		{"2024-01-01 12:00", "2024-01-01 17:00"},
		{"2024-03-10 01:59", "2024-03-10 06:59"},
		{"2024-03-10 02:30", "2024-03-10 07:30"}, // skipped
		{"2024-03-10 03:00", "2024-03-10 07:00"},
		{"2024-11-03 01:30", "2024-11-03 05:30"}, // twice: the first
		{"2024-11-03 02:00", "2024-11-03 07:00"},
	}
	for _, c := range cases {
		require.Equal(t, at(c.utc), zone.ToUTC(at(c.local), civil.MicrosPerSecond), c.local)
	}
	require.Equal(t, at("2024-07-01 12:00"), zone.FromUTC(at("2024-07-01 16:00"), civil.MicrosPerSecond))
	fixed, err := civil.LoadZone("-05:30")
	require.NoError(t, err)
	require.Equal(t, at("2024-07-01 12:00"), fixed.ToUTC(at("2024-07-01 06:30"), civil.MicrosPerSecond))
	for _, bad := range []string{"", "Local", "Mars/Olympus", "+99"} {
		_, err := civil.LoadZone(bad)
		require.Error(t, err, bad)
	}
}
