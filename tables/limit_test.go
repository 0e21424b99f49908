package tables_test

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/merge"
)

func scanned(t *testing.T, tbl *tables.Table, opts tables.ScanOptions) ([]int64, tables.ReadStats) {
	t.Helper()
	opts.Columns = []string{"id"}
	rows, err := tbl.Scan(t.Context(), opts)
	require.NoError(t, err)
	defer rows.Release()
	var ids []int64
	for rows.Next() {
		ids = append(ids, rows.RecordBatch().Column(0).(*array.Int64).Int64Values()...)
	}
	require.NoError(t, rows.Err())
	return ids, rows.Stats()
}

// A limit leaves out the files, and the manifests, that come after those that have enough rows; where rows may be deleted or
// filtered, nobody knows which these are.
func TestLimitLeavesOutFiles(t *testing.T) {
	_, tbl := lookupTable(t)
	all, s := scanned(t, tbl, tables.ScanOptions{})
	require.Len(t, all, 1200)
	require.EqualValues(t, 12, s.FilesRead)
	for _, limit := range []int64{1, 3, 100, 101, 250, 1200, 5000} {
		got, s := scanned(t, tbl, tables.ScanOptions{Limit: limit})
		require.Equal(t, all[:min(limit, 1200)], got)
		require.EqualValues(t, min((limit+99)/100, 12), s.FilesRead, "%d", limit)
	}
	_, cold := lookupTable(t)
	_, s = scanned(t, cold, tables.ScanOptions{Limit: 100})
	require.EqualValues(t, 2, s.MetadataReads, "the list and one manifest")

	at300 := iceberg.GreaterThanEqual(iceberg.Reference("id"), int64(300))
	got, _ := scanned(t, tbl, tables.ScanOptions{Limit: 5, Filter: at300})
	require.Equal(t, filtered(all, func(id int64) bool { return id >= 300 })[:5], got)

	// The first file of the order loses nearly all its rows.
	first := all[0] / 100 * 100
	rows, err := rowsWhere(tbl, fmt.Sprintf("id >= %d and id < %d", first+2, first+100), string(merge.MergeOnRead))
	require.NoError(t, err)
	_, err = tbl.Delete(t.Context(), tables.CommitOptions{ID: commit.ID{Writer: "test", Token: "delete"}}, rows)
	require.NoError(t, err)
	tbl, err = tbl.Refresh(t.Context())
	require.NoError(t, err)
	left := filtered(all, func(id int64) bool { return id < first+2 || id >= first+100 })
	for _, limit := range []int64{1, 2, 3, 50, 2000} {
		got, _ := scanned(t, tbl, tables.ScanOptions{Limit: limit})
		require.Equal(t, left[:min(limit, 1102)], got)
	}
}

func filtered(ids []int64, keep func(int64) bool) (out []int64) {
	for _, id := range ids {
		if keep(id) {
			out = append(out, id)
		}
	}
	return out
}
