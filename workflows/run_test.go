package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/workflows"
)

func asApplication(err error, target **temporal.ApplicationError) bool { return errors.As(err, target) }

func diamond() *fake {
	return newFake(
		node("bronze.a"), node("bronze.b"),
		node("silver.a", "bronze.a"), node("silver.b", "bronze.b"),
		node("gold.ab", "silver.a", "silver.b"))
}

func TestRunBuildsTablesInOrder(t *testing.T) {
	f := diamond()
	result, err := execute(t, environment(t, f), workflows.RunInput{Pipeline: "flights", Parameters: workflows.Parameters{"day": "1"}})
	require.NoError(t, err)
	require.Equal(t, "5 tables built", result.Summary())
	for _, table := range result.Tables {
		require.Equal(t, int64(10), table.RowsRead, table.Table)
		require.NotZero(t, table.SnapshotID)
		require.Contains(t, table.Workflow, "flights/")
		require.Contains(t, table.Workflow, "/"+table.Table)
	}
	at := make(map[string]int)
	for i, call := range f.calls {
		at[call] = i
	}
	require.Less(t, at["Commit bronze.a"], at["Prepare silver.a"])
	require.Less(t, at["Commit bronze.b"], at["Prepare silver.b"])
	require.Less(t, at["Commit silver.a"], at["Prepare gold.ab"])
	require.Less(t, at["Commit silver.b"], at["Prepare gold.ab"])
}

func TestIndependentTablesAreBuiltAtOnce(t *testing.T) {
	f := newFake(node("bronze.a"), node("bronze.b"), node("bronze.c"))
	var together sync.WaitGroup
	together.Add(3)
	f.onStage = func(context.Context, wire.StageRequest) (wire.Staged, error) {
		together.Done()
		together.Wait() // for ever, if one of them waited for another
		return wire.Staged{Part: "0"}, nil
	}
	_, err := execute(t, environment(t, f), workflows.RunInput{Pipeline: "p"})
	require.NoError(t, err)
}

func TestRunBoundsTablesAtOnce(t *testing.T) {
	f := newFake(node("bronze.a"), node("bronze.b"), node("bronze.c"), node("bronze.d"))
	f.settings.Tables = 1
	_, err := execute(t, environment(t, f), workflows.RunInput{Pipeline: "p"})
	require.NoError(t, err)
	require.Equal(t, []string{"Prepare bronze.a", "StageGroup bronze.a", "Commit bronze.a", "Cleanup bronze.a", "Prepare bronze.b"}, f.calls[1:6])
}

func TestFailedBranchStopsOnlyWhatDependsOnIt(t *testing.T) {
	f := diamond()
	f.fail(wire.ActivityStageGroup, "silver.a", temporal.NewNonRetryableApplicationError("file x.csv, line 3: bad", wire.ErrData, nil))
	result, err := execute(t, environment(t, f), workflows.RunInput{Pipeline: "flights"})
	var application *temporal.ApplicationError
	require.ErrorAs(t, err, &application)
	require.Equal(t, wire.ErrTablesFailed, application.Type())
	require.Contains(t, application.Message(), "silver.a: file x.csv, line 3: bad")
	require.Equal(t, map[string]string{
		"bronze.a": wire.StateBuilt, "bronze.b": wire.StateBuilt, "silver.b": wire.StateBuilt,
		"silver.a": wire.StateFailed, "gold.ab": wire.StateSkipped,
	}, states(result))
	for _, table := range result.Tables {
		switch table.Table {
		case "gold.ab":
			require.Equal(t, "skipped: because silver.a failed", table.Reason)
		case "silver.a":
			require.Equal(t, wire.ErrData, table.ErrorType)
		}
	}
	require.Zero(t, f.count("Commit silver.a"))
	require.Equal(t, 1, f.count("Cleanup silver.a"))
}

func TestSkippedNamesTheTableThatFailed(t *testing.T) {
	f := newFake(node("a.a"), node("a.b", "a.a"), node("a.c", "a.b"))
	f.fail(wire.ActivityPrepare, "a.a", temporal.NewNonRetryableApplicationError("no", wire.ErrUser, nil))
	result, err := execute(t, environment(t, f), workflows.RunInput{Pipeline: "p"})
	require.Error(t, err)
	require.Equal(t, "skipped: because a.a failed", result.Tables[2].Reason)
}

func TestResumeGoesOnWhereTheRunFailed(t *testing.T) {
	f := diamond()
	f.fail(wire.ActivityCommit, "silver.a", temporal.NewNonRetryableApplicationError("denied", wire.ErrDenied, nil))
	env := environment(t, f)
	_, err := execute(t, env, workflows.RunInput{Pipeline: "flights", Parameters: workflows.Parameters{"day": "1"}})
	require.Error(t, err)
	answer, err := env.QueryWorkflow(workflows.QueryRecall)
	require.NoError(t, err)
	require.NoError(t, answer.Get(&f.recalled))
	require.Equal(t, map[string]string{"day": "1"}, f.recalled.Parameters)

	f.calls = nil
	result, err := execute(t, environment(t, f), workflows.RunInput{ResumeOf: "flights-1"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"bronze.a": wire.StateDone, "bronze.b": wire.StateDone, "silver.b": wire.StateDone,
		"silver.a": wire.StateBuilt, "gold.ab": wire.StateBuilt,
	}, states(result))
	require.Equal(t, "flights", result.Pipeline)
	require.Zero(t, f.count("Compile flights"), "the failed run's plan holds")
	require.Zero(t, f.count("Prepare bronze.a"))
}

func TestResumeRefusesAnotherPipeline(t *testing.T) {
	f := diamond()
	f.recalled = wire.Recalled{Pipeline: "flights", Compiled: wire.Compiled{Nodes: f.nodes}}
	_, err := execute(t, environment(t, f), workflows.RunInput{Pipeline: "profiles", ResumeOf: "flights-1"})
	require.ErrorContains(t, err, "run flights-1 is of pipeline flights, not profiles")
}

func TestRunOfSomeTables(t *testing.T) {
	f := diamond()
	result, err := execute(t, environment(t, f), workflows.RunInput{Pipeline: "flights", Tables: []string{"gold.ab", "silver.a"}})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"silver.a": wire.StateBuilt, "gold.ab": wire.StateBuilt}, states(result))

	_, err = execute(t, environment(t, f), workflows.RunInput{Pipeline: "flights", Tables: []string{"gold.cd"}})
	require.ErrorContains(t, err, `pipeline flights builds no table "gold.cd"`)
}

func TestPassingFaultsAreTriedAgain(t *testing.T) {
	f := newFake(node("bronze.a"))
	passing := temporal.NewApplicationError("the catalog does not answer", wire.ErrPassing, nil)
	f.fail(wire.ActivityCompile, "p", passing, passing)
	f.fail(wire.ActivityPrepare, "bronze.a", passing)
	f.fail(wire.ActivityStageGroup, "bronze.a", passing, passing, passing)
	f.fail(wire.ActivityCommit, "bronze.a", passing)
	result, err := execute(t, environment(t, f), workflows.RunInput{Pipeline: "p"})
	require.NoError(t, err)
	require.Equal(t, wire.StateBuilt, result.Tables[0].State)
	require.Equal(t, 4, f.count("StageGroup bronze.a"))
	require.GreaterOrEqual(t, result.Tables[0].Seconds, 8.0, "backoff of 1+2+4 seconds and more, by the workflow's clock")
}

func TestUserErrorsAreNotTriedAgain(t *testing.T) {
	for _, class := range []string{wire.ErrUser, wire.ErrData, wire.ErrDenied} {
		f := newFake(node("bronze.a"))
		f.fail(wire.ActivityStageGroup, "bronze.a", temporal.NewApplicationError("no", class, nil))
		_, err := execute(t, environment(t, f), workflows.RunInput{Pipeline: "p"})
		require.Error(t, err, class)
		require.Equal(t, 1, f.count("StageGroup bronze.a"), class)
	}
}

func TestNothingNewMakesNoCommit(t *testing.T) {
	f := newFake(node("bronze.a"), node("silver.a", "bronze.a"))
	f.fresh["bronze.a"], f.fresh["silver.a"] = 0, 0
	result, err := execute(t, environment(t, f), workflows.RunInput{Pipeline: "p"})
	require.NoError(t, err)
	require.Equal(t, "2 tables unchanged", result.Summary())
	require.Zero(t, f.snapshots)
	require.Equal(t, []string{"Compile p", "Prepare bronze.a", "Prepare silver.a"}, f.calls)
}

// A day of an hourly schedule: deliveries come at odd hours, one hour's store is away, and each run takes only what is
// new.
func TestADayOfASchedule(t *testing.T) {
	f := newFake(node("bronze.a"), node("silver.a", "bronze.a"))
	env := environment(t, f)
	var results []workflows.RunResult
	day := func(ctx workflow.Context) error {
		for hour := range 24 {
			rows := int64(0)
			if hour%3 == 0 {
				rows = int64(100 + hour)
			}
			f.fresh["bronze.a"], f.fresh["silver.a"] = rows, rows
			if hour == 6 {
				passing := temporal.NewApplicationError("store away", wire.ErrPassing, nil)
				f.fail(wire.ActivityStageGroup, "bronze.a", passing, passing, passing, passing)
			}
			child := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{WorkflowID: "flights-" + workflow.Now(ctx).Format(time.RFC3339)})
			var result workflows.RunResult
			started := workflow.Now(ctx)
			if err := workflow.ExecuteChildWorkflow(child, workflows.RunPipelineName, workflows.RunInput{Pipeline: "flights"}).Get(ctx, &result); err != nil {
				return err
			}
			results = append(results, result)
			if err := workflow.Sleep(ctx, started.Add(time.Hour).Sub(workflow.Now(ctx))); err != nil {
				return err
			}
		}
		return nil
	}
	env.RegisterWorkflow(day)
	started := env.Now()
	env.ExecuteWorkflow(day)
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 24*time.Hour, env.Now().Sub(started).Round(time.Minute))
	require.Len(t, results, 24)
	for hour, result := range results {
		want := wire.StateUnchanged
		if hour%3 == 0 {
			want = wire.StateBuilt
			require.Equal(t, int64(100+hour), result.Tables[0].RowsRead)
		}
		require.Equal(t, want, result.Tables[0].State, "hour %d", hour)
		require.Equal(t, want, result.Tables[1].State, "hour %d", hour)
	}
	require.Equal(t, int64(16), f.snapshots)
	require.GreaterOrEqual(t, results[6].Seconds, 15.0)
}

func TestProgressQuery(t *testing.T) {
	f := newFake(node("bronze.a"), node("silver.a", "bronze.a"))
	passing := temporal.NewApplicationError("away", wire.ErrPassing, nil)
	f.fail(wire.ActivityCommit, "bronze.a", passing, passing, passing, passing)
	env := environment(t, f)
	var seen workflows.Progress
	env.RegisterDelayedCallback(func() { seen = progress(t, env) }, 5*time.Second)
	_, err := execute(t, env, workflows.RunInput{Pipeline: "p"})
	require.NoError(t, err)
	require.Equal(t, "building", seen.Stage)
	require.Equal(t, wire.StateRunning, seen.Tables[0].State)
	require.Equal(t, wire.StateWaiting, seen.Tables[1].State)
	require.Equal(t, "finished", progress(t, env).Stage)
}

func progress(t *testing.T, env *testsuite.TestWorkflowEnvironment) (p workflows.Progress) {
	t.Helper()
	answer, err := env.QueryWorkflow(workflows.QueryProgress)
	require.NoError(t, err)
	require.NoError(t, answer.Get(&p))
	return p
}

func TestCancelledRun(t *testing.T) {
	f := newFake(node("bronze.a"), node("bronze.b"), node("silver.a", "bronze.a"))
	f.settings.Tables = 1
	passing := temporal.NewApplicationError("away", wire.ErrPassing, nil)
	f.fail(wire.ActivityCommit, "bronze.a", passing, passing, passing, passing, passing, passing)
	env := environment(t, f)
	env.RegisterDelayedCallback(env.CancelWorkflow, 5*time.Second)
	_, err := execute(t, env, workflows.RunInput{Pipeline: "p"})
	var cancelled *temporal.CanceledError
	require.ErrorAs(t, err, &cancelled)
	final := progress(t, env)
	for _, table := range final.Tables {
		require.Equal(t, wire.StateCancelled, table.State, table.Table)
	}
	require.Equal(t, 1, f.count("Cleanup bronze.a"), "what was staged is swept also then, but data files of a commit that may land are not")
	require.Zero(t, f.count("Prepare bronze.b"))
}

func TestSearchAttributesOnlyWhereKnown(t *testing.T) {
	f := newFake(node("bronze.a"))
	f.settings.SearchAttributes = true
	env := environment(t, f)
	env.OnUpsertTypedSearchAttributes(temporal.NewSearchAttributes(workflows.AttributePipeline.ValueSet("flights"))).Return(nil).Once()
	_, err := execute(t, env, workflows.RunInput{Pipeline: "flights"})
	require.NoError(t, err)
	env.AssertExpectations(t)
}

func TestParametersTypedByHand(t *testing.T) {
	var in workflows.RunInput
	require.NoError(t, json.Unmarshal([]byte(`{"pipeline": "p", "parameters": {"day": "2013-01-01", "limit": 5, "dry": true, "share": 0.25}}`), &in))
	require.Equal(t, workflows.Parameters{"day": "2013-01-01", "limit": "5", "dry": "true", "share": "0.25"}, in.Parameters)
	for _, bad := range []string{`{"a": {"b": 1}}`, `{"a": [1]}`, `{"a": null}`, `[]`} {
		require.Error(t, json.Unmarshal([]byte(`{"pipeline": "p", "parameters": `+bad+`}`), &in), bad)
	}
}

func TestResultOfManyTablesStaysSmall(t *testing.T) {
	var nodes []wire.Node
	for i := range 400 {
		nodes = append(nodes, node(fmt.Sprintf("bronze.t%03d", i)))
	}
	f := newFake(nodes...)
	f.settings.Tables = 50
	f.reason = strings.Repeat("because ", 100)
	result, err := execute(t, environment(t, f), workflows.RunInput{Pipeline: "p"})
	require.NoError(t, err)
	require.Len(t, result.Tables, 400)
	data, err := json.Marshal(result)
	require.NoError(t, err)
	require.Less(t, len(data), 256<<10)
	lines, err := json.Marshal(result.Lines())
	require.NoError(t, err)
	require.Less(t, len(lines), 32<<10)
}

func TestStoredPlanIsRemovedWhenTheRunIsDone(t *testing.T) {
	f := newFake(node("bronze.a"))
	f.planURI = "file:///plan.json"
	_, err := execute(t, environment(t, f), workflows.RunInput{Pipeline: "p"})
	require.NoError(t, err)
	require.Equal(t, 1, f.count("Cleanup "), "of the run")

	f.fail(wire.ActivityCommit, "bronze.a", temporal.NewApplicationError("no", wire.ErrUser, nil))
	_, err = execute(t, environment(t, f), workflows.RunInput{Pipeline: "p"})
	require.Error(t, err)
	require.Equal(t, 1, f.count("Cleanup "), "a failed run keeps it, to be resumed")
}
