package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestValueIsMadeOnceAndBounded(t *testing.T) {
	c, ctx := New(10_000, nil), context.Background()
	var made atomic.Int64
	get := func(key string, bytes int64) (int, error) {
		return Value(ctx, c, key, func(context.Context) (int, int64, error) {
			made.Add(1)
			return len(key), bytes, nil
		})
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			v, err := get("abc", 10)
			if err != nil || v != 3 {
				t.Error(v, err)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 1, made.Load())
	for i := range 100 {
		_, err := get(fmt.Sprint(i), 1000)
		require.NoError(t, err)
		_, err = get("abc", 10) // in use, so that it stays
		require.NoError(t, err)
		require.LessOrEqual(t, c.Used(), int64(10_000))
	}
	require.EqualValues(t, 101, made.Load())
	_, err := get("0", 1000) // long unused
	require.NoError(t, err)
	require.EqualValues(t, 102, made.Load())
	for range 2 { // too large to be kept
		_, err := get("large", 5000)
		require.NoError(t, err)
	}
	require.EqualValues(t, 104, made.Load())
}

func TestValueOutlivesWhoGivesUp(t *testing.T) {
	c := New(1000, nil)
	first, cancel := context.WithCancel(context.Background())
	began, other := make(chan struct{}), make(chan error)
	go func() {
		<-began
		go func() {
			v, err := Value(context.Background(), c, "k", func(context.Context) (int, int64, error) { return 2, 1, nil })
			if err == nil && v != 2 {
				err = fmt.Errorf("%d", v)
			}
			other <- err
		}()
		cancel()
	}()
	_, err := Value(first, c, "k", func(ctx context.Context) (int, int64, error) {
		close(began)
		<-ctx.Done()
		return 0, 0, ctx.Err()
	})
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, <-other)

	boom := errors.New("boom")
	_, err = Value(context.Background(), c, "e", func(context.Context) (int, int64, error) { return 0, 0, boom })
	require.ErrorIs(t, err, boom)
	v, err := Value(context.Background(), c, "e", func(context.Context) (int, int64, error) { return 7, 0, nil })
	require.NoError(t, err, "an error is not kept")
	require.Equal(t, 7, v)
}

func TestDiskTakesDamageForAbsence(t *testing.T) {
	dir := t.TempDir()
	d := NewDisk(dir, 1<<20)
	d.Put(Key{"a", ""}, []byte("content"))
	got, ok := d.Get(Key{"a", ""})
	require.True(t, ok)
	require.Equal(t, "content", string(got))
	_, ok = d.Get(Key{"b", ""})
	require.False(t, ok)
	d.Put(Key{"empty", ""}, nil)
	got, ok = d.Get(Key{"empty", ""})
	require.True(t, ok)
	require.Empty(t, got)

	whole, err := os.ReadFile(d.path(Key{"a", ""}))
	require.NoError(t, err)
	for i := range whole { // a bit of it flips, or it was cut
		for _, damaged := range [][]byte{append(append(append([]byte{}, whole[:i]...), whole[i]^4), whole[i+1:]...), whole[:i]} {
			require.NoError(t, os.WriteFile(d.path(Key{"a", ""}), damaged, 0o600))
			_, ok := d.Get(Key{"a", ""})
			require.False(t, ok, "byte %d", i)
			_, err := os.Stat(d.path(Key{"a", ""}))
			require.ErrorIs(t, err, os.ErrNotExist)
		}
	}
	// The file of another key at its place is another's.
	require.NoError(t, os.WriteFile(d.path(Key{"c", ""}), whole, 0o600))
	_, ok = d.Get(Key{"c", ""})
	require.False(t, ok)
}

func TestDiskIsBounded(t *testing.T) {
	dir := t.TempDir()
	const limit = 100_000
	ends := make(chan struct{})
	for p := range 4 { // as many processes would: each with an own count
		go func() {
			defer func() { ends <- struct{}{} }()
			d := NewDisk(dir, limit)
			for i := range 200 {
				key := fmt.Sprint(i%60, p%2)
				if got, ok := d.Get(Key{key, "part"}); ok && string(got) != key+string(make([]byte, 2000)) {
					t.Errorf("%s: other bytes", key)
				}
				d.Put(Key{key, "part"}, []byte(key+string(make([]byte, 2000))))
			}
		}()
	}
	for range 4 {
		<-ends
	}
	require.LessOrEqual(t, NewDisk(dir, limit).sweep(), int64(limit))

	old := time.Now().Add(-maxAge - time.Hour)
	require.NoError(t, filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			return os.Chtimes(path, old, old)
		}
		return err
	}))
	require.Zero(t, NewDisk(dir, limit).sweep(), "what was written long ago goes")

	unwritable := NewDisk("/dev/null/x", limit)
	unwritable.Put(Key{"a", ""}, []byte("b"))
	_, ok := unwritable.Get(Key{"a", ""})
	require.False(t, ok)
}

func TestBytesComeFromDisk(t *testing.T) {
	dir := t.TempDir()
	reads := 0
	read := func() ([]byte, error) { reads++; return []byte("x"), nil }
	for range 3 {
		got, err := New(100, NewDisk(dir, 1<<20)).Bytes(Key{"k", "1"}, read)
		require.NoError(t, err)
		require.Equal(t, "x", string(got))
	}
	require.Equal(t, 1, reads)
	var none *Cache
	_, err := none.Bytes(Key{"k", "1"}, read)
	require.NoError(t, err)
	require.Equal(t, 2, reads)
}

// What may name values that were erased since goes in time, though it is read day by day, and nothing is written.
func TestDiskForgetsInTime(t *testing.T) {
	dir := t.TempDir()
	d, now := NewDisk(dir, 1<<20), time.Now()
	d.now = func() time.Time { return now }
	d.Put(Key{"f", "1"}, []byte("bounds"))
	d.Put(Key{"g", "1"}, []byte("bounds"))
	for range 6 {
		now = now.Add(24 * time.Hour)
		_, ok := d.Get(Key{"f", "1"})
		require.True(t, ok)
		d.sweeping.Wait() // it asks for the time too
	}
	now = now.Add(25 * time.Hour)
	_, ok := d.Get(Key{"other", ""})
	require.False(t, ok)
	d.sweeping.Wait()
	for _, file := range []string{"f", "g"} {
		_, err := os.Stat(d.path(Key{file, "1"}))
		require.ErrorIs(t, err, os.ErrNotExist, "%s is swept, whatever is asked for", file)
	}
}

func TestDiskForgetsAFile(t *testing.T) {
	d := NewDisk(t.TempDir(), 1<<20)
	for _, key := range []Key{{"f", "1"}, {"f", "2"}, {"g", "1"}} {
		d.Put(key, []byte("x"))
	}
	New(100, d).Forget("f")
	for key, want := range map[Key]bool{{"f", "1"}: false, {"f", "2"}: false, {"g", "1"}: true} {
		_, ok := d.Get(key)
		require.Equal(t, want, ok, "%v", key)
	}
}
