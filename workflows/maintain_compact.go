package workflows

import (
	"errors"
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/varve-lake/varve/activities/wire"
)

const (
	// groupsInPart is the number of groups that are committed together at most: a writer that wins against one commit costs a part.
	groupsInPart = 32
	// partsPerRun bounds a history: so many parts, then the maintenance continues as a new run.
	partsPerRun = 8
)

// compact rewrites the groups of a plan, on all workers, and commits them part by part. A group that fails is left, and so is
// one whose files others have touched. Its error is a cancellation or a ContinueAsNewError.
func (u *upkeep) compact(ctx workflow.Context) error {
	u.stage = wire.UpkeepCompact
	if u.Planned.Job == "" && u.Sum.Why == "" {
		request := wire.PlanCompactionRequest{Upkeep: u.Upkeep, Policy: *u.Surveyed.Policy.Compact}
		err := workflow.ExecuteActivity(long(ctx), wire.ActivityPlanCompaction, request).Get(ctx, &u.Planned)
		if err != nil || u.Planned.Groups == 0 {
			return u.note(ctx, wire.UpkeepCompact, wire.UpkeepStep{What: "nothing to join", Why: u.Planned.Why}, err)
		}
		u.Sum = wire.UpkeepStep{Why: u.Planned.Why, Left: u.Planned.Left}
	}
	part := groupsInPart
	if batch := u.Surveyed.Settings.Batch; batch > 0 {
		part = min(part, batch)
	}
	for done := 0; u.Next < u.Planned.Groups; done++ {
		if u.late(ctx) {
			u.Sum.Left += u.Planned.Groups - u.Next
			break
		}
		if done == partsPerRun || done > 0 && workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			next := u.in
			next.State = &u.MaintainState
			return workflow.NewContinueAsNewError(ctx, MaintainTableName, next)
		}
		if err := u.compactPart(ctx, u.Next, min(u.Next+part, u.Planned.Groups)); err != nil {
			return err
		}
	}
	u.Sum.What = fmt.Sprintf("joined %d files into %d%s", u.Sum.Files, u.Sum.FilesAdded, u.Surveyed.Policy.Compact.Layout())
	if !u.Sum.Done && u.Sum.Error == "" {
		u.Sum.What = "joined no files: others changed them"
	}
	sum, failed := u.Sum, error(nil)
	if sum.Error != "" {
		failed = errors.New(sum.Error)
	}
	return u.note(ctx, wire.UpkeepCompact, sum, failed)
}

// compactPart rewrites the groups from, from+1, … to-1 and commits them.
func (u *upkeep) compactPart(ctx workflow.Context, from, to int) error {
	rewritten := make([]wire.CompactedGroup, to-from)
	atOnce := mergeGroupsAhead * max(u.Surveyed.Settings.Groups, 1)
	err := eachOf(ctx, numbers(from, to), atOnce, func(ctx workflow.Context, g int) error {
		request := wire.CompactGroupRequest{Upkeep: u.Upkeep, Job: u.Planned.Job, Group: g}
		summary := fmt.Sprintf("group %d of %d", g+1, u.Planned.Groups)
		err := workflow.ExecuteActivity(described(long(ctx), summary), wire.ActivityCompactGroup, request).Get(ctx, &rewritten[g-from])
		switch {
		case err == nil:
			u.inPart++
		case !temporal.IsCanceledError(err):
			_, _, reason := outcome(err)
			u.failed(fmt.Sprintf("group %d: %s", g+1, reason))
			err = nil // the others are worth their while
		}
		return err
	})
	for _, g := range rewritten {
		if g.Part != "" {
			u.parts = append(u.parts, g.Part)
		}
		if g.Reason != "" {
			u.Sum.Dropped++
			u.warn("a group of files was left: %s", g.Reason)
		}
	}
	if err != nil {
		return err
	}
	u.inPart = 0
	if err := u.commitPart(ctx); err != nil {
		return err
	}
	u.Next, u.Part = max(u.Next, to), u.Part+1
	return nil
}

// commitPart asks for what is rewritten to become the table's. After that it may be, whatever the answer, so that nothing
// of it is removed here.
func (u *upkeep) commitPart(ctx workflow.Context) error {
	if len(u.parts) == 0 {
		return nil
	}
	request := wire.CommitCompactionRequest{Upkeep: u.Upkeep, Job: u.Planned.Job, Part: u.Part, Parts: u.parts, After: u.Planned.After}
	u.parts = nil
	var done wire.CommittedCompaction
	err := workflow.ExecuteActivity(long(ctx), wire.ActivityCommitCompaction, request).Get(ctx, &done)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		_, class, reason := outcome(err)
		if class == wire.ErrSuperseded { // what follows rests on the same
			u.Next = u.Planned.Groups
		}
		u.failed(reason)
		return nil
	}
	u.Planned.After = done.After
	u.Sum.Done = u.Sum.Done || done.Step.Done
	u.Sum.Files += done.Step.Files
	u.Sum.Bytes += done.Step.Bytes
	u.Sum.FilesAdded += done.Step.FilesAdded
	u.Sum.BytesWritten += done.Step.BytesWritten
	u.Sum.Groups += done.Step.Groups
	u.Sum.Dropped += done.Step.Dropped
	return nil
}

// failed keeps the first error of a group or a commit.
func (u *upkeep) failed(reason string) {
	if u.Sum.Error == "" {
		u.Sum.Error = clip(reason, 1000)
		return
	}
	u.warn("%s", clip(reason, 300))
}
