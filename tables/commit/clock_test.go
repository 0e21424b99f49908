package commit_test

import (
	"context"
	"testing"
	"time"

	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/commit"
)

// ahead has somebody with a clock that is ahead of this one's commit to the table.
func (w *world) ahead(by time.Duration) time.Time {
	w.t.Helper()
	w.interlope()
	tbl := w.load()
	next, parent := *tbl.CurrentSnapshot(), tbl.CurrentSnapshot().SnapshotID
	next.SnapshotID, next.ParentSnapshotID, next.SequenceNumber = commit.NewSnapshotID(), &parent, next.SequenceNumber+1
	at := time.Now().Add(by)
	next.TimestampMs = at.UnixMilli()
	_, _, err := w.cat.CommitTable(context.Background(), w.ident, nil, []table.Update{
		table.NewAddSnapshotUpdate(&next), table.NewSetSnapshotRefUpdate(table.MainBranch, next.SnapshotID, table.BranchRef, 0, 0, 0)})
	require.NoError(w.t, err)
	return at
}

// A clock that is behind is waited for if that is soon over; else the error names both clocks, and is one that another machine may not have.
func TestAClockThatIsBehind(t *testing.T) {
	w := newWorld(t, "2")
	w.ahead(time.Minute + 200*time.Millisecond)
	out, err := commit.Commit(t.Context(), w.cat, w.ident, commit.ID{Writer: "me", Token: "1"}, appending("a"), commit.Options{})
	require.NoError(t, err)
	require.True(t, out.Committed)

	at := w.ahead(time.Hour)
	planned := 0
	for _, plan := range []commit.Planner{
		appending("b"),
		func(context.Context, *table.Table, int) (*commit.Change, error) {
			return &commit.Change{Properties: map[string]string{"p": "v"}}, nil
		},
	} {
		_, err = w.commit(commit.ID{Writer: "me", Token: "2"}, func(ctx context.Context, head *table.Table, attempt int) (*commit.Change, error) {
			planned++
			return plan(ctx, head, attempt)
		}, commit.Options{})
		require.ErrorIs(t, err, commit.ErrPassing)
		require.True(t, commit.Safe(err))
		require.ErrorContains(t, err, "the clocks differ")
		require.ErrorContains(t, err, at.UTC().Format("2006-01-02T15:04:05"))
		require.Regexp(t, `it is \d{4}-\d\d-\d\dT\S+Z on this machine`, err.Error())
		require.Empty(t, w.slept, "another machine may do it now")
	}
	require.Zero(t, planned)
}
