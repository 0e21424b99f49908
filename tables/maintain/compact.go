package maintain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/fault"
)

// CompactStats is what a compaction came to.
type CompactStats struct {
	Groups        int   // rewritten and still valid at the last attempt
	GroupsDropped int   // left to a writer that touched their files
	GroupsLeft    int   // worth a rewrite too, for which the budget had no room
	FilesRemoved  int   // data files
	DeletesGone   int   // delete files whose deletes are applied now, or whose data file is gone
	FilesAdded    int   // data files
	Rows          int64 // rewritten
	BytesRead     int64
	BytesWritten  int64
	BytesCopied   int64 // of those written, what was not decoded
}

// Compaction is one compaction of a table. Its Change is a commit.Planner. The groups are chosen and rewritten at the
// first head, or come from elsewhere; at a later one, a group is dropped if one of its files is gone or has other deletes:
// what a writer did to rows is never undone, and never waited for.
//
// A Compaction owns the files that it has written until they are committed; Abort removes them. Those that come from
// elsewhere it leaves alone. It is for one goroutine.
type Compaction struct {
	opts   CompactOptions
	began  bool
	groups []*rewritten
	stats  CompactStats
	now    func() time.Time

	table   string      // the uuid of that for which the following are
	adopted []Compacted // instead of what it writes itself
	dropped []Compacted // of them
}

// NewCompaction checks the options.
func NewCompaction(opts CompactOptions) (*Compaction, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	return &Compaction{opts: opts, now: time.Now}, nil
}

// CommitOf is the compaction that commits groups which were rewritten elsewhere, any part of a plan's.
func CommitOf(plan CompactionPlan, groups []Compacted) *Compaction {
	return &Compaction{table: plan.Table, adopted: append([]Compacted{}, groups...), now: time.Now}
}

// Change computes what to commit on top of head; nil if there is nothing to do. After an error nothing of what was
// written is kept.
func (c *Compaction) Change(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
	change, err := c.plan(ctx, head)
	if err != nil {
		c.discard()
		return nil, wrap(head, err)
	}
	return change, nil
}

func (c *Compaction) plan(ctx context.Context, head *table.Table) (*commit.Change, error) {
	if head.CurrentSnapshot() == nil {
		return nil, nil
	}
	switch {
	case c.adopted != nil:
		if err := c.adopt(ctx, head); err != nil {
			return nil, err
		}
	case !c.began:
		if err := c.rewrite(ctx, head); err != nil {
			return nil, err
		}
		c.began = true
	}
	if len(c.groups) == 0 {
		return nil, nil
	}
	now, err := lookAt(ctx, head, c.groups)
	if err != nil {
		return nil, err
	}
	c.yield(now.tasks)
	if len(c.groups) == 0 {
		return nil, nil
	}
	return c.change(now), nil
}

// adopt takes over the groups that were rewritten elsewhere, anew at each head. Those of another format lack what this one has
// of their rows, or have it where this one does not. Those whose files are gone were dropped by an earlier call, whose answer
// was lost: a rollback since may have made their inputs what they were.
func (c *Compaction) adopt(ctx context.Context, head *table.Table) error {
	meta := head.Metadata()
	if meta.TableUUID().String() != c.table {
		return ErrMoved
	}
	store, err := head.FS(ctx)
	if err != nil {
		return err
	}
	c.groups, c.dropped = nil, nil
	for _, g := range c.adopted {
		there, err := exist(store, g.Paths)
		if err != nil {
			return err
		}
		if !there || g.Version != meta.Version() {
			c.dropped = append(c.dropped, g)
			continue
		}
		files, err := datafile.NewDecoder(meta, g.Schema, g.Version)
		if err != nil {
			return err
		}
		out := &rewritten{inputs: g.Inputs, read: g.BytesRead, copied: g.BytesCopied, sequence: g.Sequence, from: &g}
		if out.out, err = files.Files(g.Files); err != nil {
			return err
		}
		if out.place, err = files.Files(g.Place); err != nil {
			return err
		}
		c.groups = append(c.groups, out)
	}
	c.stats.GroupsDropped = len(c.dropped)
	return nil
}

func exist(store iceio.IO, paths []string) (bool, error) {
	for _, path := range paths {
		f, err := store.Open(path)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fault.ErrAbsent) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("look for %s: %w", path, err)
		}
		if err := f.Close(); err != nil {
			return false, fmt.Errorf("look for %s: %w", path, err)
		}
	}
	return true, nil
}

// yield drops the groups whose files are not as they were read.
func (c *Compaction) yield(now map[string]table.FileScanTask) {
	c.groups = slices.DeleteFunc(c.groups, func(g *rewritten) bool {
		for _, in := range g.inputs {
			if t, ok := now[in.Path]; !ok || signature(t) != in.Live {
				c.drop(g)
				return true
			}
		}
		return false
	})
}

func (c *Compaction) drop(g *rewritten) {
	c.stats.GroupsDropped++
	if g.from != nil {
		c.dropped = append(c.dropped, *g.from)
		return
	}
	_ = g.remove() // what cannot be removed is an orphan
}

// signature is equal for two tasks of a file if the same rows are live, with the same ids: those of a table whose format was just
// raised get theirs by the next commit. It is never empty.
func signature(t table.FileScanTask) string {
	var names []string
	for _, files := range [][]iceberg.DataFile{t.DeleteFiles, t.EqualityDeleteFiles, t.DeletionVectorFiles} {
		for _, d := range files {
			name := d.FilePath()
			if at := d.ContentOffset(); at != nil {
				name += "@" + strconv.FormatInt(*at, 10)
			}
			names = append(names, name)
		}
	}
	slices.Sort(names)
	out := "live|"
	if t.FirstRowID != nil {
		out = "live#" + strconv.FormatInt(*t.FirstRowID, 10) + "|"
	}
	return out + strings.Join(names, "|")
}

// rewrite chooses groups and rewrites them, until the budget of time is spent.
func (c *Compaction) rewrite(ctx context.Context, head *table.Table) error {
	began := c.now()
	plan, groups, err := planGroups(ctx, head, c.opts)
	if err != nil {
		return err
	}
	o := c.opts.withDefaults(head.Properties())
	atOnce := min(o.Parallelism, max(len(groups), 1))
	local := Local{Parallelism: o.Parallelism / atOnce, MemoryLimit: o.MemoryLimit / int64(atOnce), TempDir: o.TempDir}
	done := make([]*rewritten, len(groups))
	each, ctx := errgroup.WithContext(ctx)
	each.SetLimit(atOnce)
	for i, g := range groups {
		each.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if i > 0 && o.Budget.Time > 0 && c.now().Sub(began) >= o.Budget.Time {
				return nil
			}
			var err error
			done[i], err = rewrite(ctx, head, plan, g.tasks, local)
			return err
		})
	}
	err = each.Wait()
	c.stats.GroupsLeft = plan.LeftGroups
	for _, g := range done {
		if g != nil {
			c.groups = append(c.groups, g)
		} else {
			c.stats.GroupsLeft++
		}
	}
	return err
}

// change puts the groups together. Delete files that concern a rewritten file alone go with it, as do those in its partition that
// refer to files which are long gone.
func (c *Compaction) change(now *look) *commit.Change {
	out := &commit.Change{Operation: commit.Rewrite, Summary: map[string]string{"varve.compaction": strconv.Itoa(len(c.groups))}}
	s := CompactStats{Groups: len(c.groups), GroupsDropped: c.stats.GroupsDropped, GroupsLeft: c.stats.GroupsLeft}
	for _, g := range c.groups {
		for _, in := range g.inputs {
			out.RemoveData = append(out.RemoveData, now.tasks[in.Path].File)
			delete(now.live, in.Path)
		}
		out.AddData = append(out.AddData, g.out...)
		s.Rows += g.rows()
		s.BytesRead, s.BytesWritten, s.BytesCopied = s.BytesRead+g.read, s.BytesWritten+g.bytes(), s.BytesCopied+g.copied
	}
	for _, d := range now.deletes {
		if !now.live[commit.ReferencedFile(d)] {
			out.RemoveDeletes = append(out.RemoveDeletes, d)
		}
	}
	s.FilesRemoved, s.DeletesGone, s.FilesAdded = len(out.RemoveData), len(out.RemoveDeletes), len(out.AddData)
	c.stats = s
	return out
}

// Stats is what the last call of Change came to.
func (c *Compaction) Stats() CompactStats { return c.stats }

// Dropped are the groups from elsewhere that the last call of Change has left to a writer.
func (c *Compaction) Dropped() []Compacted { return c.dropped }

// Abort removes what was written, for a compaction that is certainly not committed.
func (c *Compaction) Abort() { c.discard() }

func (c *Compaction) discard() {
	for _, g := range c.groups {
		if g.from == nil {
			_ = g.remove()
		}
	}
	c.groups, c.began = nil, false
}
