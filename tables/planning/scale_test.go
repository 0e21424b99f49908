package planning_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/cache"
	"github.com/varve-lake/varve/tables/planning"
	_ "github.com/varve-lake/varve/tables/store"
)

// manifestFiles is how many files a manifest lists, as rewriting manifests by partition leaves them.
const manifestFiles = 5000

var eventSchema = iceberg.NewSchema(0,
	iceberg.NestedField{ID: 1, Name: "user_id", Type: iceberg.PrimitiveTypes.Int64},
	iceberg.NestedField{ID: 2, Name: "ts", Type: iceberg.PrimitiveTypes.Timestamp},
	iceberg.NestedField{ID: 3, Name: "note", Type: iceberg.PrimitiveTypes.String})

var eventSpec = iceberg.NewPartitionSpecID(0, iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1000, Name: "ts_day", Transform: iceberg.DayTransform{}})

func long(n int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(n)) }

// metadataOnly writes the metadata of a table of so many files, none of which exist: a manifest has a day's files, each of which has a
// range of users of its own.
func metadataOnly(t testing.TB, files int) (table.Metadata, *table.Snapshot, iceio.IO) {
	dir := t.TempDir()
	fs, err := iceio.LoadFS(context.Background(), nil, dir)
	require.NoError(t, err)
	meta, err := table.NewMetadata(eventSchema, &eventSpec, table.UnsortedSortOrder, dir, iceberg.Properties{"format-version": "2"})
	require.NoError(t, err)
	snapshot := &table.Snapshot{SnapshotID: 7, SequenceNumber: 1, ManifestList: filepath.Join(dir, "list.avro")}
	var manifests []iceberg.ManifestFile
	for first := 0; first < files; first += manifestFiles {
		day := first / manifestFiles
		entries := make([]iceberg.ManifestEntry, 0, manifestFiles)
		for i := first; i < min(first+manifestFiles, files); i++ {
			low, high := int64(i%manifestFiles)*1000, int64(i%manifestFiles)*1000+999
			b, err := iceberg.NewDataFileBuilder(eventSpec, iceberg.EntryContentData, fmt.Sprintf("%s/data/ts_day=%d/%08d.parquet", dir, day, i),
				iceberg.ParquetFile, map[int]any{1000: iceberg.Date(day)}, nil, nil, 10_000_000, 1<<30)
			require.NoError(t, err)
			df := b.LowerBoundValues(map[int][]byte{1: long(low), 2: long(int64(day) * 86_400_000_000), 3: []byte("a")}).
				UpperBoundValues(map[int][]byte{1: long(high), 2: long(int64(day+1)*86_400_000_000 - 1), 3: []byte("zzzzzzzzzzzzzzzz")}).
				ValueCounts(map[int]int64{1: 10_000_000, 2: 10_000_000, 3: 10_000_000}).NullValueCounts(map[int]int64{1: 0, 2: 0, 3: 5}).Build()
			entries = append(entries, iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &snapshot.SnapshotID, nil, nil, df))
		}
		path := filepath.Join(dir, fmt.Sprintf("m%d.avro", day))
		var out bytes.Buffer
		m, err := iceberg.WriteManifest(path, &out, 2, eventSpec, eventSchema, snapshot.SnapshotID, entries)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, out.Bytes(), 0o600))
		manifests = append(manifests, m)
	}
	var out bytes.Buffer
	sequence := int64(1)
	require.NoError(t, iceberg.WriteManifestList(2, &out, snapshot.SnapshotID, nil, &sequence, 0, manifests))
	require.NoError(t, os.WriteFile(snapshot.ManifestList, out.Bytes(), 0o600))
	return meta, snapshot, fs
}

func days(from, to int) iceberg.BooleanExpression {
	ts := iceberg.Reference("ts")
	return iceberg.NewAnd(iceberg.GreaterThanEqual(ts, iceberg.Timestamp(int64(from)*86_400_000_000)), iceberg.LessThan(ts, iceberg.Timestamp(int64(to)*86_400_000_000)))
}

// TestPlanningReadsCandidateManifestsAlone plans lookups on a table that is metadata alone. VARVE_PLANNING_FILES is its number of data
// files (100,000; `make bench-planning` takes 1,000,000 and 10,000,000), whose times it prints.
func TestPlanningReadsCandidateManifestsAlone(t *testing.T) {
	files := 100_000
	if text := os.Getenv("VARVE_PLANNING_FILES"); text != "" {
		var err error
		files, err = strconv.Atoi(text)
		require.NoError(t, err)
	}
	meta, snapshot, fs := metadataOnly(t, files)
	manifests := (files + manifestFiles - 1) / manifestFiles
	user := iceberg.EqualTo(iceberg.Reference("user_id"), int64(1_234_567))
	for _, candidates := range []int{1, 2, 4, 8, 16} {
		if candidates > manifests {
			break
		}
		kept := cache.New(256<<20, nil)
		opts := planning.Options{Snapshot: snapshot, Schema: eventSchema, Filter: iceberg.NewAnd(user, days(0, candidates)), Cache: kept}
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
			require.EqualValues(t, candidates*manifestFiles, c.Files)
			require.EqualValues(t, candidates*(manifestFiles-1), c.FilesPrunedByValue)
			require.EqualValues(t, []int{candidates + 1, 0}[i], c.MetadataReads, "the list and the candidates, once")
		}
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		require.LessOrEqual(t, kept.Used(), int64(256<<20))
		t.Logf("%d files, %d candidate manifests: %v cold, %v warm; cache %d MB, heap %d MB", files, candidates, took[0].Round(time.Microsecond*100),
			took[1].Round(time.Microsecond*10), kept.Used()>>20, memory.HeapInuse>>20)
	}
}
