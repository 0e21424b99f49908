package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/varve-lake/varve/activities/wire"
)

// run is the state of one RunPipeline.
type run struct {
	in       RunInput
	started  time.Time
	stage    string
	compiled wire.Compiled
	tables   []wire.TableResult // as the plan's nodes
	index    map[string]int     // of tables, by name
	wanted   map[string]bool
	finished map[string]bool
}

// RunPipeline compiles a pipeline and builds its tables in the order of the DAG, those that do not depend on each other
// at once. A table that fails stops the tables that depend on it and no others; the run fails when all that could be
// built is built. Its result is a RunResult, which a failed run carries as its error's details.
func RunPipeline(ctx workflow.Context, in RunInput) (*RunResult, error) {
	r := &run{in: in, started: workflow.Now(ctx), stage: "compiling"}
	if err := r.answerQueries(ctx); err != nil {
		return nil, err
	}
	ctx, err := r.prepare(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.describe(ctx); err != nil {
		return nil, err
	}
	r.stage = "building"
	r.buildAll(ctx)
	r.stage = "finished"
	return r.conclude(ctx)
}

func (r *run) answerQueries(ctx workflow.Context) error {
	err := workflow.SetQueryHandler(ctx, QueryProgress, func() (Progress, error) {
		return Progress{Pipeline: r.in.Pipeline, Stage: r.stage, Tables: r.tables}, nil
	})
	if err != nil {
		return err
	}
	return workflow.SetQueryHandler(ctx, QueryRecall, func() (wire.Recalled, error) {
		if r.tables == nil {
			return wire.Recalled{}, fmt.Errorf("the run has no plan yet")
		}
		return r.recalled(), nil
	})
}

// recalled is what a run that resumes this one has to know.
func (r *run) recalled() wire.Recalled {
	out := wire.Recalled{Compiled: r.compiled, Pipeline: r.in.Pipeline, Parameters: r.in.Parameters, Tables: r.in.Tables,
		Branch: r.in.Branch, Merge: r.in.Merge}
	for _, t := range r.tables {
		if succeeded(t.State) {
			out.Done = append(out.Done, t)
		}
	}
	return out
}

// prepare gets a plan, by compiling the pipeline or from the run to resume, on the branch that the run builds on.
func (r *run) prepare(ctx workflow.Context) (workflow.Context, error) {
	var done []wire.TableResult
	if r.in.ResumeOf != "" {
		var err error
		if done, err = r.recall(ctx); err != nil {
			return ctx, err
		}
	}
	ctx, err := r.openBranch(ctx)
	if err != nil {
		return ctx, err
	}
	if r.in.ResumeOf == "" {
		request := wire.CompileRequest{
			Pipeline: r.in.Pipeline, Parameters: r.in.Parameters, Run: workflow.GetInfo(ctx).OriginalRunID,
		}
		if err := workflow.ExecuteActivity(short(ctx), wire.ActivityCompile, request).Get(ctx, &r.compiled); err != nil {
			return ctx, err
		}
	}
	return ctx, r.begin(done)
}

// recall takes over what the run to resume was asked for and has planned, and returns what it got done.
func (r *run) recall(ctx workflow.Context) ([]wire.TableResult, error) {
	var recalled wire.Recalled
	request := wire.RecallRequest{Of: r.in.ResumeOf}
	if err := workflow.ExecuteActivity(short(ctx), wire.ActivityRecall, request).Get(ctx, &recalled); err != nil {
		return nil, err
	}
	if r.in.Pipeline != "" && r.in.Pipeline != recalled.Pipeline {
		return nil, userError("run %s is of pipeline %s, not %s", r.in.ResumeOf, recalled.Pipeline, r.in.Pipeline)
	}
	r.in.Pipeline, r.in.Parameters = recalled.Pipeline, recalled.Parameters
	r.in.Branch, r.in.Merge = recalled.Branch, recalled.Merge
	if len(r.in.Tables) == 0 {
		r.in.Tables = recalled.Tables
	}
	r.compiled = recalled.Compiled
	return recalled.Done, nil
}

// begin puts every wanted table in the state in which the run finds it.
func (r *run) begin(done []wire.TableResult) error {
	r.index = make(map[string]int, len(r.compiled.Nodes))
	r.finished = make(map[string]bool, len(r.compiled.Nodes))
	for _, n := range r.compiled.Nodes {
		r.index[n.Name] = -1
	}
	r.wanted = make(map[string]bool, len(r.compiled.Nodes))
	for _, name := range r.in.Tables {
		if _, known := r.index[name]; !known {
			return userError("pipeline %s builds no table %q: it builds %s", r.in.Pipeline, name, r.names())
		}
		r.wanted[name] = true
	}
	for _, n := range r.compiled.Nodes {
		if len(r.in.Tables) == 0 {
			r.wanted[n.Name] = true
		}
		if r.wanted[n.Name] {
			r.index[n.Name] = len(r.tables)
			r.tables = append(r.tables, wire.TableResult{Table: n.Name, Layer: n.Layer, State: wire.StateWaiting})
		}
	}
	for _, d := range done {
		i, known := r.index[d.Table]
		if !known || i < 0 {
			continue
		}
		d.State = wire.StateDone
		r.tables[i] = d
		r.finished[d.Table] = true
	}
	return nil
}

func (r *run) names() string {
	names := make([]string, len(r.compiled.Nodes))
	for i, n := range r.compiled.Nodes {
		names[i] = n.Name
	}
	return strings.Join(names, ", ")
}

// describe makes the run findable by its pipeline.
func (r *run) describe(ctx workflow.Context) error {
	if !r.compiled.Settings.SearchAttributes {
		return nil
	}
	return workflow.UpsertTypedSearchAttributes(ctx, AttributePipeline.ValueSet(r.in.Pipeline))
}

// conclude says what the run did: as its result, as its error, and in its memo.
func (r *run) conclude(ctx workflow.Context) (*RunResult, error) {
	result := &RunResult{
		Pipeline: r.in.Pipeline, Tables: bounded(r.tables), Warnings: r.compiled.Warnings,
		Seconds: workflow.Now(ctx).Sub(r.started).Seconds(), Branch: r.in.Branch,
	}
	message := result.failure()
	if message == "" && ctx.Err() == nil {
		if message = r.publish(ctx, result); message != "" {
			result.Warnings = append(result.Warnings, message)
		}
	}
	if err := workflow.UpsertMemo(ctx, map[string]any{"summary": result.Summary(), "tables": result.Lines()}); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, temporal.NewCanceledError(result)
	}
	if message != "" {
		return nil, temporal.NewApplicationErrorWithOptions(message, wire.ErrTablesFailed,
			temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{result}})
	}
	r.forgetPlan(ctx)
	return result, nil
}

// forgetPlan removes the plan of a run that is done with it, if it was stored. A failed run keeps it, to be resumed.
func (r *run) forgetPlan(ctx workflow.Context) {
	if r.compiled.Plan.URI == "" || r.compiled.Run == "" {
		return
	}
	ctx, cancel := sweep(ctx)
	defer cancel()
	if err := workflow.ExecuteActivity(ctx, wire.ActivityCleanup, wire.CleanupRequest{Run: r.compiled.Run}).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Warn("the plan is left to maintenance", "uri", r.compiled.Plan.URI, "error", err)
	}
}

func succeeded(state string) bool {
	return state == wire.StateBuilt || state == wire.StateUnchanged || state == wire.StateDone
}

func userError(format string, args ...any) error {
	return temporal.NewNonRetryableApplicationError(fmt.Sprintf(format, args...), wire.ErrUser, nil)
}
