package conformance

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/varve-lake/varve/testsuite/lab"
	"github.com/varve-lake/varve/testsuite/servers"
)

// TestLakeConflict lets another pipeline commit to a table while a MERGE's own commit is on its way to the catalog: the
// conflict can be found in the UI and counted in metrics, costs no attempt of an activity, and no row.
func TestLakeConflict(t *testing.T) {
	s3 := servers.VersityGW(t)
	rest := servers.IcebergREST(t, s3)
	l := lab.Empty(t, lab.Build(t))
	var armed atomic.Bool
	other := make(chan lab.Output, 1)
	uri := door(t, rest.URI, func(_ http.ResponseWriter, r *http.Request) bool {
		if restCommit(r) && strings.HasSuffix(r.URL.Path, "/tables/stock") && armed.CompareAndSwap(true, false) {
			other <- l.Trigger("run", "other")
		}
		return true
	})
	elsewhere(l, fmt.Sprintf("{type: rest, uri: %q}", uri), s3)
	const table = "pipeline: %s\ntables:\n  silver.stock:\n    source: {files: %s/*.csv, format: csv}\n    columns: {id: int, n: int}\n    write: %s\n"
	l.Write("pipelines/stock.yaml", fmt.Appendf(nil, table, "stock", "in", `{merge: {on: [id], when_matched: [{update: "*"}], when_not_matched: [{insert: "*"}]}}`))
	l.Write("pipelines/other.yaml", fmt.Appendf(nil, table, "other", "beside", "append"))
	l.Write("in/1.csv", []byte("id,n\n1,1\n2,1\n"))
	w := l.StartWorker("--metrics", "127.0.0.1:0")
	l.Must("run", "stock")

	l.Write("in/2.csv", []byte("id,n\n1,2\n9,2\n"))
	l.Write("beside/1.csv", []byte("id,n\n9,1\n"))
	armed.Store(true)
	result := l.Run("stock", "--id", "conflicted")
	require.Zero(t, (<-other).Code)
	require.Equal(t, 1, result.Tables[0].Conflicts)
	rows := l.Query("SELECT string_agg(id || '=' || n, ' ' ORDER BY id) AS rows FROM silver.stock")
	require.Equal(t, "1=2 2=1 9=2", rows[0]["rows"], "the row that came in meanwhile is merged, and not doubled")

	counted := regexp.MustCompile(`(?m)^(varve_commit_\w+)\{.*\btable="silver\.stock".*\} (\d+)$`)
	awaitIn(t, func() string {
		sums := map[string]int{} // over activities
		for _, m := range counted.FindAllStringSubmatch(metricsOf(t, w), -1) {
			n, err := strconv.Atoi(m[2])
			require.NoError(t, err)
			sums[m[1]] += n
		}
		return fmt.Sprint(sums)
	}, "varve_commit_claims_total:0", "varve_commit_conflicts_total:1", "varve_commit_unknown_outcomes_total:0", "varve_commit_groups_redone_total:", "varve_commit_attempts_total:")
	c, err := client.Dial(client.Options{HostPort: w.Address()})
	require.NoError(t, err)
	defer c.Close()
	awaitIn(t, func() string {
		counted, err := c.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{
			Query: "VarveConflicts > 0 AND VarveTable = 'silver.stock' AND WorkflowType = 'BuildTable'",
		})
		require.NoError(t, err)
		return fmt.Sprint(counted.GetCount())
	}, "1")
	events := c.GetWorkflowHistory(t.Context(), result.Tables[0].Workflow, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	told, commits := 0, 0
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(t, err)
		require.Nil(t, e.GetActivityTaskFailedEventAttributes(), "a conflict is no failure")
		if started := e.GetActivityTaskStartedEventAttributes(); started != nil {
			require.EqualValues(t, 1, started.GetAttempt(), "and uses up no retry")
		}
		if scheduled := e.GetActivityTaskScheduledEventAttributes(); scheduled.GetActivityType().GetName() == "Commit" {
			commits++
		}
		if upserted := e.GetUpsertWorkflowSearchAttributesEventAttributes(); upserted != nil {
			told++
			require.Equal(t, "1", string(upserted.GetSearchAttributes().GetIndexedFields()["VarveConflicts"].GetData()))
		}
	}
	require.Equal(t, []int{1, 1}, []int{told, commits})
	require.Contains(t, l.Must("status", "conflicted", "--json"), `"conflicts": 1`)
}

// awaitIn waits until all of these are in what is said.
func awaitIn(t *testing.T, said func() string, wanted ...string) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		text, missing := said(), []string(nil)
		for _, w := range wanted {
			if !strings.Contains(text, w) {
				missing = append(missing, w)
			}
		}
		if len(missing) == 0 {
			return
		}
		if time.Since(began) > 2*time.Minute {
			t.Fatalf("no %v in %.3000s", missing, text)
		}
	}
}
