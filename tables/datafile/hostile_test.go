package datafile

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// readBroken reads a file that may be anything: an error or rows, but no panic, and it ends.
func readBroken(t testing.TB, path string, opts ReadOptions) error {
	r, err := Open(t.Context(), localFS, described1(t, path, nil, iceberg.UnpartitionedSpec), opts)
	if err != nil {
		return err
	}
	defer r.Release()
	for rows := int64(0); r.Next(); {
		if rows += r.RecordBatch().NumRows(); rows > 1<<22 {
			t.Fatalf("%s gives no end of rows", path)
		}
	}
	return r.Err()
}

func TestReaderBrokenFiles(t *testing.T) {
	meta := newTable(t, everyType(), nil, table.UnsortedSortOrder, iceberg.Properties{"write.parquet.page-size-bytes": "2048"})
	schema, err := arrowSchema(meta.CurrentSchema())
	require.NoError(t, err)
	df := writeAll(t, meta, WriterOptions{RowGroupRows: 150}, randomBatch(t, rand.New(rand.NewPCG(1, 1)), schema, 400))[0]
	whole, err := os.ReadFile(df.FilePath())
	require.NoError(t, err)
	footer := len(whole) - 8 - int(binary.LittleEndian.Uint32(whole[len(whole)-8:]))
	path := filepath.Join(t.TempDir(), "broken.parquet")
	rows := roaring64.BitmapOf(3, 140, 399)
	options := []ReadOptions{
		{Schema: meta.CurrentSchema()},
		{Schema: meta.CurrentSchema(), Rows: rows},
		{Schema: meta.CurrentSchema(), Filter: iceberg.EqualTo(iceberg.Reference("i"), int32(5)), Columns: []string{"s"}},
	}
	read := func(broken []byte) error {
		require.NoError(t, os.WriteFile(path, broken, 0o644))
		var first error
		for _, o := range options {
			if err := readBroken(t, path, o); err != nil && first == nil {
				first = err
			}
		}
		return first
	}
	require.NoError(t, read(whole))
	for _, n := range []int{0, 1, 4, 7, 8, 11, 12, 100, footer - 1, footer, footer + 10, len(whole) - 9, len(whole) - 8, len(whole) - 1} {
		require.Error(t, read(whole[:n]), "cut to %d bytes", n)
	}
	require.Error(t, read(append(slices.Clone(whole), "more"...)))
	require.Error(t, read([]byte("id,name\n1,a\n2,b\n3,c\n")))

	rng := rand.New(rand.NewPCG(2, 2))
	for i := range 250 {
		broken := slices.Clone(whole)
		for range 1 + rng.IntN(3) {
			at := footer + rng.IntN(len(whole)-footer) // footers are where most harm can be done
			if i%3 == 0 {
				at = rng.IntN(footer)
			}
			broken[at] = byte(rng.IntN(256))
		}
		_ = read(broken) // what it gives may even be right
	}
	// The row groups' bytes cut out of the middle, under a whole footer.
	require.Error(t, read(append(slices.Clone(whole[:200]), whole[footer:]...)))
}

func TestDeletesBrokenFiles(t *testing.T) {
	meta := newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, nil)
	df := writeAll(t, meta, WriterOptions{}, numbers(t, meta, ascending(0, 100)...))[0]
	deletes, err := WritePositionDeletes(t.Context(), meta, localFS, df, roaring64.BitmapOf(1, 5, 99))
	require.NoError(t, err)
	whole, err := os.ReadFile(deletes.FilePath())
	require.NoError(t, err)
	for n := 0; n < len(whole); n += 97 {
		require.NoError(t, os.WriteFile(deletes.FilePath(), whole[:n], 0o644))
		_, err := Deletes(t.Context(), localFS, table.FileScanTask{File: df, DeleteFiles: []iceberg.DataFile{deletes}})
		require.ErrorContains(t, err, deletes.FilePath())
	}
	v3 := newTable(t, ordersSchema(), nil, table.UnsortedSortOrder, iceberg.Properties{"format-version": "3"})
	df = writeAll(t, v3, WriterOptions{}, numbers(t, v3, ascending(0, 100)...))[0]
	vectors, err := WriteDeletionVectors(t.Context(), v3, localFS, []VectorDelete{{df, roaring64.BitmapOf(1, 5, 99)}})
	require.NoError(t, err)
	whole, err = os.ReadFile(vectors[0].FilePath())
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(2, 2))
	for i := range 200 {
		broken := slices.Clone(whole[:rng.IntN(len(whole)+1)])
		if i%2 == 0 {
			broken = slices.Clone(whole)
			broken[rng.IntN(len(broken))] ^= byte(1 + rng.IntN(255))
		}
		require.NoError(t, os.WriteFile(vectors[0].FilePath(), broken, 0o644))
		_, _ = Deletes(t.Context(), localFS, table.FileScanTask{File: df, DeletionVectorFiles: vectors})
	}
}
