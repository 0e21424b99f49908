package commit_test

import (
	"context"
	"testing"
	"time"

	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/commit"
)

// A plan that took so long that the head is gone is not sent, and nothing is waited for: what came since is planned at once.
// That goes on only so often, since others may never rest.
func TestALatePlanIsMadeAnewAtOnce(t *testing.T) {
	for _, c := range []struct {
		name             string
		slow             int // plans that take a second, while another writer commits
		plans, conflicts int
		sent             int
	}{
		{"in time", 0, 1, 0, 1},
		{"twice late", 2, 3, 2, 1},
		{"always late", 11, 12, 11, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "2")
			now := time.Unix(0, 0)
			plans, waits := 0, 0
			out, err := commit.Commit(context.Background(), w, w.ident, commit.ID{Writer: "me", Token: "1"},
				func(ctx context.Context, head *table.Table, attempt int) (*commit.Change, error) {
					plans++
					require.Equal(t, plans, attempt)
					if plans <= c.slow {
						now = now.Add(time.Second)
						w.interlope()
					}
					return appending("mine")(ctx, head, attempt)
				}, commit.Options{
					MaxAttempts: 3, CatchUp: true, Now: func() time.Time { return now },
					Sleep: func(context.Context, time.Duration) error { waits++; return nil },
				})
			require.NoError(t, err)
			require.True(t, out.Committed)
			require.Equal(t, []int{c.plans, c.conflicts, c.sent}, []int{plans, out.Conflicts, out.Attempts})
			require.Zero(t, waits, "what came since is planned at once")
			require.Contains(t, w.live(), "mine")
			require.Empty(t, w.orphans())
		})
	}
}
