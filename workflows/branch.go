package workflows

import (
	"errors"
	"fmt"
	"slices"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/varve-lake/varve/activities/wire"
)

// openBranch has the run build on its branch, if it has one, and makes that where it is not there.
func (r *run) openBranch(ctx workflow.Context) (workflow.Context, error) {
	if r.in.Branch == "" {
		if r.in.Merge {
			return ctx, userError("merge is for a run on a branch")
		}
		return ctx, nil
	}
	err := workflow.ExecuteActivity(short(ctx), wire.ActivityOpenBranch, wire.BranchRequest{Branch: r.in.Branch}).Get(ctx, nil)
	return wire.OnBranch(ctx, r.in.Branch), err
}

// publish merges the branch of a run that got all done, and removes it. That it can't be merged fails the run; the branch
// is kept, as it is when a table failed.
func (r *run) publish(ctx workflow.Context, result *RunResult) (failure string) {
	if !r.in.Merge {
		return ""
	}
	request := wire.BranchRequest{Branch: r.in.Branch, Seen: r.seen()}
	var merged wire.BranchMerged
	if err := workflow.ExecuteActivity(short(ctx), wire.ActivityMergeBranch, request).Get(ctx, &merged); err != nil {
		return fmt.Sprintf("branch %s was not merged: %s", r.in.Branch, told(err))
	}
	result.Merged = merged.Into
	request = wire.BranchRequest{Branch: r.in.Branch, Hash: merged.Hash}
	if err := workflow.ExecuteActivity(short(ctx), wire.ActivityDropBranch, request).Get(ctx, nil); err != nil {
		result.Warnings = append(result.Warnings, fmt.Sprintf("branch %s is merged, and was not removed: %s", r.in.Branch, told(err)))
	}
	return ""
}

// seen are the commits of the branch as of which tables were built. A worker of an earlier version tells none: what it has built would
// be left out of a merge up to those of the others, so that none is named, and all is merged.
func (r *run) seen() (out []string) {
	for _, t := range r.tables {
		if t.Commit == "" && (t.State == wire.StateBuilt || t.SnapshotID != 0) {
			return nil
		}
		if t.Commit != "" && !slices.Contains(out, t.Commit) {
			out = append(out, t.Commit)
		}
	}
	return out
}

// told is what an activity says of its failure, without what Temporal says of the activity.
func told(err error) string {
	var said *temporal.ApplicationError
	if errors.As(err, &said) {
		return said.Message()
	}
	return err.Error()
}
