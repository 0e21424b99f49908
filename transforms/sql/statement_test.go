package sql_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms/sql"
)

func smallLake(t testing.TB) *lake {
	t.Helper()
	flights := "carrier: string; number: int; day: date; seen: timestamptz; dep: timestamp; fare: decimal(9,2); id: uuid; tags: list<string>; " +
		"delay: double; late: boolean; miles: long"
	return &lake{tables: map[string]*memoryTable{
		"silver.flights": fromJSON(t, flights, `[
			{"carrier": "UA", "number": 1, "day": "2013-01-01", "seen": "2013-01-01T23:30:00Z", "dep": "2013-01-01 05:15:00", "fare": "99.50",
			 "id": "00000000-0000-0000-0000-000000000001", "tags": ["a", null], "delay": 2.5, "late": false, "miles": 1400},
			{"carrier": "B6", "number": 2, "day": "2013-01-02", "seen": "2013-01-02T00:30:00Z", "dep": "2013-01-02 05:15:00", "fare": "49.00",
			 "id": "00000000-0000-0000-0000-000000000002", "delay": -3, "late": false, "miles": 200},
			{"carrier": "UA", "number": 3, "day": "2013-01-02", "late": true}]`),
		"silver.airlines":    fromJSON(t, "carrier: string; name: string", `[{"carrier": "UA", "name": "United Air Lines Inc."}]`),
		"Weird ns.the table": fromJSON(t, `select: int`, `[{"select": 7}]`),
		"silver.cased":       fromJSON(t, "a: int; A: int", `[{"a": 1, "A": 2}]`),
	}}
}

func TestQueries(t *testing.T) {
	t.Setenv("TZ", "America/New_York") // a query's time is UTC, wherever it runs
	e, in := newEngine(t, sql.Options{}), smallLake(t)
	for _, c := range []struct{ query, want string }{
		{"SELECT carrier, count(*) AS n, sum(fare) AS fare FROM silver.flights GROUP BY ALL ORDER BY n DESC", "UA 2 99.5|B6 1 49"},
		{"FROM silver.airlines", "UA United Air Lines Inc."},
		{"SELECT number FROM silver.flights ORDER BY delay NULLS FIRST;", "3|2|1"},
		{"SELECT number FROM silver.flights ORDER BY delay", "2|1|3"},
		{"WITH ua AS (SELECT * FROM silver.flights WHERE carrier = 'UA') SELECT name, number FROM ua JOIN silver.airlines USING (carrier) ORDER BY 2",
			"United Air Lines Inc. 1|United Air Lines Inc. 3"},
		{"WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT r.n, f.carrier FROM r JOIN silver.flights f ON f.number = r.n ORDER BY 1",
			"1 UA|2 B6|3 UA"},
		{"SELECT silver.flights.number, flights.carrier FROM silver.flights WHERE flights.number = 1", "1 UA"},
		{`SELECT "select" FROM "Weird ns"."the table"`, "7"},
		{"SELECT date_trunc('day', seen) AS d, count(*) AS n FROM silver.flights GROUP BY 1 ORDER BY 1", "2013-01-01T00:00:00Z 1|2013-01-02T00:00:00Z 1|(null) 1"},
		{"SELECT seen::DATE AS d, hour(seen) AS h, dep AT TIME ZONE 'America/New_York' AS z FROM silver.flights WHERE number = 2", "2013-01-02 0 2013-01-02T10:15:00Z"},
		{"SELECT current_setting('TimeZone') AS z", "UTC"},
		{"SELECT n FROM range(3) t(n) WHERE n > 0", "1|2"},
		{"SELECT unnest(tags) AS tag FROM silver.flights", "a|(null)"},
		{"SELECT value FROM json_each('[1, 2]')", "1|2"},
		{"SELECT a.number, b.number AS other FROM silver.flights a JOIN silver.flights b ON a.day = b.day AND a.number < b.number", "2 3"},
		{"SELECT number FROM silver.flights WHERE delay > (SELECT avg(delay) FROM silver.flights)", "1"},
		{"SELECT * FROM (PIVOT silver.flights ON late IN (true, false) USING count(*) GROUP BY carrier) ORDER BY carrier", "B6 0 1|UA 1 1"},
		{"SELECT number FROM silver.flights QUALIFY row_number() OVER (PARTITION BY carrier ORDER BY number DESC) = 1 ORDER BY 1", "2|3"},
		{"SELECT number FROM silver.flights WHERE number IN (SELECT number FROM silver.flights WHERE late) -- late", "3"},
		{"VALUES (1, 'a'), (2, 'b')", "1 a|2 b"},
		{"SELECT number FROM silver.flights LIMIT 1 OFFSET 1", "2"},
		{"SELECT number FROM silver.flights WHERE number > 1 LIMIT 5", "2|3"},
		{"SELECT count(*) AS n FROM silver.flights WHERE false", "0"},
		{"SELECT number FROM silver.flights WHERE false", ""},
	} {
		require.Equal(t, c.want, strings.Join(rows(t, e, in, c.query), "|"), c.query)
	}
	require.Zero(t, in.open)
}

func TestMistakes(t *testing.T) {
	e, in := newEngine(t, sql.Options{}), smallLake(t)
	for _, c := range []struct {
		query string
		kind  sql.Kind
		want  string
	}{
		{"SELEC 1", sql.Syntax, `line 1, column 1: syntax error at or near "SELEC"`},
		{"SELECT 1 +", sql.Syntax, "line 1, column 11: syntax error at end of input"},
		{"", sql.Syntax, "the statement is empty"},
		{"  -- nothing", sql.Syntax, "the statement is empty"},
		{"SELECT 'a\x00b'", sql.Syntax, "line 1, column 10: a NUL character"},
		{"SELECT carrier,\n       carier\nFROM silver.flights", sql.Binding,
			`line 2, column 8: referenced column "carier" not found in FROM clause (did you mean "carrier"?)`},
		{"SELECT carries FROM silver.flights", sql.Binding, `(did you mean "carrier"?)`},
		{"SELECT nothing_alike FROM silver.flights WHERE true", sql.Binding, `column "nothing_alike" not found in FROM clause`},
		{"SELECT coun(*) AS n FROM silver.flights", sql.Binding, `(did you mean "count"?)`},
		{"SELECT 'é', carier FROM silver.flights", sql.Binding, `line 1, column 13: referenced column "carier" not found in FROM clause (did you mean "carrier"?)`},
		{"SELECT f.nope FROM silver.flights f", sql.Binding, `table "f" does not have a column named "nope"`},
		{"SELECT fast(number) FROM silver.flights", sql.Binding, `Function with name fast does not exist (did you mean "last"?)`},
		{"SELECT carrier + 1 AS n FROM silver.flights WHERE number", sql.Data, ""},
		{"SELECT flights.number FROM flights", sql.Binding, "line 1, column 28: table flights: a table is named namespace.table, and no WITH defines flights"},
		{"SELECT * FROM lake.silver.flights", sql.Binding, "table lake.silver.flights: a table is named namespace.table"},
		{"SELECT * FROM silver.flights, SILVER.Flights", sql.Binding, ""},
		{"SELECT a FROM silver.cased", sql.Unsupported, `table silver.cased: columns "a" and "A" differ by case only`},
		{"SELECT ? + 1 AS n", sql.Refused, "the statement has 1 parameters"},
		{"SELECT 1 AS a; SELECT 2 AS a", sql.Refused, "line 1, column 16: only one statement is allowed here"},
		{"INSERT INTO silver.flights SELECT * FROM silver.flights", sql.Refused, "only SELECT statements are allowed here"},
		{"\n CREATE TABLE x AS SELECT 1", sql.Refused, "line 2, column 2: only SELECT statements are allowed here"},
		{"ATTACH '/tmp/x.db'", sql.Refused, "only SELECT"},
		{"INSTALL httpfs", sql.Refused, "only SELECT"},
		{"LOAD icu", sql.Refused, "only SELECT"},
		{"SET threads = 1", sql.Refused, "only SELECT"},
		{"PRAGMA version", sql.Refused, "only SELECT"},
		{"COPY (SELECT 1) TO '/tmp/x'", sql.Refused, "only SELECT"},
		{"EXPLAIN SELECT 1", sql.Refused, "only SELECT"},
		{"DESCRIBE silver.flights", sql.Refused, "only SELECT"},
		{"SELECT * FROM (DESCRIBE silver.flights)", sql.Refused, "only SELECT"},
		{"SELECT * FROM read_csv('/etc/passwd')", sql.Refused, "line 1, column 15: the table function read_csv is not allowed here"},
		{"SELECT * FROM READ_PARQUET(['x'])", sql.Refused, "table function read_parquet is not allowed"},
		{"SELECT (SELECT content FROM read_text('/etc/passwd')) AS c", sql.Refused, "table function read_text"},
		{"SELECT * FROM '/etc/passwd'", sql.Binding, "a table is named namespace.table"},
		{"SELECT * FROM 'a.csv' AS t", sql.Binding, "a table is named namespace.table"},
		{"SELECT * FROM query('SELECT 1')", sql.Refused, "table function query"},
		{"SELECT * FROM query_table('x')", sql.Refused, "table function query_table"},
		{"SELECT * FROM glob('/*')", sql.Refused, "table function glob"},
		{"SELECT * FROM duckdb_settings()", sql.Refused, "table function duckdb_settings"},
		{"SELECT * FROM varve_scan(1)", sql.Refused, "table function varve_scan"},
		{"SELECT * FROM arrow_scan(1, 2, 3)", sql.Refused, "table function arrow_scan"},
		{"SELECT * FROM sqlite_master", sql.Binding, "a table is named namespace.table"},
		{"SELECT getenv('HOME') AS h", sql.Binding, "getenv does not exist"},
		{"SELECT * FROM silver.flights AT (VERSION => 1)", sql.Syntax, "AT is not allowed here (write FOR VERSION AS OF 17"},
		{"SELECT CAST(carrier AS INT) AS n FROM silver.flights", sql.Data, "line 1, column 8: could not convert string 'UA' to INT32"},
		{"SELECT 2147483647 + number AS n FROM silver.flights", sql.Data, "overflow in addition"},
		{"SELECT (SELECT number FROM silver.flights) AS n", sql.Data, "more than one row returned by a subquery"},
	} {
		r, err := e.Run(t.Context(), c.query, in)
		if err == nil {
			_, err = drain(r)
		}
		if c.want == "" {
			require.Error(t, err, c.query)
			continue
		}
		var typed *sql.Error
		require.ErrorAs(t, err, &typed, c.query)
		require.Equal(t, c.kind, typed.Kind, "%s: %v", c.query, err)
		require.ErrorContains(t, err, c.want, c.query)
		require.NotContains(t, err.Error(), "varve_0")
		require.Equal(t, strings.Contains(c.want, "did you mean"), strings.Contains(err.Error(), "did you mean"), "%s: %v", c.query, err)
	}
	require.Zero(t, in.open)
}

func TestTableThatIsNotThere(t *testing.T) {
	e, in := newEngine(t, sql.Options{}), smallLake(t)
	for _, query := range []string{"SELECT *\nFROM silver.flightz", "SELECT *\nFROM information_schema.tables", "SELECT *\nFROM pg_catalog.pg_class"} {
		_, err := e.Analyze(t.Context(), query, in)
		require.ErrorIs(t, err, errNoTable, query)
		require.ErrorContains(t, err, "sql: line 2, column 6: table ")
		var typed *sql.Error
		require.NotErrorAs(t, err, &typed, "whose fault it is, the input knows")
	}
}

func TestNoWayOut(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret.csv")
	require.NoError(t, os.WriteFile(secret, []byte("a\n1\n"), 0o600))
	e, in := newEngine(t, sql.Options{}), smallLake(t)
	for _, query := range []string{
		"SELECT * FROM silver.flights f, LATERAL (SELECT * FROM read_csv(f.carrier)) x",
		fmt.Sprintf("SELECT * FROM '%s'", secret),
		fmt.Sprintf("WITH x AS (FROM read_csv('%s')) FROM x", secret),
		fmt.Sprintf("WITH \"%s\" AS (SELECT 1 AS a) SELECT * FROM other.\"%s\"", secret, secret),
		"SELECT * FROM temp.information_schema.tables",
		"SELECT nextval('s') AS n",
		"SELECT json_execute_serialized_sql('{}') AS x",
		"FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
		"SELECT add_parquet_key('a', 'b') AS x",
	} {
		r, err := e.Run(t.Context(), query, in)
		if err == nil {
			_, err = drain(r)
		}
		require.Error(t, err, query)
	}
}

func TestAnalyze(t *testing.T) {
	e, in := newEngine(t, sql.Options{}), smallLake(t)
	q, err := e.Analyze(t.Context(), `
		WITH late AS (SELECT * FROM silver.flights WHERE late)
		SELECT a.name, l.number, sum(l.miles) AS miles
		FROM late l JOIN silver.airlines a USING (carrier) JOIN silver.flights o ON o.number = l.number
		GROUP BY ALL`, in)
	require.NoError(t, err)
	require.Equal(t, []string{"silver.airlines", "silver.flights"}, q.Reads)
	require.Equal(t, "schema:\n  fields: 3\n    - name: type=utf8, nullable\n    - number: type=int32, nullable\n    - miles: type=decimal(38, 0), nullable", q.Schema.String())
	require.Equal(t, []sql.Scan{
		{Table: "silver.airlines", Columns: []string{"carrier", "name"}},
		{Table: "silver.flights", Columns: []string{"carrier", "number", "late", "miles"}},
	}, q.Scans)
	require.Empty(t, in.scans, "no rows are read")
}
