package maintain

import (
	"fmt"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// Small files that are alone in their partitions, of which a table may have more than a plan takes, do not keep it from those that can
// be put together, nor from files with deletes.
func TestLonersLeaveRoomForOthers(t *testing.T) {
	spec := iceberg.NewPartitionSpecID(0, iceberg.PartitionField{SourceIDs: []int{1}, FieldID: 1000, Name: "p", Transform: iceberg.IdentityTransform{}})
	var tasks []table.FileScanTask
	add := func(partition int32) *table.FileScanTask {
		b, err := iceberg.NewDataFileBuilder(spec, iceberg.EntryContentData, fmt.Sprintf("f%03d", len(tasks)), iceberg.ParquetFile, map[int]any{1000: partition}, nil, nil, 10, 10)
		require.NoError(t, err)
		tasks = append(tasks, table.FileScanTask{File: b.Build()})
		return &tasks[len(tasks)-1]
	}
	for i := range int32(50) {
		add(i)
	}
	for range 5 {
		add(100)
	}
	worn := add(101)
	worn.EqualityDeleteFiles = []iceberg.DataFile{worn.File}
	o := CompactOptions{TargetFileBytes: 1000}.withDefaults(nil)
	found := &candidates{last: map[string]bool{}}
	c := &chooser{out: found, o: o, most: 20}
	plan := func() (out []table.FileScanTask) {
		c.begin()
		for _, task := range tasks {
			if c.choose(task) {
				out = append(out, task)
			}
		}
		return out
	}
	first := plan()
	require.Len(t, first, 20)
	require.Greater(t, c.kept, c.most)
	c.again = true
	found.tasks = plan()
	require.Len(t, found.tasks, 6)
	groups := 0
	for _, s := range slicesOf(found.tasks) {
		groups += len(o.groups(s, 0))
	}
	require.Equal(t, 2, groups)
}
