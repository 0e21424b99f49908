package store_test

import (
	"os"
	"path/filepath"
	"testing"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/store"
)

func TestWhatIsKeptIsNotedAndThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, nil, 0o644))
	keeping, kept := store.Keep(t.Context())
	fs, err := iceio.LoadFS(keeping, nil, path)
	require.NoError(t, err)
	require.NoError(t, fs.Remove(path))
	require.FileExists(t, path)
	require.Equal(t, []string{path}, kept.Paths())

	fs, err = iceio.LoadFS(t.Context(), nil, path)
	require.NoError(t, err)
	require.NoError(t, fs.Remove(path))
	require.NoFileExists(t, path)
}
