package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/workflows"
)

func input(f *fake, table string) workflows.BuildInput {
	return workflows.BuildInput{
		Pipeline: "p", Run: "run-1", Settings: f.settings,
		Table: wire.TableRef{Name: table, Layer: "bronze", Table: &plan.Table{Name: table}},
	}
}

func TestFiveThousandGroupsContinueAsNew(t *testing.T) {
	f := newFake()
	f.groups["bronze.a"] = 5000
	f.settings.Groups = 16
	var staged [5000]atomic.Int32
	f.onStage = func(_ context.Context, r wire.StageRequest) (wire.Staged, error) {
		staged[r.Group].Add(1)
		return wire.Staged{
			Part:   fmt.Sprintf("%05d-0a1b2c3d4e5f", r.Group),
			Counts: wire.Counts{Files: 20, RowsRead: 1000, RowsStaged: 1000, Warned: map[string]int64{"positive": 1}},
		}, nil
	}
	in := input(f, "bronze.a")
	runs, largest := 0, 0
	var result wire.TableResult
	for in.Pipeline != "" {
		env := environment(t, f)
		env.ExecuteWorkflow(workflows.BuildTableName, in)
		runs++
		in = workflows.BuildInput{}
		var next *workflow.ContinueAsNewError
		if err := env.GetWorkflowError(); errors.As(err, &next) {
			payload := next.Input.GetPayloads()[0]
			largest = max(largest, len(payload.GetData()))
			require.NoError(t, converter.GetDefaultDataConverter().FromPayload(payload, &in))
			continue
		}
		require.NoError(t, env.GetWorkflowResult(&result))
	}
	for g := range staged {
		require.Equal(t, int32(1), staged[g].Load(), "group %d", g)
	}
	require.Equal(t, 5, runs, "a thousand groups a run")
	require.Less(t, largest, 8<<10, "state stays small")
	require.Equal(t, int64(5_000_000), result.RowsRead)
	require.Equal(t, 100_000, result.FilesRead)
	require.Equal(t, int64(5000), result.Warned["positive"])
	require.Equal(t, 20, f.count("Gather bronze.a"))
	require.Equal(t, 1, f.count("Prepare bronze.a"))
	require.Equal(t, 1, f.count("Commit bronze.a"))
	require.Equal(t, 1, f.count("Cleanup bronze.a"))
}

func TestGroupsAtOnceAreBounded(t *testing.T) {
	f := newFake()
	f.groups["bronze.a"] = 40
	f.settings.Groups = 3
	f.onStage = func(_ context.Context, r wire.StageRequest) (wire.Staged, error) {
		time.Sleep(time.Millisecond) // long enough for others to be seen beside it
		return wire.Staged{Part: fmt.Sprint(r.Group)}, nil
	}
	env := environment(t, f)
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "bronze.a"))
	require.NoError(t, env.GetWorkflowError())
	require.LessOrEqual(t, f.maxAtOnce, 3)
}

func TestCommitNamesPartsInTheOrderOfGroups(t *testing.T) {
	f := newFake()
	f.groups["bronze.a"] = 7
	f.settings.Groups = 7
	f.onStage = func(_ context.Context, r wire.StageRequest) (wire.Staged, error) {
		time.Sleep(time.Duration(7-r.Group) * time.Millisecond) // the first group ends last
		return wire.Staged{Part: fmt.Sprint(r.Group)}, nil
	}
	env := environment(t, f)
	var parts []string
	env.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, args converter.EncodedValues) {
		if info.ActivityType.Name == wire.ActivityCommit {
			var r wire.CommitRequest
			require.NoError(t, args.Get(&r))
			parts = r.Parts
		}
	})
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "bronze.a"))
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, "0 1 2 3 4 5 6", strings.Join(parts, " "))
}

func TestNewColumnsExtendTheJobAndStageOnlyTheirGroupsAgain(t *testing.T) {
	f := newFake()
	f.groups["bronze.a"] = 6
	f.onStage = func(_ context.Context, r wire.StageRequest) (wire.Staged, error) {
		extensions := strings.Count(r.Job, "+")
		column := func(name string) []plan.Column { return []plan.Column{{Name: name, Type: "string"}} }
		switch {
		case r.Group == 2 && extensions == 0, r.Group == 4 && extensions == 0:
			return wire.Staged{NewColumns: column("gate")}, nil
		case r.Group == 4 && extensions == 1:
			return wire.Staged{NewColumns: column("stand")}, nil
		}
		return wire.Staged{Part: fmt.Sprintf("%d%s", r.Group, strings.Repeat("+", extensions)), Counts: wire.Counts{RowsRead: 1}}, nil
	}
	env := environment(t, f)
	var parts []string
	env.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, args converter.EncodedValues) {
		if info.ActivityType.Name == wire.ActivityCommit {
			var r wire.CommitRequest
			require.NoError(t, args.Get(&r))
			require.Equal(t, "bronze.a#0++", r.Job)
			parts = r.Parts
		}
	})
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "bronze.a"))
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, "0 1 2+ 3 4++ 5", strings.Join(parts, " "))
	require.Equal(t, 6+2+1, f.count("StageGroup bronze.a"))
	var result wire.TableResult
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Equal(t, []string{"column gate added", "column stand added"}, result.Changes)
	require.Equal(t, int64(6), result.RowsRead)
}

func TestEndlessNewColumnsAreAnError(t *testing.T) {
	f := newFake()
	n := 0
	f.onStage = func(context.Context, wire.StageRequest) (wire.Staged, error) {
		n++
		return wire.Staged{NewColumns: []plan.Column{{Name: fmt.Sprintf("c%d", n), Type: "int"}}}, nil
	}
	env := environment(t, f)
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "bronze.a"))
	require.ErrorContains(t, env.GetWorkflowError(), "files still bring new columns, c5 first")
	require.Equal(t, 1, f.count("Cleanup bronze.a"))
}

func TestFailedGroupDiscardsWhatOthersStaged(t *testing.T) {
	f := newFake()
	f.groups["bronze.a"] = 4
	f.settings.Groups = 1
	f.onStage = func(_ context.Context, r wire.StageRequest) (wire.Staged, error) {
		if r.Group == 2 {
			return wire.Staged{}, temporal.NewApplicationError("line 3: bad", wire.ErrData, nil)
		}
		return wire.Staged{Part: fmt.Sprint(r.Group)}, nil
	}
	env := environment(t, f)
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "bronze.a"))
	require.ErrorContains(t, env.GetWorkflowError(), "line 3: bad")
	require.Equal(t, 1, f.count("Cleanup bronze.a discarding 0,1"))
	require.Zero(t, f.count("Commit bronze.a"))
	require.Equal(t, 3, f.count("StageGroup bronze.a"), "the group after the failure is not begun")
}

func TestFailedCommitDiscardsNothing(t *testing.T) {
	f := newFake()
	f.fail(wire.ActivityCommit, "bronze.a", temporal.NewApplicationError("key 1 twice", wire.ErrUser, nil))
	env := environment(t, f)
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "bronze.a"))
	require.ErrorContains(t, env.GetWorkflowError(), "key 1 twice")
	require.Equal(t, 1, f.count("Cleanup bronze.a"), "a commit given up for dead may still land: its files stay")
}

func TestSupersededBuildBeginsAnew(t *testing.T) {
	f := newFake()
	f.fail(wire.ActivityCommit, "bronze.a", temporal.NewApplicationError("run x came first", wire.ErrSuperseded, nil))
	env := environment(t, f)
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "bronze.a"))
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 2, f.count("Prepare bronze.a"))
	require.Equal(t, 2, f.count("Cleanup bronze.a"))
	var result wire.TableResult
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Equal(t, wire.StateBuilt, result.State)
	require.Equal(t, int64(10), result.RowsRead, "the first round's rows do not count")
	require.Contains(t, result.Warnings[0], "run x came first")
}

func TestCleanupThatFailsDoesNotFailTheBuild(t *testing.T) {
	f := newFake()
	var errs []error
	for range 5 {
		errs = append(errs, temporal.NewApplicationError("store away", wire.ErrPassing, nil))
	}
	f.fail(wire.ActivityCleanup, "bronze.a", errs...)
	env := environment(t, f)
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "bronze.a"))
	require.NoError(t, env.GetWorkflowError())
}

func TestCancelledWhileStaging(t *testing.T) {
	f := newFake()
	f.groups["bronze.a"] = 100
	f.settings.Groups = 1
	env := environment(t, f)
	f.onStage = func(ctx context.Context, r wire.StageRequest) (wire.Staged, error) {
		if r.Group < 10 {
			return wire.Staged{Part: fmt.Sprint(r.Group)}, nil
		}
		if r.Group == 10 {
			env.CancelWorkflow()
		}
		<-ctx.Done()
		return wire.Staged{}, ctx.Err()
	}
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "bronze.a"))
	var cancelled *temporal.CanceledError
	require.ErrorAs(t, env.GetWorkflowError(), &cancelled)
	require.Equal(t, 1, f.count("Cleanup bronze.a discarding 0,1,2,3,4,5,6,7,8,9"))
}
