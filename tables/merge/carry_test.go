package merge

import (
	"database/sql"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	_ "github.com/duckdb/duckdb-go/v2"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/internal/rows"
)

// check compares the two tables: values bit for bit, and sequence numbers too.
func (w *carryWorld) check(before [2]arrow.RecordBatch) {
	w.t.Helper()
	after := [2]arrow.RecordBatch{w.rows(carriedTable), w.rows(decodedTable)}
	a, b := after[carriedTable], after[decodedTable]
	require.Equal(w.t, b.NumRows(), a.NumRows())
	for c := range int(a.NumCols()) {
		name := a.ColumnName(c)
		if name == iceberg.RowIDColumnName { // of new rows it follows from the files
			w.checkRowIDs(before[carriedTable], a)
			w.checkRowIDs(before[decodedTable], b)
			continue
		}
		differs := make([]bool, a.NumRows())
		require.NoError(w.t, rows.Differ(a.Column(c), b.Column(c), differs))
		if i := slices.Index(differs, true); i >= 0 {
			w.t.Fatalf("column %s of %s is %s, not %s", name, a.Column(0).ValueStr(i), a.Column(c).ValueStr(i), b.Column(c).ValueStr(i))
		}
	}
}

// checkRowIDs makes sure that rows keep their ids, and that no two have the same.
func (w *carryWorld) checkRowIDs(before, after arrow.RecordBatch) {
	w.t.Helper()
	idsOf := func(batch arrow.RecordBatch) map[string]int64 {
		out, seen := map[string]int64{}, map[int64]bool{}
		column := batch.Column(batch.Schema().FieldIndices(iceberg.RowIDColumnName)[0]).(*array.Int64)
		for i := range column.Len() {
			require.True(w.t, column.IsValid(i))
			require.False(w.t, seen[column.Value(i)], "row id %d is there twice", column.Value(i))
			seen[column.Value(i)] = true
			out[batch.Column(0).(*array.String).Value(i)] = column.Value(i)
		}
		return out
	}
	old := idsOf(before)
	for id, number := range idsOf(after) {
		if was, known := old[id]; known {
			require.Equal(w.t, was, number, "row id of %s", id)
		}
	}
}

// checkFiles has DuckDB read the carried table's files, and compares the manifest's counts.
func (w *carryWorld) checkFiles(db *sql.DB) {
	w.t.Helper()
	tasks, err := w.load(carriedTable).Scan().PlanFiles(w.t.Context())
	require.NoError(w.t, err)
	for _, task := range tasks {
		path := strings.TrimPrefix(task.File.FilePath(), "file://")
		var n, names, distinct int64
		var low, high sql.NullString
		require.NoError(w.t, db.QueryRow("SELECT count(*), count(name), count(DISTINCT id), min(id), max(id) FROM read_parquet(?)", path).Scan(&n, &names, &distinct, &low, &high))
		require.Equal(w.t, task.File.Count(), n)
		require.Equal(w.t, n, distinct)
		schema := w.load(carriedTable).Schema()
		id, _ := schema.FindFieldByName("id")
		name, _ := schema.FindFieldByName("name")
		require.Equal(w.t, n-names, task.File.NullValueCounts()[name.ID])
		require.Equal(w.t, low.String, string(task.File.LowerBoundValues()[id.ID]))
		require.Equal(w.t, high.String, string(task.File.UpperBoundValues()[id.ID]))
		var found int64
		require.NoError(w.t, db.QueryRow("SELECT count(*) FROM read_parquet(?) WHERE id = ?", path, high.String).Scan(&found))
		require.EqualValues(w.t, 1, found)
	}
}

// TestCopyOnWriteCarriesWhatItWouldEncode merges into two tables at random, of which one carries bytes. VARVE_SEED=n replays
// one seed, VARVE_SEEDS=n runs that many.
func TestCopyOnWriteCarriesWhatItWouldEncode(t *testing.T) {
	from, seeds := uint64(36), uint64(10)
	if s := os.Getenv("VARVE_SEEDS"); s != "" {
		seeds, _ = strconv.ParseUint(s, 10, 64)
	}
	if s := os.Getenv("VARVE_SEED"); s != "" {
		from, _ = strconv.ParseUint(s, 10, 64)
		seeds = 1
	}
	db, err := sql.Open("duckdb", "")
	require.NoError(t, err)
	defer db.Close()
	total := int64(0)
	for seed := from; seed < from+seeds; seed++ {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			w := newCarryWorld(t, seed)
			defer func() {
				if t.Failed() {
					t.Logf("replay with VARVE_SEED=%d\n%s", seed, strings.Join(w.log, "\n"))
				}
			}()
			for range 1 + w.rng.IntN(3) {
				w.append(w.random(w.columns(), 20+w.rng.IntN(60)))
			}
			for range 3 {
				total += w.round(db)
			}
		})
	}
	if seeds >= 10 {
		require.Greater(t, total, int64(10_000), "bytes carried")
	}
}

// round changes the tables somehow, and merges copy-on-write into both.
func (w *carryWorld) round(db *sql.DB) int64 {
	w.t.Helper()
	if w.rng.IntN(3) == 0 {
		w.append(w.random(w.columns(), 10+w.rng.IntN(20)))
	}
	if w.rng.IntN(3) == 0 {
		o := w.options()
		o.Strategy = MergeOnRead
		source := w.source(w.rows(carriedTable))
		w.note("merge-on-read")
		for which := range w.tables {
			w.merge(which, source, o)
		}
	}
	if w.rng.IntN(3) == 0 {
		w.evolve()
	}
	if w.rng.IntN(2) == 0 { // row groups too large to decode in memory, by columns or at all
		portion, bytes := portionBytes, []int64{100, 400, 1000}[w.rng.IntN(3)]
		portionBytes = func(int64) int64 { return bytes }
		defer func() { portionBytes = portion }()
	}
	before := [2]arrow.RecordBatch{w.rows(carriedTable), w.rows(decodedTable)}
	source, o := w.source(before[carriedTable]), w.options()
	w.note("copy-on-write")
	w.limit("1000000")
	carried, decoded := w.merge(carriedTable, source, o), w.merge(decodedTable, source, o)
	w.limit("8")
	w.note("  carried %d bytes, %d rows", carried.CarriedBytes, carried.Carried)
	require.Zero(w.t, decoded.CarriedBytes)
	carriedBytes := carried.CarriedBytes
	for _, s := range []*Stats{&carried, &decoded} {
		s.Carried, s.CarriedBytes, s.BytesRead, s.BytesWritten, s.FilesAdded, s.FilesRemoved, s.FilesScanned, s.FilesPruned, s.SpilledBytes, s.DeleteFilesAdded, s.Stages = 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, nil // files differ
	}
	require.Equal(w.t, decoded, carried)
	w.check(before)
	w.checkFiles(db)
	return carriedBytes
}

// A source of few keys has Bloom filters asked before keys are read, and finds the same rows.
func TestFewKeysAreLookedUpInBloomFilters(t *testing.T) {
	w := newCarryWorld(t, 1)
	for range 3 {
		w.append(w.random(w.columns(), 400))
	}
	before := w.rows(carriedTable)
	ids := before.Column(0).(*array.String)
	b := array.NewStringBuilder(memory.DefaultAllocator)
	b.AppendValues([]string{ids.Value(5), ids.Value(700), "no such id"}, nil)
	source := batchSource{array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "id", Type: arrow.BinaryTypes.String}}, nil), []arrow.Array{b.NewArray()}, 3)}
	o := Options{On: []string{"id"}, Matched: []Clause{{Action: Delete}}, Strategy: CopyOnWrite, TempDir: t.TempDir()}

	bound, err := bind(t.Context(), w.load(carriedTable), source.Schema(), o)
	require.NoError(t, err)
	l, err := bound.load(t.Context(), source, nil)
	require.NoError(t, err)
	require.NotNil(t, bound.few(l))
	r, err := newReader(t.Context(), w.load(carriedTable), &atomic.Int64{})
	require.NoError(t, err)
	tasks, err := w.load(carriedTable).Scan().PlanFiles(t.Context())
	require.NoError(t, err)
	read := 0
	for _, task := range tasks {
		err := r.scanFile(t.Context(), &targetFile{task: task}, "", []string{"id"}, datafile.ReadOptions{Prune: bound.few(l)}, func(b block) error {
			read += b.n
			return nil
		})
		require.NoError(t, err)
	}
	require.Less(t, read, 200, "of 1200 keys")

	stats := w.merge(carriedTable, source, o)
	require.EqualValues(t, 2, stats.Deleted)
	require.EqualValues(t, 1198, w.rows(carriedTable).NumRows())
}
