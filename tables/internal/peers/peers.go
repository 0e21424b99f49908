// Package peers lets PyIceberg, Spark and DuckDB's iceberg extension read the tables that the randomised tests of package
// tables and its rooms made, in a catalog on an SQLite file.
package peers

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/testsuite/peers"
)

// Variable, when set, has the tests install the peers and ask them.
const Variable = "VARVE_PEERS"

// Peers are the installed systems, beside a lake in Dir: its catalog is Dir/catalog.db, its warehouse Dir/warehouse.
type Peers struct {
	Dir string
	*peers.Peers
}

// Install installs the peers, which does nothing if they are there. root is the project's folder. Without the Variable the
// test is skipped.
func Install(t *testing.T, root string) *Peers {
	t.Helper()
	if os.Getenv(Variable) == "" {
		t.Skipf("make test-differential installs the peers and sets %s", Variable)
	}
	return &Peers{Dir: t.TempDir(), Peers: peers.Install(t, root)}
}

// Table is a table that a peer reads.
type Table struct {
	Name    string // with its namespace
	Columns []random.Column
	Rows    []string // expected, as Rows gives them
}

// Statement is SQL that Spark runs, none if it is "", and the table that it reads afterwards.
type Statement struct {
	SQL  string `json:"sql"`
	Read string `json:"read"`
}

// Spark runs statements. It gives the folder that the tables' rows are in, a folder of Parquet files for each, and for each
// statement "" or the error that it ended with.
func (p *Peers) Spark(t *testing.T, statements []Statement) (out string, errors []string) {
	t.Helper()
	out = t.TempDir()
	p.Python(t, "merge_spark.py", p.catalog(), p.warehouse(), writeJSON(t, out, statements), out, p.Jars())
	return out, readStrings(t, filepath.Join(out, "results.json"))
}

// SparkRows are a table's rows as Spark left them in the folder.
func SparkRows(t *testing.T, out string, table Table) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(out, table.Name, "*.parquet"))
	require.NoError(t, err)
	return ParquetRows(t, table.Columns, files...)
}

// Read lets a peer, "spark", "pyiceberg" or "duckdb", read tables, and compares the rows.
func (p *Peers) Read(t *testing.T, peer string, tables []Table) {
	t.Helper()
	if peer == "spark" {
		p.readSpark(t, tables)
		return
	}
	out := t.TempDir()
	var names []string
	for _, table := range tables {
		names = append(names, table.Name)
	}
	p.Python(t, "read_tables.py", peer, p.catalog(), p.warehouse(), writeJSON(t, out, names), out)
	errors := readStrings(t, filepath.Join(out, "results.json"))
	require.Len(t, errors, len(tables))
	for i, table := range tables {
		t.Run(table.Name, func(t *testing.T) {
			require.Empty(t, errors[i])
			found := ParquetRows(t, table.Columns, filepath.Join(out, table.Name+".parquet"))
			if want := table.Rows; peer == "duckdb" {
				// DuckDB takes a column chunk whose least and greatest values are equal for a constant, and -0.0, which is
				// how Parquet wants a least value of zero to be written, equals 0.0.
				require.Equal(t, unsigned(want), unsigned(found))
			} else {
				require.Equal(t, want, found)
			}
		})
	}
}

func (p *Peers) readSpark(t *testing.T, tables []Table) {
	t.Helper()
	var statements []Statement
	for _, table := range tables {
		statements = append(statements, Statement{Read: table.Name})
	}
	out, _ := p.Spark(t, statements)
	for _, table := range tables {
		t.Run(table.Name, func(t *testing.T) { require.Equal(t, table.Rows, SparkRows(t, out, table)) })
	}
}

func (p *Peers) catalog() string   { return filepath.Join(p.Dir, "catalog.db") }
func (p *Peers) warehouse() string { return "file://" + filepath.Join(p.Dir, "warehouse") }

// unsigned are rows with -0.0 as 0.0.
func unsigned(rows []string) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		for range 2 { // of two beside each other, the first takes the space between them
			r = negativeZero.ReplaceAllString(r, "${1}0${2}")
		}
		out[i] = r
	}
	slices.Sort(out)
	return out
}

var negativeZero = regexp.MustCompile(`([\[ ])-0([\] ])`)

// writeJSON writes what a script is asked for.
func writeJSON(t *testing.T, dir string, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	path := filepath.Join(dir, "asked.json")
	require.NoError(t, os.WriteFile(path, data, 0o644))
	return path
}

func readStrings(t *testing.T, path string) (out []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &out))
	return out
}
