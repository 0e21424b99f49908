package activities

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
)

// A file arrives between the compilation and the reading, with a column that the plan knows nothing of.
func TestNewColumnsInMidRun(t *testing.T) {
	for _, c := range []struct{ name, table, file, late, changes, rows string }{
		{
			name: "evolve", table: `source: {files: "in/*"}`, file: "n,k\n2,b\n", late: "n,k,gate\n3,c,B1\n",
			changes: "created; columns added: gate", rows: "1 a (null), 2 b (null), 3 c B1",
		},
		{
			name: "left out by the steps", table: "source: {files: \"in/*\"}\n    steps: [{select: [n, k]}]", late: "n,k,gate\n3,c,B1\n",
			changes: "created", rows: "1 a, 3 c",
		},
		{
			name: "strict", table: "source: {files: \"in/*\"}\n    strict: true\n    columns: {n: long, k: string}", late: "n,k,gate\n3,c,B1\n",
			changes: "created", rows: "1 a, 3 c",
		},
		{
			name: "rescue", table: "source: {files: \"in/*\", schema_mode: rescue}", late: "n,k,gate\n3,c,B1\n",
			changes: "created", rows: `1 a (null), 3 c {"gate":"B1"}`,
		},
		{
			name: "deduplicated", table: "source: {files: \"in/*\"}\n    steps: [{dedupe: {by: [n]}}]", file: "n,k\n2,b\n", late: "n,k,gate\n1,z,B1\n",
			changes: "created; columns added: gate", rows: "1 z B1, 2 b (null)",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, func(cfg *Config) { cfg.GroupFiles = 1 })
			l.write("pipelines/p.yaml", "pipeline: p\ntables:\n  bronze.a:\n    "+strings.ReplaceAll(c.table, "in/*", "in/*.csv")+"\n")
			l.write("in/1.csv", "n,k\n1,a\n")
			compiled, err := l.compile("p")
			require.NoError(t, err)
			if c.file != "" {
				l.write("in/2.csv", c.file)
			}
			l.write("in/3.csv", c.late)
			b := l.begin(compiled, "bronze.a")
			r, err := b.run()
			require.NoError(t, err)
			require.Equal(t, c.changes, strings.Join(r.Changes, "; "))
			var columns []string
			table, err := l.a.lake.Table(t.Context(), "bronze.a")
			require.NoError(t, err)
			schema, err := table.Schema()
			require.NoError(t, err)
			for _, f := range schema.Fields() {
				if !strings.HasPrefix(f.Name, "_") || f.Name == "_rescued" {
					columns = append(columns, f.Name)
				}
			}
			require.Equal(t, c.rows, strings.Join(l.rows("bronze.a", columns...), ", "))
			require.Empty(t, l.staged())
			for name, r := range l.runPipeline("p") {
				require.Equal(t, wire.StateUnchanged, r.State, name)
			}
		})
	}
}

// NDJSON brings new fields anywhere in a file.
func TestNewFieldsLateInAFile(t *testing.T) {
	l := newLab(t)
	l.write("pipelines/p.yaml", "pipeline: p\ntables:\n  bronze.a:\n    source: {files: \"in/*.ndjson\", options: {sample_rows: 10}}\n")
	var lines strings.Builder
	for i := range 200 {
		fmt.Fprintf(&lines, "{\"n\": %d}\n", i)
	}
	lines.WriteString("{\"n\": 200, \"late\": \"yes\", \"when\": 3}\n")
	l.write("in/1.ndjson", lines.String())
	r := l.runPipeline("p")["bronze.a"]
	require.Equal(t, int64(201), r.Inserted)
	require.Equal(t, int64(201), r.RowsRead)
	rows := l.rows("bronze.a", "late")
	require.Len(t, rows, 201)
	require.Equal(t, "yes", rows[200])
}

func TestEnforcedSchemaRefusesNewColumns(t *testing.T) {
	l := newLab(t)
	l.write("pipelines/p.yaml", "pipeline: p\ntables:\n  bronze.a:\n    source: {files: \"in/*.csv\", schema_mode: enforce}\n")
	l.write("in/1.csv", "n\n1\n")
	l.runPipeline("p")
	l.write("in/2.csv", "n,gate\n2,B1\n")
	compiled, err := l.compile("p")
	require.NoError(t, err)
	_, err = l.begin(compiled, "bronze.a").run()
	requireClass(t, err, wire.ErrData)
	require.ErrorContains(t, err, "gate")
	require.Equal(t, 1, l.snapshots("bronze.a"))
}

func TestTypesThatWidenAndTypesThatStay(t *testing.T) {
	l := newLab(t)
	l.write("pipelines/p.yaml", "pipeline: p\ntables:\n  bronze.a:\n    source: {files: \"in/*.csv\", malformed: drop}\n    columns: {m: int}\n")
	l.write("in/1.csv", "zip,m\nA1,1\n")
	l.runPipeline("p")
	l.write("in/2.csv", "zip,m\n00501,2\n") // all digits today: still text
	l.write("pipelines/p.yaml", "pipeline: p\ntables:\n  bronze.a:\n    source: {files: \"in/*.csv\", malformed: drop}\n    columns: {m: long}\n")
	r := l.runPipeline("p")["bronze.a"]
	require.Equal(t, []string{"columns widened: m: int to long"}, r.Changes)
	require.Equal(t, []string{"00501 2", "A1 1"}, l.rows("bronze.a", "zip", "m"))
}

// Files that were loaded may be removed by whoever keeps the landing folder. The table stays, and so do those that
// read it.
func TestFilesThatAreGoneAfterLoading(t *testing.T) {
	l := flightsLab(t)
	l.runPipeline("flights")
	for _, name := range []string{"1.csv", "2.csv"} {
		l.remove("landing/" + name)
	}
	for name, r := range l.runPipeline("flights") {
		require.Equal(t, wire.StateUnchanged, r.State, name)
	}
}

func TestFileThatIsGoneBeforeItIsRead(t *testing.T) {
	l := flightsLab(t)
	compiled, err := l.compile("flights")
	require.NoError(t, err)
	b := l.begin(compiled, "bronze.flights")
	require.NoError(t, b.prepare())
	l.remove("landing/2.csv")
	requireClass(t, b.stage(), wire.ErrSuperseded)
}

func TestFileThatChangesIsPlannedAnew(t *testing.T) {
	l := flightsLab(t)
	compiled, err := l.compile("flights")
	require.NoError(t, err)
	b := l.begin(compiled, "bronze.flights")
	require.NoError(t, b.prepare())
	l.write("landing/2.csv", "carrier,flight,tailnum,delay,updated\nUA,1,N1,5,2013-01-02T00:00:00Z\n")
	requireClass(t, b.stage(), wire.ErrSuperseded)
	require.Empty(t, dataFiles(t, l, "flights"), "what was written of the group is removed")
}

func TestReloadedFileIsReportedAndNotLoadedAgain(t *testing.T) {
	l := flightsLab(t)
	l.runPipeline("flights")
	l.write("landing/1.csv", "carrier,flight,tailnum,delay,updated\nXX,1,N1,5,2013-01-02T00:00:00Z\n")
	r := l.runPipeline("flights")["bronze.flights"]
	require.Equal(t, wire.StateUnchanged, r.State)
	require.Contains(t, strings.Join(r.Warnings, "\n"), "landing/1.csv was loaded before and has changed since")
}

// A column may come to a table without a snapshot; a query that pins the table's snapshot has it all the same.
func TestQueryOfAColumnThatCameWithoutASnapshot(t *testing.T) {
	l := newLab(t)
	text := func(derived, selected string) string {
		return fmt.Sprintf(`
pipeline: p
tables:
  bronze.a:
    source: {files: "in/*.csv"}
  silver.a:
    from: bronze.a
    schema_mode: evolve
    steps: [{derive: {%s}}]
  gold.a:
    sql: SELECT %s FROM silver.a
    schema_mode: evolve
    write: replace
`, derived, selected)
	}
	l.write("pipelines/p.yaml", text("x: n * 2", "x"))
	l.write("in/1.csv", "n\n1\n")
	l.runPipeline("p")
	l.write("pipelines/p.yaml", text("x: n * 2, y: n * 3", "x, y"))
	r := l.runPipeline("p")
	require.Equal(t, wire.StateUnchanged, r["silver.a"].State)
	require.Equal(t, []string{"2 (null)"}, l.rows("gold.a", "x", "y"))
}
