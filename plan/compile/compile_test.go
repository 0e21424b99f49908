package compile_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/spec"
	"github.com/varve-lake/varve/transforms/sql"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// world is a lake and its files, as the first case of a golden file describes them.
type world struct {
	files  map[string]*arrow.Schema // by glob
	broken map[string]string        // globs whose files do not read
	tables map[string]*arrow.Schema
	engine *sql.Engine
	fault  error // of every look at the lake
}

// metadata are the columns that file sources add.
const metadata = "_source_file string, _source_row long, _loaded_at timestamptz"

// newWorld reads lines such as
//
//	table silver.planes: tailnum string required, year int
//	files planes.csv: tailnum string, year long
//	broken bad.csv: truncated gzip
func newWorld(t *testing.T, engine *sql.Engine, text string) *world {
	t.Helper()
	w := &world{files: map[string]*arrow.Schema{}, broken: map[string]string{}, tables: map[string]*arrow.Schema{}, engine: engine}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		kind, rest, _ := strings.Cut(line, " ")
		name, columns, found := strings.Cut(rest, ": ")
		require.True(t, found, line)
		switch kind {
		case "table":
			w.tables[name] = schema(t, columns)
		case "files":
			w.files[name] = schema(t, columns+", "+metadata)
		case "broken":
			w.broken[name] = columns
		default:
			t.Fatalf("unknown line %q", line)
		}
	}
	return w
}

func schema(t *testing.T, text string) *arrow.Schema {
	t.Helper()
	var columns []plan.Column
	for part := range strings.SplitSeq(text, ", ") {
		words := strings.Fields(part)
		columns = append(columns, plan.Column{Name: words[0], Type: words[1], Required: len(words) > 2})
	}
	s, err := compile.Schema(columns)
	require.NoError(t, err)
	return s
}

func (w *world) FileSchema(_ context.Context, _ string, files plan.Files) (*arrow.Schema, error) {
	if reason, broken := w.broken[files.Glob]; broken {
		return nil, &compile.Mistake{Offset: -1, Message: files.Glob + ": " + reason}
	}
	declared, err := compile.Schema(files.Declared)
	if err != nil {
		return nil, err
	}
	found, known := w.files[files.Glob]
	if !known {
		return declared, fmt.Errorf("%s: %w", files.Glob, compile.ErrNoFiles)
	}
	fields := slices.Clone(found.Fields())
	for i, f := range fields {
		if at := declared.FieldIndices(f.Name); len(at) > 0 {
			fields[i].Type = declared.Field(at[0]).Type
		}
	}
	return arrow.NewSchema(fields, nil), nil
}

func (w *world) TableSchema(_ context.Context, name string) (*compile.Existing, error) {
	if w.fault != nil {
		return nil, w.fault
	}
	s, known := w.tables[name]
	if !known {
		return nil, fmt.Errorf("%s: %w", name, compile.ErrNoTable)
	}
	return &compile.Existing{Schema: s}, nil
}

func (w *world) Tables(context.Context) ([]string, error) {
	var out []string
	for name := range w.tables {
		out = append(out, name)
	}
	slices.Sort(out)
	return out, nil
}

func (w *world) SQLSchema(ctx context.Context, query string, lookup compile.Lookup) (*compile.Query, error) {
	in := &tables{lookup: lookup}
	q, err := w.engine.Analyze(ctx, query, in)
	var wrong *sql.Error
	switch {
	case in.err != nil:
		return nil, in.err
	case errors.As(err, &wrong):
		return nil, &compile.Mistake{Offset: wrong.Offset, Message: wrong.Message, Hint: wrong.Hint}
	case err != nil:
		return nil, err
	}
	return &compile.Query{Schema: q.Schema, Reads: q.Reads}, nil
}

type tables struct {
	lookup compile.Lookup
	err    error
}

func (t *tables) Schema(ctx context.Context, table string) (*arrow.Schema, error) {
	s, err := t.lookup(ctx, table)
	if err != nil && t.err == nil {
		t.err = err
	}
	return s, err
}

func (t *tables) Scan(context.Context, string, sql.Version, []string, []sql.Filter, int64) (array.RecordReader, error) {
	return nil, errors.New("an analysis reads no rows")
}

func engine(t *testing.T) *sql.Engine {
	t.Helper()
	e, err := sql.Open(sql.Options{MemoryLimit: 256 << 20, TempDir: t.TempDir(), Threads: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	return e
}

func compileText(t *testing.T, w *world, text string) (*plan.Plan, spec.Diagnostics) {
	t.Helper()
	decoded, found := spec.Decode("p.yaml", []byte(text), spec.DecodeOptions{})
	require.NotNil(t, decoded, "the case is to be a plan's mistake, not the decoder's: %v", found)
	p, diagnostics, err := compile.Compile(t.Context(), decoded, w, compile.Options{Source: []byte(text), Environment: "local"})
	require.NoError(t, err)
	return p, diagnostics
}

// golden runs the cases of a file: `=== name`, input, `----`, output. The first case, `=== world`, has no output.
func golden(t *testing.T, file string, run func(t *testing.T, w *world, input string) string) {
	e := engine(t)
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	cases := strings.Split("\n"+string(data), "\n=== ")
	var w *world
	var out strings.Builder
	out.WriteString(strings.TrimPrefix(cases[0], "\n"))
	for i, c := range cases[1:] {
		name, body, _ := strings.Cut(c, "\n")
		if i == 0 {
			require.Equal(t, "world", name)
			w = newWorld(t, e, body)
			fmt.Fprintf(&out, "\n=== %s\n%s\n", name, strings.TrimRight(body, "\n"))
			continue
		}
		input, want, _ := strings.Cut(body, "\n----\n")
		t.Run(name, func(t *testing.T) {
			got := strings.TrimRight(run(t, w, input+"\n"), "\n")
			fmt.Fprintf(&out, "\n=== %s\n%s\n----\n%s\n", name, input, got)
			if !*update {
				require.Equal(t, strings.TrimRight(want, "\n"), got)
			}
		})
	}
	if *update && !t.Failed() {
		require.NoError(t, os.WriteFile(file, []byte(out.String()), 0o644))
	}
}

// TestDiagnostics runs testdata/diagnostics: a pipeline that decodes, and all that stands against it as a plan.
func TestDiagnostics(t *testing.T) {
	files, err := filepath.Glob("testdata/diagnostics/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			golden(t, file, func(t *testing.T, w *world, input string) string {
				p, diagnostics := compileText(t, w, input)
				if len(diagnostics) == 0 {
					return "ok"
				}
				require.Equal(t, diagnostics.Err() == nil, p != nil)
				return diagnostics.Error()
			})
		})
	}
}

// TestPlans runs testdata/plans: a pipeline and what its plan says of each table.
func TestPlans(t *testing.T) {
	files, err := filepath.Glob("testdata/plans/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			golden(t, file, func(t *testing.T, w *world, input string) string {
				p, diagnostics := compileText(t, w, input)
				require.NoError(t, diagnostics.Err())
				return describe(p)
			})
		})
	}
}

func describe(p *plan.Plan) string {
	var b strings.Builder
	for _, t := range p.Tables {
		fmt.Fprintf(&b, "%s: %s", t.Name, t.Write.Mode)
		if len(t.After) > 0 {
			fmt.Fprintf(&b, " after %s", strings.Join(t.After, ", "))
		}
		if t.Quarantine != "" {
			fmt.Fprintf(&b, "; malformed %s, to %s", t.Malformed, t.Quarantine)
		}
		if t.Dormant {
			b.WriteString("; dormant")
		}
		b.WriteString("\n")
		line(&b, "reads", t.Input)
		line(&b, "rows", t.Rows)
		line(&b, "columns", t.Columns)
		if m := t.Write.Merge; m != nil && m.Predicate != "" {
			fmt.Fprintf(&b, "  pairs %v, residual %q\n", m.Pairs, m.Residual)
		}
		if c := t.Write.CDC; c != nil {
			line(&b, "events", c.Events)
			fmt.Fprintf(&b, "  on %v, %s; sequence %v kept as %v; ties %s\n", t.Write.Merge.On, t.Write.Merge.Strategy, c.SequenceBy, c.Kept, c.Ties)
			for _, clause := range slices.Concat(t.Write.Merge.WhenMatched, t.Write.Merge.WhenNotMatched) {
				fmt.Fprintf(&b, "    %s if %q\n", clause.Action, clause.If)
			}
		}
	}
	for _, w := range p.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	return b.String()
}

func line(b *strings.Builder, what string, columns []plan.Column) {
	if len(columns) == 0 {
		return
	}
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = c.Name + " " + c.Type
		if c.Required {
			parts[i] += " required"
		}
	}
	fmt.Fprintf(b, "  %s: %s\n", what, strings.Join(parts, ", "))
}

const small = `pipeline: p
parameters: {b: {default: x}, a: {default: y}}
tables:
  silver.a: {sql: "SELECT b.carrier, z.code FROM bronze.b b JOIN bronze.a z ON true"}
  bronze.a: {source: {files: a.csv}, properties: {z: "1", a: "2", m: "3"}}
  bronze.b: {source: {files: b.csv}}
`

const smallWorld = "files a.csv: code string\nfiles b.csv: carrier string"

// The same inputs give the same bytes: a run's plan is told from another by its digest.
func TestSameInputsGiveTheSameBytes(t *testing.T) {
	w := newWorld(t, engine(t), smallWorld)
	first, _ := compileText(t, w, small)
	want, digest, err := first.Encode()
	require.NoError(t, err)
	for range 20 {
		again, _ := compileText(t, w, small)
		got, d, err := again.Encode()
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
		require.Equal(t, digest, d)
	}
	decoded, err := plan.Decode(want)
	require.NoError(t, err)
	require.Equal(t, first, decoded)
	require.Equal(t, []string{"bronze.a", "bronze.b"}, decoded.Table("silver.a").After, "in the file's order")
}

func TestPlanOfALaterVersionIsRefused(t *testing.T) {
	_, err := plan.Decode([]byte(`{"version": 2, "pipeline": "p"}`))
	require.ErrorContains(t, err, "it has version 2, this worker knows 1")
	_, err = plan.Decode([]byte(`{"pipeline": "p"}`))
	require.Error(t, err)
}

// What the world does wrong is no fault of the file: it must not be told as a diagnostic, which no retry mends.
func TestFaultOfTheWorldIsNoDiagnostic(t *testing.T) {
	w := newWorld(t, engine(t), smallWorld)
	w.fault = errors.New("the catalog does not answer")
	decoded, found := spec.Decode("p.yaml", []byte(small), spec.DecodeOptions{})
	require.NoError(t, found.Err())
	p, diagnostics, err := compile.Compile(t.Context(), decoded, w, compile.Options{})
	require.ErrorIs(t, err, w.fault)
	require.Nil(t, p)
	require.Empty(t, diagnostics)
}

func TestDefinitionChangesWithWhatMakesTheRows(t *testing.T) {
	base := plan.Table{Name: "a.b", SQL: &plan.SQL{Query: "SELECT 1"}, Columns: []plan.Column{{Name: "x", Type: "int"}}}
	of := func(change func(*plan.Table)) string {
		other := base
		change(&other)
		d, err := other.Definition()
		require.NoError(t, err)
		return d
	}
	same := of(func(*plan.Table) {})
	require.Equal(t, same, of(func(t *plan.Table) { t.Doc, t.Owner, t.Tags = "doc", "me", []string{"x"} }))
	require.NotEqual(t, same, of(func(t *plan.Table) { t.SQL = &plan.SQL{Query: "SELECT 2"} }))
	require.NotEqual(t, same, of(func(t *plan.Table) { t.Columns = []plan.Column{{Name: "x", Type: "long"}} }))
	require.NotEqual(t, same, of(func(t *plan.Table) { t.PartitionBy = []string{"x"} }))
}

func TestFallbacksNameWhatHasNoKernel(t *testing.T) {
	w := newWorld(t, engine(t), smallWorld)
	p, _ := compileText(t, w, small)
	for i := range p.Tables {
		found, err := compile.Fallbacks(&p.Tables[i])
		require.NoError(t, err)
		require.Empty(t, found)
	}
}
