package activities

import (
	"context"
	"errors"
	"fmt"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/tables"
)

// cleanup removes a build's staging folder, and the data files that it had written and no commit was ever asked to use.
// Without a table it removes what a run staged beside them.
func (a *Activities) cleanup(ctx context.Context, p *pulse, in wire.CleanupRequest) (struct{}, error) {
	fault.Point(fault.CleanupBefore)
	p.at("cleaning up")
	if in.Table == "" {
		return struct{}{}, a.lake.RemoveStaging(ctx, in.Run)
	}
	table, err := a.lake.Table(ctx, in.Table)
	if errors.Is(err, tables.ErrNoSuchTable) {
		return struct{}{}, nil
	}
	if err != nil {
		return struct{}{}, err
	}
	if in.Job != "" && len(in.Discard) > 0 {
		if err := a.discard(ctx, p, table, in); err != nil {
			return struct{}{}, err
		}
	}
	if err := table.RemoveStaging(ctx, stagingRun(in.Build, in.Round)); err != nil {
		return struct{}{}, fmt.Errorf("clean up after %s: %w", in.Table, err)
	}
	fault.Point(fault.CleanupDone)
	return struct{}{}, nil
}

// discard removes data files that will never be committed. What an earlier attempt at it has removed is no error, nor is
// a job that is gone: then this is a second attempt.
func (a *Activities) discard(ctx context.Context, p *pulse, table *tables.Table, in wire.CleanupRequest) error {
	j, err := a.loadJob(ctx, in.Job)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	manifests, err := a.manifests(ctx, p, j, table, in.Discard)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, m := range manifests {
		if m.Found != nil {
			if err := table.RemoveFound(ctx, m.Found); err != nil {
				return fmt.Errorf("discard what was merged into %s: %w", table.Name(), err)
			}
		}
		if err := m.Tombstones.discard(ctx, table); err != nil {
			return fmt.Errorf("discard the tombstones of %s: %w", table.Name(), err)
		}
		if len(m.Staged) == 0 {
			continue
		}
		s, err := table.DecodeStaged(m.Staged)
		if err != nil {
			return err
		}
		if err := table.Discard(ctx, s); err != nil {
			return fmt.Errorf("discard what was staged for %s: %w", table.Name(), err)
		}
	}
	return nil
}
