package conformance

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/url"
	"sort"
	"strings"
	"testing"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/varve-lake/varve/sources"
	"github.com/varve-lake/varve/tables/store"
)

// runSources lists and reads source files on a store, in a folder that is empty.
func runSources(t *testing.T, stores *store.Stores, folder string) {
	made, err := iceio.LoadFS(t.Context(), stores.WithProps(nil), folder)
	require.NoError(t, err)
	write := func(name string, content []byte) error { return made.(files).WriteFile(folder+"/"+name, content) }
	anywhere := sources.Anywhere{Local: sources.Local{Root: t.TempDir()}, Objects: stores.Objects()}
	list := func(pattern string) (out []string) {
		last := ""
		for f, err := range anywhere.List(t.Context(), folder+"/"+pattern) {
			require.NoError(t, err, pattern)
			require.Less(t, last, f.URI, "sorted, each once")
			last = f.URI
			out = append(out, strings.TrimPrefix(f.URI, folder+"/"))
			again, err := anywhere.Stat(t.Context(), f.URI)
			require.NoError(t, err)
			require.Equal(t, f, again, "the same by a listing and by a look")
		}
		return out
	}
	small := []string{"a.csv", "a/1.csv", "a/b/2.csv", "a-b/3.csv", "b/4.csv.gz", "b/.5.csv", "b/_SUCCESS", "b/date=2024-01-01/6.csv"}
	for _, name := range small {
		require.NoError(t, write(name, []byte(name)))
	}
	for pattern, want := range map[string][]string{
		"*.csv":                  {"a.csv"},
		"**/*.csv":               {"a-b/3.csv", "a.csv", "a/1.csv", "a/b/2.csv", "b/date=2024-01-01/6.csv"},
		"{b/*.gz,a/*.csv,a/1*}":  {"a/1.csv", "b/4.csv.gz"},
		"b":                      {"b/4.csv.gz", "b/date=2024-01-01/6.csv"},
		"b/":                     {"b/4.csv.gz", "b/date=2024-01-01/6.csv"},
		"b/_SUCCESS":             {"b/_SUCCESS"},
		"b/date=*/6.csv":         {"b/date=2024-01-01/6.csv"},
		"a.csv":                  {"a.csv"},
		"a.csv/*":                nil,
		"missing/*.csv":          nil,
		"missing.csv":            nil,
		"{a,b}/{1.csv,4.csv.gz}": {"a/1.csv", "b/4.csv.gz"},
	} {
		require.Equal(t, want, list(pattern), pattern)
	}

	// More than a page, over two levels.
	var group errgroup.Group
	group.SetLimit(16)
	var want []string
	for i := range 1200 {
		name := fmt.Sprintf("many/%02d/%04d.csv", i%2, i)
		want = append(want, name)
		group.Go(func() error { return write(name, []byte("x")) })
	}
	require.NoError(t, group.Wait())
	sort.Strings(want)
	var got []string
	for f, err := range anywhere.List(t.Context(), folder+"/many/*/*.csv") {
		require.NoError(t, err)
		got = append(got, strings.TrimPrefix(f.URI, folder+"/"))
	}
	require.Equal(t, want, got)
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	for _, err := range anywhere.List(ctx, folder+"/many/**/*.csv") {
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
			break
		}
		if seen++; seen == 10 {
			cancel()
		}
	}
	cancel()
	require.Less(t, seen, 1200, "a listing that is given up ends before its next page")

	readRows(t, anywhere, folder, write)
}

// readRows reads a compressed file to its end, and one that is replaced meanwhile.
func readRows(t *testing.T, anywhere sources.Anywhere, folder string, write func(string, []byte) error) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	const rows = 200_000
	fmt.Fprintln(z, "id,value")
	for i := range rows {
		fmt.Fprintf(z, "key-%x,%d\n", uint32(i)*2654435761, i)
	}
	require.NoError(t, z.Close())
	require.NoError(t, write("rows/r.csv.gz", packed.Bytes()))
	uri := folder + "/rows/r.csv.gz"
	file, err := anywhere.Stat(t.Context(), uri)
	require.NoError(t, err)
	reader, err := sources.Open(t.Context(), anywhere, file, columns, sources.Options{Format: "csv"}, sources.Observer{})
	require.NoError(t, err)
	n, sum := int64(0), int64(0)
	for reader.Next() {
		b := reader.RecordBatch()
		n += b.NumRows()
		sum += sumOf(b.Column(1))
	}
	require.NoError(t, reader.Err())
	reader.Release()
	require.EqualValues(t, rows, n)
	require.EqualValues(t, rows*(rows-1)/2, sum)

	c, err := anywhere.Open(t.Context(), uri)
	require.NoError(t, err)
	defer c.Close()
	p := make([]byte, 100)
	got, err := c.ReadAt(p, 50)
	require.NoError(t, err)
	require.Equal(t, 100, got)
	require.True(t, bytes.Equal(packed.Bytes()[50:150], p))
	_, err = c.ReadAt(p, int64(packed.Len())-10)
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, write("rows/r.csv.gz", []byte("other")))
	now, err := c.Stat()
	require.NoError(t, err)
	require.NotEqual(t, file, now, "who looks again sees that it was replaced")
	_, err = sources.Open(t.Context(), anywhere, file, columns, sources.Options{Format: "csv"}, sources.Observer{})
	require.ErrorIs(t, err, sources.ErrChanged)

	at, err := url.Parse(uri)
	require.NoError(t, err)
	_, err = anywhere.Open(t.Context(), at.Scheme+"://"+at.Host+"/")
	require.ErrorContains(t, err, "names a bucket, not a file")
}
