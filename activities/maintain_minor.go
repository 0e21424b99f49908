package activities

import (
	"context"
	"fmt"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
)

// earlier is what is said of a step that an earlier attempt of this activity did.
const earlier = "done by an earlier attempt"

// mergeDeletes puts the position deletes of each data file together.
func (a *Activities) mergeDeletes(ctx context.Context, p *pulse, in wire.MergeDeletesRequest) (wire.UpkeepStep, error) {
	fault.Point(fault.DeletesBefore)
	p.at("putting deletes together")
	table, err := a.lake.Table(ctx, in.Upkeep.Table)
	if err != nil {
		return wire.UpkeepStep{}, err
	}
	result, err := table.MergeDeletes(ctx, upkeepOptions(in.Upkeep, writerDeletes, "merge-deletes"), mergeDeletesOptions(in.Policy))
	if err != nil {
		return wire.UpkeepStep{}, err
	}
	fault.Point(fault.DeletesDone)
	step := deletesStep(in.Policy, result.MergedDeletes, "merged %d delete files of %d data files into %d")
	step.BytesWritten, step.Dropped = result.Written, result.Dropped
	return landed(step, result.Result), nil
}

func mergeDeletesOptions(policy plan.MergeDeletes) maintain.MergeDeletesOptions {
	return maintain.MergeDeletesOptions{MinInputFiles: policy.MinInputFiles}
}

// deletesStep says what was put together, or would be.
func deletesStep(policy plan.MergeDeletes, s maintain.MergedDeletes, what string) wire.UpkeepStep {
	step := wire.UpkeepStep{
		What: "no deletes to merge", Why: fmt.Sprintf("data files with %d position-delete files or more", policy.MinInputFiles),
		Done: s.Removed > 0, Files: s.Removed, FilesAdded: s.Added, Bytes: s.Bytes,
	}
	if step.Done {
		step.What = fmt.Sprintf(what, s.Removed, s.DataFiles, s.Added)
	}
	return step
}

// landed makes a step that of what the commit came to.
func landed(step wire.UpkeepStep, r tables.Result) wire.UpkeepStep {
	step.Done = r.SnapshotID != 0
	if r.AlreadyCommitted {
		step.What = earlier
	}
	return step
}

// danglingDeletes takes delete files that delete nothing out of the table.
func (a *Activities) danglingDeletes(ctx context.Context, p *pulse, in wire.DanglingRequest) (wire.UpkeepStep, error) {
	p.at("looking for deletes that delete nothing")
	table, err := a.lake.Table(ctx, in.Upkeep.Table)
	if err != nil {
		return wire.UpkeepStep{}, err
	}
	result, err := table.RemoveDanglingDeletes(ctx, upkeepOptions(in.Upkeep, writerDangling, "dangling-deletes"), maintain.DanglingOptions{MinFiles: in.Policy.MinFiles})
	if err != nil {
		return wire.UpkeepStep{}, err
	}
	fault.Point(fault.DanglingDone)
	return landed(danglingStep(in.Policy, result.DanglingStats, "removed"), result.Result), nil
}

func danglingStep(policy plan.Dangling, s maintain.DanglingStats, verb string) wire.UpkeepStep {
	step := wire.UpkeepStep{
		What: "no dangling deletes", Why: fmt.Sprintf("%d delete files or more that apply to no data file", policy.MinFiles),
		Done: s.Files() > 0, Files: s.Files(), Bytes: s.Bytes, Examples: clipped(s.Examples),
	}
	if step.Done {
		step.What = fmt.Sprintf("%s %d delete files that delete nothing: %d deletion vectors, %d of positions, %d of values", verb, s.Files(), s.Vectors, s.Position, s.Equality)
	}
	return step
}

// rewriteManifests lays the table's manifests by partition.
func (a *Activities) rewriteManifests(ctx context.Context, p *pulse, in wire.ManifestsRequest) (wire.UpkeepStep, error) {
	fault.Point(fault.ManifestsBefore)
	p.at("rewriting manifests")
	table, err := a.lake.Table(ctx, in.Upkeep.Table)
	if err != nil {
		return wire.UpkeepStep{}, err
	}
	result, err := table.RewriteManifests(ctx, upkeepOptions(in.Upkeep, writerManifests, "manifests"), manifestOptions(in.Policy))
	if err != nil {
		return wire.UpkeepStep{}, err
	}
	fault.Point(fault.ManifestsDone)
	step := manifestsStep(in.Policy, result.RewrittenManifests, "rewrote %d manifests into %d, by partition")
	step.BytesWritten = result.Written
	if result.Redone > 0 && !step.Done {
		step.What = "rewrote no manifests: others changed them"
	}
	return landed(step, result.Result), nil
}

func manifestOptions(policy plan.Manifests) maintain.ManifestOptions {
	return maintain.ManifestOptions{TargetBytes: policy.TargetSize, MinInputManifests: policy.MinInputManifests}
}

func manifestsStep(policy plan.Manifests, s maintain.RewrittenManifests, what string) wire.UpkeepStep {
	step := wire.UpkeepStep{
		What: "no manifests to rewrite", Why: fmt.Sprintf("%d manifests or more that are small, or not laid by partition", policy.MinInputManifests),
		Done: s.Removed > 0, Files: s.Removed, FilesAdded: s.Added, Bytes: s.Bytes, Left: s.Left,
	}
	if step.Done {
		step.What = fmt.Sprintf(what, s.Removed, s.Added)
	}
	return step
}

// minorPreview says what one kind of minor work would do.
type minorPreview struct {
	kind    string
	preview func() (wire.UpkeepStep, error)
}

func minorPreviews(ctx context.Context, table *tables.Table, policy plan.Maintenance) (out []minorPreview) {
	if d := policy.MergeDeletes; d != nil {
		out = append(out, minorPreview{wire.UpkeepDeletes, func() (wire.UpkeepStep, error) {
			would, err := table.PlanMergeDeletes(ctx, mergeDeletesOptions(*d))
			return deletesStep(*d, would, "merge %d delete files of %d data files into %d at most"), err
		}})
	}
	if d := policy.RemoveDangling; d != nil {
		out = append(out, minorPreview{wire.UpkeepDangling, func() (wire.UpkeepStep, error) {
			would, err := table.PlanDanglingDeletes(ctx, maintain.DanglingOptions{MinFiles: d.MinFiles})
			return danglingStep(*d, would, "remove"), err
		}})
	}
	if m := policy.Manifests; m != nil {
		out = append(out, minorPreview{wire.UpkeepManifests, func() (wire.UpkeepStep, error) {
			would, err := table.PlanManifests(ctx, manifestOptions(*m))
			return manifestsStep(*m, would, "rewrite %d manifests into some %d, by partition"), err
		}})
	}
	return out
}
