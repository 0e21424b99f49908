package merge

import (
	"cmp"
	"slices"

	"github.com/varve-lake/varve/tables/datafile"
)

const (
	minGroupBytes = 8 << 20
	maxGroupBytes = 512 << 20
	// apart is how many groups of small files are worth keeping partitions apart for.
	apart = 64
)

// groupFiles divides files into groups that are written, redone and fanned out
// as one. Files of a partition stay together as far as their size allows, so
// that their changed rows end up in few files; beyond that there are enough
// groups to keep all processors busy. Partitions stay apart, since writers who
// are in one another's way mostly are so in one of them; small ones share a
// group if there would be too many otherwise.
func groupFiles(files []changed, parallelism int) [][]changed {
	total, keys, partitions := int64(0), map[string]string{}, map[string]bool{}
	for _, f := range files {
		df := f.file.task.File
		key := datafile.PartitionKey(int(df.SpecID()), df.Partition())
		keys[df.FilePath()], partitions[key] = key, true
		total += df.FileSizeBytes()
	}
	limit := min(max(total/int64(4*parallelism), minGroupBytes), maxGroupBytes)
	least := int64(0) // of a group after which another partition begins one
	if len(partitions) > apart {
		least = min(limit, total/apart)
	}
	partition := func(f changed) string { return keys[f.file.task.File.FilePath()] }
	slices.SortStableFunc(files, func(a, b changed) int {
		return cmp.Or(cmp.Compare(partition(a), partition(b)), cmp.Compare(a.file.task.File.FilePath(), b.file.task.File.FilePath()))
	})
	var out [][]changed
	size := int64(0)
	for i, f := range files {
		bytes := f.file.task.File.FileSizeBytes()
		full := i == 0
		switch {
		case full:
		case partition(files[i-1]) == partition(f):
			full = size+bytes > maxGroupBytes
		default:
			full = size >= least || size+bytes > limit
		}
		if full {
			out, size = append(out, nil), 0
		}
		out[len(out)-1] = append(out[len(out)-1], f)
		size += bytes
	}
	return out
}
