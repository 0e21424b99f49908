package activities

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/testsuite"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/workflows"
)

const keptPipeline = `
pipeline: kept
tables:
  bronze.events:
    source: {files: "in/*.csv"}
    columns: {id: int, day: date, v: long}
    partition_by: [day]
    %s
`

const keptPolicy = `maintenance:
      compact: {min_input_files: 2, after_files: 6}
      expire_snapshots: {older_than: 1h, keep_last: 2}
      remove_orphans: {older_than: 1h}
`

// kept is a lab with a table of n small deliveries, of two days each, and a policy.
func kept(t *testing.T, policy string, n int) *lab {
	l := newLab(t)
	l.write("pipelines/kept.yaml", fmt.Sprintf(keptPipeline, policy))
	for i := range n {
		l.deliver(i)
	}
	return l
}

func (l *lab) deliver(i int) wire.TableResult {
	l.t.Helper()
	l.write(fmt.Sprintf("in/%03d.csv", i), fmt.Sprintf("id,day,v\n%d,2024-01-01,1\n%d,2024-01-02,2\n", 2*i, 2*i+1))
	return l.runPipeline("kept")["bronze.events"]
}

// maintain runs the workflow with real activities, as if so much later.
func (l *lab) maintain(later time.Duration, in workflows.MaintainInput) (workflows.MaintainResult, error) {
	l.t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(2 * time.Minute)
	workflows.Register(env)
	l.a.Register(env)
	env.SetStartTime(time.Now().Add(later))
	l.runs++
	env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: wire.MaintenanceID(in.Table), TaskQueue: fmt.Sprint("q", l.runs)})
	env.ExecuteWorkflow(workflows.MaintainTableName, in)
	require.True(l.t, env.IsWorkflowCompleted())
	var out workflows.MaintainResult
	if err := env.GetWorkflowError(); err != nil {
		return out, err
	}
	return out, env.GetWorkflowResult(&out)
}

func (l *lab) tableOf(name string) *tables.Table {
	l.t.Helper()
	tbl, err := l.a.lake.Table(l.t.Context(), name)
	require.NoError(l.t, err)
	return tbl
}

// ageFiles makes every file of the lake old.
func (l *lab) ageFiles() {
	l.t.Helper()
	then := time.Now().Add(-48 * time.Hour)
	require.NoError(l.t, filepath.WalkDir(filepath.Join(l.dir, "lake", "warehouse"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Chtimes(path, then, then)
		}
		return err
	}))
}

func steps(r workflows.MaintainResult) map[string]wire.UpkeepStep {
	out := map[string]wire.UpkeepStep{}
	for _, s := range r.Steps {
		out[s.Kind] = s
	}
	return out
}

func TestMaintenanceKeepsTheRows(t *testing.T) {
	l := kept(t, keptPolicy, 5)
	before := l.rows("bronze.events", "id", "day", "v")
	l.write("lake/warehouse/bronze.db/events/data/orphan.parquet", "x")
	l.ageFiles()

	preview, err := l.maintain(0, workflows.MaintainInput{Table: "bronze.events", Preview: true})
	require.NoError(t, err)
	require.Equal(t, "join 10 files of 2 partitions, in 2 groups", steps(preview)["compact"].What)
	require.False(t, steps(preview)["expire"].Done, "none is an hour old")
	require.Equal(t, "remove 1 files that nothing names", steps(preview)["orphans"].What)
	require.Equal(t, 5, l.snapshots("bronze.events"), "a preview changes nothing")

	r, err := l.maintain(0, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(t, err)
	require.Equal(t, "joined 10 files into 2", steps(r)["compact"].What)
	require.Equal(t, 1, steps(r)["orphans"].Files)
	require.Equal(t, before, l.rows("bronze.events", "id", "day", "v"))
	require.Equal(t, 6, l.snapshots("bronze.events"))
	require.Empty(t, l.staged())
	info, err := l.tableOf("bronze.events").Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, info.DataFiles)

	// Later, with nothing new: what was replaced goes with its snapshots, and once more there is nothing to do.
	r, err = l.maintain(2*time.Hour, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(t, err)
	require.False(t, steps(r)["compact"].Done)
	require.Equal(t, 4, steps(r)["expire"].Snapshots, "but for the last two")
	require.Equal(t, before, l.rows("bronze.events", "id", "day", "v"))
	r, err = l.maintain(2*time.Hour, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(t, err)
	require.Equal(t, "bronze.events: nothing to do", r.Summary())
	require.Equal(t, wire.StateUnchanged, l.runPipeline("kept")["bronze.events"].State, "and its checkpoint is as it was")
}

// A policy's strategy and thresholds reach the compaction, and what it says in words is what it does.
func TestMaintenanceClusters(t *testing.T) {
	for _, c := range []struct{ strategy, words string }{
		{"strategy: sort, columns: [v desc, id]", ", sorted by v desc, id"},
		{"strategy: zorder, columns: [id, v]", ", along a Z-order of id, v"},
	} {
		t.Run(c.strategy[10:14], func(t *testing.T) {
			l := kept(t, "maintenance: {compact: {min_input_files: 2, "+c.strategy+"}}", 3)
			before := l.rows("bronze.events", "id", "day", "v")
			preview, err := l.maintain(0, workflows.MaintainInput{Table: "bronze.events", Preview: true})
			require.NoError(t, err)
			require.Equal(t, "join 6 files of 2 partitions, in 2 groups"+c.words, steps(preview)["compact"].What)
			r, err := l.maintain(0, workflows.MaintainInput{Table: "bronze.events"})
			require.NoError(t, err)
			require.Equal(t, "joined 6 files into 2"+c.words, steps(r)["compact"].What)
			require.Equal(t, before, l.rows("bronze.events", "id", "day", "v"))
			r, err = l.maintain(0, workflows.MaintainInput{Table: "bronze.events"})
			require.NoError(t, err)
			require.Equal(t, "bronze.events: nothing to do", r.Summary())
			require.Contains(t, steps(r)["compact"].Why, "none is badly clustered")
		})
	}
	l := kept(t, "maintenance: {compact: {min_input_files: 2, min_file_size: 1B}}", 3)
	r, err := l.maintain(0, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(t, err)
	require.False(t, steps(r)["compact"].Done, "no file is small")
}

// The table of refused rows lacks the columns that its table is sorted by.
func TestTheQuarantineIsNotClustered(t *testing.T) {
	l := kept(t, `expect: [{name: small, that: v < 2, otherwise: quarantine}]
    maintenance: {compact: {min_input_files: 2, strategy: zorder, columns: [id, v]}}`, 3)
	r, err := l.maintain(0, workflows.MaintainInput{Table: "bronze.events__quarantine"})
	require.NoError(t, err)
	require.Equal(t, "joined 3 files into 1", steps(r)["compact"].What)
}

// Each activity may be run twice, as when its worker was killed before it could say that it was done.
func TestMaintenanceTwice(t *testing.T) {
	l := kept(t, keptPolicy, 3)
	before := l.rows("bronze.events", "id", "day", "v")
	u := wire.Upkeep{Table: "bronze.events", Workflow: "w", FirstRun: "f", Began: time.Now()}
	surveyed, err := call[wire.Surveyed](l, wire.ActivitySurvey, wire.SurveyRequest{Upkeep: u})
	require.NoError(t, err)
	planned, err := call[wire.PlannedCompaction](l, wire.ActivityPlanCompaction, wire.PlanCompactionRequest{Upkeep: u, Policy: *surveyed.Policy.Compact})
	require.NoError(t, err)
	require.Positive(t, planned.Groups)
	var parts, twins []string
	for g := range planned.Groups {
		for _, to := range []*[]string{&parts, &twins} {
			done, err := call[wire.CompactedGroup](l, wire.ActivityCompactGroup, wire.CompactGroupRequest{Upkeep: u, Job: planned.Job, Group: g})
			require.NoError(t, err)
			*to = append(*to, done.Part)
		}
	}
	request := wire.CommitCompactionRequest{Upkeep: u, Job: planned.Job, Parts: parts, After: planned.After}
	for range 2 {
		_, err := call[wire.CommittedCompaction](l, wire.ActivityCommitCompaction, request)
		require.NoError(t, err)
		require.Equal(t, before, l.rows("bronze.events", "id", "day", "v"))
	}
	require.Equal(t, 4, l.snapshots("bronze.events"), "committed once")
	for range 2 {
		_, err := call[struct{}](l, wire.ActivityEndMaintenance, wire.EndMaintenanceRequest{Upkeep: u, Discard: twins})
		require.NoError(t, err)
		_, err = call[wire.UpkeepStep](l, wire.ActivityExpire, wire.ExpireRequest{Upkeep: u, Policy: *surveyed.Policy.Expire})
		require.NoError(t, err)
	}
	require.Equal(t, before, l.rows("bronze.events", "id", "day", "v"))
}

// A process that was given up and runs on after another maintenance has committed changes nothing.
func TestALateCompactionIsSuperseded(t *testing.T) {
	l := kept(t, keptPolicy, 3)
	request := func(u wire.Upkeep) wire.CommitCompactionRequest {
		planned, err := call[wire.PlannedCompaction](l, wire.ActivityPlanCompaction, wire.PlanCompactionRequest{Upkeep: u, Policy: plan.Compact{MinInputFiles: 2, TargetFileSize: 512e6}})
		require.NoError(t, err)
		r := wire.CommitCompactionRequest{Upkeep: u, Job: planned.Job, After: planned.After}
		for g := range planned.Groups {
			done, err := call[wire.CompactedGroup](l, wire.ActivityCompactGroup, wire.CompactGroupRequest{Upkeep: u, Job: planned.Job, Group: g})
			require.NoError(t, err)
			r.Parts = append(r.Parts, done.Part)
		}
		return r
	}
	late := request(wire.Upkeep{Table: "bronze.events", Workflow: "w", FirstRun: "late", Began: time.Now()})
	_, err := call[wire.CommittedCompaction](l, wire.ActivityCommitCompaction, request(wire.Upkeep{Table: "bronze.events", Workflow: "w", FirstRun: "next", Began: time.Now()}))
	require.NoError(t, err)
	before := l.rows("bronze.events", "id", "day", "v")
	_, err = call[wire.CommittedCompaction](l, wire.ActivityCommitCompaction, late)
	require.ErrorContains(t, err, "superseded")
	require.Equal(t, before, l.rows("bronze.events", "id", "day", "v"))
}

// A process that was suspended for so long that what it had written was removed as orphans does not commit it, and is not tried again:
// the next maintenance does the work. Groups of which that is seen before the commit is made are left out of it.
func TestACompactionThatWasSweptIsSuperseded(t *testing.T) {
	var suspend func() time.Duration
	l := newLab(t, func(c *Config) {
		c.Lake.Commit.Now = func() time.Time {
			if suspend == nil {
				return time.Now()
			}
			return time.Now().Add(suspend())
		}
	})
	l.write("pipelines/kept.yaml", fmt.Sprintf(keptPipeline, keptPolicy))
	for i := range 3 {
		l.deliver(i)
	}
	before, snapshots := l.rows("bronze.events", "id", "day", "v"), l.snapshots("bronze.events")
	rewritten := func(run string) (wire.CommitCompactionRequest, []string) {
		u := wire.Upkeep{Table: "bronze.events", Workflow: "w", FirstRun: run, Began: time.Now()}
		planned, err := call[wire.PlannedCompaction](l, wire.ActivityPlanCompaction, wire.PlanCompactionRequest{Upkeep: u, Policy: plan.Compact{MinInputFiles: 2, TargetFileSize: 512e6}})
		require.NoError(t, err)
		files := l.parquetsIn("bronze.db/events")
		r := wire.CommitCompactionRequest{Upkeep: u, Job: planned.Job, After: planned.After}
		for g := range planned.Groups {
			done, err := call[wire.CompactedGroup](l, wire.ActivityCompactGroup, wire.CompactGroupRequest{Upkeep: u, Job: planned.Job, Group: g})
			require.NoError(t, err)
			r.Parts = append(r.Parts, done.Part)
		}
		added := slices.DeleteFunc(l.parquetsIn("bronze.db/events"), func(path string) bool { return slices.Contains(files, path) })
		require.Len(t, added, 2, "one for each day")
		return r, added
	}
	lists := func() int {
		found, err := filepath.Glob(filepath.Join(l.dir, "lake/warehouse/bronze.db/events/metadata/snap-*.avro"))
		require.NoError(t, err)
		return len(found)
	}
	r, added := rewritten("suspended")
	staged, gone := lists(), false
	suspend = func() time.Duration { // when all is staged, and before it is sent
		if !gone && lists() > staged {
			gone = true
			require.NoError(t, os.Remove(added[0]))
		}
		if gone {
			return 2 * time.Hour
		}
		return 0
	}
	_, err := call[wire.CommittedCompaction](l, wire.ActivityCommitCompaction, r)
	requireClass(t, err, wire.ErrSuperseded)
	require.ErrorContains(t, err, filepath.Base(added[0])+" is not there")
	suspend = nil
	require.Equal(t, snapshots, l.snapshots("bronze.events"))
	require.Equal(t, before, l.rows("bronze.events", "id", "day", "v"))

	r, added = rewritten("earlier")
	require.NoError(t, os.Remove(added[0]))
	done, err := call[wire.CommittedCompaction](l, wire.ActivityCommitCompaction, r)
	require.NoError(t, err)
	require.Equal(t, []int{1, 1}, []int{done.Step.Groups, done.Step.Dropped})
	require.Equal(t, before, l.rows("bronze.events", "id", "day", "v"))
	again, err := l.maintain(0, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(t, err)
	require.True(t, steps(again)[wire.UpkeepCompact].Done)
	require.Equal(t, before, l.rows("bronze.events", "id", "day", "v"))
}

// A compaction changes no row, so that what reads the table is not made anew.
func TestACompactionIsNoReasonToBuildAgain(t *testing.T) {
	l := kept(t, keptPolicy+"  gold.all: {sql: SELECT count(*) AS n FROM bronze.events, write: replace}\n  gold.copy: {from: {table: bronze.events, read: full}, columns: {id: int, v: long}, strict: true, write: replace}", 3)
	for _, r := range l.runPipeline("kept") {
		require.Equal(t, wire.StateUnchanged, r.State)
	}
	r, err := l.maintain(0, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(t, err)
	require.True(t, steps(r)["compact"].Done)
	for range 2 {
		for name, r := range l.runPipeline("kept") {
			require.Equal(t, wire.StateUnchanged, r.State, "%s: %s", name, r.Reason)
		}
	}
	l.deliver(9)
	require.Equal(t, []string{"8"}, l.rows("gold.all", "n"))
	require.Len(t, l.rows("gold.copy", "id"), 8)
}

func TestACommitThatCrossesTheThresholdAsksForMaintenance(t *testing.T) {
	l := kept(t, keptPolicy, 0)
	var due []int
	for i := range 7 { // two files each, and a threshold of six
		l.write(fmt.Sprintf("in/%03d.csv", i), fmt.Sprintf("id,day,v\n%d,2024-01-01,1\n%d,2024-01-02,2\n", 2*i, 2*i+1))
		compiled, err := l.compile("kept")
		require.NoError(t, err)
		b := l.begin(compiled, "bronze.events")
		for _, step := range []func() error{b.prepare, b.stage, b.refine} {
			require.NoError(t, step())
		}
		done, err := b.commit()
		require.NoError(t, err)
		if done.Maintain != "" {
			due = append(due, i)
		}
	}
	require.Equal(t, []int{2, 5}, due)
}

func TestExpiryLeavesWhatReadersHaveYetToRead(t *testing.T) {
	l := kept(t, "maintenance: {expire_snapshots: {older_than: 1h, keep_last: 1}}\n  silver.events: {from: bronze.events, columns: {id: int, v: long}, strict: true}", 1)
	for i := 1; i < 4; i++ {
		l.write(fmt.Sprintf("in/%03d.csv", i), fmt.Sprintf("id,day,v\n%d,2024-01-01,1\n", 2*i))
		compiled, err := l.compile("kept")
		require.NoError(t, err)
		_, err = l.begin(compiled, "bronze.events").run() // and not silver.events
		require.NoError(t, err)
	}
	r, err := l.maintain(2*time.Hour, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(t, err)
	require.False(t, steps(r)["expire"].Done)
	require.Contains(t, steps(r)["expire"].Why, "yet to be read by silver.events stays")
	l.runPipeline("kept")
	require.Len(t, l.rows("silver.events", "id"), 5)
	r, err = l.maintain(2*time.Hour, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(t, err)
	require.Equal(t, 3, steps(r)["expire"].Snapshots)
}

// A build that takes long reads the snapshots that it pinned, which have not been the head for as long as it has been there.
func TestExpiryLeavesWhatBuildsUnderWayHavePinned(t *testing.T) {
	l := kept(t, "maintenance: {expire_snapshots: {older_than: 1h, keep_last: 1}}", 3)
	l.a.reading = func(context.Context) (time.Duration, error) { return 90 * time.Minute, nil }
	r, err := l.maintain(2*time.Hour, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(t, err)
	require.False(t, steps(r)["expire"].Done)
	require.Contains(t, steps(r)["expire"].Why, "a build has been under way for 1h30m0s")
	r, err = l.maintain(3*time.Hour, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(t, err)
	require.Equal(t, 2, steps(r)["expire"].Snapshots)
}

func TestMaintenanceOfWhatNobodyDeclares(t *testing.T) {
	l := kept(t, "doc: x", 1)
	_, err := l.maintain(0, workflows.MaintainInput{Table: "bronze.events"})
	require.ErrorContains(t, err, "says nothing of the maintenance of bronze.events")
	_, err = l.maintain(0, workflows.MaintainInput{Table: "bronze.other"})
	require.ErrorContains(t, err, "builds a table bronze.other")
}

func TestOrphansWaitForBuilds(t *testing.T) {
	l := kept(t, keptPolicy, 1)
	l.a.longest = func(context.Context) (time.Duration, error) { return 5 * time.Hour, nil }
	l.write("lake/warehouse/bronze.db/events/data/orphan.parquet", "x")
	l.ageFiles()
	r, err := l.maintain(0, workflows.MaintainInput{Table: "bronze.events"})
	require.NoError(t, err, "it is no failure")
	require.Contains(t, steps(r)["orphans"].Why, maintain.ErrTooYoung.Error())
	require.Contains(t, steps(r)["orphans"].Why, "5h0m0s")
}
