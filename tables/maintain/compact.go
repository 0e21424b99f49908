package maintain

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
)

// CompactOptions say which files are rewritten. Zero values are the defaults.
type CompactOptions struct {
	// TargetFileSize is what files are brought near to, in bytes. Default: write.target-file-size-bytes, 512 MiB.
	TargetFileSize int64
	// MinInputFiles is how many small files of a partition are worth a rewrite. Default: 5.
	MinInputFiles int
	// MaxDeleted is the share of a file's rows, above 0 and up to 1, whose deletion makes it worth one alone. Default: 0.3.
	MaxDeleted float64
	// MaxDeleteFiles is the number of delete files of a data file that makes it worth one alone. Default: 5.
	MaxDeleteFiles int

	Parallelism int   // groups rewritten at once; default GOMAXPROCS
	MemoryLimit int64 // divided among them; 0 means the writer's own default
	TempDir     string
}

func (o CompactOptions) withDefaults(props iceberg.Properties) CompactOptions {
	if o.TargetFileSize <= 0 {
		o.TargetFileSize = props.GetInt64(table.WriteTargetFileSizeBytesKey, table.WriteTargetFileSizeBytesDefault)
	}
	if o.MinInputFiles <= 0 {
		o.MinInputFiles = 5
	}
	if o.MaxDeleted <= 0 {
		o.MaxDeleted = 0.3
	}
	if o.MaxDeleteFiles <= 0 {
		o.MaxDeleteFiles = 5
	}
	if o.Parallelism <= 0 {
		o.Parallelism = runtime.GOMAXPROCS(0)
	}
	return o
}

// CompactStats is what a compaction came to.
type CompactStats struct {
	Groups        int   // rewritten and still valid at the last attempt
	GroupsDropped int   // left to a writer that touched their files
	FilesRemoved  int   // data files
	DeletesGone   int   // delete files whose deletes are applied now, or whose data file is gone
	FilesAdded    int   // data files
	Rows          int64 // rewritten
	BytesRead     int64
	BytesWritten  int64
}

// Compaction is one compaction of a table. Its Change is a commit.Planner. The groups are chosen and rewritten at the
// first head; at a later one, a group is dropped if one of its files is gone or has other deletes: what a writer did to
// rows is never undone, and never waited for.
//
// A Compaction owns the files that it has written until they are committed; Abort removes them. It is for one goroutine.
type Compaction struct {
	opts   CompactOptions
	began  bool
	groups []*group
	stats  CompactStats
	fs     iceio.WriteFileIO
}

// NewCompaction checks the options.
func NewCompaction(opts CompactOptions) (*Compaction, error) {
	if opts.MaxDeleted > 1 {
		return nil, fmt.Errorf("compact: a share of deleted rows of %v; want at most 1", opts.MaxDeleted)
	}
	return &Compaction{opts: opts}, nil
}

// Change computes what to commit on top of head; nil if there is nothing to do. After an error nothing of what was
// written is kept.
func (c *Compaction) Change(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
	change, err := c.plan(ctx, head)
	if err != nil {
		c.discard()
		return nil, fmt.Errorf("compact %s: %w", strings.Join(head.Identifier(), "."), err)
	}
	return change, nil
}

func (c *Compaction) plan(ctx context.Context, head *table.Table) (*commit.Change, error) {
	if head.CurrentSnapshot() == nil {
		return nil, nil
	}
	tasks, err := head.Scan().PlanFiles(ctx)
	if err != nil {
		return nil, fmt.Errorf("plan files: %w", err)
	}
	tasks = datafile.WholeFiles(tasks)
	if !c.began {
		if err := c.rewrite(ctx, head, tasks); err != nil {
			return nil, err
		}
		c.began = true
	} else {
		c.yield(tasks)
	}
	if len(c.groups) == 0 {
		return nil, nil
	}
	return c.change(ctx, head)
}

// yield drops the groups whose files are not as they were read.
func (c *Compaction) yield(tasks []table.FileScanTask) {
	now := make(map[string]string, len(tasks))
	for _, t := range tasks {
		now[t.File.FilePath()] = signature(t)
	}
	c.groups = slices.DeleteFunc(c.groups, func(g *group) bool {
		for _, t := range g.tasks {
			if now[t.File.FilePath()] != signature(t) {
				c.removeFiles(g.out)
				c.stats.GroupsDropped++
				return true
			}
		}
		return false
	})
}

// signature is equal for two tasks of a file if the same rows are live; it is never empty.
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
	return "live|" + strings.Join(names, "|")
}

// rewrite reads each group's live rows and writes them anew.
func (c *Compaction) rewrite(ctx context.Context, head *table.Table, tasks []table.FileScanTask) error {
	fs, err := head.FS(ctx)
	if err != nil {
		return err
	}
	var ok bool
	if c.fs, ok = fs.(iceio.WriteFileIO); !ok {
		return errors.New("its store cannot be written to")
	}
	spec := head.Spec()
	o := c.opts.withDefaults(head.Properties())
	c.groups = choose(tasks, spec.ID(), o)
	each, ctx := errgroup.WithContext(ctx)
	each.SetLimit(o.Parallelism)
	for _, g := range c.groups {
		each.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return c.rewriteGroup(ctx, head, g, o)
		})
	}
	return each.Wait()
}

func (c *Compaction) rewriteGroup(ctx context.Context, head *table.Table, g *group, o CompactOptions) error {
	columns := make([]string, 0, len(head.Schema().Fields())+2)
	for _, f := range head.Schema().Fields() {
		columns = append(columns, f.Name)
	}
	lineage := head.Metadata().Version() >= 3
	if lineage {
		columns = append(columns, iceberg.RowIDColumnName, iceberg.LastUpdatedSequenceNumberColumnName)
	}
	rows, err := datafile.Scan(ctx, head, datafile.ScanOptions{Columns: columns, Files: g.tasks, Parallelism: 1})
	if err != nil {
		return err
	}
	defer rows.Release()
	w, err := datafile.NewWriter(ctx, head.Metadata(), c.fs, datafile.WriterOptions{
		TargetFileSize: o.TargetFileSize, RowLineage: lineage, Parallelism: 1, TempDir: o.TempDir,
		MemoryLimit: o.MemoryLimit / int64(o.Parallelism),
	})
	if err != nil {
		return err
	}
	for rows.Next() {
		if err = w.Write(rows.RecordBatch()); err != nil {
			break
		}
	}
	if err = errors.Join(err, rows.Err()); err == nil {
		g.out, err = w.Close()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("rewrite %d files: %w", len(g.tasks), err), w.Abort())
	}
	return nil
}

// change puts the groups together. Delete files that concern a rewritten file alone go with it, as do those that refer to
// files which are long gone.
func (c *Compaction) change(ctx context.Context, head *table.Table) (*commit.Change, error) {
	out := &commit.Change{Operation: commit.Rewrite, Summary: map[string]string{"varve.compaction": strconv.Itoa(len(c.groups))}}
	stays, err := commit.BetweenSnapshots(ctx, head, nil, head.CurrentSnapshot())
	if err != nil {
		return nil, err
	}
	live := make(map[string]bool, len(stays.AddedData))
	for _, f := range stays.AddedData {
		live[f.FilePath()] = true
	}
	dropped := c.stats.GroupsDropped
	c.stats = CompactStats{Groups: len(c.groups), GroupsDropped: dropped}
	for _, g := range c.groups {
		for _, t := range g.tasks {
			out.RemoveData = append(out.RemoveData, t.File)
			c.stats.BytesRead += t.File.FileSizeBytes()
			delete(live, t.File.FilePath())
		}
		for _, f := range g.out {
			out.AddData = append(out.AddData, f)
			c.stats.Rows += f.Count()
			c.stats.BytesWritten += f.FileSizeBytes()
		}
	}
	for _, d := range stays.AddedDeletes {
		if of := commit.ReferencedFile(d); of != "" && !live[of] {
			out.RemoveDeletes = append(out.RemoveDeletes, d)
		}
	}
	c.stats.FilesRemoved, c.stats.DeletesGone, c.stats.FilesAdded = len(out.RemoveData), len(out.RemoveDeletes), len(out.AddData)
	return out, nil
}

// Stats is what the last call of Change came to.
func (c *Compaction) Stats() CompactStats { return c.stats }

// Abort removes what was written, for a compaction that is certainly not committed.
func (c *Compaction) Abort() { c.discard() }

func (c *Compaction) discard() {
	for _, g := range c.groups {
		c.removeFiles(g.out)
	}
	c.groups, c.began = nil, false
}

// removeFiles removes files that nobody else knows of. What cannot be removed is an orphan.
func (c *Compaction) removeFiles(files []iceberg.DataFile) {
	for _, f := range files {
		_ = c.fs.Remove(f.FilePath())
	}
}
