package tables

import (
	"context"
	"fmt"

	"github.com/varve-lake/varve/tables/maintain"
)

// ExpireResult is what an expiry did.
type ExpireResult struct {
	Result
	Snapshots  int      `json:"snapshots"`            // expired
	Refs       []string `json:"refs,omitempty"`       // branches and tags past their own age, removed
	FilesSwept int      `json:"files_swept"`          // that only expired snapshots named
	FilesLeft  []string `json:"files_left,omitempty"` // that could not be removed: orphans
}

// Expire removes old snapshots, and then the files that no snapshot names any more. Snapshots that a branch or tag points
// at stay, and so does what was the head less than OlderThan ago. Files are removed only when the commit is known to be in
// the table; what of them cannot be removed is in the result and no error.
func (t *Table) Expire(ctx context.Context, opts CommitOptions, e maintain.ExpireOptions) (ExpireResult, error) {
	if e.Now == nil {
		e.Now = t.lake.cfg.Commit.Now
	}
	if e.Removed == nil {
		e.Removed = t.lake.cache.Forget
	}
	expiry, err := maintain.NewExpiry(e)
	if err != nil {
		return ExpireResult{}, fmt.Errorf("%s: %w", t.name, err)
	}
	opts.Checkpoint, opts.upkeep = nil, true
	result, err := t.commit(ctx, "expire snapshots of", opts, Result{}, expiry.Change)
	if err == nil && result.Committed {
		if sweepErr := expiry.Sweep(ctx, t.tbl); sweepErr != nil { // the snapshots are gone all the same
			result.Warnings = append(result.Warnings, fmt.Sprintf("files of expired snapshots are left as orphans: %v", sweepErr))
		}
	}
	s := expiry.Stats()
	return ExpireResult{Result: result, Snapshots: s.Snapshots, Refs: s.Refs, FilesSwept: s.FilesRemoved, FilesLeft: s.FilesLeft}, err
}
