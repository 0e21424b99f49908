package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/healthpage"
	"github.com/varve-lake/varve/workflows"
)

func newTableMaintain(g *global) *cobra.Command {
	var pipeline string
	var plan, yes bool
	c := &cobra.Command{Use: "maintain TABLE", Short: "Do what a table's policy says now: join files, expire snapshots, remove orphans",
		Long: "maintain says what the table's policy (maintenance and retain of its pipeline) would do and why, and does it when told to:\n" +
			"rows past their time are deleted, files joined, deletes and manifests put in order, old snapshots forgotten and files\n" +
			"that nothing names removed, by a workflow. If the table's maintenance is under way, that one is followed.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: completeTables(g),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := connect(c.Context(), g)
			if err != nil {
				return err
			}
			defer s.close()
			return s.maintain(c, g, workflows.MaintainInput{Table: args[0], Pipeline: pipeline, Reason: "by hand"}, plan, yes)
		}}
	c.Flags().StringVar(&pipeline, "pipeline", "", "the pipeline that declares the policy (default: the first that does)")
	c.Flags().BoolVar(&plan, "plan", false, "only say what would be done")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (s *session) maintain(c *cobra.Command, g *global, in workflows.MaintainInput, plan, yes bool) error {
	out := c.OutOrStdout()
	preview := in
	preview.Preview = true
	would, err := s.maintenance(c.Context(), "preview-"+wire.MaintenanceID(in.Table)+"-"+uuid.NewString()[:8], preview)
	if err != nil {
		return runFailure(err)
	}
	shown := out
	if g.json || !plan {
		shown = c.ErrOrStderr() // the result alone goes to standard output
	}
	if !g.json {
		printSteps(shown, would.Steps)
	}
	if plan && g.json {
		return printJSON(out, would)
	}
	if plan {
		return nil
	}
	due := false
	for _, step := range would.Steps {
		due = due || step.Done
	}
	if due && !yes {
		if err := confirm(c); err != nil {
			return err
		}
	}
	if !due {
		return printMaintained(out, g, would)
	}
	done, err := s.maintenance(c.Context(), wire.MaintenanceID(in.Table), in)
	if failed := maintainedInPart(err); failed != nil {
		if err := printMaintained(out, g, failed); err != nil {
			return err
		}
		return silentError{exitFailed}
	}
	if err != nil {
		return runFailure(err)
	}
	return printMaintained(out, g, done)
}

// maintenance runs the workflow to its end; one of the same id that is under way is followed.
func (s *session) maintenance(ctx context.Context, id string, in workflows.MaintainInput) (*workflows.MaintainResult, error) {
	run, err := s.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: id, TaskQueue: s.env.Queue(), WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, workflows.MaintainTableName, in)
	if err != nil {
		return nil, codedError{fmt.Errorf("start %s: %w", id, err), exitUnreachable}
	}
	var out workflows.MaintainResult
	return &out, run.Get(ctx, &out)
}

// maintainedInPart is what a maintenance did of which a step failed; nil if it failed otherwise.
func maintainedInPart(err error) *workflows.MaintainResult {
	var app *temporal.ApplicationError
	var out workflows.MaintainResult
	if !errors.As(err, &app) || app.Type() != wire.ErrMaintenance || app.Details(&out) != nil {
		return nil
	}
	return &out
}

func printMaintained(out io.Writer, g *global, r *workflows.MaintainResult) error {
	if g.json {
		return printJSON(out, r)
	}
	fmt.Fprintln(out, r.Summary())
	for _, warning := range r.Warnings {
		fmt.Fprintf(out, "warning: %s\n", warning)
	}
	return nil
}

func printSteps(out io.Writer, steps []wire.UpkeepStep) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "step\twhat\tsize\twhy")
	for _, s := range steps {
		bytes := "-"
		if s.Bytes > 0 {
			bytes = healthpage.Bytes(s.Bytes)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Kind, s.What, bytes, clip(s.Why))
	}
	_ = w.Flush()
	for _, s := range steps {
		for _, e := range s.Examples {
			fmt.Fprintf(out, "  %s: %s\n", s.Kind, e)
		}
	}
}
