package merge

import (
	"cmp"
	"slices"

	"github.com/varve-lake/varve/tables/datafile"
)

const (
	minGroupBytes = 8 << 20
	maxGroupBytes = 512 << 20
)

// groupFiles divides files into groups that are written, redone and fanned out
// as one. Files of a partition stay together as far as their size allows, so
// that their changed rows end up in few files; beyond that there are enough
// groups to keep all processors busy.
func groupFiles(files []changed, parallelism int) [][]changed {
	total := int64(0)
	for _, f := range files {
		total += f.file.task.File.FileSizeBytes()
	}
	limit := min(max(total/int64(4*parallelism), minGroupBytes), maxGroupBytes)
	keys := map[string]string{}
	for _, f := range files {
		df := f.file.task.File
		keys[df.FilePath()] = datafile.PartitionKey(int(df.SpecID()), df.Partition())
	}
	partition := func(f changed) string { return keys[f.file.task.File.FilePath()] }
	slices.SortStableFunc(files, func(a, b changed) int {
		return cmp.Or(cmp.Compare(partition(a), partition(b)), cmp.Compare(a.file.task.File.FilePath(), b.file.task.File.FilePath()))
	})
	var out [][]changed
	size := int64(0)
	for i, f := range files {
		bytes := f.file.task.File.FileSizeBytes()
		samePartition := i > 0 && partition(files[i-1]) == partition(f)
		if i == 0 || size+bytes > limit && (!samePartition || size+bytes > maxGroupBytes) {
			out, size = append(out, nil), 0
		}
		out[len(out)-1] = append(out[len(out)-1], f)
		size += bytes
	}
	return out
}
