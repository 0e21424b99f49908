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
	"github.com/varve-lake/varve/workflows"
)

func TestALargeMergeIsDoneInGroups(t *testing.T) {
	f := newFake()
	f.divisions = []int{5}
	env := environment(t, f)
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "silver.a"))
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 5, f.count("MergeGroup silver.a"))
	require.Len(t, f.commits, 2)
	require.Empty(t, f.commits[0].Merged)
	require.Equal(t, []wire.MergeRound{{Division: "division-0", Parts: []string{
		"merge-division-0-00000", "merge-division-0-00001", "merge-division-0-00002", "merge-division-0-00003", "merge-division-0-00004",
	}}}, f.commits[1].Merged)
	var result wire.TableResult
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Equal(t, 5, result.MergeGroups)
	require.Equal(t, 1, f.count("Cleanup silver.a"))
}

func TestASmallMergeHasNoMoreActivitiesThanBefore(t *testing.T) {
	f := newFake()
	env := environment(t, f)
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "silver.a"))
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"Prepare silver.a", "StageGroup silver.a", "Commit silver.a", "Cleanup silver.a"}, f.calls)
}

// A conflict is a Commit that completes and names what is to be done again; nothing fails, and nothing else is redone.
func TestAConflictRedoesItsGroupsAsActivities(t *testing.T) {
	f := newFake()
	f.divisions = []int{5, 2, 1}
	env := environment(t, f)
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "silver.a"))
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 5+2+1, f.count("MergeGroup silver.a"))
	require.Len(t, f.commits, 4)
	last := f.commits[3]
	require.Len(t, last.Merged, 3)
	require.Len(t, last.Merged[1].Parts, 2)
	var result wire.TableResult
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Equal(t, 8, result.MergeGroups)
	require.Equal(t, 2, result.Conflicts)
	require.Equal(t, 3, result.GroupsRedone)
}

// So it is of a small MERGE, which was never divided. It waits a little, and not long.
func TestAConflictOfASmallMergeIsRedoneByAnActivity(t *testing.T) {
	f := newFake()
	f.divisions, f.small = []int{1, 1}, true
	env := environment(t, f)
	var waits []time.Duration
	env.SetOnTimerScheduledListener(func(_ string, d time.Duration) { waits = append(waits, d) })
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "silver.a"))
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{
		"Prepare silver.a", "StageGroup silver.a", "Commit silver.a", "MergeGroup silver.a", "Commit silver.a", "MergeGroup silver.a",
		"Commit silver.a", "Cleanup silver.a",
	}, f.calls)
	require.Len(t, f.commits[2].Merged, 2)
	require.Equal(t, []string{"merge-division-0-00000"}, f.commits[1].Merged[0].Parts, "what was kept is named by its division")
	require.Len(t, waits, 2)
	for i, w := range waits {
		longest := 20 * time.Millisecond << i
		require.GreaterOrEqual(t, w, longest/2)
		require.LessOrEqual(t, w, longest)
	}
	var result wire.TableResult
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Equal(t, []int{2, 2, 2}, []int{result.Conflicts, result.GroupsRedone, result.MergeGroups})
}

// What was kept goes with a build that fails before a commit was asked to use it, and stays once one was.
func TestAFailedRedoDiscardsWhatWasKept(t *testing.T) {
	f := newFake()
	f.divisions, f.small = []int{1, 1}, true
	f.onMerge = func(_ context.Context, r wire.MergeGroupRequest) (wire.MergedGroup, error) {
		if r.Division == "division-1" {
			return wire.MergedGroup{}, temporal.NewApplicationError("key 1 twice", wire.ErrUser, nil)
		}
		return wire.MergedGroup{Part: "one"}, nil
	}
	env := environment(t, f)
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "silver.a"))
	require.ErrorContains(t, env.GetWorkflowError(), "key 1 twice")
	require.Equal(t, "Cleanup silver.a discarding merge-kept-division-1", f.last("Cleanup "))
}

// Against writers who never rest the workflow stops dividing, and the commit gets through by itself.
func TestAMergeThatKeepsLosingIsNotDividedForEver(t *testing.T) {
	f := newFake()
	for range 20 {
		f.divisions = append(f.divisions, 2)
	}
	env := environment(t, f)
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "silver.a"))
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, f.commits, 5)
	for i, c := range f.commits {
		require.Equal(t, i < 4, c.FanOut, i)
	}
}

// The history of a MERGE of a hundred thousand files stays bounded: so do its runs, and what one hands to the next.
func TestAMergeOfAHundredThousandFilesContinuesAsNew(t *testing.T) {
	const groups = 5000
	f := newFake()
	f.refines = true
	f.divisions = []int{groups}
	f.settings.Groups = 16
	var merged [groups]atomic.Int32
	f.onMerge = func(_ context.Context, r wire.MergeGroupRequest) (wire.MergedGroup, error) {
		merged[r.Group].Add(1)
		return wire.MergedGroup{Part: fmt.Sprintf("merge-%05d-0a1b2c3d4e5f", r.Group), Files: 20, Updated: 1000}, nil
	}
	in := input(f, "silver.a")
	runs, largest, most := 0, 0, 0
	var result wire.TableResult
	for in.Pipeline != "" {
		before := len(f.calls)
		env := environment(t, f)
		env.ExecuteWorkflow(workflows.BuildTableName, in)
		runs++
		most = max(most, len(f.calls)-before)
		in = workflows.BuildInput{}
		var next *workflow.ContinueAsNewError
		if err := env.GetWorkflowError(); errors.As(err, &next) {
			payload := next.Input.GetPayloads()[0]
			largest = max(largest, len(payload.GetData()))
			require.NoError(t, converter.GetDefaultDataConverter().FromPayload(payload, &in))
			continue
		}
		require.NoError(t, env.GetWorkflowError())
		require.NoError(t, env.GetWorkflowResult(&result))
	}
	for g := range merged {
		require.Equal(t, int32(1), merged[g].Load(), "group %d", g)
	}
	require.Equal(t, 5, runs, "a thousand groups a run")
	require.Less(t, most, 1020, "activities of a run: each of them makes three events, and the tasks between them three more")
	require.Less(t, largest, 8<<10, "state stays small")
	require.Equal(t, 20, f.count("Gather silver.a"))
	require.Equal(t, 1, f.count("Refine silver.a"), "not once more after continuing as new")
	require.Equal(t, 1, f.count("Prepare silver.a"))
	require.Len(t, f.commits, 2)
	require.Len(t, f.commits[1].Merged[0].Parts, 20)
	require.Equal(t, groups, result.MergeGroups)
}

// What no commit was asked to use is certainly not the table's, and goes; what one was asked to use may be, and stays.
func TestFailedMergeGroupDiscardsWhatNoCommitWasAskedToUse(t *testing.T) {
	f := newFake()
	f.divisions = []int{3, 6}
	f.settings.Groups = 1
	f.onMerge = func(_ context.Context, r wire.MergeGroupRequest) (wire.MergedGroup, error) {
		if r.Division == "division-1" && r.Group == 5 { // begun when two of the four before it have ended
			return wire.MergedGroup{}, temporal.NewApplicationError("key 1 twice", wire.ErrUser, nil)
		}
		return wire.MergedGroup{Part: fmt.Sprintf("%s.%d", r.Division, r.Group)}, nil
	}
	env := environment(t, f)
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "silver.a"))
	require.ErrorContains(t, env.GetWorkflowError(), "key 1 twice")
	cleanup := f.last("Cleanup ")
	require.Contains(t, cleanup, "Cleanup silver.a discarding ")
	require.Contains(t, cleanup, "division-1.")
	require.NotContains(t, cleanup, "division-0")
	require.NotContains(t, cleanup, "0a1b2c3d", "staged parts are for the commit that was asked for")
}

func TestAGroupWhoseTableMovedOnIsDividedAnew(t *testing.T) {
	f := newFake()
	f.divisions = []int{2, 2}
	f.onMerge = func(_ context.Context, r wire.MergeGroupRequest) (wire.MergedGroup, error) {
		if r.Division == "division-0" && r.Group == 1 {
			return wire.MergedGroup{Reason: "the table has moved on"}, nil
		}
		return wire.MergedGroup{Part: fmt.Sprintf("%s.%d", r.Division, r.Group)}, nil
	}
	env := environment(t, f)
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "silver.a"))
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"division-0.0"}, f.commits[1].Merged[0].Parts)
	var result wire.TableResult
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Contains(t, strings.Join(result.Warnings, "\n"), "the table has moved on")
}

// Another run that came first means that the build begins anew, also in the midst of a MERGE in groups.
func TestASupersededMergeInGroupsBeginsAnew(t *testing.T) {
	f := newFake()
	f.divisions = []int{2}
	f.fail(wire.ActivityCommit, "silver.a", nil, temporal.NewApplicationError("run x came first", wire.ErrSuperseded, nil))
	env := environment(t, f)
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "silver.a"))
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 2, f.count("Prepare silver.a"))
	require.Empty(t, f.commits[len(f.commits)-1].Merged, "the divisions of the first round are not the second's")
	var result wire.TableResult
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Zero(t, result.MergeGroups)
}

func TestProgressOfAMergeInGroups(t *testing.T) {
	f := newFake()
	f.divisions = []int{3}
	f.settings.Groups = 1
	env := environment(t, f)
	seen := []workflows.TableProgress{}
	// The listener is called by the environment's own loop, outside of which a workflow cannot be asked.
	env.SetOnActivityStartedListener(func(info *activity.Info, _ context.Context, _ converter.EncodedValues) {
		if info.ActivityType.Name != wire.ActivityMergeGroup {
			return
		}
		answer, err := env.QueryWorkflow(workflows.QueryProgress)
		require.NoError(t, err)
		var p workflows.TableProgress
		require.NoError(t, answer.Get(&p))
		seen = append(seen, p)
	})
	env.ExecuteWorkflow(workflows.BuildTableName, input(f, "silver.a"))
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, seen, 3)
	for _, p := range seen {
		require.Equal(t, "merging", p.Stage)
		require.Equal(t, 3, p.MergeGroups)
		require.Equal(t, 60, p.MergeFiles)
		require.Equal(t, 1, p.GroupsDone, "those that were staged")
	}
	p := workflows.TableProgress{Stage: "merging", MergeGroups: 40, MergeGroupsDone: 12, Conflicts: 1}
	require.Equal(t, "merging: 12 of 40 groups, after 1 conflict", p.String())
	require.Equal(t, "staging: 3 of 5 groups", workflows.TableProgress{Stage: "staging", Groups: 5, GroupsDone: 3}.String())
	require.Equal(t, "committing", workflows.TableProgress{Stage: "committing", Groups: 1, GroupsDone: 1}.String())
}
