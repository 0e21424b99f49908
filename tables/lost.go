package tables

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
)

func isAbsent(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrAbsent) }

// absent says what it means that work on some files of the table met one that is not there. If the table as it is now does not
// name it any more, then others have replaced it, and expiry has removed it: ErrMoved. If the table does, then the file is lost, and
// the error names it. If the files of the work are all there, it was something else that is not, and the error stays what it is.
// schema and version are those of the table when the files were described.
func (t *Table) absent(ctx context.Context, err error, schema, version int, files []datafile.TaskForm) error {
	missing, lookErr := t.missing(ctx, schema, version, files)
	if lookErr != nil || len(missing) == 0 {
		return errors.Join(err, lookErr)
	}
	now, lookErr := t.Refresh(ctx)
	if lookErr != nil {
		return errors.Join(err, lookErr)
	}
	lost, lookErr := now.names(ctx, missing)
	switch {
	case lookErr != nil:
		return errors.Join(err, lookErr)
	case lost != "":
		return fmt.Errorf("%s has lost a file: snapshot %d names %s, which is not there: %w", t.name, now.tbl.CurrentSnapshot().SnapshotID, lost, err)
	}
	return fmt.Errorf("%w: %w", ErrMoved, err)
}

// missing are those of the files, with their deletes, that are not there.
func (t *Table) missing(ctx context.Context, schema, version int, files []datafile.TaskForm) (map[string]bool, error) {
	decoder, err := datafile.NewDecoder(t.tbl.Metadata(), schema, version)
	if err != nil {
		return nil, err
	}
	tasks, err := decoder.Tasks(files)
	if err != nil {
		return nil, err
	}
	return t.Missing(ctx, tasks)
}

// FilesOf are the data file of a task and the files of what is deleted from it.
func FilesOf(task table.FileScanTask) []iceberg.DataFile {
	return append([]iceberg.DataFile{task.File}, deletesOf(task)...)
}

// Missing are those of some files, and of the deletes that go with them, that are not there, by their paths.
func (t *Table) Missing(ctx context.Context, tasks []table.FileScanTask) (map[string]bool, error) {
	store, err := t.FS(ctx)
	if err != nil {
		return nil, err
	}
	out, seen := map[string]bool{}, map[string]bool{}
	for _, task := range tasks {
		for _, f := range FilesOf(task) {
			path := f.FilePath()
			if seen[path] {
				continue
			}
			seen[path] = true
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			there, err := isThere(store, path)
			if err != nil {
				return nil, err
			}
			if !there {
				out[path] = true
			}
		}
	}
	return out, nil
}

// Forgotten tells whether a snapshot that the table once had can be read no more, since it has expired. Nessie's history knows it all the
// same, whose own garbage collector takes manifests and files away under it; but not those of a branch's head.
func (t *Table) Forgotten(ctx context.Context, snapshot int64) (bool, error) {
	if !t.lake.cat.HeadOnly() {
		return t.tbl.SnapshotByID(snapshot) == nil, nil
	}
	then, _, err := t.AsOf(ctx, Version{SnapshotID: &snapshot})
	if errors.Is(err, ErrNoSuchSnapshot) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if now := t.tbl.CurrentSnapshot(); now != nil && now.SnapshotID == snapshot {
		return false, nil
	}
	store, err := then.FS(ctx)
	if err != nil {
		return false, err
	}
	manifests, err := then.tbl.CurrentSnapshot().Manifests(store)
	if isAbsent(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("manifests of snapshot %d of %s: %w", snapshot, t.name, err)
	}
	for _, m := range manifests {
		if there, err := isThere(store, m.FilePath()); !there || err != nil {
			return err == nil, err
		}
	}
	return false, nil
}

func isThere(store iceio.IO, path string) (bool, error) {
	f, err := store.Open(path)
	if isAbsent(err) {
		return false, nil
	}
	if err == nil {
		_, err = f.Stat() // some stores find out only then
		if closed := f.Close(); err == nil {
			err = closed
		}
	}
	if isAbsent(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", path, err)
	}
	return true, nil
}

// names finds one of some files that the table's head names; "" if it names none.
func (t *Table) names(ctx context.Context, files map[string]bool) (string, error) {
	s := t.tbl.CurrentSnapshot()
	if s == nil {
		return "", nil
	}
	found := ""
	err := t.liveEntries(ctx, s, func(iceberg.ManifestFile) bool { return true }, func(e iceberg.ManifestEntry) {
		if path := e.DataFile().FilePath(); found == "" && files[path] {
			found = path
		}
	})
	return found, err
}

// liveEntries goes through the live data and delete files of a snapshot, in the manifests that are meant.
func (t *Table) liveEntries(ctx context.Context, s *table.Snapshot, meant func(iceberg.ManifestFile) bool, each func(iceberg.ManifestEntry)) error {
	fs, err := t.tbl.FS(ctx)
	if err != nil {
		return err
	}
	manifests, err := s.Manifests(fs)
	if err != nil {
		return fmt.Errorf("manifests of snapshot %d: %w", s.SnapshotID, err)
	}
	for _, m := range manifests {
		if !meant(m) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
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
