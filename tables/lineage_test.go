package tables_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/internal/peers"
	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

var lineageColumns = []random.Column{
	{Name: "id", Kind: random.KindNamed("long")}, {Name: "v", Kind: random.KindNamed("long")},
	{Name: "row_id", Kind: random.KindNamed("long")}, {Name: "changed", Kind: random.KindNamed("long")},
}

// lineaged makes a table of format version 3 of which some files leave lineage to their manifest entries, some have it in
// columns, and some rows are deleted or were changed since.
func lineaged(t *testing.T, lake *tables.Lake, name string) *tables.Table {
	tbl := ensure(t, lake, tables.Definition{
		Name: name, Schema: schemaOf(t, []string{"id long", "text string", "v long"}), FormatVersion: 3,
		Properties: map[string]string{"write.parquet.row-group-limit": "100"},
	})
	for i := range 4 {
		part, err := (&numbered{schema: schemaOf(t, []string{"id long", "text string", "v long"}), rows: 250, first: i * 250}).Open(ctx, nil)
		require.NoError(t, err)
		staged, err := tbl.Stage(ctx, part, tables.StageOptions{})
		require.NoError(t, err)
		_, err = tbl.Append(ctx, token("w", i), staged)
		require.NoError(t, err)
	}
	for i, c := range []struct {
		strategy    merge.Strategy
		action      merge.Action
		first, rows int
	}{{merge.MergeOnRead, merge.Update, 200, 100}, {merge.CopyOnWrite, merge.Update, 600, 10}, {merge.MergeOnRead, merge.Delete, 800, 20}} {
		tbl = refreshed(t, tbl)
		clause := merge.Clause{Action: c.action, All: c.action == merge.Update}
		source := &numbered{schema: schemaOf(t, []string{"id long", "text string", "v long"}), rows: c.rows, first: c.first, version: i + 1}
		_, err := tbl.Merge(ctx, token("m", i), merge.Options{On: []string{"id"}, Strategy: c.strategy, Matched: []merge.Clause{clause}}, source)
		require.NoError(t, err)
	}
	return refreshed(t, tbl)
}

// lineageOf are the rows with their lineage, as a peer's are compared.
func lineageOf(t *testing.T, tbl *tables.Table) []string {
	r, err := tbl.Scan(ctx, tables.ScanOptions{Columns: []string{"id", "v", "_row_id", "_last_updated_sequence_number"}})
	require.NoError(t, err)
	defer r.Release()
	var out []string
	for r.Next() {
		for i := range int(r.RecordBatch().NumRows()) {
			var row random.List
			for at, c := range lineageColumns {
				row = append(row, random.Normal(random.ValueAt(r.RecordBatch().Column(at), i), c.Kind))
			}
			out = append(out, random.Text(row))
		}
	}
	require.NoError(t, r.Err())
	slices.Sort(out)
	return out
}

var lineageCompactions = []maintain.CompactOptions{
	{Strategy: maintain.BinPack},
	{Strategy: maintain.Sort, Columns: []string{"v desc", "id"}},
	{Strategy: maintain.Sort, Columns: []string{"text"}, MemoryLimit: 4 << 10},
	{Strategy: maintain.ZOrder, Columns: []string{"id", "text"}, MemoryLimit: 4 << 10},
}

// TestLineageOutlivesCompaction: rows keep their ids and the numbers of their last change, whether they are joined as bytes or
// sorted, in memory or not, and joined again.
func TestLineageOutlivesCompaction(t *testing.T) {
	for i, o := range lineageCompactions {
		t.Run(fmt.Sprint(i, o.Strategy), func(t *testing.T) {
			tbl := lineaged(t, newLake(t), "ns.t")
			before := lineageOf(t, tbl)
			require.Len(t, before, 980)
			require.NotContains(t, strings.Join(before, ""), "<nil>")
			o.RewriteAll = true
			for again := range 2 {
				r, err := tbl.Compact(ctx, token("c", again), o)
				require.NoError(t, err)
				require.NotZero(t, r.Rewritten)
				tbl = refreshed(t, tbl)
				require.Equal(t, before, lineageOf(t, tbl))
			}
		})
	}
}

// TestPeersReadLineage: Spark reads the ids of rows and the numbers of their last change as they were before a compaction.
func TestPeersReadLineage(t *testing.T) {
	p := peers.Install(t, filepath.Join(".."))
	lake := lakeIn(t, p.Dir)
	var statements []peers.Statement
	want := map[string][]string{}
	for i, o := range lineageCompactions {
		name := fmt.Sprintf("ns.t%d", i)
		tbl := lineaged(t, lake, name)
		want[name+"_read"] = lineageOf(t, tbl)
		o.RewriteAll = true
		_, err := tbl.Compact(ctx, token("c", 0), o)
		require.NoError(t, err)
		sql := fmt.Sprintf("CREATE TABLE varve.%s_read USING iceberg AS SELECT id, v, _row_id AS row_id, _last_updated_sequence_number AS changed FROM varve.%s", name, name)
		statements = append(statements, peers.Statement{SQL: sql, Read: name + "_read"})
	}
	out, errors := p.Spark(t, statements)
	for i, s := range statements {
		require.Empty(t, errors[i])
		require.Equal(t, want[s.Read], peers.SparkRows(t, out, peers.Table{Name: s.Read, Columns: lineageColumns}))
	}
}
