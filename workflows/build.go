package workflows

import (
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/varve-lake/varve/activities/wire"
)

// BuildInput starts the build of one table.
type BuildInput struct {
	Pipeline string        `json:"pipeline"`
	Run      string        `json:"run"` // workflow id of the run
	Table    wire.TableRef `json:"table"`
	Settings wire.Settings `json:"settings"`
	State    *BuildState   `json:"state,omitempty"` // where the chain's earlier run left off
}

// BuildState is what a run of BuildTable hands to the next one of its chain. It stays small whatever the number of
// groups: one part stands for a whole batch.
type BuildState struct {
	Build    wire.Build    `json:"build"`
	Started  time.Time     `json:"started"`
	Round    int           `json:"round,omitempty"`
	Prepared wire.Prepared `json:"prepared"`
	Next     int           `json:"next"` // the first group not staged
	Parts    []string      `json:"parts,omitempty"`
	Counts   wire.Counts   `json:"counts"`
	Merging  *Merging      `json:"merging,omitempty"` // set once a MERGE was divided
	Changes  []string      `json:"changes,omitempty"`
	Warnings []string      `json:"warnings,omitempty"`
}

const (
	// maxRounds bounds how often a build begins anew because what it was planned from has changed.
	maxRounds = 5
	// batchesPerRun bounds a history: so many batches of groups, then the build continues as a new run.
	batchesPerRun = 4
	maxWarnings   = 20
)

// build is the state of one BuildTable.
type build struct {
	BuildState
	in        BuildInput
	stage     string
	committed bool // a commit was asked for, so staged data files may have become the table's
	inBatch   int  // groups of the current batch that are staged, or merged
}

// BuildTable builds one table: it finds what is new, stages it group by group, and commits it in one snapshot together
// with the checkpoint. A build of many groups continues as new, so that its history stays bounded.
func BuildTable(ctx workflow.Context, in BuildInput) (*wire.TableResult, error) {
	b := &build{in: in, stage: "preparing"}
	if in.State != nil {
		b.BuildState = *in.State
		b.stage = "staging"
		b.committed = b.Merging != nil // it was a commit that divided the MERGE
	} else {
		info := workflow.GetInfo(ctx)
		b.Started = workflow.Now(ctx)
		b.Build = wire.Build{
			Pipeline: in.Pipeline, Run: in.Run, Workflow: info.WorkflowExecution.ID, FirstRun: info.FirstRunID, LoadedAt: b.Started,
		}
	}
	if err := workflow.SetQueryHandler(ctx, QueryProgress, b.progress); err != nil {
		return nil, err
	}
	result, err := b.rounds(ctx)
	if workflow.IsContinueAsNewError(err) {
		return nil, err
	}
	b.cleanUp(ctx)
	b.stage = "finished"
	if err != nil {
		return nil, err
	}
	if err := workflow.UpsertMemo(ctx, map[string]any{"summary": tableLine(*result)}); err != nil {
		return nil, err
	}
	return result, nil
}

func (b *build) progress() (TableProgress, error) {
	p := TableProgress{
		Table: b.in.Table.Name, Stage: b.stage, Reason: b.Prepared.Reason, Groups: b.Prepared.Groups,
		GroupsDone: b.Next + b.inBatch, Files: b.Prepared.Files, Bytes: b.Prepared.Bytes, Counts: b.Counts,
	}
	if m := b.Merging; m != nil {
		p.GroupsDone = b.Next
		p.MergeGroups, p.MergeGroupsDone, p.MergeFiles = m.Division.Groups, m.Next, m.Division.Files
		if b.stage == stageMerging {
			p.MergeGroupsDone += b.inBatch
		}
		p.Conflicts = m.Conflicts
	}
	return p, nil
}

// rounds builds the table, and begins anew if what it was planned from has changed: another run of the pipeline committed
// first, or a file changed.
func (b *build) rounds(ctx workflow.Context) (*wire.TableResult, error) {
	for {
		result, err := b.round(ctx)
		var application *temporal.ApplicationError
		if !errors.As(err, &application) || application.Type() != wire.ErrSuperseded || b.Round+1 >= maxRounds {
			return result, err
		}
		b.warn(fmt.Sprintf("began anew: %s", application.Message()))
		b.cleanUp(ctx)
		// A file that is still being written is given some time to end.
		if err := workflow.Sleep(ctx, time.Second<<b.Round); err != nil {
			return nil, err
		}
		b.BuildState = BuildState{Build: b.Build, Started: b.Started, Round: b.Round + 1, Changes: b.Changes, Warnings: b.Warnings}
		b.committed = false
	}
}

func (b *build) round(ctx workflow.Context) (*wire.TableResult, error) {
	if b.Prepared.Job == "" {
		if err := b.prepare(ctx); err != nil {
			return nil, err
		}
	}
	if b.Prepared.Unchanged {
		return b.unchanged(ctx), nil
	}
	if err := b.stageAll(ctx); err != nil {
		return nil, err
	}
	if b.Prepared.Refine && b.Merging == nil {
		if err := b.refine(ctx); err != nil {
			return nil, err
		}
	}
	return b.commit(ctx)
}

func (b *build) prepare(ctx workflow.Context) error {
	b.stage = "preparing"
	request := wire.PrepareRequest{Build: b.Build, Table: b.in.Table, Round: b.Round}
	if err := workflow.ExecuteActivity(short(ctx), wire.ActivityPrepare, request).Get(ctx, &b.Prepared); err != nil {
		return err
	}
	b.changed(b.Prepared.Changes)
	b.warn(b.Prepared.Warnings...)
	return nil
}

func (b *build) refine(ctx workflow.Context) error {
	b.stage = "refining"
	var refined wire.Staged
	request := wire.RefineRequest{Job: b.Prepared.Job, Parts: b.Parts}
	if err := workflow.ExecuteActivity(long(ctx), wire.ActivityRefine, request).Get(ctx, &refined); err != nil {
		return err
	}
	b.Parts = append(b.Parts, refined.Part)
	b.Counts.Add(refined.Counts)
	b.warn(refined.Warnings...)
	return nil
}

// commit makes what is staged the table's. A MERGE with much to look through is not committed at first, but divided: its
// groups are merged by activities of their own, and then a commit is asked for again. So it is too, for any MERGE, when others
// have changed the table meanwhile so that files have to be looked through again: a conflict is a Commit that completes and
// says so.
func (b *build) commit(ctx workflow.Context) (*wire.TableResult, error) {
	for {
		if err := b.mergeGroups(ctx); err != nil {
			return nil, err
		}
		b.stage = "committing"
		b.committed = true
		request := wire.CommitRequest{Job: b.Prepared.Job, Parts: b.Parts, FanOut: b.mayDivide(), Merged: b.offer()}
		var done wire.Committed
		if err := workflow.ExecuteActivity(long(ctx), wire.ActivityCommit, request).Get(ctx, &done); err != nil {
			return nil, err
		}
		if err := b.conflicted(ctx, done.Conflicts); err != nil {
			return nil, err
		}
		if done.Divided != nil {
			b.divided(ctx, done)
			continue
		}
		r := b.result(ctx, wire.StateBuilt)
		r.Committed(done)
		b.tell(r)
		if done.Maintain != "" {
			if err := maintainAfter(ctx, b.in.Pipeline, b.in.Table.Name, done.Maintain); err != nil { // the rows are committed all the same
				r.Warnings = append(r.Warnings, "its maintenance was not started: "+err.Error())
			}
		}
		return r, nil
	}
}

// conflicted makes the conflicts of a commit an event of the build's own, by which builds that had some can be found and
// counted.
func (b *build) conflicted(ctx workflow.Context, more int) error {
	if more == 0 || !b.in.Settings.ConflictAttribute {
		return nil
	}
	total := more
	if b.Merging != nil {
		total += b.Merging.Conflicts
	}
	return workflow.UpsertTypedSearchAttributes(ctx, AttributeConflicts.ValueSet(int64(total)))
}

func (b *build) unchanged(ctx workflow.Context) *wire.TableResult {
	return b.result(ctx, wire.StateUnchanged)
}

func (b *build) result(ctx workflow.Context, state string) *wire.TableResult {
	r := &wire.TableResult{
		Table: b.in.Table.Name, Layer: b.in.Table.Layer, State: state, Reason: b.Prepared.Reason,
		SnapshotID: b.Prepared.Snapshot, Seconds: workflow.Now(ctx).Sub(b.Started).Seconds(),
		Changes: b.Changes, Warnings: b.Warnings, Commit: b.Prepared.Commit,
	}
	r.Took(b.Counts)
	return r
}

// cleanUp removes what the build staged, whatever its end. That it did not work is no reason for a build to fail.
func (b *build) cleanUp(ctx workflow.Context) {
	if b.Prepared.Unchanged {
		return // nothing was staged
	}
	b.stage = "cleaning up"
	ctx, cancel := sweep(ctx)
	defer cancel()
	request := wire.CleanupRequest{Build: b.Build, Table: b.in.Table.Name, Round: b.Round, Job: b.Prepared.Job}
	if !b.committed {
		request.Discard = b.Parts
	}
	request.Discard = append(request.Discard, b.unoffered()...)
	if err := workflow.ExecuteActivity(ctx, wire.ActivityCleanup, request).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Warn("staging is left to maintenance", "table", b.in.Table.Name, "error", err)
		b.warn("the staging area could not be removed; maintenance will")
	}
}

func (b *build) warn(warnings ...string) {
	for _, w := range warnings {
		if len(b.Warnings) == maxWarnings {
			b.Warnings = append(b.Warnings, "and more")
		}
		if len(b.Warnings) > maxWarnings {
			return
		}
		b.Warnings = append(b.Warnings, w)
	}
}

func (b *build) changed(changes []string) {
	b.Changes = append(b.Changes, changes...)
	if len(b.Changes) > maxWarnings {
		b.Changes = append(b.Changes[:maxWarnings:maxWarnings], "and more")
	}
}
