package tables_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
)

// A partition is the same before and after its column was widened: the delete file that another engine writes for it, with a value
// of the wider type, is of the files that have one of the narrower.
func TestDeletesOfAPartitionWhoseColumnWasWidened(t *testing.T) {
	lake := newLake(t)
	def := tables.Definition{Name: "ns.t", Schema: schemaOf(t, []string{"id string", "p float"}), PartitionBy: []string{"p"}, Evolve: true}
	tbl := ensure(t, lake, def)
	put(t, tbl, token("w", 1), "a 0.1", "b 0.1", "a 0.2")
	def.Schema = schemaOf(t, []string{"id string", "p double"})
	tbl = ensure(t, lake, def)
	equality(t, tbl, map[int]any{1000: float64(float32(0.1))}, 1, "a")
	rows, err := reload(t, tbl).Scan(ctx, tables.ScanOptions{Columns: []string{"id"}})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, rowTexts(t, batches(rows)))
}
