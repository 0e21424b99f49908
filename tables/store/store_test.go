package store

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/fault"
)

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestFileURIs(t *testing.T) {
	for _, c := range []struct{ uri, path, err string }{
		{"file:///a/b.parquet", "/a/b.parquet", ""},
		{"file:/a/b", "/a/b", ""},
		{"FILE://localhost/a", "/a", ""},
		{"file:///a/with%20space/x%2By", "/a/with space/x+y", ""},
		{"/plain/part=2026:01/x", "/plain/part=2026:01/x", ""},
		{"relative/x", "relative/x", ""},
		{"s3://bucket/x", "", `scheme "s3"`},
		{"file://elsewhere/x", "", "another host"},
		{"file:///a%zz", "", "invalid URL escape"},
	} {
		got, err := Path(c.uri)
		if c.err != "" {
			require.ErrorContains(t, err, c.err, c.uri)
			continue
		}
		require.NoError(t, err, c.uri)
		require.Equal(t, c.path, got, c.uri)
	}
	uri, err := URI("/a/with space/x")
	require.NoError(t, err)
	require.Equal(t, "file:///a/with%20space/x", uri)
}

func TestNothingIsAtTheNameBeforeClose(t *testing.T) {
	dir := t.TempDir()
	uri, err := URI(filepath.Join(dir, "deep", "er", "f.bin"))
	require.NoError(t, err)
	w, err := Local{}.Create(uri)
	require.NoError(t, err)
	_, err = w.Write([]byte("one "))
	require.NoError(t, err)
	_, err = w.ReadFrom(strings.NewReader("two"))
	require.NoError(t, err)

	_, err = Local{}.Stat(uri)
	require.ErrorIs(t, err, fault.ErrAbsent)
	left := names(t, filepath.Join(dir, "deep", "er"))
	require.Len(t, left, 1)
	require.True(t, IsTemporary(left[0]), left[0])

	require.NoError(t, w.Close())
	require.NoError(t, w.Close(), "a second Close repeats the first")
	got, err := Local{}.ReadFile(uri)
	require.NoError(t, err)
	require.Equal(t, "one two", string(got))
	require.Equal(t, []string{"f.bin"}, names(t, filepath.Join(dir, "deep", "er")))
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("source broke") }

func TestAFailedOrAbortedWritePublishesNothing(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "f")
	require.NoError(t, os.WriteFile(target, []byte("old"), 0o644))

	w, err := Local{}.Create(target)
	require.NoError(t, err)
	_, err = w.ReadFrom(brokenReader{})
	require.ErrorContains(t, err, "source broke")
	require.ErrorContains(t, w.Close(), "source broke")

	w, err = Local{}.Create(target)
	require.NoError(t, err)
	_, err = io.WriteString(w, "new")
	require.NoError(t, err)
	require.NoError(t, w.(*Writer).Abort())
	require.Error(t, w.Close())

	got, err := os.ReadFile(target)
	require.NoError(t, err)
	require.Equal(t, "old", string(got))
	require.Equal(t, []string{"f"}, names(t, dir))
}

func TestErrorsHaveTheirClass(t *testing.T) {
	dir := t.TempDir()
	_, err := Local{}.Open(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, fault.ErrAbsent)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorIs(t, Local{}.Remove(filepath.Join(dir, "none")), fs.ErrNotExist)
	for err, class := range map[error]error{
		&fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}: fault.ErrDenied,
		os.NewSyscallError("write", io.ErrUnexpectedEOF):            nil,
	} {
		require.Equal(t, class, fault.Class(classify("open", "x", err)))
	}
	// A file where a folder should be.
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o644))
	_, err = Local{}.Create(filepath.Join(dir, "file", "x"))
	require.ErrorContains(t, err, "not a directory")
}

func TestListingRemovingAndRegistry(t *testing.T) {
	dir := t.TempDir()
	root, err := URI(dir)
	require.NoError(t, err)
	io, err := iceio.LoadFS(context.Background(), nil, root+"/x")
	require.NoError(t, err)
	require.IsType(t, Local{}, io)

	l := Local{}
	for _, n := range []string{"a/1", "a/2", "b c/3"} {
		require.NoError(t, l.WriteFile(filepath.Join(dir, n), []byte(n)))
	}
	var seen []string
	require.NoError(t, l.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			seen = append(seen, strings.TrimPrefix(p, root))
		}
		return err
	}))
	require.Equal(t, []string{"/a/1", "/a/2", "/b%20c/3"}, seen)

	removed, err := l.DeleteFiles(context.Background(), []string{root + "/a/1", root + "/gone"})
	require.NoError(t, err)
	require.Len(t, removed, 2)
	require.Error(t, l.RenameNoReplace(filepath.Join(dir, "a/2"), filepath.Join(dir, "b c/3")))
	require.NoError(t, l.Rename(filepath.Join(dir, "a/2"), filepath.Join(dir, "a/4")))
	require.Equal(t, []string{"4"}, names(t, filepath.Join(dir, "a")))
	require.NoError(t, l.RemoveAll(root+"/a"))
	require.NoError(t, l.RemoveAll(root+"/a"), "removing what is gone")
}
