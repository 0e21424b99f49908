package commit_test

import (
	"context"
	"testing"

	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/commit"
)

// sleeper is a catalog whose first commit lands and whose answer is lost. Before the writer looks again, another process of
// the same writer has committed the next work, and the first snapshot has expired, as where a catalog shows the current one alone.
type sleeper struct {
	*world
	done bool
}

func (s *sleeper) CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error) {
	if s.done {
		return s.world.CommitTable(ctx, ident, reqs, updates)
	}
	s.done = true
	if _, _, err := s.cat.CommitTable(ctx, ident, reqs, updates); err != nil {
		return nil, "", err
	}
	mine := s.load().CurrentSnapshot().SnapshotID
	_, err := commit.Commit(ctx, s.cat, s.ident, commit.ID{Writer: "me", Token: "2"}, appending("second"), commit.Options{})
	require.NoError(s.t, err)
	_, _, err = s.cat.CommitTable(ctx, ident, nil, []table.Update{table.NewRemoveSnapshotsUpdate([]int64{mine}, false)})
	require.NoError(s.t, err)
	s.script = []string{"lost-before"}
	return s.world.CommitTable(ctx, ident, reqs, updates)
}

// A writer that is given up goes on: what its own next commit has built on is not taken for an attempt that failed.
func TestASleeperRemovesNothingThatItsSuccessorHasBuiltOn(t *testing.T) {
	for _, after := range []*string{nil, new(string)} {
		w := newWorld(t, "2")
		w.interlope()
		s := &sleeper{world: w}
		_, err := commit.Commit(context.Background(), s, w.ident, commit.ID{Writer: "me", Token: "1", After: after}, appending("first"), commit.Options{})
		if after != nil {
			require.ErrorIs(t, err, commit.ErrUnknownOutcome)
		}
		require.False(t, err != nil && commit.Safe(err), "its files may not be removed: %v", err)
		tbl := w.load()
		fs, err := tbl.FS(context.Background())
		require.NoError(t, err)
		manifests, err := tbl.CurrentSnapshot().Manifests(fs)
		require.NoError(t, err)
		for _, m := range manifests {
			for _, err := range m.Entries(fs, true) {
				require.NoError(t, err, "a manifest of the head is gone")
			}
		}
	}
}
