package lakesql_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/internal/lakesql"
	"github.com/varve-lake/varve/internal/rowfilter"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/merge"
	"github.com/varve-lake/varve/transforms/sql"
)

// watched counts what DuckDB reads itself and what it is streamed.
type watched struct {
	*lakesql.Input
	direct, scans int
	last          *tables.ScanReader
}

func (w *watched) Direct(ctx context.Context, table string, v sql.Version, columns []string, filters []sql.Filter) (*sql.DirectFiles, error) {
	files, err := w.Input.Direct(ctx, table, v, columns, filters)
	if files != nil {
		w.direct++
	}
	return files, err
}

func (w *watched) Scan(ctx context.Context, table string, v sql.Version, columns []string, filters []sql.Filter, limit int64) (array.RecordReader, error) {
	w.scans++
	rows, err := w.Input.Scan(ctx, table, v, columns, filters, limit)
	w.last, _ = rows.(*tables.ScanReader)
	return rows, err
}

func openEngine(t *testing.T, folders []string) *sql.Engine {
	engine, err := sql.Open(sql.Options{TempDir: t.TempDir(), Threads: 2, Folders: folders})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, engine.Close()) })
	return engine
}

var pairs = arrow.NewSchema([]arrow.Field{
	{Name: "k", Type: arrow.PrimitiveTypes.Int32, Nullable: true},
	{Name: "x", Type: arrow.PrimitiveTypes.Float64, Nullable: true},
	{Name: "p", Type: arrow.BinaryTypes.String, Nullable: true},
}, nil)

// appendPairs commits a file of k = from.. to, x = k/2, or NaN in later ones, p of three values.
func appendPairs(t *testing.T, tbl *tables.Table, from, to int) {
	ctx := context.Background()
	b := array.NewRecordBuilder(memory.DefaultAllocator, pairs)
	for k := from; k < to; k++ {
		b.Field(0).(*array.Int32Builder).Append(int32(k))
		x := float64(k) / 2
		if k%7 == 0 && from >= 200 {
			x = math.NaN()
		}
		b.Field(1).(*array.Float64Builder).Append(x)
		b.Field(2).(*array.StringBuilder).Append([]string{"a=b", "*", ""}[k%3])
	}
	r, err := array.NewRecordReader(pairs, []arrow.RecordBatch{b.NewRecordBatch()})
	require.NoError(t, err)
	staged, err := tbl.Stage(ctx, r, tables.StageOptions{})
	require.NoError(t, err)
	_, err = tbl.Append(ctx, tables.CommitOptions{ID: commit.ID{Writer: "test", Token: fmt.Sprint(from)}}, staged)
	require.NoError(t, err)
}

// DuckDB reads files itself where they are the table's rows, and only there; the rows are those of a scan.
func TestFilesAreReadDirectlyWhereTheyAreTheRows(t *testing.T) {
	ctx := context.Background()
	lake, err := tables.OpenLake(ctx, tables.Local(t.TempDir()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lake.Close()) })
	folders := lakesql.Folders(lake)
	require.Len(t, folders, 1)
	engine, streams := openEngine(t, folders), openEngine(t, nil)
	same := func(direct int, queries ...string) {
		t.Helper()
		for _, q := range queries {
			in := &watched{Input: lakesql.New(lake, nil).DirectFrom(1)}
			got := run(t, engine, in, q)
			require.Equal(t, run(t, streams, lakesql.New(lake, nil), q), got, q)
			require.NotEmpty(t, got, q)
			require.Equal(t, direct, in.direct, q)
			if direct > 0 {
				require.Zero(t, in.scans, q)
			}
		}
	}
	define := tables.Definition{Name: "a.t", Schema: pairs}
	tbl, _, err := lake.Ensure(ctx, define)
	require.NoError(t, err)
	for from := 0; from < 500; from += 100 {
		appendPairs(t, tbl, from, from+100)
	}
	same(1, "SELECT count(*) AS n FROM a.t", "SELECT sum(k) AS k, min(p) AS p FROM a.t WHERE k >= 250", "SELECT k FROM a.t WHERE k % 3 = 0",
		"SELECT p, count(*) AS n FROM a.t GROUP BY p ORDER BY p", "SELECT l.k, r.p FROM a.t l JOIN a.t r ON r.k = l.k + 1 WHERE l.k < 40 ORDER BY l.k")
	// NaN is above all numbers for DuckDB, and in no statistics: where there is one, it would be missed.
	same(0, "SELECT count(*) AS n FROM a.t WHERE x > 100", "SELECT sum(x) AS x FROM a.t WHERE k > 100")
	same(1, "SELECT sum(x) AS x FROM a.t WHERE k < 200", "SELECT count(*) AS n FROM a.t WHERE x > 40 AND k < 150")
	same(0, "SELECT k, p FROM a.t LIMIT 3")
	in := &watched{Input: lakesql.New(lake, nil)}
	require.Len(t, run(t, streams, in, "SELECT k, p FROM a.t LIMIT 103"), 103)
	require.EqualValues(t, 2, in.last.Stats().FilesRead, "of five")

	// A column that was renamed is known by its id, and its name may be given to another.
	alter := func(change func(*table.UpdateSchema)) {
		t.Helper()
		tbl, err = lake.Table(ctx, "a.t")
		require.NoError(t, err)
		tx := tbl.Iceberg().NewTransaction()
		u := tx.UpdateSchema(true, false)
		change(u)
		require.NoError(t, u.Commit())
		_, err = tx.Commit(ctx)
		require.NoError(t, err)
	}
	alter(func(u *table.UpdateSchema) { u.RenameColumn([]string{"x"}, "y") })
	same(1, "SELECT sum(k) AS k, count(y) AS y FROM a.t WHERE k < 106")
	alter(func(u *table.UpdateSchema) {
		u.AddColumn([]string{"x"}, iceberg.PrimitiveTypes.Int32, "", false, nil)
		u.UpdateColumn([]string{"k"}, table.ColumnUpdate{FieldType: iceberg.Optional[iceberg.Type]{Val: iceberg.PrimitiveTypes.Int64, Valid: true}})
	})
	same(0, "SELECT count(*) AS n, count(x) AS x FROM a.t", "SELECT sum(k) AS k FROM a.t") // not in the files; of another type there
	same(1, "SELECT count(p) AS p FROM a.t")

	// What is deleted from a file is in it still.
	tbl, err = lake.Table(ctx, "a.t")
	require.NoError(t, err)
	schema, err := tbl.Schema()
	require.NoError(t, err)
	where, err := rowfilter.Compile("k == 7", schema)
	require.NoError(t, err)
	_, err = tbl.Delete(ctx, tables.CommitOptions{ID: commit.ID{Writer: "test", Token: "delete"}},
		tables.Rows{Where: where, May: where.May, Rest: where.Rest, Strategy: merge.MergeOnRead})
	require.NoError(t, err)
	same(0, "SELECT count(p) AS p FROM a.t")
}

// Partitioned tables have files in folders whose names say something else to DuckDB, or are patterns.
func TestPathsMeanNothing(t *testing.T) {
	ctx := context.Background()
	lake, err := tables.OpenLake(ctx, tables.Local(filepath.Join(t.TempDir(), "it's")))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lake.Close()) })
	engine := openEngine(t, lakesql.Folders(lake))
	tbl, _, err := lake.Ensure(ctx, tables.Definition{Name: "a.t", Schema: pairs, PartitionBy: []string{"p"}})
	require.NoError(t, err)
	appendPairs(t, tbl, 0, 90)
	in := &watched{Input: lakesql.New(lake, nil).DirectFrom(1)}
	require.Equal(t, []string{"|30", "*|30", "a=b|30"}, run(t, engine, in, "SELECT p, count(*) AS n FROM a.t GROUP BY p ORDER BY p"))
	in = &watched{Input: lakesql.New(lake, nil).DirectFrom(1)}
	require.Equal(t, []string{"a=b|30"}, run(t, engine, in, "SELECT p, count(*) AS n FROM a.t WHERE p = 'a=b' GROUP BY p"))
	require.Zero(t, in.scans)
}

// Folders let nobody else read files.
func TestFoldersAreNotForQueries(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "x.csv")
	require.NoError(t, os.WriteFile(path, []byte("a\n1\n"), 0o600))
	engine := openEngine(t, []string{folder})
	lake, err := tables.OpenLake(t.Context(), tables.Local(t.TempDir()))
	require.NoError(t, err)
	defer lake.Close()
	for _, q := range []string{"SELECT * FROM '" + path + "'", "SELECT * FROM read_csv('" + path + "')", "SELECT * FROM read_text('" + path + "')"} {
		_, err := engine.Run(t.Context(), q, lakesql.New(lake, nil))
		require.Error(t, err, q)
	}
}
