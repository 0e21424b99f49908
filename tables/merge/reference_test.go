package merge_test

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/merge"
)

// reference carries a merge out in DuckDB, by joins: DuckDB 1.5.5's own MERGE ends the process on some of them, and its
// UPDATE keeps -0.0 where 0.0 is assigned.
type reference struct {
	target, source *random.Relation
	opts           merge.Options
	on             string
}

// counts is what a merge did, as merge.Stats has it.
type counts struct{ Inserted, Updated, Deleted, Unchanged int64 }

// prepare pairs the rows that match, and says how many target rows two source rows match, and how many they would change.
//
// A row that matches twice is no mistake by itself, only one that is changed twice. Spark is stricter: there it is an error
// as soon as there is a WHEN MATCHED clause, whether that applies or not.
func (r *reference) prepare(t testing.TB) (twice, ambiguous int) {
	t.Helper()
	r.exec(t, fmt.Sprintf("CREATE OR REPLACE TEMP TABLE pairs AS SELECT t.rowid AS t, s.rowid AS s, %s AS clause FROM t JOIN s ON (%s)",
		firstOf(r.opts.Matched), r.on))
	if len(r.opts.Matched) == 1 && r.opts.Matched[0].Action == merge.Delete && r.opts.Matched[0].If == nil {
		return 0, 0
	}
	query := `SELECT (SELECT count(*) FROM (SELECT t FROM pairs GROUP BY t HAVING count(*) > 1)),
		(SELECT count(*) FROM (SELECT t FROM pairs WHERE clause >= 0 GROUP BY t HAVING count(*) > 1))`
	require.NoError(t, r.target.DB.QueryRow(query).Scan(&twice, &ambiguous))
	return twice, ambiguous
}

func (r *reference) exec(t testing.TB, query string) {
	t.Helper()
	require.NoError(t, r.target.Exec(query))
}

// firstOf is the number of the first clause that applies to a row, or -1.
func firstOf(clauses []merge.Clause) string {
	var b strings.Builder
	b.WriteString("CASE ")
	for i, c := range clauses {
		condition := "TRUE"
		if c.If != nil {
			condition = c.If.(*random.Expression).SQL
		}
		fmt.Fprintf(&b, "WHEN %s THEN %d ", condition, i)
	}
	if len(clauses) == 0 {
		return "-1"
	}
	return b.String() + "ELSE -1 END"
}

// run makes the target's new rows out of the pairs that prepare found.
func (r *reference) run(t testing.TB) counts {
	t.Helper()
	r.exec(t, fmt.Sprintf("CREATE OR REPLACE TEMP TABLE alone AS SELECT t.rowid AS t, %s AS clause FROM t WHERE t.rowid NOT IN (SELECT t FROM pairs)", firstOf(r.opts.NotMatchedBySource)))
	r.exec(t, fmt.Sprintf("CREATE OR REPLACE TEMP TABLE fresh AS SELECT s.rowid AS s, %s AS clause FROM s WHERE s.rowid NOT IN (SELECT s FROM pairs)", firstOf(r.opts.NotMatched)))
	parts := []string{
		fmt.Sprintf("SELECT %s FROM t JOIN pairs p ON t.rowid = p.t JOIN s ON s.rowid = p.s WHERE p.clause IN (%s)", r.columns(r.opts.Matched, "t"), numbers(r.opts.Matched, merge.Update)),
		"SELECT t.* FROM t WHERE t.rowid IN (SELECT t FROM pairs) AND t.rowid NOT IN (SELECT t FROM pairs WHERE clause >= 0)",
		fmt.Sprintf("SELECT %s FROM t JOIN alone p ON t.rowid = p.t WHERE p.clause IN (-1, %s)", r.columns(r.opts.NotMatchedBySource, "t"), numbers(r.opts.NotMatchedBySource, merge.Update)),
		fmt.Sprintf("SELECT %s FROM s JOIN fresh p ON s.rowid = p.s WHERE p.clause >= 0", r.columns(r.opts.NotMatched, "")),
	}
	r.exec(t, "CREATE OR REPLACE TABLE merged AS "+strings.Join(parts, "\nUNION ALL "))
	out := r.count(t)
	r.exec(t, "DROP TABLE t")
	r.exec(t, "ALTER TABLE merged RENAME TO t")
	return out
}

// numbers lists the clauses with an action, for IN.
func numbers(clauses []merge.Clause, action merge.Action) string {
	out := []string{"-2"}
	for i, c := range clauses {
		if c.Action == action {
			out = append(out, fmt.Sprint(i))
		}
	}
	return strings.Join(out, ", ")
}

// columns are the target's columns as the clauses leave them; those that a clause does not name come from scope, or are null.
func (r *reference) columns(clauses []merge.Clause, scope string) string {
	var out []string
	for _, c := range r.target.Columns {
		rest := "NULL"
		if scope != "" {
			rest = scope + "." + c.Name
		}
		var b strings.Builder
		for i, clause := range clauses {
			value := ""
			if clause.All && slices.ContainsFunc(r.source.Columns, func(s random.Column) bool { return s.Name == c.Name }) {
				value = "s." + c.Name
			}
			for _, a := range clause.Set {
				if a.Column == c.Name {
					value = a.Value.(*random.Expression).SQL
				}
			}
			if value != "" {
				fmt.Fprintf(&b, "WHEN %d THEN CAST(%s AS %s) ", i, value, c.Kind.SQL)
			}
		}
		expression := rest
		if b.Len() > 0 {
			expression = "CASE p.clause " + b.String() + "ELSE " + rest + " END"
		}
		out = append(out, fmt.Sprintf("CAST(%s AS %s) AS %s", expression, c.Kind.SQL, c.Name))
	}
	return strings.Join(out, ", ")
}

func (r *reference) count(t testing.TB) (out counts) {
	t.Helper()
	query := fmt.Sprintf(`SELECT (SELECT count(*) FROM fresh WHERE clause >= 0),
		(SELECT count(*) FROM pairs WHERE clause IN (%s)) + (SELECT count(*) FROM alone WHERE clause IN (%s)),
		(SELECT count(DISTINCT t) FROM pairs WHERE clause IN (%s)) + (SELECT count(*) FROM alone WHERE clause IN (%s)),
		(SELECT count(*) FROM s WHERE rowid NOT IN (SELECT s FROM pairs WHERE clause >= 0) AND rowid NOT IN (SELECT s FROM fresh WHERE clause >= 0))`,
		numbers(r.opts.Matched, merge.Update), numbers(r.opts.NotMatchedBySource, merge.Update),
		numbers(r.opts.Matched, merge.Delete), numbers(r.opts.NotMatchedBySource, merge.Delete))
	require.NoError(t, r.target.DB.QueryRow(query).Scan(&out.Inserted, &out.Updated, &out.Deleted, &out.Unchanged))
	return out
}

// text writes the merge as SQL, for the log.
func (r *reference) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "MERGE INTO t USING s ON (%s)", r.on)
	for _, l := range []struct {
		what    string
		clauses []merge.Clause
	}{{"MATCHED", r.opts.Matched}, {"NOT MATCHED", r.opts.NotMatched}, {"NOT MATCHED BY SOURCE", r.opts.NotMatchedBySource}} {
		for _, c := range l.clauses {
			fmt.Fprintf(&b, "\n  WHEN %s", l.what)
			if c.If != nil {
				b.WriteString(" AND " + c.If.(*random.Expression).SQL)
			}
			fmt.Fprintf(&b, " THEN %s", c.Action)
			if c.All {
				b.WriteString(" *")
			}
			for _, a := range c.Set {
				fmt.Fprintf(&b, ", %s = %s", a.Column, a.Value.(*random.Expression).SQL)
			}
		}
	}
	return b.String()
}

func openDuckDB(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	require.NoError(t, err)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	_, err = db.Exec("SET TimeZone = 'UTC'; SET threads = 1")
	require.NoError(t, err)
	return db
}
