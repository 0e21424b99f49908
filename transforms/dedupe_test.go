package transforms_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms"
	"github.com/varve-lake/varve/transforms/internal/rowtest"
)

func TestDedupe(t *testing.T) {
	src := &rowtest.Rewindable{Batches: []arrow.RecordBatch{
		rowtest.Batch(t, "id int; name string; at timestamp; x double",
			`{"id": 1, "name": "first", "at": "2024-01-01 00:00", "x": 0}`,
			`{"id": 2, "name": "only", "at": null, "x": 1}`,
			`{"id": null, "name": "null a", "at": "2024-01-01 00:00", "x": 2}`,
			`{"id": 1, "name": "newer", "at": "2024-01-03 00:00", "x": 0}`,
		),
		rowtest.Batch(t, "id int; name string; at timestamp; x double",
			`{"id": 1, "name": "tie", "at": "2024-01-03 00:00", "x": 0}`,
			`{"id": 1, "name": "no time", "at": null, "x": 0}`,
			`{"id": null, "name": "null b", "at": "2023-01-01 00:00", "x": 2}`,
		),
	}}
	cases := []struct {
		by, order []string
		keep      string
		want      []string
	}{
		{[]string{"id"}, []string{"at"}, "latest", []string{"only", "null a", "tie"}},
		{[]string{"id"}, []string{"at"}, "earliest", []string{"first", "only", "null b"}},
		{[]string{"id"}, nil, "", []string{"only", "no time", "null b"}},
		{[]string{"id"}, nil, "earliest", []string{"first", "only", "null a"}},
		{[]string{"x"}, []string{"at", "name"}, "latest", []string{"only", "null a", "tie"}},
		{[]string{"id", "name"}, nil, "latest", []string{"first", "only", "null a", "newer", "tie", "no time", "null b"}},
		{[]string{"id", "id"}, []string{"id", "at"}, "latest", []string{"only", "null a", "tie"}},
	}
	for _, c := range cases {
		src.Opened = nil
		rows, counts, err := transforms.Dedupe(context.Background(), src, c.by, c.keep, c.order, transforms.DedupeOptions{})
		require.NoError(t, err)
		got, err := rowtest.Drain(rows)
		require.NoError(t, err)
		require.Len(t, got, len(c.want))
		for i, name := range c.want {
			require.Contains(t, got[i], fmt.Sprintf("%q:%q", "name", name), "%v %v %s", c.by, c.order, c.keep)
		}
		require.Equal(t, transforms.DedupeCounts{In: 7, Out: int64(len(c.want)), Duplicates: int64(7 - len(c.want))}, counts)
		require.Len(t, src.Opened, 2)
		require.Nil(t, src.Opened[1])
		require.Less(t, len(src.Opened[0]), 4, "only keys and order are read at first")
	}
}

func TestDedupeMistakes(t *testing.T) {
	src := &rowtest.Rewindable{Batches: []arrow.RecordBatch{rowtest.Batch(t, "id int; xs list<int>")}}
	cases := []struct {
		by, order []string
		keep      string
		want      string
	}{
		{nil, nil, "latest", "dedupe names no column"},
		{[]string{"idd"}, nil, "latest", `unknown column "idd"; did you mean "id"?`},
		{[]string{"id"}, []string{"at"}, "latest", `unknown column "at"`},
		{[]string{"id"}, nil, "newest", `keep is latest or earliest, found "newest"`},
		{[]string{"id"}, []string{"xs"}, "latest", "have no order"},
	}
	for _, c := range cases {
		_, _, err := transforms.Dedupe(context.Background(), src, c.by, c.keep, c.order, transforms.DedupeOptions{})
		require.ErrorContains(t, err, c.want)
		var step *transforms.StepError
		require.ErrorAs(t, err, &step)
	}
}

// generated is rows of a key with so many different values, an order and the row's number.
func generated(t testing.TB, seed uint64, n, keys int, keyPad string) *rowtest.Rewindable {
	r := rand.New(rand.NewPCG(seed, 1))
	schema := rowtest.Schema(t, "k string; o long; row long")
	src := &rowtest.Rewindable{}
	for from := 0; from < n; {
		size := min(n-from, 1+r.IntN(3000))
		b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
		for i := range size {
			if r.IntN(50) == 0 {
				b.Field(0).AppendNull()
			} else {
				b.Field(0).(*array.StringBuilder).Append(fmt.Sprintf("%s%d", keyPad, r.IntN(keys)))
			}
			if r.IntN(10) == 0 {
				b.Field(1).AppendNull()
			} else {
				b.Field(1).(*array.Int64Builder).Append(r.Int64N(20))
			}
			b.Field(2).(*array.Int64Builder).Append(int64(from + i))
		}
		src.Batches = append(src.Batches, b.NewRecordBatch())
		b.Release()
		from += size
	}
	return src
}

// expected is the rows to keep, by the rules as they are written.
func expected(src *rowtest.Rewindable, latest bool) map[int64]bool {
	type row struct {
		o    int64
		null bool
		row  int64
	}
	best := map[string]row{}
	for _, b := range src.Batches {
		k, o, n := b.Column(0).(*array.String), b.Column(1).(*array.Int64), b.Column(2).(*array.Int64)
		for i := range k.Len() {
			key := "\x00null"
			if k.IsValid(i) {
				key = k.Value(i)
			}
			c := row{o: o.Value(i), null: o.IsNull(i), row: n.Value(i)}
			old, found := best[key]
			wins := !found
			switch {
			case !found:
			case c.null != old.null:
				wins = old.null
			case !c.null && c.o != old.o:
				wins = (c.o > old.o) == latest
			default:
				wins = latest // the later row, which is c
			}
			if wins {
				best[key] = c
			}
		}
	}
	out := map[int64]bool{}
	for _, b := range best {
		out[b.row] = true
	}
	return out
}

func TestDedupeAgreesWithModel(t *testing.T) {
	cases := []struct {
		n, keys int
		pad     string
		limit   int64
		spills  bool
	}{
		{20000, 5000, "", 1 << 20, false},
		{60000, 30000, "", 512 << 10, true},
		{80000, 60000, "", 1, true},                                // sharded again and again
		{60000, 3, "", 1, false},                                   // few keys
		{5000, 2500, strings.Repeat("long", 500), 256 << 10, true}, // keys of 2 KB
		{300, 30, strings.Repeat("x", 100_000), 1, true},           // not even a key fits
		{1, 1, "", 0, false},
	}
	for i, c := range cases {
		for _, keep := range []string{"latest", "earliest"} {
			t.Run(fmt.Sprintf("%d %s", i, keep), func(t *testing.T) {
				dir := t.TempDir()
				src := generated(t, uint64(i), c.n, c.keys, c.pad)
				want := expected(src, keep == "latest")
				rows, counts, err := transforms.Dedupe(context.Background(), src, []string{"k"}, keep, []string{"o"},
					transforms.DedupeOptions{MemoryLimit: c.limit, TempDir: dir})
				require.NoError(t, err)
				defer rows.Release()
				require.Equal(t, c.spills, counts.SpilledBytes > 0)
				last, n := int64(-1), 0
				for rows.Next() {
					for _, row := range rows.RecordBatch().Column(2).(*array.Int64).Int64Values() {
						require.True(t, want[row], "row %d", row)
						require.Greater(t, row, last, "the order is the source's")
						last = row
						n++
					}
				}
				require.NoError(t, rows.Err())
				require.Len(t, want, n)
				require.EqualValues(t, n, counts.Out)
				left, err := os.ReadDir(dir)
				require.NoError(t, err)
				require.Empty(t, left, "what was spilled is removed")
			})
		}
	}
}

// The table stays within its limit: what is live after many keys is far less than the keys.
func TestDedupeMemory(t *testing.T) {
	src := &endless{rows: 600_000}
	var peak uint64
	src.each = func() { peak = max(peak, heap()) }
	before := heap()
	rows, counts, err := transforms.Dedupe(context.Background(), src, []string{"k"}, "latest", nil,
		transforms.DedupeOptions{MemoryLimit: 4 << 20, TempDir: t.TempDir()})
	require.NoError(t, err)
	defer rows.Release()
	require.EqualValues(t, src.rows, counts.Out)
	require.Greater(t, counts.SpilledBytes, int64(16<<20), "the keys are far more than the limit")
	require.Less(t, peak-min(peak, before), uint64(12<<20), "limit, batch and what the collector has not seen yet")
}

func TestDedupeOfChangingSource(t *testing.T) {
	src := generated(t, 1, 5000, 100, "")
	changing := &changes{Rewindable: src}
	rows, _, err := transforms.Dedupe(context.Background(), changing, []string{"k"}, "latest", nil, transforms.DedupeOptions{})
	require.NoError(t, err)
	_, err = rowtest.Drain(rows)
	require.ErrorContains(t, err, "the rows changed between two readings: 5000 at first, then")
}

// changes loses a batch at the second reading.
type changes struct{ *rowtest.Rewindable }

func (c *changes) Open(ctx context.Context, columns []string) (array.RecordReader, error) {
	if columns == nil {
		c.Batches = c.Batches[:len(c.Batches)-1]
	}
	return c.Rewindable.Open(ctx, columns)
}

func TestDedupeIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	src := &endless{rows: 1 << 40, each: cancel}
	_, _, err := transforms.Dedupe(ctx, src, []string{"k"}, "latest", nil, transforms.DedupeOptions{MemoryLimit: 1 << 20, TempDir: t.TempDir()})
	require.ErrorIs(t, err, context.Canceled)
}

func TestDedupeWhereNothingCanBeSpilled(t *testing.T) {
	src := generated(t, 1, 5000, 5000, "")
	_, _, err := transforms.Dedupe(context.Background(), src, []string{"k"}, "latest", nil,
		transforms.DedupeOptions{MemoryLimit: 1, TempDir: t.TempDir() + "/missing"})
	require.ErrorContains(t, err, "dedupe by [k]: spill keys: ")
	require.True(t, errors.Is(err, os.ErrNotExist))
}
