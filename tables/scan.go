package tables

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/planning"
)

// ScanOptions says what to read.
type ScanOptions struct {
	Version Version
	Columns []string // nil means all
	// Filter is evaluated exactly. Manifests, files, row groups and pages that it excludes are not read.
	Filter      iceberg.BooleanExpression
	Limit       int64 // 0 means all rows
	Parallelism int
	Files       []table.FileScanTask // only these, as from AddedSince
}

// ScanReader gives the rows of a scan, and what reading them took.
type ScanReader struct {
	array.RecordReader
	planned planning.Counts
	read    *datafile.Counters
}

// ReadStats are what a scan looked at and what it left out.
type ReadStats struct {
	planning.Counts
	FilesRead       int64 `json:"files_read"`
	FilesPruned     int64 `json:"files_pruned_inside"` // by statistics and Bloom filters of their row groups
	RowGroups       int64 `json:"row_groups"`          // of the files that were looked into
	RowGroupsPruned int64 `json:"row_groups_pruned"`
	BloomNegatives  int64 `json:"bloom_negatives"` // Bloom filters that excluded a value
	Pages           int64 `json:"pages"`           // of the filter's columns, in row groups whose page index was asked
	PagesPruned     int64 `json:"pages_pruned"`
	Bytes           int64 `json:"bytes"` // of data files, with footers and indexes, less what was in the cache
	Requests        int64 `json:"requests"`
}

// Stats are those of what was read so far; after the last row, of all.
func (r *ScanReader) Stats() ReadStats {
	c := r.read
	return ReadStats{
		Counts: r.planned, FilesRead: c.Files.Load(), FilesPruned: c.FilesPruned.Load(), RowGroups: c.RowGroups.Load(),
		RowGroupsPruned: c.RowGroupsPruned.Load(), BloomNegatives: c.BloomNegatives.Load(), Pages: c.Pages.Load(),
		PagesPruned: c.PagesPruned.Load(), Bytes: c.Bytes.Load(), Requests: c.Requests.Load(),
	}
}

// Scan reads rows with the schema of the version that is read; see SchemaAt. Files are read in parallel but given in order; what
// waits is bounded by Parallelism.
func (t *Table) Scan(ctx context.Context, opts ScanOptions) (*ScanReader, error) {
	rows, err := t.scan(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("scan %s: %w", t.name, err)
	}
	return rows, nil
}

func (t *Table) scan(ctx context.Context, opts ScanOptions) (*ScanReader, error) {
	if opts.Parallelism == 0 {
		opts.Parallelism = t.lake.cfg.Parallelism
	}
	t, version, err := t.AsOf(ctx, opts.Version)
	if err != nil {
		return nil, err
	}
	opts.Version = version
	schema, err := t.schemaAt(opts.Version)
	if err != nil {
		return nil, err
	}
	out := &ScanReader{read: &datafile.Counters{}}
	files := opts.Files
	if files == nil {
		plan, err := t.planFiles(ctx, opts, schema)
		if err != nil {
			return nil, err
		}
		files, out.planned = plan.Tasks, plan.Counts
	}
	out.RecordReader, err = datafile.Scan(ctx, t.tbl, datafile.ScanOptions{
		Schema: schema, Columns: opts.Columns, Filter: opts.Filter, Limit: opts.Limit, Parallelism: opts.Parallelism,
		Files: files, Cache: t.lake.cache, Counters: out.read,
	})
	return out, err
}

// planFiles finds the files that a scan has to look into, and whether there may be NaNs in the fields floats of them.
func (t *Table) planFiles(ctx context.Context, opts ScanOptions, schema *iceberg.Schema, floats ...int) (*planning.Plan, error) {
	snapshot := t.tbl.CurrentSnapshot()
	if !opts.Version.IsHead() {
		var err error
		if snapshot, err = t.at(opts.Version); err != nil {
			return nil, err
		}
	}
	fs, err := t.tbl.FS(ctx)
	if err != nil {
		return nil, err
	}
	plan, err := planning.Files(ctx, t.tbl.Metadata(), fs, planning.Options{
		Snapshot: snapshot, Schema: schema, Filter: opts.Filter, Parallelism: opts.Parallelism, Cache: t.lake.cache, Floats: floats,
	})
	if err == nil && plan.Tasks == nil {
		plan.Tasks = []table.FileScanTask{} // none, which is not all
	}
	return plan, err
}

// Added is what was appended to a table since a snapshot.
type Added struct {
	From, To int64 // snapshots; From is 0 for the table's beginning, To for a table without a snapshot
	Files    []table.FileScanTask
	Rows     int64
	Bytes    int64
}

// AddedSince lists the data files appended after the snapshot since up to the loaded head. Since 0 is the beginning:
// then it lists the whole table, with its deletes. It is ErrRewritten if rows were changed or removed in between, also
// by a rollback; a rewrite that keeps the rows, as compaction's, is passed over. It is ErrExpired if the snapshot, or
// one that it takes to know, is gone.
func (t *Table) AddedSince(ctx context.Context, since int64) (*Added, error) {
	return t.AddedSinceList(ctx, since, "")
}

// AddedSinceList is AddedSince for who also remembers the snapshot's manifest list. With it a snapshot that the table's
// metadata has forgotten, as Nessie's forgets all but the current one, is still known while its manifests are there.
func (t *Table) AddedSinceList(ctx context.Context, since int64, manifestList string) (*Added, error) {
	head := t.tbl.CurrentSnapshot()
	if head == nil {
		if since != 0 {
			return nil, fmt.Errorf("read %s since snapshot %d: %w", t.name, since, ErrExpired)
		}
		return &Added{}, nil
	}
	out := &Added{From: since, To: head.SnapshotID}
	var err error
	if since == 0 {
		out.Files, err = t.tbl.Scan().PlanFiles(ctx)
		out.Files = datafile.WholeFiles(out.Files)
	} else if since != head.SnapshotID {
		out.Files, err = t.appended(ctx, since, manifestList, head)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s since snapshot %d: %w", t.name, since, err)
	}
	for _, f := range out.Files {
		out.Rows += f.File.Count()
		out.Bytes += f.File.FileSizeBytes()
	}
	return out, nil
}

// appended goes from the head back to since, snapshot by snapshot. Files that an append added are read as it added them,
// though a later compaction replaced them.
func (t *Table) appended(ctx context.Context, since int64, manifestList string, head *table.Snapshot) ([]table.FileScanTask, error) {
	from := t.tbl.SnapshotByID(since)
	if from == nil {
		if manifestList == "" {
			return nil, ErrExpired
		}
		tasks, err := t.compared(ctx, &table.Snapshot{SnapshotID: since, ManifestList: manifestList}, head)
		if errors.Is(err, ErrAbsent) {
			return nil, fmt.Errorf("%w: %w", ErrExpired, err)
		}
		return tasks, err
	}
	var chain []*table.Snapshot // newest first
	for s := head; s.SnapshotID != since; {
		if s.Summary == nil || s.Summary.Operation != table.OpAppend && s.Summary.Operation != table.OpReplace {
			return nil, fmt.Errorf("by snapshot %d: %w", s.SnapshotID, ErrRewritten)
		}
		chain = append(chain, s)
		if s.ParentSnapshotID == nil {
			return nil, fmt.Errorf("it is not an ancestor of the head: %w", ErrRewritten)
		}
		if s = t.tbl.SnapshotByID(*s.ParentSnapshotID); s == nil {
			return t.compared(ctx, from, head)
		}
	}
	var tasks []table.FileScanTask
	for i := len(chain) - 1; i >= 0; i-- {
		if chain[i].Summary.Operation != table.OpAppend {
			continue
		}
		files, err := t.addedBy(ctx, chain[i])
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, files...)
	}
	return tasks, nil
}

// addedBy lists the data files that one snapshot added.
func (t *Table) addedBy(ctx context.Context, s *table.Snapshot) ([]table.FileScanTask, error) {
	fs, err := t.tbl.FS(ctx)
	if err != nil {
		return nil, err
	}
	manifests, err := s.Manifests(fs)
	if err != nil {
		return nil, fmt.Errorf("manifests of snapshot %d: %w", s.SnapshotID, err)
	}
	var tasks []table.FileScanTask
	for _, m := range manifests {
		if m.SnapshotID() != s.SnapshotID || m.ManifestContent() != iceberg.ManifestContentData {
			continue
		}
		for entry, err := range m.Entries(fs, true) {
			if err != nil {
				return nil, fmt.Errorf("manifest %s: %w", m.FilePath(), err)
			}
			if entry.Status() == iceberg.EntryStatusADDED && entry.SnapshotID() == s.SnapshotID {
				tasks = append(tasks, wholeFile(entry.DataFile()))
			}
		}
	}
	return tasks, nil
}

// compared is for a chain with a gap, since a snapshot in between has expired: if nothing but data files came, it does not
// matter in which order.
func (t *Table) compared(ctx context.Context, from, head *table.Snapshot) ([]table.FileScanTask, error) {
	diff, err := commit.BetweenSnapshots(ctx, t.tbl, from, head)
	if err != nil {
		return nil, err
	}
	if len(diff.RemovedData)+len(diff.AddedDeletes)+len(diff.RemovedDeletes) > 0 {
		return nil, fmt.Errorf("a snapshot in between: %w", ErrExpired)
	}
	var tasks []table.FileScanTask
	for _, f := range diff.AddedData {
		tasks = append(tasks, wholeFile(f))
	}
	return tasks, nil
}

func wholeFile(f iceberg.DataFile) table.FileScanTask {
	return table.FileScanTask{File: f, Start: 0, Length: f.FileSizeBytes()}
}
