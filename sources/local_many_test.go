package sources

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func listed(t *testing.T, l Local, pattern string) (out []File) {
	t.Helper()
	for f, err := range l.List(t.Context(), pattern) {
		require.NoError(t, err)
		out = append(out, f)
	}
	return out
}

// However few names of a folder are held at a time, the same files are listed in the same order: folders among files whose names
// begin as theirs do, links, and names that are no text. Nothing is left on the disk.
func TestNamesOfAFolderArePutAsideOnTheDisk(t *testing.T) {
	root, aside := t.TempDir(), t.TempDir()
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var name []byte
		for range 1 + r.IntN(3) {
			name = append(name, []byte("ab-./\xff")[r.IntN(6)])
		}
		path := filepath.Join(root, strings.Trim(string(name), "./")+"x")
		if os.MkdirAll(filepath.Dir(path), 0o755) == nil {
			_ = os.WriteFile(path, nil, 0o644) // one that is a folder by now stays one
		}
	}
	_ = os.Symlink(filepath.Join(root, "a"), filepath.Join(root, "linked"))
	whole := listed(t, Local{}, root+"/**")
	require.Greater(t, len(whole), 50)
	for _, held := range []int{1, 7, 20} {
		require.Equal(t, whole, listed(t, Local{TempDir: aside, held: held}, root+"/**"), "%d names held", held)
	}
	left, err := os.ReadDir(aside)
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestNamesOfAFolderAreNotHeld lists one folder of many files: no more of their names are in memory than may be held.
func TestNamesOfAFolderAreNotHeld(t *testing.T) {
	const files, bound = 20_000, 2 << 20
	root := t.TempDir()
	for i := range files {
		f, err := os.Create(filepath.Join(root, fmt.Sprintf("delivery-%09d-%s.csv", i*7919%files, strings.Repeat("x", 200))))
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	most := func(l Local) (most int64) {
		n, began := 0, heap()
		for _, err := range l.List(t.Context(), root+"/*.csv") {
			require.NoError(t, err)
			if n++; n%(files/4) == 1 {
				most = max(most, heap()-began)
			}
		}
		require.Equal(t, files, n)
		return most
	}
	require.Greater(t, most(Local{}), int64(bound), "names that are held are seen")
	require.Less(t, most(Local{TempDir: t.TempDir(), held: 500}), int64(bound))
}
