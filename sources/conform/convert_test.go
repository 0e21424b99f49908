package conform

import (
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/sources/cell"
)

func parse(t testing.TB, notation string) arrow.DataType {
	switch notation { // types that only files have
	case "uint64":
		return arrow.PrimitiveTypes.Uint64
	case "int8":
		return arrow.PrimitiveTypes.Int8
	case "float16":
		return arrow.FixedWidthTypes.Float16
	case "large_string":
		return arrow.BinaryTypes.LargeString
	case "string_view":
		return arrow.BinaryTypes.StringView
	case "timestamp_s":
		return &arrow.TimestampType{Unit: arrow.Second, TimeZone: "America/New_York"}
	case "time32":
		return arrow.FixedWidthTypes.Time32ms
	case "null":
		return arrow.Null
	case "decimal256":
		return &arrow.Decimal256Type{Precision: 40, Scale: 3}
	case "large_list":
		return arrow.LargeListOf(arrow.PrimitiveTypes.Int32)
	case "fixed_list":
		return arrow.FixedSizeListOf(2, arrow.PrimitiveTypes.Int32)
	case "dictionary":
		return &arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}
	}
	dt, err := columntype.Parse(notation)
	require.NoError(t, err)
	return dt
}

// convert converts a JSON array and shows the values, and the faults by row.
func convert(t testing.TB, from, in, to string) (string, string) {
	mem := memory.NewCheckedAllocator(memory.DefaultAllocator)
	defer mem.AssertSize(t.(*testing.T), 0)
	whole, _, err := array.FromJSON(mem, parse(t, from), strings.NewReader(in))
	require.NoError(t, err, in)
	defer whole.Release()
	c, err := New(whole.DataType(), parse(t, to))
	if err != nil {
		return "", err.Error()
	}
	run := func(a arrow.Array) (string, string) {
		var faults []string
		out, err := c(mem, a, func(row int, m *cell.Mismatch) { faults = append(faults, fmt.Sprintf("%d: %v", row, m)) })
		require.NoError(t, err)
		defer out.Release()
		require.True(t, arrow.TypeEqual(parse(t, to), out.DataType()), "%s", out.DataType())
		require.Equal(t, a.Len(), out.Len())
		values := make([]string, out.Len())
		for i := range values {
			values[i] = out.ValueStr(i)
		}
		return strings.Join(values, " "), strings.Join(faults, "; ")
	}
	values, faults := run(whole)
	// A slice of it converts to the same.
	if n := whole.Len(); n > 1 && faults == "" {
		part := array.NewSlice(whole, 1, int64(n))
		defer part.Release()
		tail, _ := run(part)
		require.True(t, strings.HasSuffix(values, tail), "%s of a slice: %s", values, tail)
	}
	return values, faults
}

func TestConvert(t *testing.T) {
	tests := []struct{ from, in, to, want, faults string }{
		{"int", `[1,null,-2]`, "int", "1 (null) -2", ""},
		{"int", `[1,null,-2]`, "long", "1 (null) -2", ""},
		{"int8", `[1,-2]`, "int", "1 -2", ""},
		{"uint64", `[1,18446744073709551615]`, "decimal(20,0)", "1 18446744073709551615", ""},
		{"long", `[1,3000000000,null,-3000000000,5]`, "int", "1 (null) (null) (null) 5", "1: expected int, found 3000000000; 3: expected int, found -3000000000"},
		{"long", `[1,1152921504606846977]`, "double", "1 1.152921504606847e+18", ""},
		{"double", `[1,2.5,1000000]`, "long", "1 (null) 1000000", "1: expected long, found 2.5"},
		{"double", `[1.5,1e300]`, "float", "1.5 (null)", `1: expected float, found "1e+300"`},
		{"float", `[1.5]`, "double", "1.5", ""},
		{"double", `[0.1,1e3]`, "decimal(5,1)", "0.1 1000", ""},
		{"long", `[0,1,2]`, "boolean", "false true (null)", `2: expected boolean, found "2"`},
		{"decimal(5,2)", `["1.50","-2.25",null]`, "decimal(9,4)", "1.5 -2.25 (null)", ""},
		{"decimal(5,2)", `["1.50","1.25"]`, "decimal(5,1)", "1.5 (null)", "1: expected decimal(5,1), found 1.25"},
		{"decimal256", `["1.500"]`, "decimal(5,1)", "1.5", ""},
		{"date", `["2024-01-31"]`, "timestamp", "2024-01-31T00:00:00", ""},
		{"timestamp", `["2024-01-31","2024-01-31 01:00"]`, "date", "2024-01-31 (null)", `1: expected date, found "2024-01-31T01:00:00"`},
		{"timestamp_ns", `["2024-01-31 00:00:00.123456789"]`, "timestamp", "2024-01-31T00:00:00.123456", ""},
		{"timestamp_s", `["2024-01-31T00:00:00Z"]`, "timestamptz", "2024-01-31T00:00:00Z", ""},
		{"timestamptz", `["2024-01-31T00:00:00Z"]`, "timestamp", "2024-01-31T00:00:00", ""},
		{"time32", `["05:00:00.500"]`, "time", "05:00:00.500000", ""},
		{"string", `["1","x",null]`, "long", "1 (null) (null)", `1: expected long, found "x"`},
		{"string", `["2024-01-31T00:00:00+01:00"]`, "timestamptz", "2024-01-30T23:00:00Z", ""},
		{"string", `["6ba7b810-9dad-11d1-80b4-00c04fd430c8"]`, "uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", ""},
		{"uuid", `["6ba7b810-9dad-11d1-80b4-00c04fd430c8",null]`, "string", "6ba7b810-9dad-11d1-80b4-00c04fd430c8 (null)", ""},
		{"fixed(16)", `["AAAAAAAAAAAAAAAAAAAAAA=="]`, "uuid", "00000000-0000-0000-0000-000000000000", ""},
		{"uuid", `["00000000-0000-0000-0000-000000000000"]`, "fixed(16)", "AAAAAAAAAAAAAAAAAAAAAA==", ""},
		{"large_string", `["a",null]`, "string", "a (null)", ""},
		{"string_view", `["a string longer than twelve bytes",null]`, "string", "a string longer than twelve bytes (null)", ""},
		{"dictionary", `["a","b","a",null]`, "string", "a b a (null)", ""},
		{"binary", `["YWI=","/w=="]`, "string", "ab (null)", `1: invalid UTF-8 at byte 1: "\xff"`},
		{"fixed(2)", `["YWI="]`, "binary", "YWI=", ""},
		{"null", `[null,null]`, "long", "(null) (null)", ""},
		{"long", `[1,null]`, "string", "1 (null)", ""}, {"boolean", `[true]`, "string", "true", ""}, {"decimal(5,2)", `["1.50"]`, "string", "1.50", ""}, {"date", `["2024-01-31"]`, "string", "2024-01-31", ""},
		{"list<int>", `[[1],null]`, "string", "[1] (null)", ""}, {"struct<a: int>", `[{"a":1}]`, "string", `{"a":1}`, ""},

		{"struct<a: int, b: string>", `[{"a":1,"b":"x"},null,{"a":null,"b":"y"}]`, "struct<c: date, b: string, a: long>",
			`{"a":1,"b":"x","c":null} (null) {"a":null,"b":"y","c":null}`, ""},
		{"struct<a: struct<b: string>>", `[{"a":{"b":"1"}},{"a":{"b":"x"}}]`, "struct<a: struct<b: int>>", `{"a":{"b":1}} {"a":{"b":null}}`, `1: field a.b: expected int, found "x"`},
		{"list<int>", `[[1,2],null,[],[3]]`, "list<long>", "[1,2] (null) [] [3]", ""},
		{"large_list", `[[1,2],null,[3]]`, "list<long>", "[1,2] (null) [3]", ""},
		{"fixed_list", `[[1,2],[3,4]]`, "list<long>", "[1,2] [3,4]", ""},
		{"list<string>", `[["1"],["2","x"],["y"]]`, "list<int>", "[1] [2,null] [null]", `1: field element: expected int, found "x"; 2: field element: expected int, found "y"`},
		{"map<string, int>", `[[{"key":"a","value":1}],null,[{"key":"b","value":null}]]`, "map<string, long>", `[{"key":"a","value":1}] (null) [{"key":"b","value":null}]`, ""},
		{"map<string, string>", `[[{"key":"1","value":"x"}],[{"key":"z","value":"7"}]]`, "map<int, int>", `[{"key":1,"value":null}] [{"key":0,"value":7}]`,
			`1: field key: expected int, found "z"; 0: field value: expected int, found "x"`},

		{"struct<a: int>", `[]`, "long", "", "struct<a: int> cannot become long"},
		{"list<int>", `[]`, "map<string, int>", "", "list<int> cannot become map<string, int>"},
		{"struct<a: list<int>>", `[]`, "struct<a: struct<b: int>>", "", "field a: list<int> cannot become struct<b: int>"},
	}
	for _, tt := range tests {
		t.Run(tt.from+" to "+tt.to, func(t *testing.T) {
			values, faults := convert(t, tt.from, tt.in, tt.to)
			require.Equal(t, tt.want, values)
			require.Equal(t, tt.faults, faults)
		})
	}
}

// Strings are checked: a character that two values share is valid in neither.
func TestInvalidStrings(t *testing.T) {
	b := array.NewStringBuilder(memory.DefaultAllocator)
	defer b.Release()
	for _, s := range []string{"ok", "\xc3", "\xa9", "é"} {
		b.BinaryBuilder.Append([]byte(s))
	}
	a := b.NewArray()
	defer a.Release()
	c, err := New(arrow.BinaryTypes.String, arrow.BinaryTypes.String)
	require.NoError(t, err)
	var rows []int
	out, err := c(memory.DefaultAllocator, a, func(row int, _ *cell.Mismatch) { rows = append(rows, row) })
	require.NoError(t, err)
	defer out.Release()
	require.Equal(t, []int{1, 2}, rows)
	require.Equal(t, "é", out.ValueStr(3))
}
