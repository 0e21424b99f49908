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
	for _, c := range [][2]string{{"n", "int"}, {"m", "long"}, {"s", "string"}, {"day", "date"}, {"at", "timestamptz"}, {"flag", "boolean"}, {"x", "double"}} {
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
		{"n < 5.5", "", ""}, // no int is 5.5
		{"n < 5.0", "LessThan(n, 5)", "Or(GreaterThanEqual(n, 5), IsNull(n))"},
		{"n < 10000000000", "", ""},
		{"x < 5", "", ""}, // a NaN is in no bounds
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
