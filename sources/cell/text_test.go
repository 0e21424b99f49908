package cell

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/sources/jsontext"
)

func builder(t testing.TB, notation string) array.Builder {
	dt, err := columntype.Parse(notation)
	require.NoError(t, err)
	b := array.NewBuilder(memory.DefaultAllocator, dt)
	t.Cleanup(b.Release)
	return b
}

// read appends one text to a builder of a type and shows the element that it became.
func read(t testing.TB, notation, in string) string {
	b := builder(t, notation)
	text, err := NewText(b)
	require.NoError(t, err)
	return show(t, b, text([]byte(in)))
}

func show(t testing.TB, b array.Builder, err error) string {
	require.Equal(t, 1, b.Len(), "exactly one element")
	a := b.NewArray()
	defer a.Release()
	if err != nil {
		return "error: " + err.Error()
	}
	if a.IsNull(0) {
		return "null"
	}
	return a.ValueStr(0)
}

func TestText(t *testing.T) {
	tests := []struct{ notation, in, want string }{
		{"boolean", "TRUE", "true"}, {"boolean", "f", "false"}, {"boolean", "maybe", `error: expected boolean, found "maybe"`},
		{"int", "2147483647", "2147483647"}, {"int", "2147483648", `error: expected int, found "2147483648"`},
		{"long", "-9223372036854775808", "-9223372036854775808"}, {"long", " 42\t", "42"}, {"long", "+7", "7"}, {"long", "5.00", "5"},
		{"long", "9223372036854775808", `error: expected long, found "9223372036854775808"`},
		{"long", "5.01", `error: expected long, found "5.01"`}, {"long", "", `error: expected long, found ""`},
		{"long", "1_000", `error: expected long, found "1_000"`}, {"long", "-", `error: expected long, found "-"`},
		{"long", "000000000000000000000012", "12"},
		{"double", "1e3", "1000"}, {"double", "-.5", "-0.5"}, {"double", "0x1p4", `error: expected double, found "0x1p4"`},
		{"double", "1e999", `error: expected double, found "1e999"`}, {"double", "NaN", "NaN"}, {"float", "1e39", `error: expected float, found "1e39"`},
		{"decimal(5,2)", "123.45", "123.45"}, {"decimal(5,2)", "-0.5", "-0.5"}, {"decimal(5,2)", "1.500", "1.5"},
		{"decimal(5,2)", "1234", `error: expected decimal(5,2), found "1234"`}, {"decimal(5,2)", "1.234", `error: expected decimal(5,2), found "1.234"`},
		{"decimal(5,0)", "12e3", "12000"}, {"decimal(5,0)", "120e-1", "12"}, {"decimal(5,0)", "0e999999999", "0"}, {"decimal(5,0)", "1e999999999", `error: expected decimal(5,0), found "1e999999999"`},
		{"decimal(38,10)", "1234567890123456789012345678.0123456789", "1234567890123456789012345678.0123456789"},
		{"date", "2024-02-29", "2024-02-29"}, {"date", "2023-02-29", `error: expected date, found "2023-02-29"`}, {"date", "2024-02-29T00:00:00", "2024-02-29"},
		{"date", "2024-02-29 01:00:00", `error: expected date, found "2024-02-29 01:00:00"`},
		{"time", "23:59:59.5", "23:59:59.500000"}, {"time", "24:00", `error: expected time, found "24:00"`},
		{"timestamp", "2013-01-01 05:00", "2013-01-01T05:00:00"}, {"timestamp", "2013-01-01", "2013-01-01T00:00:00"},
		{"timestamp", "2013-01-01T05:00:00Z", `error: expected timestamp, found "2013-01-01T05:00:00Z"`},
		{"timestamptz", "2013-01-01T05:00:00.123456789+01:00", "2013-01-01T04:00:00.123456Z"}, {"timestamptz", "1969-12-31 23:59:59.5-0130", "1970-01-01T01:29:59.5Z"},
		{"timestamptz", "2013-01-01 05:00:00", "2013-01-01T05:00:00Z"}, {"timestamptz", "2013-01-01T05:00:60Z", `error: expected timestamptz, found "2013-01-01T05:00:60Z"`},
		{"timestamptz_ns", "2013-01-01T05:00:00.123456789Z", "2013-01-01T05:00:00.123456789Z"}, {"timestamp_ns", "2500-01-01", `error: expected timestamp_ns, found "2500-01-01"`},
		{"string", " é ", " é "}, {"string", "a\xffb", `error: invalid UTF-8 at byte 2: "a\xffb"`}, {"string", "", ""},
		{"uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}, {"uuid", "6ba7b810", `error: expected uuid, found "6ba7b810"`},
		{"fixed(2)", "ab", "YWI="}, {"fixed(2)", "abc", `error: expected fixed(2), found "abc"`}, {"binary", "\xff", "/w=="},
		{"struct<a: int, b: list<string>>", `{"b":["x",1],"a":2}`, `{"a":2,"b":["x","1"]}`},
		{"list<int>", "[1", "error: expected list<int> as JSON: not JSON at character 3: expected a comma or ], found the end"},
		{"list<int>", "[1] 2", "error: expected list<int> as JSON: not JSON at character 5: more text after the value: '2'"},
		{"long", strings.Repeat("é", 100), `error: expected long, found "` + strings.Repeat("é", 60) + `…"`},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, read(t, tt.notation, tt.in), "%s of %q", tt.notation, tt.in)
	}
}

func TestJSON(t *testing.T) {
	tests := []struct{ notation, in, want string }{
		{"long", `null`, "null"}, {"long", `12`, "12"}, {"long", `"12"`, "12"}, {"long", `1.5`, "error: expected long, found 1.5"},
		{"long", `true`, "error: expected long, found true"}, {"boolean", `true`, "true"}, {"boolean", `1`, "error: expected boolean, found 1"},
		{"double", `"NaN"`, "NaN"}, {"decimal(4,2)", `12.5`, "12.5"}, {"date", `"2024-01-01"`, "2024-01-01"}, {"date", `20240101`, "error: expected date, found 20240101"},
		{"string", `"a\u00e9"`, "aé"}, {"string", `{"a": 1}`, `{"a": 1}`}, {"string", `12.0`, "12.0"},
		{"binary", `"YWI="`, "YWI="}, {"binary", `"?"`, `error: expected binary in base64, found "?"`}, {"fixed(2)", `"YWI="`, "YWI="}, {"fixed(3)", `"YWI="`, `error: expected fixed(3) in base64, found "YWI="`},
		{"list<list<int>>", `[[1,null],null,[]]`, "[[1,null],null,[]]"}, {"list<int>", `[1,"x",2]`, `error: field element: expected int, found "x"`}, {"list<int>", `{}`, "error: expected list<int>, found {}"},
		{"map<string, long>", `{"a":1,"b":null}`, `[{"key":"a","value":1},{"key":"b","value":null}]`}, {"map<int, long>", `{"7":1}`, `[{"key":7,"value":1}]`},
		{"map<int, long>", `{"x":1}`, `error: field key: expected int, found "x"`}, {"map<string, long>", `{"a":1,"a":2}`, `error: key "a" comes twice`},
		{"struct<a: struct<b: int>>", `{"a":{"b":1,"c":2}}`, `{"a":{"b":1}}`}, {"struct<a: struct<b: int>>", `{"a":{"b":"x"}}`, `error: field a.b: expected int, found "x"`},
		{"struct<a: int>", `{"a":1,"a":2}`, `error: the key comes twice`}, {"struct<a: int, b: int>", `{"b":1}`, `{"a":null,"b":1}`},
		{"struct<a: list<map<string, int>>>", `{"a":[{"x":1},{"x":`, "error: not JSON at character 20: a value is missing"},
	}
	for _, tt := range tests {
		b := builder(t, tt.notation)
		j, err := NewJSON(b, nil)
		require.NoError(t, err)
		var p jsontext.Parser
		p.Reset([]byte(tt.in))
		k, err := p.Peek()
		require.NoError(t, err)
		require.Equal(t, tt.want, show(t, b, j.Append(&p, k)), "%s of %s", tt.notation, tt.in)
	}
}

// FuzzJSON checks that a value of any text leaves exactly one sound element.
func FuzzJSON(f *testing.F) {
	f.Add([]byte(`{"a":{"x":[1,{"k":2}]},"b":{"y":null},"c":"2024-01-01"}`))
	f.Add([]byte(`{"a":{"x":[1,{`))
	f.Add([]byte(`{"b":{"1":{"`))
	f.Fuzz(func(t *testing.T, in []byte) {
		b := builder(t, "struct<a: struct<x: list<string>>, b: map<int, map<string, double>>, c: date, d: list<struct<e: decimal(9,2)>>>")
		j, err := NewJSON(b, nil)
		require.NoError(t, err)
		var p jsontext.Parser
		for row := 1; row <= 2; row++ {
			p.Reset(in)
			if k, err := p.Peek(); err == nil {
				_ = j.Append(&p, k)
				require.Equal(t, row, b.Len())
			} else {
				b.AppendNull()
			}
		}
		a := b.NewArray().(*array.Struct)
		defer a.Release()
		for i := range a.NumField() {
			require.Equal(t, 2, a.Field(i).Len())
		}
		_, err = a.MarshalJSON()
		require.NoError(t, err)
	})
}

func FuzzDecimal(f *testing.F) {
	for _, s := range []string{"1.50", "-0", "12e-3", "99999999999999999999999999999999999999", "1e38", "+.5"} {
		f.Add(s, int32(38), int32(10))
	}
	f.Fuzz(func(t *testing.T, in string, precision, scale int32) {
		if precision < 1 || precision > 38 || scale < 0 || scale > precision || len(in) > 100 {
			return
		}
		got, ok := ParseDecimal([]byte(in), precision, scale)
		if !ok {
			return
		}
		want, exact := new(big.Rat).SetString(in)
		require.True(t, exact, in)
		shown, _ := new(big.Rat).SetString(got.ToString(scale))
		require.Zero(t, want.Cmp(shown), "%s became %s", in, got.ToString(scale))
	})
}

// Every day of four centuries agrees with the standard library.
func TestParseDateAgainstTime(t *testing.T) {
	for day := -200 * 366; day < 300*366; day++ {
		text := time.Unix(int64(day)*secondsPerDay, 0).UTC().Format(time.DateOnly)
		got, ok := ParseDate([]byte(text))
		require.True(t, ok, text)
		require.Equal(t, int32(day), got, text)
	}
}

var strict = regexp.MustCompile(`^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$`)

func FuzzInstant(f *testing.F) {
	for _, s := range []string{"2013-01-01T05:00:00Z", "2013-01-01 05:00:00.123+01:30", "0001-01-01", "9999-12-31T23:59:59.999999999Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, ok := ParseInstant([]byte(in))
		want, err := time.Parse(time.RFC3339Nano, strings.Replace(in, " ", "T", 1))
		if err != nil || !strict.MatchString(in) || want.Year() < 1 {
			return // each reads forms that the other does not
		}
		_, offset := want.Zone()
		if offset > 18*3600 || offset < -18*3600 {
			return
		}
		require.True(t, ok, in)
		require.Equal(t, want.UnixNano(), time.Unix(got.Seconds, got.Nanos).UnixNano(), in)
	})
}

func BenchmarkText(b *testing.B) {
	for _, tt := range []struct{ notation, in string }{
		{"long", "1545"}, {"double", "1545.25"}, {"string", "N14228"}, {"timestamptz", "2013-01-01T10:00:00Z"}, {"decimal(18,2)", "1545.25"},
	} {
		b.Run(fmt.Sprint(tt.notation), func(b *testing.B) {
			bld := builder(b, tt.notation)
			text, err := NewText(bld)
			require.NoError(b, err)
			in := []byte(tt.in)
			for b.Loop() {
				_ = text(in)
				if bld.Len() == 1<<16 {
					bld.NewArray().Release()
				}
			}
		})
	}
}
