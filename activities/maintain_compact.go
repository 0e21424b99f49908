package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
)

// compaction is a plan as it is staged: its groups lie beside it, in chunks.
type compaction struct {
	Plan   maintain.CompactionPlan `json:"plan"`
	Chunks []chunk                 `json:"chunks"`
}

func compactOptions(policy plan.Compact) maintain.CompactOptions {
	share := 0.0
	if policy.MinFileSize > 0 {
		share = min(1, float64(policy.MinFileSize)/float64(policy.TargetFileSize))
	}
	return maintain.CompactOptions{
		Strategy: maintain.Strategy(policy.Strategy), Columns: policy.Columns,
		TargetFileBytes: policy.TargetFileSize, SmallShare: share, MinInputFiles: policy.MinInputFiles,
		MaxDeleted: policy.DeleteRatio, MaxDeleteFiles: policy.DeleteFiles, CleanBytes: policy.CleanBytes, MaxDepth: policy.MaxDepth,
		Budget: maintain.Budget{Bytes: policy.MaxBytes, Time: time.Duration(policy.MaxTime) * time.Second},
	}
}

// planCompaction chooses the groups of files that are worth a rewrite, and stages them.
func (a *Activities) planCompaction(ctx context.Context, p *pulse, in wire.PlanCompactionRequest) (wire.PlannedCompaction, error) {
	p.at("choosing files")
	table, err := a.lake.Table(ctx, in.Upkeep.Table)
	if err != nil {
		return wire.PlannedCompaction{}, err
	}
	out := wire.PlannedCompaction{After: table.LastToken(writerCompact)}
	found, err := table.PlanCompaction(ctx, compactOptions(in.Policy))
	if err != nil {
		return out, err
	}
	if out.Groups = len(found.Groups); out.Groups == 0 {
		out.Why = nothingToJoin(in.Policy)
		return out, nil
	}
	for _, g := range found.Groups {
		out.Files, out.Bytes = out.Files+len(g.Files), out.Bytes+g.Bytes
	}
	out.Left, out.Why = found.LeftGroups, reasonOf(found)
	p.at("staging the groups")
	run := upkeepRun(in.Upkeep)
	job := compaction{Plan: found.WithoutGroups()}
	weight := func(g maintain.CompactionGroup) int { return 256 + 1024*len(g.Files) }
	job.Chunks, err = inChunks(found.Groups, mergeChunk, weight, func(first int, groups []maintain.CompactionGroup) (string, error) {
		return stage(ctx, table, run, fmt.Sprintf("compact-%06d-%s.json", first, unique()), groups)
	})
	if err != nil {
		return out, err
	}
	if out.Job, err = stage(ctx, table, run, "compact-"+unique()+".json", job); err != nil {
		return out, err
	}
	fault.Point(fault.CompactPlanned)
	return out, nil
}

func nothingToJoin(policy plan.Compact) string {
	why := "every file is near its size, or alone in its partition"
	if policy.Layout() != "" {
		why += ", and none is badly clustered"
	}
	return why
}

// reasonOf is why the groups of a plan are rewritten: the reason of the first, which is the worst.
func reasonOf(p maintain.CompactionPlan) string {
	reasons := map[string]bool{}
	var out []string
	for _, g := range p.Groups {
		text := g.Reason
		if g.Partition != "" {
			text = g.Partition + ": " + text
		}
		if !reasons[text] && len(out) < 3 {
			reasons[text] = true
			out = append(out, text)
		}
	}
	return strings.Join(out, "; ")
}

// compactGroup rewrites one group. Its result is staged last, under a name of the attempt's own.
func (a *Activities) compactGroup(ctx context.Context, p *pulse, in wire.CompactGroupRequest) (wire.CompactedGroup, error) {
	fault.Point(fault.CompactBefore)
	var job compaction
	if err := a.load(ctx, in.Job, &job); err != nil {
		return wire.CompactedGroup{}, err
	}
	group, err := fromChunks[maintain.CompactionGroup](ctx, a, job.Chunks, in.Group)
	if err != nil {
		return wire.CompactedGroup{}, err
	}
	table, err := a.lake.Table(ctx, in.Upkeep.Table)
	if err != nil {
		return wire.CompactedGroup{}, err
	}
	p.at(fmt.Sprintf("rewriting %d files", len(group.Files)))
	done, err := table.CompactGroup(ctx, job.Plan, group)
	if errors.Is(err, tables.ErrMoved) {
		return wire.CompactedGroup{Reason: clip(err.Error(), 300)}, nil
	}
	if err != nil {
		return wire.CompactedGroup{}, err
	}
	fault.Point(fault.CompactWritten)
	uri, err := stage(ctx, table, upkeepRun(in.Upkeep), fmt.Sprintf("compacted-%06d-%s.json", in.Group, unique()), done)
	if err != nil {
		return wire.CompactedGroup{}, err
	}
	fault.Point(fault.CompactStored)
	return wire.CompactedGroup{Part: uri, Bytes: group.Bytes}, nil
}

// commitCompaction makes rewritten groups the table's. Those whose files a writer has touched are dropped.
func (a *Activities) commitCompaction(ctx context.Context, p *pulse, in wire.CommitCompactionRequest) (wire.CommittedCompaction, error) {
	var job compaction
	if err := a.load(ctx, in.Job, &job); err != nil {
		return wire.CommittedCompaction{}, err
	}
	table, err := a.lake.Table(ctx, in.Upkeep.Table)
	if err != nil {
		return wire.CommittedCompaction{}, err
	}
	groups, err := a.compacted(ctx, in.Parts)
	if err != nil {
		return wire.CommittedCompaction{}, err
	}
	fault.Point(fault.CompactCommitting)
	p.at("committing")
	options := upkeepOptions(in.Upkeep, writerCompact, fmt.Sprintf("compact-%d", in.Part))
	options.ID.After = &in.After
	result, err := table.CommitCompaction(ctx, options, job.Plan, groups)
	if err != nil {
		return wire.CommittedCompaction{}, err
	}
	fault.Point(fault.CompactDone)
	return wire.CommittedCompaction{
		After: table.LastToken(writerCompact),
		Step: wire.UpkeepStep{
			Done: result.SnapshotID != 0, Files: result.FilesRemoved, Bytes: result.BytesRead, FilesAdded: result.FilesAdded,
			BytesWritten: result.BytesWritten, Groups: result.Groups, Dropped: result.GroupsDropped, Examples: clipped(result.Warnings),
		},
	}, nil
}

func (a *Activities) compacted(ctx context.Context, parts []string) ([]maintain.Compacted, error) {
	out := make([]maintain.Compacted, len(parts))
	for i, uri := range parts {
		if err := a.load(ctx, uri, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// discardCompacted removes the files of groups that no commit was asked to use. What an earlier attempt has removed is no
// error.
func (a *Activities) discardCompacted(ctx context.Context, table *tables.Table, parts []string) error {
	groups, err := a.compacted(ctx, parts)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return table.DiscardCompacted(ctx, groups...)
}

func previewCompaction(ctx context.Context, table *tables.Table, policy plan.Compact) (wire.UpkeepStep, error) {
	found, err := table.PlanCompaction(ctx, compactOptions(policy))
	if err != nil {
		return wire.UpkeepStep{}, err
	}
	step := wire.UpkeepStep{What: "nothing to join", Why: nothingToJoin(policy), Groups: len(found.Groups), Left: found.LeftGroups}
	if step.Done = step.Groups > 0; !step.Done {
		return step, nil
	}
	partitions := map[string]bool{}
	for _, g := range found.Groups {
		step.Files, step.Bytes = step.Files+len(g.Files), step.Bytes+g.Bytes
		partitions[g.Partition] = true
	}
	step.Why = reasonOf(found)
	step.What = fmt.Sprintf("join %d files of %d partitions, in %d groups%s", step.Files, len(partitions), step.Groups, policy.Layout())
	return step, nil
}

// due tells why the table's maintenance is to begin at once: a commit has brought the files that were added since the last
// compaction to the policy's threshold, or once more to a multiple of it.
func due(t *tables.Table, policy *plan.Maintenance) string {
	if policy == nil || policy.Compact == nil || policy.Compact.AfterFiles < 1 {
		return ""
	}
	before, now := t.AddedSinceCompaction()
	if n := policy.Compact.AfterFiles; before/n < now/n {
		return fmt.Sprintf("%d files were added since it was compacted", now)
	}
	return ""
}
