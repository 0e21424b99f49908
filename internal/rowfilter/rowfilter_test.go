package rowfilter

import (
	"regexp"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/columntype"
)

func columns(t *testing.T) *arrow.Schema {
	var fields []arrow.Field
	for _, c := range [][2]string{{"n", "int"}, {"m", "long"}, {"s", "string"}, {"day", "date"}, {"at", "timestamptz"}, {"flag", "boolean"}, {"x", "double"}, {"f", "float"}, {"price", "decimal(9,2)"}, {"wide", "decimal(38,0)"}, {"u", "uuid"}, {"ns", "timestamp_ns"}, {"noon", "time"}} {
		kind, err := columntype.Parse(c[1])
		require.NoError(t, err)
		fields = append(fields, arrow.Field{Name: c[0], Type: kind, Nullable: true})
	}
	return arrow.NewSchema(fields, nil)
}

var (
	reference = regexp.MustCompile(`Reference\(name='(\w+)'\)`)
	brief     = strings.NewReplacer("term=", "", "literal=", "", "left=", "", "right=", "")
)

func TestBounds(t *testing.T) {
	for _, c := range []struct{ condition, may, rest string }{
		{"n < 5", "LessThan(n, 5)", "Or(GreaterThanEqual(n, 5), IsNull(n))"},
		{"5 < n", "GreaterThan(n, 5)", "Or(LessThanEqual(n, 5), IsNull(n))"},
		{"m == 1 + 2", "Equal(m, 3)", "Or(NotEqual(m, 3), IsNull(m))"},
		{"n < 5.5", "LessThanEqual(n, 6)", "Or(GreaterThanEqual(n, 5), IsNull(n))"}, // no int is 5.5
		{"n == 5.5", "And(LessThanEqual(n, 6), GreaterThanEqual(n, 5))", ""},
		{"n != -5.5", "", "Or(And(LessThanEqual(n, -5), GreaterThanEqual(n, -6)), IsNull(n))"},
		{"m < 9007199254740991.0", "LessThan(m, 9007199254740991)", "Or(GreaterThanEqual(m, 9007199254740991), IsNull(m))"},
		{"m < 9007199254740992.0", "", ""}, // the next long too is equal to this double
		{"m == 9223372036854775807.0", "", ""},
		{"n < 5.0", "LessThan(n, 5)", "Or(GreaterThanEqual(n, 5), IsNull(n))"},
		{"n < 10000000000", "", ""},
		// To expressions NaN is above all numbers, and equal to itself; bounds leave it out.
		{"x < 5", "LessThan(x, 5)", "Or(Or(GreaterThanEqual(x, 5), IsNaN(x)), IsNull(x))"},
		{"x >= 5", "Or(GreaterThanEqual(x, 5), IsNaN(x))", "Or(LessThan(x, 5), IsNull(x))"},
		{"x != -0.0", "Or(NotEqual(x, 0), IsNaN(x))", "Or(Equal(x, 0), IsNull(x))"},
		{`x == double("nan")`, "", ""},
		{`x > double("inf")`, "", ""},
		{"x in [1, 2.5]", "Or(Equal(x, 1), Equal(x, 2.5))", ""},
		{"f < 0.5", "LessThan(f, 0.5)", "Or(Or(GreaterThanEqual(f, 0.5), IsNaN(f)), IsNull(f))"},
		{"f < 0.1", "LessThanEqual(f, 0.1)", "Or(Or(GreaterThanEqual(f, 0.099999994), IsNaN(f)), IsNull(f))"},
		{"price < 1.5", "LessThan(price, 1.50)", "Or(GreaterThanEqual(price, 1.50), IsNull(price))"},
		{"price > 1.005", "GreaterThanEqual(price, 1.00)", "Or(LessThanEqual(price, 1.01), IsNull(price))"},
		{"price <= -1.005", "LessThanEqual(price, -1.00)", "Or(GreaterThanEqual(price, -1.01), IsNull(price))"},
		{"price == 7", "Equal(price, 7.00)", "Or(NotEqual(price, 7.00), IsNull(price))"},
		{"price < 100000000", "", ""},                    // beyond its digits
		{`wide > double("1152921504606846976")`, "", ""}, // compared as doubles
		{"wide > 1152921504606846976", "GreaterThan(wide, 1152921504606846976)", "Or(LessThanEqual(wide, 1152921504606846976), IsNull(wide))"},
		{`u == "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"`, "Equal(u, f81d4fae-7dec-11d0-a765-00a0c91e6bf6)", "Or(NotEqual(u, f81d4fae-7dec-11d0-a765-00a0c91e6bf6), IsNull(u))"},
		{`ns > "2024-01-31 00:00:00.123456789"`, "GreaterThan(ns, 2024-01-31 00:00:00.123456789)", "Or(LessThanEqual(ns, 2024-01-31 00:00:00.123456789), IsNull(ns))"},
		{`noon <= "12:00"`, "LessThanEqual(noon, 12:00:00.000000)", "Or(GreaterThan(noon, 12:00:00.000000), IsNull(noon))"},
		{`day < timestamp("2024-01-31 12:00")`, "LessThanEqual(day, 2024-02-01)", "Or(GreaterThanEqual(day, 2024-01-31), IsNull(day))"},
		{"s == null", "IsNull(s)", "NotNull(s)"},
		{"not (s != nil)", "IsNull(s)", "NotNull(s)"},
		{`day >= date("2024-01-31")`, "GreaterThanEqual(day, 2024-01-31)", "Or(LessThan(day, 2024-01-31), IsNull(day))"},
		{`day >= "2024-01-31"`, "GreaterThanEqual(day, 2024-01-31)", "Or(LessThan(day, 2024-01-31), IsNull(day))"},
		{`at < timestamptz("2024-01-31")`, "LessThan(at, 2024-01-31 00:00:00.000000)", "Or(GreaterThanEqual(at, 2024-01-31 00:00:00.000000), IsNull(at))"},
		{"at < now()", "", ""}, // another time each time
		{"flag", "Equal(flag, true)", "Or(Equal(flag, false), IsNull(flag))"},
		{"not flag", "Equal(flag, false)", "Or(Equal(flag, true), IsNull(flag))"},
		{"true", "", "AlwaysFalse()"},
		{"n in [1, 2]", "Or(Equal(n, 1), Equal(n, 2))", ""},
		{"n < 5 and lower(s) == \"a\"", "LessThan(n, 5)", ""},
		{"n < 5 or lower(s) == \"a\"", "", "Or(GreaterThanEqual(n, 5), IsNull(n))"},
		{"not (n < 5 and m > 1)", "Or(GreaterThanEqual(n, 5), LessThanEqual(m, 1))", "Or(And(LessThan(n, 5), GreaterThan(m, 1)), Or(IsNull(n), IsNull(m)))"},
		{"n < m", "", ""},
		{"n + 1 < 5", "", ""},
	} {
		f, err := Compile(c.condition, columns(t))
		require.NoError(t, err, c.condition)
		for _, side := range []struct {
			want string
			have any
		}{{c.may, f.May}, {c.rest, f.Rest}} {
			text := ""
			if e, ok := side.have.(interface{ String() string }); ok && e != nil {
				text = brief.Replace(reference.ReplaceAllString(e.String(), "$1"))
			}
			require.Equal(t, side.want, text, c.condition)
		}
	}
	_, err := Compile("n + 1", columns(t))
	require.ErrorContains(t, err, "a condition is true or false")
	_, err = Compile("k == 1", columns(t))
	require.ErrorContains(t, err, `k`)
}
