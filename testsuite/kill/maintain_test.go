package kill

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/testsuite/lab"
	"github.com/varve-lake/varve/testsuite/reference"
	"github.com/varve-lake/varve/workflows"
)

func maintenancePoints() []string {
	if os.Getenv("VARVE_KILL") == "few" {
		return []string{fault.RetainDone, fault.CompactDone, fault.DeletesDone, fault.ExpireDone, fault.OrphansFound}
	}
	return fault.MaintenancePoints
}

const eventFiles = 6

// tended is a lab with a table of which every kind of upkeep has something to do.
func tended(t *testing.T, bin string) *lab.Lab {
	l := lab.Empty(t, bin)
	l.Write("pipelines/events.yaml", []byte(`
pipeline: events
tables:
  bronze.events:
    source: {files: "in/*.csv"}
    columns: {id: int, day: date, v: long}
    partition_by: [day]
    retain: {column: day, for: 30d}
    maintenance:
      compact: {min_input_files: 2}
      expire_snapshots: {older_than: 1m, keep_last: 1}
      remove_orphans: {older_than: 1h}
`))
	today := time.Now().UTC().Format("2006-01-02")
	for i := range eventFiles {
		l.Write(fmt.Sprintf("in/%d.csv", i), fmt.Appendf(nil, "id,day,v\n%d,%s,1\n%d,2020-01-01,2\n", i, today, 100+i))
		require.Equal(t, "built", l.Run("events").Tables[0].State)
	}
	orphan := l.Path(".varve/warehouse/bronze.db/events/data/orphan.parquet")
	require.NoError(t, os.WriteFile(orphan, []byte("x"), 0o644))
	then := time.Now().Add(-48 * time.Hour)
	require.NoError(t, os.Chtimes(orphan, then, then))
	time.Sleep(61 * time.Second) // the policy's shortest age of a snapshot
	return l
}

func TestKillInMaintenance(t *testing.T) {
	if os.Getenv("VARVE_KILL") == "" {
		t.Skip("make test-kill sets VARVE_KILL: this takes minutes")
	}
	bin := lab.Build(t, "faults")
	for _, point := range maintenancePoints() {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			out := upkeepOutcome{Point: point}
			defer func() { upkeepReport.add(out, !t.Failed()) }()
			table, prepare, steps, check := "bronze.events", tended, 4, checkTended
			if slices.Contains(minorPoints, point) {
				table, prepare, steps, check = "silver.worn", worn, 3, checkWorn
			}
			l := prepare(t, bin)
			l.Env = []string{"VARVE_FAULT=" + point}
			victim := l.StartWorker()
			startMaintenance(t, victim, table)
			awaitDeath(t, victim, point)
			out.Killed, out.Staged = true, stagedFiles(t, l)
			l.Env = nil
			result := awaitMaintenance(t, l.StartWorker(), table)
			require.Len(t, result.Steps, steps)
			check(t, l)
			reference.CheckNothingStaged(t, l)
		})
	}
}

// minorPoints are those of the table whose deletes and manifests are put in order.
var minorPoints = []string{fault.DeletesBefore, fault.DeletesDone, fault.DanglingDone, fault.ManifestsBefore, fault.ManifestsDone}

const wornRows = 20

// worn is a lab with a table of one file, of which four MERGEs have each changed a row.
func worn(t *testing.T, bin string) *lab.Lab {
	l := lab.Empty(t, bin)
	l.Write("pipelines/worn.yaml", []byte(`
pipeline: worn
tables:
  silver.worn:
    source: {files: "in/*.csv"}
    columns: {id: int, v: long}
    write: {merge: {on: [id], strategy: merge-on-read, when_matched: [{update: "*"}], when_not_matched: [{insert: "*"}]}}
    maintenance:
      merge_deletes: {min_input_files: 2}
      remove_dangling_deletes: {}
      rewrite_manifests: {min_input_manifests: 2}
`))
	rows := []byte("id,v\n")
	for i := range wornRows {
		rows = fmt.Appendf(rows, "%d,0\n", i)
	}
	l.Write("in/0.csv", rows)
	require.Equal(t, "built", l.Run("worn").Tables[0].State)
	for i := range 4 {
		l.Write(fmt.Sprintf("in/%d.csv", i+1), fmt.Appendf(nil, "id,v\n%d,%d\n", i, i+1))
		require.Equal(t, "built", l.Run("worn").Tables[0].State)
	}
	return l
}

// checkWorn: each row is there once, as it was changed last; one file of deletes is left; and there is nothing more to do.
func checkWorn(t *testing.T, l *lab.Lab) {
	t.Helper()
	row := l.Query("SELECT count(*) AS rows, count(DISTINCT id) AS ids, sum(v) AS v FROM silver.worn")[0]
	for name, want := range map[string]int{"rows": wornRows, "ids": wornRows, "v": 1 + 2 + 3 + 4} {
		require.Equal(t, fmt.Sprint(want), fmt.Sprint(row[name]), name)
	}
	require.Regexp(t, `"delete_files": *1\b`, l.Must("table", "health", "silver.worn", "--json"))
	require.Contains(t, l.Must("table", "maintain", "silver.worn", "--yes"), "nothing to do")
	require.Equal(t, "unchanged", l.Run("worn").Tables[0].State)
}

// stagedFiles counts what lies in staging areas.
func stagedFiles(t *testing.T, l *lab.Lab) (n int) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(l.Path(".varve/warehouse"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, "/_staging/") {
			n++
		}
		return err
	}))
	return n
}

func startMaintenance(t *testing.T, w *lab.Worker, table string) {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: w.Address()})
	require.NoError(t, err)
	defer c.Close()
	_, err = c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: wire.MaintenanceID(table), TaskQueue: "varve", WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
	}, workflows.MaintainTableName, workflows.MaintainInput{Table: table})
	require.NoError(t, err)
}

func awaitMaintenance(t *testing.T, w *lab.Worker, table string) workflows.MaintainResult {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: w.Address()})
	require.NoError(t, err)
	defer c.Close()
	var out workflows.MaintainResult
	require.NoError(t, c.GetWorkflow(t.Context(), wire.MaintenanceID(table), "").Get(t.Context(), &out))
	return out
}

// checkTended: rows of today alone are there, each once, in one file, and nothing else but what names it.
func checkTended(t *testing.T, l *lab.Lab) {
	t.Helper()
	row := l.Query("SELECT count(*) AS rows, count(DISTINCT id) AS ids, sum(id) AS sum, sum(v) AS v FROM bronze.events")[0]
	for name, want := range map[string]int{"rows": eventFiles, "ids": eventFiles, "sum": eventFiles * (eventFiles - 1) / 2, "v": eventFiles} {
		require.Equal(t, fmt.Sprint(want), fmt.Sprint(row[name]), name)
	}
	require.Equal(t, "unchanged", l.Run("events").Tables[0].State)
	_, err := os.Stat(l.Path(".varve/warehouse/bronze.db/events/data/orphan.parquet"))
	require.ErrorIs(t, err, os.ErrNotExist)
	files, err := filepath.Glob(l.Path(".varve/warehouse/bronze.db/events/data/*/*.parquet"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	l.Must("table", "maintain", "bronze.events", "--yes")
	row = l.Query("SELECT count(*) AS rows FROM bronze.events")[0]
	require.Equal(t, fmt.Sprint(eventFiles), fmt.Sprint(row["rows"]))
}
