// Package activities adapts the inputs of workflows to sources, transforms and tables. It holds no logic of its own
// about rows: it opens, connects and closes, heartbeats, and gives errors their class.
//
// A build goes Prepare, StageGroup for each group of files, Refine if rows have to be seen together, Commit, Cleanup. A
// Commit that finds a large MERGE to do, or files to look through again after a conflict, divides it, and is asked again after
// a MergeGroup for each group.
// Every one of them may be run twice, at once or one after the other, and killed at any instruction: what they stage has
// names of its own for each attempt, and only Commit changes a table, by the commit protocol of tables/commit.
package activities

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/durable"
	"github.com/varve-lake/varve/sources"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/transforms/sql"
)

// Config is a worker's own. The zero values of limits are usable.
type Config struct {
	PipelinesDir string        // the folder of *.yaml pipelines
	Root         string        // where the relative globs of pipelines begin; the working directory if empty
	Environment  string        // name of the environment in varve.yaml; recorded in plans
	Lake         tables.Config // where tables are
	WorkDir      string        // scratch space; the system's if empty
	Memory       int64         // bytes that the worker may hold, roughly, divided as budget.go says; 0 means 2 GiB
	Parallelism  int           // threads of one activity; 0 means the number of processors
	Tables       int           // tables of a run built at once; 0 means 4
	Groups       int           // groups of a table staged at once; 0 means twice Parallelism
	GroupFiles   int           // files in a group at most; 0 means 256
	GroupBytes   int64         // bytes of files in a group, roughly at most; 0 means 256 MiB
	Batch        int           // groups staged or merged before their results are gathered; 0 means 250
	// FanOut is how many bytes of candidate files a MERGE may have before they are divided into groups, each an activity
	// of its own; 0 means 2 GiB. A group has a quarter of it, or more where there would be very many.
	FanOut int64
	// Secrets are the environment variables that hold secrets: no pipeline may refer to them.
	Secrets []string
	// SearchAttributes says that the namespace has VarvePipeline, VarveLayer and VarveTable.
	SearchAttributes bool
	// ConflictAttribute says that it has VarveConflicts.
	ConflictAttribute bool
}

func (c Config) withDefaults() Config {
	c.Memory = or(c.Memory, 2<<30)
	c.Parallelism = or(c.Parallelism, runtime.NumCPU())
	c.Tables = or(c.Tables, 4)
	c.Groups = or(c.Groups, 2*c.Parallelism)
	c.GroupFiles = or(c.GroupFiles, 256)
	c.GroupBytes = or(c.GroupBytes, 256<<20)
	c.Batch = or(c.Batch, 250)
	c.FanOut = or(c.FanOut, 2<<30)
	c.WorkDir = or(c.WorkDir, os.TempDir())
	return c
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// Activities are the activities of one worker over one lake.
type Activities struct {
	cfg   Config
	lake  *tables.Lake
	store sources.Store
	jobs  cache
	// memory is what activities take from before they hold rows.
	memory *budget
	// longest is how long the longest build has been under way, and reading how long the longest that reads snapshots.
	longest, reading func(context.Context) (time.Duration, error)

	mu     sync.Mutex
	engine *sql.Engine // opened when first needed
}

// Open opens the lake.
func Open(ctx context.Context, cfg Config) (*Activities, error) {
	cfg = cfg.withDefaults()
	if cfg.Lake.Parallelism == 0 {
		cfg.Lake.Parallelism = cfg.Parallelism
	}
	cfg.Lake.MemoryLimit = cfg.share() // the lake's operations run inside of activities, some at once
	if err := durable.MkdirAll(cfg.WorkDir); err != nil {
		return nil, fmt.Errorf("scratch space: %w", err)
	}
	cfg.Lake.Commit.Ended = countCommit
	lake, err := tables.OpenLake(ctx, cfg.Lake)
	if err != nil {
		return nil, fmt.Errorf("open the lake: %w", err)
	}
	files := sources.Anywhere{Local: sources.Local{Root: cfg.Root, TempDir: cfg.WorkDir}, Objects: lake.Catalog().Stores().Objects()}
	return &Activities{cfg: cfg, lake: lake, store: files, memory: newBudget(cfg.activityMemory()), longest: longestBuild, reading: longestReading}, nil
}

// Lake is the open lake.
func (a *Activities) Lake() *tables.Lake { return a.lake }

// Close closes the lake.
func (a *Activities) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var err error
	if a.engine != nil {
		err = a.engine.Close()
		a.engine = nil
	}
	return errors.Join(err, a.lake.Close())
}

// sql is the worker's one SQL engine; its queries share a quarter of the worker's memory.
func (a *Activities) sql() (*sql.Engine, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.engine == nil {
		engine, err := sql.Open(sql.Options{MemoryLimit: a.cfg.sqlMemory(), TempDir: a.cfg.WorkDir, Threads: a.cfg.Parallelism})
		if err != nil {
			return nil, err
		}
		a.engine = engine
	}
	return a.engine, nil
}

// Register registers the activities with a worker.
func (a *Activities) Register(r worker.ActivityRegistry) {
	register(r, wire.ActivityCompile, a.compile)
	register(r, wire.ActivityRecall, a.recall)
	register(r, wire.ActivityPrepare, a.prepare)
	register(r, wire.ActivityExtend, a.extend)
	register(r, wire.ActivityStageGroup, within(a, a.stageGroup))
	register(r, wire.ActivityGather, a.gather)
	register(r, wire.ActivityRefine, within(a, a.refine))
	register(r, wire.ActivityMergeGroup, a.mergeGroup)
	register(r, wire.ActivityCommit, a.commit)
	register(r, wire.ActivityCleanup, a.cleanup)
	register(r, wire.ActivityOpenBranch, a.openBranch)
	register(r, wire.ActivityMergeBranch, a.mergeBranch)
	register(r, wire.ActivityDropBranch, a.dropBranch)
	register(r, wire.ActivitySurvey, a.survey)
	register(r, wire.ActivityRetain, within(a, a.retain))
	register(r, wire.ActivityPlanCompaction, a.planCompaction)
	register(r, wire.ActivityCompactGroup, within(a, a.compactGroup))
	register(r, wire.ActivityCommitCompaction, a.commitCompaction)
	register(r, wire.ActivityMergeDeletes, a.mergeDeletes)
	register(r, wire.ActivityDanglingDeletes, a.danglingDeletes)
	register(r, wire.ActivityManifests, a.rewriteManifests)
	register(r, wire.ActivityExpire, a.expire)
	register(r, wire.ActivityOrphans, a.orphans)
	register(r, wire.ActivityEndMaintenance, a.endMaintenance)
}

// register wraps an activity with what they all need: a heartbeat, and an error that has its class.
func register[In, Out any](r worker.ActivityRegistry, name string, run func(context.Context, *pulse, In) (Out, error)) {
	wrapped := func(ctx context.Context, in In) (out Out, err error) {
		p, stop := startPulse(ctx)
		defer stop()
		defer func() {
			if v := recover(); v != nil {
				err = panicked(name, v)
			}
			err = classify(ctx, err)
		}()
		return run(tables.OnBranch(ctx, wire.Branch(ctx)), p, in)
	}
	r.RegisterActivityWithOptions(wrapped, activity.RegisterOptions{Name: name})
}

// WorkerOptions are what a worker for these activities needs of the SDK, for heartbeats that bring a cancellation
// within seconds.
func WorkerOptions(cfg Config) worker.Options {
	return worker.Options{
		MaxConcurrentActivityExecutionSize: cfg.withDefaults().atOnce(),
		MaxHeartbeatThrottleInterval:       2 * time.Second,
		DefaultHeartbeatThrottleInterval:   2 * time.Second,
	}
}
