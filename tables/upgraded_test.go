package tables_test

import (
	"fmt"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// rowIDs are those of the rows, by their text.
func rowIDs(t *testing.T, tbl *tables.Table) map[string]int64 {
	t.Helper()
	r, err := tbl.Scan(ctx, tables.ScanOptions{Columns: []string{"id", "_row_id"}})
	require.NoError(t, err)
	defer r.Release()
	out, seen := map[string]int64{}, map[int64]string{}
	for r.Next() {
		ids, rows := r.RecordBatch().Column(0).(*array.String), r.RecordBatch().Column(1).(*array.Int64)
		for i := range ids.Len() {
			require.True(t, rows.IsValid(i), "row %s has no id", ids.Value(i))
			require.Empty(t, seen[rows.Value(i)], "row id %d is that of %s too", rows.Value(i), ids.Value(i))
			seen[rows.Value(i)], out[ids.Value(i)] = ids.Value(i), rows.Value(i)
		}
	}
	require.NoError(t, r.Err())
	return out
}

// upgraded is a table of format 2 with rows that has just come to be of format 3: its rows have no ids yet.
func upgraded(t *testing.T, lake *tables.Lake, properties map[string]string) *tables.Table {
	def := pairs(t)
	def.Properties = properties
	tbl := ensure(t, lake, def)
	for i := range 4 {
		put(t, tbl, token("w", i), fmt.Sprintf("a%d 1", i), fmt.Sprintf("b%d 2", i), fmt.Sprintf("c%d 3", i))
	}
	def.FormatVersion = 3
	return ensure(t, lake, def)
}

func TestRowsOfAnUpgradedTableGetIDsOfTheirOwn(t *testing.T) {
	for _, least := range []string{"2", "100"} {
		t.Run("merging from "+least, func(t *testing.T) {
			tbl := upgraded(t, newLake(t), map[string]string{"commit.manifest.min-count-to-merge": least})
			before := map[string]int64{}
			for i := range 4 {
				put(t, tbl, token("x", i), fmt.Sprintf("x%d 1", i), fmt.Sprintf("y%d 2", i))
				now := rowIDs(t, refreshed(t, tbl))
				require.Len(t, now, 12+2*(i+1))
				for row, id := range before {
					require.Equal(t, id, now[row], row)
				}
				before = now
			}
		})
	}
}

// What comes first after the upgrade numbers all rows, and from then on they keep their ids.
func TestWhateverComesFirstAfterAnUpgradeNumbersTheRows(t *testing.T) {
	source := &rowSource{t: t, schema: schemaOf(t, []string{"id string", "v long"}), lines: []string{"a0 9", "a1 9", "new 1"}}
	upsert := func(strategy merge.Strategy) func(tbl *tables.Table) error {
		return func(tbl *tables.Table) error {
			_, err := tbl.Merge(ctx, token("m", 0), merge.Options{
				On: []string{"id"}, Strategy: strategy,
				Matched: []merge.Clause{{Action: merge.Update, All: true}}, NotMatched: []merge.Clause{{Action: merge.Insert, All: true}},
			}, source)
			return err
		}
	}
	for name, do := range map[string]func(tbl *tables.Table) error{
		"copy-on-write": upsert(merge.CopyOnWrite), "merge-on-read": upsert(merge.MergeOnRead),
		"compaction": func(tbl *tables.Table) error {
			_, err := tbl.Compact(ctx, token("c", 0), maintain.CompactOptions{MinInputFiles: 2})
			return err
		},
		"delete": func(tbl *tables.Table) error {
			_, err := tbl.Delete(ctx, token("d", 0), meant(t, tbl, `id == "a2"`, "copy-on-write"))
			return err
		},
		"manifests": func(tbl *tables.Table) error {
			_, err := tbl.RewriteManifests(ctx, token("r", 0), maintain.ManifestOptions{MinInputManifests: 2})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			least := "2"
			if name == "manifests" {
				least = "100" // so that there are several
			}
			tbl := upgraded(t, newLake(t), map[string]string{"commit.manifest.min-count-to-merge": least})
			require.NoError(t, do(tbl))
			before := rowIDs(t, refreshed(t, tbl))
			put(t, refreshed(t, tbl), token("x", 0), "x 1", "y 1")
			now := rowIDs(t, refreshed(t, tbl))
			require.Len(t, now, len(before)+2)
			for row, id := range before {
				require.Equal(t, id, now[row], row)
			}
		})
	}
}

func TestACompactionPlannedBeforeRowsHadIDsLeavesThem(t *testing.T) {
	tbl := upgraded(t, newLake(t), nil)
	plan, err := tbl.PlanCompaction(ctx, maintain.CompactOptions{MinInputFiles: 2})
	require.NoError(t, err)
	require.NotEmpty(t, plan.Groups)
	done, err := tbl.CompactGroup(ctx, plan, plan.Groups[0])
	require.NoError(t, err)
	put(t, refreshed(t, tbl), token("x", 0), "x 1")
	before := rowIDs(t, refreshed(t, tbl))
	_, err = refreshed(t, tbl).CommitCompaction(ctx, token("c", 0), plan, []maintain.Compacted{done})
	require.NoError(t, err)
	require.Equal(t, before, rowIDs(t, refreshed(t, tbl)))
}

func TestAMergePlannedBeforeRowsHadIDsKeepsThem(t *testing.T) {
	lake := newLake(t)
	tbl := upgraded(t, lake, nil)
	source := &rowSource{t: t, schema: schemaOf(t, []string{"id string", "v long"}), lines: []string{"a0 9", "a1 9"}}
	options := merge.Options{On: []string{"id"}, Matched: []merge.Clause{{Action: merge.Update, All: true}}}
	opts := token("m", 0)
	var before map[string]int64
	fan := merge.Fanout{Above: 1, GroupFiles: 1}
	_, division, err := tbl.MergeInGroups(ctx, opts, options, source, fan)
	require.NoError(t, err)
	require.NotNil(t, division)
	done := merge.Done{Division: *division}
	for _, g := range division.Groups {
		found, err := tbl.MatchGroup(ctx, options, source, fan, *division, g)
		require.NoError(t, err)
		done.Found = append(done.Found, found)
	}
	put(t, refreshed(t, tbl), token("x", 0), "x 1")
	before = rowIDs(t, refreshed(t, tbl))
	_, division, err = refreshed(t, tbl).MergeInGroups(ctx, opts, options, source, merge.Fanout{Done: []merge.Done{done}})
	require.NoError(t, err)
	require.Nil(t, division)
	require.Equal(t, before, rowIDs(t, refreshed(t, tbl)))
}
