package catalog

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"iter"
	"testing"

	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
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

// breaking lists tables, and breaks off behind the first one so many times.
type breaking struct {
	icebergcatalog.Catalog
	left int
}

func (b *breaking) ListTables(context.Context, table.Identifier) iter.Seq2[table.Identifier, error] {
	return func(yield func(table.Identifier, error) bool) {
		if !yield(table.Identifier{"a", "t"}, nil) {
			return
		}
		if b.left--; b.left >= 0 {
			yield(nil, io.ErrUnexpectedEOF)
			return
		}
		yield(table.Identifier{"a", "u"}, nil)
	}
}

// A listing that breaks off in its midst begins anew: each table is given once.
func TestAListingOfTablesIsReadAgain(t *testing.T) {
	passing := func(op string, err error, _ bool) error { return fault.New(fault.ErrPassing, op, err) }
	for left, want := range map[int]int{0: 2, reads - 1: 2, reads: 0} {
		c := &Catalog{reads: reads, classify: passing, inner: &breaking{left: left}}
		n := 0
		var failed error
		for _, err := range c.ListTables(t.Context(), table.Identifier{"a"}) {
			if failed = err; err == nil {
				n++
			}
		}
		require.Equal(t, want, n, "%d breaks", left)
		require.Equal(t, want == 0, errors.Is(failed, fault.ErrPassing))
	}
}
