package tables_test

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/internal/immense"
	"github.com/varve-lake/varve/tables/maintain"
)

// What looks at a whole table holds little of it: not its files' descriptions, which take some kilobytes each. VARVE_PLANNING_FILES is the
// number of files (30,000), VARVE_PLANNING_DIR keeps their metadata.
func TestLooksAtAllFilesInBoundedMemory(t *testing.T) {
	files, dir := 30_000, os.Getenv("VARVE_PLANNING_DIR")
	if text := os.Getenv("VARVE_PLANNING_FILES"); text != "" {
		var err error
		files, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	if testing.Short() {
		t.Skip("the race detector has its own memory")
	}
	if dir == "" {
		dir = t.TempDir()
	}
	lake := newLake(t)
	ensure(t, lake, pairs(t)) // makes the namespace
	snapshot, err := immense.Snapshot(dir, files)
	require.NoError(t, err)
	ident := table.Identifier{"ns", "immense"}
	_, err = lake.Catalog().CreateTable(ctx, ident, immense.Schema, icebergcatalog.WithPartitionSpec(&immense.Spec))
	require.NoError(t, err)
	snapshot.TimestampMs = time.Now().UnixMilli()
	_, _, err = lake.Catalog().CommitTable(ctx, ident, nil, []table.Update{table.NewAddSnapshotUpdate(snapshot),
		table.NewSetSnapshotRefUpdate(table.MainBranch, snapshot.SnapshotID, table.BranchRef, 0, 0, 0)})
	require.NoError(t, err)
	tbl, err := lake.Table(ctx, "ns.immense")
	require.NoError(t, err)
	partitions := (files + immense.ManifestFiles - 1) / immense.ManifestFiles
	for _, look := range []struct {
		name string
		at   func(context.Context) error
	}{
		{"health", func(ctx context.Context) error {
			h, err := tbl.Health(ctx, immense.FileBytes)
			require.Equal(t, []int{files, partitions, 0}, []int{h.Files, h.PartitionCount, h.SmallFiles})
			return err
		}},
		{"health of a clustering by two columns", func(ctx context.Context) error {
			h, err := tbl.Health(ctx, 0, "user_id", "ts")
			require.InDelta(t, 1, h.Depth, 1e-9)
			return err
		}},
		{"show", func(ctx context.Context) error {
			info, err := tbl.Info(ctx)
			require.Equal(t, []int{files, partitions}, []int{info.DataFiles, len(info.Partitions)})
			return err
		}},
		{"plan of a compaction", func(ctx context.Context) error {
			plan, err := tbl.PlanCompaction(ctx, maintain.CompactOptions{TargetFileBytes: immense.FileBytes})
			require.Zero(t, len(plan.Groups))
			return err
		}},
		{"plan of a clustering with a budget of a day", func(ctx context.Context) error {
			plan, err := tbl.PlanCompaction(ctx, maintain.CompactOptions{TargetFileBytes: immense.FileBytes, Strategy: maintain.ZOrder, Columns: []string{"ts", "user_id"}, MaxDepth: 0.5, Budget: maintain.Budget{Bytes: immense.ManifestFiles * immense.FileBytes * 3 / 2}})
			require.Equal(t, []int{79, partitions - 1}, []int{len(plan.Groups), plan.LeftGroups}, "the first day in groups of 64 files, and no other")
			return err
		}},
	} {
		var took time.Duration
		peak := immense.HeapPeak(func() {
			start := time.Now()
			require.NoError(t, look.at(ctx), look.name)
			took = time.Since(start)
		})
		require.Less(t, peak, int64(files)*16+100<<20, look.name)
		t.Logf("%s, of %d files: %v, heap %d MB", look.name, files, took.Round(time.Millisecond), peak>>20)
	}
}
