package manifest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/manifest"
)

var (
	columns = []iceberg.NestedField{
		{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64}, {ID: 2, Name: "at", Type: iceberg.PrimitiveTypes.Timestamp},
		{ID: 3, Name: "text", Type: iceberg.PrimitiveTypes.String}, {ID: 4, Name: "real", Type: iceberg.PrimitiveTypes.Float64},
		{ID: 5, Name: "key", Type: iceberg.PrimitiveTypes.UUID}, {ID: 300, Name: "price", Type: iceberg.DecimalTypeOf(9, 2)},
	}
	schema = iceberg.NewSchema(0, columns...)
	specs  = []iceberg.PartitionSpec{*iceberg.UnpartitionedSpec,
		iceberg.NewPartitionSpecID(1, iceberg.PartitionField{SourceIDs: []int{2}, FieldID: 1000, Name: "day", Transform: iceberg.DayTransform{}}),
		iceberg.NewPartitionSpecID(2, iceberg.PartitionField{SourceIDs: []int{3}, FieldID: 1000, Name: "text", Transform: iceberg.IdentityTransform{}},
			iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1001, Name: "bucket", Transform: iceberg.BucketTransform{NumBuckets: 8}}),
		iceberg.NewPartitionSpecID(3, identity(300, 1000, "price"),
			identity(2, 1004, "at"), iceberg.PartitionField{SourceIDs: []int{3}, FieldID: 1005, Name: "gone", Transform: iceberg.VoidTransform{}})}
)

func identity(source, id int, name string) iceberg.PartitionField {
	return iceberg.PartitionField{SourceIDs: []int{source}, FieldID: id, Name: name, Transform: iceberg.IdentityTransform{}}
}

// What is read of manifests is what the library reads of them: of those that the library wrote, in each format, and of the same
// entries as other writers may lay them out.
func TestEntriesAreTheLibrarys(t *testing.T) {
	random.Seeds(t, 60, func(t *testing.T, run *random.Run) {
		rng := run.Rand
		m, raw := written(t, rng)
		as, whole := raw, true
		if rng.IntN(3) > 0 {
			whole = rng.IntN(2) == 0
			as = foreign(t, rng, raw, !whole)
		}
		if m.ManifestContent() == iceberg.ManifestContentData && rng.IntN(2) == 0 { // a list of format 3 may name manifests of any
			first := rng.Int64N(1 << 40)
			m = renumbered{iceberg.NewManifestFile(3, m.FilePath(), m.Length(), m.PartitionSpecID(), m.SnapshotID()).SequenceNum(m.SequenceNum(), 1).Build(), &first}
		}
		same(t, rng, m, raw, as, whole)
	})
}

func written(t *testing.T, rng *rand.Rand) (iceberg.ManifestFile, []byte) {
	version, spec, content := 1+rng.IntN(3), specs[rng.IntN(len(specs))], iceberg.ManifestContentData
	if version > 1 && rng.IntN(4) == 0 {
		content = iceberg.ManifestContentDeletes
	}
	const snapshot = 77
	var out bytes.Buffer
	w, err := iceberg.NewManifestWriter(version, &out, spec, schema, snapshot, iceberg.WithManifestWriterContent(content))
	require.NoError(t, err)
	for n := range 1 + rng.IntN(60) {
		f := dataFile(t, rng, spec, content, version, n)
		own, sequence := int64(snapshot), rng.Int64N(50)
		switch entry := iceberg.NewManifestEntry(iceberg.EntryStatusADDED, &own, nil, nil, f); rng.IntN(4) {
		case 0:
			other := own - rng.Int64N(3)
			err = w.Existing(iceberg.NewManifestEntry(iceberg.EntryStatusEXISTING, &other, &sequence, &sequence, f))
		case 1:
			err = w.Delete(iceberg.NewManifestEntry(iceberg.EntryStatusDELETED, &own, &sequence, &sequence, f))
		default:
			err = w.Add(entry)
		}
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	number := rng.Int64N(100)
	return iceberg.NewManifestFile(version, "m.avro", int64(out.Len()), int32(spec.ID()), snapshot).Content(content).SequenceNum(number, number).Build(), out.Bytes()
}

func dataFile(t *testing.T, rng *rand.Rand, spec iceberg.PartitionSpec, content iceberg.ManifestContent, version, n int) iceberg.DataFile {
	values := map[int]any{}
	for i := range spec.NumFields() {
		switch field := spec.Field(i); {
		case rng.IntN(5) == 0:
			values[field.FieldID] = nil
		case field.Name == "day":
			values[field.FieldID] = iceberg.Date(rng.IntN(3) - 1)
		case field.Name == "text":
			values[field.FieldID] = []string{"", "a", "ä"}[rng.IntN(3)]
		case field.Name == "price":
			values[field.FieldID] = iceberg.DecimalLiteral{Val: decimal128.FromI64(int64(rng.IntN(3)-1) * 100), Scale: 2}
		case field.Name == "at":
			values[field.FieldID] = iceberg.Timestamp(int64(rng.IntN(3)-1) * 1_000_001)
		case field.Name == "gone":
			values[field.FieldID] = nil
		default:
			values[field.FieldID] = int32(rng.IntN(8))
		}
	}
	kind, format := iceberg.EntryContentData, iceberg.ParquetFile
	if content == iceberg.ManifestContentDeletes {
		kind = []iceberg.ManifestEntryContent{iceberg.EntryContentPosDeletes, iceberg.EntryContentEqDeletes}[rng.IntN(2)]
	}
	b, err := iceberg.NewDataFileBuilder(spec, kind, fmt.Sprintf("s3://b/%d/%d.parquet", rng.IntN(100), n), format, values, nil, nil, rng.Int64N(1000)*rng.Int64N(2), 1+rng.Int64N(1<<40))
	require.NoError(t, err)
	some := func(most int64) map[int]int64 {
		out := map[int]int64{}
		for _, c := range columns {
			if rng.IntN(3) > 0 {
				out[c.ID] = rng.Int64N(most)
			}
		}
		return out
	}
	bound := func() map[int][]byte {
		out := map[int][]byte{}
		for _, c := range columns {
			if rng.IntN(3) > 0 {
				out[c.ID] = make([]byte, rng.IntN(12))
				for i := range out[c.ID] {
					out[c.ID][i] = byte(rng.IntN(256))
				}
			}
		}
		return out
	}
	if rng.IntN(5) > 0 {
		b.ColumnSizes(some(1000)).ValueCounts(some(3)).NullValueCounts(some(3)).NaNValueCounts(some(2)).LowerBoundValues(bound()).UpperBoundValues(bound())
	}
	if rng.IntN(2) == 0 {
		b.SplitOffsets([]int64{4, rng.Int64N(1 << 30)}).SortOrderID(rng.IntN(3))
	}
	if kind == iceberg.EntryContentEqDeletes {
		b.EqualityFieldIDs([]int{1, 3})
	}
	if version == 3 && kind == iceberg.EntryContentData && rng.IntN(2) == 0 {
		b.FirstRowID(rng.Int64N(1 << 50))
	}
	if version == 3 && kind == iceberg.EntryContentPosDeletes {
		b.ReferencedDataFile("s3://b/x.parquet").ContentOffset(4).ContentSizeInBytes(rng.Int64N(100))
	}
	return b.Build()
}

// same compares all that is read of a manifest with what the library reads of one with the same entries. It reads no file as a whole
// that has fields which it does not know.
func same(t *testing.T, rng *rand.Rand, m iceberg.ManifestFile, raw, as []byte, whole bool) {
	name := m.FilePath()
	want, err := iceberg.ReadManifest(m, bytes.NewReader(raw), false)
	require.NoError(t, err, name)
	all, err := manifest.Read(m, as, manifest.Options{Dead: true, Bare: !whole})
	require.NoError(t, err, name)
	require.Equal(t, len(want), all.Len(), name)
	for _, i := range rng.Perm(len(want)) { // in any order
		got, err := all.Entry(i)
		require.NoError(t, err, name)
		if whole {
			require.Equal(t, told(want[i]), told(got), "%s, entry %d", name, i)
		} else {
			require.Equal(t, bare(want[i].DataFile()), bare(got.DataFile()), "%s, entry %d", name, i)
		}
	}
	live := slices.DeleteFunc(slices.Clone(want), func(e iceberg.ManifestEntry) bool { return e.Status() == iceberg.EntryStatusDELETED })
	at := 0
	pieces := func(e *manifest.Entries) error {
		statistics(t, live[at:at+e.Len()], e, name)
		for i := range e.Len() {
			if i%3 == 0 {
				got, err := e.Entry(i)
				require.NoError(t, err)
				require.Equal(t, bare(live[at+i].DataFile()), bare(got.DataFile()), "%s, live entry %d", name, at+i)
			}
		}
		at += e.Len()
		return nil
	}
	require.NoError(t, manifest.Pieces(context.Background(), m, as, manifest.Options{Bare: true}, 1+rng.IntN(30), pieces), name)
	require.Equal(t, len(live), at, name)
}

// told is all that an entry says.
func told(e iceberg.ManifestEntry) map[string]any {
	f := e.DataFile()
	out := bare(f)
	for key, value := range map[string]any{"status": e.Status(), "snapshot": e.SnapshotID(), "sequence": e.SequenceNum(), "file sequence": e.FileSequenceNum(),
		"sizes": f.ColumnSizes(), "values": f.ValueCounts(), "nulls": f.NullValueCounts(), "nan": f.NaNValueCounts(), "distinct": f.DistinctValueCounts(),
		"low": f.LowerBoundValues(), "high": f.UpperBoundValues()} {
		out[key] = value
	}
	return out
}

// bare is what is said of a file beside its statistics.
func bare(f iceberg.DataFile) map[string]any {
	return map[string]any{"content": f.ContentType(), "path": f.FilePath(), "format": f.FileFormat(), "partition": f.Partition(), "rows": f.Count(),
		"size": f.FileSizeBytes(), "spec": f.SpecID(), "key": f.KeyMetadata(), "splits": f.SplitOffsets(), "equality": f.EqualityFieldIDs(), "order": f.SortOrderID(),
		"row id": f.FirstRowID(), "of": f.ReferencedDataFile(), "offset": f.ContentOffset(), "length": f.ContentSizeInBytes()}
}

// statistics compares columns, and what partitions are alike.
func statistics(t *testing.T, want []iceberg.ManifestEntry, got *manifest.Entries, name string) {
	partitions := map[string]map[int]any{}
	for i, e := range want {
		f := e.DataFile()
		require.Equal(t, f.FilePath(), string(got.Path(i)), name)
		require.Equal(t, f.Count(), got.Rows(i), name)
		key := string(got.Partition(i))
		if partitions[key] == nil {
			partitions[key] = f.Partition()
		}
		require.Equal(t, partitions[key], f.Partition(), name)
	}
	for _, c := range append(slices.Clone(columns), iceberg.NestedField{ID: 999}) {
		column := got.Column(c.ID)
		if column == nil {
			column = nothing(len(want))
		}
		for i, e := range want {
			f := e.DataFile()
			low, hasLow := f.LowerBoundValues()[c.ID]
			high, hasHigh := f.UpperBoundValues()[c.ID]
			require.Equal(t, []bool{hasLow, hasHigh}, []bool{column.Low[i] != nil, column.High[i] != nil}, name)
			require.True(t, bytes.Equal(low, column.Low[i]) && bytes.Equal(high, column.High[i]), name)
			nulls, known := f.NullValueCounts()[c.ID]
			if !known {
				nulls = -1
			}
			require.Equal(t, nulls, column.Nulls[i], name)
			values, counted := f.ValueCounts()[c.ID]
			require.Equal(t, known && counted && nulls > 0 && values == nulls, column.AllNull[i], name)
			nan, known := f.NaNValueCounts()[c.ID]
			require.Equal(t, known && nan == 0, column.NoNaN[i], name)
		}
	}
}

func nothing(n int) *manifest.Column {
	return &manifest.Column{Low: make([][]byte, n), High: make([][]byte, n), Nulls: slices.Repeat([]int64{-1}, n), AllNull: make([]bool, n), NoNaN: make([]bool, n)}
}

// Manifests that other engines wrote.
func TestEntriesOfOtherEngines(t *testing.T) {
	lists, err := os.ReadDir("testdata")
	require.NoError(t, err)
	seen := 0
	for _, engine := range lists {
		content, err := os.ReadFile("testdata/" + engine.Name() + "/list.avro")
		require.NoError(t, err)
		manifests, err := iceberg.ReadManifestList(bytes.NewReader(content))
		require.NoError(t, err)
		for _, m := range manifests {
			raw, err := os.ReadFile("testdata/" + engine.Name() + "/" + path.Base(m.FilePath()))
			require.NoError(t, err)
			same(t, rand.New(rand.NewPCG(1, 2)), m, raw, raw, true)
			seen++
		}
	}
	require.Positive(t, seen)
}

// A file that is cut short, or of which a byte is another, is an error or is read as the library reads it; it never panics, and never
// takes memory that is out of proportion.
func TestDamagedManifests(t *testing.T) {
	random.Seeds(t, 60, func(t *testing.T, run *random.Run) {
		rng := run.Rand
		m, raw := written(t, rng)
		if rng.IntN(2) == 0 {
			raw = foreign(t, rng, raw, true)
		}
		raw = slices.Clone(raw)
		if at := rng.IntN(len(raw)); rng.IntN(2) == 0 {
			raw = raw[:at]
		} else {
			raw[at] ^= byte(1 + rng.IntN(255))
		}
		entries, err := manifest.Read(m, raw, manifest.Options{})
		if err != nil {
			return
		}
		for i := range entries.Len() {
			_, _ = entries.Entry(i)
			_ = entries.Partition(i)
		}
		_ = entries.Column(3)
	})
	_, err := manifest.Read(iceberg.NewManifestFile(2, "m", 1, 0, 1).Build(), []byte("Obj\x01"), manifest.Options{})
	require.Error(t, err)
	require.False(t, errors.Is(err, io.EOF))
}
