package interop

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/testsuite/lab"
	"github.com/varve-lake/varve/testsuite/peers"
	"github.com/varve-lake/varve/testsuite/reference"
)

// seen is what a peer says of a table.
type seen struct {
	Columns       map[string]string
	Required      []string
	Partition     []string
	Sort          []string
	Partitions    int
	Snapshots     int
	FormatVersion int `json:"format_version"`
	Properties    map[string]string
}

// install gives the peers.
func install(t *testing.T) *peers.Peers {
	t.Helper()
	if os.Getenv("VARVE_PEERS") == "" {
		t.Skip("make test-interop installs the peers and sets VARVE_PEERS")
	}
	return peers.Install(t, lab.Root(t))
}

func catalogOf(l *lab.Lab) (db, warehouse string) {
	return l.Path(".varve", "catalog.db"), "file://" + l.Path(".varve", "warehouse")
}

// built runs the three example pipelines, flights in two portions so that merges update rows in both strategies.
func built(t *testing.T) *lab.Lab {
	t.Helper()
	l := lab.New(t, lab.Build(t))
	files := reference.Deliveries(t, l)
	reference.Deliver(t, l, "landing", files[:61]...)
	l.Must("run", "flights", "-p", "landing=landing")
	reference.Deliver(t, l, "landing", files[61:]...)
	l.Must("run", "flights", "-p", "landing=landing")
	for _, day := range []string{"2023-10-27", "2023-10-28"} {
		l.Must("run", "user_profiles", "-p", "date="+day)
	}
	l.Must("run", "transactions")
	reference.Check(t, l, "landing")
	return l
}

// TestPeersReadEverything compares every table of the lake, after MERGEs in both strategies.
func TestPeersReadEverything(t *testing.T) {
	others := install(t)
	l := built(t)
	db, warehouse := catalogOf(l)
	for _, peer := range []struct {
		name string
		read func(out string)
		glob string
	}{
		{"pyiceberg", func(out string) { others.Python(t, "read_pyiceberg.py", db, warehouse, out) }, "%s/%s.parquet"},
		{"spark", func(out string) { others.Python(t, "read_spark.py", db, warehouse, out, others.Jars()) }, "%s/%s/*.parquet"},
	} {
		t.Run(peer.name, func(t *testing.T) {
			out := t.TempDir()
			peer.read(out)
			data, err := os.ReadFile(filepath.Join(out, "schemas.json"))
			if err != nil {
				t.Fatal(err)
			}
			var found map[string]seen
			if err := json.Unmarshal(data, &found); err != nil {
				t.Fatal(err)
			}
			names := l.Tables()
			for _, name := range names {
				table, ok := found[name]
				if !ok {
					t.Errorf("%s does not see %s", peer.name, name)
					continue
				}
				compareRows(t, l, name, fmt.Sprintf(peer.glob, out, name))
				compareLayout(t, l, peer.name, name, table)
			}
			if len(found) != len(names) {
				t.Errorf("%s sees %d tables, expected %d", peer.name, len(found), len(names))
			}
		})
	}
}

// compareRows holds the peer's rows against Varve's, both ways, duplicates counted.
func compareRows(t *testing.T, l *lab.Lab, name, glob string) {
	t.Helper()
	compareWith(t, name, l.Must("query", "--format", "csv", "SELECT * FROM "+name), glob)
}

// compareWith holds the peer's rows of a table against Varve's as CSV.
func compareWith(t *testing.T, name, rowsOfVarve, glob string) {
	t.Helper()
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	defer func() { _ = db.Close() }()
	exec := func(query string) {
		t.Helper()
		if _, err := db.Exec(query); err != nil {
			t.Fatalf("%s: %v in %s", name, err, query)
		}
	}
	csv := filepath.Join(t.TempDir(), "varve.csv")
	if err := os.WriteFile(csv, []byte(rowsOfVarve), 0o644); err != nil {
		t.Fatal(err)
	}
	exec("SET TimeZone='UTC'")
	exec(fmt.Sprintf("CREATE TABLE peer AS SELECT * FROM read_parquet('%s')", glob))
	exec("CREATE TABLE varve AS SELECT * FROM peer LIMIT 0")
	exec(fmt.Sprintf("INSERT INTO varve BY NAME SELECT * FROM read_csv('%s', header=true, all_varchar=true)", csv))
	var rows, missing, extra int64
	query := "SELECT (SELECT count(*) FROM varve), (SELECT count(*) FROM (FROM varve EXCEPT ALL FROM peer)), (SELECT count(*) FROM (FROM peer EXCEPT ALL FROM varve))"
	if err := db.QueryRow(query).Scan(&rows, &missing, &extra); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if rows == 0 && !strings.HasSuffix(name, "__quarantine") {
		t.Errorf("%s is empty: the comparison says nothing", name)
	}
	if missing > 0 || extra > 0 {
		t.Errorf("%s: of %d rows the peer lacks %d and has %d others", name, rows, missing, extra)
	}
}

// compareLayout holds types, partitioning, order and properties against what `trigger table show` says.
func compareLayout(t *testing.T, l *lab.Lab, peer, name string, got seen) {
	t.Helper()
	var want tables.Info
	if err := json.Unmarshal([]byte(l.Must("table", "show", name, "--json")), &want); err != nil {
		t.Fatal(err)
	}
	if len(got.Columns) != len(want.Columns) {
		t.Errorf("%s: %d columns, expected %d", name, len(got.Columns), len(want.Columns))
	}
	for _, c := range want.Columns {
		if g := got.Columns[c.Name]; g != peerType(peer, c.Type) {
			t.Errorf("%s.%s: %s says %q, expected %q", name, c.Name, peer, g, peerType(peer, c.Type))
		}
		if peer == "pyiceberg" && slices.Contains(got.Required, c.Name) != c.Required {
			t.Errorf("%s.%s: required is %v for PyIceberg, %v for Varve", name, c.Name, !c.Required, c.Required)
		}
	}
	if peer == "spark" {
		if got.Snapshots != want.Snapshots {
			t.Errorf("%s: Spark sees %d snapshots, expected %d", name, got.Snapshots, want.Snapshots)
		}
		return
	}
	if len(got.Partition) != len(want.PartitionBy) || len(got.Sort) != len(want.SortBy) || got.FormatVersion != want.FormatVersion {
		t.Errorf("%s: PyIceberg sees partitioning %v, order %v, format %d; expected %v, %v, %d", name, got.Partition, got.Sort, got.FormatVersion,
			want.PartitionBy, want.SortBy, want.FormatVersion)
	}
	if name == "gold.transactions" {
		for key, value := range map[string]string{"write.format.default": "parquet", "write.metadata.compression-codec": "gzip", "write.summary.max-size": "100"} {
			if got.Properties[key] != value {
				t.Errorf("gold.transactions: property %s is %q, expected %q", key, got.Properties[key], value)
			}
		}
		if got.Partition[0] != "day(ts)" || !strings.HasPrefix(got.Sort[0], "identity(user_id) asc") {
			t.Errorf("gold.transactions: partitioned by %v, sorted by %v", got.Partition, got.Sort)
		}
	}
}

// peerType is a type of Iceberg as the peer writes it.
func peerType(peer, iceberg string) string {
	if peer != "spark" {
		return strings.ReplaceAll(strings.ReplaceAll(iceberg, ", ", ","), ",", ", ")
	}
	switch iceberg {
	case "long":
		return "bigint"
	case "uuid":
		return "string"
	case "timestamptz":
		return "timestamp"
	case "timestamp":
		return "timestamp_ntz"
	}
	return strings.ReplaceAll(iceberg, ", ", ",")
}

// TestVarveReadsWhatPyIcebergAppends appends rows to gold.user_profiles by PyIceberg, reads them by Varve, and merges into
// them: the appended user is updated in place, not doubled.
func TestVarveReadsWhatPyIcebergAppends(t *testing.T) {
	others := install(t)
	l := lab.New(t, lab.Build(t))
	l.Must("run", "user_profiles", "-p", "date=2023-10-27")
	db, warehouse := catalogOf(l)
	before := l.Query("SELECT count(*) AS n FROM gold.user_profiles")[0]["n"]
	rows := appendedRows(t, l)
	others.Python(t, "append_pyiceberg.py", db, warehouse, "gold.user_profiles", rows)
	after := l.Query("SELECT count(*) AS n, count(*) FILTER (user_id >= 9000000) AS appended FROM gold.user_profiles")[0]
	if fmt.Sprint(after["appended"]) != "3" || fmt.Sprint(after["n"]) == fmt.Sprint(before) {
		t.Errorf("after PyIceberg's append: %v, before it %v", after, before)
	}
	l.Must("run", "user_profiles", "-p", "date=2023-10-28")
	doubled := l.Query("SELECT count(*) - count(DISTINCT user_id) AS n FROM gold.user_profiles")[0]["n"]
	if fmt.Sprint(doubled) != "0" {
		t.Errorf("%v users are there twice", doubled)
	}
}

// appendedRows takes three rows of the table and gives them users of their own.
func appendedRows(t *testing.T, l *lab.Lab) string {
	t.Helper()
	csv, parquet := filepath.Join(t.TempDir(), "rows.csv"), filepath.Join(t.TempDir(), "rows.parquet")
	query := "SELECT * REPLACE (user_id + 9000000 AS user_id) FROM gold.user_profiles ORDER BY user_id LIMIT 3"
	if err := os.WriteFile(csv, []byte(l.Must("query", "--format", "csv", query)), 0o644); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if _, err := db.ExecContext(context.Background(), fmt.Sprintf("COPY (SELECT * FROM read_csv('%s', header=true)) TO '%s' (FORMAT parquet)", csv, parquet)); err != nil {
		t.Fatal(err)
	}
	return parquet
}
