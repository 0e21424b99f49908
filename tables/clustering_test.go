package tables_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
)

const cubeRange = 1_000_000

var cubeSchema = arrow.NewSchema([]arrow.Field{
	{Name: "a", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "b", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
	{Name: "c", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
}, nil)

// cube makes a table of random points, in so many files.
func cube(t *testing.T, format, files, rows int, properties map[string]string) *tables.Table {
	lake := newLake(t)
	tbl, _, err := lake.Ensure(ctx, tables.Definition{Name: "ns.cube", Schema: cubeSchema, FormatVersion: format, Properties: properties})
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 2))
	for file := range files {
		b := array.NewRecordBuilder(memory.DefaultAllocator, cubeSchema)
		for range rows {
			v := []int64{rng.Int64N(cubeRange), rng.Int64N(cubeRange), rng.Int64N(cubeRange)}
			for i := range v {
				b.Field(i).(*array.Int64Builder).Append(v[i])
			}
		}
		batch := b.NewRecordBatch()
		r, err := array.NewRecordReader(cubeSchema, []arrow.RecordBatch{batch})
		require.NoError(t, err)
		staged, err := tbl.Stage(ctx, r, tables.StageOptions{})
		require.NoError(t, err)
		_, err = tbl.Append(ctx, token("load", file), staged)
		require.NoError(t, err)
		batch.Release()
	}
	tbl, err = tbl.Refresh(ctx)
	require.NoError(t, err)
	return tbl
}

// points are a table's rows, in an order of their own, with their lineage where it is asked for.
func points(t *testing.T, tbl *tables.Table, columns ...string) []string {
	r, err := tbl.Scan(ctx, tables.ScanOptions{Columns: append([]string{"a", "b", "c"}, columns...)})
	require.NoError(t, err)
	defer r.Release()
	var out []string
	for r.Next() {
		for row := range int(r.RecordBatch().NumRows()) {
			var v []string
			for _, c := range r.RecordBatch().Columns() {
				v = append(v, c.ValueStr(row))
			}
			out = append(out, strings.Join(v, " "))
		}
	}
	require.NoError(t, r.Err())
	slices.Sort(out)
	return out
}

// TestBinPackCopiesBytes: what needs no decoding is not decoded, and rows keep their lineage.
func TestBinPackCopiesBytes(t *testing.T) {
	for _, format := range []int{2, 3} {
		t.Run(fmt.Sprint("format ", format), func(t *testing.T) {
			tbl := cube(t, format, 6, 500, map[string]string{"write.parquet.row-group-limit": "300"})
			var lineage []string
			if format == 3 {
				lineage = []string{"_row_id", "_last_updated_sequence_number"}
			}
			before := points(t, tbl, lineage...)
			r, err := tbl.Compact(ctx, token("m", 1), maintain.CompactOptions{})
			require.NoError(t, err)
			require.Equal(t, []int{1, 6, 1}, []int{r.Groups, r.FilesRemoved, r.FilesAdded})
			require.Greater(t, r.BytesCopied, r.BytesRead/2, "of %d bytes written", r.BytesWritten)
			tbl, err = tbl.Refresh(ctx)
			require.NoError(t, err)
			require.Equal(t, before, points(t, tbl, lineage...))
		})
	}
}

// TestBrokenInputIsNamed: a file that is cut short ends a compaction with its name, and leaves nothing behind.
func TestBrokenInputIsNamed(t *testing.T) {
	for _, strategy := range []maintain.Strategy{maintain.BinPack, maintain.Sort, maintain.ZOrder} {
		t.Run(string(strategy), func(t *testing.T) {
			tbl := cube(t, 2, 3, 500, map[string]string{"write.parquet.row-group-limit": "300"})
			files := dataFiles(t, tbl)
			path := strings.TrimPrefix(files[1], "file://")
			whole, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(path, whole[:len(whole)/2], 0o600))
			o := maintain.CompactOptions{Strategy: strategy, RewriteAll: true}
			if strategy != maintain.BinPack {
				o.Columns = []string{"a"}
			}
			_, err = tbl.Compact(ctx, token("m", 1), o)
			require.ErrorContains(t, err, files[1][strings.LastIndexByte(files[1], '/')+1:])
			folder, err := os.ReadDir(path[:strings.LastIndexByte(path, '/')])
			require.NoError(t, err)
			require.Len(t, folder, 3)
		})
	}
}

func dataFiles(t *testing.T, tbl *tables.Table) (out []string) {
	tasks, err := tbl.Iceberg().Scan().PlanFiles(ctx)
	require.NoError(t, err)
	for _, task := range tasks {
		out = append(out, task.File.FilePath())
	}
	slices.Sort(out)
	return out
}

// TestZOrderSkips: after zorder(a, b, c), range filters on each single column read at most a quarter of the files that sorting
// by a leaves for b and c, which are all. That takes many files: of N, a narrow range of the last of three columns is in a fifth
// where N is 1000, and in a quarter where it is 550. VARVE_SKIPPING_ROWS=10000000 has ten million rows in as many files.
func TestZOrderSkips(t *testing.T) {
	rows := 200_000
	if text := os.Getenv("VARVE_SKIPPING_ROWS"); text != "" {
		var err error
		rows, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	target := int64(rows) * 13 / 2000
	read := map[maintain.Strategy]map[string]int{}
	for strategy, columns := range map[maintain.Strategy][]string{maintain.Sort: {"a"}, maintain.ZOrder: {"a", "b", "c"}} {
		tbl := cube(t, 2, 4, rows/4, nil)
		o := maintain.CompactOptions{Strategy: strategy, Columns: columns, RewriteAll: true, TargetFileBytes: target, MemoryLimit: int64(rows) * 10}
		var before []string
		if rows <= 1_000_000 {
			before = points(t, tbl)
		}
		r, err := tbl.Compact(ctx, token("m", 1), o)
		require.NoError(t, err)
		require.Greater(t, r.FilesAdded, 750)
		tbl = refreshed(t, tbl)
		if before != nil {
			require.Equal(t, before, points(t, tbl))
		}
		read[strategy] = filesOfRanges(t, tbl)
		t.Logf("%s: %d files, of which %d ranges of each column read %v", strategy, r.FilesAdded, skippingRanges, read[strategy])
		if strategy == maintain.Sort {
			require.Less(t, read[strategy]["a"], r.FilesAdded*skippingRanges/50, "of a two-hundredth each")
		}
		plan, err := tbl.PlanCompaction(ctx, maintain.CompactOptions{Strategy: strategy, Columns: columns, TargetFileBytes: target, MinInputFiles: 1 << 20})
		require.NoError(t, err)
		require.Empty(t, plan.Groups, "what is clustered is not clustered again")
	}
	for _, column := range []string{"a", "b", "c"} {
		for _, other := range []string{"b", "c"} {
			require.LessOrEqual(t, read[maintain.ZOrder][column]*4, read[maintain.Sort][other], "%s beside %s: %v", column, other, read)
		}
	}
}

const skippingRanges = 40

// filesOfRanges is how many files are read by ranges of a two-hundredth of each column, all together.
func filesOfRanges(t *testing.T, tbl *tables.Table) map[string]int {
	out := map[string]int{}
	for i, column := range []string{"a", "b", "c"} {
		rng := rand.New(rand.NewPCG(7, uint64(i)))
		for range skippingRanges {
			low := rng.Int64N(cubeRange - cubeRange/200)
			filter := iceberg.NewAnd(iceberg.GreaterThanEqual(iceberg.Reference(column), low), iceberg.LessThan(iceberg.Reference(column), low+cubeRange/200))
			tasks, err := tbl.Iceberg().Scan(table.WithRowFilter(filter)).PlanFiles(ctx)
			require.NoError(t, err)
			out[column] += len(tasks)
		}
	}
	return out
}
