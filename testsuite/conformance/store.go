package conformance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"testing"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/varve-lake/varve/tables/fault"
	"github.com/varve-lake/varve/tables/store"
)

// files is what package tables asks of a store.
type files interface {
	iceio.ReadFileIO
	iceio.WriteFileIO
	iceio.ListableIO
	iceio.StatIO
	iceio.RemoveAllIO
	iceio.BulkRemovableIO
}

// RunStore holds a store to what package tables asks of it, in a folder that is empty.
func RunStore(t *testing.T, stores *store.Stores, folder string) {
	open := func(ctx context.Context) files {
		fs, err := iceio.LoadFS(ctx, stores.WithProps(nil), folder)
		require.NoError(t, err)
		return fs.(files)
	}
	for _, part := range []struct {
		name string
		test func(t *testing.T, open func(context.Context) files, folder string)
	}{
		{"sizes", testSizes},
		{"names", testNames},
		{"nothing before close", testUnpublished},
		{"many", testMany},
		{"absent", testAbsentFile},
		{"many at once", testParallel},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, open, folder+"/"+strings.ReplaceAll(part.name, " ", "-")) })
	}
}

func noise(n int) []byte {
	out := make([]byte, n)
	random := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	_, _ = random.Read(out)
	return out
}

// testSizes writes and reads files about the bounds of parts and of what is read ahead, in every way.
func testSizes(t *testing.T, open func(context.Context) files, folder string) {
	s := open(t.Context())
	for _, size := range []int{0, 1, 64<<10 - 1, 64 << 10, 64<<10 + 1, 8 << 20, 8<<20 + 1, 21 << 20} {
		content := noise(size)
		uri := fmt.Sprintf("%s/%d", folder, size)
		w, err := s.Create(uri)
		require.NoError(t, err)
		for rest := content; len(rest) > 0; { // in pieces that fit nothing
			n := min(len(rest), 1_000_003)
			_, err := w.Write(rest[:n])
			require.NoError(t, err)
			rest = rest[n:]
		}
		require.NoError(t, w.Close())
		require.NoError(t, w.Close(), "a second Close repeats the first")

		whole, err := s.ReadFile(uri)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content, whole), "%d bytes", size)
		info, err := s.Stat(uri)
		require.NoError(t, err)
		require.EqualValues(t, size, info.Size())

		f, err := s.Open(uri)
		require.NoError(t, err)
		info, err = f.Stat()
		require.NoError(t, err)
		require.EqualValues(t, size, info.Size())
		for range 20 {
			if size == 0 {
				break
			}
			off := rand.IntN(size)
			p := make([]byte, 1+rand.IntN(100_000))
			n, err := f.ReadAt(p, int64(off))
			if off+len(p) > size {
				require.ErrorIs(t, err, io.EOF)
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, min(len(p), size-off), n)
			require.True(t, bytes.Equal(content[off:off+n], p[:n]))
		}
		_, err = f.ReadAt(make([]byte, 1), int64(size))
		require.ErrorIs(t, err, io.EOF)
		streamed, err := io.ReadAll(f)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content, streamed))
		_, err = f.Seek(int64(size/2), io.SeekStart)
		require.NoError(t, err)
		streamed, err = io.ReadAll(f)
		require.NoError(t, err)
		require.True(t, bytes.Equal(content[size/2:], streamed))
		require.NoError(t, f.Close())
	}
}

// testNames shows that names are taken as they are, and that a write replaces.
func testNames(t *testing.T, open func(context.Context) files, folder string) {
	s := open(t.Context())
	for _, name := range []string{"plain", "day=2026-01-01/x.parquet", "with space", "plus+and=equals", "ünïcode", "a.b-c_d"} {
		if strings.HasPrefix(folder, "file:") && strings.ContainsAny(name, " ü") {
			continue // those want escapes in a file URI
		}
		uri := folder + "/" + name
		for _, content := range []string{"old", "new"} {
			require.NoError(t, s.WriteFile(uri, []byte(content)))
		}
		got, err := s.ReadFile(uri)
		require.NoError(t, err, name)
		require.Equal(t, "new", string(got))
		require.Contains(t, walked(t, s, folder), uri)
	}
}

func walked(t *testing.T, s files, folder string) []string {
	t.Helper()
	out, err := listed(s, folder)
	require.NoError(t, err)
	return out
}

func listed(s files, folder string) (out []string, err error) {
	err = s.WalkDir(folder, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, p)
		}
		return err
	})
	return out, err
}

// testUnpublished shows that nothing is at a name before its writer is closed, nor after it was abandoned or broke.
func testUnpublished(t *testing.T, open func(context.Context) files, folder string) {
	s := open(t.Context())
	for _, size := range []int{10, 20 << 20} {
		uri := fmt.Sprintf("%s/%d", folder, size)
		w, err := s.Create(uri)
		require.NoError(t, err)
		_, err = w.Write(noise(size))
		require.NoError(t, err)
		_, err = s.Stat(uri)
		require.ErrorIs(t, err, fault.ErrAbsent)
		require.NoError(t, w.(interface{ Abort() error }).Abort())
		require.Error(t, w.Close(), "what was abandoned is not published")
		_, err = s.Stat(uri)
		require.ErrorIs(t, err, fault.ErrAbsent)

		require.NoError(t, s.WriteFile(uri, []byte("before")))
		w, err = s.Create(uri)
		require.NoError(t, err)
		_, err = w.ReadFrom(io.MultiReader(bytes.NewReader(noise(size)), broken{}))
		require.ErrorIs(t, err, errBroken)
		require.NoError(t, w.(interface{ Abort() error }).Abort())
		got, err := s.ReadFile(uri)
		require.NoError(t, err)
		require.Equal(t, "before", string(got))
	}
	ctx, cancel := context.WithCancel(t.Context())
	w, err := open(ctx).Create(folder + "/cancelled")
	require.NoError(t, err)
	_, err = w.Write(noise(9 << 20))
	require.NoError(t, err)
	cancel()
	if !strings.HasPrefix(folder, "file:") { // a local write knows of no context
		require.Error(t, w.Close())
		_, err = s.Stat(folder + "/cancelled")
		require.ErrorIs(t, err, fault.ErrAbsent)
	}
}

var errBroken = fmt.Errorf("the source broke")

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

// testMany lists and removes more files than a store gives or takes at a time.
func testMany(t *testing.T, open func(context.Context) files, folder string) {
	s := open(t.Context())
	const n = 1100
	var group errgroup.Group
	group.SetLimit(16)
	for i := range n {
		group.Go(func() error { return s.WriteFile(fmt.Sprintf("%s/tree/%d/%04d", folder, i%3, i), []byte("x")) })
	}
	require.NoError(t, group.Wait())
	require.NoError(t, s.WriteFile(folder+"/tree-beside", []byte("x")))
	all := walked(t, s, folder+"/tree")
	require.Len(t, all, n)

	first, err := s.DeleteFiles(t.Context(), append([]string{folder + "/tree/never-was"}, all[:50]...))
	require.NoError(t, err)
	require.Len(t, first, 51, "what is gone already counts as removed")
	require.Len(t, walked(t, s, folder+"/tree"), n-50)
	require.NoError(t, s.RemoveAll(folder+"/tree"))
	require.NoError(t, s.RemoveAll(folder+"/tree"), "that there is nothing is no error")
	require.Equal(t, []string{folder + "/tree-beside"}, walked(t, s, folder), "a name that begins alike is another")
}

func testAbsentFile(t *testing.T, open func(context.Context) files, folder string) {
	s := open(t.Context())
	uri := folder + "/none"
	_, err := s.Open(uri)
	require.ErrorIs(t, err, fault.ErrAbsent)
	require.ErrorIs(t, err, fs.ErrNotExist, "which iceberg-go looks for")
	_, err = s.ReadFile(uri)
	require.ErrorIs(t, err, fault.ErrAbsent)
	_, err = s.Stat(uri)
	require.ErrorIs(t, err, fault.ErrAbsent)
	if err := s.Remove(uri); err != nil {
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
}

// testParallel has readers and writers at once.
func testParallel(t *testing.T, open func(context.Context) files, folder string) {
	s := open(t.Context())
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			content := noise(1<<20 + i)
			uri := folder + "/" + path.Join(fmt.Sprint(i), "f")
			if err := s.WriteFile(uri, content); err != nil {
				t.Error(err)
				return
			}
			f, err := s.Open(uri)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			var readers sync.WaitGroup
			for at := range 4 {
				readers.Go(func() {
					p := make([]byte, 1000)
					if _, err := f.ReadAt(p, int64(at*200_000)); err != nil || !bytes.Equal(p, content[at*200_000:at*200_000+1000]) {
						t.Errorf("read at %d: %v", at, err)
					}
				})
			}
			readers.Wait()
		})
	}
	wg.Wait()
}
