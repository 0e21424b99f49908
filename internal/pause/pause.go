// Package pause waits between two tries of something.
package pause

import (
	"context"
	"time"
)

// For waits for d, or until ctx is done: then the error is ctx's.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
