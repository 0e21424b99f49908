package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/payloads"
	"github.com/varve-lake/varve/workflows"
)

func newStatus(g *global) *cobra.Command {
	var n int
	c := &cobra.Command{Use: "status [WORKFLOW-ID]", Short: "The newest runs, or what one run did or is doing", Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := connect(c.Context(), g)
			if err != nil {
				return err
			}
			defer s.close()
			if len(args) == 1 {
				return s.showRun(c, g, args[0])
			}
			return s.listRuns(c, g, n)
		}}
	c.Flags().IntVarP(&n, "runs", "n", 20, "how many runs to list")
	return c
}

func newCancel(g *global) *cobra.Command {
	return &cobra.Command{Use: "cancel WORKFLOW-ID", Short: "Cancel a run; what it committed stays", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := connect(c.Context(), g)
			if err != nil {
				return err
			}
			defer s.close()
			d, err := s.DescribeWorkflowExecution(c.Context(), args[0], "")
			if err != nil {
				return codedError{fmt.Errorf("run %s: %w", args[0], err), exitMistake}
			}
			if status := d.GetWorkflowExecutionInfo().GetStatus(); status != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
				return codedError{fmt.Errorf("run %s is not running: it is %s", args[0], statusName(status)), exitMistake}
			}
			if err := s.CancelWorkflow(c.Context(), args[0], ""); err != nil {
				return fmt.Errorf("cancel %s: %w", args[0], err)
			}
			_ = s.GetWorkflow(c.Context(), args[0], "").Get(c.Context(), nil) // its error is that it was cancelled
			if c.Context().Err() != nil {
				return c.Context().Err()
			}
			fmt.Fprintf(c.OutOrStdout(), "%s is cancelled\n", args[0])
			return nil
		}}
}

// runs lists RunPipeline workflows, the newest first.
func (s *session) runs(ctx context.Context, query string, n int) ([]*workflowpb.WorkflowExecutionInfo, error) {
	var out []*workflowpb.WorkflowExecutionInfo
	var page []byte
	for len(out) < n {
		answer, err := s.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: "WorkflowType = '" + workflows.RunPipelineName + "'" + query, PageSize: int32(min(n, 100)), NextPageToken: page,
		})
		if err != nil {
			return nil, fmt.Errorf("list runs: %w", err)
		}
		out = append(out, answer.GetExecutions()...)
		if page = answer.GetNextPageToken(); len(page) == 0 {
			break
		}
	}
	return out[:min(n, len(out))], nil
}

// newestUnfinished is the run that `resume` without an id goes on with: the newest one that did not get done what it had
// planned. One that failed before it had a plan has nothing to go on with.
func (s *session) newestUnfinished(ctx context.Context) (string, error) {
	runs, err := s.runs(ctx, " AND ExecutionStatus IN ('Failed', 'Canceled', 'Terminated', 'TimedOut')", 20)
	if err != nil {
		return "", err
	}
	for _, r := range runs {
		id := r.GetExecution().GetWorkflowId()
		if p := s.progress(ctx, id, r.GetExecution().GetRunId()); p != nil && len(p.Tables) > 0 {
			return id, nil
		}
	}
	return "", codedError{errors.New("no run failed or was cancelled: there is nothing to resume"), exitMistake}
}

func (s *session) listRuns(c *cobra.Command, g *global, n int) error {
	runs, err := s.runs(c.Context(), "", n)
	if err != nil {
		return err
	}
	type line struct {
		ID      string    `json:"id"`
		RunID   string    `json:"run_id"`
		Status  string    `json:"status"`
		Started time.Time `json:"started"`
		Seconds float64   `json:"seconds"`
		Memo    string    `json:"memo,omitempty"`
	}
	lines := make([]line, len(runs))
	for i, r := range runs {
		end := time.Now()
		if r.GetCloseTime() != nil {
			end = r.GetCloseTime().AsTime()
		}
		lines[i] = line{r.GetExecution().GetWorkflowId(), r.GetExecution().GetRunId(), statusName(r.GetStatus()),
			r.GetStartTime().AsTime(), end.Sub(r.GetStartTime().AsTime()).Seconds(), s.memo(r, "summary")}
	}
	if g.json {
		return printJSON(c.OutOrStdout(), lines)
	}
	w := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "run\tstatus\tstarted\tseconds\tsummary")
	for _, l := range lines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%.1f\t%s\n", l.ID, l.Status, stamp(l.Started), l.Seconds, l.Memo)
	}
	return w.Flush()
}

func (s *session) showRun(c *cobra.Command, g *global, id string) error {
	d, err := s.DescribeWorkflowExecution(c.Context(), id, "")
	if err != nil {
		return codedError{fmt.Errorf("run %s: %w", id, err), exitMistake}
	}
	status := d.GetWorkflowExecutionInfo().GetStatus()
	p, err := s.ask(c.Context(), id, "")
	if err != nil && status != enums.WORKFLOW_EXECUTION_STATUS_RUNNING {
		p, err = s.ended(c.Context(), id, err)
	}
	if errors.Is(err, payloads.ErrUnknownKey) || errors.Is(err, payloads.ErrUnreadable) {
		return codedError{fmt.Errorf("run %s is %s: %w", id, statusName(status), err), exitMistake}
	}
	if err != nil {
		return codedError{fmt.Errorf("run %s is %s; no worker answers what its tables did: %w", id, statusName(status), err), exitUnreachable}
	}
	for i := range p.Tables {
		if t := &p.Tables[i]; t.State == wire.StateRunning && t.Workflow != "" {
			if now := s.tableProgress(c.Context(), t.Workflow); now != nil {
				t.Reason = now.String()
			}
		}
	}
	if g.json {
		return printJSON(c.OutOrStdout(), struct {
			Status string `json:"status"`
			*workflows.Progress
		}{statusName(status), p})
	}
	fmt.Fprintf(c.OutOrStdout(), "%s is %s\n", id, statusName(status))
	info := d.GetWorkflowExecutionInfo()
	end := time.Now()
	if info.GetCloseTime() != nil {
		end = info.GetCloseTime().AsTime()
	}
	if status == enums.WORKFLOW_EXECUTION_STATUS_FAILED && len(p.Tables) == 0 {
		// It failed before it had tables, so its own error says what there is to say.
		return runFailure(s.GetWorkflow(c.Context(), id, "").Get(c.Context(), nil))
	}
	printResult(c.OutOrStdout(), &workflows.RunResult{Pipeline: p.Pipeline, Tables: p.Tables, Seconds: end.Sub(info.GetStartTime().AsTime()).Seconds()})
	return nil
}

// ended is what the result of a run that has ended says of its tables, which needs no worker; else why none answered.
func (s *session) ended(ctx context.Context, id string, unanswered error) (*workflows.Progress, error) {
	var result workflows.RunResult
	switch err := s.GetWorkflow(ctx, id, "").Get(ctx, &result); {
	case err == nil:
		return &workflows.Progress{Pipeline: result.Pipeline, Tables: result.Tables}, nil
	case errors.Is(err, payloads.ErrUnknownKey), errors.Is(err, payloads.ErrUnreadable):
		return nil, err
	default:
		if failed := failedResult(err); failed != nil {
			return &workflows.Progress{Pipeline: failed.Pipeline, Tables: failed.Tables}, nil
		}
	}
	return nil, unanswered
}

// statusName is Temporal's name of a status, in lower case: running, completed, failed, canceled, ...
func statusName(s enums.WorkflowExecutionStatus) string { return strings.ToLower(s.String()) }

// memo is a line of a run's memo, or why it can't be read.
func (s *session) memo(r *workflowpb.WorkflowExecutionInfo, key string) string {
	payload, ok := r.GetMemo().GetFields()[key]
	if !ok {
		return ""
	}
	var line string
	if err := s.converter.FromPayload(payload, &line); err != nil {
		return err.Error()
	}
	return line
}
