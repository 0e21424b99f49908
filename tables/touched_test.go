package tables_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// watched is a catalog whose tables tell which manifests of them are opened.
type watched struct {
	*catalog.Catalog
	mu     sync.Mutex
	opened map[string]bool
}

// LoadTable implements commit.Catalog.
func (w *watched) LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error) {
	t, err := w.Catalog.LoadTable(ctx, ident)
	if err != nil {
		return nil, err
	}
	return tables.StoredThrough(t, func(fs iceio.WriteFileIO) iceio.IO { return &watchedStore{fs, w} }), nil
}

type watchedStore struct {
	iceio.WriteFileIO
	by *watched
}

// Open implements iceio.IO.
func (s *watchedStore) Open(name string) (iceio.File, error) {
	if base := path.Base(name); strings.HasSuffix(base, ".avro") && !strings.HasPrefix(base, "snap-") {
		s.by.mu.Lock()
		s.by.opened[name] = true
		s.by.mu.Unlock()
	}
	return s.WriteFileIO.Open(name)
}

// manyManifests is a table of which each day was appended in a snapshot, and so a manifest, of its own.
func manyManifests(t *testing.T, format, days int) (*tables.Lake, *watched) {
	t.Helper()
	lake := newLake(t)
	tbl := ensure(t, lake, tables.Definition{Name: "ns.t", FormatVersion: format, PartitionBy: []string{"day"},
		Schema: schemaOf(t, []string{"day long", "id long", "v long"})})
	for day := range days {
		put(t, tbl, token("load", day), fmt.Sprintf("%d 1 0", day), fmt.Sprintf("%d 2 0", day))
	}
	w := &watched{Catalog: lake.Catalog()}
	lake.CommitThrough(w)
	return lake, w
}

// during gives the manifests of the head that a change opens, and those that may list a file of a day, as the manifest list says.
func (w *watched) during(t *testing.T, lake *tables.Lake, days []int64, change func(*tables.Table) tables.Result) (opened, candidates []string) {
	t.Helper()
	tbl, err := lake.Table(ctx, "ns.t")
	require.NoError(t, err)
	fs, err := tbl.FS(ctx)
	require.NoError(t, err)
	manifests, err := tbl.Iceberg().CurrentSnapshot().Manifests(fs)
	require.NoError(t, err)
	w.opened = map[string]bool{}
	require.True(t, change(tbl).Committed)
	all := map[string]bool{}
	for _, m := range manifests {
		low := int64(binary.LittleEndian.Uint64(*m.Partitions()[0].LowerBound))
		high := int64(binary.LittleEndian.Uint64(*m.Partitions()[0].UpperBound))
		if slices.ContainsFunc(days, func(d int64) bool { return low <= d && d <= high }) && m.AddedDataFiles()+m.ExistingDataFiles() > 0 {
			candidates = append(candidates, m.FilePath())
		}
		all[m.FilePath()] = true
	}
	maps.DeleteFunc(w.opened, func(name string, _ bool) bool { return !all[name] }) // of the new snapshot
	slices.Sort(candidates)
	return slices.Sorted(maps.Keys(w.opened)), candidates
}

// TestAChangeOpensTheManifestsThatItTouches: a MERGE, a delete by a condition and the commit of a compaction read the manifests that may
// list a file of the partitions that they are about, and no other one.
func TestAChangeOpensTheManifestsThatItTouches(t *testing.T) {
	const days = 40
	for _, format := range []int{2, 3} {
		t.Run(fmt.Sprint("format ", format), func(t *testing.T) {
			lake, w := manyManifests(t, format, days)
			rows := map[string]string{}
			for day := range days {
				rows[fmt.Sprint(day, " 1")], rows[fmt.Sprint(day, " 2")] = "0", "0"
			}
			check := func(what string, of []int64, change func(*tables.Table) tables.Result) {
				t.Helper()
				opened, candidates := w.during(t, lake, of, change)
				require.NotEmpty(t, candidates, what)
				require.Less(t, len(candidates), 16, what)
				require.Equal(t, candidates, opened, what)
				var want []string
				for key, v := range rows {
					want = append(want, key+" "+v)
				}
				tbl, err := lake.Table(ctx, "ns.t")
				require.NoError(t, err)
				rdr, err := tbl.Scan(ctx, tables.ScanOptions{})
				require.NoError(t, err)
				require.ElementsMatch(t, want, rowTexts(t, batches(rdr)), what)
			}
			for i, strategy := range []merge.Strategy{merge.CopyOnWrite, merge.MergeOnRead, merge.MergeOnRead, merge.CopyOnWrite} {
				what := fmt.Sprint("merge ", i, " ", strategy)
				check(what, []int64{7, 8}, func(tbl *tables.Table) tables.Result {
					schema, err := tbl.Schema()
					require.NoError(t, err)
					v := fmt.Sprint(i + 1)
					rows["7 1"], rows["8 2"], rows["8 3"] = v, v, v
					result, err := tbl.Merge(ctx, token("merge", i), merge.Options{On: []string{"day", "id"}, Strategy: strategy,
						Matched: []merge.Clause{{Action: merge.Update, All: true}}, NotMatched: []merge.Clause{{Action: merge.Insert, All: true}}},
						&rowSource{t: t, schema: schema, lines: []string{"7 1 " + v, "8 2 " + v, "8 3 " + v}})
					require.NoError(t, err)
					return result
				})
			}
			for i, where := range []string{"day == 9", "day == 10 and id == 2", "day == 11 and id == 2"} {
				check("delete "+where, []int64{9 + int64(i)}, func(tbl *tables.Table) tables.Result {
					strategy := []string{"copy-on-write", "copy-on-write", "merge-on-read"}[i]
					of, err := rowsWhere(tbl, where, strategy)
					require.NoError(t, err)
					result, err := tbl.Delete(ctx, token("delete", i), of)
					require.NoError(t, err)
					delete(rows, fmt.Sprint(9+i, " 2"))
					if i == 0 {
						delete(rows, "9 1")
					}
					return result
				})
			}
			tbl, err := lake.Table(ctx, "ns.t")
			require.NoError(t, err)
			for i := range 6 {
				put(t, tbl, token("more", i), fmt.Sprintf("20 %d 0", 3+i))
				rows[fmt.Sprint("20 ", 3+i)] = "0"
			}
			plan, err := tbl.PlanCompaction(ctx, maintain.CompactOptions{})
			require.NoError(t, err)
			at := slices.IndexFunc(plan.Groups, func(g maintain.CompactionGroup) bool { return g.Partition == "day=20" })
			require.GreaterOrEqual(t, at, 0)
			group, err := tbl.CompactGroup(ctx, plan.WithoutGroups(), plan.Groups[at])
			require.NoError(t, err)
			check("compaction", []int64{20}, func(tbl *tables.Table) tables.Result {
				result, err := tbl.CommitCompaction(ctx, token("compact", 1), plan.WithoutGroups(), []maintain.Compacted{group})
				require.NoError(t, err)
				return result.Result
			})
		})
	}
}
