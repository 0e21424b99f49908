package activities

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/tables"
)

// lab is a lake in a folder of its own, with its activities as Temporal would run them, one at a time.
type lab struct {
	t    *testing.T
	dir  string
	a    *Activities
	env  *testsuite.TestActivityEnvironment
	runs int
	// after holds what happens, once, when an activity of a workflow has ended, by its name.
	after map[string]func()
	// metered is what activities count.
	metered *metered
	// ran are the activities of the last workflow, with the attempt at each, in the order of their beginning; and
	// workflowMetered is what they count.
	ran             []string
	workflowMetered *metered
}

func newLab(t *testing.T, change ...func(*Config)) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir(), metered: newMetered()}
	cfg := Config{
		PipelinesDir: filepath.Join(l.dir, "pipelines"), Root: l.dir, Environment: "local",
		Lake: tables.Local(filepath.Join(l.dir, "lake")), WorkDir: filepath.Join(l.dir, "tmp"), Parallelism: 2,
	}
	require.NoError(t, os.MkdirAll(filepath.Join(l.dir, "lake"), 0o755))
	for _, c := range change {
		c(&cfg)
	}
	var err error
	l.a, err = Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.a.Close()) })
	none := func(context.Context) (time.Duration, error) { return 0, nil }
	l.a.longest, l.a.reading = none, none // there is no server to ask for builds under way
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet{})
	suite.SetMetricsHandler(l.metered)
	l.env = suite.NewTestActivityEnvironment()
	l.env.SetTestTimeout(time.Minute)
	l.a.Register(l.env)
	return l
}

// write puts a file under the lab's folder.
func (l *lab) write(name, content string) {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	require.NoError(l.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(l.t, os.WriteFile(path, []byte(content), 0o644))
}

// call runs one activity.
func call[Out any](l *lab, name string, in any) (out Out, err error) {
	value, err := l.env.ExecuteActivity(name, in)
	if err != nil {
		return out, err
	}
	if value.HasValue() {
		err = value.Get(&out)
	}
	return out, err
}

// build is what BuildTable does, without a workflow: every activity in turn.
type build struct {
	l        *lab
	build    wire.Build
	table    wire.TableRef
	prepared wire.Prepared
	parts    []string
	counts   wire.Counts
	result   wire.TableResult
}

func (l *lab) begin(compiled wire.Compiled, table string) *build {
	l.runs++
	return &build{
		l: l,
		build: wire.Build{
			Pipeline: compiled.Plan.Plan.Pipeline, Run: fmt.Sprintf("run-%d", l.runs), Workflow: fmt.Sprintf("build-%d", l.runs),
			FirstRun: "first", LoadedAt: time.Date(2013, 1, 1, l.runs, 0, 0, 0, time.UTC),
		},
		table: wire.TableRef{Name: table, Table: compiled.Plan.Plan.Table(table)},
	}
}

func (b *build) prepare() error {
	var err error
	b.prepared, err = call[wire.Prepared](b.l, wire.ActivityPrepare, wire.PrepareRequest{Build: b.build, Table: b.table})
	return err
}

func (b *build) stage() error {
	parts := make([]string, b.prepared.Groups)
	todo := make([]int, 0, len(parts))
	for g := range parts {
		todo = append(todo, g)
	}
	for len(todo) > 0 {
		var request wire.ExtendRequest
		var again []int
		for _, g := range todo {
			s, err := call[wire.Staged](b.l, wire.ActivityStageGroup, wire.StageRequest{Job: b.prepared.Job, Group: g})
			if err != nil {
				return err
			}
			if len(s.NewColumns) > 0 {
				request.Columns = append(request.Columns, s.NewColumns...)
				again = append(again, g)
				continue
			}
			parts[g] = s.Part
			b.counts.Add(s.Counts)
			b.result.Warnings = append(b.result.Warnings, s.Warnings...)
		}
		if todo = again; len(again) > 0 {
			request.Job = b.prepared.Job
			extended, err := call[wire.Extended](b.l, wire.ActivityExtend, request)
			if err != nil {
				return err
			}
			b.prepared.Job = extended.Job
			b.prepared.Changes = append(b.prepared.Changes, extended.Changes...)
		}
	}
	if len(parts) > 2 {
		gathered, err := call[wire.Gathered](b.l, wire.ActivityGather, wire.GatherRequest{Job: b.prepared.Job, Parts: parts})
		if err != nil {
			return err
		}
		parts = []string{gathered.Part}
	}
	b.parts = parts
	return nil
}

func (b *build) refine() error {
	if !b.prepared.Refine {
		return nil
	}
	s, err := call[wire.Staged](b.l, wire.ActivityRefine, wire.RefineRequest{Job: b.prepared.Job, Parts: b.parts})
	b.parts = append(b.parts, s.Part)
	b.counts.Add(s.Counts)
	return err
}

func (b *build) commit() (wire.Committed, error) {
	return call[wire.Committed](b.l, wire.ActivityCommit, wire.CommitRequest{Job: b.prepared.Job, Parts: b.parts})
}

func (b *build) cleanup() error {
	_, err := b.l.env.ExecuteActivity(wire.ActivityCleanup, wire.CleanupRequest{Build: b.build, Table: b.table.Name, Job: b.prepared.Job})
	return err
}

// run goes through a whole build.
func (b *build) run() (wire.TableResult, error) {
	if err := b.prepare(); err != nil {
		return wire.TableResult{}, err
	}
	r := wire.TableResult{Table: b.table.Name, State: wire.StateUnchanged, Reason: b.prepared.Reason, Changes: b.prepared.Changes}
	r.Warnings = append(b.prepared.Warnings, b.result.Warnings...)
	if b.prepared.Unchanged {
		return r, nil
	}
	for _, step := range []func() error{b.stage, b.refine} {
		if err := step(); err != nil {
			return r, err
		}
	}
	done, err := b.commit()
	if err != nil {
		return r, err
	}
	r.State, r.Reason, r.Changes = wire.StateBuilt, b.prepared.Reason, b.prepared.Changes
	r.Warnings = append(r.Warnings, b.result.Warnings...)
	r.Took(b.counts)
	r.Committed(done)
	return r, b.cleanup()
}

func (l *lab) compile(pipeline string) (wire.Compiled, error) {
	return call[wire.Compiled](l, wire.ActivityCompile, wire.CompileRequest{Pipeline: pipeline, Run: "run"})
}

// runPipeline compiles a pipeline and builds its tables in order.
func (l *lab) runPipeline(pipeline string) map[string]wire.TableResult {
	l.t.Helper()
	compiled, err := l.compile(pipeline)
	require.NoError(l.t, err)
	out := make(map[string]wire.TableResult)
	for _, n := range compiled.Nodes {
		r, err := l.begin(compiled, n.Name).run()
		require.NoError(l.t, err, n.Name)
		out[n.Name] = r
	}
	return out
}

// rows reads columns of a table as text, sorted.
func (l *lab) rows(table string, columns ...string) []string {
	l.t.Helper()
	t, err := l.a.lake.Table(l.t.Context(), table)
	require.NoError(l.t, err)
	rows, err := t.Scan(l.t.Context(), tables.ScanOptions{Columns: columns})
	require.NoError(l.t, err)
	defer rows.Release()
	var out []string
	for rows.Next() {
		batch := rows.RecordBatch()
		for i := range int(batch.NumRows()) {
			parts := make([]string, batch.NumCols())
			for c := range parts {
				parts[c] = batch.Column(c).ValueStr(i)
			}
			out = append(out, strings.Join(parts, " "))
		}
	}
	require.NoError(l.t, rows.Err())
	slices.Sort(out)
	return out
}

func (l *lab) snapshots(table string) int {
	l.t.Helper()
	t, err := l.a.lake.Table(l.t.Context(), table)
	require.NoError(l.t, err)
	return len(t.Snapshots())
}

// staged lists the files in staging areas.
func (l *lab) staged() []string {
	var out []string
	_ = filepath.WalkDir(l.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(path, "_staging") {
			out = append(out, path)
		}
		return nil
	})
	return out
}

type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}

func (l *lab) remove(name string) {
	l.t.Helper()
	require.NoError(l.t, os.Remove(filepath.Join(l.dir, name)))
}
