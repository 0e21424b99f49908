package environment_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/durable"
	"github.com/varve-lake/varve/internal/environment"
	"github.com/varve-lake/varve/tables/catalog"
)

// TestTheLakesFoldersAreThereAfterAPowerCut: a lake that is new, with all that is committed to it, is lost with the entry of its folder.
func TestTheLakesFoldersAreThereAfterAPowerCut(t *testing.T) {
	root := t.TempDir()
	made := map[string]bool{}
	before := durable.Sync
	t.Cleanup(func() { durable.Sync = before })
	durable.Sync = func(f *os.File) error {
		rel, err := filepath.Rel(root, f.Name())
		require.NoError(t, err)
		entries, err := os.ReadDir(f.Name())
		for _, e := range entries {
			made[filepath.Join(rel, e.Name())] = true // what is there by now is on disk
		}
		require.NoError(t, err)
		return before(f)
	}
	env, err := environment.Load(environment.Options{Root: filepath.Join(root, "new")})
	require.NoError(t, err)
	lake, err := env.OpenLake(t.Context())
	require.NoError(t, err)
	require.NoError(t, lake.Close())
	other, err := catalog.Open(t.Context(), catalog.Config{URI: filepath.Join(root, "elsewhere", "catalog.db"), Warehouse: root})
	require.NoError(t, err)
	require.NoError(t, other.Close())
	require.True(t, made["elsewhere"], "a catalog's own folder")
	require.FileExists(t, filepath.Join(root, "new", ".varve", "catalog.db"))
	for _, folder := range []string{"new", "new/.varve"} {
		require.True(t, made[folder], "the entry of %s is not synced", folder)
	}
}
