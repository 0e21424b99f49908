package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/durable"
)

// TestAFileIsOnDiskBeforeItsWriterHasClosed listens to what is asked of the disk: a power cut loses what was not synced,
// and a catalog hears of a file only after Close. So by then new folders are in their parents, the content is synced
// before it has its name, and the name before Close returns.
func TestAFileIsOnDiskBeforeItsWriterHasClosed(t *testing.T) {
	dir := t.TempDir()
	var asked []string
	named := func(path string) string {
		rel, err := filepath.Rel(dir, path)
		require.NoError(t, err)
		if IsTemporary(rel) {
			rel = filepath.Join(filepath.Dir(rel), "temporary")
		}
		return rel
	}
	sync, renamed := durable.Sync, rename
	t.Cleanup(func() { durable.Sync, rename = sync, renamed })
	durable.Sync = func(f *os.File) error {
		asked = append(asked, "sync "+named(f.Name()))
		return sync(f)
	}
	rename = func(from, to string) error {
		asked = append(asked, "rename "+named(from)+" to "+named(to))
		return renamed(from, to)
	}
	uri := "file://" + dir + "/t/metadata/1.metadata.json"
	w, err := Local{}.Create(uri)
	require.NoError(t, err)
	require.Equal(t, []string{"sync .", "sync t"}, asked, "the new folders' entries")
	asked = nil
	_, err = w.ReadFrom(strings.NewReader("content"))
	require.NoError(t, err)
	require.Empty(t, asked)
	require.NoError(t, w.Close())
	require.Equal(t, []string{
		"sync t/metadata/temporary", "rename t/metadata/temporary to t/metadata/1.metadata.json", "sync t/metadata",
	}, asked)

	// A sync that fails is a write that failed: nothing is at the name.
	durable.Sync = func(f *os.File) error {
		if IsTemporary(f.Name()) {
			return os.ErrInvalid
		}
		return sync(f)
	}
	require.Error(t, Local{}.WriteFile(uri+"2", []byte("x")))
	require.NoFileExists(t, filepath.Join(dir, "t", "metadata", "1.metadata.json2"))
	durable.Sync = func(f *os.File) error {
		if filepath.Base(f.Name()) == "metadata" {
			return os.ErrInvalid
		}
		return sync(f)
	}
	require.Error(t, Local{}.WriteFile(uri+"3", []byte("x")), "a name that may be lost is not told as written")
}
