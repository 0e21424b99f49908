package columntype_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/extensions"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/columntype"
)

func TestParseAndFormatAreInverse(t *testing.T) {
	notations := append([]string{
		"decimal(18,2)", "decimal(38,0)", "fixed(16)", "list<string>", "map<string, long>", "struct<a: int>",
		`struct<a: int, b: list<map<string, struct<x: uuid, "y z": timestamptz>>>, "é": binary>`,
	}, columntype.Primitives...)
	for _, notation := range notations {
		parsed, err := columntype.Parse(notation)
		require.NoError(t, err, notation)
		formatted, err := columntype.Format(parsed)
		require.NoError(t, err, notation)
		require.Equal(t, notation, formatted)
		require.True(t, arrow.TypeEqual(parsed, columntype.Storable(parsed)), notation)
	}
}

func TestParseIsLenientAboutSpace(t *testing.T) {
	parsed, err := columntype.Parse(" struct< a :int,b:\tdecimal( 5 , 2 ) > ")
	require.NoError(t, err)
	formatted, err := columntype.Format(parsed)
	require.NoError(t, err)
	require.Equal(t, "struct<a: int, b: decimal(5,2)>", formatted)
}

func TestParseErrors(t *testing.T) {
	deep := strings.Repeat("list<", 100) + "int" + strings.Repeat(">", 100)
	cases := []struct {
		in, message, hint string
		offset            int
	}{
		{"", "expected a type, found the end of the type", "", 0},
		{"bigint", `unknown type "bigint": expected boolean, int`, "long", 0},
		{"strin", `unknown type "strin"`, "string", 0},
		{"Long", `unknown type "Long"`, "long", 0},
		{"int x", `unexpected "x" after the type`, "", 4},
		{"decimal", "decimal takes a precision and a scale, as in decimal(18,2): expected '(', found the end", "", 7},
		{"decimal(39,2)", "decimal precision 39 is not between 1 and 38", "", 0},
		{"decimal(5,6)", "decimal scale 6 is greater than its precision 5", "", 0},
		{"decimal(5,-1)", "expected a whole number", "", 10},
		{"fixed(0)", "fixed length 0 is not positive", "", 0},
		{"fixed(99999999999)", "expected a whole number", "", 6},
		{"list<int", "expected '>', found the end of the type", "", 8},
		{"list<nope>", `unknown type "nope"`, "", 5},
		{"map<string>", "expected ',', found \">\"", "", 10},
		{"struct<>", "expected a struct field, as in struct<a: int>, found \">\"", "", 7},
		{"struct<a: int, a: int>", `struct field "a" is named twice`, "", 15},
		{`struct<"a: int>`, "the quote of a struct field's name is not closed", "", 7},
		{deep, "nests deeper than 32", "", 165},
	}
	for _, c := range cases {
		_, err := columntype.Parse(c.in)
		var typed *columntype.Error
		require.True(t, errors.As(err, &typed), c.in)
		require.Contains(t, typed.Message, c.message, c.in)
		require.Equal(t, c.hint, typed.Hint, c.in)
		require.Equal(t, c.offset, typed.Offset, c.in)
	}
}

func TestFormatNamesTheNearestType(t *testing.T) {
	cases := []struct {
		in   arrow.DataType
		want string
	}{
		{arrow.PrimitiveTypes.Int8, "int"},
		{arrow.PrimitiveTypes.Uint16, "int"},
		{arrow.PrimitiveTypes.Uint32, "long"},
		{arrow.FixedWidthTypes.Float16, "float"},
		{arrow.BinaryTypes.LargeString, "string"},
		{arrow.BinaryTypes.StringView, "string"},
		{arrow.BinaryTypes.LargeBinary, "binary"},
		{arrow.FixedWidthTypes.Date64, "date"},
		{arrow.FixedWidthTypes.Time32s, "time"},
		{arrow.FixedWidthTypes.Timestamp_s, "timestamptz"},
		{&arrow.TimestampType{Unit: arrow.Millisecond}, "timestamp"},
		{&arrow.TimestampType{Unit: arrow.Nanosecond}, "timestamp_ns"},
		{&arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "Europe/Madrid"}, "timestamptz_ns"},
		{&arrow.Decimal256Type{Precision: 20, Scale: 3}, "decimal(20,3)"},
		{&arrow.DictionaryType{IndexType: arrow.PrimitiveTypes.Int8, ValueType: arrow.BinaryTypes.String}, "string"},
		{arrow.RunEndEncodedOf(arrow.PrimitiveTypes.Int32, arrow.PrimitiveTypes.Int16), "int"},
		{arrow.FixedSizeListOf(3, arrow.PrimitiveTypes.Float32), "list<float>"},
		{arrow.LargeListOf(arrow.BinaryTypes.LargeString), "list<string>"},
		{extensions.NewBool8Type(), "boolean"},
		{extensions.NewUUIDType(), "uuid"},
	}
	for _, c := range cases {
		got, err := columntype.Format(c.in)
		require.NoError(t, err, c.in.String())
		require.Equal(t, c.want, got, c.in.String())
		parsed, err := columntype.Parse(c.want)
		require.NoError(t, err)
		require.True(t, arrow.TypeEqual(parsed, columntype.Storable(c.in)), c.in.String())
	}
	wide, err := columntype.Format(arrow.PrimitiveTypes.Uint64)
	require.NoError(t, err)
	require.Equal(t, "decimal(20,0)", wide)
}

func TestWhatTablesCannotStore(t *testing.T) {
	for _, in := range []arrow.DataType{
		arrow.Null, arrow.FixedWidthTypes.Duration_s, arrow.FixedWidthTypes.MonthInterval,
		&arrow.Decimal256Type{Precision: 60, Scale: 3}, arrow.StructOf(),
		arrow.ListOf(arrow.FixedWidthTypes.Duration_s), nil,
	} {
		_, err := columntype.Format(in)
		require.ErrorContains(t, err, "tables cannot store a column")
		require.Equal(t, in, columntype.Storable(in))
	}
}

func TestStorableKeepsNullabilityAndMetadata(t *testing.T) {
	meta := arrow.NewMetadata([]string{"PARQUET:field_id"}, []string{"7"})
	in := arrow.StructOf(arrow.Field{Name: "a", Type: arrow.PrimitiveTypes.Int16, Nullable: false, Metadata: meta})
	out := columntype.Storable(in).(*arrow.StructType)
	require.False(t, out.Field(0).Nullable)
	require.Equal(t, meta, out.Field(0).Metadata)
	require.Equal(t, arrow.PrimitiveTypes.Int32, out.Field(0).Type)
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"int", "struct<a: decimal(3,1)>", "map<string, list<uuid>>", `struct<"x": int>`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := columntype.Parse(s)
		if err != nil {
			var typed *columntype.Error
			require.True(t, errors.As(err, &typed))
			require.LessOrEqual(t, typed.Offset, len(s))
			return
		}
		formatted, err := columntype.Format(parsed)
		require.NoError(t, err)
		again, err := columntype.Parse(formatted)
		require.NoError(t, err)
		require.True(t, arrow.TypeEqual(parsed, again))
	})
}
