package sql_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms/sql"
)

func TestTravel(t *testing.T) {
	e, in := newEngine(t, sql.Options{}), smallLake(t)
	for _, c := range []struct{ query, want string }{
		{"SELECT number FROM silver.flights FOR VERSION AS OF 17", "FOR VERSION AS OF 17"},
		{"SELECT flights.number FROM silver.flights FOR VERSION AS OF 7434127534 WHERE flights.number = 1", "FOR VERSION AS OF 7434127534"},
		{"SELECT f.number FROM silver.flights FOR VERSION AS OF 'end-of-month' AS f", "FOR VERSION AS OF 'end-of-month'"},
		{"SELECT f.number FROM silver.flights for system_version as of 'it''s' f", "FOR VERSION AS OF 'it''s'"},
		{"SELECT number FROM silver.flights FOR TIMESTAMP AS OF '2013-01-31'", "FOR TIMESTAMP AS OF '2013-01-31 00:00:00Z'"},
		{"SELECT number FROM silver.flights FOR SYSTEM_TIME AS OF TIMESTAMP '2013-01-31 10:00'", "FOR TIMESTAMP AS OF '2013-01-31 10:00:00Z'"},
		{"SELECT number FROM silver.flights FOR TIMESTAMP AS OF '2013-01-31T10:00:00.5-05:00'", "FOR TIMESTAMP AS OF '2013-01-31 15:00:00.5Z'"},
		{"SELECT number FROM silver.flights FOR TIMESTAMP AS OF '2013-01-31 10:00:00+02'", "FOR TIMESTAMP AS OF '2013-01-31 08:00:00Z'"},
		{"SELECT number FROM \"silver\" . \"flights\"/* now\n*/FOR -- then\n VERSION/**/AS OF 17;", "FOR VERSION AS OF 17"},
		{"SELECT number FROM silver.flights\nFOR\nVERSION\nAS\nOF\n17", "FOR VERSION AS OF 17"},
		{"SELECT number FROM (SELECT * FROM silver.flights FOR VERSION AS OF 17)", "FOR VERSION AS OF 17"},
		{"WITH f AS (SELECT * FROM silver.flights FOR VERSION AS OF 17) SELECT number FROM f", "FOR VERSION AS OF 17"},

		// Not a clause, but text.
		{"SELECT number, 'silver.flights FOR VERSION AS OF 1' AS s FROM silver.flights", ""},
		{"SELECT number, $$ silver.flights FOR VERSION AS OF 1 $$ AS s, $x$ '$$ FOR VERSION AS OF 1 $x$ AS y FROM silver.flights", ""},
		{`SELECT number, E'\' FOR VERSION AS OF 1' AS s FROM silver.flights`, ""},
		{`SELECT number AS "silver.flights FOR VERSION AS OF 1" FROM silver.flights`, ""},
		{"SELECT number -- silver.flights FOR VERSION AS OF 1\n FROM silver.flights /* FOR /* VERSION */ AS OF 1 */", ""},
		{"SELECT substring('abc' FROM 1 FOR 2) AS version, number FROM silver.flights", ""},
		{"SELECT number, [x + 1 FOR x IN [1, 2]] AS l FROM silver.flights", ""},
	} {
		q, err := e.Analyze(t.Context(), c.query, in)
		require.NoError(t, err, c.query)
		require.Len(t, q.Scans, 1, c.query)
		require.Equal(t, c.want, q.Scans[0].Version.String(), c.query)
		require.Equal(t, "silver.flights", q.Scans[0].Table)
		require.Equal(t, []string{"silver.flights"}, q.Reads)
		in.scans = nil
		require.NotEmpty(t, rows(t, e, in, c.query))
		require.Equal(t, q.Scans[0].Version, in.scans[0].Version)
	}
}

func TestTravelAndNow(t *testing.T) {
	e, in := newEngine(t, sql.Options{}), smallLake(t)
	query := `SELECT now.number, silver.airlines.name, old.number AS was, older.number AS had
		FROM silver.flights now
		JOIN silver.flights FOR VERSION AS OF 17 old USING (number)
		JOIN silver.flights FOR VERSION AS OF 'tag' older USING (number)
		JOIN silver.airlines FOR TIMESTAMP AS OF '2013-01-01' ON airlines.carrier = now.carrier`
	_, err := e.Analyze(t.Context(), query, in)
	// The table of a version is known by its name alone, without the namespace.
	require.ErrorContains(t, err, "line 1, column 20")
	query = "SELECT now.number, airlines.name" + query[len("SELECT now.number, silver.airlines.name"):]
	require.Equal(t, []string{"1 United Air Lines Inc. 1 1", "3 United Air Lines Inc. 3 3"}, rows(t, e, in, query+" ORDER BY 1"))
	q, err := e.Analyze(t.Context(), query, in)
	require.NoError(t, err)
	require.Equal(t, []string{"silver.airlines", "silver.flights"}, q.Reads)
	require.Len(t, q.Scans, 4)
}

func TestTravelMistakes(t *testing.T) {
	e, in := newEngine(t, sql.Options{}), smallLake(t)
	for _, c := range []struct{ query, want string }{
		{"SELECT number FROM silver.flights FOR VERSION AS OF", "line 1, column 35: VERSION AS OF wants a snapshot id, or a tag or branch in single quotes"},
		{"SELECT number FROM silver.flights FOR VERSION AS OF tag", "line 1, column 53: VERSION AS OF wants a snapshot id, or a tag or branch in single quotes, not tag"},
		{"SELECT number FROM silver.flights FOR VERSION AS OF \"tag\"", `not "tag"`},
		{"SELECT number FROM silver.flights FOR VERSION AS OF 1.5", "1.5 is not a snapshot id"},
		{"SELECT number FROM silver.flights FOR VERSION AS OF ''", "'' is not a version"},
		{"SELECT number FROM silver.flights FOR TIMESTAMP AS OF 'yesterday'", `"yesterday" is not a time: write 2013-01-31`},
		{"SELECT number FROM silver.flights FOR TIMESTAMP AS OF 17", "wants a time in single quotes, not 17"},
		{"SELECT number FROM silver.flights f FOR VERSION AS OF 17", "follows the name of a table, namespace.table, and stands before its alias"},
		{"SELECT number FROM flights FOR VERSION AS OF 17", "follows the name of a table"},
		{"SELECT number FROM a.silver.flights FOR VERSION AS OF 17", "follows the name of a table"},
		{"SELECT silver.flights FOR VERSION AS OF 17 FROM silver.flights", "AS OF belongs to the name of a table in FROM"},
		{"SELECT nope FROM silver.flights FOR VERSION AS OF 17 WHERE true", `line 1, column 8: referenced column "nope" not found`},
		{"SELECT 1 AS one FROM silver.flights FOR VERSION AS OF 17 WHERE nope", `line 1, column 64: referenced column "nope" not found`},
	} {
		_, err := e.Analyze(t.Context(), c.query, in)
		var typed *sql.Error
		require.ErrorAs(t, err, &typed, c.query)
		require.ErrorContains(t, err, c.want, c.query)
	}
}
