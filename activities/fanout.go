package activities

import (
	"context"
	"errors"
	"fmt"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/merge"
)

// A MERGE with much to look through is divided by the commit that finds it so. Its groups are merged by any worker, and
// the next commit puts together what they found. A conflict of any MERGE goes the same way: the commit divides what has to be
// looked through again, hands on what else it has done, and completes; that is no failure of it.

// division is a merge.Division as it is staged: the groups lie beside it, in chunks, and what was kept is a part as those of
// the groups are. It is named here, and not by the workflow: who knows the division knows what it rests on.
type division struct {
	merge.Division
	Parts    []string `json:"parts"` // of the rows to merge
	Chunks   []chunk  `json:"chunks"`
	KeptPart string   `json:"kept_part,omitempty"`
}

const (
	// mergeChunk is where a staged list of groups ends, in bytes.
	mergeChunk = 4 << 20
	// keptGroup stands for the number of a group in the part of what was kept.
	keptGroup = -1
)

// merge merges staged rows, or divides it.
func (a *Activities) merge(ctx context.Context, p *pulse, table *tables.Table, j *job, options tables.CommitOptions, manifests []manifest, in wire.CommitRequest) (wire.Committed, error) {
	m, source, done, err := a.merging(ctx, table, j, manifests)
	if err != nil {
		return wire.Committed{}, err
	}
	defer done()
	options.Isolation = j.Table.Write.Merge.Isolation
	fan := merge.Fanout{Progress: func(n int) { p.files.Add(int64(n)) }}
	if in.FanOut {
		fan.Redo, fan.Above, fan.GroupBytes = true, a.cfg.FanOut, max(a.cfg.FanOut/4, 2*source.bytes())
	}
	if fan.Done, err = a.merged(ctx, p, table, j, in.Merged); err != nil {
		return wire.Committed{}, err
	}
	p.at("merging and committing")
	result, divided, err := table.MergeInGroups(ctx, options, m, source, fan)
	if err != nil {
		return wire.Committed{}, err
	}
	if divided == nil {
		count(ctx, metricRedone, table.Name(), result.GroupsRedone)
		return committed(result), nil
	}
	return a.divided(ctx, table, j, result, division{Division: *divided, Parts: in.Parts}, len(in.Merged) > 0)
}

// divided stages a division, and says so. It is one of a redo if there was a conflict, or another division before it.
func (a *Activities) divided(ctx context.Context, table *tables.Table, j *job, r tables.Result, d division, again bool) (wire.Committed, error) {
	redo := again || r.Conflicts > 0
	out := wire.Committed{Attempts: r.Attempts, Conflicts: r.Conflicts, GroupsRedone: d.Redone}
	if redo { // the results of single files that nothing was written for are done again too
		out.GroupsRedone = max(d.Redone, len(d.Groups))
	}
	uri, err := a.stageDivision(ctx, table, j, &d)
	if err != nil {
		if d.Kept != nil && !d.Sent {
			err = errors.Join(err, table.RemoveFound(context.WithoutCancel(ctx), d.Kept))
		}
		return wire.Committed{}, err
	}
	count(ctx, metricRedone, table.Name(), out.GroupsRedone)
	out.Divided = &wire.Divided{Division: uri, Groups: len(d.Groups), Files: d.Files, Bytes: d.Bytes, Redo: redo}
	if !d.Sent {
		out.Divided.Kept = d.KeptPart
	}
	return out, nil
}

// merging takes the memory for a MERGE and makes its options and its source.
func (a *Activities) merging(ctx context.Context, table *tables.Table, j *job, manifests []manifest) (merge.Options, *staged, func(), error) {
	m, err := mergeOptions(&j.Table, table)
	if err != nil {
		return m, nil, nil, err
	}
	schema, err := target(&j.Table)
	if err != nil {
		return m, nil, nil, err
	}
	done, err := a.memory.take(ctx, a.cfg.mergeShare())
	if err != nil {
		return m, nil, nil, err
	}
	m.MemoryLimit, m.TempDir, m.Parallelism = a.cfg.mergeShare(), a.cfg.WorkDir, a.cfg.Parallelism
	return m, &staged{table: table, files: finalRows(&j.Table, manifests), schema: schema}, done, nil
}

// merged reads what came of earlier divisions.
func (a *Activities) merged(ctx context.Context, p *pulse, table *tables.Table, j *job, rounds []wire.MergeRound) ([]merge.Done, error) {
	var out []merge.Done
	for _, r := range rounds {
		p.at("reading what was merged")
		var d division
		if err := a.load(ctx, r.Division, &d); err != nil {
			return nil, err
		}
		parts := r.Parts
		if d.KeptPart != "" {
			parts = append([]string{d.KeptPart}, parts...)
		}
		manifests, err := a.manifests(ctx, p, j, table, parts)
		if err != nil {
			return nil, err
		}
		done := merge.Done{Division: d.Division}
		for _, m := range manifests {
			if m.Found == nil {
				return nil, fmt.Errorf("what was merged into %s: group %d has no result", table.Name(), m.Group)
			}
			done.Found = append(done.Found, m.Found)
		}
		out = append(out, done)
	}
	if len(rounds) > 0 {
		fault.Point(fault.MergeResultsRead)
	}
	return out, nil
}

// stageDivision stores what a division has kept, its groups, in chunks, and then the division that names them.
func (a *Activities) stageDivision(ctx context.Context, table *tables.Table, j *job, d *division) (string, error) {
	name := unique()
	var err error
	if d.Kept != nil {
		fault.Point(fault.MergeKept)
		d.KeptPart = "merge-kept-" + name
		if _, err := stage(ctx, table, j.run(), partName(d.KeptPart), manifest{Group: keptGroup, Found: d.Kept}); err != nil {
			return "", err
		}
		fault.Point(fault.MergeKeptStored)
	}
	d.Chunks, err = inChunks(d.Groups, mergeChunk, merge.Group.Weight, func(first int, groups []merge.Group) (string, error) {
		return stage(ctx, table, j.run(), fmt.Sprintf("merge-groups-%s-%05d.json", name, first), groups)
	})
	if err != nil {
		return "", err
	}
	fault.Point(fault.MergeGroupsStored)
	uri, err := stage(ctx, table, j.run(), "merge-"+name+".json", d)
	fault.Point(fault.MergeDivided)
	return uri, err
}

// mergeGroup looks through one group of a divided MERGE and writes what changes in it. The result is staged last, under a
// name of the attempt's own: files that no result names are nobody's.
func (a *Activities) mergeGroup(ctx context.Context, p *pulse, in wire.MergeGroupRequest) (wire.MergedGroup, error) {
	fault.Point(fault.MergeBefore)
	j, err := a.loadJob(ctx, in.Job)
	if err != nil {
		return wire.MergedGroup{}, err
	}
	var d division
	if err := a.load(ctx, in.Division, &d); err != nil {
		return wire.MergedGroup{}, err
	}
	g, err := fromChunks[merge.Group](ctx, a, d.Chunks, in.Group)
	if err != nil {
		return wire.MergedGroup{}, fmt.Errorf("division %s: %w", in.Division, err)
	}
	table, err := a.lake.Table(ctx, j.Table.Name)
	if err != nil {
		return wire.MergedGroup{}, err
	}
	p.at("reading what was staged")
	manifests, err := a.manifests(ctx, p, j, table, d.Parts)
	if err != nil {
		return wire.MergedGroup{}, err
	}
	p.at("waiting for memory")
	m, source, done, err := a.merging(ctx, table, j, manifests)
	if err != nil {
		return wire.MergedGroup{}, err
	}
	defer done()
	return a.matchGroup(ctx, p, table, j, m, source, d.Division, g, in.Group)
}

func (a *Activities) matchGroup(ctx context.Context, p *pulse, table *tables.Table, j *job, m merge.Options, source *staged, d merge.Division, g merge.Group, number int) (wire.MergedGroup, error) {
	p.at(fmt.Sprintf("merging group %d: %d files", number+1, len(g.Files)))
	p.files.Store(0)
	out := wire.MergedGroup{Files: len(g.Files)}
	fan := merge.Fanout{Progress: func(n int) { p.files.Add(int64(n)) }}
	found, err := table.MatchGroup(ctx, m, source, fan, d, g)
	if errors.Is(err, tables.ErrMoved) {
		out.Reason = clip(err.Error(), 500)
		return out, nil
	}
	if err != nil {
		return out, err
	}
	fault.Point(fault.MergeFilesWritten)
	for _, c := range found.Groups {
		out.Updated, out.Deleted = out.Updated+c.Updated, out.Deleted+c.Deleted
	}
	tag := fmt.Sprintf("merge-%05d-%s", number, unique())
	if _, err := stage(ctx, table, j.run(), partName(tag), manifest{Group: number, Found: found}); err != nil {
		return out, errors.Join(err, table.RemoveFound(context.WithoutCancel(ctx), found))
	}
	fault.Point(fault.MergeResultStored)
	out.Part = tag
	return out, nil
}
