// Package host runs a Varve worker in the calling process: its workflows, its activities over the environment's lake,
// and its metrics.
package host

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/varve-lake/varve/activities"
	"github.com/varve-lake/varve/internal/environment"
	"github.com/varve-lake/varve/workflows"
)

// StopTimeout is how long a worker that is stopped waits for activities to end before it cancels them. What they had
// staged is kept; another worker goes on from the last finished group.
const StopTimeout = 10 * time.Second

// Worker is a running worker.
type Worker struct {
	worker     worker.Worker
	activities *activities.Activities
}

// Config is what the activities of an environment stand on.
func Config(env environment.Environment) activities.Config {
	return activities.Config{
		PipelinesDir: env.Pipelines,
		Root:         env.Root,
		Environment:  env.Name,
		Lake:         env.Lake,
		WorkDir:      filepath.Join(env.Dir, "tmp"),
		Memory:       env.Limits.Memory,
		Parallelism:  env.Limits.Parallelism,
		FanOut:       env.Limits.FanOut,
		Secrets:      env.Secrets,
	}
}

// Start bounds the process's heap by the environment's memory, registers everything and begins to poll the environment's task queue.
func Start(ctx context.Context, c client.Client, namespace string, env environment.Environment, logger *slog.Logger) (*Worker, error) {
	cfg := Config(env)
	if os.Getenv("GOMEMLIMIT") == "" { // who sets it knows better
		debug.SetMemoryLimit(cfg.Heap())
	}
	const keyword, integer = enums.INDEXED_VALUE_TYPE_KEYWORD, enums.INDEXED_VALUE_TYPE_INT
	cfg.SearchAttributes = ensureSearchAttributes(ctx, c, namespace, logger, keyword, "VarvePipeline", "VarveLayer", "VarveTable")
	cfg.ConflictAttribute = ensureSearchAttributes(ctx, c, namespace, logger, integer, "VarveConflicts")
	lake, err := env.OpenLake(ctx) // makes the folders, and fails before anything is polled
	if err != nil {
		return nil, err
	}
	if err := lake.Close(); err != nil {
		return nil, err
	}
	acts, err := activities.Open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	options := activities.WorkerOptions(cfg)
	options.WorkerStopTimeout = StopTimeout
	nameBinary()
	w := worker.New(c, env.Queue(), options)
	workflows.Register(w)
	acts.Register(w)
	if err := w.Start(); err != nil {
		_ = acts.Close()
		return nil, fmt.Errorf("worker: %w", err)
	}
	return &Worker{worker: w, activities: acts}, nil
}

// Stop stops polling, waits for running activities as StopTimeout says, and closes the lake.
func (w *Worker) Stop() error {
	w.worker.Stop()
	return w.activities.Close()
}

// ensureSearchAttributes adds what the namespace lacks of the keys, all of one type, by which runs are found in the UI. A
// cluster may deny that to a worker: then runs go without, and the log says which command an administrator can give.
func ensureSearchAttributes(
	ctx context.Context, c client.Client, namespace string, logger *slog.Logger, kind enums.IndexedValueType, names ...string,
) bool {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	have, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		logger.Warn("search attributes are not known; runs go without them", "error", err)
		return false
	}
	add := map[string]enums.IndexedValueType{}
	for _, name := range names {
		if t, ok := have.GetCustomAttributes()[name]; !ok {
			add[name] = kind
		} else if t != kind {
			logger.Warn("a search attribute has another type; runs go without", "name", name, "type", t.String())
			return false
		}
	}
	if len(add) == 0 {
		return true
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: add})
	if err != nil {
		logger.Warn("search attributes could not be added; runs go without them. An administrator can add them by "+
			"`temporal operator search-attribute create --name "+strings.Join(names, " --name ")+" --type "+kind.String()+"`", "error", err)
		return false
	}
	return true
}
