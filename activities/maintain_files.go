package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
)

// maxExamples bounds the files that a result names.
const maxExamples = 5

// expire forgets old snapshots. Those that readers of the table have yet to read stay, unless they hold rows that were deleted
// for being past their time.
func (a *Activities) expire(ctx context.Context, p *pulse, in wire.ExpireRequest) (wire.UpkeepStep, error) {
	fault.Point(fault.ExpireBefore)
	p.at("looking for snapshots that readers need")
	table, err := a.lake.Table(ctx, in.Upkeep.Table)
	if err != nil {
		return wire.UpkeepStep{}, err
	}
	lag, err := a.unread(ctx, table)
	if err != nil {
		return wire.UpkeepStep{}, err
	}
	options, why := expireOptions(in.Policy, in.Upkeep.Began, lag)
	p.at("forgetting snapshots")
	result, err := table.Expire(ctx, upkeepOptions(in.Upkeep, writerExpire, "expire"), options)
	if err != nil {
		return declined(err)
	}
	fault.Point(fault.ExpireDone)
	step := wire.UpkeepStep{
		What: "no snapshot is old enough", Why: why, Done: result.Committed || result.AlreadyCommitted,
		Snapshots: result.Snapshots, Files: result.FilesSwept, Examples: clipped(append(result.FilesLeft, result.Warnings...)),
	}
	if step.Done {
		step.What = fmt.Sprintf("forgot %d snapshots and %d branches and tags; %d files removed", result.Snapshots, len(result.Refs), result.FilesSwept)
	}
	return step, nil
}

// expireOptions are those of a policy at a time, with what they mean for people. Snapshots that readers have yet to read stay.
func expireOptions(policy plan.Expire, now time.Time, lag lag) (maintain.ExpireOptions, string) {
	options := maintain.ExpireOptions{
		OlderThan: time.Duration(policy.OlderThan) * time.Second, KeepLast: policy.KeepLast, Keep: lag.keep, Now: func() time.Time { return now },
	}
	why := fmt.Sprintf("older than %s, but for the last %d", Days(options.OlderThan), policy.KeepLast)
	if least := lag.reading + settling; lag.reading > 0 && options.OlderThan < least {
		options.OlderThan = least
		why += fmt.Sprintf("; a build has been under way for %s, so that nothing goes that was the head since an hour before", lag.reading.Round(time.Second))
	}
	if len(lag.readers) > 0 {
		why += "; what is yet to be read by " + joined(lag.readers) + " stays"
	}
	if len(lag.broken) > 0 {
		why += "; what " + joined(lag.broken) + " has read is not known, since it cannot be loaded, and nothing is kept for it"
	}
	return options, why
}

// Days writes a duration for people, in days where it is some.
func Days(d time.Duration) string {
	if d >= 48*time.Hour && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return d.String()
}

// orphans removes files that nothing names.
func (a *Activities) orphans(ctx context.Context, p *pulse, in wire.OrphansRequest) (wire.UpkeepStep, error) {
	fault.Point(fault.OrphansBefore)
	table, found, step, err := a.findOrphans(ctx, p, in)
	if err != nil || found == nil || len(found.Files) == 0 {
		return step, err
	}
	fault.Point(fault.OrphansFound)
	p.at("removing orphans")
	removed, err := table.RemoveOrphans(ctx, found, func(n int64) { p.files.Store(n) })
	if err != nil {
		return step, err
	}
	fault.Point(fault.OrphansDone)
	step.Done = removed.Files > 0
	step.Files, step.Bytes = removed.Files, removed.Bytes
	step.What = fmt.Sprintf("removed %d files that nothing names", removed.Files)
	if len(removed.Left) > 0 {
		step.What += fmt.Sprintf("; %d could not be removed", len(removed.Left))
		step.Examples = clipped(removed.Left)
	}
	return step, nil
}

// findOrphans plans their removal. Without a plan the step says why there is none.
func (a *Activities) findOrphans(ctx context.Context, p *pulse, in wire.OrphansRequest) (*tables.Table, *maintain.Orphans, wire.UpkeepStep, error) {
	p.at("looking for builds under way, and listing files")
	options := maintain.OrphanOptions{
		OlderThan: time.Duration(in.Policy.OlderThan) * time.Second, Longest: a.longest, Progress: func(n int64) { p.files.Store(n) },
	}
	var step wire.UpkeepStep
	table, err := a.lake.Table(ctx, in.Upkeep.Table)
	if err != nil {
		return nil, nil, step, err
	}
	found, err := table.PlanOrphans(ctx, options)
	if errors.Is(err, maintain.ErrTooYoung) { // no fault of the table's, and over when the build is
		return table, nil, wire.UpkeepStep{What: "nothing", Why: err.Error()}, nil
	}
	if err != nil {
		step, err = declined(err)
		return table, nil, step, err
	}
	step = wire.UpkeepStep{
		What: "no file is without a name", Files: len(found.Files), Bytes: found.Bytes,
		Why: fmt.Sprintf("written more than %s ago, and named by nothing; %d files looked at, %d too young", Days(options.OlderThan), found.Looked, found.Young),
	}
	for _, o := range found.Files[:min(len(found.Files), maxExamples)] {
		step.Examples = append(step.Examples, o.URI)
	}
	return table, found, step, nil
}

func clipped(names []string) []string { return names[:min(len(names), maxExamples)] }
