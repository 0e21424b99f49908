package activities

import (
	"context"
	"fmt"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
)

// Resolver answers what a compilation asks of the worker's files and lake. Writer is the name of the pipeline, whose
// checkpoints tell which files are new.
func (a *Activities) Resolver(writer string) (compile.Resolver, error) {
	engine, err := a.sql()
	if err != nil {
		return nil, err
	}
	return &resolver{a: a, engine: engine, writer: writer}, nil
}

// Build builds one table in this process, without Temporal: the activities that the workflow BuildTable runs, each once.
// An error is the activity's own, not classed, and nothing is tried again.
func (a *Activities) Build(ctx context.Context, b wire.Build, t *plan.Table) (result wire.TableResult, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = panicked("build "+t.Name, v)
		}
	}()
	p, stop := startPulse(ctx)
	defer stop()
	result = wire.TableResult{Table: t.Name, Layer: t.Layer, State: wire.StateFailed}
	prepared, err := a.prepare(ctx, p, wire.PrepareRequest{Build: b, Table: wire.TableRef{Name: t.Name, Layer: t.Layer, Table: t}})
	if err != nil {
		return result, err
	}
	result.Reason, result.SnapshotID = prepared.Reason, prepared.Snapshot
	result.Changes, result.Warnings = prepared.Changes, prepared.Warnings
	if prepared.Unchanged {
		result.State = wire.StateUnchanged
		return result, nil
	}
	l := &local{a: a, pulse: p, job: prepared.Job}
	defer func() {
		request := wire.CleanupRequest{Build: b, Table: t.Name, Job: l.job}
		if !l.committing {
			request.Discard = l.parts
		}
		if _, failed := a.cleanup(context.WithoutCancel(ctx), p, request); failed != nil {
			result.Warnings = append(result.Warnings, failed.Error())
		}
	}()
	committed, err := l.build(ctx, prepared)
	result.Took(l.counts)
	result.Warnings = append(result.Warnings, l.warnings...)
	if err != nil {
		return result, err
	}
	result.State = wire.StateBuilt
	result.Committed(committed)
	return result, nil
}

// local is one build in this process.
type local struct {
	a          *Activities
	pulse      *pulse
	job        string
	parts      []string
	counts     wire.Counts
	warnings   []string
	committing bool // staged files may be the table's
}

func (l *local) build(ctx context.Context, prepared wire.Prepared) (wire.Committed, error) {
	for g := range prepared.Groups {
		if err := l.stage(ctx, g); err != nil {
			return wire.Committed{}, err
		}
	}
	if prepared.Refine {
		refined, err := l.a.refine(ctx, l.pulse, wire.RefineRequest{Job: l.job, Parts: l.parts})
		if err != nil {
			return wire.Committed{}, err
		}
		l.took(refined)
	}
	l.committing = true
	return l.a.commit(ctx, l.pulse, wire.CommitRequest{Job: l.job, Parts: l.parts})
}

// stage stages one group, again if its files bring columns that the job lacks.
func (l *local) stage(ctx context.Context, group int) error {
	const maxExtensions = 4
	for extension := 0; ; extension++ {
		staged, err := l.a.stageGroup(ctx, l.pulse, wire.StageRequest{Job: l.job, Group: group})
		if err != nil {
			return err
		}
		if len(staged.NewColumns) == 0 {
			l.took(staged)
			return nil
		}
		if extension == maxExtensions {
			return fmt.Errorf("after %d extensions files still bring new columns, %s first", extension, staged.NewColumns[0].Name)
		}
		extended, err := l.a.extend(ctx, l.pulse, wire.ExtendRequest{Job: l.job, Columns: staged.NewColumns})
		if err != nil {
			return err
		}
		l.job = extended.Job
	}
}

func (l *local) took(s wire.Staged) {
	l.parts = append(l.parts, s.Part)
	l.counts.Add(s.Counts)
	l.warnings = append(l.warnings, s.Warnings...)
}
