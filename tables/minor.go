package tables

import (
	"context"
	"fmt"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/maintain"
)

// MergeDeletesResult is what MergeDeletes did.
type MergeDeletesResult struct {
	Result
	maintain.MergedDeletes
}

// MergeDeletes puts the position deletes of each data file together into one, or in format 3 into a deletion vector. No row
// changes. It yields to writers: what concerns files that one of them has removed meanwhile is dropped, and deletes that one has
// added stay beside.
func (t *Table) MergeDeletes(ctx context.Context, opts CommitOptions, o maintain.MergeDeletesOptions) (MergeDeletesResult, error) {
	if o.Parallelism == 0 {
		o.Parallelism = t.lake.cfg.Parallelism
	}
	m, err := maintain.NewDeleteMerge(o)
	if err != nil {
		return MergeDeletesResult{}, fmt.Errorf("%s: %w", t.name, err)
	}
	result, err := t.upkeep(ctx, "merge deletes of", opts, m.Change, m.Abort)
	return MergeDeletesResult{result, m.Stats()}, err
}

// PlanMergeDeletes tells what MergeDeletes would put together of the table as it was loaded.
func (t *Table) PlanMergeDeletes(ctx context.Context, o maintain.MergeDeletesOptions) (maintain.MergedDeletes, error) {
	m, err := maintain.NewDeleteMerge(o)
	if err != nil {
		return maintain.MergedDeletes{}, fmt.Errorf("%s: %w", t.name, err)
	}
	return m.Plan(ctx, t.tbl)
}

// DanglingResult is what RemoveDanglingDeletes did.
type DanglingResult struct {
	Result
	maintain.DanglingStats
}

// RemoveDanglingDeletes takes delete files that apply to no data file out of the table. The files themselves go when no snapshot
// names them any more.
func (t *Table) RemoveDanglingDeletes(ctx context.Context, opts CommitOptions, o maintain.DanglingOptions) (DanglingResult, error) {
	d, err := maintain.NewDangling(o)
	if err != nil {
		return DanglingResult{}, fmt.Errorf("%s: %w", t.name, err)
	}
	result, err := t.upkeep(ctx, "remove dangling deletes of", opts, d.Change, func() {})
	return DanglingResult{result, d.Stats()}, err
}

// PlanDanglingDeletes tells what RemoveDanglingDeletes would remove of the table as it was loaded.
func (t *Table) PlanDanglingDeletes(ctx context.Context, o maintain.DanglingOptions) (maintain.DanglingStats, error) {
	d, err := maintain.NewDangling(o)
	if err != nil {
		return maintain.DanglingStats{}, fmt.Errorf("%s: %w", t.name, err)
	}
	_, err = d.Plan(ctx, t.tbl)
	return d.Stats(), err
}

// RewriteManifestsResult is what RewriteManifests did.
type RewriteManifestsResult struct {
	Result
	maintain.RewrittenManifests
}

// RewriteManifests lays the entries of the table's manifests by partition, in manifests near a target size. No file changes. It
// yields to writers: if they keep replacing the manifests that it rewrites, it leaves them.
func (t *Table) RewriteManifests(ctx context.Context, opts CommitOptions, o maintain.ManifestOptions) (RewriteManifestsResult, error) {
	m, err := maintain.NewManifestRewrite(o)
	if err != nil {
		return RewriteManifestsResult{}, fmt.Errorf("%s: %w", t.name, err)
	}
	result, err := t.upkeep(ctx, "rewrite manifests of", opts, m.Change, m.Abort)
	return RewriteManifestsResult{result, m.Stats()}, err
}

// PlanManifests tells what RewriteManifests would write anew of the table as it was loaded.
func (t *Table) PlanManifests(ctx context.Context, o maintain.ManifestOptions) (maintain.RewrittenManifests, error) {
	m, err := maintain.NewManifestRewrite(o)
	if err != nil {
		return maintain.RewrittenManifests{}, fmt.Errorf("%s: %w", t.name, err)
	}
	return m.Plan(ctx, t.tbl)
}

// upkeep commits what changes no row, and yields to writers. What was written and is certainly not committed is removed.
func (t *Table) upkeep(ctx context.Context, what string, opts CommitOptions, plan commit.Planner, abort func()) (Result, error) {
	opts.Checkpoint, opts.upkeep, opts.yields = nil, true, true
	result, err := t.commit(ctx, what, opts, Result{}, plan)
	if err != nil && commit.Safe(err) || err == nil && !result.Committed && !result.Sent {
		abort()
	}
	return result, err
}
