package workflows

import (
	"fmt"
	"hash/fnv"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/varve-lake/varve/activities/wire"
)

// Merging is the state of a MERGE that was divided into groups, for its size or after a conflict.
type Merging struct {
	Rounds   []wire.MergeRound `json:"rounds"` // of which the last one is under way until it is offered to a commit
	Division wire.Divided      `json:"division"`
	Next     int               `json:"next"`    // the first group of the division that is not merged
	Offered  bool              `json:"offered"` // a commit was asked to use the last round's results

	// What commits that divided have counted.
	Groups    int `json:"groups"`
	Redos     int `json:"redos,omitempty"` // divisions after a conflict
	Attempts  int `json:"attempts,omitempty"`
	Conflicts int `json:"conflicts,omitempty"`
	Redone    int `json:"redone,omitempty"`
}

const (
	stageMerging = "merging"
	// maxDivisions bounds how often a MERGE is divided, for its size or after a conflict: after that a commit redoes by itself
	// what conflicts, at once and each time a little less, and asks the others to let it through if it loses all the same, so
	// that it gets through against writers who never rest.
	maxDivisions = 4
	// redoDelay is the longest wait before a redo that is the first division; with each division it is twice as long.
	redoDelay = 20 * time.Millisecond
	// mergeGroupsAhead is how many groups are asked for at once, as a multiple of the groups staged at once by one worker:
	// a group that waits in the queue is any worker's.
	mergeGroupsAhead = 4
)

// mayDivide tells whether the next commit may divide the MERGE, once more or for the first time.
func (b *build) mayDivide() bool { return b.Merging == nil || len(b.Merging.Rounds) < maxDivisions }

// divided notes that a commit has divided the MERGE. A redo waits a little, longer each time.
func (b *build) divided(ctx workflow.Context, c wire.Committed) {
	if b.Merging == nil {
		b.Merging = &Merging{}
	}
	m := b.Merging
	m.Rounds = append(m.Rounds, wire.MergeRound{Division: c.Divided.Division})
	m.Division, m.Next, m.Offered = *c.Divided, 0, false
	if c.Divided.Redo {
		m.Redos++
	}
	m.Groups += c.Divided.Groups
	m.Attempts, m.Conflicts, m.Redone = m.Attempts+c.Attempts, m.Conflicts+c.Conflicts, m.Redone+c.GroupsRedone
	if c.Divided.Redo {
		_ = workflow.Sleep(ctx, redoWait(workflow.GetInfo(ctx).WorkflowExecution.RunID, len(m.Rounds))) // cut short by a cancellation, which the groups see
	}
}

// redoWait is between half and all of a time that doubles with each round, so that builds which collided do not meet again.
// It follows from the run alone: a replay comes to the same.
func redoWait(run string, round int) time.Duration {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s/%d", run, round)
	half := redoDelay << (round - 1) / 2
	return half + half*time.Duration(h.Sum32()%1024)/1024
}

// offer are the results that a commit is asked to use. From now on they may be the table's.
func (b *build) offer() []wire.MergeRound {
	if b.Merging == nil {
		return nil
	}
	b.Merging.Offered = true
	return b.Merging.Rounds
}

// unoffered are the results that no commit was asked to use.
func (b *build) unoffered() (parts []string) {
	if m := b.Merging; m != nil && !m.Offered {
		parts = append(parts, m.Rounds[len(m.Rounds)-1].Parts...)
		if m.Division.Kept != "" {
			parts = append(parts, m.Division.Kept)
		}
	}
	return parts
}

// tell adds what came before the last commit to a result.
func (b *build) tell(r *wire.TableResult) {
	if m := b.Merging; m != nil {
		r.MergeGroups = m.Groups
		r.Conflicts += m.Conflicts
		r.GroupsRedone += m.Redone
	}
}

// mergeGroups merges the groups of the last division, in batches. After some batches it continues as new, as staging does;
// the error is then a ContinueAsNewError.
func (b *build) mergeGroups(ctx workflow.Context) error {
	m := b.Merging
	if m == nil || m.Offered {
		return nil
	}
	b.stage = stageMerging
	batch := max(b.in.Settings.Batch, 1)
	for done := 0; m.Next < m.Division.Groups; done++ {
		if done == batchesPerRun || done > 0 && workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			next := b.in
			next.State = &b.BuildState
			return workflow.NewContinueAsNewError(ctx, BuildTableName, next)
		}
		if err := b.mergeBatch(ctx, m.Next, min(m.Next+batch, m.Division.Groups)); err != nil {
			return err
		}
	}
	return nil
}

// mergeBatch merges the groups from, from+1, … to-1, and keeps one part for them all if there are other batches.
func (b *build) mergeBatch(ctx workflow.Context, from, to int) error {
	m := b.Merging
	round := &m.Rounds[len(m.Rounds)-1]
	merged := make([]wire.MergedGroup, to-from)
	err := b.eachGroup(ctx, numbers(from, to), mergeGroupsAhead*max(b.in.Settings.Groups, 1), func(ctx workflow.Context, g int) error {
		request := wire.MergeGroupRequest{Job: b.Prepared.Job, Division: round.Division, Group: g}
		return workflow.ExecuteActivity(described(long(ctx), b.groupSummary(g)), wire.ActivityMergeGroup, request).Get(ctx, &merged[g-from])
	})
	var parts []string
	for _, g := range merged {
		if g.Part != "" {
			parts = append(parts, g.Part)
		}
		if g.Reason != "" {
			b.warn("the MERGE is divided anew: " + g.Reason)
		}
	}
	if err == nil && m.Division.Groups > max(b.in.Settings.Batch, 1) && len(parts) > 0 {
		var gathered wire.Gathered
		request := wire.GatherRequest{Job: b.Prepared.Job, Parts: parts}
		if err = workflow.ExecuteActivity(short(ctx), wire.ActivityGather, request).Get(ctx, &gathered); err == nil {
			parts = []string{gathered.Part}
		}
	}
	round.Parts = append(round.Parts, parts...) // after an error, for cleaning up
	b.inBatch = 0
	m.Next = to
	return err
}

// groupSummary is what the UI shows beside a group's activity.
func (b *build) groupSummary(g int) string {
	m := b.Merging
	text := fmt.Sprintf("group %d of %d", g+1, m.Division.Groups)
	if m.Division.Redo {
		text += fmt.Sprintf(", redone after a conflict (%d)", m.Redos)
	}
	return text
}
