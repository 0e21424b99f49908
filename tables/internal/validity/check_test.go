package validity_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/internal/validity"
)

// lie is a data file's entry that is not true of it.
type lie struct {
	size, rows    int64
	partition     map[int]any
	values, nulls map[int]int64
	lower, upper  map[int][]byte
	splits        []int64
	sizes         map[int]int64
	order         int
}

// TestLiesAreFound: each lie about a data file is reported, and the truth is not.
func TestLiesAreFound(t *testing.T) {
	for _, c := range []struct {
		name string
		tell func(*lie)
		want string
	}{
		{"nothing", func(*lie) {}, ""},
		{"size", func(l *lie) { l.size++ }, "size of"},
		{"rows", func(l *lie) { l.rows-- }, "number of rows of"},
		{"partition", func(l *lie) { l.partition[1000] = int32(99) }, "has 7 for c0, and the file 99"},
		{"values", func(l *lie) { l.values[2]++ }, "value count is given as 101 and is 100"},
		{"nulls", func(l *lie) { l.nulls[2]++ }, "null count is given as"},
		{"lower bound", func(l *lie) { l.lower[2] = []byte("b") }, "bound b excludes"},
		{"upper bound", func(l *lie) { l.upper[2] = []byte("a") }, "bound a excludes"},
		{"split offsets", func(l *lie) { l.splits[0]++ }, "split offsets of"},
		{"column sizes", func(l *lie) { l.sizes[2]++ }, "size is given as"},
		{"order", func(l *lie) { l.order = 1 }, "claims sort order 1, and row"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tbl := tableWith(t, c.tell)
			err := validity.New().Check(context.Background(), tbl)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
		})
	}
}

// tableWith makes a table of one data file whose entry tells a lie.
func tableWith(t *testing.T, tell func(*lie)) *table.Table {
	ctx := context.Background()
	dir := t.TempDir()
	cat, err := catalog.Open(ctx, catalog.Config{URI: filepath.Join(dir, "catalog.db"), Warehouse: filepath.Join(dir, "warehouse")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cat.Close()) })
	require.NoError(t, cat.CreateNamespace(ctx, table.Identifier{"ns"}, nil))
	columns := []random.Column{{Name: "c0", Kind: random.KindNamed("int")}, {Name: "c1", Kind: random.KindNamed("string")}}
	rows := random.Rows(rand.New(rand.NewPCG(1, 1)), columns, 100)
	for _, row := range rows {
		row[0] = int64(7)
	}
	schema, err := table.ArrowSchemaToIcebergWithFreshIDs(random.Schema(columns), false)
	require.NoError(t, err)
	spec, err := iceberg.NewPartitionSpecOpts(iceberg.AddPartitionFieldByName("c0", "c0", iceberg.IdentityTransform{}, schema, nil))
	require.NoError(t, err)
	order, err := table.NewSortOrder(1, []table.SortField{{SourceIDs: []int{2}, Transform: iceberg.IdentityTransform{}, Direction: table.SortASC, NullOrder: table.NullsFirst}})
	require.NoError(t, err)
	ident := table.Identifier{"ns", "t"}
	_, err = cat.CreateTable(ctx, ident, schema, icebergcatalog.WithPartitionSpec(&spec), icebergcatalog.WithSortOrder(order))
	require.NoError(t, err)
	out, err := commit.Commit(ctx, cat, ident, commit.ID{Writer: "w", Token: "t"}, func(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
		fs, err := head.FS(ctx)
		if err != nil {
			return nil, err
		}
		meta := head.Metadata()
		w, err := datafile.NewWriter(ctx, unsorted{meta}, fs.(iceio.WriteFileIO), datafile.WriterOptions{})
		if err != nil {
			return nil, err
		}
		if err := w.Write(random.Batch(columns, rows)); err != nil {
			return nil, err
		}
		files, err := w.Close()
		if err != nil {
			return nil, err
		}
		for i, f := range files {
			if files[i], err = retold(meta, f, tell); err != nil {
				return nil, err
			}
		}
		return &commit.Change{Operation: commit.Append, AddData: files}, nil
	}, commit.Options{})
	require.NoError(t, err)
	return out.Table
}

// unsorted is a table's metadata without its sort order, so that rows stay as they come.
type unsorted struct{ table.Metadata }

func (unsorted) SortOrder() table.SortOrder { return table.UnsortedSortOrder }
func (unsorted) DefaultSortOrder() int      { return table.UnsortedSortOrderID }

func retold(meta table.Metadata, f iceberg.DataFile, tell func(*lie)) (iceberg.DataFile, error) {
	l := lie{size: f.FileSizeBytes(), rows: f.Count(), partition: f.Partition(), values: f.ValueCounts(), nulls: f.NullValueCounts(),
		lower: f.LowerBoundValues(), upper: f.UpperBoundValues(), splits: f.SplitOffsets(), sizes: f.ColumnSizes()}
	tell(&l)
	b, err := iceberg.NewDataFileBuilder(meta.PartitionSpec(), f.ContentType(), f.FilePath(), f.FileFormat(), l.partition, nil, nil, l.rows, l.size)
	if err != nil {
		return nil, fmt.Errorf("rebuild the entry: %w", err)
	}
	b.ColumnSizes(l.sizes).ValueCounts(l.values).NullValueCounts(l.nulls).LowerBoundValues(l.lower).UpperBoundValues(l.upper).SplitOffsets(l.splits)
	if l.order > 0 {
		b.SortOrderID(l.order)
	}
	return b.Build(), nil
}
