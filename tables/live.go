package tables

import (
	"context"
	"fmt"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// live is the files of one snapshot.
type live struct {
	data    []iceberg.DataFile
	deletes []iceberg.DataFile
}

// liveFilesOf reads the manifests of the table's head.
func liveFilesOf(ctx context.Context, t *table.Table) (*live, error) {
	return liveFilesAt(ctx, t, t.CurrentSnapshot())
}

func liveFilesAt(ctx context.Context, t *table.Table, s *table.Snapshot) (*live, error) {
	out := &live{}
	if s == nil {
		return out, nil
	}
	fs, err := t.FS(ctx)
	if err != nil {
		return nil, err
	}
	manifests, err := s.Manifests(fs)
	if err != nil {
		return nil, fmt.Errorf("manifests of snapshot %d: %w", s.SnapshotID, err)
	}
	for _, m := range manifests {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for entry, err := range m.Entries(fs, true) {
			if err != nil {
				return nil, fmt.Errorf("manifest %s: %w", m.FilePath(), err)
			}
			if f := entry.DataFile(); f.ContentType() == iceberg.EntryContentData {
				out.data = append(out.data, f)
			} else {
				out.deletes = append(out.deletes, f)
			}
		}
	}
	return out, nil
}
