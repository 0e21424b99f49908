package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/varve-lake/varve/internal/pause"
	"github.com/varve-lake/varve/tables/fault"
)

// A request that only reads is sent again after a passing fault, as the stores' clients do theirs. One that changes
// something is its sender's to decide about.
const reads = 4

var firstPause = 100 * time.Millisecond // four times as long after each failure; tests shorten it

// again tries to read until it succeeds, fails in a way that does not pass, or has failed so many times.
func again(ctx context.Context, tries int, read func() error) error {
	wait := firstPause
	for failed := 1; ; failed++ {
		err := read()
		if !errors.Is(err, fault.ErrPassing) || failed >= tries {
			return err
		}
		if pause.For(ctx, wait) != nil {
			return err
		}
		wait *= 4
	}
}

// read carries out a reading request of the catalog's, and classes its error.
func (c *Catalog) read(ctx context.Context, op string, request func() error) error {
	return again(ctx, c.reads, func() error { return c.classify(op, ended(ctx, request()), false) })
}

// ended adds the end of the context to an error that comes of it: database/sql rolls a transaction back when its context ends, and may
// say no more than that the transaction is done.
func ended(ctx context.Context, err error) error {
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}
