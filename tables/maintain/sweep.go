package maintain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

// Sweep removes the files that only snapshots name which were there at the last Change and are not in after, the table as
// the commit left it or as it was loaded later. It must not be called before the commit is known to be in the table.
//
// Who else commits meanwhile cannot come to name such a file: a commit carries over what its pinned head names, and that
// head is in after or newer. A crash in here leaves files that no snapshot names; so does a file that cannot be removed.
func (e *Expiry) Sweep(ctx context.Context, after *table.Table) error {
	if e.base == nil {
		return nil
	}
	store, err := after.FS(ctx)
	if err != nil {
		return err
	}
	var gone []table.Snapshot
	for _, s := range e.base.Metadata().Snapshots() {
		if after.Metadata().SnapshotByID(s.SnapshotID) == nil {
			gone = append(gone, s)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	unnamed, err := e.onlyNamedBy(ctx, store, gone, after)
	if err != nil {
		return fmt.Errorf("files of expired snapshots: %w", err)
	}
	for _, path := range unnamed {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := store.Remove(path); err == nil {
			e.stats.FilesRemoved++
			if e.opts.Removed != nil {
				e.opts.Removed(path)
			}
		} else if !errors.Is(err, fs.ErrNotExist) {
			e.stats.FilesLeft = append(e.stats.FilesLeft, path)
		}
	}
	return nil
}

// onlyNamedBy lists data files before the manifests that name them, and those before their lists: what a crash leaves can
// still be told apart from a table that lost a file.
func (e *Expiry) onlyNamedBy(ctx context.Context, store iceio.IO, gone []table.Snapshot, after *table.Table) ([]string, error) {
	stay, err := manifestsOf(ctx, store, after.Metadata().Snapshots(), false)
	if err != nil {
		return nil, err
	}
	old, err := manifestsOf(ctx, store, gone, true)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(old.manifests, func(path string, _ iceberg.ManifestFile) bool { _, ok := stay.manifests[path]; return ok })
	files, err := dataFilesOf(ctx, store, old.manifests, true)
	if err != nil {
		return nil, err
	}
	if len(files) > 0 { // a manifest that stays may name them too
		kept, err := dataFilesOf(ctx, store, stay.manifests, false)
		if err != nil {
			return nil, err
		}
		maps.DeleteFunc(files, func(path string, _ bool) bool { return kept[path] })
	}
	maps.DeleteFunc(old.lists, func(path string, _ bool) bool { return stay.lists[path] })
	e.statistics(after.Metadata(), files)
	return slices.Concat(slices.Sorted(maps.Keys(files)), slices.Sorted(maps.Keys(old.manifests)), slices.Sorted(maps.Keys(old.lists))), nil
}

// statistics adds the statistics files that the metadata does not name any more.
func (e *Expiry) statistics(after table.Metadata, files map[string]bool) {
	named := map[string]bool{}
	for s := range after.Statistics() {
		named[s.StatisticsPath] = true
	}
	for s := range after.PartitionStatistics() {
		named[s.StatisticsPath] = true
	}
	for s := range e.base.Metadata().Statistics() {
		if !named[s.StatisticsPath] {
			files[s.StatisticsPath] = true
		}
	}
	for s := range e.base.Metadata().PartitionStatistics() {
		if !named[s.StatisticsPath] {
			files[s.StatisticsPath] = true
		}
	}
}

type manifestSet struct {
	lists     map[string]bool
	manifests map[string]iceberg.ManifestFile
}

// manifestsOf reads manifest lists. Of expired snapshots one may be gone: another expiry is at work.
func manifestsOf(ctx context.Context, store iceio.IO, snapshots []table.Snapshot, mayBeGone bool) (*manifestSet, error) {
	out := &manifestSet{lists: map[string]bool{}, manifests: map[string]iceberg.ManifestFile{}}
	for _, s := range snapshots {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		manifests, err := s.Manifests(store)
		if mayBeGone && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("manifests of snapshot %d: %w", s.SnapshotID, err)
		}
		out.lists[s.ManifestList] = true
		for _, m := range manifests {
			out.manifests[m.FilePath()] = m
		}
	}
	return out, nil
}

func dataFilesOf(ctx context.Context, store iceio.IO, manifests map[string]iceberg.ManifestFile, mayBeGone bool) (map[string]bool, error) {
	out := map[string]bool{}
	for _, path := range slices.Sorted(maps.Keys(manifests)) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for entry, err := range manifests[path].Entries(store, true) {
			if mayBeGone && errors.Is(err, fs.ErrNotExist) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("manifest %s: %w", path, err)
			}
			out[entry.DataFile().FilePath()] = true
		}
	}
	return out, nil
}
