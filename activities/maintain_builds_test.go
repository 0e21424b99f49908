package activities

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/varve-lake/varve/activities/wire"
)

// namespace is the workflows of a Temporal namespace, as a server lists them, one on each page.
type namespace []*workflowpb.WorkflowExecutionInfo

// ListWorkflow implements lister, for the clauses that there are.
func (n namespace) ListWorkflow(_ context.Context, in *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	var found []*workflowpb.WorkflowExecutionInfo
	for _, w := range n {
		matches := true
		for clause := range strings.SplitSeq(in.GetQuery(), " AND ") {
			switch after, isClose := strings.CutPrefix(clause, "CloseTime > "); {
			case strings.HasPrefix(clause, "WorkflowType IN ("):
				matches = matches && strings.Contains(clause, "'"+w.GetType().GetName()+"'")
			case clause == "ExecutionStatus = 'Running'":
				matches = matches && w.GetCloseTime() == nil
			case isClose:
				at, err := time.Parse("'"+time.RFC3339+"'", after)
				if err != nil {
					return nil, err
				}
				matches = matches && w.GetCloseTime() != nil && w.GetCloseTime().AsTime().After(at)
			default:
				return nil, fmt.Errorf("clause %s", clause)
			}
		}
		if matches {
			found = append(found, w)
		}
	}
	at := len(in.GetNextPageToken())
	if at >= len(found) {
		return &workflowservice.ListWorkflowExecutionsResponse{}, nil
	}
	out := &workflowservice.ListWorkflowExecutionsResponse{Executions: found[at : at+1]}
	if at+1 < len(found) {
		out.NextPageToken = make([]byte, at+1)
	}
	return out, nil
}

// A build is waited for while it is under way, and for an hour after: what it had sent may land as late as that.
func TestTheLongestBuild(t *testing.T) {
	now := time.Now()
	build := func(typ string, began, ended time.Duration) *workflowpb.WorkflowExecutionInfo {
		w := &workflowpb.WorkflowExecutionInfo{Type: &commonpb.WorkflowType{Name: typ}, StartTime: timestamppb.New(now.Add(-began))}
		if ended >= 0 {
			w.CloseTime = timestamppb.New(now.Add(-ended))
		}
		return w
	}
	const running = time.Duration(-1)
	for name, c := range map[string]struct {
		workflows      namespace
		build, reading time.Duration
	}{
		"none":                            {nil, 0, 0},
		"the oldest of all pages":         {namespace{build("RunPipeline", time.Hour, running), build("BuildTable", 5*time.Hour, running), build("RunPipeline", 2*time.Hour, running)}, 5 * time.Hour, 5 * time.Hour},
		"one that has just ended":         {namespace{build("BuildTable", 9*time.Hour, 50*time.Minute)}, 9 * time.Hour, 0},
		"one that ended long ago":         {namespace{build("BuildTable", 9*time.Hour, 70*time.Minute)}, 0, 0},
		"upkeep, which writes files":      {namespace{build(wire.MaintainTableName, 3*time.Hour, running)}, 3 * time.Hour, 0},
		"what is not Varve's to wait for": {namespace{build("Billing", 3*time.Hour, running)}, 0, 0},
	} {
		got, err := buildUnderWay(t.Context(), c.workflows, "default", now)
		require.NoError(t, err, name)
		require.Equal(t, c.build, got, name)
		got, err = readingUnderWay(t.Context(), c.workflows, "default", now)
		require.NoError(t, err, name)
		require.Equal(t, c.reading, got, name)
	}
}
