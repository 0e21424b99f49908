package tables

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/planning"
)

// live is the files of one snapshot.
type live struct {
	data    []iceberg.DataFile
	deletes []iceberg.DataFile
}

// liveFilesOf reads the manifests of the table's head, all of them.
func liveFilesOf(ctx context.Context, t *table.Table) (*live, error) {
	out := &live{}
	return out, eachLiveFile(ctx, t, func(f iceberg.DataFile) error {
		if f.ContentType() == iceberg.EntryContentData {
			out.data = append(out.data, f)
		} else {
			out.deletes = append(out.deletes, f)
		}
		return nil
	})
}

// eachLiveFile calls do with the data and delete files of the table's head, those of data first. Nothing is kept: a table may have
// millions.
func eachLiveFile(ctx context.Context, t *table.Table, do func(iceberg.DataFile) error) error {
	s := t.CurrentSnapshot()
	if s == nil {
		return nil
	}
	fs, err := t.FS(ctx)
	if err != nil {
		return err
	}
	manifests, err := s.Manifests(fs)
	if err != nil {
		return fmt.Errorf("manifests of snapshot %d: %w", s.SnapshotID, err)
	}
	slices.SortStableFunc(manifests, func(a, b iceberg.ManifestFile) int { return cmp.Compare(a.ManifestContent(), b.ManifestContent()) })
	for _, m := range manifests {
		if err := ctx.Err(); err != nil {
			return err
		}
		for entry, err := range m.Entries(fs, true) {
			if err != nil {
				return fmt.Errorf("manifest %s: %w", m.FilePath(), err)
			}
			if err := do(entry.DataFile()); err != nil {
				return err
			}
		}
	}
	return nil
}

// deletesAt calls do with every delete file of a snapshot.
func deletesAt(ctx context.Context, t *table.Table, s *table.Snapshot, do func(iceberg.DataFile)) error {
	fs, err := t.FS(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	return planning.Deletes(ctx, t.Metadata(), fs, planning.Options{Snapshot: s}, func(f iceberg.DataFile) {
		mu.Lock()
		defer mu.Unlock()
		do(f)
	})
}
