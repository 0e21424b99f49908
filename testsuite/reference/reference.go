// Package reference says what the flights pipeline must make of its files: DuckDB computes it from the raw CSV files by SQL
// written by hand (flights.sql), which shares nothing with Varve but the files.
package reference

import (
	"context"
	"database/sql"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/varve-lake/varve/testsuite/lab"
)

//go:embed flights.sql
var flights string

// WiderFrom is the first day whose schedule has one more column.
const WiderFrom = "2013-02-20"

// Landing makes a folder of the lab with the deliveries of some days (0: of all of them) around the one whose schedule has
// one more column, and returns it.
func Landing(t testing.TB, l *lab.Lab, name string, days int) string {
	t.Helper()
	files := Deliveries(t, l)
	if days > 0 {
		first := sort.SearchStrings(files, WiderFrom) - 2*(days/2)
		files = files[first : first+2*days]
	}
	Deliver(t, l, name, files...)
	return name
}

// Deliveries lists the names of all deliveries, in order: a day's schedule, then its actuals.
func Deliveries(t testing.TB, l *lab.Lab) []string {
	t.Helper()
	found, err := filepath.Glob(l.Path("pipelines", "data", "flights", "*.csv.gz"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no deliveries: %v", err)
	}
	sort.Strings(found)
	for i := range found {
		found[i] = filepath.Base(found[i])
	}
	return found
}

// Deliver copies deliveries into a landing folder of the lab.
func Deliver(t testing.TB, l *lab.Lab, landing string, names ...string) {
	t.Helper()
	if err := os.MkdirAll(l.Path(landing), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		data, err := os.ReadFile(l.Path("pipelines", "data", "flights", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(l.Path(landing, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Check compares every row of silver.flights and of the gold tables, and the counts of the others, with the reference.
func Check(t testing.TB, l *lab.Lab, landing string) {
	t.Helper()
	db := open(t)
	exec(t, db, strings.NewReplacer("${landing}", l.Path(landing), "${dimensions}", l.Path("pipelines", "data")).Replace(flights))
	for _, name := range []string{"silver_flights", "gold_carrier_daily", "gold_route_monthly", "silver_airlines", "silver_airports", "silver_planes", "silver_weather"} {
		compare(t, l, db, name)
	}
	var rows, quarantined int64
	scan(t, db, "SELECT count(*) FROM deliveries", &rows)
	scan(t, db, "SELECT count(*) FROM quarantined_flights", &quarantined)
	if got := count(t, l, "SELECT count(*) AS n FROM bronze.flights"); got != rows {
		t.Errorf("bronze.flights has %d rows, the files have %d", got, rows)
	}
	if got := count(t, l, "SELECT count(DISTINCT json_extract_string(_row, '$.flight_id')) AS n FROM silver.flights__quarantine"); got != quarantined {
		t.Errorf("silver.flights__quarantine has %d flights, expected %d", got, quarantined)
	}
	if got := count(t, l, "SELECT count(*) - count(DISTINCT _key) AS n FROM silver.flights__quarantine"); got != 0 {
		t.Errorf("%d rows are quarantined twice", got)
	}
}

// compare holds a reference view against the table whose name has a dot for its first underscore, both ways.
func compare(t testing.TB, l *lab.Lab, db *sql.DB, view string) {
	t.Helper()
	table := strings.Replace(view, "_", ".", 1)
	columns := columnsOf(t, db, view)
	path := l.Path(view + ".csv")
	if err := os.WriteFile(path, []byte(l.Must("query", "--format", "csv", fmt.Sprintf("SELECT %s FROM %s", strings.Join(columns, ", "), table))), 0o644); err != nil {
		t.Fatal(err)
	}
	exec(t, db, fmt.Sprintf("CREATE OR REPLACE TEMP TABLE expected AS SELECT * FROM %s", view))
	exec(t, db, "CREATE OR REPLACE TEMP TABLE got AS SELECT * FROM expected LIMIT 0")
	exec(t, db, fmt.Sprintf("INSERT INTO got SELECT * FROM read_csv('%s', header=true, all_varchar=true)", path))
	for _, side := range [][3]string{{"is missing", "expected", "got"}, {"has, but should not", "got", "expected"}} {
		var n int64
		var example sql.NullString
		// Means are compared to nine digits: the order of summation is not the same.
		scan(t, db, fmt.Sprintf("SELECT count(*), any_value(r::VARCHAR) FROM (SELECT %[1]s FROM %[2]s EXCEPT ALL SELECT %[1]s FROM %[3]s) r",
			rounded(t, db, columns), side[1], side[2]), &n, &example)
		if n > 0 {
			t.Errorf("%s %s %d rows, such as %s", table, side[0], n, example.String)
		}
	}
}

func columnsOf(t testing.TB, db *sql.DB, view string) []string {
	t.Helper()
	rows, err := db.Query("SELECT column_name FROM duckdb_columns() WHERE table_name = '" + view + "' ORDER BY column_index")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var out []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		out = append(out, name)
	}
	if err := rows.Err(); err != nil || len(out) == 0 {
		t.Fatalf("columns of %s: %v", view, err)
	}
	return out
}

func rounded(t testing.TB, db *sql.DB, columns []string) string {
	t.Helper()
	out := make([]string, len(columns))
	for i, c := range columns {
		var kind string
		scan(t, db, "SELECT data_type FROM duckdb_columns() WHERE table_name = 'expected' AND column_name = '"+c+"'", &kind)
		if out[i] = c; kind == "DOUBLE" {
			out[i] = "round(" + c + ", 9) AS " + c
		}
	}
	return strings.Join(out, ", ")
}

// CheckNothingStaged fails the test if a staging area was left behind.
func CheckNothingStaged(t testing.TB, l *lab.Lab) {
	t.Helper()
	for _, path := range Staged(t, l) {
		t.Errorf("left behind: %s", path)
	}
}

// Staged lists the files of staging areas, from the lab's folder.
func Staged(t testing.TB, l *lab.Lab) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(l.Path(".varve", "warehouse"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, "_staging") {
			out = append(out, strings.TrimPrefix(path, l.Dir))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func count(t testing.TB, l *lab.Lab, query string) int64 {
	t.Helper()
	var n int64
	if _, err := fmt.Sscan(fmt.Sprint(l.Query(query)[0]["n"]), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func open(t testing.TB) *sql.DB {
	t.Helper()
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1) // temporary tables belong to a connection
	t.Cleanup(func() { _ = db.Close() })
	exec(t, db, "SET TimeZone='UTC'")
	return db
}

func exec(t testing.TB, db *sql.DB, query string) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), query); err != nil {
		t.Fatalf("%v in %s", err, query)
	}
}

func scan(t testing.TB, db *sql.DB, query string, into ...any) {
	t.Helper()
	if err := db.QueryRow(query).Scan(into...); err != nil {
		t.Fatalf("%v in %s", err, query)
	}
}
