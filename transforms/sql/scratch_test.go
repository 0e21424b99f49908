package sql

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestFoldersOfTheDeadAreRemoved: an engine that is opened removes what processes that were killed have spilled, and nothing of
// those that live or are beginning.
func TestFoldersOfTheDeadAreRemoved(t *testing.T) {
	dir := t.TempDir()
	folder := func(name string, locked bool) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Join(path, "spill"), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(path, "spill", "duckdb_temp_storage-0.tmp"), []byte("spilled"), 0o600))
		if locked { // by who is dead: nobody has it
			require.NoError(t, os.WriteFile(filepath.Join(path, lockName), nil, 0o600))
		}
		return path
	}
	dead, beginning, old, other := folder("varve-sql-1", true), folder("varve-sql-2", false), folder("varve-sql-3", false), folder("varve-other", true)
	long := time.Now().Add(-2 * unlockedFor)
	require.NoError(t, os.Chtimes(old, long, long))

	first, err := Open(Options{TempDir: dir, MemoryLimit: 64 << 20, Threads: 1})
	require.NoError(t, err)
	require.NoDirExists(t, dead)
	require.NoDirExists(t, old)
	require.DirExists(t, beginning)
	require.DirExists(t, other)
	second, err := Open(Options{TempDir: dir, MemoryLimit: 64 << 20, Threads: 1})
	require.NoError(t, err)
	require.DirExists(t, first.temp.path)
	require.NoError(t, first.Close())
	require.NoDirExists(t, first.temp.path)
	require.DirExists(t, second.temp.path)
	require.NoError(t, second.Close())
	left, err := filepath.Glob(filepath.Join(dir, "varve-sql-*"))
	require.NoError(t, err)
	require.Equal(t, []string{beginning}, left)
}
