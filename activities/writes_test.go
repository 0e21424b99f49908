package activities

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
)

func TestManyGroupsAreGatheredAndRefinedTogether(t *testing.T) {
	l := newLab(t, func(cfg *Config) { cfg.GroupFiles = 2 })
	l.write("pipelines/p.yaml", `
pipeline: p
tables:
  bronze.a:
    source: {files: "in/*.csv"}
  silver.a:
    from: bronze.a
    steps:
      - filter: n != 5
      - dedupe: {by: [k], keep: latest, order_by: [n]}
      - derive: {half: n / 2}
      - dedupe: {by: [half], keep: earliest}
`)
	for i := range 10 {
		l.write(fmt.Sprintf("in/%02d.csv", i), fmt.Sprintf("n,k\n%d,k%d\n%d,k%d\n", i, i%4, 100+i, i%4))
	}
	r := l.runPipeline("p")
	require.Equal(t, int64(20), r["bronze.a"].Inserted)
	require.Equal(t, 10, r["bronze.a"].FilesRead)
	silver := r["silver.a"]
	require.Equal(t, []int64{20, 1, 15, 4}, []int64{silver.RowsRead, silver.Filtered, silver.Duplicates, silver.Inserted})
	require.Equal(t, []string{"106 k2", "107 k3", "108 k0", "109 k1"}, l.rows("silver.a", "n", "k"))
}

func TestReplacePartitions(t *testing.T) {
	l := newLab(t)
	l.write("pipelines/p.yaml", `
pipeline: p
tables:
  bronze.a:
    source: {files: "in/*.csv"}
    write: {replace_partitions: [day]}
    partition_by: [day]
`)
	l.write("in/1.csv", "day,n\n2013-01-01,1\n2013-01-02,2\n")
	l.runPipeline("p")
	l.write("in/2.csv", "day,n\n2013-01-02,20\n2013-01-03,30\n")
	r := l.runPipeline("p")["bronze.a"]
	require.Equal(t, "1 of 2 files are new", r.Reason)
	require.Equal(t, []string{"2013-01-01 1", "2013-01-02 20", "2013-01-03 30"}, l.rows("bronze.a", "day", "n"))
}

func TestReplaceIsMadeAnewWhenItsDefinitionChanges(t *testing.T) {
	l := newLab(t)
	text := func(factor int) string {
		return fmt.Sprintf("pipeline: p\ntables:\n  gold.a:\n    source: {files: \"in/*.csv\"}\n    steps: [{derive: {x: n * %d}}]\n    write: replace\n", factor)
	}
	l.write("pipelines/p.yaml", text(2))
	l.write("in/1.csv", "n\n1\n")
	l.runPipeline("p")
	require.Equal(t, wire.StateUnchanged, l.runPipeline("p")["gold.a"].State)
	l.write("pipelines/p.yaml", text(3))
	require.Contains(t, l.runPipeline("p")["gold.a"].Reason, "its definition has changed")
	require.Equal(t, []string{"3"}, l.rows("gold.a", "x"))
}

func TestMergeByPredicateWithDeletes(t *testing.T) {
	l := newLab(t)
	l.write("pipelines/p.yaml", `
pipeline: p
tables:
  gold.profiles:
    source: {files: "in/*.csv"}
    steps: [{rename: {user: uid}}, {drop: [_source_file, _source_row, _loaded_at]}]
    columns:
      user_id: {type: long}
      visits: {type: int}
      name: {type: string}
    write:
      merge:
        on: t.user_id == s.uid && s.name != "nobody"
        strategy: copy-on-write
        new_columns: ignore
        when_matched:
          - {if: s.gone, delete: true}
          - {update: {visits: t.visits + 1, name: s.name}}
        when_not_matched:
          - {if: not s.gone, insert: {user_id: s.uid, visits: "1", name: upper(s.name)}}
        when_not_matched_by_source:
          - {if: t.visits > 1, update: {visits: "0"}}
`)
	l.write("in/1.csv", "user,name,gone\n1,ann,false\n2,bob,false\n3,cy,true\n")
	r := l.runPipeline("p")["gold.profiles"]
	require.Equal(t, []int64{2, 0, 0}, []int64{r.Inserted, r.Updated, r.Deleted})
	l.write("in/2.csv", "user,name,gone\n1,anna,false\n2,bob,true\n")
	r = l.runPipeline("p")["gold.profiles"]
	require.Equal(t, []int64{0, 1, 1}, []int64{r.Inserted, r.Updated, r.Deleted})
	require.Equal(t, []string{"1 2 anna"}, l.rows("gold.profiles", "user_id", "visits", "name"))
	l.write("in/3.csv", "user,name,gone\n7,new,false\n")
	l.runPipeline("p")
	require.Equal(t, []string{"1 0 anna", "7 1 NEW"}, l.rows("gold.profiles", "user_id", "visits", "name"))
}

func TestTwoSourceRowsForOneTargetRow(t *testing.T) {
	l := newLab(t)
	l.write("pipelines/p.yaml", `
pipeline: p
tables:
  gold.a:
    source: {files: "in/*.csv"}
    write: {merge: {on: [id], when_matched: [{update: "*"}], when_not_matched: [{insert: "*"}]}}
`)
	l.write("in/1.csv", "id,v\n1,a\n")
	l.runPipeline("p")
	l.write("in/2.csv", "id,v\n1,b\n1,c\n")
	compiled, err := l.compile("p")
	require.NoError(t, err)
	_, err = l.begin(compiled, "gold.a").run()
	requireClass(t, err, wire.ErrUser)
	require.ErrorContains(t, err, "id = 1")
	require.Equal(t, []string{"1 a"}, l.rows("gold.a", "id", "v"))
}

// A plan too large to travel is stored, and its tables are found in it.
func TestLargePlanTravelsByReference(t *testing.T) {
	l := newLab(t)
	var text strings.Builder
	text.WriteString("pipeline: p\ntables:\n")
	for i := range 40 {
		fmt.Fprintf(&text, "  bronze.t%02d:\n    source: {files: in.csv}\n    doc: %s\n", i, strings.Repeat("x", 8000))
	}
	l.write("pipelines/p.yaml", text.String())
	l.write("in.csv", "n\n1\n")
	compiled, err := l.compile("p")
	require.NoError(t, err)
	require.Nil(t, compiled.Plan.Plan)
	require.NotEmpty(t, compiled.Plan.URI)
	require.Len(t, compiled.Nodes, 40)
	ref := wire.TableRef{Name: "bronze.t07", URI: compiled.Plan.URI}
	build := wire.Build{Pipeline: "p", Workflow: "w", FirstRun: "r"}
	prepared, err := call[wire.Prepared](l, wire.ActivityPrepare, wire.PrepareRequest{Build: build, Table: ref})
	require.NoError(t, err)
	require.Equal(t, 1, prepared.Groups)
	_, err = call[wire.Prepared](l, wire.ActivityPrepare, wire.PrepareRequest{Build: build, Table: wire.TableRef{Name: "bronze.no", URI: ref.URI}})
	require.ErrorContains(t, err, "has no table bronze.no")
}

func TestExplainSaysWhatAndWhy(t *testing.T) {
	l := flightsLab(t)
	explain := func() map[string]Explanation {
		p, diagnostics := l.a.Plan(t.Context(), "flights", nil)
		require.NoError(t, diagnostics.Err())
		all, err := l.a.Explain(t.Context(), p)
		require.NoError(t, err)
		out := make(map[string]Explanation)
		for _, e := range all {
			out[e.Table] = e
		}
		return out
	}
	first := explain()
	require.Equal(t, "2 of 2 files are new", first["bronze.flights"].Reads)
	require.Equal(t, "merge on id (merge-on-read)", first["silver.flights"].Writes)
	require.Equal(t, "what bronze.flights will have, built before it", first["silver.flights"].Reads)
	tables, err := l.a.lake.Tables(t.Context())
	require.NoError(t, err)
	require.Empty(t, tables, "to explain changes nothing")

	l.runPipeline("flights")
	for name, e := range explain() {
		require.False(t, e.Builds, name)
	}
	l.write("landing/3.csv", "carrier,flight,tailnum,delay,updated,gate\nUA,2,N2,40,2013-01-03T00:00:00Z,B1\n")
	later := explain()
	require.Equal(t, []string{"columns added: gate string"}, later["bronze.flights"].Changes)
	require.True(t, later["gold.carriers"].Builds)
	require.False(t, later["silver.airlines"].Builds)
}

// The checkpoint of a table whose source moved on without rows moves with it, and makes no snapshot.
func TestCheckpointMovesWithoutRows(t *testing.T) {
	l := flightsLab(t)
	l.runPipeline("flights")
	l.write("landing/3.csv", "carrier,flight,tailnum,delay,updated\n")
	r := l.runPipeline("flights")
	require.Equal(t, wire.StateBuilt, r["bronze.flights"].State, "the file is marked as loaded")
	require.Zero(t, r["bronze.flights"].SnapshotID)
	require.Equal(t, 1, l.snapshots("bronze.flights"))
	require.Equal(t, wire.StateUnchanged, l.runPipeline("flights")["bronze.flights"].State)

	l.write("landing/4.csv", "carrier,flight,tailnum,delay,updated\n,4,N4,1,2013-01-05T00:00:00Z\n")
	silver := l.runPipeline("flights")["silver.flights"]
	require.Equal(t, []int64{1, 1, 0}, []int64{silver.RowsRead, silver.Filtered, silver.SnapshotID})
	require.Equal(t, wire.StateUnchanged, l.runPipeline("flights")["silver.flights"].State, "the merge of no rows has moved on too")
}

func TestPlanOfARunIsRemovedByItsEnd(t *testing.T) {
	l := newLab(t)
	_, err := l.a.lake.WriteStaged(t.Context(), "run-1", "plan.json", []byte("{}"))
	require.NoError(t, err)
	require.Len(t, l.staged(), 1)
	_, err = l.env.ExecuteActivity(wire.ActivityCleanup, wire.CleanupRequest{Run: "run-1"})
	require.NoError(t, err)
	require.Empty(t, l.staged())
}
