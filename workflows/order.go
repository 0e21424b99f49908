package workflows

import (
	"errors"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/varve-lake/varve/activities/wire"
)

// buildAll builds every table as soon as those it reads are finished, a bounded number at once. Each table has a
// coroutine of its own; Temporal runs them in the order in which they were started, so the order of children is the
// plan's and the same in every replay.
func (r *run) buildAll(ctx workflow.Context) {
	slots := workflow.NewSemaphore(ctx, int64(max(r.compiled.Settings.Tables, 1)))
	wait := workflow.NewWaitGroup(ctx)
	for _, node := range r.compiled.Nodes {
		if !r.wanted[node.Name] || r.finished[node.Name] {
			continue
		}
		wait.Add(1)
		workflow.GoNamed(ctx, node.Name, func(ctx workflow.Context) {
			defer wait.Done()
			defer func() { r.finished[node.Name] = true }()
			r.buildOne(ctx, node, slots)
		})
	}
	wait.Wait(ctx)
}

func (r *run) buildOne(ctx workflow.Context, node wire.Node, slots workflow.Semaphore) {
	t := &r.tables[r.index[node.Name]]
	if err := workflow.Await(ctx, func() bool { return r.ready(node) }); err != nil {
		t.State = wire.StateCancelled
		return
	}
	if failed := r.blocker(node); failed != "" {
		t.State, t.Reason = wire.StateSkipped, fmt.Sprintf("skipped: because %s failed", failed)
		return
	}
	if err := slots.Acquire(ctx, 1); err != nil {
		t.State = wire.StateCancelled
		return
	}
	defer slots.Release(1)
	r.runChild(ctx, node, t)
}

// ready tells whether every table that node reads is finished, one way or the other.
func (r *run) ready(node wire.Node) bool {
	for _, name := range node.After {
		if r.wanted[name] && !r.finished[name] {
			return false
		}
	}
	return true
}

// blocker names the table whose failure keeps node from being built: of a chain of skipped tables the one that failed.
func (r *run) blocker(node wire.Node) string {
	for _, name := range node.After {
		if !r.wanted[name] {
			continue
		}
		switch t := r.tables[r.index[name]]; t.State {
		case wire.StateFailed, wire.StateCancelled:
			return name
		case wire.StateSkipped:
			return r.blocker(r.node(name))
		}
	}
	return ""
}

func (r *run) node(name string) wire.Node {
	for _, n := range r.compiled.Nodes {
		if n.Name == name {
			return n
		}
	}
	return wire.Node{}
}

// runChild runs the table's BuildTable workflow to its end and keeps its result.
func (r *run) runChild(ctx workflow.Context, node wire.Node, t *wire.TableResult) {
	info := workflow.GetInfo(ctx)
	// The original run id, not the current one: after a reset the same children must be asked for again.
	id := fmt.Sprintf("%s/%s/%s", r.in.Pipeline, info.OriginalRunID, node.Name)
	options := workflow.ChildWorkflowOptions{
		WorkflowID:            id,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WaitForCancellation:   true,
		// A terminated run asks its builds to cancel, so that they clean up.
		ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_REQUEST_CANCEL,
	}
	if r.compiled.Settings.SearchAttributes {
		options.TypedSearchAttributes = temporal.NewSearchAttributes(
			AttributePipeline.ValueSet(r.in.Pipeline), AttributeLayer.ValueSet(node.Layer), AttributeTable.ValueSet(node.Name))
	}
	started := workflow.Now(ctx)
	t.State, t.Workflow = wire.StateRunning, id
	input := BuildInput{
		Pipeline: r.in.Pipeline, Run: info.WorkflowExecution.ID, Table: r.table(node), Settings: r.compiled.Settings,
	}
	var result wire.TableResult
	err := workflow.ExecuteChildWorkflow(workflow.WithChildOptions(ctx, options), BuildTableName, input).Get(ctx, &result)
	if err == nil {
		result.Workflow = id
		*t = result
		return
	}
	t.Seconds = workflow.Now(ctx).Sub(started).Seconds()
	t.State, t.ErrorType, t.Reason = outcome(err)
}

// table is the child's part of the plan.
func (r *run) table(node wire.Node) wire.TableRef {
	ref := wire.TableRef{Name: node.Name, Layer: node.Layer, URI: r.compiled.Plan.URI}
	if p := r.compiled.Plan.Plan; p != nil {
		ref.Table, ref.URI = p.Table(node.Name), ""
	}
	return ref
}

// outcome is the state that an error of a child leaves its table in, with the class and the text for people: the
// innermost application error's, without Temporal's wrapping.
func outcome(err error) (state, class, reason string) {
	if temporal.IsCanceledError(err) {
		return wire.StateCancelled, "", "cancelled"
	}
	state, class, reason = wire.StateFailed, wire.ErrInternal, err.Error()
	var terminated *temporal.TerminatedError
	var timeout *temporal.TimeoutError
	var application *temporal.ApplicationError
	switch {
	case errors.As(err, &application):
		class, reason = application.Type(), application.Message()
	case errors.As(err, &timeout):
		class, reason = wire.ErrPassing, timeout.Error()
	case errors.As(err, &terminated):
		reason = "its workflow was terminated"
	}
	return state, class, reason
}
