package commit_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/commit"
)

// What a writer's last commit rests on, of two snapshots that came together, is the second one: the head that they left. So the commit is
// not taken back as long as that is in the head's history; and it is when another engine moves the head to the first one, which has the
// deletes and not yet what replaces the rows.
func TestACommitOfTwoSnapshotsRestsOnTheSecond(t *testing.T) {
	for _, format := range []string{"2", "3"} {
		t.Run("v"+format, func(t *testing.T) {
			w := newWorld(t, format)
			for _, name := range []string{"a", "b"} {
				_, err := w.commit(commit.ID{Writer: "me", Token: name}, appending(name), commit.Options{})
				require.NoError(t, err)
			}
			out, err := w.commit(commit.ID{Writer: "me", Token: "both"}, func(_ context.Context, head *table.Table, _ int) (*commit.Change, error) {
				return &commit.Change{
					Operation: commit.RowDelta, RemoveData: []iceberg.DataFile{file(head, "a")}, AddData: []iceberg.DataFile{file(head, "c")},
					AddDeletes: []iceberg.DataFile{deletes(head, "d", "b")},
				}, nil
			}, commit.Options{})
			require.NoError(t, err)
			require.Equal(t, []string{"b", "c", "d:b"}, w.live())
			meta := w.load().Metadata()
			head := meta.CurrentSnapshot()
			require.Equal(t, out.SnapshotID, head.SnapshotID)
			first := meta.SnapshotByID(*head.ParentSnapshotID)
			require.Equal(t, "1 of 2", first.Summary.Properties[commit.PartKey])
			require.Equal(t, strconv.FormatInt(head.SequenceNumber, 10), meta.Properties()[commit.SequencePrefix+"me"])
			require.False(t, commit.Rewound(meta, "me"))

			w.interlope()
			require.False(t, commit.Rewound(w.load().Metadata(), "me"), "another commit on top takes nothing away")
			_, _, err = w.cat.CommitTable(t.Context(), w.ident, nil, []table.Update{
				table.NewSetSnapshotRefUpdate(table.MainBranch, first.SnapshotID, table.BranchRef, 0, 0, 0)})
			require.NoError(t, err)
			require.True(t, commit.Rewound(w.load().Metadata(), "me"), "half of it is not the commit")
			require.Contains(t, commit.LastToken(w.load().Metadata(), "me"), "rewound")
		})
	}
}
