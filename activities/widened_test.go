package activities

import (
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
)

// Files older than a column's promotion have bounds of the narrower type: merges, filters and deletes meet them.
func TestFilesOlderThanAPromotion(t *testing.T) {
	l := newLab(t)
	define := func(id string) {
		l.write("pipelines/p.yaml", `
pipeline: p
tables:
  gold.a:
    source: {files: "in/*.csv"}
    columns: {id: `+id+`}
    steps: [{drop: [_source_file, _source_row, _loaded_at]}]
    write: {merge: {on: [id], when_matched: [{update: "*"}], when_not_matched: [{insert: "*"}]}}
`)
	}
	define("int")
	l.write("in/1.csv", "id,v\n1,a\n2,b\n")
	l.runPipeline("p")
	define("long")
	l.write("in/2.csv", "id,v\n2,bb\n9000000000,c\n")
	l.runPipeline("p")
	require.Equal(t, []string{"1 a", "2 bb", "9000000000 c"}, l.rows("gold.a", "id", "v"))

	table, err := l.a.lake.Table(t.Context(), "gold.a")
	require.NoError(t, err)
	id := iceberg.Reference("id")
	for _, filter := range []iceberg.BooleanExpression{
		iceberg.GreaterThan(id, int64(1)),
		iceberg.NewNot(iceberg.NewOr(iceberg.LessThanEqual(id, int64(1)), iceberg.EqualTo(iceberg.Reference("v"), "none"))),
	} {
		rows, err := table.Scan(t.Context(), tables.ScanOptions{Filter: filter})
		require.NoError(t, err)
		n := int64(0)
		for rows.Next() {
			n += rows.RecordBatch().NumRows()
		}
		require.NoError(t, rows.Err())
		rows.Release()
		require.EqualValues(t, 2, n)
	}

	meant, err := rowsWhere("id <= 2", table)
	require.NoError(t, err)
	result, err := table.Delete(t.Context(), tables.CommitOptions{ID: commit.ID{Writer: "w", Token: "d"}}, meant)
	require.NoError(t, err)
	require.EqualValues(t, 2, result.Deleted)
	require.Equal(t, []string{"9000000000 c"}, l.rows("gold.a", "id", "v"))
}
