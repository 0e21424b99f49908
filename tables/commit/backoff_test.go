package commit_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/fault"
)

// refusing is a catalog that refuses the first commits sent to it, each with an error of one class.
type refusing struct {
	*world
	class error
	left  int
}

// CommitTable implements commit.Catalog.
func (r *refusing) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	if r.left--; r.left >= 0 {
		return nil, "", &fault.Error{Class: r.class, Op: "commit", Err: fmt.Errorf("%d more", r.left)}
	}
	return r.world.CommitTable(ctx, ident, reqs, updates)
}

// A conflict is another writer's success: it neither uses up what is allowed for faults, nor does a writer who
// claims no turn wait for it longer than a crowd of writers takes.
func TestConflictsAreNotFaults(t *testing.T) {
	for _, c := range []struct {
		class   error
		refused int
		gotIn   bool
		longest time.Duration
	}{
		{fault.ErrConflict, 120, true, 16 * 30 * time.Millisecond},
		{fault.ErrPassing, 49, true, 5 * time.Second},
		{fault.ErrPassing, 50, false, 5 * time.Second},
	} {
		t.Run(fmt.Sprint(c.refused, " of ", c.class), func(t *testing.T) {
			w := &refusing{world: newWorld(t, "2"), class: c.class, left: c.refused}
			now, longest := time.Unix(0, 0), time.Duration(0)
			out, err := commit.Commit(context.Background(), w, w.ident, commit.ID{Writer: "me", Token: "1"},
				func(ctx context.Context, head *table.Table, attempt int) (*commit.Change, error) {
					now = now.Add(30 * time.Millisecond)
					return appending("mine")(ctx, head, attempt)
				}, commit.Options{
					Yields: true, Now: func() time.Time { return now }, Random: func() float64 { return 1 },
					Sleep: func(_ context.Context, d time.Duration) error { longest = max(longest, d); return nil },
				})
			require.Equal(t, c.longest, longest)
			require.Equal(t, c.gotIn, out.Committed)
			if !c.gotIn {
				require.ErrorIs(t, err, c.class)
				require.ErrorContains(t, err, "given up after 50 attempts")
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.refused+1, out.Attempts)
			require.Equal(t, []string{"mine"}, w.live())
		})
	}
}
