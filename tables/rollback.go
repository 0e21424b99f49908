package tables

import (
	"context"
	"fmt"
	"maps"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
)

// Rollback makes an earlier version of the table the current one, and the checkpoints of all writers what they were
// then, so that the next builds read again what is rolled back. The tokens of commits stay: work that was committed once
// is not committed again by being tried again. Work under way, if it says by commit.ID.After what it rests on, is
// ErrSuperseded. A rollback can itself be rolled back, while the snapshots are there.
func (t *Table) Rollback(ctx context.Context, opts CommitOptions, to Version) (Result, error) {
	target, err := t.at(to)
	if err != nil {
		return Result{}, fmt.Errorf("roll back: %w", err)
	}
	opts.Checkpoint = nil
	result, err := t.commit(ctx, "roll back", opts, Result{}, func(_ context.Context, head *table.Table, _ int) (*commit.Change, error) {
		return rollbackChange(head, target.SnapshotID, opts.ID)
	})
	if err == nil {
		result.SnapshotID = target.SnapshotID
	}
	return result, err
}

func rollbackChange(head *table.Table, id int64, by commit.ID) (*commit.Change, error) {
	meta := head.Metadata()
	target := meta.SnapshotByID(id)
	if target == nil {
		return nil, fmt.Errorf("snapshot %d: %w", id, ErrNoSuchSnapshot)
	}
	if now := meta.CurrentSnapshot(); now != nil && now.SnapshotID == id {
		return nil, nil
	}
	then, err := checkpointsAt(meta, target)
	if err != nil {
		return nil, fmt.Errorf("snapshot %d: %w", id, err)
	}
	change := &commit.Change{
		Properties: commit.AtSequence(meta, target, by.Writer),
		Updates:    []table.Update{moveMain(meta, id)},
	}
	change.Properties[commit.RollbackKey] = by.Token
	maps.Copy(change.Properties, then)
	for key := range checkpointsIn(meta.Properties()) {
		if _, ok := then[key]; !ok {
			change.RemoveProperties = append(change.RemoveProperties, key)
		}
	}
	return change, nil
}

// moveMain points the main branch elsewhere and keeps the branch's own retention.
func moveMain(meta table.Metadata, id int64) table.Update {
	var maxRefAge, maxSnapshotAge int64
	var minSnapshots int
	for name, ref := range meta.Refs() {
		if name != table.MainBranch {
			continue
		}
		if ref.MaxRefAgeMs != nil {
			maxRefAge = *ref.MaxRefAgeMs
		}
		if ref.MaxSnapshotAgeMs != nil {
			maxSnapshotAge = *ref.MaxSnapshotAgeMs
		}
		if ref.MinSnapshotsToKeep != nil {
			minSnapshots = *ref.MinSnapshotsToKeep
		}
	}
	return table.NewSetSnapshotRefUpdate(table.MainBranch, id, table.BranchRef, maxRefAge, maxSnapshotAge, minSnapshots)
}
