package activities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/sources"
	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/merge"
	"github.com/varve-lake/varve/transforms"
	"github.com/varve-lake/varve/transforms/expression"
	"github.com/varve-lake/varve/transforms/sql"
)

func TestErrorsHaveTheirClass(t *testing.T) {
	for class, errs := range map[string][]error{
		wire.ErrUser: {
			userError("no"), spec.Diagnostics{{Message: "x"}}, tables.ErrNoSuchTable, tables.ErrRewritten, tables.ErrExpired,
			tables.ErrDefinition, &tables.IncompatibleError{}, merge.ErrOptions, &merge.CardinalityError{},
			&transforms.StepError{Err: errors.New("x")}, &expression.Error{}, &sql.Error{Kind: sql.Binding}, &compile.Mistake{},
		},
		wire.ErrData: {
			&rejected{}, &sources.MalformedError{}, &sources.BrokenFileError{}, &sources.SchemaError{}, &transforms.ExpectationError{},
			&expression.RowError{}, &merge.NullError{}, &merge.ValueError{}, &sql.Error{Kind: sql.Data}, &datafile.TextError{},
		},
		wire.ErrSuperseded: {commit.ErrSuperseded, tables.ErrSwept, stale(fs.ErrNotExist), &sources.BrokenFileError{Err: sources.ErrChanged}},
		wire.ErrDenied:     {tables.ErrDenied, fs.ErrPermission},
		wire.ErrConflict:   {tables.ErrConflict},
		wire.ErrPassing:    {tables.ErrPassing, tables.ErrUnknownOutcome},
		wire.ErrInternal:   {errors.New("x"), &sql.Error{Kind: sql.Memory}, tables.ErrAbsent},
	} {
		for _, err := range errs {
			wrapped := fmt.Errorf("build silver.a: %w", err)
			got := classify(context.Background(), wrapped)
			var application *temporal.ApplicationError
			require.ErrorAs(t, got, &application)
			require.Equal(t, class, application.Type(), "%T %v", err, err)
			final := class == wire.ErrUser || class == wire.ErrData || class == wire.ErrDenied || class == wire.ErrSuperseded
			require.Equal(t, final, application.NonRetryable(), "%T", err)
			require.True(t, strings.HasPrefix(application.Message(), "build silver.a"), application.Message())
		}
	}
	require.NoError(t, classify(context.Background(), nil))
}

func TestLongErrorsAreClipped(t *testing.T) {
	err := classify(context.Background(), errors.New(strings.Repeat("ä", 100_000)))
	require.Less(t, len(err.Error()), 20_000)
}

// bad is a source that the build must refuse, or deal with by policy, without half a snapshot.
func TestHostileFiles(t *testing.T) {
	for _, c := range []struct {
		name, file, content, options, class, message string
		rows                                         int
	}{
		{name: "malformed row", file: "a.csv", content: "n,k\n1,a\nx,b\n", class: wire.ErrData, message: `a.csv:3: row 2: column "n"`},
		{name: "malformed row dropped", file: "a.csv", content: "n,k\n1,a\nx,b\n", options: "csv, malformed: drop", rows: 1},
		{name: "unclosed quote", file: "a.csv", content: "n,k\n1,\"a\n2,b\n", class: wire.ErrData, message: "a.csv"},
		{name: "truncated gzip", file: "a.csv.gz", content: "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x4a", class: wire.ErrUser, message: "a.csv.gz"},
		{name: "corrupt parquet", file: "a.parquet", content: "PAR1 not at all", options: "parquet", class: wire.ErrUser, message: "a.parquet"},
		{name: "invalid UTF-8", file: "a.csv", content: "n,k\n1,\xff\xfe\n", class: wire.ErrData, message: "UTF-8"},
		{name: "empty file", file: "a.csv", content: "", rows: 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.options == "" {
				c.options = "csv"
			}
			l := newLab(t)
			l.write("pipelines/p.yaml", fmt.Sprintf(
				"pipeline: p\ntables:\n  bronze.a:\n    source: {files: \"in/*\", format: %s}\n    columns: {n: int, k: string}\n", c.options))
			l.write("in/"+c.file, c.content)
			compiled, err := l.compile("p")
			if err == nil {
				_, err = l.begin(compiled, "bronze.a").run()
			}
			if c.class == "" {
				require.NoError(t, err)
				require.Len(t, l.rows("bronze.a", "n"), c.rows)
				return
			}
			requireClass(t, err, c.class)
			require.ErrorContains(t, err, c.message)
			if table, err := l.a.lake.Table(t.Context(), "bronze.a"); err == nil {
				require.Empty(t, table.Snapshots(), "no snapshot is half done")
			}
		})
	}
}

func TestUnknownPipeline(t *testing.T) {
	l := flightsLab(t)
	_, err := l.compile("fligths")
	requireClass(t, err, wire.ErrUser)
	require.ErrorContains(t, err, `did you mean "flights"?`)
	for _, name := range []string{"", "../flights", "a/b"} {
		_, err = l.compile(name)
		requireClass(t, err, wire.ErrUser)
	}
}

func TestDiagnosticsTravelAsDetails(t *testing.T) {
	l := newLab(t)
	l.write("pipelines/p.yaml", "pipeline: p\ntables:\n  silver.a: {from: bronze.a}\n")
	_, err := l.compile("p")
	requireClass(t, err, wire.ErrUser)
	var application *temporal.ApplicationError
	require.ErrorAs(t, err, &application)
	var found spec.Diagnostics
	require.NoError(t, application.Details(&found))
	require.Equal(t, 3, found[0].Line)
	require.Contains(t, application.Message(), "pipelines/p.yaml:3:")
}

func TestBrokenExpectationCommitsNothing(t *testing.T) {
	l := newLab(t)
	l.write("pipelines/p.yaml", "pipeline: p\ntables:\n  bronze.a:\n    source: {files: \"in/*.csv\"}\n    expect: [{name: small, that: n < 3}]\n")
	l.write("in/a.csv", "n\n1\n5\n")
	compiled, err := l.compile("p")
	require.NoError(t, err)
	_, err = l.begin(compiled, "bronze.a").run()
	requireClass(t, err, wire.ErrData)
	require.ErrorContains(t, err, `expectation "small"`)
	require.Zero(t, l.snapshots("bronze.a"))
}

func TestPanicIsAnInternalError(t *testing.T) {
	l := newLab(t)
	register(l.env, "Panics", func(context.Context, *pulse, string) (string, error) { panic("out of range") })
	_, err := l.env.ExecuteActivity("Panics", "x")
	requireClass(t, err, wire.ErrInternal)
	require.ErrorContains(t, err, "Panics: internal error: out of range")
}

func TestNoFilesYet(t *testing.T) {
	l := newLab(t)
	l.write("pipelines/p.yaml", "pipeline: p\ntables:\n  bronze.a:\n    source: {files: \"in/*.csv\"}\n")
	_, err := l.compile("p")
	requireClass(t, err, wire.ErrUser)
	require.ErrorContains(t, err, "the columns of bronze.a are not known")
	l.write("pipelines/p.yaml", "pipeline: p\ntables:\n  bronze.a:\n    source: {files: \"in/*.csv\"}\n    columns: {n: int}\n")
	r := l.runPipeline("p")["bronze.a"]
	require.Equal(t, wire.StateUnchanged, r.State)
	require.Equal(t, []string{"created"}, r.Changes)
	require.Empty(t, l.rows("bronze.a", "n"))
}

func TestHeartbeatsTellProgress(t *testing.T) {
	l := flightsLab(t)
	var beats []wire.Heartbeat
	var mu sync.Mutex
	l.env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		var h wire.Heartbeat
		if err := details.Get(&h); err == nil {
			mu.Lock()
			defer mu.Unlock()
			beats = append(beats, h)
		}
	})
	register(l.env, "Long", func(ctx context.Context, p *pulse, _ string) (wire.Heartbeat, error) {
		p.at("reading")
		p.rows.Add(42)
		for { // until the first one has come
			mu.Lock()
			n := len(beats)
			mu.Unlock()
			if n > 0 {
				return p.heartbeat(), nil
			}
			runtime.Gosched()
		}
	})
	last, err := call[wire.Heartbeat](l, "Long", "x")
	require.NoError(t, err)
	require.Equal(t, wire.Heartbeat{Stage: "reading", Rows: 42}, last)
}
