package kill

import (
	"fmt"
	"os"
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
)

const (
	shops   = 24
	perShop = 3000
	// fanOut makes every MERGE with more than a few kilobytes to look through one in groups.
	fanOut = "8KB"
)

// stock is a lab with a table of a file for each shop, and a delivery that changes rows in all of them.
func stock(t *testing.T, bin string) *lab.Lab {
	l := lab.Empty(t, bin)
	l.Write("pipelines/stock.yaml", []byte(`
pipeline: stock
tables:
  silver.stock:
    source: {files: "in/*.csv"}
    columns: {id: int, shop: string, n: int}
    partition_by: [shop]
    write:
      merge:
        on: [id]
        when_matched: [{if: s.n < 0, delete: true}, {update: "*"}]
        when_not_matched: [{insert: "*"}]
`))
	var first strings.Builder
	first.WriteString("id,shop,n\n")
	for i := range shops * perShop {
		fmt.Fprintf(&first, "%d,s-%d,%d\n", i, i%shops, i*7919%1000003)
	}
	l.Write("in/1.csv", []byte(first.String()))
	return l
}

// deliver writes the second delivery: in each shop a row is updated and one deleted, and one row is new.
func deliver(l *lab.Lab) {
	var b strings.Builder
	b.WriteString("id,shop,n\n-1,new,1\n")
	for i := range shops {
		fmt.Fprintf(&b, "%d,s-%d,5000000\n%d,s-%d,-1\n", i, i, shops+i, i)
	}
	l.Write("in/2.csv", []byte(b.String()))
}

// checkStock compares the table with what the deliveries come to, and what others have added to n.
func checkStock(t *testing.T, l *lab.Lab, others int) {
	t.Helper()
	rows := l.Query(`SELECT count(*) AS rows, count(DISTINCT id) AS ids, count(*) FILTER (n = 5000000) AS updated,
		count(*) FILTER (id BETWEEN 24 AND 47) AS deleted, sum(n) AS total FROM silver.stock`)
	total := 1 + others
	for i := range shops * perShop {
		switch {
		case i < shops:
			total += 5000000
		case i >= 2*shops:
			total += i * 7919 % 1000003
		}
	}
	got := rows[0]
	for name, want := range map[string]int{"rows": shops*(perShop-1) + 1, "ids": shops*(perShop-1) + 1, "updated": shops, "deleted": 0, "total": total} {
		require.Equal(t, fmt.Sprint(want), fmt.Sprint(got[name]), name)
	}
}

// mergePoints are where a MERGE in groups is killed.
func mergePoints() []string {
	if os.Getenv("VARVE_KILL") == "few" {
		return []string{fault.MergeFilesWritten + ":2"}
	}
	return []string{
		fault.MergeGroupsStored, fault.MergeDivided, fault.MergeBefore + ":3", fault.MergeFilesWritten + ":2",
		fault.MergeResultStored + ":2", fault.MergeResultsRead, fault.CommitDone,
	}
}

func TestKillInAMergeInGroups(t *testing.T) {
	if os.Getenv("VARVE_KILL") == "" {
		t.Skip("make test-kill sets VARVE_KILL: this takes minutes")
	}
	bin := lab.Build(t, "faults")
	for _, point := range mergePoints() {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			l := stock(t, bin)
			first := l.StartWorker("--fan-out", fanOut)
			l.Run("stock")
			first.Terminate()
			deliver(l)
			killAt(t, l, point, []string{"--fan-out", fanOut}, "run", "stock", "--detach", "--id", "killed")
			l.StartWorker("--fan-out", fanOut)
			l.Await("killed", patience)
			checkStock(t, l, 0)
			require.Equal(t, "unchanged", l.Run("stock").Tables[0].State)
			reference.CheckNothingStaged(t, l)
		})
	}
}

// Two workers share one MERGE, and one of them dies in the midst of it: the other takes over what it had under way, and
// nothing else is done again.
//
// A worker runs four activities at once and frees a slot only when the server has the result. So a worker that has written
// the files of a fifth group has surely answered for one, and dies with at most four under way. It surely comes to a fifth
// group, since the other holds on to at most four until it is dead, whatever the machine's speed.
func TestTwoWorkersShareAMerge(t *testing.T) {
	if os.Getenv("VARVE_KILL") == "" {
		t.Skip("make test-kill sets VARVE_KILL: this takes minutes")
	}
	t.Parallel()
	const atOnce, dies = 4, 5
	l := stock(t, lab.Build(t, "faults"))
	flags := []string{"--fan-out", fanOut, "--parallelism", "1"}
	dead := l.Path("two-is-dead")
	l.Env = []string{"VARVE_HOLD=" + fault.MergeBefore + "=" + dead}
	one := l.StartWorker(flags...)
	l.Env = []string{fmt.Sprintf("VARVE_FAULT=%s:%d", fault.MergeFilesWritten, dies)}
	two := l.JoinWorker(one, flags...)
	l.Env = nil
	l.Run("stock") // the first delivery goes into an empty table, and is no MERGE in groups
	deliver(l)
	go func() {
		select {
		case <-two.Ended():
		case <-time.After(patience):
		}
		l.Write("two-is-dead", nil)
	}()
	result := l.Run("stock").Tables[0]
	require.Equal(t, "built", result.State, result.Reason)
	groups := result.MergeGroups
	require.GreaterOrEqual(t, groups, atOnce+dies)
	require.Equal(t, []int64{1, shops, shops}, []int64{result.Inserted, result.Updated, result.Deleted})
	checkStock(t, l, 0)
	select {
	case <-two.Ended():
		require.True(t, two.KilledItself(), two.Log())
	default:
		t.Fatalf("the second worker did not come to its fifth group:\n%s", two.Log())
	}

	g := groupsOf(t, one.Address(), result.Workflow)
	require.Len(t, g.scheduled, groups, "each group is asked for once")
	by := map[string]int{}
	again := 0
	for _, e := range g.completed {
		for _, w := range []*lab.Worker{one, two} {
			if strings.HasPrefix(e.identity, w.Identity()) {
				by[w.Identity()]++
			}
		}
		if e.attempt > 1 {
			again++
			require.True(t, strings.HasPrefix(e.identity, one.Identity()))
		}
	}
	require.Equal(t, groups, by[one.Identity()]+by[two.Identity()])
	require.Positive(t, by[one.Identity()])
	require.Positive(t, by[two.Identity()], "the MERGE uses both workers")
	require.GreaterOrEqual(t, again, 1, "what the dead worker had under way")
	require.LessOrEqual(t, again, atOnce, "no more than it can have had under way")
	t.Logf("groups by worker: %v; done again: %d", by, again)
}

// mergeGroups are the events of a build's MergeGroup activities.
type mergeGroups struct {
	scheduled map[int64]bool
	completed []groupEvent
}

type groupEvent struct {
	identity string
	attempt  int32
}

func groupsOf(t *testing.T, address, workflow string) mergeGroups {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: address})
	require.NoError(t, err)
	defer c.Close()
	out := mergeGroups{scheduled: map[int64]bool{}}
	started := map[int64]groupEvent{}
	events := c.GetWorkflowHistory(t.Context(), workflow, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(t, err)
		if a := e.GetActivityTaskScheduledEventAttributes(); a.GetActivityType().GetName() == wire.ActivityMergeGroup {
			out.scheduled[e.EventId] = true
		}
		if a := e.GetActivityTaskStartedEventAttributes(); a != nil {
			started[e.EventId] = groupEvent{identity: a.Identity, attempt: a.Attempt}
		}
		if a := e.GetActivityTaskCompletedEventAttributes(); a != nil && out.scheduled[a.ScheduledEventId] {
			out.completed = append(out.completed, started[a.StartedEventId])
		}
	}
	return out
}
