// Package activities adapts the inputs of workflows to sources, transforms and tables. It holds no logic of its own
// about rows: it opens, connects and closes, heartbeats, and gives errors their class.
package activities

import (
	"context"
	"errors"

	"go.temporal.io/sdk/worker"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/tables"
)

// Config is a worker's own. The zero values of limits are usable.
type Config struct {
	PipelinesDir string        // the folder of *.yaml pipelines
	Environment  string        // name of the environment in varve.yaml; recorded in plans
	Lake         tables.Config // where tables are
	WorkDir      string        // scratch space; the system's if empty
	Memory       int64         // bytes that one activity may hold, roughly; 0 means 1 GiB
	Parallelism  int           // threads of one activity; 0 means the number of processors
	Tables       int           // tables of a run built at once; 0 means 4
	Groups       int           // groups of a table staged at once; 0 means twice Parallelism
	GroupFiles   int           // files in a group at most; 0 means 256
	GroupBytes   int64         // bytes of files in a group, roughly at most; 0 means 256 MiB
	// SearchAttributes says that the namespace has VarvePipeline, VarveLayer and VarveTable.
	SearchAttributes bool
}

// Activities are the activities of one worker over one lake.
type Activities struct {
	cfg  Config
	lake *tables.Lake
}

// Open opens the lake.
func Open(ctx context.Context, cfg Config) (*Activities, error) {
	return nil, errors.New("not written yet")
}

// Lake is the open lake.
func (a *Activities) Lake() *tables.Lake { return a.lake }

// Close closes the lake.
func (a *Activities) Close() error { return nil }

// Plan compiles a pipeline by its name in the worker's folder, or by the path of its file. It is what the activity
// Compile does, without Temporal.
func (a *Activities) Plan(ctx context.Context, pipeline string, parameters map[string]string) (*plan.Plan, spec.Diagnostics) {
	return nil, nil
}

// Register registers the activities with a worker.
func (a *Activities) Register(r worker.ActivityRegistry) {}

// WorkerOptions are what a worker for these activities needs of the SDK, for heartbeats that bring a cancellation
// within seconds.
func WorkerOptions(cfg Config) worker.Options { return worker.Options{} }
