package maintain

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/google/uuid"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/planning"
)

// RewrittenManifests is what a rewrite of manifests came to, or would.
type RewrittenManifests struct {
	Removed int
	Added   int
	Files   int64 // that they list
	Bytes   int64 // of those removed
	Written int64 // bytes
	Left    int   // manifests that are worth it too, for another run
	Redone  int   // times that a writer had replaced one meanwhile
}

// maxManifestTries is how often manifests are written that a writer then replaces; after that they are left to another run.
const maxManifestTries = 3

// ManifestRewrite lays the entries of manifests by partition, so that a read of some partitions opens few of them, and puts small
// ones together. Its Change is a commit.Planner. What was written holds at a later head as long as all manifests that it takes the
// place of are there, whatever came beside them. It owns what it has written until it is committed; Abort removes it.
type ManifestRewrite struct {
	opts    ManifestOptions
	tries   int
	version int
	change  *commit.Manifests
	store   iceio.WriteFileIO
	stats   RewrittenManifests
}

// NewManifestRewrite checks the options.
func NewManifestRewrite(opts ManifestOptions) (*ManifestRewrite, error) {
	return &ManifestRewrite{opts: opts}, opts.check()
}

// Plan tells what Change would write anew of head.
func (r *ManifestRewrite) Plan(ctx context.Context, head *table.Table) (RewrittenManifests, error) {
	var out RewrittenManifests
	groups, _, err := r.choose(ctx, head)
	for _, g := range groups {
		out.Removed, out.Added, out.Left = out.Removed+len(g.inputs), out.Added+g.outputs, out.Left+g.leftOver
		out.Files, out.Bytes = out.Files+g.files, out.Bytes+g.bytes
	}
	return out, err
}

func (r *ManifestRewrite) choose(ctx context.Context, head *table.Table) ([]*manifestGroup, iceio.IO, error) {
	s := head.CurrentSnapshot()
	if s == nil || head.Metadata().Version() < 2 {
		return nil, nil, nil
	}
	store, err := head.FS(ctx)
	if err != nil {
		return nil, nil, r.wrap(head, err)
	}
	manifests, err := s.Manifests(store)
	if err != nil {
		return nil, nil, r.wrap(head, fmt.Errorf("manifests of snapshot %d: %w", s.SnapshotID, err))
	}
	return chooseManifests(head.Metadata(), manifests, r.opts.withDefaults(head.Properties())), store, nil
}

func (r *ManifestRewrite) wrap(head *table.Table, err error) error {
	return fmt.Errorf("rewrite manifests of %s: %w", strings.Join(head.Identifier(), "."), err)
}

// Change computes what to commit on top of head; nil if there is nothing to do. After an error nothing of what was written is
// kept.
func (r *ManifestRewrite) Change(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
	holds, err := r.holds(ctx, head)
	if err != nil {
		r.Abort()
		return nil, r.wrap(head, err)
	}
	if !holds {
		if r.change != nil {
			r.stats.Redone++
		}
		r.remove()
		if r.tries == maxManifestTries {
			r.stats = RewrittenManifests{Redone: r.stats.Redone}
			return nil, nil
		}
		r.tries++
		if err := r.rewrite(ctx, head); err != nil {
			r.Abort()
			return nil, r.wrap(head, err)
		}
	}
	if r.change == nil {
		return nil, nil
	}
	return &commit.Change{
		Operation: commit.Relist, Manifests: r.change, Summary: map[string]string{ManifestsKey: strconv.Itoa(len(r.change.Remove))},
	}, nil
}

// holds tells whether the manifests that were replaced are the head's, and say the same: what a manifest does not say of its files
// itself, it has from the list.
func (r *ManifestRewrite) holds(ctx context.Context, head *table.Table) (bool, error) {
	if r.change == nil || r.version != head.Metadata().Version() {
		return false, nil
	}
	store, err := head.FS(ctx)
	if err != nil {
		return false, err
	}
	manifests, err := head.CurrentSnapshot().Manifests(store)
	if err != nil {
		return false, err
	}
	now := map[string]bool{}
	for _, m := range manifests {
		now[listed(m)] = true
	}
	for _, m := range r.change.Remove {
		if !now[listed(m)] {
			return false, nil
		}
	}
	return true, nil
}

// listed is a manifest with what its files inherit from the list.
func listed(m iceberg.ManifestFile) string {
	first := "none"
	if id := m.FirstRowID(); id != nil {
		first = strconv.FormatInt(*id, 10)
	}
	return fmt.Sprintf("%s %d %s", m.FilePath(), m.SequenceNum(), first)
}

// Stats is what the last call of Change came to.
func (r *ManifestRewrite) Stats() RewrittenManifests { return r.stats }

// Abort removes what was written, for a change that is certainly not committed.
func (r *ManifestRewrite) Abort() {
	r.remove()
	r.tries = 0
}

func (r *ManifestRewrite) remove() {
	if r.change != nil {
		for _, m := range r.change.Add {
			_ = r.store.Remove(m.FilePath())
		}
	}
	r.change = nil
}

// rewrite chooses manifests and writes them anew, one spec after another.
func (r *ManifestRewrite) rewrite(ctx context.Context, head *table.Table) error {
	groups, store, err := r.choose(ctx, head)
	if err != nil || len(groups) == 0 {
		return err
	}
	var ok bool
	if r.store, ok = store.(iceio.WriteFileIO); !ok {
		return errors.New("its store cannot be written to")
	}
	r.version = head.Metadata().Version()
	r.change = &commit.Manifests{Snapshot: commit.NewSnapshotID()}
	r.stats = RewrittenManifests{Redone: r.stats.Redone}
	for _, g := range groups {
		added, err := r.group(ctx, head, g)
		r.change.Add = append(r.change.Add, added...)
		if err != nil {
			return err
		}
		r.change.Remove = append(r.change.Remove, g.inputs...)
		r.stats.Removed, r.stats.Left, r.stats.Bytes = r.stats.Removed+len(g.inputs), r.stats.Left+g.leftOver, r.stats.Bytes+g.bytes
	}
	for _, m := range r.change.Add {
		r.stats.Added, r.stats.Written = r.stats.Added+1, r.stats.Written+m.Length()
		r.change.Entries += int64(m.ExistingDataFiles())
	}
	r.stats.Files = r.change.Entries
	return nil
}

// group writes the manifests of one spec, side by side: each is of some partitions. After an error it gives what it has begun.
func (r *ManifestRewrite) group(ctx context.Context, head *table.Table, g *manifestGroup) (added []iceberg.ManifestFile, err error) {
	order, err := orderOf(ctx, r.store, head.Metadata(), g)
	if err != nil {
		return nil, err
	}
	out := map[int]*manifestOut{}
	defer func() {
		for at := range g.outputs {
			if w := out[at]; w != nil {
				err = errors.Join(err, w.close(err != nil))
				if w.file != nil {
					added = append(added, w.file)
				}
			}
		}
	}()
	written, failed := int64(0), error(nil)
	err = eachEntry(ctx, r.store, g.inputs, g.content, func(e iceberg.ManifestEntry) {
		if failed != nil {
			return
		}
		var at int
		if at, failed = order.place(e.DataFile().Partition()); failed != nil {
			return
		}
		if out[at] == nil {
			if out[at], failed = r.open(head, g, at); failed != nil {
				return
			}
		}
		failed = out[at].w.Existing(e)
		written++
	})
	if err = errors.Join(err, failed); err == nil && written != order.files {
		err = fmt.Errorf("%d files of %d were listed", written, order.files)
	}
	return added, err
}

// manifestOut is a manifest that is being written.
type manifestOut struct {
	w     *iceberg.ManifestWriter
	path  string
	sink  iceio.FileWriter
	count *counting
	store iceio.WriteFileIO
	file  iceberg.ManifestFile // once it is written
}

func (r *ManifestRewrite) open(head *table.Table, g *manifestGroup, at int) (*manifestOut, error) {
	places, err := head.LocationProvider()
	if err != nil {
		return nil, err
	}
	out := &manifestOut{path: places.NewMetadataLocation(fmt.Sprintf("%s%s-m%d.avro", clusteredPrefix, uuid.NewString(), at)), store: r.store}
	if out.sink, err = r.store.Create(out.path); err != nil {
		return nil, err
	}
	meta := head.Metadata()
	spec := meta.PartitionSpecByID(int(g.spec))
	out.count = &counting{to: bufio.NewWriterSize(out.sink, 64<<10)}
	out.w, err = iceberg.NewManifestWriter(meta.Version(), out.count, *spec, planning.SchemaOf(meta, spec), r.change.Snapshot, iceberg.WithManifestWriterContent(g.content))
	if err != nil {
		return nil, errors.Join(err, out.close(true))
	}
	return out, nil
}

// close ends the manifest. Of one that failed nothing stays.
func (o *manifestOut) close(failed bool) (err error) {
	if o.w != nil {
		err = o.w.Close()
	}
	if err == nil && !failed {
		o.file, err = o.w.ToManifestFile(o.path, o.count.bytes)
	}
	err = errors.Join(err, o.count.to.Flush(), o.sink.Close())
	if failed || err != nil {
		o.file = nil
		return errors.Join(err, o.store.Remove(o.path))
	}
	return nil
}

// counting counts the bytes that are written through it.
type counting struct {
	to    *bufio.Writer
	bytes int64
}

// Write implements io.Writer.
func (c *counting) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.bytes += int64(n)
	return n, err
}
