package tables

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/maintain"
)

// CompactResult is what a compaction did. Rows are neither inserted nor deleted by one.
type CompactResult struct {
	Result
	Groups        int   `json:"groups"`                   // of files, rewritten
	GroupsDropped int   `json:"groups_dropped,omitempty"` // left to a writer that touched their files meanwhile
	GroupsLeft    int   `json:"groups_left,omitempty"`    // for which the budget had no room
	DeletesGone   int   `json:"deletes_gone,omitempty"`   // delete files that are applied now
	Rewritten     int64 `json:"rewritten"`                // rows
	BytesCopied   int64 `json:"bytes_copied,omitempty"`   // of those written, what was not decoded
}

func (r *CompactResult) counted(s maintain.CompactStats) {
	r.Groups, r.GroupsDropped, r.GroupsLeft, r.DeletesGone, r.Rewritten = s.Groups, s.GroupsDropped, s.GroupsLeft, s.DeletesGone, s.Rows
	r.BytesRead, r.BytesWritten, r.BytesCopied = s.BytesRead, s.BytesWritten, s.BytesCopied
}

// Compact rewrites small files, files of which many rows are deleted, and partitions that are badly clustered. It yields
// to writers: groups of files that one of them touched while it ran are dropped, and the others commit. It is
// PlanCompaction, CompactGroup and CommitCompaction in one process.
func (t *Table) Compact(ctx context.Context, opts CommitOptions, c maintain.CompactOptions) (CompactResult, error) {
	c, err := t.bound(c)
	if err != nil {
		return CompactResult{}, err
	}
	compaction, err := maintain.NewCompaction(c)
	if err != nil {
		return CompactResult{}, fmt.Errorf("%s: %w", t.name, err)
	}
	opts.Checkpoint, opts.upkeep, opts.yields = nil, true, true
	result, err := t.commit(ctx, "compact", opts, Result{}, compaction.Change)
	if err != nil && commit.Safe(err) || err == nil && !result.Committed && !result.Sent {
		compaction.Abort()
	}
	out := CompactResult{Result: result}
	out.counted(compaction.Stats())
	return out, err
}

// PlanCompaction says what Compact would rewrite of the table as it was loaded, in which order and why. The plan travels as
// JSON. It changes nothing.
func (t *Table) PlanCompaction(ctx context.Context, c maintain.CompactOptions) (maintain.CompactionPlan, error) {
	limit := c.MemoryLimit
	c, err := t.bound(c)
	if err != nil {
		return maintain.CompactionPlan{}, err
	}
	c.MemoryLimit = limit // others carry it out, with limits of their own
	return maintain.PlanCompaction(ctx, t.tbl, c)
}

// CompactGroup rewrites the files of one group of a plan, and commits nothing; the plan may come without its groups. Called
// twice it writes twice. ErrMoved says that the table has another schema or layout by now, or has lost files of the group to
// others; a file that it still names and that is not there is another error, which names it. What is never given to
// CommitCompaction, DiscardCompacted removes; of a process that dies in here, files stay as orphans.
func (t *Table) CompactGroup(ctx context.Context, plan maintain.CompactionPlan, group maintain.CompactionGroup) (maintain.Compacted, error) {
	done, err := maintain.CompactGroup(ctx, t.tbl, plan, group, maintain.Local{
		Parallelism: t.lake.cfg.Parallelism, MemoryLimit: firstOf(plan.MemoryLimit, t.lake.cfg.MemoryLimit), TempDir: t.lake.cfg.TempDir,
	})
	switch {
	case errors.Is(err, maintain.ErrMoved):
		err = fmt.Errorf("%w: %w", ErrMoved, err)
	case isAbsent(err):
		err = t.absent(ctx, err, plan.Schema, plan.Version, group.Files)
	}
	return done, err
}

// CommitCompaction commits groups that CompactGroup has rewritten, in one snapshot: all of a plan's, or a part of them; each
// part takes a commit id of its own. Groups whose files a writer touched meanwhile are dropped. Delete files that came since,
// of files in no group, stay as they are.
//
// The files of dropped groups are removed once the others are known to be in the table, or none was to be. After an error
// the call may be made again with the same groups; who gives up instead calls DiscardCompacted if commit.Safe(err).
func (t *Table) CommitCompaction(ctx context.Context, opts CommitOptions, plan maintain.CompactionPlan, groups []maintain.Compacted) (CompactResult, error) {
	compaction := maintain.CommitOf(plan, groups)
	opts.Checkpoint, opts.upkeep, opts.yields = nil, true, true
	result, err := t.commit(ctx, "compact", opts, Result{}, compaction.Change)
	out := CompactResult{Result: result}
	if !result.AlreadyCommitted {
		out.counted(compaction.Stats())
	}
	if err == nil && !result.AlreadyCommitted && !result.Sent && result.UnknownOutcomes == 0 {
		if err := t.DiscardCompacted(ctx, compaction.Dropped()...); err != nil {
			out.Warnings = append(out.Warnings, fmt.Sprintf("files of groups that were dropped are left as orphans: %v", err))
		}
	}
	return out, err
}

// DiscardCompacted removes the files of groups that are certainly not committed and never will be.
func (t *Table) DiscardCompacted(ctx context.Context, groups ...maintain.Compacted) error {
	var paths []string
	for _, g := range groups {
		paths = append(paths, g.Paths...)
	}
	return t.removeFiles(ctx, paths)
}

// bound fills in what the lake's configuration and the table's schema say of options.
func (t *Table) bound(c maintain.CompactOptions) (maintain.CompactOptions, error) {
	c.MemoryLimit = firstOf(c.MemoryLimit, t.lake.cfg.MemoryLimit)
	c.Parallelism = firstOf(c.Parallelism, t.lake.cfg.Parallelism)
	c.TempDir = firstOf(c.TempDir, t.lake.cfg.TempDir)
	c.Order = nil
	if c.Strategy != maintain.Sort && c.Strategy != maintain.ZOrder {
		return c, nil
	}
	order, err := sortOrder(c.Columns, t.tbl.Schema())
	if err != nil {
		return c, fmt.Errorf("compact %s: %w", t.name, err)
	}
	for i := range order.Len() {
		f := order.Field(i)
		if c.Strategy == maintain.ZOrder && (f.Direction != table.SortASC || f.NullOrder != table.NullsFirst) {
			return c, fmt.Errorf("compact %s: a Z-order has no direction: %q", t.name, c.Columns[i])
		}
		c.Order = append(c.Order, f)
	}
	return c, nil
}
