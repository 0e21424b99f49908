package workflows_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/workflows"
)

// fake stands in for the activities: a lake in which a table holds what was delivered to it.
type fake struct {
	mu        sync.Mutex
	nodes     []wire.Node
	settings  wire.Settings
	groups    map[string]int   // of a table; 1 if not named
	fresh     map[string]int64 // rows that wait for a table; 10 if not named
	failures  map[string][]error
	recalled  wire.Recalled
	calls     []string
	running   int
	maxAtOnce int
	snapshots int64
	refines   bool
	reason    string
	planURI   string
	hash      func(table string) string // of the commit that a table's made
	onStage   func(ctx context.Context, r wire.StageRequest) (wire.Staged, error)
	// divisions are what the next commits of any table answer instead of committing: so many groups. With small also the first of
	// them is after a conflict, and keeps something.
	divisions []int
	small     bool
	onMerge   func(ctx context.Context, r wire.MergeGroupRequest) (wire.MergedGroup, error)
	commits   []wire.CommitRequest
	// maintain is why commits ask for the table's maintenance.
	maintain string
}

func newFake(nodes ...wire.Node) *fake {
	return &fake{
		nodes: nodes, settings: wire.Settings{Tables: 4, Groups: 4, Batch: 250},
		groups: map[string]int{}, fresh: map[string]int64{}, failures: map[string][]error{},
	}
}

func node(name string, after ...string) wire.Node {
	layer, _, _ := strings.Cut(name, ".")
	return wire.Node{Name: name, Layer: layer, After: after}
}

// fail makes the next calls of an activity for a table return these errors, in order; nil stands for a success.
func (f *fake) fail(name, table string, errs ...error) { f.failures[name+" "+table] = errs }

func (f *fake) called(name, table string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	call := name + " " + table
	f.calls = append(f.calls, call)
	if errs := f.failures[call]; len(errs) > 0 {
		f.failures[call] = errs[1:]
		return errs[0]
	}
	return nil
}

// last is the last call that begins so. An activity that was cancelled may still be on its way when the workflow has ended.
func (f *fake) last(prefix string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range slices.Backward(f.calls) {
		if strings.HasPrefix(c, prefix) {
			return c
		}
	}
	return ""
}

func (f *fake) count(call string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, c := range f.calls {
		if c == call {
			n++
		}
	}
	return n
}

func (f *fake) compile(_ context.Context, r wire.CompileRequest) (wire.Compiled, error) {
	if err := f.called(wire.ActivityCompile, r.Pipeline); err != nil {
		return wire.Compiled{}, err
	}
	p := &plan.Plan{Version: plan.Version, Pipeline: r.Pipeline, Parameters: r.Parameters}
	for _, n := range f.nodes {
		p.Tables = append(p.Tables, plan.Table{Name: n.Name, Layer: n.Layer, After: n.After})
	}
	if f.planURI != "" {
		return wire.Compiled{Plan: wire.PlanRef{URI: f.planURI}, Run: "run-1", Nodes: f.nodes, Settings: f.settings}, nil
	}
	return wire.Compiled{Plan: wire.PlanRef{Plan: p}, Nodes: f.nodes, Settings: f.settings}, nil
}

func (f *fake) recall(context.Context, wire.RecallRequest) (wire.Recalled, error) {
	return f.recalled, f.called(wire.ActivityRecall, "")
}

func (f *fake) prepare(_ context.Context, r wire.PrepareRequest) (wire.Prepared, error) {
	if err := f.called(wire.ActivityPrepare, r.Table.Name); err != nil {
		return wire.Prepared{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if rows, known := f.fresh[r.Table.Name]; known && rows == 0 {
		return wire.Prepared{Unchanged: true, Reason: "nothing is new"}, nil
	}
	groups := 1
	if n, known := f.groups[r.Table.Name]; known {
		groups = n
	}
	job := fmt.Sprintf("%s#%d", r.Table.Name, r.Round)
	return wire.Prepared{Job: job, Groups: groups, Refine: f.refines, Reason: "new files " + f.reason}, nil
}

func (f *fake) extend(_ context.Context, r wire.ExtendRequest) (wire.Extended, error) {
	return wire.Extended{Job: r.Job + "+", Changes: []string{"column " + r.Columns[0].Name + " added"}},
		f.called(wire.ActivityExtend, tableOf(r.Job))
}

func tableOf(job string) string {
	table, _, _ := strings.Cut(job, "#")
	return table
}

func (f *fake) stage(ctx context.Context, r wire.StageRequest) (wire.Staged, error) {
	if err := f.called(wire.ActivityStageGroup, tableOf(r.Job)); err != nil {
		return wire.Staged{}, err
	}
	f.enter(1)
	defer f.enter(-1)
	if f.onStage != nil {
		return f.onStage(ctx, r)
	}
	rows := int64(10)
	if n, known := f.fresh[tableOf(r.Job)]; known {
		rows = n
	}
	return wire.Staged{Part: fmt.Sprintf("%05d-0a1b2c3d", r.Group), Counts: wire.Counts{Files: 1, RowsRead: rows, RowsStaged: rows}}, nil
}

func (f *fake) enter(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running += n
	f.maxAtOnce = max(f.maxAtOnce, f.running)
}

func (f *fake) gather(_ context.Context, r wire.GatherRequest) (wire.Gathered, error) {
	return wire.Gathered{Part: fmt.Sprintf("gathered-%s-%d", r.Parts[0], len(r.Parts))}, f.called(wire.ActivityGather, tableOf(r.Job))
}

func (f *fake) refine(_ context.Context, r wire.RefineRequest) (wire.Staged, error) {
	return wire.Staged{Part: "refined"}, f.called(wire.ActivityRefine, tableOf(r.Job))
}

func (f *fake) commit(_ context.Context, r wire.CommitRequest) (wire.Committed, error) {
	if err := f.called(wire.ActivityCommit, tableOf(r.Job)); err != nil {
		return wire.Committed{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.commits = append(f.commits, r)
	if len(f.divisions) > 0 && r.FanOut {
		n := f.divisions[0]
		f.divisions = f.divisions[1:]
		name := fmt.Sprintf("division-%d", len(r.Merged))
		out := wire.Committed{Divided: &wire.Divided{Division: name, Groups: n, Files: 20 * n, Redo: len(r.Merged) > 0}}
		if len(r.Merged) > 0 || f.small {
			out.Attempts, out.Conflicts, out.GroupsRedone = 1, 1, n
			out.Divided.Redo = true
		}
		if f.small {
			out.Divided.Kept = "merge-kept-" + name
		}
		return out, nil
	}
	f.snapshots++
	out := wire.Committed{Snapshot: f.snapshots, Inserted: int64(10 * len(r.Parts)), FilesAdded: 1, Maintain: f.maintain}
	if f.hash != nil {
		out.Commit = f.hash(tableOf(r.Job))
	}
	return out, nil
}

func (f *fake) mergeGroup(ctx context.Context, r wire.MergeGroupRequest) (wire.MergedGroup, error) {
	if err := f.called(wire.ActivityMergeGroup, tableOf(r.Job)); err != nil {
		return wire.MergedGroup{}, err
	}
	if f.onMerge != nil {
		return f.onMerge(ctx, r)
	}
	return wire.MergedGroup{Part: fmt.Sprintf("merge-%s-%05d", r.Division, r.Group), Files: 20}, nil
}

func (f *fake) cleanup(_ context.Context, r wire.CleanupRequest) error {
	what := r.Table
	if len(r.Discard) > 0 {
		what += " discarding " + strings.Join(r.Discard, ",")
	}
	return f.called(wire.ActivityCleanup, what)
}

func (f *fake) register(r interface {
	RegisterActivityWithOptions(any, activity.RegisterOptions)
}) {
	for name, fn := range map[string]any{
		wire.ActivityCompile: f.compile, wire.ActivityRecall: f.recall, wire.ActivityPrepare: f.prepare,
		wire.ActivityExtend: f.extend, wire.ActivityStageGroup: f.stage, wire.ActivityGather: f.gather,
		wire.ActivityRefine: f.refine, wire.ActivityMergeGroup: f.mergeGroup, wire.ActivityCommit: f.commit, wire.ActivityCleanup: f.cleanup,
	} {
		r.RegisterActivityWithOptions(fn, activity.RegisterOptions{Name: name})
	}
}

// environment is a Temporal of its own, with time skipping.
func environment(t *testing.T, f *fake) *testsuite.TestWorkflowEnvironment {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	env := suite.NewTestWorkflowEnvironment()
	workflows.Register(env)
	f.register(env)
	return env
}

// execute runs the pipeline and returns its result, also that of a failed run.
func execute(t *testing.T, env *testsuite.TestWorkflowEnvironment, in workflows.RunInput) (workflows.RunResult, error) {
	t.Helper()
	env.ExecuteWorkflow(workflows.RunPipelineName, in)
	require.True(t, env.IsWorkflowCompleted())
	var result workflows.RunResult
	err := env.GetWorkflowError()
	if err == nil {
		require.NoError(t, env.GetWorkflowResult(&result))
		return result, nil
	}
	var application *temporal.ApplicationError
	if asApplication(err, &application) && application.HasDetails() {
		require.NoError(t, application.Details(&result))
	}
	return result, err
}

func states(r workflows.RunResult) map[string]string {
	out := make(map[string]string)
	for _, t := range r.Tables {
		out[t.Table] = t.State
	}
	return out
}

// quiet drops the SDK's log.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
