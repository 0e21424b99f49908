package workflows_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/workflows"
)

// branches are a catalog's.
type branches struct {
	mu    sync.Mutex
	calls []string
	merge error
	drop  error
}

func (b *branches) called(name string) func(context.Context, wire.BranchRequest) (wire.BranchMerged, error) {
	return func(_ context.Context, r wire.BranchRequest) (wire.BranchMerged, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		call := name + " " + r.Branch
		if r.Hash != "" {
			call += "@" + r.Hash
		}
		if len(r.Seen) > 0 {
			slices.Sort(r.Seen)
			call += " of " + strings.Join(r.Seen, " ")
		}
		b.calls = append(b.calls, call)
		if name == wire.ActivityMergeBranch {
			return wire.BranchMerged{Into: "main", Hash: "c0ffee"}, b.merge
		}
		if name == wire.ActivityDropBranch {
			return wire.BranchMerged{}, b.drop
		}
		return wire.BranchMerged{}, nil
	}
}

func branched(t *testing.T, f *fake, b *branches) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	suite.SetContextPropagators([]workflow.ContextPropagator{wire.BranchPropagator{}})
	env := suite.NewTestWorkflowEnvironment()
	workflows.Register(env)
	f.register(env)
	for _, name := range []string{wire.ActivityOpenBranch, wire.ActivityMergeBranch, wire.ActivityDropBranch} {
		env.RegisterActivityWithOptions(b.called(name), activity.RegisterOptions{Name: name})
	}
	return env
}

func TestARunOnABranchIsMergedWhenAllIsBuilt(t *testing.T) {
	f, b := diamond(), &branches{}
	var mu sync.Mutex
	seen := map[string]bool{}
	f.onStage = func(ctx context.Context, _ wire.StageRequest) (wire.Staged, error) {
		mu.Lock()
		defer mu.Unlock()
		seen[wire.Branch(ctx)] = true
		return wire.Staged{Part: "part"}, nil
	}
	result, err := execute(t, branched(t, f, b), workflows.RunInput{Pipeline: "flights", Branch: "audit", Merge: true})
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"audit": true}, seen, "activities of children are told")
	require.Equal(t, []string{"OpenBranch audit", "MergeBranch audit", "DropBranch audit@c0ffee"}, b.calls)
	require.Equal(t, []string{"audit", "main"}, []string{result.Branch, result.Merged})

	b.calls = nil
	result, err = execute(t, branched(t, f, b), workflows.RunInput{Pipeline: "flights", Branch: "audit"})
	require.NoError(t, err)
	require.Equal(t, []string{"OpenBranch audit"}, b.calls)
	require.Empty(t, result.Merged)
}

func TestABranchIsNotMergedAfterAFailure(t *testing.T) {
	f, b := diamond(), &branches{}
	f.fail(wire.ActivityCommit, "silver.a", temporal.NewNonRetryableApplicationError("an expectation", wire.ErrData, nil))
	env := branched(t, f, b)
	_, err := execute(t, env, workflows.RunInput{Pipeline: "flights", Branch: "audit", Merge: true})
	require.Error(t, err)
	require.Equal(t, []string{"OpenBranch audit"}, b.calls)
	answer, err := env.QueryWorkflow(workflows.QueryRecall)
	require.NoError(t, err)
	require.NoError(t, answer.Get(&f.recalled))

	b.calls = nil
	result, err := execute(t, branched(t, f, b), workflows.RunInput{ResumeOf: "flights-1"})
	require.NoError(t, err)
	require.Equal(t, []string{"OpenBranch audit", "MergeBranch audit", "DropBranch audit@c0ffee"}, b.calls, "resuming goes on with the branch")
	require.Equal(t, "main", result.Merged)
}

func TestABranchThatCannotBeMergedIsKeptAndFailsTheRun(t *testing.T) {
	f, b := diamond(), &branches{merge: temporal.NewNonRetryableApplicationError("both have changed silver.a", wire.ErrUser, nil)}
	result, err := execute(t, branched(t, f, b), workflows.RunInput{Pipeline: "flights", Branch: "audit", Merge: true})
	require.ErrorContains(t, err, "branch audit was not merged: both have changed silver.a")
	require.Equal(t, []string{"OpenBranch audit", "MergeBranch audit"}, b.calls)
	require.Contains(t, result.Warnings, "branch audit was not merged: both have changed silver.a")
	require.Equal(t, wire.StateBuilt, states(result)["gold.ab"])

	_, err = execute(t, branched(t, f, b), workflows.RunInput{Pipeline: "flights", Merge: true})
	require.ErrorContains(t, err, "merge is for a run on a branch")
}

// What is merged is what the run has seen of the branch, not what others commit to it meanwhile.
func TestABranchIsMergedAsTheRunHasSeenIt(t *testing.T) {
	f, b := diamond(), &branches{}
	f.hash = func(table string) string { return "after " + table }
	_, err := execute(t, branched(t, f, b), workflows.RunInput{Pipeline: "flights", Branch: "audit", Merge: true})
	require.NoError(t, err)
	require.Equal(t, "MergeBranch audit of after bronze.a after bronze.b after gold.ab after silver.a after silver.b", b.calls[1])
	require.Equal(t, "DropBranch audit@c0ffee", b.calls[2])
}

// Workers of an earlier version tell no commit. What they built is merged too, also when the run is one that resumes theirs.
func TestWhatEarlierWorkersBuiltOnABranchIsMerged(t *testing.T) {
	f, b := diamond(), &branches{}
	f.hash = func(table string) string {
		if table == "gold.ab" {
			return ""
		}
		return "after " + table
	}
	_, err := execute(t, branched(t, f, b), workflows.RunInput{Pipeline: "flights", Branch: "audit", Merge: true})
	require.NoError(t, err)
	require.Equal(t, "MergeBranch audit", b.calls[1], "up to where the branch stands")

	f, b = diamond(), &branches{}
	f.hash = func(string) string { return "" }
	f.fail(wire.ActivityCommit, "gold.ab", temporal.NewNonRetryableApplicationError("an expectation", wire.ErrData, nil))
	env := branched(t, f, b)
	_, err = execute(t, env, workflows.RunInput{Pipeline: "flights", Branch: "audit", Merge: true})
	require.Error(t, err)
	answer, err := env.QueryWorkflow(workflows.QueryRecall)
	require.NoError(t, err)
	require.NoError(t, answer.Get(&f.recalled))
	f.hash, b.calls = func(table string) string { return "after " + table }, nil
	_, err = execute(t, branched(t, f, b), workflows.RunInput{ResumeOf: "flights-1"})
	require.NoError(t, err)
	require.Equal(t, "MergeBranch audit", b.calls[1])
}

func TestABranchToWhichMoreCameIsKeptAndTheRunSaysSo(t *testing.T) {
	f, b := diamond(), &branches{drop: temporal.NewNonRetryableApplicationError("it is kept", wire.ErrUser, nil)}
	result, err := execute(t, branched(t, f, b), workflows.RunInput{Pipeline: "flights", Branch: "audit", Merge: true})
	require.NoError(t, err)
	require.Equal(t, "main", result.Merged)
	require.Contains(t, result.Warnings, "branch audit is merged, and was not removed: it is kept")
}
