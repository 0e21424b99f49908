package activities

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
)

// The rows that a condition names are replaced; a run again does the same; rows outside of it are refused.
func TestReplaceWhere(t *testing.T) {
	l := newLab(t)
	l.write("pipelines/p.yaml", `
pipeline: p
tables:
  bronze.a:
    source: {files: "in/*.csv"}
    write: {replace_where: 'day >= date("2013-01-02")'}
    partition_by: [day]
`)
	l.write("in/1.csv", "day,n\n2013-01-02,1\n2013-01-03,2\n")
	l.runPipeline("p")
	l.write("in/2.csv", "day,n\n2013-01-03,20\n2013-01-04,30\n")
	r := l.runPipeline("p")["bronze.a"]
	require.Equal(t, []int64{2, 2}, []int64{r.Inserted, r.Deleted})
	require.Equal(t, []int{2, 2}, []int{r.DataFilesAdded, r.DataFilesRemoved})
	require.Equal(t, []string{"2013-01-03 20", "2013-01-04 30"}, l.rows("bronze.a", "day", "n"))
	require.True(t, l.metered.shows(metricRedone, "bronze.a"))

	l.write("in/3.csv", "day,n\n2013-01-05,4\n2013-01-01,40\n")
	compiled, err := l.compile("p")
	require.NoError(t, err)
	_, err = l.begin(compiled, "bronze.a").run()
	requireClass(t, err, wire.ErrData)
	require.ErrorContains(t, err, "new rows are those that replace_where names")
	require.Equal(t, []string{"2013-01-03 20", "2013-01-04 30"}, l.rows("bronze.a", "day", "n"))
}

// Without new rows those of the condition are deleted.
func TestReplaceWhereWithNothing(t *testing.T) {
	l := newLab(t)
	l.write("pipelines/p.yaml", `
pipeline: p
tables:
  bronze.a:
    source: {files: "in/*.csv"}
  silver.a:
    from: bronze.a
    steps: [{filter: n > 1}]
    write: {replace_where: n > 1}
`)
	l.write("in/1.csv", "n\n1\n2\n3\n")
	l.runPipeline("p")
	require.Equal(t, []string{"2", "3"}, l.rows("silver.a", "n"))
	l.write("pipelines/p.yaml", `
pipeline: p
tables:
  silver.a:
    from: bronze.a
    steps: [{filter: n > 100}]
    write: {replace_where: n > 2}
`)
	r := l.runPipeline("p")["silver.a"]
	require.Equal(t, []int64{0, 1}, []int64{r.Inserted, r.Deleted})
	require.Equal(t, []string{"2"}, l.rows("silver.a", "n"))
}

// A MERGE that only deletes: the rows that the source names.
func TestDeleteByKey(t *testing.T) {
	l := newLab(t)
	l.write("pipelines/p.yaml", `
pipeline: p
tables:
  gold.users:
    source: {files: "in/*.csv"}
`)
	l.write("in/1.csv", "id,name\n1,ann\n2,bob\n3,cy\n")
	l.runPipeline("p")
	l.write("pipelines/erase.yaml", `
pipeline: erase
tables:
  gold.users:
    source: {files: "erase/*.csv"}
    steps: [{drop: [_source_file, _source_row, _loaded_at]}]
    write: {merge: {on: [id], new_columns: ignore, when_matched: [{delete: true}]}}
`)
	l.write("erase/1.csv", "id\n1\n3\n3\n9\n")
	r := l.runPipeline("erase")["gold.users"]
	require.Equal(t, []int64{0, 0, 2}, []int64{r.Inserted, r.Updated, r.Deleted})
	require.Equal(t, []string{"2 bob"}, l.rows("gold.users", "id", "name"))
}
