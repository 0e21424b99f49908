//go:build record

package workflows_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/devserver"
	"github.com/varve-lake/varve/workflows"
)

// TestRecordMaintenance is TestRecord for MaintainTable, with the activities of maintain_test.go, and for a build that starts
// one.
func TestRecordMaintenance(t *testing.T) {
	server, err := devserver.Start(t.Context(), devserver.Options{Dir: t.TempDir(), UIPort: -1})
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	c, err := client.Dial(client.Options{HostPort: server.Info().Address, Logger: quiet{}, Identity: "recorder"})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	addSearchAttributes(t, c)
	require.NoError(t, os.MkdirAll("testdata/histories", 0o755))

	known := func(k *keeper) *keeper {
		k.settings.SearchAttributes = true
		return k
	}
	crowd := known(newKeeper(27))
	crowd.settings.Batch = 3
	failing := known(newKeeper(3))
	failing.onGroup = func(_ context.Context, g int) (wire.CompactedGroup, error) {
		if g == 1 {
			return wire.CompactedGroup{}, temporal.NewApplicationError("page 3 is corrupt", wire.ErrData)
		}
		return wire.CompactedGroup{Part: "p"}, nil
	}
	superseded := known(newKeeper(4))
	superseded.onCommit = func(wire.CommitCompactionRequest) error {
		return temporal.NewApplicationError("rolled back", wire.ErrSuperseded)
	}
	for name, k := range map[string]*keeper{
		"maintained": known(newKeeper(3)), "maintained-nothing": known(newKeeper(0)), "maintained-crowd": crowd,
		"maintained-failed": failing, "maintained-superseded": superseded,
	} {
		t.Run(name, func(t *testing.T) {
			id := wire.MaintenanceID("silver." + name)
			save(t, c, name, id, recordMaintenance(t, c, name, k, id))
		})
	}
	t.Run("maintained-scheduled", func(t *testing.T) {
		save(t, c, "maintained-scheduled", "scheduled-1", recordMaintenance(t, c, "maintained-scheduled", known(newKeeper(1)), "scheduled-1"))
	})
	t.Run("threshold", func(t *testing.T) {
		f := newFake(node("silver.a"))
		f.settings.SearchAttributes, f.maintain = true, "120 files were added"
		w := worker.New(c, "threshold", worker.Options{MaxHeartbeatThrottleInterval: time.Second, Identity: "recorder"})
		workflows.Register(w)
		f.register(w)
		known(newKeeper(1)).register(w)
		require.NoError(t, w.Start())
		defer w.Stop()
		record(t, c, "threshold", scenario{fake: f, input: workflows.RunInput{Pipeline: "flights"}})
	})
}

// recordMaintenance runs a maintenance to its end, and gives the id of its first run.
func recordMaintenance(t *testing.T, c client.Client, name string, k *keeper, id string) (first string) {
	w := worker.New(c, name, worker.Options{MaxHeartbeatThrottleInterval: time.Second, Identity: "recorder"})
	workflows.Register(w)
	k.register(w)
	require.NoError(t, w.Start())
	defer w.Stop()
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: name}, workflows.MaintainTableName,
		workflows.MaintainInput{Table: "silver." + name, Pipeline: "flights"})
	require.NoError(t, err)
	first = run.GetRunID() // of the chain: to wait for its end moves on to the last
	err = run.Get(t.Context(), nil)
	var finished *temporal.WorkflowExecutionError
	require.True(t, err == nil || errors.As(err, &finished), "%v", err)
	return first
}
