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
)

// ScanOptions says what to read.
type ScanOptions struct {
	Version     Version
	Columns     []string // nil means all
	Filter      iceberg.BooleanExpression
	Limit       int64 // 0 means all rows
	Parallelism int
	Files       []table.FileScanTask // only these, as from AddedSince
}

// Scan reads rows with the schema of the version that is read; see SchemaAt.
func (t *Table) Scan(ctx context.Context, opts ScanOptions) (array.RecordReader, error) {
	out := datafile.ScanOptions{
		Columns: opts.Columns, Filter: opts.Filter, Limit: opts.Limit, Parallelism: opts.Parallelism, Files: opts.Files,
	}
	if out.Parallelism == 0 {
		out.Parallelism = t.lake.cfg.Parallelism
	}
	t, version, err := t.AsOf(ctx, opts.Version)
	if err != nil {
		return nil, fmt.Errorf("scan %w", err)
	}
	if !version.IsHead() {
		s, err := t.at(version)
		if err != nil {
			return nil, err
		}
		out.SnapshotID = &s.SnapshotID
	}
	rows, err := datafile.Scan(ctx, t.tbl, out)
	if err != nil {
		return nil, fmt.Errorf("scan %s: %w", t.name, err)
	}
	return rows, nil
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
