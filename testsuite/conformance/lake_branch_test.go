package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/store"
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
	l.Write("varve.yaml", fmt.Appendf(nil, `
environments:
  prod:
    catalog: {type: rest, uri: %q, warehouse: %s}
    store: {s3: {region: %s, endpoint: %q, path_style: true, access_key: {env: VARVE_TEST_KEY}, secret_key: {env: VARVE_TEST_SECRET}}}
`, nessie.URI, nessie.Warehouse, s3.Region, s3.Endpoint))
	l.Env = []string{"VARVE_ENVIRONMENT=prod", "VARVE_TEST_KEY=" + s3.AccessKey, "VARVE_TEST_SECRET=" + s3.SecretKey}
	l.StartWorker()
	stores := store.NewStores(*s3Store(s3))
	defer stores.Close()
	landing := "s3://" + s3.Bucket + "/landing"
	made, err := iceio.LoadFS(t.Context(), stores.Props(), landing)
	require.NoError(t, err)
	all := reference.Deliveries(t, l)
	all = all[slices.IndexFunc(all, func(name string) bool { return name >= reference.WiderFrom })-2:]
	deliver := func(names ...string) {
		reference.Deliver(t, l, "landing", names...)
		for _, name := range names {
			content, err := os.ReadFile(l.Path("landing", name))
			require.NoError(t, err)
			require.NoError(t, made.(files).WriteFile(landing+"/"+name, content))
		}
	}
	rows := func(flags ...string) string {
		return l.Must(append([]string{"query", "--format", "csv", "SELECT count(*) AS n FROM silver.flights"}, flags...)...)
	}

	deliver(all[:4]...)
	l.Must("run", "flights", "-p", "landing="+landing)
	first := rows()
	var snapshots []struct {
		ID     int64
		Commit string
	}
	require.NoError(t, json.Unmarshal([]byte(l.Must("table", "snapshots", "silver.flights", "--json")), &snapshots))
	require.Len(t, snapshots, 1)

	deliver(all[4:8]...)
	out := l.Must("run", "flights", "-p", "landing="+landing, "--branch", "audit")
	require.Contains(t, out, "on branch audit, which is not merged")
	require.Equal(t, first, rows(), "others do not see it")
	require.NotEqual(t, first, rows("--branch", "audit"))
	require.Contains(t, l.Must("branch", "list"), "audit")
	require.Equal(t, "merged audit into main\n", l.Must("branch", "merge", "audit"))
	reference.Check(t, l, "landing")
	require.NotContains(t, l.Must("branch", "list"), "audit")

	deliver(all[8:12]...)
	out = l.Must("run", "flights", "-p", "landing="+landing, "--branch", "night/1", "--merge", "--id", "night")
	require.Contains(t, out, "on branch night/1, which is merged into main")
	reference.Check(t, l, "landing")
	require.NotContains(t, l.Must("branch", "list"), "night")
	for _, table := range l.Run("flights", "-p", "landing="+landing).Tables {
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
