package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/workflows"
)

type runFlags struct {
	parameters []string
	tables     []string
	id         string
	detach     bool
	head       []string
	next       bool
	merge      bool
}

func newRun(g *global) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run PIPELINE",
		Short: "Run a pipeline and show what it did",
		Long: "run starts the pipeline, by its name or the path of its file, as a Temporal workflow and follows it to its end.\n\n" +
			"Interrupted, it leaves the run alone on a server that goes on; a run on a server embedded in this command goes on\n" +
			"when the next command embeds one. A run that is under way is followed, not started twice.",
		Example: "  trigger run pipelines/flights.yaml\n  trigger run flights --parameter landing=/data/flights --table silver.flights",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return runPipeline(c, g, f, args[0]) },
	}
	c.Flags().StringArrayVarP(&f.parameters, "parameter", "p", nil, "name=value; may be given again")
	c.Flags().StringArrayVarP(&f.tables, "table", "t", nil, "build only this table; may be given again")
	c.Flags().StringVar(&f.id, "id", "", "workflow id (default: PIPELINE-TIME-RANDOM)")
	c.Flags().StringVar(&g.branch, "branch", "", "build on this branch of the catalog, where it has branches; it is made if it is not there")
	c.Flags().BoolVar(&f.merge, "merge", false, "with --branch: when all is built, merge the branch into the configured one and remove it")
	c.Flags().BoolVar(&f.detach, "detach", false, "start the run, print its id and return (needs a server that stays)")
	c.Flags().StringArrayVar(&f.head, "head", nil, "when the run is done, show the first rows of this table; may be given again")
	c.Flags().BoolVar(&f.next, "next", false, "when the run is done, say what to try next")
	return c
}

func newResume(g *global) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "resume [WORKFLOW-ID]",
		Short: "Go on with a run that failed: only what it did not get done",
		Long: "resume starts a run with the plan of the one given (default: the newest run that failed or was cancelled) and builds\n" +
			"the tables that it did not get done.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return resumeRun(c, g, f, args) },
	}
	c.Flags().StringVar(&f.id, "id", "", "workflow id of the new run")
	c.Flags().BoolVar(&f.detach, "detach", false, "start the run, print its id and return (needs a server that stays)")
	return c
}

func runPipeline(c *cobra.Command, g *global, f runFlags, pipeline string) error {
	name, err := usePipelineFile(g, pipeline)
	if err != nil {
		return err
	}
	in := workflows.RunInput{Pipeline: name, Tables: f.tables, Branch: g.branch, Merge: f.merge}
	if f.merge && g.branch == "" {
		return usageError{errors.New("--merge is for a run on a --branch")}
	}
	if in.Parameters, err = parseParameters(f.parameters); err != nil {
		return err
	}
	s, err := connect(c.Context(), g)
	if err != nil {
		return err
	}
	defer s.close()
	return s.start(c, g, f, in)
}

func resumeRun(c *cobra.Command, g *global, f runFlags, args []string) error {
	s, err := connect(c.Context(), g)
	if err != nil {
		return err
	}
	defer s.close()
	var of string
	if len(args) == 1 {
		of = args[0]
	} else if of, err = s.newestUnfinished(c.Context()); err != nil {
		return err
	}
	return s.start(c, g, f, workflows.RunInput{ResumeOf: of})
}

// usePipelineFile lets a path stand for a pipeline: its folder becomes the folder of pipelines.
func usePipelineFile(g *global, pipeline string) (string, error) {
	ext := filepath.Ext(pipeline)
	if ext != ".yaml" && ext != ".yml" {
		return pipeline, nil
	}
	path := g.path(pipeline)
	if _, err := os.Stat(path); err != nil {
		var cause *fs.PathError // which says the path once more
		if errors.As(err, &cause) {
			err = cause.Err
		}
		return "", codedError{fmt.Errorf("pipeline %s: %w", pipeline, err), exitMistake}
	}
	dir := filepath.Dir(path)
	if g.env.Pipelines != "" && g.path(g.env.Pipelines) != dir {
		return "", usageError{fmt.Errorf("%s does not lie in --pipelines %s", pipeline, g.env.Pipelines)}
	}
	g.env.Pipelines = dir
	return strings.TrimSuffix(filepath.Base(path), ext), nil
}

// path is the absolute path that a relative one of the command line means: it begins at the project's folder.
func (g *global) path(name string) string {
	if !filepath.IsAbs(name) {
		name = filepath.Join(g.env.Root, name)
	}
	if abs, err := filepath.Abs(name); err == nil {
		return abs
	}
	return name
}

func parseParameters(given []string) (workflows.Parameters, error) {
	out := workflows.Parameters{}
	for _, p := range given {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, usageError{fmt.Errorf("--parameter %q: expected name=value", p)}
		}
		if spec.HoldsCredentials(value) { // it would stand in the run's history
			return nil, usageError{fmt.Errorf("--parameter %s: a URI must not hold a user or password: secrets are named by varve.yaml", name)}
		}
		out[name] = value
	}
	return out, nil
}

func (s *session) start(c *cobra.Command, g *global, f runFlags, in workflows.RunInput) error {
	ctx := c.Context()
	if f.detach && s.embedded {
		return usageError{errors.New("--detach needs a server that stays: start `worker --dev`, or configure an address")}
	}
	id := f.id
	if id == "" {
		id = fmt.Sprintf("%s-%s-%s", firstNonEmpty(in.Pipeline, "resume"), time.Now().UTC().Format("20060102T150405Z"), uuid.NewString()[:4])
	}
	run, err := s.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       id,
		TaskQueue:                s.env.Queue(),
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, workflows.RunPipelineName, in)
	if err != nil {
		return codedError{fmt.Errorf("start %s: %w", id, err), exitUnreachable}
	}
	if f.detach {
		fmt.Fprintln(c.OutOrStdout(), run.GetID())
		return nil
	}
	return s.follow(c, g, f, run)
}

// follow shows the run's progress until it ends, and then its result.
func (s *session) follow(c *cobra.Command, g *global, f runFlags, run client.WorkflowRun) error {
	ctx := c.Context()
	p := newProgress(c.ErrOrStderr(), g.json)
	p.started(run.GetID(), s.ui, s.workflowURL(run.GetID(), run.GetRunID()))
	result, err := s.await(ctx, run, p)
	if ctx.Err() != nil {
		p.stopped(fmt.Sprintf("interrupted; the run %s goes on where its server does (`trigger status %s`)", run.GetID(), run.GetID()))
		return silentError{exitInterrupted}
	}
	p.stopped("")
	if result == nil {
		return runFailure(err)
	}
	if g.json {
		if err := json.NewEncoder(c.OutOrStdout()).Encode(result); err != nil {
			return err
		}
	} else {
		printResult(c.OutOrStdout(), result)
		if err := s.after(c, f, result); err != nil {
			return err
		}
	}
	if err != nil {
		if !g.json {
			fmt.Fprintf(c.ErrOrStderr(), "\nThe run failed. When the cause is mended: trigger resume %s\n", run.GetID())
		}
		return silentError{exitFailed}
	}
	return nil
}

// await polls the progress query until the workflow ends. A failed run has a result too: what its tables did.
func (s *session) await(ctx context.Context, run client.WorkflowRun, p *progress) (*workflows.RunResult, error) {
	type outcome struct {
		result workflows.RunResult
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		o.err = run.Get(ctx, &o.result)
		done <- o
	}()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	told := newDetails(s)
	for {
		select {
		case o := <-done:
			result := &o.result
			if o.err != nil {
				result = failedResult(o.err)
			}
			if result != nil { // what came after the last tick
				p.update(&workflows.Progress{Pipeline: result.Pipeline, Tables: result.Tables})
			}
			return result, o.err
		case <-tick.C:
			now := s.progress(ctx, run.GetID(), "")
			told.add(ctx, now)
			p.update(now)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// progress asks the run; a run that does not answer just now has no progress to show.
func (s *session) progress(ctx context.Context, id, runID string) *workflows.Progress {
	p, _ := s.ask(ctx, id, runID)
	return p
}

// ask is progress, and why there is none.
func (s *session) ask(ctx context.Context, id, runID string) (*workflows.Progress, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	answer, err := s.QueryWorkflow(ctx, id, runID, workflows.QueryProgress)
	if err != nil {
		return nil, err
	}
	var out workflows.Progress
	if err := answer.Get(&out); err != nil {
		return nil, err
	}
	return &out, nil
}

// failedResult is what a run that failed says its tables did, nil if it failed before it had any.
func failedResult(err error) *workflows.RunResult {
	var app *temporal.ApplicationError
	if !errors.As(err, &app) || app.Type() != wire.ErrTablesFailed || !app.HasDetails() {
		return nil
	}
	var result workflows.RunResult
	if app.Details(&result) != nil {
		return nil
	}
	return &result
}

// runFailure gives the error of a run that did not come to build tables.
func runFailure(err error) error {
	var (
		app      *temporal.ApplicationError
		canceled *temporal.CanceledError
		missing  *serviceerror.NotFound
		found    spec.Diagnostics
	)
	switch {
	case errors.As(err, &canceled):
		return codedError{errors.New("the run was cancelled"), exitFailed}
	case errors.As(err, &missing):
		return codedError{err, exitMistake}
	case errors.As(err, &app) && app.Type() == wire.ErrUser && app.HasDetails() && app.Details(&found) == nil && len(found) > 0:
		return found
	case errors.As(err, &app) && app.Type() == wire.ErrUser:
		return codedError{errors.New(app.Message()), exitMistake}
	case errors.As(err, &app):
		return codedError{errors.New(app.Message()), exitFailed}
	}
	return err
}

// after shows the rows asked for and what to try next.
func (s *session) after(c *cobra.Command, f runFlags, result *workflows.RunResult) error {
	out := c.OutOrStdout()
	if len(f.head) > 0 {
		env := s.env
		if result.Branch != "" && result.Merged == "" {
			env.Lake.Catalog.Branch = result.Branch
		}
		lake, err := env.OpenLake(c.Context())
		if err != nil {
			return err
		}
		defer func() { _ = lake.Close() }()
		for _, name := range f.head {
			fmt.Fprintf(out, "\n%s\n", name)
			if err := printHead(c.Context(), out, lake, name, 5, "table"); err != nil {
				return err
			}
		}
	}
	if f.next {
		fmt.Fprint(out, nextSteps)
	}
	return nil
}

const nextSteps = `
Next:
  bin/worker --dev                       a worker with Temporal and its UI, to look at this run: http://127.0.0.1:8233
  bin/trigger run flights                the same again: nothing is new, so nothing is loaded
  bin/trigger table list                 the tables, and what is in them
  bin/trigger table snapshots silver.flights
  bin/trigger query "SELECT carrier, sum(flights) AS flights FROM gold.carrier_daily GROUP BY ALL ORDER BY 2 DESC"
  bin/trigger plan flights --explain     what a run would read and write, and why
Everything lies under .varve/; Spark, PyIceberg and DuckDB can read the tables there.
`

func firstNonEmpty(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
