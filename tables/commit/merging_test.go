package commit_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/internal/immense"
)

// largeWorld is a table whose one snapshot lists so many files that are not there.
func largeWorld(t *testing.T, files int, dir string) *world {
	t.Helper()
	ctx, own := context.Background(), t.TempDir()
	if dir == "" {
		dir = t.TempDir()
	}
	snapshot, err := immense.Snapshot(dir, files)
	require.NoError(t, err)
	cat, err := catalog.Open(ctx, catalog.Config{URI: filepath.Join(own, "catalog.db"), Warehouse: filepath.Join(own, "warehouse")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cat.Close()) })
	w := &world{t: t, cat: cat, ident: table.Identifier{"ns", "t"}}
	require.NoError(t, cat.CreateNamespace(ctx, table.Identifier{"ns"}, nil))
	_, err = cat.CreateTable(ctx, w.ident, immense.Schema, icebergcatalog.WithPartitionSpec(&immense.Spec),
		icebergcatalog.WithProperties(iceberg.Properties{table.ManifestMergeEnabledKey: "true"}))
	require.NoError(t, err)
	snapshot.TimestampMs = time.Now().UnixMilli()
	_, _, err = cat.CommitTable(ctx, w.ident, nil, []table.Update{table.NewAddSnapshotUpdate(snapshot),
		table.NewSetSnapshotRefUpdate(table.MainBranch, snapshot.SnapshotID, table.BranchRef, 0, 0, 0)})
	require.NoError(t, err)
	return w
}

// kept says how many manifests of the first snapshot are those of the head, and how many there are beside.
func (w *world) kept() (kept, others int) {
	w.t.Helper()
	tbl := w.load()
	fs, err := tbl.FS(context.Background())
	require.NoError(w.t, err)
	manifests, err := tbl.CurrentSnapshot().Manifests(fs)
	require.NoError(w.t, err)
	for _, m := range manifests {
		if m.SnapshotID() == 7 {
			kept++
		} else {
			others++
		}
	}
	return kept, others
}

// An append to a table of very many files leaves their manifests as they are, and small ones that appends leave are merged still.
// VARVE_PLANNING_FILES is the number of files (100,000), VARVE_PLANNING_DIR keeps their metadata; it prints what appends take.
func TestAppendLeavesLargeManifests(t *testing.T) {
	files, appends := 100_000, 120
	if text := os.Getenv("VARVE_PLANNING_FILES"); text != "" {
		var err error
		files, err = strconv.Atoi(text)
		require.NoError(t, err)
		appends = 5
	}
	w := largeWorld(t, files, os.Getenv("VARVE_PLANNING_DIR"))
	manifests := files / immense.ManifestFiles
	var took []time.Duration
	most := 0
	for i := range appends {
		f, err := immense.File(w.load().Location(), 3, immense.ManifestFiles+i)
		require.NoError(t, err)
		start := time.Now()
		out, err := commit.Commit(context.Background(), w.cat, w.ident, commit.ID{Writer: "w", Token: fmt.Sprint(i)},
			func(context.Context, *table.Table, int) (*commit.Change, error) {
				return &commit.Change{Operation: commit.Append, AddData: []iceberg.DataFile{f}}, nil
			}, commit.Options{})
		took = append(took, time.Since(start).Round(time.Millisecond))
		require.NoError(t, err)
		require.True(t, out.Committed)
		_, others := w.kept()
		most = max(most, others)
	}
	kept, others := w.kept()
	require.GreaterOrEqual(t, kept, manifests-1, "one may have been merged with the small ones")
	if appends > 100 {
		require.Less(t, most, 100)
		require.Less(t, others, 90, "the small ones were merged")
	}
	meta := w.load().Metadata()
	require.Equal(t, fmt.Sprint(files+appends), meta.CurrentSnapshot().Summary.Properties["total-data-files"])
	require.NotContains(t, meta.Properties(), table.ManifestTargetSizeBytesKey, "what bounds a commit is not the table's")
	t.Logf("append to %d files: %v", files, took[:5])
}

// The library does not spare manifests of another partition spec than the new one's, however few they are.
func TestAppendAfterAChangeOfSpecLeavesManifests(t *testing.T) {
	const files = 60_000
	w := largeWorld(t, files, "")
	txn := w.load().NewTransaction()
	require.NoError(t, txn.SetProperties(iceberg.Properties{table.ManifestTargetSizeBytesKey: fmt.Sprint(1 << 30)}))
	require.NoError(t, txn.UpdateSpec(true).RemoveField("ts_day").AddField("ts", iceberg.MonthTransform{}, "ts_month").Commit())
	_, err := txn.Commit(context.Background())
	require.NoError(t, err)
	tbl := w.load()
	month := tbl.Metadata().PartitionSpec()
	require.NotEqual(t, immense.Spec.ID(), month.ID())
	f, err := iceberg.NewDataFileBuilder(month, iceberg.EntryContentData, tbl.Location()+"/data/new.parquet", iceberg.ParquetFile,
		map[int]any{month.Field(0).FieldID: int32(3)}, nil, nil, 1, 100)
	require.NoError(t, err)
	_, err = commit.Commit(context.Background(), w.cat, w.ident, commit.ID{Writer: "w", Token: "1"},
		func(context.Context, *table.Table, int) (*commit.Change, error) {
			return &commit.Change{Operation: commit.Append, AddData: []iceberg.DataFile{f.Build()}}, nil
		}, commit.Options{})
	require.NoError(t, err)
	kept, _ := w.kept()
	require.Equal(t, files/immense.ManifestFiles, kept)
}
