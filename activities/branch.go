package activities

import (
	"context"
	"errors"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/tables"
)

// openBranch makes the branch that a run builds on, of where the configured one stands, unless it is there.
func (a *Activities) openBranch(ctx context.Context, _ *pulse, in wire.BranchRequest) (struct{}, error) {
	c := a.lake.Catalog()
	if own := c.Configured(); own == in.Branch {
		return struct{}{}, userError("branch %s is the one that is built on anyhow: name another one, or none", in.Branch)
	}
	_, err := c.CreateBranch(ctx, in.Branch, c.Configured())
	return struct{}{}, err
}

// mergeBranch makes what a run built on its branch the configured one's, and not what others have committed to the branch since. It may
// be done again.
func (a *Activities) mergeBranch(ctx context.Context, _ *pulse, in wire.BranchRequest) (wire.BranchMerged, error) {
	c := a.lake.Catalog()
	out := wire.BranchMerged{Into: c.Configured()}
	merged, err := c.MergeBranch(ctx, in.Branch, out.Into, in.Seen...)
	out.Hash = merged.Hash
	if errors.Is(err, tables.ErrConflict) { // which stays one
		return out, userError("%v; what %s has now is not what the branch was made of: build again, on a new branch", err, out.Into)
	}
	return out, err
}

// dropBranch removes a branch that was merged, but not what others have committed to it since.
func (a *Activities) dropBranch(ctx context.Context, _ *pulse, in wire.BranchRequest) (struct{}, error) {
	err := a.lake.Catalog().DropBranch(ctx, in.Branch, in.Hash)
	if errors.Is(err, tables.ErrConflict) {
		return struct{}{}, userError("it is kept, since something was committed to it after what was merged: %v", err)
	}
	return struct{}{}, err
}
