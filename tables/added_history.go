package tables

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/maintain"
)

// maxRevisions bounds how far back a reader of what was added looks in the history of Nessie's branch, a request each.
const maxRevisions = 500

// addedByHistory is for a catalog whose metadata show the current snapshot alone, and a reader that cannot tell from this one and
// its own what was added, since files were written anew in between, as by a compaction: the snapshots in between are those that
// the history of the branch tells. It is ErrExpired if that does not tell all of them, as after a merge of branches, which is one
// commit, or if their files are gone.
func (t *Table) addedByHistory(ctx context.Context, since ReadPoint, head *table.Snapshot) ([]table.FileScanTask, error) {
	chain, err := t.chainByHistory(ctx, since, head)
	if err != nil {
		return nil, err
	}
	for _, s := range chain {
		if !maintain.KeepsAppends(s.Summary) {
			return nil, fmt.Errorf("by snapshot %d: %w", s.SnapshotID, ErrRewritten)
		}
	}
	files, err := t.addedByAll(ctx, chain, nil)
	if errors.Is(err, ErrAbsent) {
		err = fmt.Errorf("%w: %w", ErrExpired, err)
	}
	return files, err
}

// chainByHistory are the snapshots after a point up to the head, the newest first. That none is left out is seen by their sequence
// numbers: each commit takes the next.
func (t *Table) chainByHistory(ctx context.Context, since ReadPoint, head *table.Snapshot) ([]*table.Snapshot, error) {
	var chain []*table.Snapshot
	looked := 0
	for r, err := range distinct(t.lake.cat.Revisions(ctx, t.tbl.Identifier())) {
		if err != nil {
			return nil, err
		}
		if looked++; looked > maxRevisions {
			break
		}
		if len(chain) == 0 && r.SnapshotID != head.SnapshotID {
			continue // it came after this table was loaded
		}
		then, err := t.lake.cat.LoadTable(catalog.OnBranch(ctx, t.lake.cat.Branch(ctx)+"@"+r.Hash), t.tbl.Identifier())
		if err != nil {
			return nil, err
		}
		s := then.CurrentSnapshot()
		if s == nil || len(chain) > 0 && chain[len(chain)-1].SequenceNumber != s.SequenceNumber+1 {
			return nil, fmt.Errorf("the branch's history does not tell all that came before snapshot %d: %w", head.SnapshotID, ErrExpired)
		}
		if r.SnapshotID == since.Snapshot {
			return chain, nil
		}
		chain = append(chain, s)
	}
	return nil, fmt.Errorf("it is not in the last %d commits of the branch's history: %w", maxRevisions, ErrExpired)
}
