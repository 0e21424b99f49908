package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/workflows"
)

// keeper stands in for the activities of maintenance: a table with so many groups of files to join.
type keeper struct {
	mu       sync.Mutex
	policy   plan.Maintenance
	settings wire.Settings
	groups   int
	fails    map[string]error // by activity
	onGroup  func(ctx context.Context, g int) (wire.CompactedGroup, error)
	onCommit func(r wire.CommitCompactionRequest) error
	calls    []string
	running  int
	most     int // maintenances of the table at one time
	rewrote  []int
	commits  []wire.CommitCompactionRequest
	discard  []string
}

func everything() plan.Maintenance {
	return plan.Maintenance{
		Every: 3600, Compact: &plan.Compact{MinInputFiles: 5}, Expire: &plan.Expire{OlderThan: 3600, KeepLast: 1},
		RemoveOrphans: &plan.Orphans{OlderThan: 7200}, Retain: &plan.Retain{Column: "ts", For: 3600},
		MergeDeletes: &plan.MergeDeletes{MinInputFiles: 3}, RemoveDangling: &plan.Dangling{MinFiles: 5}, Manifests: &plan.Manifests{MinInputManifests: 10},
	}
}

func newKeeper(groups int) *keeper {
	return &keeper{policy: everything(), groups: groups, settings: wire.Settings{Groups: 4}, fails: map[string]error{}}
}

func (k *keeper) called(name string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls = append(k.calls, name)
	return k.fails[name]
}

func (k *keeper) count(name string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := 0
	for _, c := range k.calls {
		if c == name {
			n++
		}
	}
	return n
}

func (k *keeper) survey(_ context.Context, r wire.SurveyRequest) (wire.Surveyed, error) {
	out := wire.Surveyed{Pipeline: "flights", Policy: k.policy, Settings: k.settings}
	if r.Preview {
		out.Steps = []wire.UpkeepStep{{Kind: wire.UpkeepCompact, What: "join 12 files", Done: true}}
	}
	return out, k.called(wire.ActivitySurvey)
}

func (k *keeper) planCompaction(context.Context, wire.PlanCompactionRequest) (wire.PlannedCompaction, error) {
	out := wire.PlannedCompaction{Groups: k.groups, Why: "small files", After: "t0"}
	if k.groups > 0 {
		out.Job = "job"
	}
	return out, k.called(wire.ActivityPlanCompaction)
}

func (k *keeper) compactGroup(ctx context.Context, r wire.CompactGroupRequest) (wire.CompactedGroup, error) {
	if err := k.called(wire.ActivityCompactGroup); err != nil {
		return wire.CompactedGroup{}, err
	}
	k.mu.Lock()
	k.rewrote = append(k.rewrote, r.Group)
	k.mu.Unlock()
	if k.onGroup != nil {
		return k.onGroup(ctx, r.Group)
	}
	return wire.CompactedGroup{Part: fmt.Sprintf("part-%d", r.Group)}, nil
}

func (k *keeper) commitCompaction(_ context.Context, r wire.CommitCompactionRequest) (wire.CommittedCompaction, error) {
	if err := k.called(wire.ActivityCommitCompaction); err != nil {
		return wire.CommittedCompaction{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.onCommit != nil {
		if err := k.onCommit(r); err != nil {
			return wire.CommittedCompaction{}, err
		}
	}
	k.commits = append(k.commits, r)
	return wire.CommittedCompaction{
		After: fmt.Sprintf("t%d", len(k.commits)), Step: wire.UpkeepStep{Done: true, Files: 10 * len(r.Parts), FilesAdded: len(r.Parts), Groups: len(r.Parts)},
	}, nil
}

func (k *keeper) simple(name string) func(context.Context, converter.RawValue) (wire.UpkeepStep, error) {
	return func(context.Context, converter.RawValue) (wire.UpkeepStep, error) {
		return wire.UpkeepStep{What: name + " done", Done: true}, k.called(name)
	}
}

func (k *keeper) end(_ context.Context, r wire.EndMaintenanceRequest) error {
	k.mu.Lock()
	k.discard = append(k.discard, r.Discard...)
	k.mu.Unlock()
	return k.called(wire.ActivityEndMaintenance)
}

func (k *keeper) register(r interface {
	RegisterActivityWithOptions(any, activity.RegisterOptions)
}) {
	for name, fn := range map[string]any{
		wire.ActivitySurvey: k.survey, wire.ActivityPlanCompaction: k.planCompaction, wire.ActivityCompactGroup: k.compactGroup,
		wire.ActivityCommitCompaction: k.commitCompaction, wire.ActivityEndMaintenance: k.end, wire.ActivityRetain: k.simple(wire.ActivityRetain),
		wire.ActivityMergeDeletes: k.simple(wire.ActivityMergeDeletes), wire.ActivityDanglingDeletes: k.simple(wire.ActivityDanglingDeletes),
		wire.ActivityManifests: k.simple(wire.ActivityManifests), wire.ActivityExpire: k.simple(wire.ActivityExpire), wire.ActivityOrphans: k.simple(wire.ActivityOrphans),
	} {
		r.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
}

const keptTable = "silver.flights"

// maintenanceOf is a Temporal of its own, with time skipping, in which the workflow has the table's id.
func maintenanceOf(t *testing.T, k *keeper, id string) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	env := suite.NewTestWorkflowEnvironment()
	workflows.Register(env)
	k.register(env)
	env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: id, TaskQueue: "q"})
	return env
}

func maintained(t *testing.T, k *keeper) (workflows.MaintainResult, error) {
	t.Helper()
	env := maintenanceOf(t, k, wire.MaintenanceID(keptTable))
	env.ExecuteWorkflow(workflows.MaintainTableName, workflows.MaintainInput{Table: keptTable})
	require.True(t, env.IsWorkflowCompleted())
	var out workflows.MaintainResult
	err := env.GetWorkflowError()
	if err == nil {
		require.NoError(t, env.GetWorkflowResult(&out))
		return out, nil
	}
	var application *temporal.ApplicationError
	if errors.As(err, &application) && application.HasDetails() {
		require.NoError(t, application.Details(&out))
	}
	return out, err
}

// inOrder are the steps of a policy that asks for everything.
var inOrder = []string{"retain", "compact", "merge-deletes", "dangling-deletes", "manifests", "expire", "orphans"}

func kinds(r workflows.MaintainResult) []string {
	var out []string
	for _, s := range r.Steps {
		out = append(out, s.Kind)
	}
	return out
}

func TestMaintenanceGoesInOrder(t *testing.T) {
	k := newKeeper(3)
	r, err := maintained(t, k)
	require.NoError(t, err)
	require.Equal(t, inOrder, kinds(r))
	require.Equal(t, []string{"SurveyTable", "RetainRows", "PlanCompaction"}, k.calls[:3])
	require.Equal(t, []string{"CommitCompaction", "MergeDeletes", "RemoveDanglingDeletes", "RewriteManifests", "ExpireSnapshots", "RemoveOrphans", "EndMaintenance"}, k.calls[6:])
	require.Equal(t, "joined 30 files into 3", r.Steps[1].What)
	require.Empty(t, k.discard)
	require.Equal(t, "t0", k.commits[0].After)
}

func TestAPolicyDoesWhatItNames(t *testing.T) {
	k := newKeeper(3)
	k.policy = plan.Maintenance{Expire: &plan.Expire{}}
	r, err := maintained(t, k)
	require.NoError(t, err)
	require.Equal(t, []string{"expire"}, kinds(r))
	require.Len(t, k.calls, 2, "nothing was staged, so nothing is cleaned up: %v", k.calls)
}

func TestNothingToJoinStagesNothing(t *testing.T) {
	k := newKeeper(0)
	r, err := maintained(t, k)
	require.NoError(t, err)
	require.Equal(t, inOrder, kinds(r))
	require.False(t, r.Steps[1].Done)
	require.Zero(t, k.count(wire.ActivityEndMaintenance))
}

func TestAPreviewChangesNothing(t *testing.T) {
	k := newKeeper(3)
	env := maintenanceOf(t, k, "preview")
	env.ExecuteWorkflow(workflows.MaintainTableName, workflows.MaintainInput{Table: keptTable, Preview: true})
	require.NoError(t, env.GetWorkflowError())
	var r workflows.MaintainResult
	require.NoError(t, env.GetWorkflowResult(&r))
	require.Equal(t, "join 12 files", r.Steps[0].What)
	require.Equal(t, []string{wire.ActivitySurvey}, k.calls)
}

func TestAFailedStepKeepsNoneOfTheOthersFromBeingDone(t *testing.T) {
	for _, name := range []string{wire.ActivityRetain, wire.ActivityPlanCompaction, wire.ActivityCommitCompaction,
		wire.ActivityMergeDeletes, wire.ActivityDanglingDeletes, wire.ActivityManifests, wire.ActivityExpire, wire.ActivityOrphans} {
		k := newKeeper(3)
		k.fails[name] = temporal.NewApplicationError("no", wire.ErrUser)
		r, err := maintained(t, k)
		require.ErrorContains(t, err, "no", name)
		require.Equal(t, inOrder, kinds(r), name)
		failed := 0
		for _, s := range r.Steps {
			if s.Error != "" {
				failed++
			}
		}
		require.Equal(t, 1, failed, name)
		require.Empty(t, k.discard, "what a commit was asked to use may be the table's")
	}
}

func TestAFailedGroupLeavesTheOthers(t *testing.T) {
	k := newKeeper(5)
	k.onGroup = func(_ context.Context, g int) (wire.CompactedGroup, error) {
		switch g {
		case 1:
			return wire.CompactedGroup{}, temporal.NewApplicationError("page 3 is corrupt", wire.ErrData)
		case 2:
			return wire.CompactedGroup{Reason: "its schema is another"}, nil
		}
		return wire.CompactedGroup{Part: fmt.Sprint(g)}, nil
	}
	r, err := maintained(t, k)
	require.ErrorContains(t, err, "group 2: page 3 is corrupt")
	require.Equal(t, []string{"0", "3", "4"}, k.commits[0].Parts)
	require.Equal(t, 1, r.Steps[1].Dropped)
	require.True(t, r.Steps[1].Done)
}

func TestManyGroupsAreCommittedInPartsAndContinueAsNew(t *testing.T) {
	k := newKeeper(1000)
	in := workflows.MaintainInput{Table: keptTable}
	runs, largest := 0, 0
	var result workflows.MaintainResult
	for in.Table != "" {
		env := maintenanceOf(t, k, wire.MaintenanceID(keptTable))
		env.ExecuteWorkflow(workflows.MaintainTableName, in)
		runs++
		in = workflows.MaintainInput{}
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
	require.Equal(t, 4, runs)
	require.Less(t, largest, 4<<10, "state stays small")
	seen := map[int]bool{}
	for _, g := range k.rewrote {
		require.False(t, seen[g], "group %d twice", g)
		seen[g] = true
	}
	require.Len(t, seen, 1000)
	require.Len(t, k.commits, 32)
	for i, c := range k.commits {
		require.Equal(t, i, c.Part)
		require.Equal(t, fmt.Sprintf("t%d", i), c.After, "each commit rests on the one before")
	}
	require.Equal(t, 10_000, result.Steps[1].Files)
	require.Equal(t, 1, k.count(wire.ActivitySurvey))
	require.Equal(t, 1, k.count(wire.ActivityRetain))
	require.Equal(t, 1, k.count(wire.ActivityPlanCompaction))
	require.Equal(t, 1, k.count(wire.ActivityEndMaintenance))
}

func TestACancelledMaintenanceDiscardsWhatNoCommitWasAskedToUse(t *testing.T) {
	k := newKeeper(40) // two parts
	k.onGroup = func(_ context.Context, g int) (wire.CompactedGroup, error) {
		if g == 39 { // tried again and again, so that time goes by
			return wire.CompactedGroup{}, temporal.NewApplicationError("away", wire.ErrPassing)
		}
		return wire.CompactedGroup{Part: fmt.Sprint(g)}, nil
	}
	env := maintenanceOf(t, k, wire.MaintenanceID(keptTable))
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Minute)
	env.ExecuteWorkflow(workflows.MaintainTableName, workflows.MaintainInput{Table: keptTable})
	require.True(t, temporal.IsCanceledError(env.GetWorkflowError()), "%v", env.GetWorkflowError())
	require.Len(t, k.commits, 1)
	require.Len(t, k.commits[0].Parts, 32)
	require.Subset(t, []string{"32", "33", "34", "35", "36", "37", "38"}, k.discard)
	require.Zero(t, k.count(wire.ActivityExpire))
}

func TestTheBudgetOfTimeEndsACompaction(t *testing.T) {
	k := newKeeper(320)
	k.policy.Compact.MaxTime = 600
	env := maintenanceOf(t, k, wire.MaintenanceID(keptTable))
	env.OnActivity(wire.ActivityCommitCompaction, mock.Anything, mock.Anything).After(4 * time.Minute).Return(k.commitCompaction)
	env.ExecuteWorkflow(workflows.MaintainTableName, workflows.MaintainInput{Table: keptTable})
	require.NoError(t, env.GetWorkflowError())
	var r workflows.MaintainResult
	require.NoError(t, env.GetWorkflowResult(&r))
	require.Len(t, k.commits, 3, "after 4, 8 and 12 minutes")
	require.Equal(t, 320-3*32, r.Steps[1].Left)
	require.Equal(t, inOrder, kinds(r))
}

func TestASupersededCommitEndsACompaction(t *testing.T) {
	k := newKeeper(100)
	k.onCommit = func(r wire.CommitCompactionRequest) error {
		if r.Part == 1 {
			return temporal.NewApplicationError("rolled back", wire.ErrSuperseded)
		}
		return nil
	}
	r, err := maintained(t, k)
	require.ErrorContains(t, err, "rolled back")
	require.Len(t, k.commits, 1)
	require.Len(t, k.rewrote, 64)
	require.Equal(t, inOrder, kinds(r))
}

func TestAMaintenanceOfAnotherIdStartsTheOne(t *testing.T) {
	k := newKeeper(2)
	env := maintenanceOf(t, k, "maintain-silver.flights-scheduled-2026-01-01T00:00:00Z")
	ids := []string{}
	env.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, _ converter.EncodedValues) {
		ids = append(ids, info.WorkflowExecution.ID)
	})
	env.ExecuteWorkflow(workflows.MaintainTableName, workflows.MaintainInput{Table: keptTable})
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, []string{"maintain/silver.flights"}, ids)
	require.Equal(t, 1, k.count(wire.ActivityExpire))
}

// A year of a schedule every six hours, and of commits that cross the threshold meanwhile: whatever starts it, at most one maintenance
// is at work on the table, and each time that is due sees one. Some of them fail.
func TestAYearOfSchedules(t *testing.T) {
	k := newKeeper(2)
	const every, times = 6 * time.Hour, 365 * 4
	year := func(ctx workflow.Context) error {
		for h := range times {
			options := workflow.ChildWorkflowOptions{WorkflowID: fmt.Sprintf("scheduled-%d", h)}
			scheduled := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), workflows.MaintainTableName, workflows.MaintainInput{Table: keptTable})
			if h%7 == 0 { // a build has crossed the threshold in the same moment
				options.WorkflowID = fmt.Sprintf("after-%d", h)
				_ = workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), workflows.MaintainTableName, workflows.MaintainInput{Table: keptTable}).Get(ctx, nil)
			}
			_ = scheduled.Get(ctx, nil) // overlap: skip
			if err := workflow.Sleep(ctx, every); err != nil {
				return err
			}
		}
		return nil
	}
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(5 * time.Minute)
	env.RegisterWorkflow(year)
	workflows.Register(env)
	k.register(env)
	n := 0
	k.onGroup = func(context.Context, int) (wire.CompactedGroup, error) {
		k.mu.Lock()
		defer k.mu.Unlock()
		if n++; n%500 == 0 {
			return wire.CompactedGroup{}, temporal.NewApplicationError("corrupt", wire.ErrData)
		}
		return wire.CompactedGroup{Part: "p"}, nil
	}
	env.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, _ converter.EncodedValues) {
		if info.WorkflowExecution.ID == wire.MaintenanceID(keptTable) {
			k.running++
			k.most = max(k.most, k.running)
		}
	})
	env.SetOnChildWorkflowCompletedListener(func(info *workflow.Info, _ converter.EncodedValue, _ error) {
		if info.WorkflowExecution.ID == wire.MaintenanceID(keptTable) {
			k.running--
		}
	})
	began := env.Now()
	env.ExecuteWorkflow(year)
	require.NoError(t, env.GetWorkflowError())
	require.GreaterOrEqual(t, env.Now().Sub(began), times*every)
	require.Equal(t, 1, k.most)
	require.GreaterOrEqual(t, k.count(wire.ActivityExpire), times)
	require.Equal(t, k.count(wire.ActivityExpire), k.count(wire.ActivityOrphans))
}

// A commit that crosses the threshold starts the table's maintenance, which goes on when the run has ended; the run does not
// wait for it, and one that is under way is as good.
func TestACommitStartsTheMaintenance(t *testing.T) {
	f := newFake(node("bronze.a"), node("silver.a", "bronze.a"))
	f.maintain = "120 files were added"
	env := environment(t, f)
	k := newKeeper(1)
	k.register(env)
	inputs := map[string]workflows.MaintainInput{}
	env.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, args converter.EncodedValues) {
		if info.WorkflowType.Name == workflows.MaintainTableName {
			var in workflows.MaintainInput
			require.NoError(t, args.Get(&in))
			inputs[info.WorkflowExecution.ID] = in
		}
	})
	r, err := execute(t, env, workflows.RunInput{Pipeline: "flights"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"bronze.a": "built", "silver.a": "built"}, states(r))
	for _, table := range []string{"bronze.a", "silver.a"} {
		require.Equal(t, workflows.MaintainInput{Table: table, Pipeline: "flights", Reason: f.maintain}, inputs[wire.MaintenanceID(table)])
	}
}
