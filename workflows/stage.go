package workflows

import (
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/plan"
)

// maxExtensions bounds how often one batch is staged again because its files brought columns that the job lacked.
const maxExtensions = 4

// stageAll stages every group, in batches. After some batches it continues as new; the error is then a
// ContinueAsNewError.
func (b *build) stageAll(ctx workflow.Context) error {
	b.stage = "staging"
	batch := max(b.in.Settings.Batch, 1)
	for done := 0; b.Next < b.Prepared.Groups; done++ {
		if done == batchesPerRun || done > 0 && workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			next := b.in
			next.State = &b.BuildState
			return workflow.NewContinueAsNewError(ctx, BuildTableName, next)
		}
		if err := b.stageBatch(ctx, b.Next, min(b.Next+batch, b.Prepared.Groups)); err != nil {
			return err
		}
	}
	return nil
}

// stageBatch stages the groups from, from+1, … to-1 and keeps one part for them all.
func (b *build) stageBatch(ctx workflow.Context, from, to int) error {
	staged := make([]wire.Staged, to-from)
	todo := numbers(from, to)
	for extension := 0; ; extension++ {
		if err := b.stageGroups(ctx, from, todo, staged); err != nil {
			b.Parts = append(b.Parts, partsOf(staged)...) // for cleaning up
			return err
		}
		columns, again := newColumns(from, staged)
		if len(columns) == 0 {
			break
		}
		if extension == maxExtensions {
			return fmt.Errorf("stage %s: after %d extensions files still bring new columns, %s first",
				b.in.Table.Name, extension, columns[0].Name)
		}
		if err := b.extend(ctx, columns); err != nil {
			return err
		}
		todo = again
	}
	for _, s := range staged {
		b.Counts.Add(s.Counts)
		b.warn(s.Warnings...)
	}
	b.inBatch = 0
	b.Next = to
	return b.gather(ctx, partsOf(staged))
}

// numbers are from, from+1, … to-1.
func numbers(from, to int) []int {
	out := make([]int, to-from)
	for i := range out {
		out[i] = from + i
	}
	return out
}

// stageGroups stages the groups todo, a bounded number at once.
func (b *build) stageGroups(ctx workflow.Context, from int, todo []int, staged []wire.Staged) error {
	job := b.Prepared.Job
	return b.eachGroup(ctx, todo, max(b.in.Settings.Groups, 1), func(ctx workflow.Context, g int) error {
		var s wire.Staged
		err := workflow.ExecuteActivity(long(ctx), wire.ActivityStageGroup, wire.StageRequest{Job: job, Group: g}).Get(ctx, &s)
		if err == nil {
			staged[g-from] = s
		}
		return err
	})
}

// eachGroup runs an activity for each of some groups, and counts those that are done.
func (b *build) eachGroup(ctx workflow.Context, groups []int, atOnce int, run func(ctx workflow.Context, g int) error) error {
	return eachOf(ctx, groups, atOnce, func(ctx workflow.Context, g int) error {
		err := run(ctx, g)
		if err == nil {
			b.inBatch++
		}
		return err
	})
}

// eachOf runs an activity for each of some groups, so many at once. The first error cancels the others, and is returned
// when they have ended, so that nothing is still being written when the caller cleans up.
func eachOf(ctx workflow.Context, groups []int, atOnce int, run func(ctx workflow.Context, g int) error) error {
	ctx, cancel := workflow.WithCancel(ctx)
	defer cancel()
	slots := workflow.NewSemaphore(ctx, int64(atOnce))
	wait := workflow.NewWaitGroup(ctx)
	var first error
	for _, g := range groups {
		if slots.Acquire(ctx, 1) != nil || first != nil {
			break
		}
		wait.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer wait.Done()
			defer slots.Release(1)
			err := run(ctx, g)
			if err == nil {
				return
			}
			if first == nil || temporal.IsCanceledError(first) {
				first = err
			}
			cancel()
		})
	}
	wait.Wait(ctx)
	if first == nil {
		first = ctx.Err() // cancelled from outside before a group was started
	}
	return first
}

// gather keeps the parts of a batch. If there are other batches, one part is made of them.
func (b *build) gather(ctx workflow.Context, parts []string) error {
	if b.Prepared.Groups <= max(b.in.Settings.Batch, 1) {
		b.Parts = append(b.Parts, parts...)
		return nil
	}
	var gathered wire.Gathered
	request := wire.GatherRequest{Job: b.Prepared.Job, Parts: parts}
	if err := workflow.ExecuteActivity(short(ctx), wire.ActivityGather, request).Get(ctx, &gathered); err != nil {
		b.Parts = append(b.Parts, parts...) // for cleaning up
		return err
	}
	b.Parts = append(b.Parts, gathered.Part)
	return nil
}

// extend adds columns that files brought to the table and to the job.
func (b *build) extend(ctx workflow.Context, columns []plan.Column) error {
	var extended wire.Extended
	request := wire.ExtendRequest{Job: b.Prepared.Job, Columns: columns}
	if err := workflow.ExecuteActivity(short(ctx), wire.ActivityExtend, request).Get(ctx, &extended); err != nil {
		return err
	}
	b.Prepared.Job = extended.Job
	b.changed(extended.Changes)
	b.warn(extended.Warnings...)
	return nil
}

// newColumns lists the columns that staged groups found beyond the job, in the order of groups, each once, and the
// groups that have them: those are staged again.
func newColumns(from int, staged []wire.Staged) (columns []plan.Column, again []int) {
	seen := make(map[plan.Column]bool)
	for i, s := range staged {
		if len(s.NewColumns) > 0 {
			again = append(again, from+i)
		}
		for _, c := range s.NewColumns {
			if !seen[c] {
				seen[c] = true
				columns = append(columns, c)
			}
		}
	}
	return columns, again
}

func partsOf(staged []wire.Staged) []string {
	parts := make([]string, 0, len(staged))
	for _, s := range staged {
		if s.Part != "" {
			parts = append(parts, s.Part)
		}
	}
	return parts
}
