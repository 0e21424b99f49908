package conformance

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/testsuite/lab"
	"github.com/varve-lake/varve/testsuite/reference"
	"github.com/varve-lake/varve/testsuite/servers"
)

// TestLakeOnABranch builds the example pipeline on branches of Nessie's and merges what is good: by hand after a look, at
// once by the run, and not at all where an expectation is not met. Then it goes back in time by Nessie's history.
func TestLakeOnABranch(t *testing.T) {
	s3 := servers.VersityGW(t)
	nessie := servers.Nessie(t, s3)
	l := lab.New(t, lab.Build(t))
	elsewhere(l, fmt.Sprintf("{type: rest, uri: %q, warehouse: %s}", nessie.URI, nessie.Warehouse), s3)
	l.StartWorker()
	landing := landingOf(t, l, s3)
	all := laterDeliveries(t, l)
	rows := func(flags ...string) string {
		return l.Must(append([]string{"query", "--format", "csv", "SELECT count(*) AS n FROM silver.flights"}, flags...)...)
	}

	landing.deliver(all[:4]...)
	l.Must("run", "flights", "-p", "landing="+landing.uri)
	first := rows()
	var snapshots []struct {
		ID     int64
		Commit string
	}
	require.NoError(t, json.Unmarshal([]byte(l.Must("table", "snapshots", "silver.flights", "--json")), &snapshots))
	require.Len(t, snapshots, 1)

	landing.deliver(all[4:8]...)
	out := l.Must("run", "flights", "-p", "landing="+landing.uri, "--branch", "audit")
	require.Contains(t, out, "on branch audit, which is not merged")
	require.Equal(t, first, rows(), "others do not see it")
	require.NotEqual(t, first, rows("--branch", "audit"))
	require.Contains(t, l.Must("branch", "list"), "audit")
	require.Equal(t, "merged audit into main\n", l.Must("branch", "merge", "audit"))
	reference.Check(t, l, "landing")
	require.NotContains(t, l.Must("branch", "list"), "audit")

	landing.deliver(all[8:12]...)
	out = l.Must("run", "flights", "-p", "landing="+landing.uri, "--branch", "night/1", "--merge", "--id", "night")
	require.Contains(t, out, "on branch night/1, which is merged into main")
	reference.Check(t, l, "landing")
	require.NotContains(t, l.Must("branch", "list"), "night")
	for _, table := range l.Run("flights", "-p", "landing="+landing.uri).Tables {
		require.Equal(t, "unchanged", table.State, "%s: what was loaded on a branch is loaded", table.Table)
	}

	l.Write("pipelines/gated.yaml", []byte(`pipeline: gated
tables:
  gold.good:
    sql: SELECT carrier, count(*) AS flights FROM silver.flights GROUP BY ALL
    write: replace
  gold.gated:
    sql: SELECT carrier, count(*) AS flights FROM silver.flights GROUP BY ALL
    expect: [{name: nobody flies, that: flights < 0, otherwise: fail}]
    write: replace
`))
	failed := l.Trigger("run", "gated", "--branch", "gate", "--merge")
	require.NotZero(t, failed.Code)
	require.Contains(t, failed.Stdout, "on branch gate, which is not merged")
	require.NotContains(t, l.Tables(), "gold.good", "nothing of it is there to be seen")
	require.Contains(t, l.Must("table", "list", "--branch", "gate"), "gold.good")
	l.Must("branch", "delete", "gate", "--yes")

	require.NoError(t, json.Unmarshal([]byte(l.Must("table", "snapshots", "silver.flights", "--json")), &snapshots))
	require.Len(t, snapshots, 3, "one for each merge")
	require.Contains(t, l.Must("table", "snapshots", "silver.flights", "-n", "1"), snapshots[2].Commit)
	for _, version := range []string{
		fmt.Sprintf("VERSION AS OF %d", snapshots[0].ID), fmt.Sprintf("VERSION AS OF '%s'", snapshots[0].Commit),
	} {
		require.Equal(t, first, l.Must("query", "--format", "csv", "SELECT count(*) AS n FROM silver.flights FOR "+version), version)
	}
	nowhere := l.Trigger("query", "SELECT 1 FROM silver.flights FOR TIMESTAMP AS OF '2001-01-01'")
	require.NotZero(t, nowhere.Code)
	require.Contains(t, nowhere.Stderr, "no such snapshot in the history of branch main")
	nowhere = l.Trigger("branch", "merge", "nowhere")
	require.Equal(t, 3, nowhere.Code)
	require.Contains(t, nowhere.Stderr, "'nowhere' not found")

	l.Env[0] = "VARVE_ENVIRONMENT=local"
	for _, args := range [][]string{{"branch", "list"}, {"query", "SELECT 1", "--branch", "b"}} {
		none := l.Trigger(args...)
		require.NotZero(t, none.Code)
		require.True(t, strings.Contains(none.Stderr, "only Nessie has branches of a whole catalog"), none.Stderr)
	}
}
