package tables

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
)

// ErrTagged says that a tag of that name points at another snapshot already.
var ErrTagged = errors.New("the tag is there, at another snapshot")

// Tag names a version of the table, which stays while the tag does: for so long from now, or without keep until the tag is
// removed. Naming the same version again sets how long it is kept.
func (t *Table) Tag(ctx context.Context, opts CommitOptions, name string, of Version, keep time.Duration) (Snapshot, error) {
	if err := t.checkTag(name); err != nil {
		return Snapshot{}, err
	}
	s, err := t.at(of)
	if err != nil {
		return Snapshot{}, fmt.Errorf("tag: %w", err)
	}
	var age int64 // counted from when the snapshot was made
	if keep > 0 {
		age = max(t.now().Add(keep).UnixMilli()-s.TimestampMs, 1)
	}
	opts.Checkpoint = nil
	_, err = t.commit(ctx, "tag", opts, Result{}, func(_ context.Context, head *table.Table, _ int) (*commit.Change, error) {
		change := &commit.Change{Updates: []table.Update{table.NewSetSnapshotRefUpdate(name, s.SnapshotID, table.TagRef, age, 0, 0)}}
		var there *int64 // none: of two who make it at once, one does
		for existing, ref := range head.Metadata().Refs() {
			if existing != name {
				continue
			}
			if ref.SnapshotRefType != table.TagRef || ref.SnapshotID != s.SnapshotID {
				return nil, fmt.Errorf("%s: %s %q is at snapshot %d: %w", t.name, ref.SnapshotRefType, name, ref.SnapshotID, ErrTagged)
			}
			there = &ref.SnapshotID
		}
		change.Requirements = []table.Requirement{table.AssertRefSnapshotID(name, there)}
		if head.Metadata().SnapshotByID(s.SnapshotID) == nil {
			return nil, fmt.Errorf("tag %s at snapshot %d: %w", t.name, s.SnapshotID, ErrNoSuchSnapshot)
		}
		return change, nil
	})
	return t.snapshot(s), err
}

// Untag removes a tag. What it alone kept goes with the next expiry.
func (t *Table) Untag(ctx context.Context, opts CommitOptions, name string) error {
	if err := t.checkTag(name); err != nil {
		return err
	}
	opts.Checkpoint = nil
	_, err := t.commit(ctx, "untag", opts, Result{}, func(_ context.Context, head *table.Table, _ int) (*commit.Change, error) {
		for existing, ref := range head.Metadata().Refs() {
			if existing == name && ref.SnapshotRefType == table.TagRef {
				return &commit.Change{Updates: []table.Update{table.NewRemoveSnapshotRefUpdate(name)}}, nil
			}
		}
		return nil, fmt.Errorf("%s: tag %q: %w", t.name, name, ErrNoSuchSnapshot)
	})
	return err
}

func (t *Table) checkTag(name string) error {
	switch {
	case t.lake.cat.HeadOnly():
		return badDefinition("tag %s: Nessie has tags of its own, of the whole catalog", t.name)
	case name == "" || name == table.MainBranch:
		return badDefinition("tag %s: %q is no name for a tag", t.name, name)
	}
	return nil
}

func (t *Table) now() time.Time {
	if now := t.lake.cfg.Commit.Now; now != nil {
		return now()
	}
	return time.Now()
}

// HeadOnly tells that the catalog shows the current snapshot of the table alone, as Nessie does: its other branches, and the
// history of each, are the catalog's own.
func (t *Table) HeadOnly() bool { return t.lake.cat.HeadOnly() }
