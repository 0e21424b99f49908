package maintain

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// spread makes files of one column whose ranges are so wide, and lie anywhere in 0 to 1.
func spread(t *testing.T, n int, wide float64) (*iceberg.Schema, []table.SortField, []table.FileScanTask) {
	t.Helper()
	schema := iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "x", Type: iceberg.PrimitiveTypes.Int64})
	rng := rand.New(rand.NewPCG(1, 2))
	long := func(at float64) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(int64(at*1e12))) }
	var tasks []table.FileScanTask
	for i := range n {
		b, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentData, fmt.Sprintf("/t/data/%06d.parquet", i), iceberg.ParquetFile, nil, nil, nil, 10, 1000)
		require.NoError(t, err)
		at := rng.Float64()
		tasks = append(tasks, table.FileScanTask{File: b.LowerBoundValues(map[int][]byte{1: long(at)}).UpperBoundValues(map[int][]byte{1: long(at + wide)}).Build()})
	}
	return schema, []table.SortField{{SourceIDs: []int{1}, Transform: iceberg.IdentityTransform{}}}, tasks
}

// depth counts the overlaps of all with all.
func depth(schema *iceberg.Schema, columns []table.SortField, tasks []table.FileScanTask) float64 {
	overlaps, boxes := 0, make([]box, len(tasks))
	for i, t := range tasks {
		boxes[i] = boxOf(schema, columns, t.File)
	}
	for _, a := range boxes {
		for _, b := range boxes {
			if a.overlaps(b) {
				overlaps++
			}
		}
	}
	return float64(overlaps) / float64(len(tasks))
}

// Of as many files as are held the depth is exact; of more it is near, and of many partitions so is the mean.
func TestDepthsAreThoseOfAllFiles(t *testing.T) {
	schema, columns, tasks := spread(t, 1000, 0.002)
	exact := depth(schema, columns, tasks)
	require.Greater(t, exact, 4.)
	some := NewDepths(schema, columns)
	for _, task := range tasks {
		some.Add("p", task.File)
	}
	require.InDelta(t, exact, some.Depth("p"), 1e-9)
	require.Zero(t, some.Depth("other"))

	schema, columns, tasks = spread(t, 5000, 0.002) // some 21 deep
	exact, some = depth(schema, columns, tasks), NewDepths(schema, columns)
	for _, task := range tasks {
		some.Add("p", task.File)
	}
	require.InEpsilon(t, exact, some.Depth("p"), 0.15)
	require.Equal(t, mostSampled, some.held)
}

// A box in a row overlaps what the box does, unless long bounds begin alike.
func TestBoxesInARow(t *testing.T) {
	long := bytes.Repeat([]byte("x"), packedBytes)
	bounds := [][]byte{nil, {}, {0}, {1}, {1, 0}, []byte("b"), append(bytes.Clone(long), 'a'), append(bytes.Clone(long), 'b')}
	var boxes []box
	for _, low := range bounds {
		for _, high := range bounds {
			for _, other := range bounds[:4] {
				boxes = append(boxes, box{low: [][]byte{low, other}, high: [][]byte{high, {1}}})
			}
		}
	}
	same, more := 0, 0
	for _, a := range boxes {
		for _, b := range boxes {
			if got := a.inRow().overlaps(b.inRow()); got != a.overlaps(b) {
				require.True(t, got, "%v %v", a, b)
				more++
			} else {
				same++
			}
		}
	}
	require.Positive(t, more)
	require.Greater(t, same, 10*more)
}

func TestDepthsHoldSoManyFiles(t *testing.T) {
	schema, columns, tasks := spread(t, 400, 0.05) // some 40 deep
	exact, some := depth(schema, columns, tasks), NewDepths(schema, columns)
	const partitions = 1000
	most := 0
	for p := range partitions {
		for _, task := range tasks {
			some.Add(fmt.Sprint(p), task.File)
			most = max(most, some.held)
		}
	}
	require.LessOrEqual(t, most, maxSampled+1)
	require.Less(t, some.most, 400)
	require.InEpsilon(t, exact, some.Depth("7"), 0.3, "by %d of 400 files", some.most)
}
