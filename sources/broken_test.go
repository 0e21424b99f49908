package sources_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/sources"
)

func TestTruncatedCompression(t *testing.T) {
	text := []byte("a\n" + strings.Repeat("12345\n", 100_000))
	for _, name := range []string{"f.csv.gz", "f.csv.zst"} {
		whole := compress(t, name, text)
		for _, size := range []int{1, 5, 12, len(whole) / 3, len(whole) - 1} {
			root := t.TempDir()
			write(t, filepath.Join(root, name), whole[:size])
			store := sources.Local{Root: root}
			got := read(t, store, list(t, store, "*")[0], schema(t, "a long"), sources.Options{Format: sources.CSV, Malformed: sources.Drop})
			var broken *sources.BrokenFileError
			require.ErrorAs(t, got.err, &broken, "%s of %d bytes", name, size)
			require.True(t, strings.HasSuffix(broken.File, name))
			require.NotErrorIs(t, got.err, sources.ErrChanged)
		}
	}
}

func TestCorruptCompression(t *testing.T) {
	text := []byte("a\n" + strings.Repeat("12345\n678\n", 50_000))
	for _, name := range []string{"f.csv.gz", "f.csv.zst"} {
		data := compress(t, name, text)
		data[len(data)/2] ^= 0xff
		root := t.TempDir()
		write(t, filepath.Join(root, name), data)
		store := sources.Local{Root: root}
		got := read(t, store, list(t, store, "*")[0], schema(t, "a long"), sources.Options{Format: sources.CSV, Malformed: sources.Drop})
		require.ErrorAs(t, got.err, new(*sources.BrokenFileError), name)
	}
	got := readText(t, "f.csv", "a\n1\n", sources.Options{Format: sources.Avro}, "a long")
	require.ErrorContains(t, got.err, "is not a sound Avro file: not an Avro object container file")
	got = readText(t, "f.csv", "a\n1\n", sources.Options{Format: sources.Parquet}, "a long")
	require.ErrorContains(t, got.err, "is not a sound Parquet file")
	for _, format := range []string{sources.Avro, sources.Parquet} {
		require.ErrorAs(t, readText(t, "f", "", sources.Options{Format: format}, "a long").err, new(*sources.BrokenFileError))
	}
	root := tree(t)
	write(t, filepath.Join(root, "f.csv.gz"), []byte("a\n1\n"))
	store := sources.Local{Root: root}
	got = read(t, store, list(t, store, "*")[0], schema(t, "a long"), sources.Options{Format: sources.CSV})
	require.ErrorContains(t, got.err, "f.csv.gz: is not gzip, as its name says")
}

// A file that changes between the listing and the end of the reading is broken, whatever its rows look like.
func TestFileChanges(t *testing.T) {
	text := "a\n" + strings.Repeat("1\n", 200_000)
	change := map[string]func(name string) error{
		"grows": func(name string) error {
			f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteString("2\n")
			return err
		},
		"shrinks":      func(name string) error { return os.Truncate(name, 1000) },
		"is rewritten": func(name string) error { return os.WriteFile(name, []byte("b\n"+text[2:]), 0o644) },
	}
	for what, apply := range change {
		for _, when := range []string{"before", "during"} {
			root := tree(t)
			name := filepath.Join(root, "f.csv")
			write(t, name, []byte(text))
			require.NoError(t, os.Chtimes(name, time.Time{}, time.Now().Add(-time.Hour)))
			store := sources.Local{Root: root}
			f := list(t, store, "*")[0]
			if when == "before" {
				require.NoError(t, apply(name))
			}
			reader, err := sources.Open(context.Background(), store, f, schema(t, "a long"), sources.Options{Format: sources.CSV, Malformed: sources.Drop}, sources.Observer{})
			if when == "during" {
				require.NoError(t, err)
				require.True(t, reader.Next())
				require.NoError(t, apply(name))
				for reader.Next() {
				}
				err = reader.Err()
				reader.Release()
			}
			require.ErrorIs(t, err, sources.ErrChanged, "%s %s", what, when)
			require.ErrorAs(t, err, new(*sources.BrokenFileError))
		}
	}
	root := tree(t, "gone.csv")
	store := sources.Local{Root: root}
	f := list(t, store, "*")[0]
	require.NoError(t, os.Remove(filepath.Join(root, "gone.csv")))
	_, err := sources.Open(context.Background(), store, f, schema(t, "a long"), sources.Options{Format: sources.CSV}, sources.Observer{})
	require.ErrorIs(t, err, sources.ErrChanged)
}

// stream is a store of one generated file of any size, so that tests need no disk.
type stream struct {
	file sources.File
	open func() io.Reader
}

func (s stream) List(context.Context, string) iter.Seq2[sources.File, error] {
	return func(yield func(sources.File, error) bool) { yield(s.file, nil) }
}
func (s stream) Stat(context.Context, string) (sources.File, error) { return s.file, nil }
func (s stream) Open(context.Context, string) (sources.Content, error) {
	return streamed{s.open(), s.file}, nil
}

type streamed struct {
	io.Reader
	file sources.File
}

func (s streamed) ReadAt(p []byte, off int64) (int, error) {
	if r, ok := s.Reader.(io.ReaderAt); ok {
		return r.ReadAt(p, off)
	}
	return 0, errors.New("a stream only")
}
func (s streamed) Close() error                { return nil }
func (s streamed) Stat() (sources.File, error) { return s.file, nil }

func bytesStore(name string, data []byte) stream {
	return stream{sources.File{URI: "mem:///" + name, Size: int64(len(data))}, func() io.Reader { return bytes.NewReader(data) }}
}

// A passing fault of the store is not the file's.
func TestStoreFault(t *testing.T) {
	fault := errors.New("connection reset")
	for _, name := range []string{"f.csv", "f.csv.gz"} {
		data := compress(t, name, []byte("a\n"+strings.Repeat("123\n", 500_000)))
		store := stream{sources.File{URI: "mem:///" + name, Size: int64(len(data))}, func() io.Reader {
			return io.MultiReader(bytes.NewReader(data[:len(data)/2]), failing{fault})
		}}
		got := read(t, store, store.file, schema(t, "a long"), sources.Options{Format: sources.CSV})
		require.ErrorIs(t, got.err, fault)
		require.False(t, errors.As(got.err, new(*sources.BrokenFileError)), name)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	store := bytesStore("f.csv", []byte("a\n"+strings.Repeat("x\n", 5_000_000)))
	n := 0
	reader, err := sources.Open(ctx, store, store.file, schema(t, "a long"), sources.Options{Format: sources.CSV, Malformed: sources.Drop}, sources.Observer{
		Reject: func(sources.Rejected) error { n++; cancel(); return nil },
	})
	require.NoError(t, err)
	defer reader.Release()
	require.False(t, reader.Next())
	require.ErrorIs(t, reader.Err(), context.Canceled)
	require.Less(t, n, 4_000_000, "also a file of nothing but malformed rows ends soon")
}

// The observer's error ends the reading.
func TestRejectStops(t *testing.T) {
	enough := errors.New("enough")
	for _, format := range []string{sources.CSV, sources.NDJSON} {
		store := bytesStore("f", []byte("a\nx\nx\n"))
		reader, err := sources.Open(context.Background(), store, store.file, schema(t, "a long"), sources.Options{Format: format, Malformed: sources.Quarantine}, sources.Observer{
			Reject: func(sources.Rejected) error { return enough },
		})
		require.NoError(t, err)
		require.False(t, reader.Next())
		require.ErrorIs(t, reader.Err(), enough)
		reader.Release()
	}
}

// drain infers and reads a file of any bytes: errors are fine, panics and unsound batches are not.
func drain(t testing.TB, data []byte, opts sources.Options) {
	store := bytesStore("f", data)
	s, err := sources.Infer(t.Context(), store, []sources.File{store.file}, opts)
	if err != nil {
		return
	}
	reader, err := sources.Open(t.Context(), store, store.file, s, opts, sources.Observer{NewColumns: func([]arrow.Field) {}})
	if err != nil {
		return
	}
	defer reader.Release()
	for reader.Next() {
		b := reader.RecordBatch()
		for _, c := range b.Columns() {
			if int64(c.Len()) != b.NumRows() {
				t.Fatalf("a column of %d values in a batch of %d rows", c.Len(), b.NumRows())
			}
			_ = c.ValueStr(c.Len() - 1)
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("a,b,c\n1,2024-01-01,x\n\"2\n\",,\"\"\n"), false)
	f.Add([]byte("\ufeffa\t\"b\n\"\r\n1\t2\r\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, rescue bool) {
		opts := sources.Options{Format: sources.CSV, Malformed: sources.Drop, SampleRows: 2, MaxRowSize: 64}
		if rescue {
			opts.SchemaMode, opts.Delimiter = sources.Rescue, "\t"
		}
		drain(t, data, opts)
	})
}

func FuzzNDJSON(f *testing.F) {
	f.Add([]byte(`{"a":1,"b":{"c":[1,2]}}`+"\n"+`{"b":{"d":"x"},"a":2.5,"e":null}`+"\n"+`{"a":`+"\n"), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, mode uint8) {
		modes := []string{sources.Evolve, sources.Enforce, sources.Rescue}
		drain(t, data, sources.Options{Format: sources.NDJSON, Malformed: sources.Drop, SampleRows: 1, SchemaMode: modes[mode%3]})
	})
}
