package conformance

import (
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
)

// requireWhole looks at every snapshot that the table has: no commit is among them twice, every file that one names is
// there and as long as it says, and its rows can be read.
func requireWhole(t testing.TB, tbl *tables.Table) {
	t.Helper()
	fs, err := tbl.FS(ctx)
	require.NoError(t, err)
	seen := map[string]bool{}
	commits := map[string]bool{}
	for _, snapshot := range tbl.Iceberg().Metadata().Snapshots() {
		manifests, err := snapshot.Manifests(fs)
		require.NoError(t, err, "manifests of snapshot %d", snapshot.SequenceNumber)
		for _, m := range manifests {
			if seen[m.FilePath()] {
				continue
			}
			seen[m.FilePath()] = true
			for entry, err := range m.Entries(fs, true) {
				require.NoError(t, err, "manifest %s", m.FilePath())
				requireFile(t, fs.(files), entry.DataFile(), seen)
			}
		}
		if snapshot.Summary.Properties[commit.PartKey] != "" {
			continue // nobody's head; the next one bears the same commit
		}
		id := snapshot.Summary.Properties[commit.WriterKey] + " " + snapshot.Summary.Properties[commit.TokenKey]
		require.False(t, commits[id], "commit %s is in the table twice", id)
		commits[id] = true
		contents(t, tbl, tables.Version{SnapshotID: &snapshot.SnapshotID})
	}
}

func requireFile(t testing.TB, fs files, f iceberg.DataFile, seen map[string]bool) {
	t.Helper()
	if seen[f.FilePath()] {
		return
	}
	seen[f.FilePath()] = true
	info, err := fs.Stat(f.FilePath())
	require.NoError(t, err, "a file that a snapshot names")
	if f.ContentOffset() == nil { // not one of several deletion vectors
		require.Equal(t, f.FileSizeBytes(), info.Size(), f.FilePath())
	}
}
