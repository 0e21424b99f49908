package e2e

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/varve-lake/varve/internal/devserver"
	"github.com/varve-lake/varve/testsuite/lab"
)

// TestSchedules: a schedule that `apply` made starts runs; one that was edited elsewhere is told and mended; one whose
// file is gone is removed; one that a person made is left alone.
func TestSchedules(t *testing.T) {
	l := lab.New(t, lab.Build(t))
	pipeline := "pipeline: often\nschedule: {every: 1s}\ntables:\n  gold.airlines:\n    source: {files: pipelines/data/airlines.csv, format: csv}\n    write: replace\n"
	if err := os.WriteFile(l.Path("pipelines", "often.yaml"), []byte(pipeline), 0o644); err != nil {
		t.Fatal(err)
	}
	l.StartWorker()
	l.Must("apply", "--yes")
	deadline := time.Now().Add(time.Minute)
	for !strings.Contains(l.Must("status"), "completed") {
		if time.Now().After(deadline) {
			t.Fatalf("no scheduled run completed:\n%s", l.Must("status"))
		}
		time.Sleep(200 * time.Millisecond)
	}
	if n := l.Query("SELECT count(*) AS n FROM gold.airlines")[0]["n"]; n == nil {
		t.Error("the scheduled run built nothing")
	}

	info, ok := devserver.Find(l.Path(".varve"))
	if !ok {
		t.Fatal("the worker's server is not found")
	}
	c, err := client.Dial(client.Options{HostPort: info.Address})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := context.Background()
	if _, err := c.ScheduleClient().Create(ctx, client.ScheduleOptions{ID: "varve-by-hand", Paused: true,
		Spec:   client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: time.Hour}}},
		Action: &client.ScheduleWorkflowAction{Workflow: "RunPipeline", TaskQueue: "varve"}}); err != nil {
		t.Fatal(err)
	}
	if out := l.Trigger("apply", "--check"); out.Code != 0 {
		t.Errorf("a schedule made by hand is no difference: exit code %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	err = c.ScheduleClient().GetHandle(ctx, "varve-flights").Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			in.Description.Schedule.Spec.Jitter = 77 * time.Second
			return &client.ScheduleUpdate{Schedule: &in.Description.Schedule}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	if out := l.Trigger("apply", "--check"); out.Code != 5 || !strings.Contains(out.Stdout, "~ varve-flights\n    was edited outside of the file") {
		t.Errorf("an edited schedule: exit code %d\n%s%s", out.Code, out.Stdout, out.Stderr)
	}
	l.Must("apply", "--yes")
	if d, err := c.ScheduleClient().GetHandle(ctx, "varve-flights").Describe(ctx); err != nil || d.Schedule.Spec.Jitter != 30*time.Second {
		t.Errorf("the file's jitter did not come back: %v, %v", d.Schedule.Spec.Jitter, err)
	}
	if err := os.Remove(l.Path("pipelines", "often.yaml")); err != nil {
		t.Fatal(err)
	}
	if out := l.Must("apply", "--yes"); !strings.Contains(out, "- varve-often") {
		t.Errorf("the schedule of a removed file:\n%s", out)
	}
	if out := l.Must("apply", "--check"); out != "The schedules match the files.\n" {
		t.Errorf("at the end: %s", out)
	}
}
