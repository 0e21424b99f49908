package kill

import (
	"os"
	"testing"
	"time"

	"github.com/varve-lake/varve/internal/fault"
	"github.com/varve-lake/varve/testsuite/lab"
	"github.com/varve-lake/varve/testsuite/reference"
)

// notPassed are the points that the example run does not come by: its plan and its MERGEs are small, its groups are few, and nobody
// else writes. Those of a MERGE in groups, and of a redo, have tests of their own.
var notPassed = map[string]bool{
	fault.CompilePlanStored: true, fault.PrepareGroupsStored: true, fault.GatherStored: true,
	fault.MergeKept: true, fault.MergeKeptStored: true, fault.MergeGroupsStored: true, fault.MergeDivided: true,
	fault.MergeBefore: true, fault.MergeFilesWritten: true, fault.MergeResultStored: true, fault.MergeResultsRead: true,
}

// few are four points spread over activities and commits, of the first table and of later ones: the short form.
var few = []string{fault.CompileBefore, fault.StageRowsWritten + ":4", fault.CommitQuarantined, fault.CommitDone + ":8"}

// cases are the few, or every point at its first passing and some of them later, in the midst of silver and gold tables.
func cases() []string {
	if os.Getenv("VARVE_KILL") == "few" {
		return few
	}
	var out []string
	for _, p := range fault.Points {
		if !notPassed[p] {
			out = append(out, p)
		}
	}
	return append(out, fault.StageRowsWritten+":4", fault.CommitDone+":3", fault.CommitBefore+":6", fault.CommitDone+":8")
}

// TestKillAtEveryPoint kills a worker with the server that it embeds in a run of the example pipeline, whose tables are
// built side by side.
func TestKillAtEveryPoint(t *testing.T) {
	if os.Getenv("VARVE_KILL") == "" {
		t.Skip("make test-kill sets VARVE_KILL: this takes minutes")
	}
	bin := lab.Build(t, "faults")
	for _, point := range cases() {
		t.Run(point, func(t *testing.T) {
			t.Parallel() // most of the time goes by waiting for the heartbeats of the dead
			l := lab.New(t, bin)
			landing := reference.Landing(t, l, "landing", 4)
			id := "killed"
			killAt(t, l, point, nil, "run", "flights", "--detach", "--id", id, "-p", "landing="+landing)
			l.StartWorker()
			l.Await(id, patience)
			reference.Check(t, l, landing)

			// A run after it finds nothing new, so the checkpoints are right too.
			for _, table := range l.Run("flights", "-p", "landing="+landing).Tables {
				if table.State != "unchanged" {
					t.Errorf("%s: %s (%s), but nothing is new", table.Table, table.State, table.Reason)
				}
			}
			reference.CheckNothingStaged(t, l)
		})
	}
}

// patience is how long a test waits for what must come, on however slow a machine.
const patience = 8 * time.Minute

// killAt starts a worker with a server, and a run by a command, and waits until they have died at the point. Nothing of the
// run is done before the command has its answer: the server dies too, and would not give it.
func killAt(t *testing.T, l *lab.Lab, point string, flags []string, run ...string) {
	t.Helper()
	l.Env = []string{"VARVE_FAULT=" + point, "VARVE_HOLD=" + fault.CompileBefore + "=" + l.Path("started")}
	victim := l.StartWorker(flags...)
	l.Env = nil // the commands embed nothing, and come by no point
	l.Must(run...)
	l.Write("started", nil)
	awaitDeath(t, victim, point)
}

// awaitDeath waits until a worker has killed itself at a point.
func awaitDeath(t *testing.T, victim *lab.Worker, point string) {
	t.Helper()
	select {
	case <-victim.Ended():
	case <-time.After(patience):
		t.Fatalf("the run did not come by %s:\n%s", point, victim.Log())
	}
	if !victim.KilledItself() {
		t.Fatalf("the worker ended, but not by kill -9 at %s:\n%s", point, victim.Log())
	}
}
