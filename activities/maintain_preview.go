package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/tables"
)

// preview says what each kind of upkeep would do to the table as it is now, one beside the other: what an earlier step would
// leave for a later one is not counted.
func (a *Activities) preview(ctx context.Context, p *pulse, table *tables.Table, u wire.Upkeep, policy plan.Maintenance) ([]wire.UpkeepStep, error) {
	p.at("looking for what is due")
	lag, err := a.unread(ctx, table)
	if err != nil {
		return nil, err
	}
	out, err := next(ctx, table, policy, u.Began, lag)
	if err != nil {
		return nil, err
	}
	if err := previewRefused(ctx, a.lake, u.Table, policy.Retain, u.Began, out); err != nil {
		return nil, err
	}
	if policy.RemoveOrphans == nil {
		return out, nil
	}
	_, found, step, err := a.findOrphans(ctx, p, wire.OrphansRequest{Upkeep: u, Policy: *policy.RemoveOrphans})
	if found != nil && len(found.Files) > 0 {
		step.What, step.Done = fmt.Sprintf("remove %d files that nothing names", len(found.Files)), true
	}
	step.Kind = wire.UpkeepOrphans
	return append(out, step), err
}

// previewRefused adds to what retention would do to a table what it would do to the rows that the table refused.
func previewRefused(ctx context.Context, lake *tables.Lake, name string, r *plan.Retain, now time.Time, steps []wire.UpkeepStep) error {
	if r == nil || strings.HasSuffix(name, plan.QuarantineSuffix) {
		return nil
	}
	quarantine, err := lake.Table(ctx, name+plan.QuarantineSuffix)
	if errors.Is(err, tables.ErrNoSuchTable) {
		return nil
	}
	if err != nil {
		return err
	}
	refused, err := previewRetain(ctx, quarantine, plan.Retain{Column: plan.QuarantinedAt, For: r.For}, now)
	if err != nil {
		return err
	}
	for i := range steps {
		if steps[i].Kind == wire.UpkeepRetain {
			steps[i] = withRefused(steps[i], refused)
		}
	}
	return nil
}

// Next says what a policy would do to a table, from its metadata alone: files that nothing names are not looked for, and
// readers that snapshots are kept for are not asked. What retention does to the rows that the table refused is told with it.
func Next(ctx context.Context, lake *tables.Lake, table *tables.Table, policy plan.Maintenance, now time.Time) ([]wire.UpkeepStep, error) {
	out, err := next(ctx, table, policy, now, lag{})
	if err != nil {
		return nil, err
	}
	return out, previewRefused(ctx, lake, table.Name(), policy.Retain, now, out)
}

func next(ctx context.Context, table *tables.Table, policy plan.Maintenance, now time.Time, lag lag) ([]wire.UpkeepStep, error) {
	var out []wire.UpkeepStep
	add := func(kind string, step wire.UpkeepStep, err error) error {
		step.Kind = kind
		out = append(out, step)
		return err
	}
	if r := policy.Retain; r != nil {
		step, err := previewRetain(ctx, table, *r, now)
		if err := add(wire.UpkeepRetain, step, err); err != nil {
			return nil, err
		}
	}
	if c := policy.Compact; c != nil {
		step, err := previewCompaction(ctx, table, *c)
		if err := add(wire.UpkeepCompact, step, err); err != nil {
			return nil, err
		}
	}
	for _, minor := range minorPreviews(ctx, table, policy) {
		step, err := minor.preview()
		if err := add(minor.kind, step, err); err != nil {
			return nil, err
		}
	}
	if e := policy.Expire; e != nil {
		step, err := previewExpiry(table, *e, now, lag)
		if err := add(wire.UpkeepExpire, step, err); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func previewRetain(ctx context.Context, table *tables.Table, r plan.Retain, now time.Time) (wire.UpkeepStep, error) {
	condition, err := pastTime(table, r, now)
	if err != nil {
		return wire.UpkeepStep{}, err
	}
	rows, err := rowsWhere(condition, table)
	if err != nil {
		return wire.UpkeepStep{}, err
	}
	whole, parts, err := table.FilesWith(ctx, rows)
	if err != nil {
		return wire.UpkeepStep{}, err
	}
	step := wire.UpkeepStep{What: "no row is past its time", Why: "retain: " + condition, Files: whole.Files + parts.Files, Bytes: whole.Bytes + parts.Bytes}
	if step.Done = step.Files > 0; step.Done {
		step.What = fmt.Sprintf("remove %d files unread, %d rows at most, and look for rows to delete in %d", whole.Files, whole.Rows, parts.Files)
	}
	return step, nil
}

func previewExpiry(table *tables.Table, policy plan.Expire, now time.Time, lag lag) (wire.UpkeepStep, error) {
	options, why := expireOptions(policy, now, lag)
	snapshots, refs, err := table.PlanExpiry(options)
	if err != nil {
		return declined(err)
	}
	step := wire.UpkeepStep{What: "no snapshot is old enough", Why: why, Snapshots: len(snapshots), Examples: clipped(refs)}
	if step.Done = len(snapshots)+len(refs) > 0; step.Done {
		step.What = fmt.Sprintf("forget %d of %d snapshots, and %d branches and tags", len(snapshots), len(table.Snapshots()), len(refs))
	}
	return step, nil
}
