package conformance

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	sdk "go.temporal.io/sdk/testsuite"

	"github.com/varve-lake/varve/activities"
	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/tables"
)

// testFailingQuery: the head that a query was pinned to is another's by now, as it always may be where others write. That is no reason for
// its failure, which is told by its own class, and no reason to plan anew; unless the garbage collector has been there.
func testFailingQuery(t *testing.T, s Subject) {
	lake := s.open(t, s.Config)
	tbl := s.ensure(t, lake, "failing.t", 2)
	_, err := tbl.Append(ctx, by("w", 1), stage(t, tbl, row{"a", 1}))
	require.NoError(t, err)

	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "q.yaml"), []byte(`
pipeline: q
tables:
  gold.q: {sql: "SELECT CAST(id AS INTEGER) AS n FROM failing.t", write: replace}
`), 0o644))
	a, err := activities.Open(ctx, activities.Config{PipelinesDir: dir, Root: dir, WorkDir: dir, Lake: tables.Config{Catalog: s.Config}})
	require.NoError(t, err)
	defer func() { require.NoError(t, a.Close()) }()
	env := new(sdk.WorkflowTestSuite).NewTestActivityEnvironment()
	a.Register(env)
	do := func(out any, name string, in any) error {
		value, err := env.ExecuteActivity(name, in)
		if err != nil || out == nil {
			return err
		}
		return value.Get(out)
	}
	var compiled wire.Compiled
	require.NoError(t, do(&compiled, wire.ActivityCompile, wire.CompileRequest{Pipeline: "q", Run: "r"}))
	build := wire.Build{Pipeline: "q", Run: "r", Workflow: "w", FirstRun: "f"}
	var prepared wire.Prepared
	require.NoError(t, do(&prepared, wire.ActivityPrepare, wire.PrepareRequest{
		Build: build, Table: wire.TableRef{Name: "gold.q", Table: compiled.Plan.Plan.Table("gold.q")},
	}))
	fresh, err := lake.Table(ctx, "failing.t")
	require.NoError(t, err)
	read := fresh.Iceberg().CurrentSnapshot()
	_, err = fresh.Append(ctx, by("w", 2), stage(t, fresh, row{"b", 2}))
	require.NoError(t, err)

	failure := func() string {
		err := do(nil, wire.ActivityStageGroup, wire.StageRequest{Job: prepared.Job})
		var said *temporal.ApplicationError
		require.True(t, errors.As(err, &said), "%v", err)
		return said.Type()
	}
	require.Equal(t, wire.ErrData, failure())
	store, err := lake.Catalog().FS(ctx, read.ManifestList)
	require.NoError(t, err)
	require.NoError(t, store.Remove(read.ManifestList))
	require.Equal(t, wire.ErrSuperseded, failure())
}
