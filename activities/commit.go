package activities

import (
	"context"
	"fmt"
	"slices"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/sources"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
)

// commit makes staged rows the table's, together with the checkpoint, in one commit that lands once however often it is
// tried. Rejected rows are committed before: a crash in between leaves them in the quarantine, where the next attempt
// finds them again by their keys.
func (a *Activities) commit(ctx context.Context, p *pulse, in wire.CommitRequest) (wire.Committed, error) {
	fault.Point(fault.CommitBefore)
	j, err := a.loadJob(ctx, in.Job)
	if err != nil {
		return wire.Committed{}, err
	}
	table, err := a.lake.Table(ctx, j.Table.Name)
	if err != nil {
		return wire.Committed{}, err
	}
	if err := j.stillAt(ctx, table); err != nil {
		return wire.Committed{}, err
	}
	p.at("reading what was staged")
	manifests, err := a.manifests(ctx, p, j, table, in.Parts)
	if err != nil {
		return wire.Committed{}, err
	}
	if len(in.Merged) == 0 { // else the commit that divided the MERGE has done it
		if err := a.commitRejected(ctx, p, j, manifests); err != nil {
			return wire.Committed{}, err
		}
	}
	fault.Point(fault.CommitQuarantined)
	options := j.commitOptions("rows", j.Next)
	if options.Checkpoint == nil {
		p.at("adding files to the checkpoint")
		if options.Checkpoint, err = a.filesCheckpoint(ctx, table, j); err != nil {
			return wire.Committed{}, err
		}
	}
	if err := j.withChanges(&options, manifests); err != nil {
		return wire.Committed{}, err
	}
	fault.Point(fault.CommitStateStored)
	options.Observe = func(e commit.Event) { p.at(fmt.Sprintf("committing: attempt %d: %v", e.Attempt, e.Class)) }
	p.at("committing")
	out, err := a.write(ctx, p, table, j, options, manifests, in)
	if err != nil {
		return wire.Committed{}, err
	}
	if out.Divided == nil {
		fault.Point(fault.CommitDone)
		out.Commit = table.CatalogCommit()
		if wire.Branch(ctx) == "" { // a branch is kept when it is merged
			out.Maintain = due(table, j.Table.Maintenance)
		}
	}
	return out, nil
}

// stillAt tells whether the table's checkpoint is the one that the build goes on from. The commit itself makes sure that
// the pipeline has not committed since; this finds a rollback, which moves the checkpoint without a commit of its own.
func (j *job) stillAt(ctx context.Context, table *tables.Table) error {
	if table.LastToken(j.writer()) != j.After {
		return nil // this build's own commit, or another's: the commit tells them apart
	}
	now, err := table.Checkpoint(ctx, j.writer())
	if err != nil {
		return fmt.Errorf("checkpoint of %s: %w", table.Name(), err)
	}
	if !same(now, j.Base) {
		return &marked{mark: errStale, text: fmt.Sprintf("%s was rolled back since the build was planned", table.Name())}
	}
	return nil
}

// commitOptions are those of one step of the build.
func (j *job) commitOptions(step string, checkpoint *tables.Checkpoint) tables.CommitOptions {
	after := j.After
	return tables.CommitOptions{
		ID:         commit.ID{Writer: j.writer(), Token: j.token(step), After: &after},
		Checkpoint: checkpoint, Since: j.Build.LoadedAt,
		Summary: map[string]string{"varve.pipeline": j.Build.Pipeline, "varve.run": j.Build.Run},
	}
}

// filesCheckpoint is the base with the job's files added.
func (a *Activities) filesCheckpoint(ctx context.Context, table *tables.Table, j *job) (*tables.Checkpoint, error) {
	set, err := loadedFiles(ctx, table, j.Base)
	if err != nil {
		return nil, err
	}
	set.TempDir = a.cfg.WorkDir
	for _, c := range j.Chunks {
		var groups []group
		if err := a.load(ctx, c.URI, &groups); err != nil {
			return nil, err
		}
		for _, g := range groups {
			set.Add(g.Files...)
		}
	}
	body, err := set.Save(ctx, table.States())
	if err != nil {
		return nil, fmt.Errorf("checkpoint of %s: %w", table.Name(), err)
	}
	return &tables.Checkpoint{Kind: sources.FilesKind, Body: body}, nil
}

// write carries out the table's write.
func (a *Activities) write(ctx context.Context, p *pulse, table *tables.Table, j *job, options tables.CommitOptions, manifests []manifest, in wire.CommitRequest) (wire.Committed, error) {
	if j.Table.Write.Merge != nil {
		return a.merge(ctx, p, table, j, options, manifests, in)
	}
	result, err := a.writeStaged(ctx, table, j, options, manifests)
	count(ctx, metricRedone, table.Name(), result.GroupsRedone)
	return committed(result), err
}

func (a *Activities) writeStaged(ctx context.Context, table *tables.Table, j *job, options tables.CommitOptions, manifests []manifest) (tables.Result, error) {
	var staged []*tables.Staged
	for _, m := range manifests {
		if len(m.Staged) == 0 {
			continue
		}
		s, err := table.DecodeStaged(m.Staged)
		if err != nil {
			return tables.Result{}, err
		}
		staged = append(staged, s)
	}
	switch w := j.Table.Write; w.Mode {
	case "append":
		return table.Append(ctx, options, staged...)
	case "replace":
		return table.Replace(ctx, options, staged...)
	case "replace_partitions":
		return table.ReplacePartitions(ctx, options, w.Partitions, staged...)
	case "replace_where":
		rows, err := rowsWhere(w.Where, table)
		if err != nil {
			return tables.Result{}, err
		}
		return table.ReplaceWhere(ctx, options, rows, staged...)
	}
	return tables.Result{}, fmt.Errorf("write of %s: unknown mode %q", j.Table.Name, j.Table.Write.Mode)
}

// finalRows are the rows to merge: all that groups have staged, or if they had to be refined, what came of that.
func finalRows(t *plan.Table, manifests []manifest) (out []rowsFile) {
	if !together(t) {
		return rowsOf(manifests)
	}
	return rowsOf(manifests[len(manifests)-1:])
}

func committed(r tables.Result) wire.Committed {
	return wire.Committed{
		Snapshot: r.SnapshotID, Already: r.AlreadyCommitted,
		Inserted: r.Inserted, Updated: r.Updated, Deleted: r.Deleted, Unchanged: r.Unchanged,
		FilesAdded: r.FilesAdded, FilesRemoved: r.FilesRemoved, DeleteFiles: r.DeleteFilesAdded,
		BytesRead: r.BytesRead, BytesWritten: r.BytesWritten, Attempts: r.Attempts, Conflicts: r.Conflicts, GroupsRedone: r.GroupsRedone,
		Warnings: slices.Clone(r.Warnings[:min(len(r.Warnings), maxWarnings)]),
	}
}
