// Package immense makes the metadata of tables of millions of data files, none of which exist.
package immense

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"
)

// ManifestFiles is how many files a manifest lists, as rewriting manifests by partition leaves them.
const ManifestFiles = 5000

// FileRows and FileBytes are those of a data file.
const (
	FileRows  = 10_000_000
	FileBytes = 1 << 30
)

// Schema and Spec are the tables'. A manifest has the files of one day, each of which has a thousand users of its own.
var (
	Schema = iceberg.NewSchema(0,
		iceberg.NestedField{ID: 1, Name: "user_id", Type: iceberg.PrimitiveTypes.Int64},
		iceberg.NestedField{ID: 2, Name: "ts", Type: iceberg.PrimitiveTypes.Timestamp},
		iceberg.NestedField{ID: 3, Name: "note", Type: iceberg.PrimitiveTypes.String})
	Spec = iceberg.NewPartitionSpecID(0, iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1000, Name: "ts_day", Transform: iceberg.DayTransform{}})
)

const day = int64(86_400_000_000) // microseconds

// Snapshot writes the manifests and the manifest list of a snapshot of so many files into a folder, and describes it. What is in the
// folder from another run is taken as it is.
func Snapshot(dir string, files int) (*table.Snapshot, error) {
	snapshot := &table.Snapshot{SnapshotID: 7, SequenceNumber: 1, TimestampMs: 1_700_000_000_000, ManifestList: filepath.Join(dir, "snap-7-list.avro"),
		Summary: &table.Summary{Operation: table.OpAppend, Properties: iceberg.Properties{"total-data-files": fmt.Sprint(files),
			"total-records": fmt.Sprint(files * FileRows), "total-files-size": fmt.Sprint(files * FileBytes), "total-delete-files": "0"}}}
	if _, err := os.Stat(snapshot.ManifestList); err == nil {
		return snapshot, nil
	}
	manifests := make([]iceberg.ManifestFile, (files+ManifestFiles-1)/ManifestFiles)
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range manifests {
		g.Go(func() (err error) {
			manifests[i], err = manifest(dir, i, min(ManifestFiles, files-i*ManifestFiles), snapshot.SnapshotID)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	sequence := snapshot.SequenceNumber
	if err := iceberg.WriteManifestList(2, &out, snapshot.SnapshotID, nil, &sequence, 0, manifests); err != nil {
		return nil, err
	}
	return snapshot, os.WriteFile(snapshot.ManifestList, out.Bytes(), 0o600)
}

// File describes a file of a day, the n-th of it.
func File(dir string, on, n int) (iceberg.DataFile, error) {
	b, err := iceberg.NewDataFileBuilder(Spec, iceberg.EntryContentData, fmt.Sprintf("%s/data/ts_day=%d/%08d.parquet", dir, on, n),
		iceberg.ParquetFile, map[int]any{1000: iceberg.Date(on)}, nil, nil, FileRows, FileBytes)
	if err != nil {
		return nil, err
	}
	low, high := int64(n)*1000, int64(n)*1000+999
	return b.LowerBoundValues(map[int][]byte{1: long(low), 2: long(int64(on) * day), 3: []byte("a")}).
		UpperBoundValues(map[int][]byte{1: long(high), 2: long(int64(on+1)*day - 1), 3: []byte("zzzzzzzzzzzzzzzz")}).
		ValueCounts(map[int]int64{1: FileRows, 2: FileRows, 3: FileRows}).NullValueCounts(map[int]int64{1: 0, 2: 0, 3: 5}).Build(), nil
}

func manifest(dir string, on, files int, snapshot int64) (iceberg.ManifestFile, error) {
	entries := make([]iceberg.ManifestEntry, files)
	for n := range entries {
		f, err := File(dir, on, n)
		if err != nil {
			return nil, err
		}
		entries[n] = iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &snapshot, nil, nil, f)
	}
	path := filepath.Join(dir, fmt.Sprintf("m%d.avro", on))
	var out bytes.Buffer
	m, err := iceberg.WriteManifest(path, &out, 2, Spec, Schema, snapshot, entries)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("manifest %s", path), err)
	}
	return m, os.WriteFile(path, out.Bytes(), 0o600)
}

func long(n int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(n)) }

// Days is the condition that a row is of the days from.. to.
func Days(from, to int) iceberg.BooleanExpression {
	ts := iceberg.Reference("ts")
	return iceberg.NewAnd(iceberg.GreaterThanEqual(ts, iceberg.Timestamp(int64(from)*day)), iceberg.LessThan(ts, iceberg.Timestamp(int64(to)*day)))
}
