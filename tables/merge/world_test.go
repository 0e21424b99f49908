package merge_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
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
	"github.com/varve-lake/varve/tables/merge"
)

// world is a table in a catalog on disk.
type world struct {
	t     testing.TB
	cat   *catalog.Catalog
	ident table.Identifier
	token int
}

func openCatalog(t testing.TB) *catalog.Catalog {
	t.Helper()
	return openCatalogIn(t, t.TempDir())
}

func openCatalogIn(t testing.TB, dir string) *catalog.Catalog {
	t.Helper()
	cat, err := catalog.Open(context.Background(), catalog.Config{URI: filepath.Join(dir, "catalog.db"), Warehouse: filepath.Join(dir, "warehouse")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cat.Close()) })
	require.NoError(t, cat.CreateNamespace(context.Background(), table.Identifier{"ns"}, nil))
	return cat
}

func newWorld(t testing.TB, cat *catalog.Catalog, name string) *world {
	return &world{t: t, cat: cat, ident: table.Identifier{"ns", name}}
}

// partition is one field of a partition spec: a transform of a column.
type partition struct{ column, transform string }

func (w *world) create(columns []random.Column, required []string, spec []partition, sort []string, props iceberg.Properties) {
	w.t.Helper()
	schema, err := table.ArrowSchemaToIcebergWithFreshIDs(random.Schema(columns, required...), false)
	require.NoError(w.t, err)
	var fields []iceberg.PartitionOption
	for i, p := range spec {
		transform, err := iceberg.ParseTransform(p.transform)
		require.NoError(w.t, err)
		fields = append(fields, iceberg.AddPartitionFieldByName(p.column, fmt.Sprintf("p%d_%s", i, p.column), transform, schema, nil))
	}
	bound, err := iceberg.NewPartitionSpecOpts(fields...)
	require.NoError(w.t, err)
	order := table.UnsortedSortOrder
	if len(sort) > 0 {
		var by []table.SortField
		for _, name := range sort {
			f, _ := schema.FindFieldByName(name)
			by = append(by, table.SortField{SourceIDs: []int{f.ID}, Transform: iceberg.IdentityTransform{}, Direction: table.SortASC, NullOrder: table.NullsFirst})
		}
		order, err = table.NewSortOrder(1, by)
		require.NoError(w.t, err)
	}
	_, err = w.cat.CreateTable(context.Background(), w.ident, schema, icebergcatalog.WithPartitionSpec(&bound), icebergcatalog.WithSortOrder(order),
		icebergcatalog.WithProperties(props))
	require.NoError(w.t, err)
}

func (w *world) load() *table.Table {
	w.t.Helper()
	tbl, err := w.cat.LoadTable(context.Background(), w.ident)
	require.NoError(w.t, err)
	return tbl
}

func (w *world) id() commit.ID {
	w.token++
	return commit.ID{Writer: "test", Token: fmt.Sprint("token", w.token)}
}

func (w *world) commit(plan commit.Planner) (commit.Outcome, error) {
	return commit.Commit(context.Background(), w.cat, w.ident, w.id(), plan, commit.Options{})
}

// append commits rows as new data files.
func (w *world) append(columns []random.Column, rows [][]any) {
	w.t.Helper()
	_, err := w.commit(func(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
		fs, err := head.FS(ctx)
		if err != nil {
			return nil, err
		}
		out, err := datafile.NewWriter(ctx, head.Metadata(), fs.(iceio.WriteFileIO), datafile.WriterOptions{})
		if err != nil {
			return nil, err
		}
		if err := out.Write(random.Batch(columns, rows)); err != nil {
			return nil, err
		}
		files, err := out.Close()
		return &commit.Change{Operation: commit.Append, AddData: files}, err
	})
	require.NoError(w.t, err)
}

// merge runs one merge and commits it.
func (w *world) merge(source merge.Source, opts merge.Options) (merge.Stats, commit.Outcome, error) {
	w.t.Helper()
	plan, err := merge.New(source, opts)
	if err != nil {
		return merge.Stats{}, commit.Outcome{}, err
	}
	defer func() { require.NoError(w.t, plan.Close()) }()
	out, err := w.commit(plan.Change)
	if err != nil {
		require.NoError(w.t, plan.Abort(context.Background()))
	}
	return plan.Stats(), out, err
}

// alter changes the table's schema or spec.
func (w *world) alter(do func(tx *table.Transaction) error) {
	w.t.Helper()
	_, err := w.commit(func(context.Context, *table.Table, int) (*commit.Change, error) {
		return &commit.Change{Alter: do}, nil
	})
	require.NoError(w.t, err)
}

// rows are the table's rows as text, sorted, as iceberg-go's own scan reads them.
func (w *world) rows() []string {
	w.t.Helper()
	tbl := w.load()
	if tbl.CurrentSnapshot() == nil {
		return nil
	}
	_, batches, err := tbl.Scan().ToArrowRecords(context.Background())
	require.NoError(w.t, err)
	var out []string
	for batch, err := range batches {
		require.NoError(w.t, err)
		out = append(out, random.BatchText(batch)...)
		batch.Release()
	}
	slices.Sort(out)
	return out
}
