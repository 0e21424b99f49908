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

// Between compares the current snapshots of two versions of one table. Manifests that both have are not read, so that
// the cost follows what changed. A manifest of base that has been removed since is ErrAbsent.
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
	was, err := liveFiles(ctx, fs, without(before, after))
	if err != nil {
		return nil, err
	}
	is, err := liveFiles(ctx, fs, without(after, before))
	if err != nil {
		return nil, err
	}
	diff := &Diff{}
	for _, f := range is.order {
		if _, ok := was.files[f]; !ok {
			diff.add(is.files[f])
		}
	}
	for _, f := range was.order {
		if _, ok := is.files[f]; !ok {
			diff.remove(was.files[f])
		}
	}
	return diff, nil
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

// fileKey tells files apart. A Puffin file holds the deletion vectors of several data files.
type fileKey struct {
	path, ref string
	offset    int64
}

type fileList struct {
	files map[fileKey]iceberg.DataFile
	order []fileKey // by first appearance
}

func liveFiles(ctx context.Context, fs iceio.IO, manifests []iceberg.ManifestFile) (*fileList, error) {
	list := &fileList{files: map[fileKey]iceberg.DataFile{}}
	for _, m := range manifests {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for entry, err := range m.Entries(fs, true) {
			if err != nil {
				return nil, fmt.Errorf("manifest %s: %w", m.FilePath(), err)
			}
			f := entry.DataFile()
			key := fileKey{path: f.FilePath()}
			if table.IsDeletionVector(f) {
				if ref := f.ReferencedDataFile(); ref != nil {
					key.ref = *ref
				}
				if offset := f.ContentOffset(); offset != nil {
					key.offset = *offset
				}
			}
			if _, ok := list.files[key]; !ok {
				list.order = append(list.order, key)
			}
			list.files[key] = f
		}
	}
	return list, nil
}
