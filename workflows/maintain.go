package workflows

import (
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/varve-lake/varve/activities/wire"
)

// upkeep is the state of one MaintainTable.
type upkeep struct {
	MaintainState
	in     MaintainInput
	stage  string
	inPart int      // groups of the part under way that are rewritten
	parts  []string // rewritten, and no commit was asked to use them
}

// MaintainTable keeps a table as its policy says: rows past their time are deleted, files joined, deletes and manifests put in
// order, old snapshots forgotten and files that nothing names removed, in this order, so that what one leaves behind the next can take. A step that fails
// keeps none of the others from being done; the workflow fails in the end.
//
// At most one is at work on a table, the one whose id is wire.MaintenanceID: any other, such as one that a schedule
// started, has that one started as its child, or ends if it is under way.
func MaintainTable(ctx workflow.Context, in MaintainInput) (*MaintainResult, error) {
	if in.Table == "" {
		return nil, userError("maintain: no table is named")
	}
	id := wire.MaintenanceID(in.Table)
	if !in.Preview && workflow.GetInfo(ctx).WorkflowExecution.ID != id {
		return maintainAs(ctx, id, in)
	}
	u := &upkeep{in: in, stage: "surveying"}
	if err := workflow.SetQueryHandler(ctx, QueryProgress, u.progress); err != nil {
		return nil, err
	}
	err := u.begin(ctx)
	if err == nil && !in.Preview {
		err = u.keep(ctx)
	}
	if workflow.IsContinueAsNewError(err) {
		return nil, err
	}
	if !in.Preview {
		u.cleanUp(ctx)
	}
	u.stage = "finished"
	if err != nil {
		return nil, err
	}
	return u.conclude(ctx)
}

// maintainAs has the table maintained under the one id, and waits for it.
func maintainAs(ctx workflow.Context, id string, in MaintainInput) (*MaintainResult, error) {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            id,
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WaitForCancellation:   true,
		ParentClosePolicy:     enumspb.PARENT_CLOSE_POLICY_REQUEST_CANCEL,
	})
	var result MaintainResult
	err := workflow.ExecuteChildWorkflow(ctx, MaintainTableName, in).Get(ctx, &result)
	var running *temporal.ChildWorkflowExecutionAlreadyStartedError
	if errors.As(err, &running) {
		result = MaintainResult{Table: in.Table, Reason: in.Reason, Skipped: "its maintenance is under way"}
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return &result, workflow.UpsertMemo(ctx, map[string]any{"summary": result.Summary()})
}

// maintainAfter starts the maintenance of a table whose build has crossed a threshold, and does not wait for it. One that is
// under way is as good.
func maintainAfter(ctx workflow.Context, pipeline, table, reason string) error {
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            wire.MaintenanceID(table),
		WorkflowIDReusePolicy: enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		ParentClosePolicy:     enumspb.PARENT_CLOSE_POLICY_ABANDON,
	})
	in := MaintainInput{Table: table, Pipeline: pipeline, Reason: reason}
	err := workflow.ExecuteChildWorkflow(ctx, MaintainTableName, in).GetChildWorkflowExecution().Get(ctx, nil)
	var running *temporal.ChildWorkflowExecutionAlreadyStartedError
	if errors.As(err, &running) {
		return nil
	}
	return err
}

func (u *upkeep) progress() (MaintainProgress, error) {
	return MaintainProgress{
		Table: u.in.Table, Stage: u.stage, Groups: u.Planned.Groups, GroupsDone: u.Next + u.inPart, Steps: u.Steps, Began: u.Upkeep.Began,
	}, nil
}

// begin takes up where the chain's earlier run left off, or looks at the table.
func (u *upkeep) begin(ctx workflow.Context) error {
	if u.in.State != nil {
		u.MaintainState = *u.in.State
		return nil
	}
	info := workflow.GetInfo(ctx)
	u.Upkeep = wire.Upkeep{Table: u.in.Table, Workflow: info.WorkflowExecution.ID, FirstRun: info.FirstRunID, Began: workflow.Now(ctx)}
	request := wire.SurveyRequest{Upkeep: u.Upkeep, Pipeline: u.in.Pipeline, Preview: u.in.Preview}
	if err := workflow.ExecuteActivity(short(ctx), wire.ActivitySurvey, request).Get(ctx, &u.Surveyed); err != nil {
		return err
	}
	u.Steps = u.Surveyed.Steps
	u.Surveyed.Steps = nil
	if !u.Surveyed.Settings.SearchAttributes {
		return nil
	}
	updates := []temporal.SearchAttributeUpdate{AttributeTable.ValueSet(u.in.Table)}
	if u.Surveyed.Pipeline != "" {
		updates = append(updates, AttributePipeline.ValueSet(u.Surveyed.Pipeline))
	}
	return workflow.UpsertTypedSearchAttributes(ctx, updates...)
}

// keep does what the policy asks for. Its error is a cancellation or a ContinueAsNewError.
func (u *upkeep) keep(ctx workflow.Context) error {
	policy := u.Surveyed.Policy
	if r := policy.Retain; r != nil && !u.did(wire.UpkeepRetain) {
		u.stage = wire.UpkeepRetain
		if err := u.step(ctx, wire.UpkeepRetain, wire.ActivityRetain, wire.RetainRequest{Upkeep: u.Upkeep, Retain: *r, Expire: policy.Expire}); err != nil {
			return err
		}
	}
	if policy.Compact != nil && !u.did(wire.UpkeepCompact) {
		if err := u.compact(ctx); err != nil {
			return err
		}
	}
	if err := u.minor(ctx); err != nil {
		return err
	}
	if e := policy.Expire; e != nil && !u.did(wire.UpkeepExpire) {
		u.stage = wire.UpkeepExpire
		request := wire.ExpireRequest{Upkeep: u.Upkeep, Policy: *e}
		if err := u.step(ctx, wire.UpkeepExpire, wire.ActivityExpire, request); err != nil {
			return err
		}
	}
	if o := policy.RemoveOrphans; o != nil && !u.did(wire.UpkeepOrphans) {
		u.stage = wire.UpkeepOrphans
		return u.step(ctx, wire.UpkeepOrphans, wire.ActivityOrphans, wire.OrphansRequest{Upkeep: u.Upkeep, Policy: *o})
	}
	return nil
}

// minor does what changes neither rows nor data files: after compaction, which takes the deletes of what it rewrites.
func (u *upkeep) minor(ctx workflow.Context) error {
	policy := u.Surveyed.Policy
	if d := policy.MergeDeletes; d != nil && !u.did(wire.UpkeepDeletes) {
		u.stage = wire.UpkeepDeletes
		if err := u.step(ctx, wire.UpkeepDeletes, wire.ActivityMergeDeletes, wire.MergeDeletesRequest{Upkeep: u.Upkeep, Policy: *d}); err != nil {
			return err
		}
	}
	if d := policy.RemoveDangling; d != nil && !u.did(wire.UpkeepDangling) {
		u.stage = wire.UpkeepDangling
		if err := u.step(ctx, wire.UpkeepDangling, wire.ActivityDanglingDeletes, wire.DanglingRequest{Upkeep: u.Upkeep, Policy: *d}); err != nil {
			return err
		}
	}
	if m := policy.Manifests; m != nil && !u.did(wire.UpkeepManifests) {
		u.stage = wire.UpkeepManifests
		return u.step(ctx, wire.UpkeepManifests, wire.ActivityManifests, wire.ManifestsRequest{Upkeep: u.Upkeep, Policy: *m})
	}
	return nil
}

func (u *upkeep) did(kind string) bool {
	for _, s := range u.Steps {
		if s.Kind == kind {
			return true
		}
	}
	return false
}

// step does one kind of upkeep by one activity. That it fails is noted.
func (u *upkeep) step(ctx workflow.Context, kind, activity string, request any) error {
	var done wire.UpkeepStep
	err := workflow.ExecuteActivity(long(ctx), activity, request).Get(ctx, &done)
	return u.note(ctx, kind, done, err)
}

// note keeps what a step came to. Only a cancellation is passed on.
func (u *upkeep) note(ctx workflow.Context, kind string, done wire.UpkeepStep, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	done.Kind = kind
	if err != nil {
		_, _, done.Error = outcome(err)
	}
	u.Steps = append(u.Steps, done)
	return nil
}

func (u *upkeep) warn(format string, args ...any) {
	switch {
	case len(u.Warnings) < maxWarnings:
		u.Warnings = append(u.Warnings, fmt.Sprintf(format, args...))
	case len(u.Warnings) == maxWarnings:
		u.Warnings = append(u.Warnings, "and more")
	}
}

// cleanUp removes what was staged, and files of groups that no commit was asked to use, whatever the end.
func (u *upkeep) cleanUp(ctx workflow.Context) {
	if u.Planned.Job == "" {
		return // nothing was staged
	}
	u.stage = "cleaning up"
	ctx, cancel := sweep(ctx)
	defer cancel()
	request := wire.EndMaintenanceRequest{Upkeep: u.Upkeep, Discard: u.parts}
	if err := workflow.ExecuteActivity(ctx, wire.ActivityEndMaintenance, request).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Warn("staging is left to the next maintenance", "table", u.in.Table, "error", err)
		u.warn("the staging area could not be removed; the removal of orphans will")
	}
}

// conclude says what was done: as the result, as the error of a maintenance of which a step failed, and in the memo.
func (u *upkeep) conclude(ctx workflow.Context) (*MaintainResult, error) {
	result := &MaintainResult{
		Table: u.in.Table, Pipeline: u.Surveyed.Pipeline, Reason: u.in.Reason, Preview: u.in.Preview, Steps: u.Steps, Warnings: u.Warnings,
		Seconds: workflow.Now(ctx).Sub(u.Upkeep.Began).Seconds(),
	}
	if u.in.Preview {
		return result, nil
	}
	if err := workflow.UpsertMemo(ctx, map[string]any{"summary": result.Summary()}); err != nil {
		return nil, err
	}
	if message := result.failure(); message != "" {
		return nil, temporal.NewApplicationErrorWithOptions(message, wire.ErrMaintenance,
			temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{result}})
	}
	return result, nil
}

// late tells whether the budget of time for a compaction is spent.
func (u *upkeep) late(ctx workflow.Context) bool {
	budget := time.Duration(u.Surveyed.Policy.Compact.MaxTime) * time.Second
	return budget > 0 && workflow.Now(ctx).Sub(u.Upkeep.Began) > budget
}
