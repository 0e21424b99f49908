package activities

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
)

// Every activity may run twice, the second time because the first one's answer was lost.
func TestEveryActivityTwice(t *testing.T) {
	l := flightsLab(t)
	compiled, err := l.compile("flights")
	require.NoError(t, err)
	for _, n := range compiled.Nodes {
		b := l.begin(compiled, n.Name)
		require.NoError(t, b.prepare())
		require.NoError(t, b.prepare())
		require.NoError(t, b.stage())
		counts := b.counts
		b.counts = wire.Counts{}
		require.NoError(t, b.stage())
		require.Equal(t, counts, b.counts)
		require.NoError(t, b.refine())
		first, err := b.commit()
		require.NoError(t, err)
		require.False(t, first.Already)
		snapshots := l.snapshots(n.Name)
		again, err := b.commit()
		require.NoError(t, err)
		require.True(t, again.Already, n.Name)
		require.Equal(t, first.Snapshot, again.Snapshot)
		require.Equal(t, first.Inserted, again.Inserted, "%s: a lost answer does not lose the counts", n.Name)
		require.Equal(t, snapshots, l.snapshots(n.Name))
		require.NoError(t, b.cleanup())
		require.NoError(t, b.cleanup())
	}
	require.Len(t, l.rows("bronze.flights", "carrier"), 6)
	require.Len(t, l.rows("bronze.flights__quarantine", "_key"), 1)
	require.Equal(t, []string{"AA1 N3", "UA1 N1", "UA2 N2"}, l.rows("silver.flights", "id", "tailnum"))
	require.Empty(t, l.staged())
}

// Two runs of one pipeline at once find the same new files. The one that commits second begins anew, and finds nothing.
func TestSecondOfTwoRunsIsSuperseded(t *testing.T) {
	l := flightsLab(t)
	compiled, err := l.compile("flights")
	require.NoError(t, err)
	one, two := l.begin(compiled, "bronze.flights"), l.begin(compiled, "bronze.flights")
	for _, b := range []*build{one, two} {
		require.NoError(t, b.prepare())
		require.NoError(t, b.stage())
	}
	_, err = two.commit()
	require.NoError(t, err)
	_, err = one.commit()
	requireClass(t, err, wire.ErrSuperseded)
	require.Len(t, l.rows("bronze.flights", "carrier"), 6)

	request := wire.PrepareRequest{Build: one.build, Table: one.table, Round: 1}
	anew, err := call[wire.Prepared](l, wire.ActivityPrepare, request)
	require.NoError(t, err)
	require.True(t, anew.Unchanged, anew.Reason)
}

// A run that was abandoned may still hold staged rows. When the table has moved on, they must not come late.
func TestAbandonedRunDoesNotCommitLate(t *testing.T) {
	l := flightsLab(t)
	compiled, err := l.compile("flights")
	require.NoError(t, err)
	abandoned := l.begin(compiled, "silver.airlines")
	require.NoError(t, abandoned.prepare())
	require.NoError(t, abandoned.stage())
	l.write("airlines.csv", "carrier,name\nUA,United Airlines\n")
	l.runPipeline("flights")
	_, err = abandoned.commit()
	requireClass(t, err, wire.ErrSuperseded)
	require.Equal(t, []string{"UA United Airlines"}, l.rows("silver.airlines", "carrier", "name"))
}

func TestQuarantinedRowsAreNeverDoubled(t *testing.T) {
	l := newLab(t)
	l.write("pipelines/p.yaml", `
pipeline: p
tables:
  bronze.a:
    source: {files: "in/*.csv", malformed: quarantine}
    columns: {n: int}
    write: replace
  silver.a:
    sql: SELECT n, k FROM bronze.a
    expect: [{name: small, that: n < 3, otherwise: quarantine}]
    write: replace
`)
	l.write("in/1.csv", "n,k\n1,a\nx,b\n5,c\n5,c\n")
	l.runPipeline("p")
	l.write("in/2.csv", "n,k\n2,d\ny,e\n")
	r := l.runPipeline("p")
	require.Equal(t, int64(2), r["bronze.a"].Quarantined, "both files are read again")
	require.Equal(t, []string{"n x,b", "n y,e"}, l.rows("bronze.a__quarantine", "_column", "_row"))
	require.Equal(t, int64(2), r["silver.a"].Quarantined)
	require.Len(t, l.rows("silver.a__quarantine", "_row"), 1, "equal rows of a query are one")
	require.Equal(t, []string{"1", "2"}, l.rows("silver.a", "n"))
}

// An attempt that was given up for dead may still be writing. What it leaves is named by no one.
func TestZombieAttemptCannotCorrupt(t *testing.T) {
	l := flightsLab(t)
	compiled, err := l.compile("flights")
	require.NoError(t, err)
	b := l.begin(compiled, "bronze.flights")
	require.NoError(t, b.prepare())
	zombie, err := call[wire.Staged](l, wire.ActivityStageGroup, wire.StageRequest{Job: b.prepared.Job, Group: 0})
	require.NoError(t, err)
	require.NoError(t, b.stage())
	for _, part := range b.parts {
		require.NotEqual(t, zombie.Part, part)
	}
	_, err = b.commit()
	require.NoError(t, err)
	_, err = call[wire.Staged](l, wire.ActivityStageGroup, wire.StageRequest{Job: b.prepared.Job, Group: 0})
	require.NoError(t, err, "it goes on after the commit")
	require.NoError(t, b.cleanup())
	require.Len(t, l.rows("bronze.flights", "carrier"), 6)
}

func TestCleanupDiscardsOnlyWhatNoCommitCanName(t *testing.T) {
	l := flightsLab(t)
	compiled, err := l.compile("flights")
	require.NoError(t, err)
	b := l.begin(compiled, "bronze.flights")
	require.NoError(t, b.prepare())
	require.NoError(t, b.stage())
	require.NotEmpty(t, dataFiles(t, l, "flights"))
	discard := wire.CleanupRequest{Build: b.build, Table: b.table.Name, Job: b.prepared.Job, Discard: b.parts}
	for range 2 {
		_, err = l.env.ExecuteActivity(wire.ActivityCleanup, discard)
		require.NoError(t, err)
	}
	require.Empty(t, dataFiles(t, l, "flights"))
	require.Empty(t, l.staged())
	_, err = l.env.ExecuteActivity(wire.ActivityCleanup, wire.CleanupRequest{Build: b.build, Table: "no.such"})
	require.NoError(t, err, "a build that failed before there was a table")
}

func dataFiles(t *testing.T, l *lab, table string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(l.dir, "lake/warehouse/bronze.db", table, "data/*.parquet"))
	require.NoError(t, err)
	return files
}

func requireClass(t *testing.T, err error, class string) {
	t.Helper()
	var application *temporal.ApplicationError
	require.ErrorAs(t, err, &application)
	require.Equal(t, class, application.Type(), application.Message())
}

// However many files there are, what passes through Temporal stays small, and the history of files is one state file.
func TestManyFilesStaySmall(t *testing.T) {
	const n = 4_000
	l := newLab(t, func(c *Config) { c.GroupFiles = 4 })
	l.write("pipelines/p.yaml", "pipeline: p\ntables:\n  bronze.a:\n    source: {files: \"in/*/*.csv\"}\n    columns: {n: int}\n")
	for i := range n {
		dir := filepath.Join(l.dir, "in", fmt.Sprintf("%03d", i%100))
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%06d.csv", i)), []byte("n\n1\n"), 0o644))
	}
	compiled, err := l.compile("p")
	require.NoError(t, err)
	b := l.begin(compiled, "bronze.a")
	require.NoError(t, b.prepare())
	require.Equal(t, n, b.prepared.Files)
	require.Equal(t, n/4, b.prepared.Groups)
	table, err := l.a.lake.Table(t.Context(), "bronze.a")
	require.NoError(t, err)
	j, err := l.a.loadJob(t.Context(), b.prepared.Job)
	require.NoError(t, err)
	last, err := l.a.group(t.Context(), j, b.prepared.Groups-1)
	require.NoError(t, err)
	require.Len(t, last.Files, 4)
	_, err = l.a.group(t.Context(), j, b.prepared.Groups)
	require.Error(t, err)
	c, err := l.a.filesCheckpoint(t.Context(), table, j)
	require.NoError(t, err)
	require.Less(t, len(c.Body), 2000)
}

func TestCancelledWithinSeconds(t *testing.T) {
	l := flightsLab(t)
	compiled, err := l.compile("flights")
	require.NoError(t, err)
	b := l.begin(compiled, "bronze.flights")
	require.NoError(t, b.prepare())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	started := time.Now()
	p, stop := startPulse(ctx)
	defer stop()
	_, err = l.a.stageGroup(ctx, p, wire.StageRequest{Job: b.prepared.Job, Group: 0})
	require.ErrorIs(t, classify(ctx, err), context.Canceled)
	require.Less(t, time.Since(started), 2*time.Second)
	require.Empty(t, dataFiles(t, l, "flights"))
}

func TestWholeTableIsReadAgainWhenItChanged(t *testing.T) {
	l := newLab(t)
	l.write("pipelines/p.yaml", `
pipeline: p
tables:
  bronze.a: {source: {files: "in/*.csv"}, write: replace}
  silver.full: {from: {table: bronze.a, read: full}, write: replace}
  silver.added: {from: bronze.a}
`)
	l.write("in/1.csv", "n\n1\n")
	l.runPipeline("p")
	l.write("in/2.csv", "n\n2\n")
	compiled, err := l.compile("p")
	require.NoError(t, err)
	for _, name := range []string{"bronze.a", "silver.full"} {
		_, err := l.begin(compiled, name).run()
		require.NoError(t, err)
	}
	require.Equal(t, []string{"1", "2"}, l.rows("silver.full", "n"))
	_, err = l.begin(compiled, "silver.added").run()
	requireClass(t, err, wire.ErrUser)
	require.ErrorContains(t, err, "read: full")
}

func TestRollbackInMidRunIsPlannedAnew(t *testing.T) {
	l := flightsLab(t)
	l.runPipeline("flights")
	table, err := l.a.lake.Table(t.Context(), "bronze.flights")
	require.NoError(t, err)
	first, _ := table.Head()
	l.write("landing/3.csv", "carrier,flight,tailnum,delay,updated\nUA,5,N5,5,2013-01-02T00:00:00Z\n")
	l.runPipeline("flights")
	l.write("landing/4.csv", "carrier,flight,tailnum,delay,updated\nUA,6,N6,5,2013-01-02T00:00:00Z\n")
	compiled, err := l.compile("flights")
	require.NoError(t, err)
	b := l.begin(compiled, "bronze.flights")
	require.NoError(t, b.prepare())
	require.NoError(t, b.stage())
	table, err = l.a.lake.Table(t.Context(), "bronze.flights")
	require.NoError(t, err)
	_, err = table.Rollback(t.Context(), tables.CommitOptions{ID: commit.ID{Writer: "someone", Token: "x"}}, tables.Version{SnapshotID: &first.ID})
	require.NoError(t, err)
	_, err = b.commit()
	requireClass(t, err, wire.ErrSuperseded)
	anew := l.begin(compiled, "bronze.flights")
	r, err := anew.run()
	require.NoError(t, err)
	require.Equal(t, "2 of 4 files are new", r.Reason, "what was rolled back is read again")
	require.Len(t, l.rows("bronze.flights", "carrier"), 8)
}
