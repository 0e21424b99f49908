package tables

import (
	"context"
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/maintain"
)

// Resumable tells whether a reader can go on from a point although its snapshot, or one after it, was forgotten, since rows
// past their time had to go with it.
func (t *Table) Resumable(since ReadPoint) (bool, error) {
	gone, oldest, err := t.forgotten(since)
	return gone != nil && oldest != nil, err
}

// forgotten is what the table remembers of the snapshots since a point that are gone, and the oldest ancestor of the head that
// is left; nil if nothing is known.
func (t *Table) forgotten(since ReadPoint) (*maintain.Forgotten, *table.Snapshot, error) {
	meta := t.tbl.Metadata()
	gone, err := maintain.ForgottenOf(meta)
	if err != nil || gone == nil || !slices.Contains(gone.Ancestors, since.Sequence) {
		return nil, nil, err
	}
	for s := meta.CurrentSnapshot(); s != nil && s.ParentSnapshotID != nil && s.SequenceNumber > since.Sequence; {
		parent := meta.SnapshotByID(*s.ParentSnapshotID)
		if parent == nil && *s.ParentSnapshotID == gone.Last {
			return gone, s, nil
		}
		s = parent
	}
	return nil, nil, nil
}

// resume goes on from a forgotten snapshot: of the files that are left in the oldest snapshot that is, it takes those that
// were appended since, and from there on what snapshots added. Of files that were written anew since it cannot be told which
// rows were there before: then it is ErrExpired, for rows must neither be left out nor come twice.
func (t *Table) resume(ctx context.Context, since ReadPoint, head *table.Snapshot, out *Added) (bool, error) {
	gone, oldest, err := t.forgotten(since)
	if gone == nil || err != nil {
		return false, err
	}
	var chain []*table.Snapshot // newest first, after the oldest
	for s := head; s.SnapshotID != oldest.SnapshotID; s = t.tbl.SnapshotByID(*s.ParentSnapshotID) {
		chain = append(chain, s)
	}
	for _, s := range append(slices.Clone(chain), oldest) {
		if !maintain.KeepsAppends(s.Summary) {
			return true, fmt.Errorf("by snapshot %d: %w", s.SnapshotID, ErrRewritten)
		}
	}
	rewrites := slices.Clone(gone.Rewrites)
	if oldest.Summary.Operation != table.OpAppend {
		rewrites = append(rewrites, oldest.SequenceNumber)
	}
	untold := 0
	younger := func(m iceberg.ManifestFile) bool { return m.SequenceNum() > since.Sequence } // older ones have no younger files
	err = t.entries(ctx, oldest, younger, func(e iceberg.ManifestEntry) {
		at := e.SequenceNum() // which a rewrite may give its files of those that it read
		if own := e.FileSequenceNum(); own != nil {
			at = *own
		}
		switch {
		case at <= since.Sequence:
		case slices.Contains(rewrites, at):
			untold++
		default:
			out.Files = append(out.Files, wholeFile(e.DataFile()))
		}
	})
	if err == nil && untold > 0 {
		err = fmt.Errorf("%d files have rows of before and of after it: %w", untold, ErrExpired)
	}
	if err == nil {
		out.Files, err = t.addedByAll(ctx, chain, out.Files)
	}
	return true, err
}
