package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/activities/wire"
	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/merge"
)

// files are the data files of the head.
func (w *week) files() (out []iceberg.DataFile) {
	tasks, err := w.tableOf(weekTable).Iceberg().Scan().PlanFiles(w.t.Context())
	require.NoError(w.t, err)
	for _, task := range tasks {
		out = append(out, task.File)
	}
	return out
}

// leaveDangling is what other engines leave: they drop a data file, and let its deletes be. The rows are of the day before yesterday
// or of yesterday, whose files a compaction seldom touches: it would take such deletes along.
func (w *week) leaveDangling() {
	known := map[string]bool{}
	for _, f := range w.files() {
		known[f.FilePath()] = true
	}
	rows, first := weekSource{}, w.next
	for range 5 {
		rows[w.next] = weekRow{time.Now().Add(-30 * time.Hour).Truncate(time.Second), 0}
		w.next++
	}
	in, err := rows.Open(w.t.Context(), nil)
	require.NoError(w.t, err)
	staged, err := w.tableOf(weekTable).Stage(w.t.Context(), in, tables.StageOptions{})
	require.NoError(w.t, err)
	_, err = w.tableOf(weekTable).Append(w.t.Context(), w.options(), staged)
	require.NoError(w.t, err)
	some, err := rowsWhere(fmt.Sprintf("id == %d", first), w.tableOf(weekTable))
	require.NoError(w.t, err)
	some.Strategy = merge.MergeOnRead
	deleted, err := w.tableOf(weekTable).Delete(w.t.Context(), w.options(), some)
	require.NoError(w.t, err)
	require.Equal(w.t, 1, deleted.DeleteFilesAdded)
	_, err = commit.Commit(w.t.Context(), w.a.lake.Catalog(), w.tableOf(weekTable).Iceberg().Identifier(), w.options().ID, func(context.Context, *table.Table, int) (*commit.Change, error) {
		c := &commit.Change{Operation: commit.Overwrite}
		for _, f := range w.files() {
			if !known[f.FilePath()] {
				c.RemoveData = append(c.RemoveData, f)
			}
		}
		return c, nil
	}, commit.Options{})
	require.NoError(w.t, err)
}

// worked requires that each kind of maintenance has changed something, and more than once, for a week in which one has nothing to do
// says nothing of it.
func (w *week) worked() {
	kinds := []string{wire.UpkeepRetain, wire.UpkeepCompact, wire.UpkeepDeletes, wire.UpkeepDangling, wire.UpkeepManifests, wire.UpkeepExpire, wire.UpkeepOrphans}
	for _, kind := range kinds {
		if kind == wire.UpkeepDeletes && w.version == 3 {
			require.Zero(w.t, w.did[kind], "a data file has one deletion vector at most")
			continue
		}
		require.Greater(w.t, w.did[kind], 1, "%s: %v", kind, w.did)
	}
	if w.compact == weekClustered {
		require.Greater(w.t, len(w.placed), 2*weekDays, "a day's rows are of several files, which are clustered")
	}
}
