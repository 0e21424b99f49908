package catalog

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/fault"
)

// A transaction that database/sql has rolled back since the context ended was ended by it, whatever the library calls it.
func TestATransactionThatTheContextEnded(t *testing.T) {
	c := &Catalog{reads: 1, classify: classifySQLite}
	done := func() error { return sql.ErrTxDone }
	require.False(t, fault.Cancelled(c.read(t.Context(), "load a.t", done)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := c.read(ctx, "load a.t", done)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, sql.ErrTxDone)
}
