package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/workflows"
)

// workflow runs the pipeline as Temporal does: workflows, children and activities together, and bounds every payload.
func (l *lab) workflow(in workflows.RunInput) (workflows.RunResult, error) {
	l.t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	l.ran, l.workflowMetered = nil, newMetered()
	suite.SetMetricsHandler(l.workflowMetered)
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(time.Minute)
	l.runs++
	env.SetStartWorkflowOptions(startOptions(l.runs))
	workflows.Register(env)
	l.a.Register(env)
	env.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, args converter.EncodedValues) {
		var raw json.RawMessage
		require.NoError(l.t, args.Get(&raw))
		require.Less(l.t, len(raw), 256<<10, info.ActivityType.Name)
		l.ran = append(l.ran, fmt.Sprint(info.ActivityType.Name, " ", info.Attempt))
	})
	env.SetOnActivityCompletedListener(func(info *activity.Info, result converter.EncodedValue, err error) {
		var raw json.RawMessage
		if err != nil {
			l.ran = append(l.ran, fmt.Sprint(info.ActivityType.Name, " failed"))
		}
		if err == nil && result != nil && result.HasValue() {
			require.NoError(l.t, result.Get(&raw))
			require.Less(l.t, len(raw), 256<<10, info.ActivityType.Name)
		}
		if do := l.after[info.ActivityType.Name]; do != nil {
			delete(l.after, info.ActivityType.Name)
			do()
		}
	})
	env.ExecuteWorkflow(workflows.RunPipelineName, in)
	require.True(l.t, env.IsWorkflowCompleted())
	var out workflows.RunResult
	if err := env.GetWorkflowError(); err != nil {
		return out, err
	}
	return out, env.GetWorkflowResult(&out)
}

func TestWorkflowsAndActivitiesTogether(t *testing.T) {
	l := flightsLab(t, func(c *Config) { c.GroupFiles, c.Batch, c.Groups = 1, 2, 2 })
	for _, name := range []string{"a", "b", "c"} {
		l.write("landing/"+name+".csv", "carrier,flight,tailnum,delay,updated\nZ"+name+",1,N1,20,2013-01-01T00:00:00Z\n")
	}
	first, err := l.workflow(workflows.RunInput{Pipeline: "flights"})
	require.NoError(t, err)
	require.Equal(t, "4 tables built", first.Summary())
	require.Equal(t, int64(10), first.Tables[0].RowsRead)
	require.Equal(t, 5, first.Tables[0].FilesRead)
	require.Len(t, l.rows("silver.flights", "id"), 6)
	require.Empty(t, l.staged())

	second, err := l.workflow(workflows.RunInput{Pipeline: "flights"})
	require.NoError(t, err)
	require.Equal(t, "4 tables unchanged", second.Summary())

	l.write("landing/d.csv", "carrier,flight,tailnum,delay,updated\nZa,1,N1,99,2013-01-05T00:00:00Z\n")
	third, err := l.workflow(workflows.RunInput{Pipeline: "flights", Tables: []string{"bronze.flights", "silver.flights"}})
	require.NoError(t, err)
	require.Len(t, third.Tables, 2)
	require.Equal(t, int64(1), third.Tables[1].Updated)
	require.Equal(t, wire.StateBuilt, third.Tables[1].State)
}

func TestFailedTableOfARealRun(t *testing.T) {
	l := flightsLab(t)
	l.write("pipelines/flights.yaml", flights+"  gold.broken:\n    sql: SELECT error('never') AS x FROM silver.airlines\n  gold.after: {from: gold.broken}\n")
	_, err := l.workflow(workflows.RunInput{Pipeline: "flights"})
	require.ErrorContains(t, err, "4 tables built, 1 failed, 1 skipped")
	require.ErrorContains(t, err, "gold.broken:")
	require.Len(t, l.rows("gold.carriers", "carrier"), 2)
}

// startOptions tell a run from others, since all run ids of test environments are the same.
func startOptions(run int) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{ID: fmt.Sprintf("flights-%d", run)}
}
