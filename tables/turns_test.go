package tables_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
)

// Many callers look up at once, and some give up while they wait; each gets its rows. A reader that nobody reads keeps no one waiting.
func TestLookupsWaitForTheirTurn(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	const rows = 50
	var all []string
	for i := range rows {
		all = append(all, fmt.Sprintf("k%d %d", i, i))
	}
	put(t, tbl, token("w", 1), all...)
	tbl = reload(t, tbl)
	find := func(ctx context.Context, i int) (int64, error) {
		r, err := tbl.Lookup(ctx, map[string]any{"id": fmt.Sprintf("k%d", i%rows)}, tables.LookupOptions{})
		if err != nil {
			return 0, err
		}
		defer r.Release()
		n := int64(0)
		for r.Next() {
			n += r.RecordBatch().NumRows()
		}
		return n, r.Err()
	}
	for range 4*runtime.GOMAXPROCS(0) + 1 { // more than may work at once
		r, err := tbl.Lookup(ctx, map[string]any{"id": "k1"}, tables.LookupOptions{})
		require.NoError(t, err)
		defer r.Release()
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	var wg sync.WaitGroup
	found, gaveUp := make(chan int64, 200), make(chan error, 200)
	for i := range 200 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if i%5 == 0 {
				_, err := find(gone, i)
				gaveUp <- err
				return
			}
			n, err := find(ctx, i)
			if err != nil {
				n = -1
			}
			found <- n
		}()
	}
	wg.Wait()
	close(found)
	close(gaveUp)
	for n := range found {
		require.EqualValues(t, 1, n)
	}
	for err := range gaveUp {
		require.True(t, errors.Is(err, context.Canceled), err)
	}
}
