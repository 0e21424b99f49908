package simulation

import (
	"context"
	"testing"
	"time"

	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// estuary/connectors 4751: an append is tried again on the table as it was before the conflict, so that one commit of another
// throws all of its work away. Here each conflict, with whatever commit, costs another manifest, and no row is written twice.
func TestAnAppendOutlastsTheCommitsOfOthers(t *testing.T) {
	onStage(t, merge.MergeOnRead, func(t *testing.T, st *stage) {
		for k := range int64(3) {
			_, err := st.append(change{k: k, v: k})
			require.NoError(t, err)
		}
		others := []func(){
			func() { st.merge(change{k: 1, v: 10}) },
			func() { require.True(t, st.compact().Committed) },
			func() {
				time.Sleep(2 * time.Hour)
				r, err := st.table().Expire(bg, st.token("maintenance"), maintain.ExpireOptions{OlderThan: time.Hour})
				require.NoError(t, err)
				require.Positive(t, r.Snapshots)
			},
			func() { st.merge(change{k: 2, del: true}) },
		}
		var next func()
		next = func() {
			other := others[0]
			others = others[1:]
			other()
			if len(others) > 0 {
				st.before = next
			}
		}
		tbl := st.table()
		staged, err := tbl.Stage(bg, (&source{rows: []change{{k: 7, v: 7}}, without: true}).all(), tables.StageOptions{})
		require.NoError(t, err)
		st.before = next
		r, err := tbl.Append(bg, st.token("appender"), staged)
		require.NoError(t, err)
		require.Empty(t, others)
		require.True(t, r.Committed)
		require.GreaterOrEqual(t, r.Conflicts, 3, "of all that move the head")
		require.Equal(t, []int{1, 1}, []int{len(staged.Files), r.FilesAdded})
		st.has(row{0, 0}, row{1, 10}, row{7, 7})
	})
}

// amoro 938: the removal of orphans removes files that live. Here those of a build under way keep it from counting anything as old
// that is younger than the build, and those that the table names are never counted.
func TestOrphansAreNotWhatLives(t *testing.T) {
	onStage(t, merge.MergeOnRead, func(t *testing.T, st *stage) {
		abandoned, err := st.table().Stage(bg, (&source{rows: []change{{k: 9, v: 9}}, without: true}).all(), tables.StageOptions{})
		require.NoError(t, err)
		_, err = st.append(change{k: 1, v: 1}, change{k: 2, v: 2})
		require.NoError(t, err)
		time.Sleep(time.Second)
		st.merge(change{k: 1, del: true})
		began := time.Now()
		tbl := st.table()
		staged, err := tbl.Stage(bg, (&source{rows: []change{{k: 3, v: 3}}, without: true}).all(), tables.StageOptions{})
		require.NoError(t, err)
		time.Sleep(time.Second) // ten hours of the store's

		sweep := func(olderThan time.Duration) (removed maintain.RemovedOrphans, err error) {
			load := func(context.Context) (*table.Table, error) { return st.table().Iceberg(), nil }
			found, err := maintain.FindOrphans(bg, st.table().Iceberg(), load, maintain.Surroundings{Staging: "_staging", State: "_varve"}, maintain.OrphanOptions{
				OlderThan: olderThan,
				Longest:   func(context.Context) (time.Duration, error) { return time.Since(began) * clockRate, nil },
			})
			if err != nil {
				return removed, err
			}
			return found.Remove(bg, st.table().Iceberg(), nil)
		}
		_, err = sweep(2 * time.Hour)
		require.ErrorIs(t, err, maintain.ErrTooYoung)
		removed, err := sweep(11 * time.Hour)
		require.NoError(t, err)
		require.EqualValues(t, len(abandoned.Files), removed.Files)
		_, err = tbl.Append(bg, st.token("appender"), staged)
		require.NoError(t, err)
		st.has(row{2, 2}, row{3, 3})
	})
}
