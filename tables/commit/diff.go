package commit

import (
	"bytes"
	"context"
	"fmt"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// Diff is what changed between two heads of a table, file by file, whatever the snapshots in between say of their
// operations.
type Diff struct {
	AddedData      []iceberg.DataFile
	RemovedData    []iceberg.DataFile
	AddedDeletes   []iceberg.DataFile
	RemovedDeletes []iceberg.DataFile
}

// Empty tells whether the heads have the same files.
func (d *Diff) Empty() bool {
	return len(d.AddedData)+len(d.RemovedData)+len(d.AddedDeletes)+len(d.RemovedDeletes) == 0
}

// DeletesByFile returns the added delete files by the path of the data file they refer to; those that name no single
// data file are under "".
func (d *Diff) DeletesByFile() map[string][]iceberg.DataFile {
	out := make(map[string][]iceberg.DataFile)
	for _, f := range d.AddedDeletes {
		ref := ReferencedFile(f)
		out[ref] = append(out[ref], f)
	}
	return out
}

// filePathID is the field id of a position delete's file_path column.
var filePathID = func() int {
	f, _ := iceberg.PositionalDeleteSchema.FindFieldByName("file_path")
	return f.ID
}()

// ReferencedFile is the path of the one data file that a delete file is about; "" if it is about several. Manifests of
// format 2 do not carry the field, and the bounds of the path column tell, as in Java and in the library's own planning.
func ReferencedFile(f iceberg.DataFile) string {
	if ref := f.ReferencedDataFile(); ref != nil && *ref != "" {
		return *ref
	}
	if f.ContentType() != iceberg.EntryContentPosDeletes {
		return ""
	}
	lower := f.LowerBoundValues()[filePathID]
	if !bytes.Equal(lower, f.UpperBoundValues()[filePathID]) {
		return ""
	}
	return string(lower)
}

// Between compares the current snapshots of two versions of one table. Manifests that both have are not read, and of the others only
// the files that differ are held, so that the cost follows what changed. A manifest of base that has been removed since is ErrAbsent.
func Between(ctx context.Context, base, head *table.Table) (*Diff, error) {
	return BetweenSnapshots(ctx, head, base.CurrentSnapshot(), head.CurrentSnapshot())
}

// BetweenSnapshots compares two snapshots; nil is the empty table.
func BetweenSnapshots(ctx context.Context, t *table.Table, from, to *table.Snapshot) (*Diff, error) {
	if from != nil && to != nil && from.SnapshotID == to.SnapshotID {
		return &Diff{}, nil
	}
	fs, err := t.FS(ctx)
	if err != nil {
		return nil, err
	}
	before, err := manifestsOf(fs, from)
	if err != nil {
		return nil, err
	}
	after, err := manifestsOf(fs, to)
	if err != nil {
		return nil, err
	}
	return compare(ctx, fs, without(before, after), without(after, before))
}

func (d *Diff) add(f iceberg.DataFile) {
	if f.ContentType() == iceberg.EntryContentData {
		d.AddedData = append(d.AddedData, f)
	} else {
		d.AddedDeletes = append(d.AddedDeletes, f)
	}
}

func (d *Diff) remove(f iceberg.DataFile) {
	if f.ContentType() == iceberg.EntryContentData {
		d.RemovedData = append(d.RemovedData, f)
	} else {
		d.RemovedDeletes = append(d.RemovedDeletes, f)
	}
}

func manifestsOf(fs iceio.IO, s *table.Snapshot) ([]iceberg.ManifestFile, error) {
	if s == nil {
		return nil, nil
	}
	manifests, err := s.Manifests(fs)
	if err != nil {
		return nil, fmt.Errorf("manifests of snapshot %d: %w", s.SnapshotID, err)
	}
	return manifests, nil
}

func without(of, other []iceberg.ManifestFile) []iceberg.ManifestFile {
	shared := make(map[string]bool, len(other))
	for _, m := range other {
		shared[m.FilePath()] = true
	}
	var out []iceberg.ManifestFile
	for _, m := range of {
		if !shared[m.FilePath()] {
			out = append(out, m)
		}
	}
	return out
}
