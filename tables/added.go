package tables

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/maintain"
)

// Added is what was appended to a table since a snapshot.
type Added struct {
	From, To int64 // snapshots; From is 0 for the table's beginning, To for a table without a snapshot
	Files    []table.FileScanTask
	Rows     int64
	Bytes    int64
}

// AddedSince lists the data files appended after the snapshot since up to the loaded head. Since 0 is the beginning:
// then it lists the whole table, with its deletes. It is ErrRewritten if rows were changed or removed in between, also
// by a rollback; a rewrite that keeps the rows, as compaction's, is passed over, and so is what removed rows for their age or
// for good: they left this table alone. Files are listed as they were appended, also with rows that were past their age
// since, but not with rows that were erased: then it is ErrRewritten. It is ErrExpired if the snapshot, or one that it
// takes to know, is gone.
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
		if !keepsAppends(s.Summary) {
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
	for _, s := range slices.Backward(chain) {
		switch {
		case s.Summary.Operation == table.OpAppend:
			files, err := t.addedBy(ctx, s)
			if err != nil {
				return nil, err
			}
			tasks = append(tasks, files...)
		case s.Summary.Properties[maintain.ErasureKey] != "":
			if err := t.allLive(ctx, s, tasks); err != nil {
				return nil, err
			}
		}
	}
	return tasks, nil
}

// keepsAppends tells of a snapshot that what was appended before and after it still tells what is new: it appended, or
// changed no row, or removed rows for being past their age, or for a request to be forgotten.
func keepsAppends(s *table.Summary) bool {
	return s != nil && (s.Operation == table.OpAppend || s.Operation == table.OpReplace ||
		s.Properties[maintain.RetentionKey] != "" || s.Properties[maintain.ErasureKey] != "")
}

// allLive is ErrRewritten if one of the files is not in a snapshot that erased rows: it may have had some of them.
func (t *Table) allLive(ctx context.Context, s *table.Snapshot, files []table.FileScanTask) error {
	if len(files) == 0 {
		return nil
	}
	missing := map[string]bool{}
	for _, f := range files {
		missing[f.File.FilePath()] = true
	}
	err := t.entries(ctx, s, func(iceberg.ManifestFile) bool { return true }, func(e iceberg.ManifestEntry) {
		delete(missing, e.DataFile().FilePath())
	})
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("by snapshot %d, which erased rows of %d files that were yet to be read: %w", s.SnapshotID, len(missing), ErrRewritten)
	}
	return err
}

// addedBy lists the data files that one snapshot added.
func (t *Table) addedBy(ctx context.Context, s *table.Snapshot) ([]table.FileScanTask, error) {
	var tasks []table.FileScanTask
	err := t.entries(ctx, s, func(m iceberg.ManifestFile) bool { return m.SnapshotID() == s.SnapshotID }, func(e iceberg.ManifestEntry) {
		if e.Status() == iceberg.EntryStatusADDED && e.SnapshotID() == s.SnapshotID {
			tasks = append(tasks, wholeFile(e.DataFile()))
		}
	})
	return tasks, err
}

// entries goes through the data files of a snapshot, in the manifests that are meant.
func (t *Table) entries(ctx context.Context, s *table.Snapshot, meant func(iceberg.ManifestFile) bool, each func(iceberg.ManifestEntry)) error {
	fs, err := t.tbl.FS(ctx)
	if err != nil {
		return err
	}
	manifests, err := s.Manifests(fs)
	if err != nil {
		return fmt.Errorf("manifests of snapshot %d: %w", s.SnapshotID, err)
	}
	for _, m := range manifests {
		if m.ManifestContent() != iceberg.ManifestContentData || !meant(m) {
			continue
		}
		for entry, err := range m.Entries(fs, true) {
			if err != nil {
				return fmt.Errorf("manifest %s: %w", m.FilePath(), err)
			}
			each(entry)
		}
	}
	return nil
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
