package commit_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/commit"
)

// A process is suspended for days when it has written its files, and the removal of orphans takes some of them, or none. The head has not
// moved, so that nothing else would keep what it commits from naming files that are gone.
func TestAProcessThatWasSuspendedLooksForItsFiles(t *testing.T) {
	for _, c := range []struct {
		name  string
		slept time.Duration
		since time.Duration // before the call
		swept string
		lands bool
	}{
		{"all is there", 72 * time.Hour, 0, "", true},
		{"a data file is gone", 72 * time.Hour, 0, "data/*", false},
		{"a manifest is gone", 72 * time.Hour, 0, "metadata/*-m?.avro", false},
		{"the manifest list is gone", 72 * time.Hour, 0, "metadata/snap-*.avro", false},
		{"a file of work that began long before", 0, 72 * time.Hour, "data/*", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, "2")
			folder := strings.TrimPrefix(w.load().Location(), "file://")
			planned, slept := false, false
			began := time.Unix(1e9, 0)
			opts := commit.Options{
				Since: began.Add(-c.since),
				Now: func() time.Time { // which is asked when all is staged
					lists, err := filepath.Glob(filepath.Join(folder, "metadata", "snap-*.avro"))
					require.NoError(t, err)
					if planned && len(lists) > 0 && !slept {
						slept = true
						removeOne(t, folder, c.swept)
					}
					if slept {
						return began.Add(c.slept)
					}
					return began
				},
			}
			_, err := commit.Commit(t.Context(), w.cat, w.ident, commit.ID{Writer: "me", Token: "1"}, func(ctx context.Context, head *table.Table, attempt int) (*commit.Change, error) {
				fs, err := head.FS(ctx)
				require.NoError(t, err)
				require.NoError(t, fs.(iceio.WriteFileIO).WriteFile(file(head, "rows").FilePath(), []byte("rows")))
				planned = true
				return appending("rows")(ctx, head, attempt)
			}, opts)
			require.True(t, slept)
			if c.lands {
				require.NoError(t, err)
				require.Equal(t, []string{"rows"}, w.live())
				return
			}
			require.ErrorIs(t, err, commit.ErrSwept)
			require.True(t, commit.Safe(err), "what is left of it is nobody's")
			require.Empty(t, w.live())
			require.Nil(t, w.load().CurrentSnapshot())
			require.Empty(t, w.orphans())
		})
	}
}

// removeOne removes the one file of a folder that a pattern matches; "" matches none.
func removeOne(t *testing.T, folder, pattern string) {
	t.Helper()
	if pattern == "" {
		return
	}
	found, err := filepath.Glob(filepath.Join(folder, pattern))
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.NoError(t, os.Remove(found[0]))
}
