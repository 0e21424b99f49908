package tables

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/planning"
)

// Added is what was appended to a table since a snapshot.
type Added struct {
	From, To int64 // snapshots; From is 0 for the table's beginning, To for a table without a snapshot
	Files    []table.FileScanTask
	Rows     int64
	Bytes    int64
}

// ReadPoint is up to where a reader has read a table.
type ReadPoint struct {
	Snapshot int64 // 0 is the table's beginning
	// ManifestList, if known, is the snapshot's. With it a snapshot that the table's metadata has forgotten, as Nessie's forgets
	// all but the current one, is still known while its manifests are there.
	ManifestList string
	// Sequence, if known, is the snapshot's sequence number. With it a reader goes on although the snapshot went with rows past
	// their time.
	Sequence int64
}

// AddedSince lists the data files appended after the snapshot since up to the loaded head. Since 0 is the beginning:
// then it lists the whole table, with its deletes. It is ErrRewritten if rows were changed or removed in between, also
// by a rollback; a rewrite that keeps the rows, as compaction's, is passed over, and so is what removed rows for their age or
// for good: they left this table alone. Files are listed as they were appended, also with rows that were past their age
// since, but not with rows that were erased: then it is ErrRewritten. It is ErrExpired if the snapshot, or one that it
// takes to know, is gone.
func (t *Table) AddedSince(ctx context.Context, since int64) (*Added, error) {
	return t.AddedAfter(ctx, ReadPoint{Snapshot: since})
}

// AddedAfter is AddedSince for who remembers more of the snapshot than its id.
func (t *Table) AddedAfter(ctx context.Context, since ReadPoint) (*Added, error) {
	head := t.tbl.CurrentSnapshot()
	if head == nil {
		if since.Snapshot != 0 {
			return nil, fmt.Errorf("read %s since snapshot %d: %w", t.name, since.Snapshot, ErrExpired)
		}
		return &Added{}, nil
	}
	out := &Added{From: since.Snapshot, To: head.SnapshotID}
	var err error
	if since.Snapshot == 0 {
		out.Files, err = filesWith(ctx, t.tbl, head, nil)
	} else if since.Snapshot != head.SnapshotID {
		err = t.appended(ctx, since, head, out)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s since snapshot %d: %w", t.name, since.Snapshot, err)
	}
	for _, f := range out.Files {
		out.Rows += f.File.Count()
		out.Bytes += f.File.FileSizeBytes()
	}
	return out, nil
}

// appended goes from the head back to since, snapshot by snapshot. Files that an append added are read as it added them,
// though a later compaction replaced them.
func (t *Table) appended(ctx context.Context, since ReadPoint, head *table.Snapshot, out *Added) (err error) {
	from := t.tbl.SnapshotByID(since.Snapshot)
	if from != nil {
		since.ManifestList, since.Sequence = from.ManifestList, from.SequenceNumber
	}
	var chain []*table.Snapshot // newest first
	for s := head; from != nil && s.SnapshotID != since.Snapshot; {
		if !maintain.KeepsAppends(s.Summary) {
			return fmt.Errorf("by snapshot %d: %w", s.SnapshotID, ErrRewritten)
		}
		chain = append(chain, s)
		if s.ParentSnapshotID == nil {
			return fmt.Errorf("it is not an ancestor of the head: %w", ErrRewritten)
		}
		if s = t.tbl.SnapshotByID(*s.ParentSnapshotID); s == nil {
			from = nil
			break
		}
	}
	if from != nil {
		out.Files, err = t.addedByAll(ctx, chain, nil)
		return err
	}
	if resumed, err := t.resume(ctx, since, head, out); resumed || err != nil {
		return err
	}
	if since.ManifestList == "" {
		return ErrExpired
	}
	out.Files, err = t.compared(ctx, &table.Snapshot{SnapshotID: since.Snapshot, ManifestList: since.ManifestList}, head)
	if errors.Is(err, ErrAbsent) {
		err = fmt.Errorf("%w: %w", ErrExpired, err)
	}
	if errors.Is(err, ErrExpired) && t.lake.cat.HeadOnly() {
		out.Files, err = t.addedByHistory(ctx, since, head)
	}
	return err
}

// addedByAll adds to files those that appends among snapshots added, which come newest first.
func (t *Table) addedByAll(ctx context.Context, chain []*table.Snapshot, files []table.FileScanTask) ([]table.FileScanTask, error) {
	for _, s := range slices.Backward(chain) {
		switch {
		case s.Summary.Operation == table.OpAppend:
			added, err := t.addedBy(ctx, s)
			if err != nil {
				return nil, err
			}
			files = append(files, added...)
		case s.Summary.Properties[maintain.ErasureKey] != "":
			if err := t.allLive(ctx, s, files); err != nil {
				return nil, err
			}
		}
	}
	return files, nil
}

// allLive is ErrRewritten if one of the files is not in a snapshot that erased rows: it may have had some of them.
func (t *Table) allLive(ctx context.Context, s *table.Snapshot, files []table.FileScanTask) error {
	if len(files) == 0 {
		return nil
	}
	missing := map[string]bool{}
	places := make([]iceberg.DataFile, len(files))
	for i, f := range files {
		missing[f.File.FilePath()], places[i] = true, f.File
	}
	all := planning.PlacesOf(t.tbl.Metadata(), places...)
	may := func(m iceberg.ManifestFile) bool { return all.Manifests([]iceberg.ManifestFile{m})[0] }
	err := t.entries(ctx, s, may, func(e iceberg.ManifestEntry) {
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
	own := func(m iceberg.ManifestFile) bool { return m.SnapshotID() == s.SnapshotID && m.AddedDataFiles() != 0 } // -1 is not known
	err := t.entries(ctx, s, own, func(e iceberg.ManifestEntry) {
		if e.Status() == iceberg.EntryStatusADDED && e.SnapshotID() == s.SnapshotID {
			tasks = append(tasks, wholeFile(e.DataFile()))
		}
	})
	return tasks, err
}

// entries goes through the data files of a snapshot, in the manifests that are meant.
func (t *Table) entries(ctx context.Context, s *table.Snapshot, meant func(iceberg.ManifestFile) bool, each func(iceberg.ManifestEntry)) error {
	return t.liveEntries(ctx, s, func(m iceberg.ManifestFile) bool {
		return m.ManifestContent() == iceberg.ManifestContentData && meant(m)
	}, each)
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
