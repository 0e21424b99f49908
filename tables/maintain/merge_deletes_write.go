package maintain

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
)

// MergedDeletes is what putting position deletes together came to, or would.
type MergedDeletes struct {
	DataFiles int   // that had several
	Removed   int   // position-delete files
	Added     int   // position-delete files, or in format 3 deletion vectors; at most, if nothing is written yet
	Bytes     int64 // of those removed
	Written   int64 // bytes
	Dropped   int   // groups left to a writer that touched their files
}

// DeleteMerge puts the position deletes of each data file together into one file, and in format 3 those that an earlier format has
// left into one deletion vector. Its Change is a commit.Planner. What is put together is chosen and written at the first head;
// at a later one, a group is dropped if one of its files is gone. Deletes that came since stay beside, and no delete is ever lost.
//
// It owns the files that it has written until they are committed; Abort removes them. It is for one goroutine.
type DeleteMerge struct {
	opts    MergeDeletesOptions
	began   bool
	version int
	groups  []*mergedGroup
	dropped int
	stats   MergedDeletes
}

// mergedGroup is a group that is written.
type mergedGroup struct {
	*deleteGroup
	out       []iceberg.DataFile
	sequences map[string]int64 // of what is deleted, by data file
	store     iceio.WriteFileIO
}

// NewDeleteMerge checks the options.
func NewDeleteMerge(opts MergeDeletesOptions) (*DeleteMerge, error) {
	if opts.MinInputFiles < 0 || opts.MinInputFiles == 1 {
		return nil, fmt.Errorf("merge deletes: from %d files of a data file on; want 2 or more", opts.MinInputFiles)
	}
	if opts.MinInputFiles == 0 {
		opts.MinInputFiles = 3
	}
	if opts.Parallelism <= 0 {
		opts.Parallelism = runtime.GOMAXPROCS(0)
	}
	return &DeleteMerge{opts: opts}, nil
}

// Plan tells what Change would put together of head.
func (m *DeleteMerge) Plan(ctx context.Context, head *table.Table) (MergedDeletes, error) {
	c, err := takeCensus(ctx, head)
	if err != nil {
		return MergedDeletes{}, m.wrap(head, err)
	}
	var out MergedDeletes
	for _, g := range c.mergeable(head.Metadata(), m.opts.MinInputFiles) {
		out.add(g)
		out.Added += len(g.targets)
	}
	return out, nil
}

func (s *MergedDeletes) add(g *deleteGroup) {
	s.DataFiles, s.Removed = s.DataFiles+len(g.targets), s.Removed+len(g.inputs)
	for _, d := range g.inputs {
		s.Bytes += d.file.FileSizeBytes()
	}
}

func (m *DeleteMerge) wrap(head *table.Table, err error) error {
	return fmt.Errorf("merge deletes of %s: %w", strings.Join(head.Identifier(), "."), err)
}

// Change computes what to commit on top of head; nil if there is nothing to do. After an error nothing of what was written is
// kept.
func (m *DeleteMerge) Change(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
	c, err := takeCensus(ctx, head)
	if err == nil && !m.began {
		m.version, m.began = head.Metadata().Version(), true
		err = m.write(ctx, head, c.mergeable(head.Metadata(), m.opts.MinInputFiles))
	}
	if err != nil {
		m.Abort()
		return nil, m.wrap(head, err)
	}
	now := c.standing(head.Metadata())
	m.groups = slices.DeleteFunc(m.groups, func(g *mergedGroup) bool {
		if m.version == head.Metadata().Version() && now.holds(g.deleteGroup) {
			return false
		}
		m.dropped++
		g.remove()
		return true
	})
	return m.change(), nil
}

func (m *DeleteMerge) change() *commit.Change {
	m.stats = MergedDeletes{Dropped: m.dropped}
	if len(m.groups) == 0 {
		return nil
	}
	change := &commit.Change{Operation: commit.Rewrite, DeleteSequences: map[string]int64{}}
	for _, g := range m.groups {
		for _, d := range g.inputs {
			change.RemoveDeletes = append(change.RemoveDeletes, d.file)
		}
		change.AddDeletes = append(change.AddDeletes, g.out...)
		for path, at := range g.sequences {
			change.DeleteSequences[path] = at
		}
		m.stats.add(g.deleteGroup)
		m.stats.Added += len(g.out)
		m.stats.Written += g.bytes()
	}
	change.Summary = map[string]string{DeletesKey: strconv.Itoa(m.stats.Removed)}
	return change
}

// Stats is what the last call of Change came to.
func (m *DeleteMerge) Stats() MergedDeletes { return m.stats }

// Abort removes what was written, for a change that is certainly not committed.
func (m *DeleteMerge) Abort() {
	for _, g := range m.groups {
		g.remove()
	}
	m.groups, m.began, m.dropped = nil, false, 0
}

// remove removes files that nobody else knows of; what cannot be removed is an orphan.
func (g *mergedGroup) remove() {
	for _, f := range g.out {
		_ = g.store.Remove(f.FilePath())
	}
}

// bytes counts a file of several deletion vectors once.
func (g *mergedGroup) bytes() (n int64) {
	seen := map[string]bool{}
	for _, f := range g.out {
		if !seen[f.FilePath()] {
			n += f.FileSizeBytes()
		}
		seen[f.FilePath()] = true
	}
	return n
}

// write writes groups, some at once.
func (m *DeleteMerge) write(ctx context.Context, head *table.Table, groups []*deleteGroup) error {
	fs, err := head.FS(ctx)
	if err != nil {
		return err
	}
	store, ok := fs.(iceio.WriteFileIO)
	if !ok {
		return errors.New("its store cannot be written to")
	}
	done := make([]*mergedGroup, len(groups))
	each, ctx := errgroup.WithContext(ctx)
	each.SetLimit(m.opts.Parallelism)
	for i, g := range groups {
		done[i] = &mergedGroup{deleteGroup: g, sequences: map[string]int64{}, store: store}
		each.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return done[i].write(ctx, head.Metadata())
		})
	}
	err = each.Wait()
	m.groups = done
	return err
}

// write writes one group: a file of positions for each data file, or one of deletion vectors. Positions of data files that are not
// live are left out.
func (g *mergedGroup) write(ctx context.Context, meta table.Metadata) error {
	var tasks []table.FileScanTask
	for _, f := range g.targets {
		t := table.FileScanTask{File: f.file}
		for _, d := range g.of[f.file.FilePath()] {
			t.DeleteFiles = append(t.DeleteFiles, d.file)
		}
		tasks = append(tasks, t)
	}
	var vectors []datafile.VectorDelete
	err := datafile.DeletesOfAll(ctx, g.store, tasks, func(t table.FileScanTask, positions *roaring64.Bitmap) error {
		path := t.File.FilePath()
		if positions.IsEmpty() {
			return nil
		}
		for _, d := range g.of[path] {
			g.sequences[path] = max(g.sequences[path], d.sequence)
		}
		if meta.Version() >= 3 {
			vectors = append(vectors, datafile.VectorDelete{DataFile: t.File, Positions: positions})
			return nil
		}
		file, err := datafile.WritePositionDeletes(ctx, meta, g.store, t.File, positions)
		if err == nil {
			g.out = append(g.out, file)
		}
		return err
	})
	if err != nil || len(vectors) == 0 {
		return err
	}
	g.out, err = datafile.WriteDeletionVectors(ctx, meta, g.store, vectors)
	return err
}
