package tables

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/varve-lake/varve/tables/catalog"
)

// AsOf is the table as it was at a version, and the version to read of it. Where the table's metadata keep its snapshots
// that is the table itself. Nessie's keep the current one alone: there it is loaded as the commit left it in which the
// snapshot became the table's, or the newest one at a time, or where a branch or tag of Nessie's, or the hash of a commit,
// points. It is ErrNoSuchSnapshot if there is none. The head of another branch is another table's to commit to: a table
// from the past is for reading.
func (t *Table) AsOf(ctx context.Context, v Version) (*Table, Version, error) {
	if v.IsHead() || !t.lake.cat.HeadOnly() {
		return t, v, nil
	}
	if head, ok := t.Head(); ok && v.SnapshotID != nil && head.ID == *v.SnapshotID {
		return t, v, nil
	}
	ref, err := t.revision(ctx, v)
	if err != nil {
		return nil, v, fmt.Errorf("%s at %s: %w", t.name, v, err)
	}
	then, err := t.lake.cat.LoadTable(catalog.OnBranch(ctx, ref), t.tbl.Identifier())
	if errors.Is(err, ErrAbsent) {
		return nil, v, fmt.Errorf("%s at %s: %w: %w", t.name, v, ErrNoSuchSnapshot, err)
	}
	if err != nil {
		return nil, v, err
	}
	return t.lake.wrap(then), Version{}, nil
}

var commitHash = regexp.MustCompile(`^[0-9a-f]{16,64}$`)

// revision is the reference of Nessie's under which the table is as it was at a version.
func (t *Table) revision(ctx context.Context, v Version) (string, error) {
	branch := t.lake.cat.Branch(ctx)
	if v.Ref != "" {
		ref := v.Ref
		if commitHash.MatchString(ref) {
			ref = branch + "@" + ref
		}
		err := t.lake.cat.Knows(ctx, ref)
		if errors.Is(err, ErrAbsent) {
			err = fmt.Errorf("%w: %w", ErrNoSuchSnapshot, err)
		}
		return ref, err
	}
	for r, err := range t.lake.cat.Revisions(ctx, t.tbl.Identifier()) {
		if err != nil {
			return "", err
		}
		if v.Timestamp != nil && !r.Time.After(*v.Timestamp) {
			if r.Dropped {
				break
			}
			return branch + "@" + r.Hash, nil
		}
		if v.SnapshotID != nil && r.SnapshotID == *v.SnapshotID && !r.Dropped {
			return branch + "@" + r.Hash, nil
		}
	}
	return "", fmt.Errorf("%w in the history of branch %s", ErrNoSuchSnapshot, branch)
}

// History lists the table's snapshots, oldest first, as Snapshots does; of Nessie those that its branch's history tells,
// with the commits in which they became the table's. With a limit above 0 they are the newest ones.
func (t *Table) History(ctx context.Context, limit int) ([]Snapshot, error) {
	if !t.lake.cat.HeadOnly() {
		all := t.Snapshots()
		if limit > 0 && len(all) > limit {
			all = all[len(all)-limit:]
		}
		return all, nil
	}
	var revisions []catalog.Revision // newest first; of several with one snapshot the oldest, in which it came
	for r, err := range distinct(t.lake.cat.Revisions(ctx, t.tbl.Identifier())) {
		if err != nil {
			return nil, fmt.Errorf("history of %s: %w", t.name, err)
		}
		if revisions = append(revisions, r); len(revisions) == limit {
			break
		}
	}
	out := make([]Snapshot, len(revisions))
	g, each := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, r := range revisions {
		g.Go(func() error {
			then, err := t.lake.cat.LoadTable(catalog.OnBranch(each, t.lake.cat.Branch(ctx)+"@"+r.Hash), t.tbl.Identifier())
			if err != nil {
				return fmt.Errorf("%s at commit %s: %w", t.name, r.Hash, err)
			}
			s, _ := t.lake.wrap(then).Head()
			s.Refs, s.Current, s.Commit = nil, i == 0, r.Hash
			out[len(out)-1-i] = s
			return nil
		})
	}
	return out, g.Wait()
}

// distinct leaves out revisions that have brought no snapshot: changes of properties, and the table's absence.
func distinct(all iter.Seq2[catalog.Revision, error]) iter.Seq2[catalog.Revision, error] {
	return func(yield func(catalog.Revision, error) bool) {
		var run []catalog.Revision // with one snapshot, newest first
		flush := func() bool {
			if len(run) == 0 || run[0].SnapshotID <= 0 || run[0].Dropped {
				return true
			}
			return yield(run[len(run)-1], nil)
		}
		for r, err := range all {
			if err != nil {
				yield(r, err)
				return
			}
			if len(run) > 0 && (run[0].SnapshotID != r.SnapshotID || r.Dropped != run[0].Dropped) {
				if !flush() {
					return
				}
				run = run[:0]
			}
			run = append(run, r)
		}
		_ = flush()
	}
}

// CatalogCommit is the commit of the branch at which the table was read, or which its last commit made; "" where there are no branches.
func (t *Table) CatalogCommit() string {
	if !t.lake.cat.HeadOnly() {
		return ""
	}
	return catalog.CommitOf(t.tbl.Metadata())
}

// OnBranch makes operations with ctx go to a branch of Nessie's in place of the configured one.
func OnBranch(ctx context.Context, name string) context.Context { return catalog.OnBranch(ctx, name) }

// Branches lists the catalog's branches, with the configured one first; ErrNoBranches where there are none.
func (l *Lake) Branches(ctx context.Context) ([]catalog.Reference, error) {
	all, err := l.cat.References(ctx)
	slices.SortStableFunc(all, func(a, b catalog.Reference) int {
		switch own := l.cat.Branch(ctx); own {
		case a.Name:
			return -1
		case b.Name:
			return 1
		}
		return 0
	})
	return all, err
}
