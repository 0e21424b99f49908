package sniff

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/sources/jsontext"
)

func TestText(t *testing.T) {
	tests := []struct{ values, want string }{
		{"", "string"}, {"1|-2|0", "long"}, {"1|2.5", "double"}, {"1e5", "double"}, {".5|-1.", "double"}, {"NaN|1", "double"},
		{"true|False", "boolean"}, {"true|1", "string"}, {"t", "string"}, {"yes", "string"},
		{"007", "string"}, {"0|0.5", "double"}, {"00.5", "string"}, {"-01", "string"}, {"+49301234", "string"}, {"1|007", "string"},
		{"9223372036854775807", "long"}, {"9223372036854775808", "string"}, {"1,5", "string"}, {"1 000", "string"}, {"0x1F", "string"}, {"1_0", "string"},
		{"2024-01-31", "date"}, {"2024-02-30", "string"}, {"2024-01-31|2024-01-31 05:00:00", "timestamp"}, {"2024-01-31T05:00:00.123", "timestamp"},
		{"2024-01-31T05:00:00Z|2024-01-31T05:00:00+01:00", "timestamptz"}, {"2024-01-31T05:00:00Z|2024-01-31T05:00:00", "string"}, {"2024-01-31T05:00:00Z|2024-01-31", "string"},
		{"05:00:00", "string"}, {"2013|2014", "long"}, {"Infinity", "double"}, {" 7 |8", "long"}, {"6ba7b810-9dad-11d1-80b4-00c04fd430c8", "string"}, {"2024-01-31|5", "string"},
	}
	for _, tt := range tests {
		var c Column
		if tt.values != "" {
			for _, v := range strings.Split(tt.values, "|") {
				c.Text([]byte(v))
			}
		}
		require.Equal(t, tt.want, c.String(), tt.values)
	}
}

func TestJSON(t *testing.T) {
	tests := []struct{ values, want string }{
		{`null`, "string"}, {`1|null`, "long"}, {`1|2.0`, "double"}, {`1|"1"`, "string"}, {`"1"`, "string"}, {`true|null|false`, "boolean"},
		{`"2024-01-31T05:00:00Z"`, "timestamptz"}, {`"2024-01-31"|"2024-01-31T05:00:00"`, "timestamp"}, {`123456789012345678901`, "string"},
		{`{"a":1}|{"b":{"c":[true]}}`, "struct<a: long, b: struct<c: list<boolean>>>"}, {`{"a":1}|{"a":2.5}`, "struct<a: double>"},
		{`{"a":1}|[1]`, "string"}, {`{}`, "string"}, {`{}|{"a":null}`, "struct<a: string>"}, {`[]`, "list<string>"}, {`[]|[1,null]|[2.5]`, "list<double>"}, {`[1]|1`, "string"},
		{`{"":1}`, "string"}, {strings.Repeat("[", 40) + "1" + strings.Repeat("]", 40), strings.Repeat("list<", 31) + "string" + strings.Repeat(">", 31)},
	}
	for _, tt := range tests {
		var c, merged Column
		for _, v := range strings.Split(tt.values, "|") {
			var p jsontext.Parser
			p.Reset([]byte(v))
			require.NoError(t, c.JSON(&p))
			var one Column
			p.Reset([]byte(v))
			require.NoError(t, one.JSON(&p))
			merged.Merge(&one)
		}
		require.Equal(t, tt.want, c.String(), tt.values)
		require.Equal(t, tt.want, merged.String(), "merged: %s", tt.values)
	}
}

func TestWiden(t *testing.T) {
	tests := []struct{ a, b, want string }{
		{"int", "long", "long"}, {"float", "double", "double"}, {"float", "int", "double"}, {"long", "double", "double"}, {"decimal(5,2)", "decimal(6,4)", "decimal(7,4)"},
		{"decimal(38,0)", "decimal(38,10)", "string"}, {"decimal(5,2)", "int", "decimal(12,2)"}, {"decimal(5,2)", "double", "double"}, {"date", "timestamp", "timestamp"},
		{"date", "timestamptz", "string"}, {"timestamp", "timestamp_ns", "timestamp_ns"}, {"timestamp", "timestamptz", "string"}, {"boolean", "int", "string"},
		{"uuid", "string", "string"}, {"fixed(3)", "fixed(4)", "binary"}, {"fixed(3)", "binary", "binary"}, {"string", "binary", "string"},
		{"list<int>", "list<long>", "list<long>"}, {"map<string, int>", "map<string, double>", "map<string, double>"},
		{"struct<a: int, b: string>", "struct<c: date, a: long>", "struct<a: long, b: string, c: date>"}, {"struct<a: int>", "list<int>", "string"},
	}
	for _, tt := range tests {
		a, err := columntype.Parse(tt.a)
		require.NoError(t, err)
		b, err := columntype.Parse(tt.b)
		require.NoError(t, err)
		got, err := columntype.Format(Widen(a, b))
		require.NoError(t, err)
		require.Equal(t, tt.want, got, "%s and %s", tt.a, tt.b)
	}
}
