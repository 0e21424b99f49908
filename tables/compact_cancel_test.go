package tables_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/maintain"
)

// countedContext ends when it has been asked for something so many times: while files are planned, sampled, read, sorted,
// merged, written or committed, however fast the machine is.
type countedContext struct {
	context.Context
	left atomic.Int64
	end  context.CancelFunc
}

func endingAfter(n int64) *countedContext {
	c := &countedContext{}
	c.Context, c.end = context.WithCancel(context.Background())
	c.left.Store(n)
	return c
}

func (c *countedContext) tick() {
	if c.left.Add(-1) == 0 {
		c.end()
	}
}

func (c *countedContext) Done() <-chan struct{} { c.tick(); return c.Context.Done() }
func (c *countedContext) Err() error            { c.tick(); return c.Context.Err() }
func (c *countedContext) Value(key any) any     { c.tick(); return c.Context.Value(key) }

// TestACancelledCompactionLeavesNoFile: wherever it is, and whatever it has on disk. That it then goes through shows that nothing
// else was left either.
func TestACancelledCompactionLeavesNoFile(t *testing.T) {
	for _, strategy := range []maintain.Strategy{maintain.BinPack, maintain.Sort, maintain.ZOrder} {
		t.Run(string(strategy), func(t *testing.T) {
			tbl := cube(t, 2, 4, 2000, map[string]string{"write.parquet.row-group-limit": "500"})
			before, rows, temp := filesOf(t, tbl), points(t, tbl), t.TempDir()
			o := maintain.CompactOptions{Strategy: strategy, RewriteAll: true, MemoryLimit: 20 << 10, TempDir: temp, TargetFileBytes: 16 << 10}
			if strategy != maintain.BinPack {
				o.Columns = []string{"b", "c"}
			}
			cancelled := 0
			for n := int64(1); ; n += 1 + n/8 {
				c := endingAfter(n)
				_, err := tbl.Compact(c, token("m", n), o)
				c.end()
				if err == nil {
					break
				}
				if !errors.Is(err, context.Canceled) {
					require.ErrorIs(t, err, sql.ErrTxDone) // database/sql's word for a transaction whose context has ended
				}
				cancelled++
				require.Empty(t, temporary(t, temp))
				if commit.Safe(err) {
					require.Equal(t, before, filesOf(t, tbl), "ended after %d questions", n)
				}
				tbl = refreshed(t, tbl)
				require.Equal(t, rows, points(t, tbl))
			}
			require.Greater(t, cancelled, 10)
			tbl = refreshed(t, tbl)
			require.Equal(t, rows, points(t, tbl))
			require.True(t, strings.HasPrefix(tbl.Snapshots()[len(tbl.Snapshots())-1].Operation, "replace"))
			require.Empty(t, temporary(t, temp))
		})
	}
}

func refreshed(t *testing.T, tbl *tables.Table) *tables.Table {
	t.Helper()
	out, err := tbl.Refresh(ctx)
	require.NoError(t, err)
	return out
}
