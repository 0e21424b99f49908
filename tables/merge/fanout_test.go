package merge

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// emptySource is a source without any.
type emptySource struct{ schema *arrow.Schema }

func (s emptySource) Schema() *arrow.Schema { return s.schema }

func (s emptySource) Open(context.Context, []string) (array.RecordReader, error) {
	return array.NewRecordReader(s.schema, nil)
}

// wideTable is a table of so many columns, the first of which is the key.
func wideTable(t *testing.T, columns int) (*table.Table, *Plan) {
	t.Helper()
	var fields []iceberg.NestedField
	for i := range columns {
		fields = append(fields, iceberg.NestedField{ID: i + 1, Name: fmt.Sprintf("c%d", i), Type: iceberg.PrimitiveTypes.Int64})
	}
	schema := iceberg.NewSchema(0, fields...)
	dir := t.TempDir()
	meta, err := table.NewMetadata(schema, iceberg.UnpartitionedSpec, table.UnsortedSortOrder, dir, nil)
	require.NoError(t, err)
	head := table.New(table.Identifier{"ns", "t"}, meta, dir+"/metadata.json",
		func(context.Context) (iceio.IO, error) { return iceio.LocalFS{}, nil }, nil)
	target, err := table.SchemaToArrowSchema(head.Schema(), nil, true, false)
	require.NoError(t, err)
	p, err := New(emptySource{target}, Options{On: []string{"c0"}, Matched: []Clause{{Action: Delete}}})
	require.NoError(t, err)
	require.NoError(t, p.bind(head))
	require.NoError(t, p.load(t.Context(), head, true))
	return head, p
}

func word(x int64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(x)) }

// manyFiles are so many files with statistics of every column, whose keys follow each other.
func manyFiles(t *testing.T, head *table.Table, n int, bytes int64) []table.FileScanTask {
	t.Helper()
	columns := head.Schema().NumFields()
	out := make([]table.FileScanTask, n)
	for i := range out {
		b, err := iceberg.NewDataFileBuilder(head.Metadata().PartitionSpec(), iceberg.EntryContentData,
			fmt.Sprintf("s3://lake/warehouse/silver.db/t/data/%05d-0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9.parquet", i*7919%n),
			iceberg.ParquetFile, nil, nil, nil, 1000, bytes)
		require.NoError(t, err)
		low, high, counts := map[int][]byte{}, map[int][]byte{}, map[int]int64{}
		for c := range columns {
			low[c+1], high[c+1], counts[c+1] = word(int64(i*7919%n)*1000), word(int64(i*7919%n)*1000+999), 1000
		}
		b.LowerBoundValues(low).UpperBoundValues(high).ValueCounts(counts).NullValueCounts(counts).ColumnSizes(counts)
		out[i] = table.FileScanTask{File: b.Build(), Length: bytes}
	}
	return out
}

// However many files there are, and however wide: the groups are some hundred, and no group's description is large.
func TestTheDivisionOfAHundredThousandFilesStaysSmall(t *testing.T) {
	for _, c := range []struct {
		name           string
		files, columns int
		bytes          int64
		groups         [2]int
	}{
		{"small files", 100_000, 3, 1 << 20, [2]int{100, 250}},
		{"large files", 5_000, 3, 512 << 20, [2]int{300, 350}}, // 2.5 TB: 8 GiB a group
		{"wide files", 2_000, 200, 1 << 20, [2]int{4, 20}},
	} {
		t.Run(c.name, func(t *testing.T) {
			head, p := wideTable(t, c.columns)
			groups, err := p.group(head.Metadata(), manyFiles(t, head, c.files, c.bytes))
			require.NoError(t, err)
			require.GreaterOrEqual(t, len(groups), c.groups[0])
			require.LessOrEqual(t, len(groups), c.groups[1])
			seen := map[string]bool{}
			for _, g := range groups {
				text, err := json.Marshal(g)
				require.NoError(t, err)
				require.Less(t, len(text), 2*groupWeight)
				require.Less(t, g.Weight(), groupWeight+4096)
				require.InDelta(t, len(text), g.Weight(), float64(len(text)/2))
				require.LessOrEqual(t, len(g.Files), defaultGroupFiles)
				files, err := p.shape.decoder(head.Metadata())
				require.NoError(t, err)
				tasks, err := files.Tasks(g.Files)
				require.NoError(t, err)
				for _, f := range tasks {
					require.False(t, seen[f.File.FilePath()])
					seen[f.File.FilePath()] = true
				}
				// Files whose keys follow each other are together.
				bounds, ok := p.binding.keys[0].boundsOf(tasks)
				require.True(t, ok)
				require.LessOrEqual(t, bounds.high-bounds.low, uint64(len(tasks)*1000))
			}
			require.Len(t, seen, c.files)
		})
	}
}

func TestLittleToLookThroughIsNotDivided(t *testing.T) {
	head, p := wideTable(t, 3)
	p.files, p.groups = map[string]*fileState{}, map[*groupState]bool{}
	tasks := manyFiles(t, head, 10, 1<<20)
	require.NoError(t, p.divide(head, tasks), "no limit was set")
	p.Share(Fanout{Above: 10 << 20})
	require.NoError(t, p.divide(head, tasks), "just as much as is allowed")
	p.Share(Fanout{Above: 9 << 20})
	require.NoError(t, p.divide(head, tasks), "one group would not make it faster")
	p.Share(Fanout{Above: 9 << 20, GroupBytes: 4 << 20})
	var divided *DividedError
	require.ErrorAs(t, p.divide(head, tasks), &divided)
	require.Equal(t, 3, divided.Division.Count)
	require.Equal(t, 10, divided.Division.Files)
	require.True(t, divided.Division.Fresh)
}

// A conflict is divided however little has to be redone, once there is something to redo; and nothing before it is.
func TestLittleToRedoIsDivided(t *testing.T) {
	head, p := wideTable(t, 3)
	p.files, p.groups = map[string]*fileState{}, map[*groupState]bool{}
	tasks := manyFiles(t, head, 10, 1<<20)
	p.Share(Fanout{Redo: true})
	require.NoError(t, p.divide(head, tasks), "the first plan")
	p.planned = true
	require.NoError(t, p.divide(head, nil), "nothing is to be redone")
	var divided *DividedError
	require.ErrorAs(t, p.divide(head, tasks[:1]), &divided)
	require.Equal(t, []int{1, 1, 1}, []int{divided.Division.Files, divided.Division.Count, len(divided.Division.Groups)})
	require.Nil(t, divided.Division.Kept)
	require.ErrorAs(t, p.divide(head, tasks), &divided)
	require.Len(t, divided.Division.Groups, 1, "small files are one group")
	p.Share(Fanout{})
	require.NoError(t, p.divide(head, tasks), "it is not wanted")
	p.planned = false
	p.Share(Fanout{Redo: true, Done: []Done{{}}})
	require.ErrorAs(t, p.divide(head, tasks[:1]), &divided, "another process has planned before")
}

// What this process has found itself goes with the division as a result, or stays where there is none: else its files would be
// looked through by nobody, and their rows inserted once more.
func TestOwnResultsAreKept(t *testing.T) {
	head, p := wideTable(t, 3)
	tasks := manyFiles(t, head, 10, 1<<20)
	at := func(i int) string { return tasks[i].File.FilePath() }
	p.files, p.groups = map[string]*fileState{}, map[*groupState]bool{}
	p.adopted = map[string]bool{at(0): true, at(1): true}
	for i := range 3 {
		p.files[at(i)] = &fileState{path: at(i), signature: "live", matched: bitmapOfRows([]uint32{uint32(i)}), applied: roaring.New()}
	}
	p.files[at(0)].elsewhere = true // the second was taken over once, and done again here after a conflict

	p.Share(Fanout{Above: 6 << 20, GroupBytes: 1 << 30})
	require.NoError(t, p.divide(head, tasks[3:]), "one group")
	require.Len(t, p.files, 3, "all that was found is kept")
	require.False(t, p.files[at(1)].elsewhere)

	p.Share(Fanout{Above: 6 << 20, GroupBytes: 4 << 20})
	var divided *DividedError
	require.ErrorAs(t, p.divide(head, tasks[3:]), &divided)
	d := divided.Division
	require.Equal(t, []int{7, 2, 3}, []int{d.Files, len(d.Groups), d.Count})
	require.Equal(t, []string{at(1)}, d.Dropped, "what was taken over of it holds no longer")
	require.Len(t, d.Kept.Files, 2)
	for _, f := range d.Kept.Files {
		require.Contains(t, []string{at(1), at(2)}, f.Path)
		require.NotEmpty(t, f.Matched)
	}
}

// Small files of some partitions are in groups of their own; those of very many share groups, and no partition is in two for that.
func TestSmallPartitionsStayApartWhileTheyAreFew(t *testing.T) {
	spec := iceberg.NewPartitionSpec(iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1000, Name: "p", Transform: iceberg.IdentityTransform{}})
	for _, c := range []struct{ partitions, least, most int }{{1, 1, 1}, {64, 64, 64}, {65, 33, 65}, {10_000, 32, 70}} {
		var files []changed
		for i := range 3 * c.partitions {
			p := int64(i % c.partitions)
			b, err := iceberg.NewDataFileBuilder(spec, iceberg.EntryContentData, fmt.Sprintf("file:///t/%06d.parquet", i), iceberg.ParquetFile,
				map[int]any{1000: p}, nil, nil, 10, 5_000)
			require.NoError(t, err)
			files = append(files, changed{file: &targetFile{task: table.FileScanTask{File: b.Build()}}, number: i})
		}
		groups := groupFiles(files, 2)
		require.GreaterOrEqual(t, len(groups), c.least, c.partitions)
		require.LessOrEqual(t, len(groups), c.most, c.partitions)
		in, n := map[int64]int{}, 0
		for g, group := range groups {
			n += len(group)
			for _, f := range group {
				p := f.file.task.File.Partition()[1000].(int64)
				if at, known := in[p]; known {
					require.Equal(t, at, g, "partition %d", p)
				}
				in[p] = g
			}
		}
		require.Equal(t, 3*c.partitions, n)
	}
}
