package tables_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/maintain"
)

// foreignRollback sets main as other engines do, who know nothing of checkpoints.
func foreignRollback(t *testing.T, lake *tables.Lake, tbl *tables.Table, to int64) {
	t.Helper()
	_, _, err := lake.Catalog().CommitTable(ctx, tbl.Iceberg().Identifier(), nil, []table.Update{
		table.NewSetSnapshotRefUpdate(table.MainBranch, to, table.BranchRef, 0, 0, 0)})
	require.NoError(t, err)
}

// countedPut commits a row with a checkpoint, of a writer.
func countedPut(t *testing.T, tbl *tables.Table, writer string, n int, row string) {
	t.Helper()
	opts := token(writer, n)
	body, err := json.Marshal(n)
	require.NoError(t, err)
	opts.Checkpoint = &tables.Checkpoint{Kind: "n", Body: body}
	put(t, tbl, opts, row)
}

func countOf(t *testing.T, tbl *tables.Table, writer string) string {
	t.Helper()
	c, err := tbl.Checkpoint(ctx, writer)
	require.NoError(t, err)
	if c == nil {
		return "none"
	}
	return string(c.Body)
}

// Another engine that rolls back takes rows away, and leaves the properties that count them.
func TestCheckpointAfterAnotherEnginesRollback(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	countedPut(t, tbl, "a", 1, "a 1")
	tbl = reload(t, tbl)
	first := pointOf(tbl).Snapshot
	countedPut(t, tbl, "a", 2, "b 2")
	countedPut(t, reload(t, tbl), "b", 7, "c 3")
	tbl = reload(t, tbl)
	last, before := pointOf(tbl).Snapshot, tbl.LastToken("a")
	foreignRollback(t, lake, tbl, first)
	tbl = reload(t, tbl)
	require.Equal(t, "1", countOf(t, tbl, "a"), "the rows of 2 are gone, so is its checkpoint")
	require.Equal(t, "none", countOf(t, tbl, "b"))

	late := token("a", 3) // of work that began before
	late.Checkpoint = &tables.Checkpoint{Kind: "n", Body: json.RawMessage("3")}
	late.ID.After = &before
	_, err := tbl.Append(ctx, late)
	require.ErrorIs(t, err, commit.ErrSuperseded)

	foreignRollback(t, lake, tbl, last) // forward again: nothing is gone
	tbl = reload(t, tbl)
	require.Equal(t, []string{"2", "7"}, []string{countOf(t, tbl, "a"), countOf(t, tbl, "b")})

	foreignRollback(t, lake, tbl, first)
	countedPut(t, reload(t, tbl), "c", 1, "d 4") // sets right what others have counted
	_, err = reload(t, tbl).Expire(ctx, token("x", 1), maintain.ExpireOptions{OlderThan: time.Nanosecond, KeepLast: 1, Now: func() time.Time { return time.Now().Add(time.Hour) }})
	require.NoError(t, err)
	tbl = reload(t, tbl)
	require.Len(t, tbl.Snapshots(), 1)
	require.Equal(t, []string{"1", "none", "1"}, []string{countOf(t, tbl, "a"), countOf(t, tbl, "b"), countOf(t, tbl, "c")})
}

// A snapshot that was rolled back and cherry-picked again has its rows in the table.
func TestACherryPickedSnapshotIsNoRollback(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	countedPut(t, tbl, "a", 1, "a 1")
	first := pointOf(reload(t, tbl)).Snapshot
	countedPut(t, reload(t, tbl), "a", 2, "b 2")
	picked := pointOf(reload(t, tbl)).Snapshot
	foreignRollback(t, lake, tbl, first)
	require.Equal(t, "1", countOf(t, reload(t, tbl), "a"))
	s := *reload(t, tbl).Iceberg().Metadata().SnapshotByID(picked)
	s.SnapshotID, s.ParentSnapshotID, s.SequenceNumber, s.TimestampMs = 77, &first, s.SequenceNumber+1, time.Now().UnixMilli()
	s.Summary = &table.Summary{Operation: table.OpAppend, Properties: map[string]string{"source-snapshot-id": fmt.Sprint(picked)}}
	_, _, err := lake.Catalog().CommitTable(ctx, tbl.Iceberg().Identifier(), nil, []table.Update{table.NewAddSnapshotUpdate(&s),
		table.NewSetSnapshotRefUpdate(table.MainBranch, 77, table.BranchRef, 0, 0, 0)})
	require.NoError(t, err)
	require.Equal(t, "2", countOf(t, reload(t, tbl), "a"))
}

// Where it cannot be known what a writer had read before a rollback, it is told so, also after others have committed.
func TestAnUnknownCheckpointStaysUnknown(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	countedPut(t, tbl, "a", 1, "a 1")
	first := *reload(t, tbl).Iceberg().CurrentSnapshot()
	foreign, expired := first, int64(4711)
	foreign.SnapshotID, foreign.ParentSnapshotID, foreign.SequenceNumber, foreign.TimestampMs = 78, &expired, first.SequenceNumber+1, time.Now().UnixMilli()
	foreign.Summary = &table.Summary{Operation: table.OpAppend}
	_, _, err := lake.Catalog().CommitTable(ctx, tbl.Iceberg().Identifier(), nil, []table.Update{table.NewAddSnapshotUpdate(&foreign),
		table.NewSetSnapshotRefUpdate(table.MainBranch, 78, table.BranchRef, 0, 0, 0)})
	require.NoError(t, err)
	countedPut(t, reload(t, tbl), "a", 2, "b 2")
	foreignRollback(t, lake, tbl, 78)
	for n := range 2 {
		_, err = reload(t, tbl).Checkpoint(ctx, "a")
		require.ErrorContains(t, err, "another engine has rolled back")
		put(t, reload(t, tbl), token("b", n), "c 3")
	}
}

// An old snapshot that a tag keeps, while those between it and the head have expired, is no rollback.
func TestATaggedSnapshotIsNoRollback(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	countedPut(t, tbl, "a", 1, "a 1")
	tbl = reload(t, tbl)
	_, _, err := lake.Catalog().CommitTable(ctx, tbl.Iceberg().Identifier(), nil, []table.Update{
		table.NewSetSnapshotRefUpdate("audit", pointOf(tbl).Snapshot, table.TagRef, 0, 0, 0)})
	require.NoError(t, err)
	for n := 1; n < 5; n++ {
		countedPut(t, reload(t, tbl), "b", n, "b 2")
	}
	_, err = reload(t, tbl).Expire(ctx, token("x", 1), maintain.ExpireOptions{OlderThan: time.Nanosecond, KeepLast: 1, Now: func() time.Time { return time.Now().Add(time.Hour) }})
	require.NoError(t, err)
	tbl = reload(t, tbl)
	require.Len(t, tbl.Snapshots(), 2)
	require.Equal(t, []string{"1", "4"}, []string{countOf(t, tbl, "a"), countOf(t, tbl, "b")})
}

// idle commits a checkpoint without rows.
func idle(t *testing.T, tbl *tables.Table, writer string, n int) {
	t.Helper()
	opts := token(writer, n)
	opts.Checkpoint = &tables.Checkpoint{Kind: "n", Body: json.RawMessage(fmt.Sprint(n))}
	r, err := reload(t, tbl).SetCheckpoint(ctx, opts)
	require.NoError(t, err)
	require.True(t, r.Committed)
	require.Zero(t, r.SnapshotID)
}

// A writer whose last commit had no rows is rolled back as one whose had: the rows before it are gone.
func TestARollbackOfRowsBeforeAnIdleCommit(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	countedPut(t, tbl, "a", 1, "a 1")
	first := pointOf(reload(t, tbl)).Snapshot
	idle(t, tbl, "b", 5)
	countedPut(t, reload(t, tbl), "a", 2, "b 2")
	last := pointOf(reload(t, tbl)).Snapshot
	idle(t, tbl, "a", 3)
	before := reload(t, tbl).LastToken("a")
	require.Equal(t, "3", countOf(t, reload(t, tbl), "a"))
	foreignRollback(t, lake, tbl, first)
	tbl = reload(t, tbl)
	require.Equal(t, []string{"1", "5"}, []string{countOf(t, tbl, "a"), countOf(t, tbl, "b")}, "what a had read since is not in the table; what b had is")
	require.NotEqual(t, before, tbl.LastToken("a"))
	foreignRollback(t, lake, tbl, last)
	require.Equal(t, "3", countOf(t, reload(t, tbl), "a"))
	foreignRollback(t, lake, tbl, first)
	idle(t, tbl, "a", 4)
	require.Equal(t, "4", countOf(t, reload(t, tbl), "a"), "committed after the rollback")
	countedPut(t, reload(t, tbl), "c", 1, "c 3")
	require.Equal(t, []string{"4", "5", "1"}, []string{countOf(t, reload(t, tbl), "a"), countOf(t, reload(t, tbl), "b"), countOf(t, reload(t, tbl), "c")})
}

// It is seen too when what was rolled back has expired since, or comes after a rollback of Varve's.
func TestARollbackIsSeenAfterWhatItTookAwayHasExpired(t *testing.T) {
	for _, own := range []bool{false, true} {
		t.Run(fmt.Sprint("after one of Varve's ", own), func(t *testing.T) {
			lake := newLake(t)
			tbl := ensure(t, lake, pairs(t))
			countedPut(t, tbl, "a", 1, "a 1")
			first := pointOf(reload(t, tbl)).Snapshot
			countedPut(t, reload(t, tbl), "a", 2, "b 2")
			second := pointOf(reload(t, tbl)).Snapshot
			if own {
				countedPut(t, reload(t, tbl), "a", 3, "c 3")
				_, err := reload(t, tbl).Rollback(ctx, token("admin", 1), tables.Version{SnapshotID: &second})
				require.NoError(t, err)
				require.Equal(t, "2", countOf(t, reload(t, tbl), "a"))
			}
			foreignRollback(t, lake, tbl, first)
			require.Equal(t, "1", countOf(t, reload(t, tbl), "a"))
			expire(t, lake, tbl, second)
			require.Equal(t, "1", countOf(t, reload(t, tbl), "a"))
		})
	}
}

// What a rollback of Varve's has left in the property RollbackKey does not make one of another engine look like it.
func TestAnUnknownCheckpointStaysUnknownAfterARollbackOfVarves(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	countedPut(t, tbl, "a", 1, "a 1")
	first := *reload(t, tbl).Iceberg().CurrentSnapshot()
	countedPut(t, reload(t, tbl), "a", 2, "b 2")
	_, err := reload(t, tbl).Rollback(ctx, token("admin", 1), tables.Version{SnapshotID: &first.SnapshotID})
	require.NoError(t, err)
	foreign(t, lake, reload(t, tbl))
	theirs := *reload(t, tbl).Iceberg().CurrentSnapshot()
	countedPut(t, reload(t, tbl), "a", 3, "c 3")
	foreignRollback(t, lake, tbl, theirs.SnapshotID)
	require.Equal(t, "1", countOf(t, reload(t, tbl), "a"))
	expire(t, lake, tbl, first.SnapshotID)
	_, err = reload(t, tbl).Checkpoint(ctx, "a")
	require.ErrorContains(t, err, "another engine has rolled back")
}

// pick cherry-picks a snapshot as other engines do, who know nothing of checkpoints.
func pick(t *testing.T, lake *tables.Lake, tbl *tables.Table, id, of int64) {
	t.Helper()
	meta := reload(t, tbl).Iceberg().Metadata()
	s, head := *meta.SnapshotByID(of), meta.CurrentSnapshot().SnapshotID
	s.SnapshotID, s.ParentSnapshotID, s.SequenceNumber, s.TimestampMs = id, &head, meta.LastSequenceNumber()+1, time.Now().UnixMilli()
	s.Summary = &table.Summary{Operation: table.OpAppend, Properties: map[string]string{"source-snapshot-id": fmt.Sprint(of)}}
	_, _, err := lake.Catalog().CommitTable(ctx, tbl.Iceberg().Identifier(), nil, []table.Update{table.NewAddSnapshotUpdate(&s),
		table.NewSetSnapshotRefUpdate(table.MainBranch, id, table.BranchRef, 0, 0, 0)})
	require.NoError(t, err)
}

// Of what was rolled back, one snapshot that is cherry-picked brings back what had been read with it, and nothing that came after.
func TestACherryPickOfAnEarlierSnapshot(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	countedPut(t, tbl, "a", 1, "a 1")
	first := pointOf(reload(t, tbl)).Snapshot
	countedPut(t, reload(t, tbl), "a", 2, "b 2")
	second := pointOf(reload(t, tbl)).Snapshot
	countedPut(t, reload(t, tbl), "a", 3, "c 3")
	foreignRollback(t, lake, tbl, first)
	foreign(t, lake, reload(t, tbl))
	pick(t, lake, tbl, 77, second)
	require.Equal(t, "2", countOf(t, reload(t, tbl), "a"), "the rows of 3 are gone")
	countedPut(t, reload(t, tbl), "b", 1, "d 4")
	require.Equal(t, "2", countOf(t, reload(t, tbl), "a"))
	countedPut(t, reload(t, tbl), "a", 4, "e 5")
	require.Equal(t, "4", countOf(t, reload(t, tbl), "a"))
}

// Another engine that moves the head forth again, past a rollback of Varve's, brings rows back that the properties do not count.
func TestAnotherEngineUndoesARollbackOfVarves(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	countedPut(t, tbl, "a", 1, "a 1")
	first := pointOf(reload(t, tbl)).Snapshot
	countedPut(t, reload(t, tbl), "a", 2, "b 2")
	second := pointOf(reload(t, tbl)).Snapshot
	_, err := reload(t, tbl).Rollback(ctx, token("admin", 1), tables.Version{SnapshotID: &first})
	require.NoError(t, err)
	require.Equal(t, "1", countOf(t, reload(t, tbl), "a"))
	before := reload(t, tbl).LastToken("a")
	foreignRollback(t, lake, tbl, second)
	require.Equal(t, "2", countOf(t, reload(t, tbl), "a"))
	require.NotEqual(t, before, reload(t, tbl).LastToken("a"))
}

// Also when another writer's commit has set the checkpoint back meanwhile.
func TestAnotherEngineUndoesItsOwnRollback(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	countedPut(t, tbl, "a", 1, "a 1")
	first := pointOf(reload(t, tbl)).Snapshot
	countedPut(t, reload(t, tbl), "a", 2, "b 2")
	second := pointOf(reload(t, tbl)).Snapshot
	foreignRollback(t, lake, tbl, first)
	idle(t, tbl, "b", 1)
	require.Equal(t, "1", countOf(t, reload(t, tbl), "a"))
	foreignRollback(t, lake, tbl, second)
	require.Equal(t, "2", countOf(t, reload(t, tbl), "a"))
}

// A writer whose rows are all there goes on, though it is not known what another had read before a rollback.
func TestAnUnknownCheckpointIsOneWritersOwn(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	countedPut(t, tbl, "b", 7, "a 1")
	foreign(t, lake, reload(t, tbl))
	theirs := pointOf(reload(t, tbl)).Snapshot
	idle(t, tbl, "b", 8)
	countedPut(t, reload(t, tbl), "a", 2, "b 2")
	expire(t, lake, tbl, *reload(t, tbl).Iceberg().Metadata().SnapshotByID(theirs).ParentSnapshotID)
	foreignRollback(t, lake, tbl, theirs)
	_, err := reload(t, tbl).Checkpoint(ctx, "a")
	require.ErrorContains(t, err, "another engine has rolled back")
	require.Equal(t, "8", countOf(t, reload(t, tbl), "b"))
}
