package workflows_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	historypb "go.temporal.io/api/history/v1"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/workflows"
)

// histories are runs as a Temporal server recorded them; see record_test.go.
func histories(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/histories/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files, "record them: make histories")
	return files
}

func readHistory(t *testing.T, file string) *historypb.History {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	h, err := client.HistoryFromJSON(f, client.HistoryJSONOptions{})
	require.NoError(t, err)
	return h
}

// A run that began with an older worker goes on with this one: what it has done must be what this code would do.
func TestRecordedHistoriesReplay(t *testing.T) {
	for _, file := range histories(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			replayer := worker.NewWorkflowReplayer()
			workflows.Register(replayer)
			history := readHistory(t, file)
			// A maintenance is one by its id, which a replayer would make up.
			id := history.Events[0].GetWorkflowExecutionStartedEventAttributes().GetWorkflowId()
			options := worker.ReplayWorkflowHistoryOptions{OriginalExecution: workflow.Execution{ID: id}}
			require.NoError(t, replayer.ReplayWorkflowHistoryWithOptions(quiet{}, history, options))
		})
	}
}

// A change that would break runs under way is caught by the same replay: here a build that cleans up before it commits.
func TestNondeterministicChangeFailsTheReplay(t *testing.T) {
	reordered := func(ctx workflow.Context, in workflows.BuildInput) (*wire.TableResult, error) {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 1})
		for _, name := range []string{wire.ActivityPrepare, wire.ActivityStageGroup, wire.ActivityCleanup, wire.ActivityCommit} {
			if err := workflow.ExecuteActivity(ctx, name).Get(ctx, nil); err != nil {
				return nil, err
			}
		}
		return &wire.TableResult{}, nil
	}
	replayed := 0
	for _, file := range histories(t) {
		history := readHistory(t, file)
		start := history.Events[0].GetWorkflowExecutionStartedEventAttributes()
		if start.GetWorkflowType().GetName() != workflows.BuildTableName || len(history.Events) < 20 || start.GetContinuedExecutionRunId() != "" {
			continue
		}
		replayer := worker.NewWorkflowReplayer()
		replayer.RegisterWorkflowWithOptions(reordered, workflow.RegisterOptions{Name: workflows.BuildTableName})
		err := replayer.ReplayWorkflowHistory(quiet{}, history)
		require.ErrorContains(t, err, "TMPRL1100", filepath.Base(file)) // the SDK's code for nondeterminism
		replayed++
	}
	require.NotZero(t, replayed)
}
