package conformance

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
)

// checkOrphans looks for orphans where rows are committed, and two state files and something staged are not. On a store
// whose files cannot be made old all of them are too young; that they alone are not named is what is seen.
func checkOrphans(t *testing.T, lake *tables.Lake, tbl *tables.Table) {
	t.Helper()
	_, err := tbl.Append(ctx, by("orphans", 1), stage(t, tbl, row{"a", 1}))
	require.NoError(t, err)
	plan, err := tbl.PlanOrphans(ctx, maintain.OrphanOptions{})
	if lake.Catalog().HeadOnly() {
		require.ErrorIs(t, err, maintain.ErrShared)
		require.ErrorContains(t, err, "nessie-gc")
		return
	}
	require.NoError(t, err)
	require.Empty(t, plan.Files)
	require.EqualValues(t, 3, plan.Young)
	require.Greater(t, plan.Looked, plan.Young+2, "metadata, a list, a manifest and rows are named")
}
