package tables_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/internal/peers"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// TestPeersCountAsHealthDoes holds every figure of a table's health that is counted against what PyIceberg finds in the same metadata:
// of a table in format 2, with position deletes, and 3, with deletion vectors, before a compaction and after it.
func TestPeersCountAsHealthDoes(t *testing.T) {
	p := peers.Install(t, filepath.Join(".."))
	lake := lakeIn(t, p.Dir)
	healths := map[string]*tables.Health{}
	for version := 2; version <= 3; version++ {
		def := pairs(t)
		def.Name, def.FormatVersion, def.PartitionBy, def.SortBy = fmt.Sprint("ns.health", version), version, []string{"v"}, []string{"id"}
		tbl := ensure(t, lake, def)
		for n := range 6 {
			put(t, tbl, token("w", n), fmt.Sprintf("a%d 1", n), fmt.Sprintf("b%d 1", n), fmt.Sprintf("c%d %d", n, 2+n%2))
		}
		_, err := reload(t, tbl).Delete(ctx, token("d", 1), meant(t, tbl, `id == "a1" || id == "b1" || id == "c2"`, merge.MergeOnRead))
		require.NoError(t, err)
		_, err = reload(t, tbl).Tag(ctx, token("tag", 1), "audit", tables.Version{}, time.Hour)
		require.NoError(t, err)
		if version == 3 {
			_, err = reload(t, tbl).Compact(ctx, token("m", 1), maintain.CompactOptions{MinInputFiles: 2, MaxDeleteFiles: 1})
			require.NoError(t, err)
			put(t, tbl, token("w", 7), "z 1")
		}
		healths[def.Name], err = reload(t, tbl).Health(ctx, 0)
		require.NoError(t, err)
	}
	for name, found := range p.Inspect(t, "ns.health2", "ns.health3") {
		h := healths[name]
		var files, deletes int
		var bytes, rows, deleted, manifests int64
		sizes := make([]int, len(h.Sizes))
		for _, f := range found.Files {
			if f.Content != 0 {
				deletes, deleted = deletes+1, deleted+f.Rows
				continue
			}
			files, bytes, rows = files+1, bytes+f.Bytes, rows+f.Rows
			sizes[slices.IndexFunc(h.Sizes, func(c tables.SizeClass) bool { return c.Below == 0 || f.Bytes < c.Below })]++
		}
		for _, n := range found.Manifests {
			manifests += n
		}
		require.Equal(t, []int64{int64(files), bytes, rows, int64(deletes), deleted}, []int64{int64(h.Files), h.Bytes, h.Rows, int64(h.DeleteFiles), h.DeletedRows}, name)
		for i, c := range h.Sizes {
			require.Equal(t, sizes[i], c.Files, "%s: files below %d", name, c.Below)
		}
		require.Equal(t, files, h.SmallFiles, "all are small")
		require.Equal(t, []int{len(found.Snapshots), len(found.Refs), len(found.Manifests), len(found.MetadataFiles)}, []int{h.Snapshots, h.Refs, h.Manifests, h.MetadataFiles}, name)
		require.Equal(t, []int64{manifests, found.MetadataBytes}, []int64{h.ManifestBytes, h.MetadataBytes}, name)
		if h.Before == nil {
			require.NotZero(t, deletes, "format 2 has its delete files still")
			continue
		}
		before := 0
		for _, part := range h.Before.Partitions {
			before += part.Files
		}
		require.Greater(t, before, files)
		require.Equal(t, 12, before, "a file of each partition that an append wrote to")
		require.Less(t, before, found.FilesOf[fmt.Sprint(h.Before.Snapshot)], "delete files are beside them")
	}
}

// TestPeersSeeWhatExpiryKeeps: what is left of snapshots, branches and tags, as PyIceberg sees it and reads it, is what their
// settings say, by the specification: min-snapshots-to-keep, max-snapshot-age-ms, max-ref-age-ms; and of metadata files, what the
// table says of those.
func TestPeersSeeWhatExpiryKeeps(t *testing.T) {
	p := peers.Install(t, filepath.Join(".."))
	lake := lakeIn(t, p.Dir)
	def := pairs(t)
	def.Properties = map[string]string{
		"write.metadata.previous-versions-max": "3", "write.metadata.delete-after-commit.enabled": "true",
		table.MinSnapshotsToKeepKey: "2", table.MaxSnapshotAgeMsKey: fmt.Sprint(time.Hour.Milliseconds()),
	}
	tbl := ensure(t, lake, def)
	var ids []int64
	for n := range 10 {
		put(t, tbl, token("w", n), fmt.Sprintf("r%d 1", n))
		head, _ := reload(t, tbl).Head()
		ids = append(ids, head.ID)
	}
	const day = 24 * time.Hour
	at := func(n int) int64 { return ids[n-1] }
	refs := []table.Update{
		table.NewSetSnapshotRefUpdate("year-end", at(8), table.TagRef, (10 * 365 * day).Milliseconds(), 0, 0),
		table.NewSetSnapshotRefUpdate("short", at(7), table.TagRef, day.Milliseconds(), 0, 0),
		table.NewSetSnapshotRefUpdate("audit", at(6), table.BranchRef, 0, 0, 2),
		table.NewSetSnapshotRefUpdate("gone", at(4), table.BranchRef, day.Milliseconds(), (100 * day).Milliseconds(), 9),
		table.NewSetSnapshotRefUpdate("long", at(2), table.BranchRef, 0, (30 * day).Milliseconds(), 0),
	}
	_, err := commit.Commit(ctx, lake.Catalog(), tbl.Iceberg().Identifier(), token("refs", 1).ID, func(context.Context, *table.Table, int) (*commit.Change, error) {
		return &commit.Change{Updates: refs}, nil
	}, commit.Options{})
	require.NoError(t, err)
	r, err := reload(t, tbl).Expire(ctx, token("m", 1), maintain.ExpireOptions{Now: func() time.Time { return time.Now().Add(2 * day) }})
	require.NoError(t, err)
	require.Equal(t, 3, r.Snapshots)

	found := p.Inspect(t, def.Name)[def.Name]
	want := map[string]int64{}
	// main keeps two; year-end has years; audit keeps two; of short, and of gone with all that it would keep, the time is over; long keeps
	// what is younger than a month.
	for _, n := range []int{10, 9, 8, 6, 5, 2, 1} {
		want[fmt.Sprint(at(n))] = int64(n)
	}
	require.Equal(t, want, found.Snapshots, "each with its rows")
	require.Equal(t, map[string]peers.Ref{
		"main":     {Snapshot: fmt.Sprint(at(10)), Type: "branch"},
		"year-end": {Snapshot: fmt.Sprint(at(8)), Type: "tag", MaxRefAgeMS: (10 * 365 * day).Milliseconds()},
		"audit":    {Snapshot: fmt.Sprint(at(6)), Type: "branch", Keep: 2},
		"long":     {Snapshot: fmt.Sprint(at(2)), Type: "branch", MaxSnapshotAgeMS: (30 * day).Milliseconds()},
	}, found.Refs)

	var onDisk []string
	folder := strings.TrimPrefix(reload(t, tbl).Location(), "file://")
	entries, err := os.ReadDir(filepath.Join(folder, "metadata"))
	require.NoError(t, err)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".metadata.json") {
			onDisk = append(onDisk, "file://"+filepath.Join(folder, "metadata", e.Name()))
		}
	}
	require.Len(t, onDisk, 4, "three old ones and the current one")
	require.ElementsMatch(t, onDisk, found.MetadataFiles)
}
