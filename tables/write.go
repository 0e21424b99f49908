package tables

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/merge"
)

// CommitOptions go with every change of a table.
type CommitOptions struct {
	ID         commit.ID
	Checkpoint *Checkpoint // committed with the rows
	// Memory is what else the writer has to remember of its rows, by name, and is committed, kept and rolled back as its
	// checkpoint is. What is not named stays as it is. State files that it is about are named in its body by their URIs.
	Memory    map[string]Checkpoint
	Summary   map[string]string // goes into the snapshot's summary: varve.pipeline, varve.run, ...
	Isolation string            // of a merge: serializable (the default) | snapshot
	// Since is when the work began whose files are committed, if that was before the call.
	Since time.Time
	// Require, when set, is asked at every head that the commit is tried on; its error ends the commit.
	Require func(ctx context.Context, head *table.Table) error
	// Observe, when set, is told of conflicts and unknown outcomes as they happen.
	Observe func(commit.Event)

	catchUp bool // a merge keeps what it has done at an older head
	// upkeep is a change that no other of its kind is beside: a table has one maintenance. What it waited for long, after a
	// conflict, writers would have changed once more.
	upkeep bool
	yields bool // compaction never asks others to let it through
}

// Result is what an operation did.
type Result struct {
	SnapshotID       int64 `json:"snapshot_id,omitempty"` // 0 if no snapshot was made
	Committed        bool  `json:"committed"`
	AlreadyCommitted bool  `json:"already_committed,omitempty"`

	RowsIn    int64 `json:"rows_in"`
	Inserted  int64 `json:"inserted"`
	Updated   int64 `json:"updated"`
	Deleted   int64 `json:"deleted"`
	Unchanged int64 `json:"unchanged"`

	FilesScanned     int   `json:"files_scanned,omitempty"` // of a merge: those whose keys were read
	FilesPruned      int   `json:"files_pruned,omitempty"`  // of a merge: those that could not hold a matching key
	FilesAdded       int   `json:"files_added"`
	FilesRemoved     int   `json:"files_removed"`
	DeleteFilesAdded int   `json:"delete_files_added"`
	BytesRead        int64 `json:"bytes_read"`
	BytesWritten     int64 `json:"bytes_written"`

	// Sent says that files may be the table's although AlreadyCommitted: a twin of this call may have committed, or this one.
	Sent bool `json:"-"`

	Attempts        int `json:"attempts"`
	Conflicts       int `json:"conflicts,omitempty"`
	Claims          int `json:"claims,omitempty"` // of a turn, after conflicts: see commit.ClaimPrefix
	UnknownOutcomes int `json:"unknown_outcomes,omitempty"`
	GroupsRedone    int `json:"groups_redone,omitempty"`
	// GroupsWritten counts the file groups that a merge, or the deletion of rows, changed, as it committed them.
	GroupsWritten int `json:"groups_written,omitempty"`

	// Stages says how long each took: a merge's load, prune, match, write and insert, and commit, which is what every
	// operation does.
	Stages   map[string]time.Duration `json:"stages,omitempty"`
	Warnings []string                 `json:"warnings,omitempty"`
}

// Append adds the staged rows. Without any, only the checkpoint is committed and no snapshot is made.
func (t *Table) Append(ctx context.Context, opts CommitOptions, staged ...*Staged) (Result, error) {
	files, result := gather(staged)
	return t.commit(ctx, "append to", opts, result, func(context.Context, *table.Table, int) (*commit.Change, error) {
		return &commit.Change{Operation: commit.Append, AddData: files}, nil
	})
}

// Replace makes the staged rows the table's only rows, in one snapshot. Rows that others append while it runs are
// replaced too, as if they had come before: the files to remove are those of the head that the commit lands on.
func (t *Table) Replace(ctx context.Context, opts CommitOptions, staged ...*Staged) (Result, error) {
	files, result := gather(staged)
	return t.commit(ctx, "replace", opts, result, func(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
		live, err := liveFilesOf(ctx, head)
		if err != nil {
			return nil, err
		}
		return &commit.Change{
			Operation: commit.Overwrite, AddData: files, RemoveData: live.data, RemoveDeletes: live.deletes,
		}, nil
	})
}

// Merge carries out a MERGE of the source. On a conflict only the file groups that it concerns are redone.
func (t *Table) Merge(ctx context.Context, opts CommitOptions, m merge.Options, source merge.Source) (Result, error) {
	result, _, err := t.MergeInGroups(ctx, opts, m, source, merge.Fanout{})
	return result, err
}

// MergeInGroups is Merge for a process that shares the work with others. If there is more to look through than fan allows,
// or something again after a conflict, then nothing is committed, and the division says what others are to do by MatchGroup.
// With what they found in fan.Done, and with what the division kept, a second call commits it; or divides again what another
// conflict concerns. What a division kept is the caller's, to hand over or, if it was not sent, to remove by RemoveFound.
func (t *Table) MergeInGroups(ctx context.Context, opts CommitOptions, m merge.Options, source merge.Source, fan merge.Fanout) (Result, *merge.Division, error) {
	plan, err := t.mergePlan(opts.Isolation, m, source, fan)
	if err != nil {
		return Result{}, nil, err
	}
	opts.catchUp = true
	result, err := t.commit(ctx, "merge into", opts, Result{}, func(ctx context.Context, head *table.Table, attempt int) (*commit.Change, error) {
		change, err := plan.Change(ctx, head, attempt)
		if change == nil || err != nil {
			return nil, err
		}
		counted := *change
		counted.Summary = maps.Clone(change.Summary)
		if counted.Summary == nil {
			counted.Summary = map[string]string{}
		}
		var counts Result
		counts.merged(plan.Stats())
		maps.Copy(counted.Summary, counts.counts())
		fault.Point(fault.MergePlanned)
		return &counted, nil
	})
	if !result.AlreadyCommitted {
		result.merged(plan.Stats())
	}
	var divided *merge.DividedError
	switch {
	case errors.As(err, &divided):
		divided.Division.Sent = !commit.Safe(err)
		return result, divided.Division, plan.Abort(ctx)
	case result.Committed, result.Sent:
		if result.UnknownOutcomes == 0 && !result.Sent {
			plan.Landed()
		}
		return result, nil, errors.Join(err, plan.Close())
	case err != nil && !commit.Safe(err) && result.Attempts > 0:
		// The files may be the table's. What of them is not, maintenance sweeps. Before anything was sent, as when a merge
		// is cancelled while it works, they are certainly not.
		return result, nil, errors.Join(err, plan.Close())
	}
	return result, nil, errors.Join(err, plan.Abort(ctx))
}

// MatchGroup looks through one group of a division that MergeInGroups has made, and writes what changes in it. The same
// group may be looked through more than once: what MergeInGroups is told of is committed. ErrMoved says that the table has
// another schema or layout by now, or has lost files of the group to others: MergeInGroups then divides anew. A file that the
// table still names and that is not there is another error, which names it.
func (t *Table) MatchGroup(ctx context.Context, m merge.Options, source merge.Source, fan merge.Fanout, d merge.Division, g merge.Group) (*merge.Found, error) {
	plan, err := t.mergePlan("", m, source, fan)
	if err != nil {
		return nil, err
	}
	found, err := plan.Match(ctx, t.tbl, d, g)
	if err == nil {
		return found, plan.Close()
	}
	switch {
	case merge.Moved(err):
		err = fmt.Errorf("%w: %w", ErrMoved, err)
	case isAbsent(err):
		err = t.absent(ctx, err, d.Shape.Schema, d.Shape.Version, g.Files)
	}
	return nil, err
}

func (t *Table) mergePlan(isolation string, m merge.Options, source merge.Source, fan merge.Fanout) (*merge.Plan, error) {
	if isolation != "" {
		m.Isolation = merge.Isolation(isolation)
	}
	m.MemoryLimit = firstOf(m.MemoryLimit, t.lake.cfg.MemoryLimit)
	m.Parallelism = firstOf(m.Parallelism, t.lake.cfg.Parallelism)
	m.TempDir = firstOf(m.TempDir, t.lake.cfg.TempDir)
	plan, err := merge.New(source, m)
	if err != nil {
		return nil, fmt.Errorf("merge into %s: %w", t.name, err)
	}
	plan.Share(fan)
	return plan, nil
}

// RemoveFound removes the files that were written for groups of a merge, and that no call of MergeInGroups was told of.
func (t *Table) RemoveFound(ctx context.Context, found *merge.Found) error {
	return t.removeFiles(ctx, found.Paths())
}

// merged takes over a merge's counts.
func (r *Result) merged(s merge.Stats) {
	r.RowsIn, r.Inserted, r.Updated, r.Deleted, r.Unchanged = s.SourceRows, s.Inserted, s.Updated, s.Deleted, s.Unchanged
	r.FilesAdded, r.FilesRemoved, r.DeleteFilesAdded = s.FilesAdded, s.FilesRemoved, s.DeleteFilesAdded
	r.FilesScanned, r.FilesPruned = s.FilesScanned, s.FilesPruned
	r.BytesRead, r.BytesWritten = s.BytesRead, s.BytesWritten
	r.GroupsWritten, r.GroupsRedone, r.Warnings = s.Groups, s.GroupsRedone, s.Warnings
	if r.Stages == nil {
		r.Stages = map[string]time.Duration{}
	}
	maps.Copy(r.Stages, s.Stages)
}

// The summary entries that say how rows and bytes were counted, so that who finds his work committed by an earlier call
// can still report it. Files, and the rows in them, are counted by Iceberg's own keys.
var countKeys = []string{
	"varve.rows-in", "varve.inserted", "varve.updated", "varve.deleted", "varve.unchanged", "varve.bytes-read", "varve.bytes-written",
}

func (r *Result) counters() []*int64 {
	return []*int64{&r.RowsIn, &r.Inserted, &r.Updated, &r.Deleted, &r.Unchanged, &r.BytesRead, &r.BytesWritten}
}

// secondsPrefix begins the summary entries that say how long a merge's stages took. The commit's own time is known only
// when the summary is written.
const secondsPrefix = "varve.merge.seconds."

func (r *Result) counts() map[string]string {
	out := map[string]string{}
	for i, n := range r.counters() {
		out[countKeys[i]] = strconv.FormatInt(*n, 10)
	}
	for stage, took := range r.Stages {
		out[secondsPrefix+stage] = strconv.FormatFloat(took.Seconds(), 'f', 3, 64)
	}
	return out
}

// recall takes the counts from the summary of the snapshot that an earlier call committed.
func (r *Result) recall(s *table.Snapshot) {
	if s == nil || s.Summary == nil {
		return
	}
	for i, n := range r.counters() {
		*n = s.Summary.Properties.GetInt64(countKeys[i], *n)
	}
	for key, value := range s.Summary.Properties {
		stage, ok := strings.CutPrefix(key, secondsPrefix)
		if seconds, err := strconv.ParseFloat(value, 64); ok && err == nil {
			r.Stages[stage] = time.Duration(seconds * float64(time.Second))
		}
	}
	r.FilesAdded = s.Summary.Properties.GetInt("added-data-files", 0)
	r.FilesRemoved = s.Summary.Properties.GetInt("deleted-data-files", 0)
	r.DeleteFilesAdded = s.Summary.Properties.GetInt("added-delete-files", 0)
}

// SetCheckpoint commits the checkpoint alone.
func (t *Table) SetCheckpoint(ctx context.Context, opts CommitOptions) (Result, error) {
	return t.commit(ctx, "set checkpoint of", opts, Result{}, func(context.Context, *table.Table, int) (*commit.Change, error) {
		return nil, nil
	})
}

func gather(staged []*Staged) (files []iceberg.DataFile, result Result) {
	for _, s := range staged {
		if s == nil {
			continue
		}
		files = append(files, s.Files...)
		result.RowsIn += s.Rows
		result.BytesWritten += s.Bytes
	}
	result.Inserted = result.RowsIn
	return files, result
}

// commit runs a plan through the protocol, with the checkpoint and the summary that belong to it.
func (t *Table) commit(ctx context.Context, what string, opts CommitOptions, result Result, plan commit.Planner) (Result, error) {
	began := time.Now()
	checkpoints, err := t.checkpointTexts(ctx, opts)
	if err != nil {
		return Result{}, err
	}
	var change *commit.Change
	var planning time.Duration
	whole := func(ctx context.Context, head *table.Table, attempt int) (*commit.Change, error) {
		if opts.Require != nil {
			if err := opts.Require(ctx, head); err != nil {
				return nil, err
			}
		}
		start := time.Now()
		change, err = plan(ctx, head, attempt)
		planning += time.Since(start)
		if err != nil {
			return nil, err
		}
		if change != nil {
			result.replaced(change)
		}
		change = withCheckpoints(change, head, opts, checkpoints, result)
		change.States = t.statesIn(checkpoints)
		return change, nil
	}
	options := t.lake.cfg.Commit
	options.CatchUp, options.Yields, options.Since = opts.catchUp, opts.yields, opts.Since
	if opts.upkeep {
		options.CatchUp, options.Crowd = true, 2
	}
	options.Observe = observers(options.Observe, opts.Observe)
	out, err := commit.Commit(ctx, t.lake.committer, t.tbl.Identifier(), opts.ID, whole, options)
	if out.Table != nil {
		t.tbl = out.Table
	}
	result.SnapshotID, result.Committed, result.AlreadyCommitted = out.SnapshotID, out.Committed, out.AlreadyCommitted
	result.Sent = out.Sent
	result.Attempts, result.Conflicts, result.Claims, result.UnknownOutcomes = out.Attempts, out.Conflicts, out.Claims, out.UnknownOutcomes
	result.Stages = map[string]time.Duration{"commit": time.Since(began) - planning}
	if err != nil {
		return result, fmt.Errorf("%s %s: %w", what, t.name, err)
	}
	if out.AlreadyCommitted {
		result.recall(out.Table.SnapshotByID(out.SnapshotID))
	}
	return result, nil
}

// replaced counts what a change removes and adds, where it is not a merge that counts for itself.
func (r *Result) replaced(c *commit.Change) {
	r.FilesAdded, r.FilesRemoved, r.DeleteFilesAdded = len(c.AddData), len(c.RemoveData), len(c.AddDeletes)
	r.Deleted = 0
	if c.Operation == commit.Rewrite { // its rows are all still there
		return
	}
	for _, f := range c.RemoveData {
		r.Deleted += f.Count()
	}
	for _, f := range c.RemoveDeletes { // their rows were deleted before
		if f.ContentType() == iceberg.EntryContentPosDeletes {
			r.Deleted -= f.Count()
		}
	}
}

func observers(all ...func(commit.Event)) func(commit.Event) {
	return func(e commit.Event) {
		for _, observe := range all {
			if observe != nil {
				observe(e)
			}
		}
	}
}

// checkpointTexts are the properties that hold the checkpoint and what else the writer remembers.
func (t *Table) checkpointTexts(ctx context.Context, opts CommitOptions) (map[string]string, error) {
	all := map[string]*Checkpoint{}
	if opts.Checkpoint != nil {
		all[opts.ID.Writer] = opts.Checkpoint
	}
	for name, c := range opts.Memory {
		all[memoryOf(opts.ID.Writer, name)] = &c
	}
	out := map[string]string{}
	for writer, c := range all {
		text, err := t.encodeCheckpoint(ctx, c)
		if err != nil {
			return nil, err
		}
		out[checkpointPrefix+writer] = text
	}
	return out, nil
}

// withCheckpoints adds what goes with every change. A change without files stays one only for the sake of checkpoints
// that differ from the head's.
func withCheckpoints(change *commit.Change, head *table.Table, opts CommitOptions, next map[string]string, result Result) *commit.Change {
	out := commit.Change{}
	if change != nil {
		out = *change
	}
	said := checkpointsIn(head.Properties())
	rewound := rewoundWriters(head.Metadata())
	checkpoints, err := checkpointsBefore(head.Metadata(), rewound)
	unknown := err != nil
	properties := map[string]string{}
	if !unknown {
		properties = setBack(head.Metadata(), rewound)
		delete(properties, commit.SequencePrefix+opts.ID.Writer) // which this commit says itself
	}
	if unknown { // which is for who reads them to say: here they stay as they are, and are not repeated
		checkpoints = maps.Clone(said)
	}
	maps.Copy(checkpoints, next)
	for key, text := range checkpoints {
		if said[key] != text && !slices.Contains(out.RemoveProperties, key) {
			properties[key] = text
		}
	}
	out.RemoveProperties = slices.Clone(out.RemoveProperties)
	for key := range said {
		_, now := checkpoints[key]
		if _, own := out.Properties[key]; !now && !own && !slices.Contains(out.RemoveProperties, key) {
			out.RemoveProperties = append(out.RemoveProperties, key)
		}
	}
	if len(properties) > 0 { // the planner's own stay as they are
		maps.Copy(properties, out.Properties)
		out.Properties = properties
	}
	summary := result.counts()
	maps.Copy(summary, opts.Summary)
	maps.Copy(summary, out.Summary)
	if unknown {
		checkpoints = maps.Clone(next)
		summary[unknownCheckpoints] = "true"
	}
	maps.Copy(summary, checkpoints)
	out.Summary = summary
	return &out
}
