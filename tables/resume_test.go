package tables_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// pointOf is up to where who has read all of a table has read it.
func pointOf(tbl *tables.Table) tables.ReadPoint {
	s := tbl.Iceberg().CurrentSnapshot()
	return tables.ReadPoint{Snapshot: s.SnapshotID, ManifestList: s.ManifestList, Sequence: s.SequenceNumber}
}

// forget removes the rows of a key for their age, and then the snapshots that hold them.
func forget(t *testing.T, tbl *tables.Table, key string) *tables.Table {
	t.Helper()
	opts := token("retain", key)
	opts.Summary = map[string]string{maintain.RetentionKey: "true"}
	_, err := reload(t, tbl).Delete(ctx, opts, meant(t, tbl, "id == '"+key+"'", merge.CopyOnWrite))
	require.NoError(t, err)
	_, err = tbl.Expire(ctx, token("expire", key), maintain.ExpireOptions{OlderThan: time.Nanosecond, Now: func() time.Time { return time.Now().Add(time.Hour) }})
	require.NoError(t, err)
	return reload(t, tbl)
}

func TestAReaderGoesOnWithWhatWasAppendedAfterForgottenSnapshots(t *testing.T) {
	tbl := ensure(t, newLake(t), pairs(t))
	put(t, tbl, token("w", 1), "old 1")
	put(t, tbl, token("w", 2), "a 1")
	read := pointOf(reload(t, tbl))
	put(t, tbl, token("w", 3), "b 2", "c 3")
	added, err := forget(t, tbl, "old").AddedAfter(ctx, read)
	require.NoError(t, err)
	require.EqualValues(t, 2, added.Rows)
}

// Spark's rewrite_data_files gives its files the sequence number of the data in them, and not its own.
func TestAReaderOfForgottenSnapshotsTakesNothingTwiceAfterAnotherEnginesCompaction(t *testing.T) {
	tbl := ensure(t, newLake(t), pairs(t))
	put(t, tbl, token("w", 1), "old 1")
	put(t, tbl, token("w", 2), "a 1")
	read := pointOf(reload(t, tbl))
	put(t, tbl, token("w", 3), "b 2")
	tbl = reload(t, tbl)
	tasks, err := tbl.Iceberg().Scan().PlanFiles(ctx)
	require.NoError(t, err)
	staged, err := stage(t, tbl, []string{"a 1", "b 2"})
	require.NoError(t, err)
	tx := tbl.Iceberg().NewTransaction()
	rewrite := tx.NewRewrite(nil)
	for _, task := range tasks {
		if *task.DataSequenceNumber >= read.Sequence {
			rewrite.DeleteFile(task.File)
		}
	}
	require.NoError(t, rewrite.AddDataFile(staged.Files[0]).DataSequenceNumber(pointOf(tbl).Sequence).Commit(ctx))
	_, err = tx.Commit(ctx)
	require.NoError(t, err)
	_, err = forget(t, tbl, "old").AddedAfter(ctx, read)
	require.ErrorIs(t, err, tables.ErrExpired, "a was read, and b was not")
}

// What another engine rolled back is known by no property of ours.
func TestAReaderOfWhatAnotherEngineRolledBackDoesNotGoOn(t *testing.T) {
	tbl := ensure(t, newLake(t), pairs(t))
	put(t, tbl, token("w", 1), "old 1")
	put(t, tbl, token("w", 2), "a 1")
	tbl = reload(t, tbl)
	before := pointOf(tbl)
	put(t, tbl, token("w", 3), "b 2")
	tbl = reload(t, tbl)
	read := pointOf(tbl)
	tx := tbl.Iceberg().NewTransaction()
	require.NoError(t, tx.RollbackToSnapshot(before.Snapshot))
	_, err := tx.Commit(ctx)
	require.NoError(t, err)
	put(t, reload(t, tbl), token("w", 4), "c 3")
	_, err = forget(t, tbl, "old").AddedAfter(ctx, read)
	require.ErrorIs(t, err, tables.ErrExpired, "b is in nobody's table any more")
}
