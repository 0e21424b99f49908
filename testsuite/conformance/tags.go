package conformance

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
)

// testTags has several make one tag at once, each of another snapshot: one does, and the others are told.
func testTags(t *testing.T, s Subject) {
	if s.HeadOnly {
		t.Skip("its tags are of the whole catalog")
	}
	const makers = 8
	lake := s.open(t, s.Config)
	tbl := s.ensure(t, lake, "tagged.t", 2)
	for n := range makers {
		_, err := tbl.Append(ctx, by("w", n), stage(t, tbl, row{"a", int64(n)}))
		require.NoError(t, err)
	}
	tbl, err := lake.Table(ctx, "tagged.t")
	require.NoError(t, err)
	snapshots := tbl.Snapshots()
	require.Len(t, snapshots, makers)

	var wg, gate sync.WaitGroup
	gate.Add(makers)
	failures := make([]error, makers)
	for n, snapshot := range snapshots {
		own, err := s.open(t, s.Config).Table(ctx, "tagged.t")
		require.NoError(t, err)
		wg.Go(func() {
			gate.Done()
			gate.Wait()
			_, failures[n] = own.Tag(ctx, by("tagger", n), "audit", tables.Version{SnapshotID: &snapshot.ID}, 0)
		})
	}
	wg.Wait()

	tbl, err = lake.Table(ctx, "tagged.t")
	require.NoError(t, err)
	rows := contents(t, tbl, tables.Version{Ref: "audit"})
	made := 0
	for n, err := range failures {
		if errors.Is(err, tables.ErrTagged) {
			continue
		}
		require.NoError(t, err)
		made++
		require.Equal(t, contents(t, tbl, tables.Version{SnapshotID: &snapshots[n].ID}), rows, "the tag is where its maker has put it")
	}
	require.Equal(t, 1, made)
}
