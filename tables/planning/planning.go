// Package planning finds the files that a read has to look at, from a table's metadata alone: manifests by what the manifest
// list summarises of their partitions, their files by partition, bounds and counts of nulls. What manifests say is kept in a
// cache, so that the next plan of the same snapshot reads nothing.
//
// It does what the library's own planning does, by the filter's rules of package datafile instead of the library's, and without
// decoding a manifest twice.
package planning

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/varve-lake/varve/tables/cache"
)

// Options say what is planned.
type Options struct {
	Snapshot *table.Snapshot // nil is a table without rows
	Schema   *iceberg.Schema // that the filter is about
	Filter   iceberg.BooleanExpression
	// Whole leaves files above the table's read.split.target-size in one task; they are divided at row groups otherwise.
	Whole bool
	// Limit is how many rows suffice, zero for all: without a Filter, and where nothing can be deleted from them, files after those
	// that hold so many are left out, and manifests after theirs are not read.
	Limit int64
	// Floats are fields of which it is asked whether a file may hold a NaN; see Plan.MayBeNaN.
	Floats []int
	// Described says that tasks have their files' descriptions whole, with statistics, as who changes a table needs them. Manifests
	// are then looked at piece by piece, and not kept. Tasks are of whole files.
	Described bool
	// Keep, with Described, is asked about each file that the filter leaves, before its deletes are known; false leaves it out.
	// Choose is asked with its deletes, for which those of all files are gathered first. Several goroutines ask.
	Keep   func(iceberg.DataFile) bool
	Choose func(table.FileScanTask) bool
	// Places, when set, are the only partitions that are wanted, in addition to the filter. Files of others may come too: they are
	// left out by manifests. Deletes in manifests that are younger than a sequence number, Since, are wanted wherever they lie.
	Places *Places
	Since  int64
	// Rest, with Described, is another filter, of which Plan.Rest tells whether it may hold for a row of a task.
	Rest iceberg.BooleanExpression
	// Parallelism is the number of manifests read at once. Default: GOMAXPROCS.
	Parallelism int
	Cache       *cache.Cache
}

// Counts are what planning looked at and left out.
type Counts struct {
	Manifests          int   `json:"manifests"`                      // of data files, in the snapshot
	ManifestsPruned    int   `json:"manifests_pruned,omitempty"`     // by the summaries of their partitions
	Files              int64 `json:"files"`                          // data files in the other manifests
	FilesPrunedByValue int64 `json:"files_pruned_by_bounds"`         // by bounds and counts of nulls
	FilesPrunedByPart  int64 `json:"files_pruned_by_partition"`      // by their own partition
	DeleteManifests    int   `json:"delete_manifests,omitempty"`     // looked into
	DeleteFiles        int   `json:"delete_files_applied,omitempty"` // that apply to a file that is left
	// MetadataReads are the manifest lists and manifests that were not in memory, and MetadataBytes what was read of them.
	MetadataReads int64 `json:"metadata_reads,omitempty"`
	MetadataBytes int64 `json:"metadata_bytes,omitempty"`
}

// Plan is the files to read.
type Plan struct {
	Tasks  []table.FileScanTask
	Counts Counts
	// MayBeNaN says that one of the Floats may have a NaN in one of the files, since that is not known to be otherwise. Bounds and
	// statistics leave NaNs out.
	MayBeNaN bool
	// Rest says of each of the Tasks whether Options.Rest may hold for one of its rows.
	Rest []bool
}

// planner is what one plan shares.
type planner struct {
	opts   Options
	meta   table.Metadata
	fs     iceio.IO
	filter *rules
	rest   *rules

	reads, bytes atomic.Int64
	nans         atomic.Bool
}

// Files plans a read of a snapshot. Tasks are in the order of the manifest list and of the manifests.
func Files(ctx context.Context, meta table.Metadata, fs iceio.IO, opts Options) (*Plan, error) {
	p, err := newPlanner(meta, fs, opts)
	if err != nil {
		return nil, err
	}
	out := &Plan{}
	if opts.Snapshot == nil {
		return out, nil
	}
	manifests, err := p.manifests(ctx)
	if err != nil {
		return nil, fmt.Errorf("plan snapshot %d: %w", opts.Snapshot.SnapshotID, err)
	}
	data, deletes, err := p.choose(manifests, &out.Counts)
	enough := p.opts.Limit > 0 && p.filter.values == nil && len(deletes) == 0
	if enough {
		data = firstRows(data, p.opts.Limit, rowsOf)
	}
	if err == nil {
		err = p.plan(ctx, data, deletes, out)
	}
	if err != nil {
		return nil, fmt.Errorf("plan snapshot %d: %w", opts.Snapshot.SnapshotID, err)
	}
	if enough {
		out.Tasks = firstRows(out.Tasks, p.opts.Limit, func(t table.FileScanTask) int64 {
			if t.Start != 0 || t.Length < t.File.FileSizeBytes() {
				return 0 // how many rows a part has is not known
			}
			return t.File.Count()
		})
	}
	out.Counts.MetadataReads, out.Counts.MetadataBytes = p.reads.Load(), p.bytes.Load()
	return out, nil
}

func newPlanner(meta table.Metadata, fs iceio.IO, opts Options) (*planner, error) {
	if opts.Parallelism <= 0 {
		opts.Parallelism = runtime.GOMAXPROCS(0)
	}
	opts.Whole = opts.Whole || opts.Described
	p := &planner{opts: opts, meta: meta, fs: fs}
	var err error
	if p.filter, err = newRules(opts.Schema, opts.Filter); err != nil {
		return nil, err
	}
	p.rest, err = newRules(opts.Schema, opts.Rest)
	return p, err
}

// choose leaves out manifests whose partitions exclude all that is looked for.
func (p *planner) choose(all []iceberg.ManifestFile, counts *Counts) (data, deletes []iceberg.ManifestFile, err error) {
	bySpec := map[int32][]iceberg.ManifestFile{}
	for _, m := range all {
		bySpec[m.PartitionSpecID()] = append(bySpec[m.PartitionSpecID()], m)
	}
	kept := map[iceberg.ManifestFile]bool{}
	for spec, manifests := range bySpec {
		f, err := p.filter.partition(p.meta, spec)
		if err == nil {
			_, err = p.rest.partition(p.meta, spec)
		}
		if err != nil {
			return nil, nil, err
		}
		for i, keep := range f.manifests(manifests) {
			kept[manifests[i]] = keep
		}
	}
	if p.opts.Places != nil {
		for i, may := range p.opts.Places.Manifests(all) {
			kept[all[i]] = kept[all[i]] && (may || p.everywhere(all[i]) || p.since(all[i]))
		}
	}
	for _, m := range all {
		empty := m.AddedDataFiles() == 0 && m.ExistingDataFiles() == 0 // -1 is not known
		switch isData := m.ManifestContent() == iceberg.ManifestContentData; {
		case isData && !empty && kept[m]:
			data = append(data, m)
		case isData && !empty:
			counts.ManifestsPruned++
		case !isData && !empty && kept[m]:
			deletes = append(deletes, m)
		}
		if m.ManifestContent() == iceberg.ManifestContentData {
			counts.Manifests++
		}
	}
	return data, deletes, nil
}

// everywhere says whether the deletes that a manifest lists may be of any partition.
func (p *planner) everywhere(m iceberg.ManifestFile) bool {
	spec := p.meta.PartitionSpecByID(int(m.PartitionSpecID()))
	return m.ManifestContent() == iceberg.ManifestContentDeletes && (spec == nil || spec.IsUnpartitioned())
}

func (p *planner) since(m iceberg.ManifestFile) bool {
	return m.ManifestContent() == iceberg.ManifestContentDeletes && m.SequenceNum() > p.opts.Since
}

// firstRows leaves out what comes after the first that have so many rows together.
func firstRows[T any](all []T, rows int64, of func(T) int64) []T {
	for i, one := range all {
		if rows -= of(one); rows <= 0 {
			return all[:i+1]
		}
	}
	return all
}

// rowsOf is how many rows the files of a manifest have; 0 where that is not known.
func rowsOf(m iceberg.ManifestFile) int64 { return max(m.AddedRows(), 0) + max(m.ExistingRows(), 0) }

// candidate is a data file that may hold a row looked for.
type candidate struct {
	*file
	spec int32
	rest bool // the rest may hold for one of its rows
}

// chosen is what one manifest has of what is planned.
type chosen struct {
	candidates []candidate
	tasks      []table.FileScanTask // of the candidates, where deletes were read first
	counts     Counts
}

func (p *planner) plan(ctx context.Context, data, deletes []iceberg.ManifestFile, out *Plan) error {
	var index *deleteIndex
	var err error
	if p.opts.Choose != nil {
		if index, err = p.deletes(ctx, deletes, nil, out); err != nil {
			return err
		}
	}
	found := make([]chosen, len(data))
	err = p.each(ctx, data, func(_ context.Context, i int, m *listed) error { return p.candidates(m, index, &found[i]) })
	if err != nil {
		return err
	}
	var candidates []candidate
	for i := range found {
		c := &found[i]
		candidates, out.Tasks = append(candidates, c.candidates...), append(out.Tasks, c.tasks...)
		out.Counts.Files += c.counts.Files
		out.Counts.FilesPrunedByPart += c.counts.FilesPrunedByPart
		out.Counts.FilesPrunedByValue += c.counts.FilesPrunedByValue
		out.Counts.DeleteFiles += c.counts.DeleteFiles
	}
	out.MayBeNaN = p.nans.Load()
	if index == nil {
		if index, err = p.deletes(ctx, deletes, candidates, out); err != nil {
			return err
		}
		if err := p.tasks(index, candidates, out); err != nil {
			return err
		}
	}
	for _, c := range candidates {
		if p.opts.Rest != nil {
			out.Rest = append(out.Rest, c.rest)
		}
	}
	return nil
}

// tasks are those of the candidates.
func (p *planner) tasks(index *deleteIndex, candidates []candidate, out *Plan) error {
	split := p.meta.Properties().GetInt64(table.ReadSplitTargetSizeKey, table.ReadSplitTargetSizeDefault)
	out.Tasks = make([]table.FileScanTask, 0, len(candidates))
	for _, c := range candidates {
		task, err := index.task(c, &out.Counts)
		if err != nil {
			return err
		}
		if p.opts.Whole {
			out.Tasks = append(out.Tasks, task)
		} else {
			out.Tasks = appendDivided(out.Tasks, task, split)
		}
	}
	return nil
}

// candidates are the files of a manifest, or of a piece of one, that may hold a row looked for. With an index of the deletes they
// are chosen by their tasks.
func (p *planner) candidates(m *listed, index *deleteIndex, to *chosen) error {
	keep, err := p.narrow(m, &to.counts)
	if err != nil {
		return err
	}
	var rest []bool
	if p.opts.Rest != nil {
		if rest, err = p.holds(p.rest, m, keep); err != nil {
			return err
		}
	}
	for f, k := range keep {
		if !k {
			continue
		}
		one, err := m.file(f)
		if err != nil {
			return err
		}
		if p.opts.Keep != nil && !p.opts.Keep(one.data) {
			continue
		}
		c := candidate{one, m.spec, rest != nil && rest[f]}
		if index != nil {
			task, err := index.task(c, &to.counts)
			if err != nil {
				return err
			}
			if !p.opts.Choose(task) {
				continue
			}
			to.tasks = append(to.tasks, task)
		}
		if m.mayBeNaN(f, p.opts.Floats) {
			p.nans.Store(true)
		}
		to.candidates = append(to.candidates, c)
	}
	return nil
}

// narrow says which files of a manifest may hold a row looked for.
func (p *planner) narrow(m *listed, counts *Counts) ([]bool, error) {
	partition, err := p.filter.partition(p.meta, m.spec)
	if err != nil {
		return nil, err
	}
	keep := make([]bool, m.len())
	for i := range keep {
		keep[i] = p.opts.Described || m.entries.Rows(i) != 0
	}
	left := count(keep)
	counts.Files += left
	partition.files(keep, m)
	counts.FilesPrunedByPart += left - count(keep)
	left = count(keep)
	if left > 0 {
		p.filter.values.Narrow(keep, m.bounds)
	}
	counts.FilesPrunedByValue += left - count(keep)
	return keep, nil
}

func count(keep []bool) (n int64) {
	for _, k := range keep {
		if k {
			n++
		}
	}
	return n
}

// each reads manifests, some at a time, and calls do with each, or with one piece of it after the other.
func (p *planner) each(ctx context.Context, manifests []iceberg.ManifestFile, do func(context.Context, int, *listed) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(p.opts.Parallelism)
	for i, m := range manifests {
		g.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if p.opts.Described || m.Length() > maxKept {
				return p.pieces(ctx, m, func(piece *listed) error { return do(ctx, i, piece) })
			}
			read, err := p.manifest(ctx, m)
			if err != nil {
				return err
			}
			return do(ctx, i, read)
		})
	}
	return g.Wait()
}

// appendDivided divides a large file at its row groups, for readers to share.
func appendDivided(tasks []table.FileScanTask, task table.FileScanTask, target int64) []table.FileScanTask {
	size, offsets := task.File.FileSizeBytes(), task.File.SplitOffsets()
	if target <= 0 || size <= target || len(offsets) < 2 {
		return append(tasks, task)
	}
	for i, at := range offsets {
		if at < 0 || at >= size || i > 0 && at <= offsets[i-1] {
			return append(tasks, task) // what they say of the file cannot be
		}
	}
	start := int64(0)
	for i := range offsets {
		end := size
		if i+1 < len(offsets) {
			end = offsets[i+1]
		}
		if i+1 < len(offsets) && offsetAfter(offsets, i+1, size)-start <= target {
			continue
		}
		task.Start, task.Length = start, end-start
		tasks = append(tasks, task)
		start = end
	}
	return tasks
}

// offsetAfter is where a row group ends.
func offsetAfter(offsets []int64, i int, size int64) int64 {
	if i+1 < len(offsets) {
		return offsets[i+1]
	}
	return size
}
