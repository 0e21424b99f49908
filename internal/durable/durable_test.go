package durable

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEachNewFolderIsSyncedInItsParent(t *testing.T) {
	dir := t.TempDir()
	var asked []string
	before := Sync
	t.Cleanup(func() { Sync = before })
	Sync = func(f *os.File) error {
		rel, err := filepath.Rel(dir, f.Name())
		require.NoError(t, err)
		asked = append(asked, rel)
		return before(f)
	}
	require.NoError(t, MkdirAll(filepath.Join(dir, "a", "b")))
	require.Equal(t, []string{".", "a"}, asked)
	require.NoError(t, MkdirAll(filepath.Join(dir, "a", "b")))
	require.Len(t, asked, 2, "they are there")

	Sync = func(*os.File) error { return os.ErrInvalid }
	require.ErrorIs(t, MkdirAll(filepath.Join(dir, "c")), os.ErrInvalid)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o644))
	require.Error(t, MkdirAll(filepath.Join(dir, "file")))
}
