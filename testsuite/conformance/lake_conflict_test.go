package conformance

import (
	"crypto/sha256"
	"encoding/json"
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
	"github.com/varve-lake/varve/workflows"
)

// TestLakeConflict lets another pipeline commit to a table while a MERGE's own commit is on its way to the catalog: the
// conflict can be found in the UI and counted in metrics, costs no attempt of an activity, and no row.
func TestLakeConflict(t *testing.T) {
	c := newContended(t)
	c.start()
	const table = "pipeline: %s\ntables:\n  silver.stock:\n    source: {files: %s/*.csv, format: csv}\n    columns: {id: int, n: int}\n    write: %s\n"
	c.Write("pipelines/stock.yaml", fmt.Appendf(nil, table, "stock", "in", `{merge: {on: [id], when_matched: [{update: "*"}], when_not_matched: [{insert: "*"}]}}`))
	c.Write("pipelines/other.yaml", fmt.Appendf(nil, table, "other", "beside", "append"))
	c.Write("in/1.csv", []byte("id,n\n1,1\n2,1\n"))
	c.Must("run", "stock")

	c.Write("in/2.csv", []byte("id,n\n1,2\n9,2\n"))
	c.Write("beside/1.csv", []byte("id,n\n9,1\n"))
	result := c.conflicted()
	rows := c.Query("SELECT string_agg(id || '=' || n, ' ' ORDER BY id) AS rows FROM silver.stock")
	require.Equal(t, "1=2 2=1 9=2", rows[0]["rows"], "the row that came in meanwhile is merged, and not doubled")

	awaitIn(t, func() string { return fmt.Sprint(c.counted()) },
		"varve_commit_claims_total:0", "varve_commit_conflicts_total:1", "varve_commit_unknown_outcomes_total:0", "varve_commit_groups_redone_total:1", "varve_commit_attempts_total:")
	dialled, err := client.Dial(client.Options{HostPort: c.worker.Address()})
	require.NoError(t, err)
	defer dialled.Close()
	awaitIn(t, func() string {
		counted, err := dialled.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{
			Query: "VarveConflicts > 0 AND VarveTable = 'silver.stock' AND WorkflowType = 'BuildTable'",
		})
		require.NoError(t, err)
		return fmt.Sprint(counted.GetCount())
	}, "1")
	scheduled := c.scheduled(result.Tables[0].Workflow)
	require.Len(t, scheduled["Commit"], 2, "one meets the conflict, one commits")
	require.Equal(t, []string{"group 1 of 1, redone after a conflict (1)"}, scheduled["MergeGroup"])
	require.Equal(t, 1, result.Tables[0].GroupsRedone)
	require.Contains(t, c.Must("status", "conflicted", "--json"), `"conflicts": 1`)
}

// TestLakeConflictInGroups is the same of a MERGE that is done in groups: those that the other pipeline has changed rows of
// are merged again, by activities that say so. Then the commit's answer is lost, and it counts as one all the same.
func TestLakeConflictInGroups(t *testing.T) {
	const shops, perShop = 4, 400
	c := newContended(t)
	c.start("--fan-out", "8KB")
	const table = "pipeline: %s\ntables:\n  silver.stock:\n    source: {files: %s/*.csv, format: csv}\n    columns: {id: int, shop: int, n: int, note: string}\n" +
		"    partition_by: [shop]\n    write: {merge: {on: [id], when_matched: [{update: \"*\"}], when_not_matched: [{insert: \"*\"}]}}\n"
	c.Write("pipelines/stock.yaml", fmt.Appendf(nil, table, "stock", "in"))
	c.Write("pipelines/other.yaml", fmt.Appendf(nil, table, "other", "beside"))
	const head = "id,shop,n,note\n"
	first, second := head, head+"-1,0,5,new\n"
	for i := range shops * perShop {
		first += fmt.Sprintf("%d,%d,1,%x\n", i, i%shops, sha256.Sum256(fmt.Append(nil, i))) // so that a shop's file has some size
	}
	for i := range shops {
		second += fmt.Sprintf("%d,%d,5,changed\n", i, i)
	}
	c.Write("in/1.csv", []byte(first))
	c.Must("run", "stock")

	c.Write("in/2.csv", []byte(second))
	c.Write("beside/1.csv", []byte(head+"4,0,7,other\n5,1,7,other\n")) // in two of the shops, and in rows of its own
	c.answersLost = 1
	result := c.conflicted()
	require.Equal(t, 2, result.Tables[0].GroupsRedone)
	rows := c.Query("SELECT count(*) AS rows, count(DISTINCT id) AS ids, sum(n) AS n FROM silver.stock")
	require.Equal(t, fmt.Sprint([]any{shops*perShop + 1, shops*perShop + 1, shops*perShop + 4*shops + 2*6 + 5}), fmt.Sprint([]any{rows[0]["rows"], rows[0]["ids"], rows[0]["n"]}))

	awaitIn(t, func() string { return fmt.Sprint(c.counted()) },
		"varve_commit_conflicts_total:1", "varve_commit_groups_redone_total:2", "varve_commit_unknown_outcomes_total:1")
	scheduled := c.scheduled(result.Tables[0].Workflow)
	require.Len(t, scheduled["Commit"], 3, "one divides the MERGE, one meets the conflict, one commits")
	require.Equal(t, []string{
		"group 1 of 4", "group 2 of 4", "group 3 of 4", "group 4 of 4",
		"group 1 of 2, redone after a conflict (1)", "group 2 of 2, redone after a conflict (1)",
	}, scheduled["MergeGroup"])
}

// contended is a lab whose catalog lets the pipeline "other" run to its end when it is asked to commit for "stock".
type contended struct {
	*lab.Lab
	t           *testing.T
	worker      *lab.Worker
	armed       atomic.Bool
	other       chan lab.Output
	answersLost int // of commits after the conflict, which take effect
}

func newContended(t *testing.T) *contended {
	c := &contended{Lab: lab.Empty(t, lab.Build(t)), t: t, other: make(chan lab.Output, 1)}
	s3 := servers.VersityGW(t)
	commits := func(r *http.Request) bool { return restCommit(r) && strings.HasSuffix(r.URL.Path, "/tables/stock") }
	var conflicting atomic.Bool // a commit that is to lose is on its way
	lossy := servers.NewProxy(t, servers.IcebergREST(t, s3).URI, func(r *http.Request) bool { return commits(r) && !conflicting.Load() })
	uri := door(t, lossy.URI, func(_ http.ResponseWriter, r *http.Request) bool {
		if commits(r) && c.armed.CompareAndSwap(true, false) {
			c.other <- c.Trigger("run", "other")
			conflicting.Store(true)
			lossy.DropAnswers(c.answersLost)
		} else if commits(r) {
			conflicting.Store(false)
		}
		return true
	})
	elsewhere(c.Lab, fmt.Sprintf("{type: rest, uri: %q}", uri), s3)
	return c
}

func (c *contended) start(flags ...string) {
	c.worker = c.StartWorker(append(flags, "--metrics", "127.0.0.1:0")...)
}

// conflicted runs "stock" into one conflict.
func (c *contended) conflicted() workflows.RunResult {
	c.t.Helper()
	c.armed.Store(true)
	result := c.Run("stock", "--id", "conflicted")
	other := <-c.other
	require.Zero(c.t, other.Code, "%s%s", other.Stdout, other.Stderr)
	require.Equal(c.t, 1, result.Tables[0].Conflicts)
	return result
}

var commitMetric = regexp.MustCompile(`(?m)^(varve_commit_\w+)\{.*\btable="silver\.stock".*\} (\d+)$`)

// counted is what commits to the table came to, summed over activities.
func (c *contended) counted() map[string]int {
	sums := map[string]int{}
	for _, m := range commitMetric.FindAllStringSubmatch(metricsOf(c.t, c.worker), -1) {
		n, err := strconv.Atoi(m[2])
		require.NoError(c.t, err)
		sums[m[1]] += n
	}
	return sums
}

// scheduled reads a build's history: the summaries of its activities, by type, as the UI shows them. Its one conflict is told,
// is no failure and uses up no retry.
func (c *contended) scheduled(build string) map[string][]string {
	dialled, err := client.Dial(client.Options{HostPort: c.worker.Address()})
	require.NoError(c.t, err)
	defer dialled.Close()
	out := map[string][]string{}
	told := 0
	events := dialled.GetWorkflowHistory(c.t.Context(), build, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(c.t, err)
		require.Nil(c.t, e.GetActivityTaskFailedEventAttributes(), "a conflict is no failure")
		if started := e.GetActivityTaskStartedEventAttributes(); started != nil {
			require.EqualValues(c.t, 1, started.GetAttempt(), "and uses up no retry")
		}
		if scheduled := e.GetActivityTaskScheduledEventAttributes(); scheduled != nil {
			var summary string
			if data := e.GetUserMetadata().GetSummary().GetData(); len(data) > 0 {
				require.NoError(c.t, json.Unmarshal(data, &summary))
			}
			name := scheduled.GetActivityType().GetName()
			out[name] = append(out[name], summary)
		}
		if upserted := e.GetUpsertWorkflowSearchAttributesEventAttributes(); upserted != nil {
			told++
			require.Equal(c.t, "1", string(upserted.GetSearchAttributes().GetIndexedFields()["VarveConflicts"].GetData()))
		}
	}
	require.Equal(c.t, 1, told)
	return out
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
