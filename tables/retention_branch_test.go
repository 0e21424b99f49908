package tables_test

import (
	"testing"
	"time"

	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// A branch that was made before rows were removed holds them in its head, and in nothing else: its number of snapshots to keep is
// none for what came before. Until when it does is said, and then they are gone.
func TestABranchFromBeforeARemoval(t *testing.T) {
	const age, branchAge = time.Hour, 48 * time.Hour
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	put(t, tbl, token("w", 1), "a 1", "b 2")
	put(t, tbl, token("w", 2), "c 3")
	put(t, tbl, token("w", 3), "d 4")
	snapshots := reload(t, tbl).Snapshots()
	_, _, err := lake.Catalog().CommitTable(ctx, tbl.Iceberg().Identifier(), nil, []table.Update{
		table.NewSetSnapshotRefUpdate("dev", snapshots[2].ID, table.BranchRef, branchAge.Milliseconds(), 0, 0),
		table.NewSetSnapshotRefUpdate("other", snapshots[2].ID, table.BranchRef, 0, 0, 10),
	})
	require.NoError(t, err)
	tbl = reload(t, tbl)
	opts := token("d", 1)
	opts.Summary = map[string]string{maintain.ErasureKey: "true"}
	_, err = tbl.Delete(ctx, opts, meant(t, tbl, `id == "a"`, merge.CopyOnWrite))
	require.NoError(t, err)
	put(t, tbl, token("w", 4), "e 5")

	policy := func(later time.Duration) maintain.ExpireOptions {
		return maintain.ExpireOptions{OlderThan: age, KeepLast: 10, Now: func() time.Time { return time.Now().Add(later) }}
	}
	holders := func() []tables.Holder {
		held, err := reload(t, tbl).Held(ctx, meant(t, tbl, `id == "a"`, ""), policy(0))
		require.NoError(t, err)
		h := held.Holders
		return h
	}
	require.Len(t, holders(), 3)
	for n, h := range holders()[1:] {
		require.Equal(t, "its age", h.Why, n)
		require.NotNil(t, h.Until)
	}
	r, err := tbl.Expire(ctx, token("x", 1), policy(2*age))
	require.NoError(t, err)
	require.Equal(t, 2, r.Snapshots, "what came before the branches' head")
	h := holders()
	require.Len(t, h, 1)
	require.Equal(t, snapshots[2].ID, h[0].ID)
	require.Equal(t, `it is the head of branch "dev"; it is the head of branch "other"`, h[0].Why)
	require.Nil(t, h[0].Until, "the other branch has no end")

	_, _, err = lake.Catalog().CommitTable(ctx, tbl.Iceberg().Identifier(), nil, []table.Update{table.NewRemoveSnapshotRefUpdate("other")})
	require.NoError(t, err)
	h = holders()
	require.Len(t, h, 1)
	require.Equal(t, `it is the head of branch "dev"`, h[0].Why)
	require.WithinDuration(t, snapshots[2].Timestamp.Add(branchAge), *h[0].Until, time.Second)
	r, err = reload(t, tbl).Expire(ctx, token("x", 2), policy(branchAge-time.Hour))
	require.NoError(t, err)
	require.Zero(t, r.Snapshots)
	r, err = reload(t, tbl).Expire(ctx, token("x", 3), policy(branchAge+time.Minute))
	require.NoError(t, err)
	require.Equal(t, []string{"dev"}, r.Refs)
	require.Empty(t, holders())
	require.Equal(t, []string{"b 2", "c 3", "d 4", "e 5"}, contents(t, reload(t, tbl), tables.Version{}))
	require.Len(t, reload(t, tbl).Snapshots(), 2, "those since the removal")
}

// A branch that removed the rows itself, or was made after, keeps its last snapshots as ever.
func TestABranchWithItsOwnRemoval(t *testing.T) {
	lake := newLake(t)
	tbl := ensure(t, lake, pairs(t))
	put(t, tbl, token("w", 1), "a 1", "b 2")
	tbl = reload(t, tbl)
	opts := token("d", 1)
	opts.Summary = map[string]string{maintain.ErasureKey: "true"}
	_, err := tbl.Delete(ctx, opts, meant(t, tbl, `id == "a"`, merge.CopyOnWrite))
	require.NoError(t, err)
	put(t, tbl, token("w", 2), "c 3")
	put(t, tbl, token("w", 3), "d 4")
	head, _ := reload(t, tbl).Head()
	_, _, err = lake.Catalog().CommitTable(ctx, tbl.Iceberg().Identifier(), nil, []table.Update{
		table.NewSetSnapshotRefUpdate("dev", head.ID, table.BranchRef, 0, 0, 10)})
	require.NoError(t, err)
	r, err := reload(t, tbl).Expire(ctx, token("x", 1), maintain.ExpireOptions{OlderThan: time.Hour, KeepLast: 1, Now: func() time.Time { return time.Now().Add(2 * time.Hour) }})
	require.NoError(t, err)
	require.Equal(t, 1, r.Snapshots, "what came before the removal")
	require.Len(t, reload(t, tbl).Snapshots(), 3, "the branch keeps what came since")
}
