package maintain

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// group is files of one partition that are rewritten together.
type group struct {
	tasks []table.FileScanTask
	bytes int64
	must  bool // a file of it has too many deleted rows, or lies in an old layout
	out   []iceberg.DataFile
}

// choose finds the files that are worth rewriting and packs them into groups of about the target size: those far from it,
// and those of which too many rows are deleted.
func choose(tasks []table.FileScanTask, spec int, o CompactOptions) []*group {
	byPartition := map[string][]table.FileScanTask{}
	for _, t := range tasks {
		if int(t.File.SpecID()) == spec && (o.small(t) || o.worn(t)) {
			key := fmt.Sprint(t.File.Partition())
			byPartition[key] = append(byPartition[key], t)
		}
	}
	partitions := make([]string, 0, len(byPartition))
	for key := range byPartition {
		partitions = append(partitions, key)
	}
	slices.Sort(partitions)
	var out []*group
	for _, key := range partitions {
		for _, g := range pack(byPartition[key], o) {
			if g.must || len(g.tasks) >= o.MinInputFiles {
				out = append(out, g)
			}
		}
	}
	return out
}

// pack is bin-packing by first fit, the largest file first.
func pack(tasks []table.FileScanTask, o CompactOptions) []*group {
	slices.SortFunc(tasks, func(a, b table.FileScanTask) int {
		return cmp.Or(cmp.Compare(b.File.FileSizeBytes(), a.File.FileSizeBytes()), cmp.Compare(a.File.FilePath(), b.File.FilePath()))
	})
	var groups []*group
	for _, t := range tasks {
		size := t.File.FileSizeBytes()
		i := slices.IndexFunc(groups, func(g *group) bool { return g.bytes+size <= o.TargetFileSize })
		if i < 0 {
			i, groups = len(groups), append(groups, &group{})
		}
		g := groups[i]
		g.tasks, g.bytes, g.must = append(g.tasks, t), g.bytes+size, g.must || o.worn(t)
	}
	return groups
}

// small files are those below three quarters of the target, as in Iceberg's own bin-pack.
func (o CompactOptions) small(t table.FileScanTask) bool {
	return t.File.FileSizeBytes() < o.TargetFileSize/4*3
}

// worn files have more deleted rows, or more delete files, than the options allow. What equality deletes delete is not
// counted, so that a file with any is worn.
func (o CompactOptions) worn(t table.FileScanTask) bool {
	if len(t.EqualityDeleteFiles) > 0 || len(t.DeleteFiles)+len(t.DeletionVectorFiles) >= o.MaxDeleteFiles {
		return true
	}
	deleted := int64(0)
	for _, files := range [][]iceberg.DataFile{t.DeleteFiles, t.DeletionVectorFiles} {
		for _, d := range files {
			deleted += d.Count()
		}
	}
	return deleted > 0 && float64(deleted) >= o.MaxDeleted*float64(t.File.Count())
}
