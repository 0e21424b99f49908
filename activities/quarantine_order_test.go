package activities

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTheQuarantineIsMadeBeforeItsTable: where the catalog has branches, a build tells the commit of the branch as of which its table was
// made, and a merge up to there has to have the quarantine too. The JDBC catalog's rows are in the order in which they came.
func TestTheQuarantineIsMadeBeforeItsTable(t *testing.T) {
	l := newLab(t)
	l.write("pipelines/p.yaml", `
pipeline: p
tables:
  bronze.a:
    source: {files: "in/*.csv"}
    columns: {n: int}
    expect: [{name: small, that: n < 5, otherwise: quarantine}]
    write: append
`)
	l.write("in/1.csv", "n\n1\n9\n")
	compiled, err := l.compile("p")
	require.NoError(t, err)
	require.NoError(t, l.begin(compiled, "bronze.a").prepare())
	db, err := sql.Open("sqlite", filepath.Join(l.dir, "lake", "catalog.db"))
	require.NoError(t, err)
	defer db.Close()
	rows, err := db.Query("SELECT table_name FROM iceberg_tables ORDER BY rowid")
	require.NoError(t, err)
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		names = append(names, name)
	}
	require.NoError(t, rows.Err())
	require.Equal(t, []string{"a__quarantine", "a"}, names)
}
