package contention

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/maintain"
)

// upkeep is what the maintenance beside the writers goes by.
type upkeep struct {
	Target        int64 // bytes of a file
	MinInputFiles int
	KeepLast      int // snapshots; the others go when they have not been the head for OlderThan
	OlderThan     time.Duration
	Rest          time.Duration // between two passes
}

// shape is what of a table's files a reader has to go through.
type shape struct {
	Files, Small   int
	Bytes, InSmall int64
	Deletes        int // delete files
	Snapshots      int
	Manifests      int
	MetadataBytes  int64
}

func (s shape) share() float64 { return float64(s.Small) / float64(max(s.Files, 1)) }

// shapes are a table's before a pass and after it. Left are the small files of before that are there still.
type shapes struct {
	Before, After shape
	Left          int
}

// look takes the table's shape, and its small files by name: those that health counts as small.
func (u *upkeep) look(ctx context.Context, t *tables.Table) (s shape, small map[string]bool, err error) {
	h, err := t.Health(ctx, u.Target)
	if err != nil {
		return s, nil, err
	}
	tasks, err := t.Iceberg().Scan().PlanFiles(ctx)
	if err != nil {
		return s, nil, err
	}
	s = shape{
		Files: h.Files, Small: h.SmallFiles, Bytes: h.Bytes, Deletes: h.DeleteFiles, Snapshots: h.Snapshots, Manifests: h.Manifests,
		MetadataBytes: h.MetadataBytes,
	}
	small = map[string]bool{}
	for _, task := range tasks {
		if size := task.File.FileSizeBytes(); size < u.Target/4*3 && !small[task.File.FilePath()] {
			small[task.File.FilePath()] = true
			s.InSmall += size
		}
	}
	if len(small) != s.Small {
		return s, nil, fmt.Errorf("health counts %d small files, of which %d are seen", s.Small, len(small))
	}
	return s, small, nil
}

// maintain is MaintainTable's steps, over and over: files are joined group by group and committed in parts, old snapshots
// forgotten. It ends with passes that nobody is beside, until one finds nothing to join.
func (w *worker) maintain(ctx context.Context) error {
	for i := 0; ; i++ {
		last := w.stop()
		joined, err := w.pass(ctx, i)
		if err != nil {
			return fmt.Errorf("maintenance %d: %w", i, err)
		}
		if last && !joined {
			return nil
		}
		select {
		case <-w.stopped:
		case <-time.After(w.Maintain.Rest):
		}
	}
}

func (w *worker) pass(ctx context.Context, i int) (joined bool, err error) {
	if w.tbl, err = w.tbl.Refresh(ctx); err != nil {
		return false, err
	}
	before, small, err := w.Maintain.look(ctx, w.tbl)
	if err != nil {
		return false, err
	}
	d := done{ID: fmt.Sprint(i), Kind: "compact", Began: now()}
	if err := w.compactInParts(ctx, i, &d); err != nil {
		return false, err
	}
	if w.tbl, err = w.tbl.Refresh(ctx); err != nil {
		return false, err
	}
	after, still, err := w.Maintain.look(ctx, w.tbl)
	if err != nil {
		return false, err
	}
	d.Ended, d.Shape = now(), &shapes{Before: before, After: after}
	for path := range small {
		if still[path] {
			d.Shape.Left++
		}
	}
	e, err := w.expire(ctx, i)
	w.report = append(w.report, d, e)
	return !d.Nobody, err
}

// partOf is how many groups are committed together.
const partOf = 8

func (w *worker) compactInParts(ctx context.Context, i int, d *done) error {
	plan, err := w.tbl.PlanCompaction(ctx, maintain.CompactOptions{
		TargetFileBytes: w.Maintain.Target, MinInputFiles: w.Maintain.MinInputFiles,
	})
	if err != nil {
		return err
	}
	d.Nobody = true
	var ready []maintain.Compacted
	for n, g := range plan.Groups {
		c, err := w.tbl.CompactGroup(ctx, plan.WithoutGroups(), g)
		switch {
		case errors.Is(err, tables.ErrMoved): // its files have expired meanwhile
			d.Redone++
		case err != nil:
			return err
		default:
			ready = append(ready, c)
		}
		if len(ready) < partOf && n+1 < len(plan.Groups) || len(ready) == 0 {
			continue
		}
		id := commit.ID{Writer: w.Name, Token: fmt.Sprintf("%d/%d", i, n)}
		r, err := w.tbl.CommitCompaction(ctx, tables.CommitOptions{ID: id}, plan, ready)
		if err != nil {
			return err
		}
		ready = nil
		d.Attempts, d.Tries = d.Attempts+r.Attempts, d.Tries+r.Conflicts+1
		d.Redone, d.Compacted = d.Redone+r.GroupsDropped, d.Compacted+r.Groups
		d.Nobody = d.Nobody && !r.Committed
	}
	return nil
}

func (w *worker) expire(ctx context.Context, i int) (done, error) {
	d := done{ID: fmt.Sprint(i), Kind: "expire", Began: now()}
	r, err := w.tbl.Expire(ctx, tables.CommitOptions{ID: commit.ID{Writer: w.Name + ".expire", Token: d.ID}}, maintain.ExpireOptions{
		OlderThan: w.Maintain.OlderThan, KeepLast: w.Maintain.KeepLast,
	})
	d.Ended, d.Nobody, d.Attempts, d.Tries = now(), !r.Committed, r.Attempts, r.Conflicts+1
	return d, err
}
