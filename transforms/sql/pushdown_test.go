package sql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms/sql"
)

// describe writes a scan of flights as a line: columns | filters | limit.
func describe(s sql.Scan) string {
	var filters []string
	for _, f := range s.Filters {
		text := f.Column + " " + string(f.Op)
		for _, v := range f.Values {
			text += fmt.Sprintf(" %v", v)
		}
		filters = append(filters, text)
	}
	line := strings.Join(s.Columns, ",") + " | " + strings.Join(filters, "; ")
	if s.Limit > 0 {
		line += fmt.Sprintf(" | %d", s.Limit)
	}
	return strings.TrimSuffix(line, " | ")
}

func TestPushdown(t *testing.T) {
	e, in := newEngine(t, sql.Options{}), smallLake(t)
	for _, c := range []struct{ query, want string }{
		{"SELECT number FROM silver.flights", "number"},
		{"SELECT count(*) AS n FROM silver.flights", "late"},
		{"SELECT number FROM silver.flights WHERE number > 1", "number | number > 1"},
		{"SELECT miles FROM silver.flights WHERE number = -1 AND miles <> 200 AND miles <= 5000000000", "number,miles | number = -1; miles != 200; miles <= 5000000000"},
		{"SELECT number FROM silver.flights WHERE 3 <= number AND number < 9", "number | number >= 3; number <= 9"}, // wider than the condition, which DuckDB keeps
		{"SELECT number FROM silver.flights WHERE number BETWEEN 3 AND 9", "number | number >= 3; number <= 9"},
		{"SELECT number FROM silver.flights WHERE number IN (3, 9)", "number | number in 3 9"},
		{"SELECT number FROM silver.flights WHERE carrier IN ('UA', 'it''s', '), (')", "carrier,number | carrier in UA it's ), ("},
		{"SELECT number FROM silver.flights WHERE number IN (1, 2, 3, 4, 5, 6, 7, 8, 9)", "number | number in 1 2 3 4 5 6 7 8 9"},
		{"SELECT number FROM silver.flights WHERE number IN (1, 2, 3, 4, 5, 6, 7, 8, NULL) AND late LIMIT 2", "number,late | late = true; number in 1 2 3 4 5 6 7 8 | 2"},
		{"SELECT number FROM silver.flights WHERE carrier IN ('a', 'b', 'c', ',', 'it''s', '), (', 'NULL', 'h')", "carrier,number | carrier in a b c , it's ), ( NULL h"},
		{"SELECT f.number FROM silver.airlines a JOIN silver.flights f ON f.carrier = a.carrier WHERE f.day IN ('2013-01-01', '2013-01-02', '2013-01-03', '2013-01-04', '2013-01-05', '2013-01-06', '2013-01-07')",
			"carrier,number,day | day in 15706 15707 15708 15709 15710 15711 15712"},
		{"SELECT number FROM silver.flights WHERE carrier LIKE 'U%'", "carrier,number | carrier starts with U"},
		{"SELECT number FROM silver.flights WHERE starts_with(carrier, '), (') AND carrier LIKE 'é''%' LIMIT 1", "carrier,number | carrier starts with ), (; carrier starts with é' | 1"},
		{"SELECT number FROM silver.flights WHERE carrier = ' AND (varve_0_1 = 1) OR '", "carrier,number | carrier =  AND (varve_0_1 = 1) OR "},
		{"SELECT number FROM silver.flights WHERE day >= '2013-01-02'", "number,day | day >= 15707"},
		{"SELECT number FROM silver.flights WHERE dep >= '2013-01-02'", "number,dep | dep >= 1357084800000000"},
		{"SELECT number FROM silver.flights WHERE seen < TIMESTAMPTZ '2013-01-01 19:00:00.5-05'", "number,seen | seen < 1357084800500000"},
		{"SELECT number FROM silver.flights WHERE id = '00000000-0000-0000-0000-000000000102'", "number,id | id = [0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 2]"},
		{"SELECT number FROM silver.flights WHERE fare < 50", "number,fare | fare < {5000 0}"},
		{"SELECT number FROM silver.flights WHERE late", "number,late | late = true"},
		{"SELECT number FROM silver.flights WHERE NOT late", "number,late | late = false"},
		{"SELECT number FROM silver.flights WHERE carrier IS NULL", "carrier,number | carrier is null"},
		{"SELECT number FROM silver.flights WHERE carrier IS NOT NULL", "carrier,number | carrier is not null"},
		{"SELECT carrier FROM silver.flights GROUP BY carrier HAVING carrier > 'A' AND sum(number) > 1", "carrier,number | carrier > A"},
		{"SELECT m FROM (SELECT number AS day, day AS number, miles AS m FROM silver.flights) WHERE number > '2013-01-01' AND day = 1", "number,day,miles | day > 15706; number = 1"},
		{"WITH f AS (SELECT * FROM silver.flights WHERE late) SELECT a.number, b.carrier FROM f a JOIN f b USING (number)", "carrier,number,late | late = true"},
		{"SELECT number FROM silver.flights LIMIT 2", "number |  | 2"},
		{"SELECT number + 1 AS n FROM silver.flights LIMIT 2 OFFSET 3", "number |  | 5"},
		{"SELECT number FROM silver.flights WHERE number > 1 AND late LIMIT 2", "number,late | late = true; number > 1 | 2"},
		{"SELECT number FROM silver.flights WHERE 3 <= number AND number < 9 LIMIT 2", "number | number >= 3; number <= 9"},
		{"FROM silver.flights LIMIT 0", ""},

		// What cannot be told in a filter stays with DuckDB.
		{"SELECT number FROM silver.flights WHERE number > 1 AND carrier LIKE 'U%U'", "carrier,number | number > 1"},
		{"SELECT number FROM silver.flights WHERE number > 1 AND carrier LIKE 'U%U' LIMIT 2", "carrier,number | number > 1"},
		{"SELECT number FROM silver.flights WHERE delay > 1", "number,delay"}, // NaN is above all numbers for DuckDB, in no bounds for Iceberg
		{"SELECT number FROM silver.flights WHERE number NOT IN (1, 2, 3, 4, 5, 6, 7, 8)", "number"},
		{"SELECT number FROM silver.flights WHERE number IN (1, 2, 3, 4, 5, 6, 7, miles)", "number,miles"},
		{"SELECT number FROM silver.flights WHERE number IN (1, 2, 3, 4, 5, 6, 7, 8) OR late", "number,late"},
		{"SELECT number FROM silver.flights WHERE carrier ILIKE 'u%'", "carrier,number"},
		{"SELECT number FROM silver.flights WHERE carrier LIKE 'U_%'", "carrier,number"},
		{"SELECT number FROM silver.flights WHERE starts_with(carrier, day::VARCHAR)", "carrier,number,day"},
		{"SELECT number FROM silver.flights WHERE number > 1.5", "number"},
		{"SELECT number FROM silver.flights WHERE number > miles", "number,miles"},
		{"SELECT number FROM silver.flights WHERE number = 1 OR late", "number,late"},
		{"SELECT number FROM silver.flights WHERE number = 1 OR number > 5", "number"},
		{"SELECT number FROM silver.flights WHERE number IS DISTINCT FROM 1", "number"},
		{"SELECT number FROM silver.flights WHERE abs(number) = 1", "number"},
		{"SELECT number FROM silver.flights WHERE tags[1] = 'a'", "number,tags"},
		{"SELECT number FROM silver.flights WHERE dep > 'infinity'", "number,dep"},
		{"SELECT number FROM silver.flights WHERE random() > 0.5 LIMIT 2", "number"},
		{"SELECT a.number FROM silver.flights a JOIN silver.flights b USING (number) WHERE a.day > '2013-01-01'", "number,day"},
		{"SELECT number FROM silver.flights WHERE number = 1 UNION ALL SELECT number FROM silver.flights WHERE number = 2", "number"},
		{"SELECT number FROM silver.flights ORDER BY miles LIMIT 2", "number,miles"},
		{"SELECT DISTINCT number FROM silver.flights LIMIT 2", "number"},
		{"SELECT number, count(*) AS n FROM silver.flights GROUP BY number LIMIT 2", "number"},
		{"SELECT unnest(tags) AS tag FROM silver.flights LIMIT 2", "tags"},
		{"SELECT number FROM (SELECT * FROM silver.flights LIMIT 3) WHERE number > 1", "number"},
		{"SELECT number, row_number() OVER () AS n FROM silver.flights LIMIT 2", "number"},
		{"SELECT f.number FROM silver.airlines a LEFT JOIN silver.flights f ON f.carrier = a.carrier WHERE f.number IS NULL", "carrier,number"},
	} {
		q, err := e.Analyze(t.Context(), c.query, in)
		require.NoError(t, err, c.query)
		got := ""
		for _, s := range q.Scans {
			if s.Table == "silver.flights" {
				got = describe(s)
			}
		}
		require.Equal(t, c.want, got, c.query)
	}
}

// TestPushdownChangesNothing runs queries over an input that uses every leave it is given, and over one that does not.
func TestPushdownChangesNothing(t *testing.T) {
	e := newEngine(t, sql.Options{})
	plain := &lake{tables: map[string]*memoryTable{"silver.all": randomTable(t, "b: boolean; i: int; l: long; dec: decimal(9,2); day: date; ts: timestamp; tz: timestamptz; s: string; u: uuid", 3, 3_000)}}
	for _, where := range []string{
		"i > 0", "i <= -5 OR i IS NULL", "l BETWEEN -100 AND 9000000000000000000", "NOT b", "b", "day >= '1990-01-01'", "s IN ('', 'é𝄞x')",
		"s < 'é𝄞xé' AND i <> 7", "s LIKE 'é%'", "starts_with(s, '')", "NOT s LIKE 'é%'",
		"i IN (-9, -7, -5, -3, -1, 0, 1, 3, 5, 7, 9, 11, NULL)", "i NOT IN (-9, -7, -5, -3, -1, 0, 1, 3, 5, 7, 9, 11)", "s IN ('', 'a', 'b', 'é', 'é𝄞x', 'x', 'xé', 'é𝄞')", "s IS NULL", "dec >= 1.5", "tz < '2000-01-01'", "ts > '1970-01-01' AND day IS NOT NULL", "u > '80000000-0000-0000-0000-000000000000'",
	} {
		for _, query := range []string{
			"SELECT count(*) AS n, sum(i) AS i, count(DISTINCT s) AS s FROM silver.all WHERE " + where,
			"WITH x AS (SELECT * FROM silver.all WHERE " + where + ") SELECT count(*) AS n, min(b.s) AS s FROM x a LEFT JOIN x b ON a.i = b.i",
			"SELECT count(*) AS n FROM (SELECT i FROM silver.all WHERE " + where + " LIMIT 100)",
			"SELECT i, s FROM silver.all WHERE " + where + " LIMIT 50 OFFSET 20",
		} {
			greedy := &obedient{lake: plain}
			require.Equal(t, rows(t, e, plain, query), rows(t, e, greedy, query), query)
		}
	}
}
