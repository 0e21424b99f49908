package commit_test

import (
	"context"
	"testing"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/commit"
)

// What a planner throws away while the change that named it may still land stays until that change is disproved, and then goes.
func TestWhatIsThrownAwayGoesWhenItIsDisproved(t *testing.T) {
	w := newWorld(t, "2")
	w.interlope()
	w.script = []string{"lost-before"}
	there := func(fs iceio.IO, path string) bool {
		f, err := fs.Open(path)
		if err != nil {
			return false
		}
		return f.Close() == nil
	}
	var first string
	out, err := w.commit(commit.ID{Writer: "me", Token: "1"}, func(ctx context.Context, head *table.Table, attempt int) (*commit.Change, error) {
		fs, err := head.FS(ctx)
		require.NoError(t, err)
		f := file(head, []string{"first", "second"}[attempt-1])
		require.NoError(t, fs.(iceio.WriteFileIO).WriteFile(f.FilePath(), []byte("rows")))
		if attempt == 1 {
			first = f.FilePath()
		} else {
			require.NoError(t, fs.Remove(first))
			require.True(t, there(fs, first), "the first attempt may still land")
		}
		return appending([]string{"first", "second"}[attempt-1])(ctx, head, attempt)
	}, commit.Options{})
	require.NoError(t, err)
	require.Equal(t, []int{2, 1}, []int{out.Attempts, out.UnknownOutcomes})
	require.Equal(t, []string{"other1", "second"}, w.live())
	fs, err := w.load().FS(context.Background())
	require.NoError(t, err)
	require.False(t, there(fs, first), "by now another snapshot has its number")
	require.True(t, there(fs, w.load().Location()+"/data/second"))
}
