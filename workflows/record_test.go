//go:build record

package workflows_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/temporalproto"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/devserver"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/workflows"
)

// TestRecord records the histories that TestRecordedHistoriesReplay replays: each scenario on the embedded server, with
// the activities of fake_test.go. Recording anew is right after a change that no run under way can meet, or that
// workflow.GetVersion guards; the old histories then stay beside the new ones.
//
//	go test -tags 'duckdb_arrow record' -run TestRecord ./workflows
func TestRecord(t *testing.T) {
	ctx := t.Context()
	server, err := devserver.Start(ctx, devserver.Options{Dir: t.TempDir(), UIPort: -1})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	c, err := client.Dial(client.Options{HostPort: server.Info().Address, Logger: quiet{}, Identity: "recorder"})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	addSearchAttributes(t, c)
	require.NoError(t, os.MkdirAll("testdata/histories", 0o755))
	for name, s := range scenarios() {
		t.Run(name, func(t *testing.T) {
			w := worker.New(c, name, worker.Options{MaxHeartbeatThrottleInterval: time.Second, Identity: "recorder"})
			workflows.Register(w)
			s.fake.register(w)
			require.NoError(t, w.Start())
			defer w.Stop()
			record(t, c, name, s)
		})
	}
}

type scenario struct {
	fake   *fake
	input  workflows.RunInput
	cancel bool
}

func scenarios() map[string]scenario {
	known := func(f *fake) *fake {
		f.settings.SearchAttributes = true
		return f
	}
	failed := known(diamond())
	failed.fail(wire.ActivityStageGroup, "silver.a", temporal.NewApplicationError("line 3: bad", wire.ErrData, nil))

	long := known(newFake(node("bronze.a")))
	long.groups["bronze.a"], long.settings.Batch, long.settings.Groups = 25, 5, 3

	superseded := known(newFake(node("bronze.a")))
	superseded.fail(wire.ActivityCommit, "bronze.a", temporal.NewApplicationError("run x came first", wire.ErrSuperseded, nil))

	columns := known(newFake(node("bronze.a")))
	columns.groups["bronze.a"] = 3
	columns.onStage = func(_ context.Context, r wire.StageRequest) (wire.Staged, error) {
		if r.Group == 1 && !strings.Contains(r.Job, "+") {
			return wire.Staged{NewColumns: []plan.Column{{Name: "gate", Type: "string"}}}, nil
		}
		return wire.Staged{Part: fmt.Sprint(r.Group)}, nil
	}

	unchanged := known(newFake(node("bronze.a"), node("silver.a", "bronze.a")))
	unchanged.fresh["bronze.a"], unchanged.fresh["silver.a"] = 0, 0

	retried := known(newFake(node("bronze.a")))
	passing := temporal.NewApplicationError("away", wire.ErrPassing, nil)
	retried.fail(wire.ActivityCommit, "bronze.a", passing)

	cancelled := known(newFake(node("bronze.a"), node("silver.a", "bronze.a")))
	cancelled.onStage = func(ctx context.Context, _ wire.StageRequest) (wire.Staged, error) {
		return wire.Staged{}, waitForCancel(ctx)
	}

	resumed := known(diamond())
	resumed.recalled = wire.Recalled{
		Pipeline: "flights", Compiled: wire.Compiled{Nodes: resumed.nodes, Settings: resumed.settings, Plan: wire.PlanRef{URI: "plan.json"}},
		Done: []wire.TableResult{{Table: "bronze.a", Layer: "bronze", State: wire.StateBuilt}},
	}
	refined := known(newFake(node("silver.a")))
	refined.refines = true
	// A MERGE in groups, which is divided once more after a conflict, and one of many groups, which continues as new.
	merged := known(newFake(node("silver.a")))
	merged.divisions = []int{3, 2}
	// A small MERGE that has a conflict.
	redone := known(newFake(node("silver.a")))
	redone.divisions, redone.small = []int{1}, true
	crowd := known(newFake(node("silver.a")))
	crowd.divisions, crowd.settings.Batch, crowd.settings.Groups = []int{25}, 5, 3
	run := workflows.RunInput{Pipeline: "flights", Parameters: workflows.Parameters{"day": "2013-01-01"}}
	return map[string]scenario{
		"diamond": {fake: known(diamond()), input: run}, "failed": {fake: failed, input: run},
		"long": {fake: long, input: run}, "superseded": {fake: superseded, input: run},
		"columns": {fake: columns, input: run}, "unchanged": {fake: unchanged, input: run},
		"retried": {fake: retried, input: run}, "cancelled": {fake: cancelled, input: run, cancel: true},
		"resumed": {fake: resumed, input: workflows.RunInput{ResumeOf: "flights-1"}}, "refined": {fake: refined, input: run},
		"merged": {fake: merged, input: run}, "redone": {fake: redone, input: run}, "crowd": {fake: crowd, input: run},
	}
}

func addSearchAttributes(t *testing.T, c client.Client) {
	t.Helper()
	add := map[string]enums.IndexedValueType{}
	for _, name := range []string{"VarvePipeline", "VarveLayer", "VarveTable"} {
		add[name] = enums.INDEXED_VALUE_TYPE_KEYWORD
	}
	_, err := c.OperatorService().AddSearchAttributes(t.Context(), &operatorservice.AddSearchAttributesRequest{Namespace: "default", SearchAttributes: add})
	if err != nil && !strings.Contains(err.Error(), "already exist") {
		require.NoError(t, err)
	}
}

func record(t *testing.T, c client.Client, name string, s scenario) {
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: name, TaskQueue: name}, workflows.RunPipelineName, s.input)
	require.NoError(t, err)
	if s.cancel {
		require.Eventually(t, func() bool { return s.fake.count("StageGroup bronze.a") > 0 }, 30*time.Second, 20*time.Millisecond)
		require.NoError(t, c.CancelWorkflow(t.Context(), run.GetID(), ""))
	}
	err = run.Get(t.Context(), nil)
	var finished *temporal.WorkflowExecutionError
	require.True(t, err == nil || errors.As(err, &finished), "%v", err)
	save(t, c, name, run.GetID(), run.GetRunID())
}

// save writes the history of a workflow, of its children, and of the runs that they continued as.
func save(t *testing.T, c client.Client, name, id, run string) {
	t.Helper()
	var h historypb.History
	events := c.GetWorkflowHistory(t.Context(), id, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(t, err)
		h.Events = append(h.Events, e)
		if child := e.GetChildWorkflowExecutionStartedEventAttributes(); child != nil {
			_, table, _ := strings.Cut(child.WorkflowExecution.WorkflowId[strings.Index(child.WorkflowExecution.WorkflowId, "/")+1:], "/")
			if table == "bronze.a" || table == "silver.a" {
				save(t, c, name+"."+table, child.WorkflowExecution.WorkflowId, child.WorkflowExecution.RunId)
			}
		}
		if next := e.GetWorkflowExecutionContinuedAsNewEventAttributes(); next != nil {
			save(t, c, name+"+", id, next.NewExecutionRunId)
		}
	}
	data, err := temporalproto.CustomJSONMarshalOptions{Indent: " "}.Marshal(&h)
	require.NoError(t, err)
	host, err := os.Hostname() // the names of sticky task queues begin with it
	require.NoError(t, err)
	data = append(bytes.ReplaceAll(data, []byte(host), []byte("recorder")), '\n')
	require.NoError(t, os.WriteFile(filepath.Join("testdata/histories", name+".json"), data, 0o644))
}

// waitForCancel is an activity that runs until it is cancelled.
func waitForCancel(ctx context.Context) error {
	for {
		activity.RecordHeartbeat(ctx)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
