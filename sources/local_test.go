package sources_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/sources"
)

// tree makes files, each holding its own name, in a temporary folder.
func tree(t testing.TB, names ...string) string {
	root, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	for _, name := range names {
		write(t, filepath.Join(root, name), []byte(name))
	}
	return root
}

func write(t testing.TB, name string, data []byte) {
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.WriteFile(name, data, 0o644))
}

func list(t testing.TB, store sources.Store, pattern string) []sources.File {
	var files []sources.File
	for f, err := range store.List(context.Background(), pattern) {
		require.NoError(t, err)
		files = append(files, f)
	}
	return files
}

func names(root string, files []sources.File) (names []string) {
	for _, f := range files {
		names = append(names, strings.TrimPrefix(f.URI, "file://"+root+"/"))
	}
	return names
}

func TestLocalList(t *testing.T) {
	root := tree(t, "a.csv", "a/1.csv", "a/b/2.csv", "a-b/3.csv", "b/4.csv.gz", "b/.5.csv", "b/_SUCCESS", "b/date=2024-01-01/6.csv", "sp ace%/7#.csv")
	require.NoError(t, os.Symlink(filepath.Join(root, "a"), filepath.Join(root, "linked")))
	require.NoError(t, os.Symlink(filepath.Join(root, "nowhere"), filepath.Join(root, "dangling.csv")))
	store := sources.Local{Root: root}
	tests := []struct {
		pattern string
		want    []string
	}{
		{"*.csv", []string{"a.csv"}},
		{"**/*.csv", []string{"a-b/3.csv", "a.csv", "a/1.csv", "a/b/2.csv", "b/date=2024-01-01/6.csv", "sp%20ace%25/7%23.csv"}},
		{"{b/*.gz,a/*.csv,a/1*}", []string{"a/1.csv", "b/4.csv.gz"}},
		{"linked/*.csv", []string{"linked/1.csv"}},
		{"b", []string{"b/4.csv.gz", "b/date=2024-01-01/6.csv"}},
		{"b/", []string{"b/4.csv.gz", "b/date=2024-01-01/6.csv"}},
		{"./b/../a.csv", []string{"a.csv"}},
		{"a.csv/*", nil},
		{"missing/*.csv", nil},
		{"missing.csv", nil},
		{"file://" + root + "/sp%20ace%25/*", []string{"sp%20ace%25/7%23.csv"}},
		{root + "/b/_SUCCESS", []string{"b/_SUCCESS"}},
	}
	for _, tt := range tests {
		files := list(t, store, tt.pattern)
		require.Equal(t, tt.want, names(root, files), tt.pattern)
		require.True(t, sort.SliceIsSorted(files, func(i, j int) bool { return path(t, files[i]) < path(t, files[j]) }))
		for _, f := range files {
			now, err := store.Stat(context.Background(), f.URI)
			require.NoError(t, err)
			require.Equal(t, f, now)
			require.Zero(t, f.ModTime.Nanosecond()%1000)
			c, err := store.Open(context.Background(), f.URI)
			require.NoError(t, err)
			data, err := io.ReadAll(c)
			require.NoError(t, err)
			require.NoError(t, c.Close())
			require.EqualValues(t, f.Size, len(data))
		}
	}
}

func path(t *testing.T, f sources.File) string {
	p, err := sources.Local{}.URI(f.URI)
	require.NoError(t, err)
	require.Equal(t, f.URI, p, "a URI is its own identity")
	return strings.NewReplacer("%20", " ", "%25", "%", "%23", "#").Replace(p)
}

func TestLocalErrors(t *testing.T) {
	root := tree(t, "a/1.csv")
	store := sources.Local{Root: root}
	for pattern, want := range map[string]string{
		"{a":          "a { is not closed",
		"s3://b/*":    "no store is configured for s3://",
		"file:x":      "a file URI has an absolute path",
		"file://host": "a file URI has an absolute path",
	} {
		for _, err := range store.List(context.Background(), pattern) {
			require.ErrorContains(t, err, want)
		}
	}
	_, err := store.Open(context.Background(), root+"/a")
	require.ErrorContains(t, err, "not a regular file")
	_, err = store.Open(context.Background(), root+"/b")
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A walk ends where its consumer ends it, and when it is cancelled.
func TestLocalListStops(t *testing.T) {
	root := tree(t, "a", "b", "c/d", "e")
	store := sources.Local{Root: root}
	n := 0
	for range store.List(context.Background(), "**") {
		if n++; n == 3 {
			break
		}
	}
	require.Equal(t, 3, n)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var last error
	for _, err := range store.List(ctx, "**") {
		last = err
		cancel()
	}
	require.ErrorIs(t, last, context.Canceled)
}

func BenchmarkLocalList(b *testing.B) {
	root := b.TempDir()
	for i := range 20_000 {
		write(b, filepath.Join(root, "day="+strconv.Itoa(i%100), strconv.Itoa(i)+".csv"), nil)
	}
	store := sources.Local{Root: root}
	for b.Loop() {
		require.Len(b, list(b, store, "**/*.{csv,csv.gz}"), 20_000)
	}
}
