package tables

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/planning"
)

// Layout is how a table's partitions lay at a snapshot.
type Layout struct {
	Snapshot   int64             `json:"snapshot"`
	At         time.Time         `json:"at"`
	Partitions []PartitionHealth `json:"partitions"` // the worst first, and of very many only those
}

// layout is what a snapshot's files come to, by partition. It follows the partitions and the delete files, and not the data files,
// of which there may be millions.
type layout struct {
	mu         sync.Mutex
	target     int64
	meta       table.Metadata
	sizes      []SizeClass
	partitions map[string]*PartitionHealth
	deletes    map[string]bool
	depths     *maintain.Depths // nil where nothing is clustered
}

// layouts looks at the head, and at the snapshot before the last compaction.
func (h *Health) layouts(ctx context.Context, t *Table, clusteredBy []string) error {
	head := t.tbl.CurrentSnapshot()
	if head == nil {
		return nil
	}
	order, err := t.clustering(clusteredBy)
	if err != nil { // a column that the table has no more: it is the compaction's to say, and no reason to let the rest go
		order = nil
	}
	for _, f := range order {
		name, _ := t.tbl.Schema().FindColumnName(f.SourceID())
		h.ClusteredBy = append(h.ClusteredBy, name)
	}
	now, err := h.layoutAt(ctx, t, head, order)
	if err != nil {
		return err
	}
	h.count(now)
	before := beforeCompaction(t.tbl.Metadata())
	if before == nil {
		return nil
	}
	then, err := h.layoutAt(ctx, t, before, order)
	if err != nil {
		return err
	}
	h.Before = &Layout{Snapshot: before.SnapshotID, At: time.UnixMilli(before.TimestampMs).UTC(), Partitions: then.worst()}
	return nil
}

// clustering is what rows are clustered by.
func (t *Table) clustering(columns []string) (out []table.SortField, err error) {
	order := t.tbl.SortOrder()
	if len(columns) > 0 {
		if order, err = sortOrder(columns, t.tbl.Schema()); err != nil {
			return nil, err
		}
	}
	for i := range order.Len() {
		out = append(out, order.Field(i))
	}
	return out, nil
}

// beforeCompaction is the snapshot on which the last compaction was committed; nil if there is none any more.
func beforeCompaction(meta table.Metadata) *table.Snapshot {
	for s := meta.CurrentSnapshot(); s != nil && s.ParentSnapshotID != nil; s = meta.SnapshotByID(*s.ParentSnapshotID) {
		if s.Summary != nil && s.Summary.Properties[maintain.CompactionKey] != "" {
			return meta.SnapshotByID(*s.ParentSnapshotID)
		}
	}
	return nil
}

func (h *Health) layoutAt(ctx context.Context, t *Table, s *table.Snapshot, order []table.SortField) (*layout, error) {
	meta := t.tbl.Metadata()
	fs, err := t.FS(ctx)
	if err != nil {
		return nil, err
	}
	l := &layout{target: h.Target, meta: meta, partitions: map[string]*PartitionHealth{}, deletes: map[string]bool{}}
	for _, below := range sizeClasses {
		l.sizes = append(l.sizes, SizeClass{Below: below})
	}
	if len(order) > 0 {
		l.depths = maintain.NewDepths(meta.CurrentSchema(), order)
	}
	_, err = planning.Files(ctx, meta, fs, planning.Options{Snapshot: s, Schema: meta.CurrentSchema(), Described: true, Choose: func(task table.FileScanTask) bool {
		l.add(task)
		return false // it is counted, and not kept
	}})
	if err != nil {
		return nil, fmt.Errorf("plan files of snapshot %d: %w", s.SnapshotID, err)
	}
	for path, p := range l.partitions {
		p.DeletedRows = min(p.DeletedRows, p.Rows)
		if l.depths != nil {
			p.Depth = l.depths.Depth(path)
		}
	}
	return l, nil
}

// add counts a file. Several goroutines do.
func (l *layout) add(task table.FileScanTask) {
	path, size := datafile.PartitionPath(l.meta, task.File), task.File.FileSizeBytes()
	l.mu.Lock()
	defer l.mu.Unlock()
	class := slices.IndexFunc(l.sizes, func(c SizeClass) bool { return c.Below == 0 || size < c.Below })
	l.sizes[class].Files++
	l.sizes[class].Bytes += size
	if l.partitions[path] == nil {
		l.partitions[path] = &PartitionHealth{Path: path}
	}
	l.partitions[path].add(task, l.target, l.deletedBy(task))
	if l.depths != nil {
		l.depths.Add(path, task.File)
	}
}

// deletedBy counts the rows that are deleted from a file by delete files of its own, and those of position-delete files that it shares
// with others and that have not been counted yet: all of these lie in one partition.
func (l *layout) deletedBy(task table.FileScanTask) int64 {
	own, shared := int64(0), int64(0)
	for _, d := range deletesOf(task) {
		path := d.FilePath()
		switch {
		case d.ContentType() != iceberg.EntryContentPosDeletes || planning.DeletesFrom(d) != "":
			own += d.Count()
		case !l.deletes[path]:
			shared += d.Count()
		}
		l.deletes[path] = true
	}
	return min(own, task.File.Count()) + shared
}

func (p *PartitionHealth) add(task table.FileScanTask, target, deleted int64) {
	size, rows := task.File.FileSizeBytes(), task.File.Count()
	p.Files, p.Bytes, p.Rows, p.DeletedRows = p.Files+1, p.Bytes+size, p.Rows+rows, p.DeletedRows+deleted
	if size < target/4*3 {
		p.SmallFiles++
	}
}

func deletesOf(task table.FileScanTask) []iceberg.DataFile {
	return slices.Concat(task.DeleteFiles, task.DeletionVectorFiles, task.EqualityDeleteFiles)
}

// worst lists the partitions, as many as are listed.
func (l *layout) worst() []PartitionHealth {
	out := make([]PartitionHealth, 0, len(l.partitions))
	for _, p := range l.partitions {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b PartitionHealth) int {
		return cmp.Or(cmp.Compare(b.SmallFiles, a.SmallFiles), cmp.Compare(b.DeletedRows, a.DeletedRows), cmp.Compare(a.Path, b.Path))
	})
	return out[:min(len(out), maxPartitions)]
}
