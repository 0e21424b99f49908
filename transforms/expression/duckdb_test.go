//go:build duckdb_arrow

package expression_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	_ "github.com/duckdb/duckdb-go/v2"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/transforms/expression"
)

// The columns that both engines see, with the texts of their values; both parse the texts.
var duckColumns = []struct {
	name, iceberg, duck string
	values              []string
}{
	{"b", "boolean", "BOOLEAN", []string{"true", "false"}},
	{"i", "int", "INTEGER", []string{"0", "1", "-7", "12", "2147483647", "-2147483648"}},
	{"l", "long", "BIGINT", []string{"0", "3", "-9000000000", "9223372036854775807"}},
	{"x", "double", "DOUBLE", []string{"0", "1.5", "-2.25", "1e20", "1e-7", "123456.789", "0.1", "3", "nan", "inf"}},
	{"f", "float", "FLOAT", []string{"0", "1.5", "0.1", "16777216", "1e30"}},
	{"m", "decimal(10,2)", "DECIMAL(10,2)", []string{"0.00", "12.50", "-0.01", "99999.99", "1.25"}},
	{"n", "decimal(18,4)", "DECIMAL(18,4)", []string{"0.5000", "-3.1416", "2.0000", "12.5000"}},
	{"s", "string", "VARCHAR", []string{"", "a", "Äpfel und b", "N123AA", "b,c", "12", " pad "}},
	{"t", "string", "VARCHAR", []string{"a", "b", "", "N1"}},
	{"d", "date", "DATE", []string{"2024-02-29", "1970-01-01", "1969-07-20", "2023-12-31", "2021-01-03"}},
	{"ts", "timestamp", "TIMESTAMP", []string{"2024-02-29 23:59:59.5", "1969-12-31 23:59:59.999999", "2013-01-01 05:00:00", "2024-12-30 00:00:00"}},
	{"tz", "timestamptz", "TIMESTAMPTZ", []string{"2024-07-01 16:00:00+00", "1970-01-01 00:00:00+00", "2013-03-10 07:30:00.25+00"}},
	{"u", "uuid", "UUID", []string{"f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "00000000-0000-0000-0000-000000000001"}},
}

// Pairs of our expression and DuckDB's SQL; "=" stands for the same text. Results are compared as text.
var duckPairs = [][2]string{
	{"b and i > 0", "b AND i > 0"}, {"b or x > 1", "b OR x > 1"}, {"not b", "NOT b"}, {"b == (i > 1)", "b = (i > 1)"},
	{"i == l", "i = l"}, {"i < x", "i < x"}, {"x > 1.5", "x > 1.5"}, {"x == x", "x = x"}, {"x >= f", "x >= f"}, {"x < double(\"nan\")", "x < 'nan'::DOUBLE"},
	{"m > 12.49", "m > 12.49"}, {"m == n", "m = n"}, {"m < i", "m < i"}, {"m >= 1.25", "="}, {"n in [0.5, 2]", "n IN (0.5, 2)"},
	{"s == t", "s = t"}, {"s < t", "s < t"}, {"s >= \"N\"", "s >= 'N'"}, {"s in [\"a\", nil]", "s IN ('a', NULL)"}, {"s not in [\"a\", \"b\"]", "s NOT IN ('a', 'b')"},
	{"d > \"2000-01-01\"", "d > '2000-01-01'::DATE"}, {"ts >= d", "ts >= d"}, {"tz < timestamptz(\"2000-01-01\")", "tz < '2000-01-01 00:00:00+00'::TIMESTAMPTZ"},
	{"u == \"00000000-0000-0000-0000-000000000001\"", "u = '00000000-0000-0000-0000-000000000001'"}, {"u > uuid(\"80000000-0000-0000-0000-000000000000\")", "u > '80000000-0000-0000-0000-000000000000'::UUID"},
	{"i == nil", "i IS NULL"}, {"s != nil and s != \"\"", "s IS NOT NULL AND s <> ''"}, {"same(i, nil)", "i IS NOT DISTINCT FROM NULL"}, {"same(s, t)", "s IS NOT DISTINCT FROM t"},
	{"b ? i : -1", "CASE WHEN b THEN i ELSE -1 END"}, {"i > 0 ? \"pos\" : nil", "CASE WHEN i > 0 THEN 'pos' END"}, {"coalesce(i, l, 0)", "="}, {"s ?? t ?? \"none\"", "coalesce(s, t, 'none')"}, {"nullif(i, 1)", "="},
	{"min(i, l)", "least(i, l)"}, {"max(m, n)", "greatest(m, n)"}, {"min(x, f)", "least(x, f)"}, {"max(s, t)", "greatest(s, t)"},
	{"try(i + 1)", "TRY(i + 1)"}, {"try(i * 2)", "TRY(i * 2)"}, {"try(l - 1)", "TRY(l - 1)"}, {"try(l * 3)", "TRY(l * 3)"}, {"try(i % 5)", "i % 5"}, {"i / 4", "i / 4"}, {"try(i / nullif(l, 0))", "i / nullif(l, 0)"},
	{"x + i", "x + i"}, {"x * x", "x * x"}, {"x - 0.5", "x - 0.5::DOUBLE"}, {"try(-i)", "TRY(-i)"}, {"x ** 2", "x ** 2"},
	{"m + n", "m + n"}, {"m - n", "m - n"}, {"m * n", "CAST(m * n AS DECIMAL(29,6))"}, {"-m", "-m"}, {"m % n", "CAST(m % n AS DECIMAL(12,4))"}, {"abs(n)", "abs(n)"},
	{"round(x, 2)", "round(x, 2)"}, {"floor(x)", "floor(x)"}, {"ceil(x)", "ceil(x)"}, {"round(n)", "round(n)"}, {"round(n, 2)", "round(n, 2)"}, {"floor(n)", "floor(n)"}, {"ceil(n)", "ceil(n)"}, {"sign(m)", "sign(m)"}, {"trunc(n)", "trunc(n)"},
	{"div(l, 7)", "l // 7"}, {"bitand(l, 12)", "l & 12"},
	{"s + t", "s || t"}, {"s + \"-\" + string(i)", "s || '-' || i"}, {"upper(s)", "upper(s)"}, {"lower(s)", "lower(s)"}, {"trim(s)", "trim(s)"}, {"len(s)", "length(s)"}, {"left(s, 3)", "left(s, 3)"}, {"right(s, 2)", "right(s, 2)"},
	{"s contains t", "contains(s, t)"}, {"s startsWith t", "starts_with(s, t)"}, {"s endsWith \"A\"", "suffix(s, 'A')"}, {"s matches \"[0-9]+\"", "regexp_matches(s, '[0-9]+')"},
	{"replace(s, \"a\", \"xyz\")", "replace(s, 'a', 'xyz')"}, {"lpad(s, 5, \"*-\")", "lpad(s, 5, '*-')"}, {"rpad(s, 4, \".\")", "rpad(s, 4, '.')"}, {"s[1:3]", "s[2:3]"}, {"repeat(t, 2)", "repeat(t, 2)"}, {"reverse(s)", "reverse(s)"},
	{"split(s, \",\")[0]", "string_split(s, ',')[1]"}, {"join_text(\"/\", s, t)", "concat_ws('/', s, t)"}, {"md5(s)", "md5(s)"}, {"sha256(s)", "sha256(s)"}, {"indexOf(s, t) + 1", "CASE WHEN t = '' AND s IS NOT NULL THEN 1 ELSE instr(s, t) END"},
	{"try(int(s))", "TRY_CAST(s AS INTEGER)"}, {"try(double(s))", "TRY_CAST(s AS DOUBLE)"}, {"try(int(l))", "TRY_CAST(l AS INTEGER)"}, {"decimal(x < 1e6 ? x : 0, 18, 2)", "CAST(CASE WHEN x < 1e6 THEN x ELSE 0 END AS DECIMAL(18,2))"}, {"try(decimal(m, 5, 1))", "TRY_CAST(m AS DECIMAL(5,1))"},
	{"string(x)", "CAST(x AS VARCHAR)"}, {"string(f)", "CAST(f AS VARCHAR)"}, {"string(m)", "CAST(m AS VARCHAR)"}, {"string(d)", "CAST(d AS VARCHAR)"}, {"string(ts)", "CAST(ts AS VARCHAR)"}, {"string(tz)", "CAST(tz AS VARCHAR)"}, {"string(u)", "CAST(u AS VARCHAR)"}, {"string(b)", "CAST(b AS VARCHAR)"}, {"double(m)", "CAST(m AS DOUBLE)"}, {"double(i)", "CAST(i AS DOUBLE)"},
	{"year(d)", "year(d)"}, {"quarter(ts)", "quarter(ts)"}, {"month(d)", "month(d)"}, {"week(d)", "week(d)"}, {"day(ts)", "day(ts)"}, {"day_of_week(d)", "isodow(d)"}, {"day_of_year(d)", "dayofyear(d)"}, {"hour(ts)", "hour(ts)"}, {"minute(ts)", "minute(ts)"}, {"second(ts)", "second(ts)"}, {"hour(tz, \"America/New_York\")", "hour(timezone('America/New_York', tz))"},
	{"date_trunc(\"month\", d)", "CAST(date_trunc('month', d) AS DATE)"}, {"date_trunc(\"week\", ts)", "date_trunc('week', ts)"}, {"date_trunc(\"quarter\", ts)", "date_trunc('quarter', ts)"}, {"date_trunc(\"hour\", ts)", "date_trunc('hour', ts)"}, {"date_trunc(\"second\", ts)", "date_trunc('second', ts)"}, {"date_trunc(\"day\", tz, \"America/New_York\")", "timezone('America/New_York', date_trunc('day', timezone('America/New_York', tz)))"},
	{"date_diff(\"day\", d, date(ts))", "date_diff('day', d, ts::DATE)"}, {"date_diff(\"month\", ts, d)", "date_diff('month', ts, d::TIMESTAMP)"}, {"date_diff(\"hour\", ts, d)", "date_diff('hour', ts, d::TIMESTAMP)"}, {"date_diff(\"year\", d, ts)", "date_diff('year', d::TIMESTAMP, ts)"},
	{"date_add(\"month\", 1, d)", "CAST(d + INTERVAL 1 MONTH AS DATE)"}, {"date_add(\"year\", -1, ts)", "ts - INTERVAL 1 YEAR"}, {"date_add(\"hour\", 5, ts)", "ts + INTERVAL 5 HOUR"}, {"ts + duration(\"90m\")", "ts + INTERVAL 90 MINUTE"}, {"d + 3", "d + 3"}, {"d - \"2000-01-01\"", "d - DATE '2000-01-01'"}, {"last_day(d)", "last_day(d)"},
	{"at_zone(tz, \"America/New_York\")", "timezone('America/New_York', tz)"}, {"timestamptz(ts, \"America/New_York\")", "timezone('America/New_York', ts)"}, {"to_unix(ts)", "CAST(floor(epoch(ts)) AS BIGINT)"}, {"from_unix(i)", "to_timestamp(i)"}, {"strftime(ts, \"%d.%m.%Y %H:%M:%S %j %b %A\")", "strftime(ts, '%d.%m.%Y %H:%M:%S %j %b %A')"}, {"timestamp(\"2024-03-05 10:20\", \"%Y-%m-%d %H:%M\")", "strptime('2024-03-05 10:20', '%Y-%m-%d %H:%M')"}, {"make_date(2024, 2, 29)", "make_date(2024, 2, 29)"}, {"date(ts)", "CAST(ts AS DATE)"}, {"timestamp(d)", "CAST(d AS TIMESTAMP)"},
	{"len(filter([i, 1, nil], # > 0))", "len(list_filter([i, 1, NULL], e -> e > 0))"}, {"sum([i, 1])", "list_sum([i, 1])"}, {"1 in [i, 2]", "1 IN (i, 2)"},
}

func TestAgreesWithDuckDB(t *testing.T) {
	db, err := sql.Open("duckdb", "")
	require.NoError(t, err)
	defer db.Close()
	batch, inserts, create := duckRows(t, 300)
	run := func(query string) {
		_, err := db.Exec(query)
		require.NoError(t, err, query)
	}
	run("SET TimeZone = 'UTC'")
	run(create)
	run(inserts)
	batch = parsedColumns(t, batch)
	for _, pair := range duckPairs {
		t.Run(pair[0], func(t *testing.T) { agree(t, db, batch, pair[0], pair[1]) })
	}
}

func agree(t *testing.T, db *sql.DB, batch arrow.RecordBatch, ours, theirs string) {
	if theirs == "=" {
		theirs = ours
	}
	want := duckColumn(t, db, theirs)
	p, err := expression.Compile(fmt.Sprintf("string(%s)", ours), expression.Scope{"": batch.Schema()})
	require.NoError(t, err)
	out, err := p.Eval(context.Background(), batch)
	require.NoError(t, err)
	for i := range want {
		got := "NULL"
		if out.IsValid(i) {
			got = out.ValueStr(i)
		}
		require.Equal(t, want[i], got, "row %s", rowText(batch, i))
	}
}

// duckRows makes the rows as text columns, and as SQL.
func duckRows(t *testing.T, n int) (batch arrow.RecordBatch, inserts, create string) {
	r := rand.New(rand.NewPCG(1, 2))
	var columns []arrow.Array
	var fields []arrow.Field
	var names []string
	cells := make([][]string, n)
	for _, c := range duckColumns {
		b := array.NewStringBuilder(allocator)
		for i := range n {
			if r.IntN(6) == 0 {
				b.AppendNull()
				cells[i] = append(cells[i], "NULL")
				continue
			}
			v := c.values[r.IntN(len(c.values))]
			b.Append(v)
			cells[i] = append(cells[i], fmt.Sprintf("'%s'::%s", v, c.duck))
		}
		columns = append(columns, b.NewArray())
		fields = append(fields, arrow.Field{Name: c.name, Type: arrow.BinaryTypes.String, Nullable: true})
		names = append(names, c.name+" "+c.duck)
	}
	rows := make([]string, n)
	for i := range cells {
		rows[i] = fmt.Sprintf("(%d, %s)", i, strings.Join(cells[i], ", "))
	}
	batch = array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(n))
	return batch, "INSERT INTO rows VALUES " + strings.Join(rows, ", "), "CREATE TABLE rows (k INTEGER, " + strings.Join(names, ", ") + ")"
}

// parsedColumns casts the texts by our own casts.
func parsedColumns(t *testing.T, batch arrow.RecordBatch) arrow.RecordBatch {
	columns, fields := make([]arrow.Array, batch.NumCols()), batch.Schema().Fields()
	for k, c := range duckColumns {
		dt, err := columntype.Parse(c.iceberg)
		require.NoError(t, err)
		out, faults, err := expression.Cast(context.Background(), batch.Column(k), dt)
		require.NoError(t, err)
		require.Empty(t, faults)
		columns[k], fields[k].Type = out, dt
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, batch.NumRows())
}

func duckColumn(t *testing.T, db *sql.DB, query string) []string {
	rows, err := db.Query(fmt.Sprintf("SELECT CAST((%s) AS VARCHAR) FROM rows ORDER BY k", query))
	require.NoError(t, err, query)
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s sql.NullString
		require.NoError(t, rows.Scan(&s))
		if !s.Valid {
			s.String = "NULL"
		}
		out = append(out, s.String)
	}
	require.NoError(t, rows.Err(), query)
	return out
}

func rowText(batch arrow.RecordBatch, i int) string {
	var out []string
	for k := range batch.Columns() {
		out = append(out, batch.ColumnName(k)+"="+batch.Column(k).ValueStr(i))
	}
	return strings.Join(out, " ")
}
