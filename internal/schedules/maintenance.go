package schedules

import (
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/workflows"
)

// maxSpread bounds how far the maintenance of tables with one interval is spread, so that not all begin at once.
const maxSpread = 5 * time.Minute

// Maintenance are the schedules of the tables of a pipeline that declare how they are maintained, one for each. A start that
// is due while the last one is under way is skipped.
func Maintenance(p *spec.Pipeline, queue string) []client.ScheduleOptions {
	var out []client.ScheduleOptions
	for _, t := range p.Tables {
		policy := compile.Maintenance(t)
		if policy == nil {
			continue
		}
		table, every := t.Name.Value, time.Duration(policy.Every)*time.Second
		jitter := min(every/10, maxSpread)
		d := declared(declaration{Pipeline: p.Name.Value, Table: table, Settings: map[string]string{
			"maintain": table, "every": every.String(), "jitter": jitter.String(), "task_queue": queue, "pipeline": p.Name.Value,
		}})
		out = append(out, client.ScheduleOptions{
			ID:   prefix + "maintain-" + table,
			Spec: client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: every}}, Jitter: jitter},
			Action: &client.ScheduleWorkflowAction{
				ID:        "maintain-" + table + "-scheduled", // Temporal adds the time
				Workflow:  workflows.MaintainTableName,
				Args:      []any{workflows.MaintainInput{Table: table, Pipeline: p.Name.Value, Reason: "its schedule"}},
				TaskQueue: queue,
				Memo:      map[string]any{memoDeclared: d},
			},
			Overlap:       enums.SCHEDULE_OVERLAP_POLICY_SKIP,
			CatchupWindow: max(every, time.Minute),
			Note:          "maintenance of " + table,
		})
	}
	return out
}
