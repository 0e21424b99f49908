package activities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/varve-lake/varve/tables"
)

// overtaken decides about an error of reading other tables: what a build has pinned may have expired meanwhile, with its files, and
// then a new plan mends it. A file that a new plan would read again is lost, and the error stays one.
func (a *Activities) overtaken(ctx context.Context, j *job, g group, err error) error {
	if err == nil || ctx.Err() != nil || errors.Is(err, errNewColumns) {
		return err
	}
	overtaken, lookErr := false, error(nil)
	switch {
	case j.Table.SQL != nil:
		overtaken, lookErr = a.forgotten(ctx, j)
	case j.Table.From != nil && isAbsent(err):
		overtaken, lookErr = a.replaced(ctx, j, g)
	}
	if lookErr != nil {
		return errors.Join(err, lookErr)
	}
	if overtaken {
		return stale(err)
	}
	return err
}

func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, tables.ErrAbsent)
}

// forgotten tells whether a table has forgotten a snapshot that a query is pinned to. Files go after the snapshots that name them, so
// that one which is missing of a snapshot that the table knows is lost. An engine's own error of reading files has no class.
func (a *Activities) forgotten(ctx context.Context, j *job) (bool, error) {
	for name, pinned := range j.Snapshots {
		t, err := a.lake.Table(ctx, name)
		if errors.Is(err, tables.ErrNoSuchTable) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if pinned == 0 {
			continue
		}
		if gone, err := t.Forgotten(ctx, pinned); gone || err != nil {
			return gone, err
		}
	}
	return false, nil
}

// replaced tells whether files of a group are missing, and a new plan would read none of those. An error says of a file that it is lost.
func (a *Activities) replaced(ctx context.Context, j *job, g group) (bool, error) {
	source, err := a.lake.Table(ctx, j.Table.From.Table)
	if err != nil {
		return false, err
	}
	files, err := decodeTasks(source, g.Tasks)
	if err != nil {
		return false, err
	}
	missing, err := source.Missing(ctx, files)
	if err != nil || len(missing) == 0 {
		return false, err
	}
	_, since, _ := j.since(markOf(source))
	again, err := source.AddedAfter(ctx, since)
	if errors.Is(err, tables.ErrRewritten) || errors.Is(err, tables.ErrExpired) {
		return true, nil // the new plan will say so
	}
	if err != nil {
		return false, err
	}
	for _, task := range again.Files {
		for _, f := range tables.FilesOf(task) {
			if missing[f.FilePath()] {
				return false, fmt.Errorf("%s has lost a file: it names %s, which is not there", source.Name(), f.FilePath())
			}
		}
	}
	return true, nil
}
