package peers

import (
	"context"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/internal/random"
)

// ParquetRows are the rows of Parquet files as text, sorted, with the columns' own types.
func ParquetRows(t *testing.T, columns []random.Column, paths ...string) []string {
	t.Helper()
	var out []string
	for _, path := range paths {
		f, err := file.OpenParquetFile(path, false)
		require.NoError(t, err)
		r, err := pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
		require.NoError(t, err)
		tbl, err := r.ReadTable(context.Background())
		require.NoError(t, err)
		rows := make([]random.List, tbl.NumRows())
		for _, c := range columns {
			at := tbl.Schema().FieldIndices(c.Name)
			require.Len(t, at, 1, c.Name)
			row := 0
			for _, chunk := range tbl.Column(at[0]).Data().Chunks() {
				for i := range chunk.Len() {
					rows[row] = append(rows[row], random.Normal(random.ValueAt(chunk, i), c.Kind))
					row++
				}
			}
		}
		for _, row := range rows {
			out = append(out, random.Text(row))
		}
		tbl.Release()
		require.NoError(t, f.Close())
	}
	slices.Sort(out)
	return out
}
