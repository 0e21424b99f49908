package maintain

import (
	"fmt"
	"testing"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"
)

// sized are files of so many bytes each, the first one the oldest.
func sized(t *testing.T, sizes ...int64) []table.FileScanTask {
	t.Helper()
	out := make([]table.FileScanTask, len(sizes))
	for i, size := range sizes {
		b, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, iceberg.EntryContentData, fmt.Sprintf("f%02d", i), iceberg.ParquetFile, nil, nil, nil, 10, size)
		require.NoError(t, err)
		sequence := int64(i + 1)
		out[i] = table.FileScanTask{File: b.Build(), DataSequenceNumber: &sequence}
	}
	return out
}

func packed(tasks []table.FileScanTask, limit int64) (out [][]string) {
	o := CompactOptions{TargetFileBytes: limit}.withDefaults(nil)
	for _, g := range together(pack(tasks, limit, o), limit, o) {
		var names []string
		for _, t := range g.tasks {
			names = append(names, t.File.FilePath())
		}
		out = append(out, names)
	}
	return out
}

func TestPack(t *testing.T) {
	for name, c := range map[string]struct {
		sizes []int64
		want  [][]string
	}{
		"small ones lie on top of a large one, the oldest first": {
			[]int64{10, 10, 10, 60, 10, 10, 10}, [][]string{{"f03", "f00", "f01", "f02", "f04"}},
		},
		"what came last is in the last group": {
			[]int64{20, 20, 20, 20, 20, 20, 20, 20, 20, 20},
			[][]string{{"f00", "f01", "f02", "f03", "f04"}, {"f05", "f06", "f07", "f08", "f09"}},
		},
		"none fits on top of another, and together they make fewer": {
			[]int64{60, 60, 60, 60, 60}, [][]string{{"f00", "f01", "f02", "f03", "f04"}},
		},
		"together they would hardly make fewer": {[]int64{74, 74, 74, 74, 74}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := packed(sized(t, c.sizes...), 100); c.want != nil {
				require.Equal(t, c.want, got)
			} else {
				require.Empty(t, got)
			}
		})
	}
}
