package planning_test

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/cache"
	"github.com/varve-lake/varve/tables/internal/immense"
	"github.com/varve-lake/varve/tables/planning"
	_ "github.com/varve-lake/varve/tables/store"
)

// TestPlanningReadsCandidateManifestsAlone plans lookups on a table that is metadata alone. VARVE_PLANNING_FILES is its number of data
// files (100,000; `make bench-planning` takes 1,000,000 and 10,000,000), whose times it prints; VARVE_PLANNING_DIR keeps the metadata.
func TestPlanningReadsCandidateManifestsAlone(t *testing.T) {
	files, dir := 100_000, os.Getenv("VARVE_PLANNING_DIR")
	if text := os.Getenv("VARVE_PLANNING_FILES"); text != "" {
		var err error
		files, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	if dir == "" {
		dir = t.TempDir()
	}
	snapshot, err := immense.Snapshot(dir, files)
	require.NoError(t, err)
	fs, err := iceio.LoadFS(context.Background(), nil, dir)
	require.NoError(t, err)
	meta, err := table.NewMetadata(immense.Schema, &immense.Spec, table.UnsortedSortOrder, dir, iceberg.Properties{"format-version": "2"})
	require.NoError(t, err)
	manifests := (files + immense.ManifestFiles - 1) / immense.ManifestFiles
	user := iceberg.EqualTo(iceberg.Reference("user_id"), int64(1_234_567))
	for _, candidates := range []int{1, 2, 4, 8, 16} {
		if candidates > manifests {
			break
		}
		runtime.GC()
		kept := cache.New(256<<20, nil)
		opts := planning.Options{Snapshot: snapshot, Schema: immense.Schema, Filter: iceberg.NewAnd(user, immense.Days(0, candidates)), Cache: kept}
		var took [2]time.Duration
		for i := range took { // cold, and then with all that the first plan kept
			start := time.Now()
			plan, err := planning.Files(context.Background(), meta, fs, opts)
			took[i] = time.Since(start)
			require.NoError(t, err)
			require.Len(t, plan.Tasks, candidates)
			c := plan.Counts
			require.Equal(t, manifests, c.Manifests)
			require.Equal(t, manifests-candidates, c.ManifestsPruned)
			require.EqualValues(t, candidates*immense.ManifestFiles, c.Files)
			require.EqualValues(t, candidates*(immense.ManifestFiles-1), c.FilesPrunedByValue)
			require.EqualValues(t, []int{candidates + 1, 0}[i], c.MetadataReads, "the list and the candidates, once")
		}
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		require.LessOrEqual(t, kept.Used(), int64(256<<20))
		t.Logf("%d files, %d candidate manifests: %v cold, %v warm; cache %d MB, heap %d MB", files, candidates, took[0].Round(time.Microsecond*100),
			took[1].Round(time.Microsecond*10), kept.Used()>>20, memory.HeapInuse>>20)
	}
}
