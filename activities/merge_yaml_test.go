package activities

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
)

// mergePipeline merges files into a table.
func mergePipeline(l *lab, clauses string) {
	l.write("pipelines/p.yaml", `
pipeline: p
tables:
  gold.a:
    source: {files: "in/*.csv"}
    steps: [{drop: [_source_file, _source_row, _loaded_at]}]
    write: {merge: {`+clauses+`}}
`)
}

// Null keys match nothing, so that their rows are inserted again; with null_safe they are keys as others.
func TestNullKeys(t *testing.T) {
	const upsert = `when_matched: [{update: "*"}], when_not_matched: [{insert: "*"}]`
	for _, c := range []struct {
		option string
		want   []string
	}{
		{"", []string{"(null) a", "(null) b", "1 y"}},
		{"null_safe: true, ", []string{"(null) b", "1 y"}},
	} {
		l := newLab(t)
		mergePipeline(l, "on: [id], "+c.option+upsert)
		l.write("in/1.csv", "id,v\n,a\n1,x\n")
		l.runPipeline("p")
		l.write("in/2.csv", "id,v\n,b\n1,y\n")
		l.runPipeline("p")
		require.Equal(t, c.want, l.rows("gold.a", "id", "v"))
	}
}

// Of several clauses the first whose condition holds applies; one that is unknown does not.
func TestClausesGoInOrder(t *testing.T) {
	l := newLab(t)
	mergePipeline(l, `on: [id], when_matched: [{if: s.n < 0, delete: true}, {if: s.n < 10, update: {n: t.n + s.n}}, {if: s.n != 50, update: {n: s.n, v: upper(s.v)}}],
      when_not_matched: [{if: s.n < 0, insert: {id: s.id}}, {if: s.n < 100, insert: "*"}]`)
	l.write("in/1.csv", "id,n,v\n1,1,a\n2,2,b\n3,3,c\n4,4,d\n5,5,e\n")
	l.runPipeline("p")
	l.write("in/2.csv", "id,n,v\n1,-1,x\n2,5,x\n3,20,x\n4,50,x\n5,,x\n6,-1,x\n7,7,x\n8,100,x\n9,,x\n")
	r := l.runPipeline("p")["gold.a"]
	require.Equal(t, []int64{2, 2, 1, 4}, []int64{r.Inserted, r.Updated, r.Deleted, r.Unchanged})
	require.Equal(t, []string{"2 7 b", "3 20 X", "4 4 d", "5 5 e", "6 (null) (null)", "7 7 x"}, l.rows("gold.a", "id", "n", "v"))
}

// A predicate without an equality compares every row with every row, which is allowed and warned of.
func TestMergeWithoutAnEquality(t *testing.T) {
	l := newLab(t)
	mergePipeline(l, `on: "s.low <= t.low && t.low < s.high", when_matched: [{update: {high: s.high}}], when_not_matched: [{insert: "*"}]`)
	l.write("in/1.csv", "low,high\n1,2\n5,6\n")
	l.runPipeline("p")
	l.write("in/2.csv", "low,high\n4,9\n20,30\n")
	compiled, err := l.compile("p")
	require.NoError(t, err)
	require.Contains(t, compiled.Plan.Plan.Warnings[0], "every row is compared with every row")
	r, err := l.begin(compiled, "gold.a").run()
	require.NoError(t, err)
	require.Contains(t, r.Warnings[0], "every source row is compared with every target row")
	require.Equal(t, []string{"1 2", "20 30", "5 9"}, l.rows("gold.a", "low", "high"))
}

// Columns that the target lacks: left out, added, or refused.
func TestNewColumnsOfAMerge(t *testing.T) {
	for policy, want := range map[string]int{"ignore": 2, "evolve": 3, "error": 0} {
		l := newLab(t)
		mergePipeline(l, `on: [id], new_columns: `+policy+`, when_matched: [{update: "*"}], when_not_matched: [{insert: "*"}]`)
		l.write("in/1.csv", "id,v\n1,a\n2,b\n")
		l.runPipeline("p")
		l.write("in/2.csv", "id,v,w\n1,x,new\n")
		compiled, err := l.compile("p")
		if want == 0 {
			requireClass(t, err, wire.ErrUser)
			require.ErrorContains(t, err, "new_columns is error")
			continue
		}
		require.NoError(t, err)
		_, err = l.begin(compiled, "gold.a").run()
		require.NoError(t, err)
		table, err := l.a.lake.Table(t.Context(), "gold.a")
		require.NoError(t, err)
		schema, err := table.Schema()
		require.NoError(t, err)
		require.Equal(t, want, schema.NumFields(), policy)
		require.Equal(t, []string{"1 x", "2 b"}, l.rows("gold.a", "id", "v"))
	}
}

// Rows whose update moves them to another partition lie there afterwards; in format 3 they keep their ids.
func TestRowsMoveToAnotherPartition(t *testing.T) {
	for _, strategy := range []string{"copy-on-write", "merge-on-read"} {
		for _, format := range []string{"2", "3"} {
			l := newLab(t)
			l.write("pipelines/p.yaml", `
pipeline: p
tables:
  gold.a:
    source: {files: "in/*.csv"}
    steps: [{drop: [_source_file, _source_row, _loaded_at]}]
    write: {merge: {on: [id], strategy: `+strategy+`, when_matched: [{update: "*"}], when_not_matched: [{insert: "*"}]}}
    partition_by: [day]
    format_version: `+format+`
`)
			l.write("in/1.csv", "id,day\n1,2024-01-01\n2,2024-01-01\n3,2024-01-02\n")
			l.runPipeline("p")
			columns := []string{"id"}
			if format == "3" {
				columns = append(columns, "_row_id")
			}
			ids := l.rows("gold.a", columns...)
			l.write("in/2.csv", "id,day\n1,2024-01-02\n3,2024-01-03\n")
			l.runPipeline("p")
			require.Equal(t, ids, l.rows("gold.a", columns...), strategy)
			require.Equal(t, []string{"1 2024-01-02", "2 2024-01-01", "3 2024-01-03"}, l.rows("gold.a", "id", "day"))
			table, err := l.a.lake.Table(t.Context(), "gold.a")
			require.NoError(t, err)
			info, err := table.Info(t.Context())
			require.NoError(t, err)
			rows := map[string]int64{}
			for _, p := range info.Partitions {
				if p.Rows > 0 {
					rows[p.Path] = p.Rows
				}
			}
			require.Equal(t, map[string]int64{"day=2024-01-01": 1, "day=2024-01-02": 1, "day=2024-01-03": 1}, rows)
		}
	}
}

// What a MERGE did is in its result and in the snapshot's summary, by Iceberg's keys where it has them.
func TestWhatAMergeDidIsInTheSummary(t *testing.T) {
	l := newLab(t)
	mergePipeline(l, `on: [id], when_matched: [{if: s.v == "gone", delete: true}, {update: "*"}], when_not_matched: [{insert: "*"}]`)
	l.write("in/1.csv", "id,v\n1,a\n2,b\n3,c\n")
	l.runPipeline("p")
	l.write("in/2.csv", "id,v\n1,x\n2,gone\n3,c\n4,new\n")
	r := l.runPipeline("p")["gold.a"]
	require.Equal(t, []int64{1, 2, 1, 0}, []int64{r.Inserted, r.Updated, r.Deleted, r.Unchanged})
	require.Positive(t, r.BytesWritten)
	require.Positive(t, r.TableBytesRead)
	table, err := l.a.lake.Table(t.Context(), "gold.a")
	require.NoError(t, err)
	head, _ := table.Head()
	for key, want := range map[string]string{
		"varve.inserted": "1", "varve.updated": "2", "varve.deleted": "1", "varve.merge.strategy": "copy-on-write",
		"added-data-files": "2", "deleted-data-files": "1", "total-records": "3", "varve.pipeline": "p",
	} {
		require.Equal(t, want, head.Summary[key], key)
	}
	for _, key := range []string{"varve.bytes-read", "varve.bytes-written", "added-files-size", "removed-files-size"} {
		require.NotEmpty(t, head.Summary[key], key)
		require.NotEqual(t, "0", head.Summary[key], key)
	}
	for _, stage := range []string{"load", "prune", "match", "write", "insert"} {
		require.NotEmpty(t, head.Summary["varve.merge.seconds."+stage], stage)
	}
}
