package tables

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/merge"
	"github.com/varve-lake/varve/tables/planning"
)

// Rows says which rows of a table are meant, by a condition over their columns, "t.x". Where it is unknown, a row is not.
type Rows struct {
	Where merge.Expression
	// May holds for every row for which Where holds, and Rest for every row for which it does not, also where it is unknown.
	// Files whose statistics exclude May are not read; files whose statistics exclude Rest are removed without being read.
	// Nil is every row.
	May, Rest iceberg.BooleanExpression
	// Strategy says how rows leave files that keep others; merge.CopyOnWrite if empty.
	Strategy merge.Strategy
}

// Delete removes rows. If there is none, no snapshot is made. Rows that others add while it runs are looked at too, as if
// they had come before.
func (t *Table) Delete(ctx context.Context, opts CommitOptions, rows Rows) (Result, error) {
	return t.replaceRows(ctx, "delete from", opts, rows)
}

// ReplaceWhere removes rows and adds the staged ones, in one snapshot.
func (t *Table) ReplaceWhere(ctx context.Context, opts CommitOptions, rows Rows, staged ...*Staged) (Result, error) {
	return t.replaceRows(ctx, "replace rows of", opts, rows, staged...)
}

func (t *Table) replaceRows(ctx context.Context, what string, opts CommitOptions, rows Rows, staged ...*Staged) (Result, error) {
	d := &deletion{rows: rows}
	d.added, d.result = gather(staged)
	plan, err := merge.Deletion(rows.Where, merge.Options{
		Strategy: rows.Strategy, Isolation: merge.Serializable, Within: rows.May, Skip: d.skip,
		MemoryLimit: t.lake.cfg.MemoryLimit, Parallelism: t.lake.cfg.Parallelism, TempDir: t.lake.cfg.TempDir,
	})
	if err != nil {
		return Result{}, fmt.Errorf("%s %s: %w", what, t.name, err)
	}
	d.plan = plan
	result, err := t.commit(ctx, what, opts, d.result, d.change)
	if !result.AlreadyCommitted {
		result = d.counted(result)
	}
	if result.Committed && result.UnknownOutcomes == 0 {
		plan.Landed()
	}
	if result.Committed || result.Sent || err != nil && !commit.Safe(err) && result.Attempts > 0 {
		// After an unknown outcome the files may be the table's. What of them is not, maintenance sweeps.
		return result, errors.Join(err, plan.Close())
	}
	return result, errors.Join(err, plan.Abort(ctx))
}

// deletion is a commit.Planner: the merge deletes rows of files that keep others, and whole files are removed beside it.
type deletion struct {
	rows   Rows
	plan   *merge.Plan
	added  []iceberg.DataFile
	result Result // of the rows added

	// Of the last attempt:
	whole   map[string]table.FileScanTask // files to remove, by path
	deleted int64                         // rows in them
	out     *commit.Change
}

// skip tells the merge which files it need not look into.
func (d *deletion) skip(f iceberg.DataFile) bool {
	_, found := d.whole[f.FilePath()]
	return found
}

func (d *deletion) change(ctx context.Context, head *table.Table, attempt int) (*commit.Change, error) {
	if err := d.wholeFiles(ctx, head); err != nil {
		return nil, err
	}
	change, err := d.plan.Change(ctx, head, attempt)
	if err != nil {
		return nil, err
	}
	out := commit.Change{Operation: commit.Overwrite}
	if change != nil {
		out = *change
	}
	for path, task := range d.whole {
		out.RemoveData = append(out.RemoveData, task.File)
		for _, f := range append(append([]iceberg.DataFile(nil), task.DeleteFiles...), task.DeletionVectorFiles...) {
			if commit.ReferencedFile(f) == path {
				out.RemoveDeletes = append(out.RemoveDeletes, f)
			}
		}
	}
	out.AddData = append(out.AddData[:len(out.AddData):len(out.AddData)], d.added...)
	d.out = &out
	if len(out.AddData)+len(out.RemoveData)+len(out.AddDeletes) == 0 {
		return nil, nil
	}
	out.Summary = maps.Clone(out.Summary)
	if out.Summary == nil {
		out.Summary = map[string]string{}
	}
	counted := d.counted(d.result)
	maps.Copy(out.Summary, counted.counts())
	return &out, nil
}

// wholeFiles finds the files all of whose rows are meant. Equality deletes of other engines are left to the merge, which
// reads them.
func (d *deletion) wholeFiles(ctx context.Context, head *table.Table) error {
	d.whole, d.deleted = map[string]table.FileScanTask{}, 0
	if d.rows.Rest == nil || head.CurrentSnapshot() == nil {
		return nil
	}
	fs, err := head.FS(ctx)
	if err != nil {
		return err
	}
	meant, err := planning.Files(ctx, head.Metadata(), fs, planning.Options{
		Snapshot: head.CurrentSnapshot(), Schema: head.Schema(), Filter: d.rows.May, Rest: d.rows.Rest, Described: true,
	})
	if err != nil {
		return fmt.Errorf("plan files: %w", err)
	}
	for i, task := range meant.Tasks {
		path := task.File.FilePath()
		if meant.Rest[i] || len(task.EqualityDeleteFiles) > 0 {
			continue
		}
		d.whole[path] = task
		d.deleted += task.File.Count()
		if len(task.DeleteFiles)+len(task.DeletionVectorFiles) == 0 {
			continue
		}
		gone, err := datafile.Deletes(ctx, fs, task)
		if err != nil {
			return fmt.Errorf("deletes of %s: %w", path, err)
		}
		if gone != nil {
			d.deleted -= int64(gone.GetCardinality())
		}
	}
	return nil
}

// filesWith are the files of a snapshot that may have a row for which a filter holds.
func filesWith(ctx context.Context, head *table.Table, s *table.Snapshot, filter iceberg.BooleanExpression) ([]table.FileScanTask, error) {
	fs, err := head.FS(ctx)
	if err != nil {
		return nil, err
	}
	plan, err := planning.Files(ctx, head.Metadata(), fs, planning.Options{
		Snapshot: s, Schema: head.Schema(), Filter: filter, Described: true,
	})
	if err != nil {
		return nil, fmt.Errorf("plan files: %w", err)
	}
	return plan.Tasks, nil
}

// counted adds to a result what the last attempt came to.
func (d *deletion) counted(r Result) Result {
	s := d.plan.Stats()
	r.Inserted, r.RowsIn = d.result.Inserted, d.result.RowsIn
	r.Updated, r.Unchanged, r.Deleted = 0, 0, s.Deleted+d.deleted
	r.FilesScanned, r.FilesPruned = s.FilesScanned, s.FilesPruned
	r.GroupsWritten, r.GroupsRedone = s.Groups, s.GroupsRedone
	r.BytesRead, r.BytesWritten = s.BytesRead, s.BytesWritten+d.result.BytesWritten
	if d.out != nil {
		r.FilesAdded, r.FilesRemoved, r.DeleteFilesAdded = len(d.out.AddData), len(d.out.RemoveData), len(d.out.AddDeletes)
	}
	stages := map[string]time.Duration{}
	maps.Copy(stages, r.Stages)
	maps.Copy(stages, s.Stages)
	r.Stages = stages
	return r
}
