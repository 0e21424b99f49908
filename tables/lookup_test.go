package tables_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/internal/random"
)

// lookupTable has twelve files of a hundred rows: ids from 0, whose rows have the user id/7.
func lookupTable(t *testing.T) (*tables.Lake, *tables.Table) {
	ctx := context.Background()
	lake, err := tables.OpenLake(ctx, tables.Local(t.TempDir()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lake.Close()) })
	var columns []random.Column
	for _, c := range [][2]string{{"id", "long"}, {"user", "int"}, {"name", "string"}, {"price", "decimal(9, 2)"}, {"day", "date"}, {"at", "timestamptz"}, {"u", "uuid"}, {"x", "double"}, {"ok", "boolean"}, {"raw", "binary"}} {
		columns = append(columns, random.Column{Name: c[0], Kind: random.KindNamed(c[1])})
	}
	tbl, _, err := lake.Ensure(ctx, tables.Definition{Name: "gold.sales", Schema: random.Schema(columns, "id"), Identifier: []string{"id"}})
	require.NoError(t, err)
	for f := range 12 {
		var rows [][]any
		for i := f * 100; i < f*100+100; i++ {
			x := any(float64(i))
			if i%50 == 0 {
				x = math.NaN()
			}
			rows = append(rows, []any{int64(i), int64(i / 7), fmt.Sprint("name ", i%13), decimal128.FromI64(int64(i)), int64(i % 30), int64(i) * 1_000_000, uuid.UUID{0: byte(i), 1: byte(i >> 8)}, x, i%2 == 0, []byte{byte(i), 1}})
		}
		rows[3][2] = nil
		batch := random.Batch(columns, rows)
		r, err := array.NewRecordReader(batch.Schema(), []arrow.RecordBatch{batch})
		require.NoError(t, err)
		staged, err := tbl.Stage(ctx, r, tables.StageOptions{})
		require.NoError(t, err)
		_, err = tbl.Append(ctx, tables.CommitOptions{ID: commit.ID{Writer: "test", Token: fmt.Sprint(f)}}, staged)
		require.NoError(t, err)
		tbl, err = tbl.Refresh(ctx)
		require.NoError(t, err)
	}
	return lake, tbl
}

func lookedUp(t *testing.T, tbl *tables.Table, key map[string]any, opts tables.LookupOptions) ([]int64, tables.ReadStats) {
	t.Helper()
	opts.Columns = []string{"id"}
	rows, err := tbl.Lookup(context.Background(), key, opts)
	require.NoError(t, err)
	defer rows.Release()
	ids := []int64{}
	for rows.Next() {
		ids = append(ids, rows.RecordBatch().Column(0).(*array.Int64).Int64Values()...)
	}
	require.NoError(t, rows.Err())
	slices.Sort(ids) // the newest manifest comes first
	return ids, rows.Stats()
}

func TestLookup(t *testing.T) {
	_, tbl := lookupTable(t)
	every := func(step, from int) (out []int64) {
		for i := from; i < 1200; i += step {
			out = append(out, int64(i))
		}
		return out
	}
	for _, c := range []struct {
		key  map[string]any
		want []int64
	}{
		{map[string]any{"id": "345"}, []int64{345}},
		{map[string]any{"id": 345}, []int64{345}},
		{map[string]any{"id": uint16(345)}, []int64{345}},
		{map[string]any{"id": -1}, []int64{}},
		{map[string]any{"user": "14"}, []int64{98, 99, 100, 101, 102, 103, 104}},
		{map[string]any{"user": "14", "ok": "true"}, []int64{98, 100, 102, 104}},
		{map[string]any{"user": "14", "ok": false, "id": 101}, []int64{101}},
		{map[string]any{"name": "name 5", "user": 0}, []int64{5}},
		{map[string]any{"name": nil}, every(100, 3)},
		{map[string]any{"price": "7.77"}, []int64{777}},
		{map[string]any{"price": "+7.7700"}, []int64{777}},
		{map[string]any{"price": 7}, []int64{700}},
		{map[string]any{"day": "1970-01-30", "user": 4}, []int64{29}},
		{map[string]any{"day": time.Date(1970, 1, 30, 0, 0, 0, 0, time.UTC), "user": 4}, []int64{29}},
		{map[string]any{"at": "1970-01-01T00:01:00Z"}, []int64{60}},
		{map[string]any{"at": "1970-01-01 01:01:00+01:00"}, []int64{60}},
		{map[string]any{"u": "02010000-0000-0000-0000-000000000000"}, []int64{258}},
		{map[string]any{"u": uuid.UUID{0: 2, 1: 1}}, []int64{258}},
		{map[string]any{"x": "3.0"}, []int64{3}},
		{map[string]any{"x": "NaN"}, every(50, 0)},
		{map[string]any{"raw": "0301", "user": 0}, []int64{3}},
	} {
		got, _ := lookedUp(t, tbl, c.key, tables.LookupOptions{})
		require.Equal(t, c.want, got, "%v", c.key)
	}
	got, _ := lookedUp(t, tbl, map[string]any{"name": nil}, tables.LookupOptions{Limit: 2})
	require.Len(t, got, 2)
	require.Subset(t, every(100, 3), got)
}

func TestLookupReadsLittleAndRemembers(t *testing.T) {
	lake, tbl := lookupTable(t)
	_, s := lookedUp(t, tbl, map[string]any{"id": 345}, tables.LookupOptions{})
	require.EqualValues(t, 12, s.Files)
	require.EqualValues(t, 11, s.FilesPrunedByValue)
	require.EqualValues(t, 1, s.FilesRead)
	require.Positive(t, s.MetadataReads)
	_, s = lookedUp(t, tbl, map[string]any{"id": 345}, tables.LookupOptions{})
	require.Zero(t, s.MetadataReads, "manifests are kept")
	again, err := lake.Table(t.Context(), "gold.sales")
	require.NoError(t, err)
	_, s = lookedUp(t, again, map[string]any{"id": 346}, tables.LookupOptions{})
	require.Zero(t, s.MetadataReads, "for all handles of the lake")
	_, s = lookedUp(t, tbl, map[string]any{"id": 5000}, tables.LookupOptions{})
	require.Zero(t, s.FilesRead+s.Bytes)
	got, s := lookedUp(t, tbl, map[string]any{"u": uuid.UUID{0: 200}}, tables.LookupOptions{})
	require.Equal(t, []int64{200}, got)
	require.EqualValues(t, 12, s.FilesRead+s.FilesPruned+s.FilesPrunedByValue)

	// A snapshot before has the rows that it had; deleted rows are gone.
	first := tbl.Snapshots()[0].ID
	got, _ = lookedUp(t, tbl, map[string]any{"user": 14}, tables.LookupOptions{Version: tables.Version{SnapshotID: &first}})
	require.Equal(t, []int64{98, 99}, got)
	unknown := int64(77)
	_, err = tbl.Lookup(t.Context(), map[string]any{"id": 1}, tables.LookupOptions{Version: tables.Version{SnapshotID: &unknown}})
	require.ErrorIs(t, err, tables.ErrNoSuchSnapshot)
}

func TestLookupNamesWhatIsWrongOfAKey(t *testing.T) {
	_, tbl := lookupTable(t)
	for _, c := range []struct {
		key  map[string]any
		want string
	}{
		{map[string]any{"id": "abc"}, `look up in gold.sales: column id: "abc" is no value of type long`},
		{map[string]any{"user": "3000000000"}, `column user: "3000000000" is no value of type int`},
		{map[string]any{"user": 1.5}, "column user: 1.5 of Go's type float64 is no value of type int"},
		{map[string]any{"nam": "x"}, "column nam: there is none of that name among [id user name price day at u x ok raw]"},
		{map[string]any{"price": "1.234"}, `column price: "1.234" is no value of type decimal(9, 2)`},
		{map[string]any{"price": "12345678"}, `"12345678" is no value of type decimal(9, 2)`},
		{map[string]any{"price": ""}, `"" is no value of type decimal(9, 2)`},
		{map[string]any{"day": "1970-01-30 01:00:00"}, `is no value of type date`},
		{map[string]any{"ok": "yes"}, `"yes" is no value of type boolean`},
		{map[string]any{"u": "12"}, `"12" is no value of type uuid`},
		{map[string]any{"name": 5}, "5 of Go's type int is no value of type string"},
		{map[string]any{"raw": "0g"}, `is no value of type binary`},
	} {
		_, err := tbl.Lookup(t.Context(), c.key, tables.LookupOptions{})
		require.ErrorIs(t, err, tables.ErrKey, "%v", c.key)
		require.ErrorContains(t, err, c.want)
	}
	_, err := tbl.Lookup(t.Context(), nil, tables.LookupOptions{})
	require.ErrorIs(t, err, tables.ErrKey)
}

func TestLookupsAtOnce(t *testing.T) {
	_, tbl := lookupTable(t)
	var all sync.WaitGroup
	for g := range 16 {
		all.Go(func() {
			for i := g; i < 400; i += 16 {
				rows, err := tbl.Lookup(context.Background(), map[string]any{"id": i * 3}, tables.LookupOptions{Columns: []string{"id"}})
				if err != nil {
					t.Error(err)
					return
				}
				var ids []int64
				for rows.Next() {
					ids = append(ids, rows.RecordBatch().Column(0).(*array.Int64).Int64Values()...)
				}
				if err := rows.Err(); err != nil || !slices.Equal(ids, []int64{int64(i * 3)}) {
					t.Errorf("%d: %v %v", i*3, ids, err)
				}
				rows.Release()
			}
		})
	}
	all.Wait()
}

// Nanoseconds are looked up to the last, and a time that the type has not is no key.
func TestLookupOfNanoseconds(t *testing.T) {
	schema := arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.PrimitiveTypes.Int64}, {Name: "ts", Type: &arrow.TimestampType{Unit: arrow.Nanosecond}, Nullable: true},
		{Name: "tz", Type: &arrow.TimestampType{Unit: arrow.Nanosecond, TimeZone: "UTC"}, Nullable: true},
	}, nil)
	tbl := ensure(t, newLake(t), tables.Definition{Name: "ns.nanos", FormatVersion: 3, Schema: schema, PartitionBy: []string{"days(ts)"}})
	base := time.Date(2024, 1, 1, 0, 0, 0, 123456789, time.UTC)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	for i := range int64(5) {
		b.Field(0).(*array.Int64Builder).Append(i)
		b.Field(1).(*array.TimestampBuilder).Append(arrow.Timestamp(base.UnixNano() + i))
		b.Field(2).(*array.TimestampBuilder).Append(arrow.Timestamp(base.UnixNano() - i))
	}
	batch := b.NewRecordBatch()
	r, err := array.NewRecordReader(batch.Schema(), []arrow.RecordBatch{batch})
	require.NoError(t, err)
	staged, err := tbl.Stage(ctx, r, tables.StageOptions{})
	require.NoError(t, err)
	_, err = tbl.Append(ctx, tables.CommitOptions{ID: commit.ID{Writer: "test", Token: "1"}}, staged)
	require.NoError(t, err)
	tbl = reload(t, tbl)
	for _, c := range []struct {
		key  map[string]any
		want []int64
	}{
		{map[string]any{"ts": "2024-01-01T00:00:00.123456789"}, []int64{0}},
		{map[string]any{"ts": "2024-01-01 00:00:00.123456792"}, []int64{3}},
		{map[string]any{"ts": base.Add(2)}, []int64{2}},
		{map[string]any{"ts": "2024-01-01T00:00:00.123456"}, []int64{}},
		{map[string]any{"tz": "2024-01-01T02:00:00.123456788+02:00"}, []int64{1}},
		{map[string]any{"tz": "2024-01-01T00:00:00.123456787Z"}, []int64{2}},
	} {
		got, _ := lookedUp(t, tbl, c.key, tables.LookupOptions{})
		require.Equal(t, c.want, got, "%v", c.key)
	}
	for _, key := range []any{"1600-01-01T00:00:00Z", "2300-01-01", "soon", 5} {
		_, err := tbl.Lookup(ctx, map[string]any{"ts": key}, tables.LookupOptions{})
		require.ErrorIs(t, err, tables.ErrKey, "%v", key)
	}
}
