package activities

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/tables"
)

// settling is how long a build counts as under way after its end: what it had sent to a catalog, and had no answer to, may
// arrive as late as that.
const settling = time.Hour

// writingWorkflows are those that write files.
const writingWorkflows = "WorkflowType IN ('RunPipeline', 'BuildTable', '" + wire.MaintainTableName + "')"

// longestBuild is how long the longest build of the namespace has been under way, by the server's clock. A run that goes on
// as a new one began with the pipeline's run, which does not.
func longestBuild(ctx context.Context) (time.Duration, error) {
	info := activity.GetInfo(ctx)
	return buildUnderWay(ctx, activity.GetClient(ctx), info.Namespace, info.StartedTime)
}

func buildUnderWay(ctx context.Context, server lister, namespace string, now time.Time) (time.Duration, error) {
	return longest(ctx, server, namespace, now, writingWorkflows+" AND ExecutionStatus = 'Running'",
		writingWorkflows+fmt.Sprintf(" AND CloseTime > '%s'", now.Add(-settling).UTC().Format(time.RFC3339)))
}

// longestReading is how long the longest of those under way has been that read snapshots of tables. Upkeep of a table pins none
// over its expiry.
func longestReading(ctx context.Context) (time.Duration, error) {
	info := activity.GetInfo(ctx)
	return readingUnderWay(ctx, activity.GetClient(ctx), info.Namespace, info.StartedTime)
}

func readingUnderWay(ctx context.Context, server lister, namespace string, now time.Time) (time.Duration, error) {
	return longest(ctx, server, namespace, now, "WorkflowType IN ('RunPipeline', 'BuildTable') AND ExecutionStatus = 'Running'")
}

// lister is a Temporal server that is asked for workflows.
type lister interface {
	ListWorkflow(context.Context, *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error)
}

// longest is how long the oldest workflow has been there that any of the queries finds; 0 if they find none.
func longest(ctx context.Context, server lister, namespace string, now time.Time, queries ...string) (time.Duration, error) {
	oldest := now
	for _, query := range queries {
		var page []byte
		for more := true; more; more = len(page) > 0 {
			answer, err := server.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
				Namespace: namespace, Query: query, PageSize: 1000, NextPageToken: page,
			})
			if err != nil {
				return 0, fmt.Errorf("list builds under way: %w", err)
			}
			for _, w := range answer.GetExecutions() {
				if began := w.GetStartTime().AsTime(); began.Before(oldest) {
					oldest = began
				}
			}
			page = answer.GetNextPageToken()
		}
	}
	return now.Sub(oldest), nil
}

// lag is what readers of a table have yet to read of it.
type lag struct {
	keep    []int64 // snapshots that they need
	readers []string
	broken  []string // tables of which it is not known what they have read
	// reading is how long the longest build under way has been. The snapshots that it pinned were the head since.
	reading time.Duration
}

// unread are the snapshots of a table that came after what its readers have read of it, and that one itself: a build that
// takes what was added since needs them. Only readers of this lake are known. A table that is dropped meanwhile reads nothing;
// one that is broken keeps no other from being looked after.
func (a *Activities) unread(ctx context.Context, of *tables.Table) (lag, error) {
	names, err := a.lake.Tables(ctx)
	if err != nil {
		return lag{}, err
	}
	var out lag
	if out.reading, err = a.reading(ctx); err != nil {
		return lag{}, err
	}
	kept := map[int64]bool{}
	for _, name := range names {
		marks, err := a.marks(ctx, name)
		switch {
		case errors.Is(err, tables.ErrNoSuchTable):
			continue
		case err != nil && (ctx.Err() != nil || !broken(err)):
			return lag{}, fmt.Errorf("what %s has read: %w", name, err)
		case err != nil:
			out.broken = append(out.broken, name)
			continue
		}
		for _, m := range marks {
			if m.Table != of.Name() || m.UUID != of.Iceberg().Metadata().TableUUID().String() || m.Definition != "" {
				continue
			}
			since, err := since(of, m)
			if err != nil {
				return lag{}, err
			}
			if len(since) > 1 {
				out.readers = append(out.readers, name)
				for _, id := range since {
					kept[id] = true
				}
			}
		}
	}
	for id := range kept {
		out.keep = append(out.keep, id)
	}
	return out, nil
}

// broken tells the errors of a table that another look does not mend: what it names is absent, or is not what it has to be.
func broken(err error) bool {
	return !errors.Is(err, tables.ErrPassing) && !errors.Is(err, tables.ErrDenied) && !errors.Is(err, tables.ErrUnknownOutcome)
}

// marks are what a table says that it has read of others.
func (a *Activities) marks(ctx context.Context, name string) ([]mark, error) {
	t, err := a.lake.Table(ctx, name)
	if err != nil {
		return nil, err
	}
	return readMarks(ctx, t)
}

// readMarks are what a table's checkpoints say of the tables that it reads by what was added.
func readMarks(ctx context.Context, t *tables.Table) ([]mark, error) {
	var out []mark
	for _, writer := range t.Writers() {
		c, err := t.Checkpoint(ctx, writer)
		if err != nil {
			return nil, err
		}
		var m mark
		if c != nil && c.Kind == kindTable && json.Unmarshal(c.Body, &m) == nil {
			out = append(out, m)
		}
	}
	return out, nil
}

// since are the snapshots from the head back to one that was read, or as far back as they are known where the reader can go
// on from there; nil if that one is not among the head's ancestors.
func since(t *tables.Table, read mark) ([]int64, error) {
	var out []int64
	for s := t.Iceberg().CurrentSnapshot(); s != nil; s = t.Iceberg().SnapshotByID(*s.ParentSnapshotID) {
		out = append(out, s.SnapshotID)
		if s.SnapshotID == read.Snapshot {
			return out, nil
		}
		if s.ParentSnapshotID == nil {
			break
		}
	}
	if resumable, err := t.Resumable(read.point()); err != nil || !resumable {
		return nil, err
	}
	return out, nil
}
