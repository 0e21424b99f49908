package maintain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
)

// maxClusteredBytes ends a group of files that are sorted together: a larger partition is sorted in parts.
const maxClusteredBytes = 64 << 30

// group is files of one partition that are rewritten together.
type group struct {
	tasks     []table.FileScanTask
	partition string // as in paths
	bytes     int64
	must      bool // whatever the number of files: one has too many deleted rows, or they lie badly
	depth     float64
	last      bool // the partition is the one that was written to last
	reason    string
}

// gain is how many files, data and deletes, a reader is spared.
func (g *group) gain(target int64) int {
	n := len(g.tasks) - int((g.bytes+target-1)/target)
	for _, t := range g.tasks {
		n += len(t.DeleteFiles) + len(t.DeletionVectorFiles) + len(t.EqualityDeleteFiles)
	}
	return n
}

// slice is files of a partition.
type slice struct {
	key   string
	tasks []table.FileScanTask
	spec  int
}

// choose finds the files that are worth rewriting and puts them into groups, the worst partitions first: those far from the
// target size, those of which too many rows are deleted, and of a badly clustered partition all. Partitions that a writer
// wrote to last go last, since the next write may well be theirs too.
func choose(meta table.Metadata, found *candidates, o CompactOptions) []*group {
	spec := meta.PartitionSpec()
	var out []*group
	for _, s := range slicesOf(found.tasks) {
		if s.spec != spec.ID() && !o.RewriteAll {
			continue
		}
		for _, g := range o.groups(s, found.deep[s.key]) {
			g.partition, g.last = datafile.PartitionPath(meta, g.tasks[0].File), found.last[s.key]
			g.reason = o.explain(g)
			out = append(out, g)
		}
	}
	slices.SortStableFunc(out, func(a, b *group) int {
		switch {
		case a.last != b.last && a.last:
			return 1
		case a.last != b.last:
			return -1
		}
		return cmp.Or(cmp.Compare(b.depth, a.depth), cmp.Compare(b.gain(o.TargetFileBytes), a.gain(o.TargetFileBytes)))
	})
	return out
}

// slicesOf divides files by partition, in the order of the partitions' values as text.
func slicesOf(tasks []table.FileScanTask) []*slice {
	by := map[string]*slice{}
	var keys []string
	for _, t := range tasks {
		key := keyOf(t)
		if by[key] == nil {
			by[key] = &slice{key: key, spec: int(t.File.SpecID())}
			keys = append(keys, key)
		}
		by[key].tasks = append(by[key].tasks, t)
	}
	slices.Sort(keys)
	out := make([]*slice, len(keys))
	for i, key := range keys {
		out[i] = by[key]
	}
	return out
}

// groups are those of a partition's files that are worth rewriting. A depth above 0 says that all of them are, and there.
func (o CompactOptions) groups(s *slice, deep float64) []*group {
	clustered := o.clusters()
	all := o.RewriteAll || deep > 0
	var chosen []table.FileScanTask
	for _, t := range s.tasks {
		if all || o.small(t) || o.worn(t) {
			chosen = append(chosen, t)
		}
	}
	limit := o.TargetFileBytes
	if clustered {
		limit = max(limit, maxClusteredBytes)
	}
	packed := pack(chosen, limit, o)
	if !all {
		packed = together(packed, limit, o)
	}
	var out []*group
	for _, g := range packed {
		if g.must = g.must || all; g.must || len(g.tasks) >= o.MinInputFiles {
			g.depth = deep
			out = append(out, g)
		}
	}
	return out
}

// explain says in words why a group is rewritten.
func (o CompactOptions) explain(g *group) string {
	var why []string
	small, worn, deleted, equality := 0, 0, int64(0), 0
	rows := int64(0)
	for _, t := range g.tasks {
		if o.small(t) {
			small++
		}
		if o.worn(t) {
			worn++
		}
		if len(t.EqualityDeleteFiles) > 0 {
			equality++
		}
		deleted, rows = deleted+o.deletedFrom(t), rows+t.File.Count()
	}
	if g.depth > 0 {
		why = append(why, fmt.Sprintf("a value lies in %.1f files on average, more than %.1f", g.depth, o.MaxDepth))
	}
	if small > 1 || small > 0 && worn == 0 {
		why = append(why, fmt.Sprintf("%s of %d are small beside a target of %s", counted(small, "file"), len(g.tasks), size(o.TargetFileBytes)))
	}
	if equality > 0 {
		why = append(why, counted(equality, "file")+" with equality deletes")
	} else if worn > 0 {
		why = append(why, fmt.Sprintf("%s with deletes, of %.3g %% of all rows", counted(worn, "file"), 100*float64(deleted)/float64(max(rows, 1))))
	}
	if o.RewriteAll {
		why = append(why, "all files were asked for")
	}
	return strings.Join(why, "; ")
}

func counted(n int, of string) string {
	if n != 1 {
		of += "s"
	}
	return fmt.Sprintf("%d %s", n, of)
}

func size(bytes int64) string {
	for _, u := range []struct {
		unit string
		of   int64
	}{{"GB", 1 << 30}, {"MB", 1 << 20}, {"kB", 1 << 10}} {
		if bytes >= u.of {
			return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(bytes)/float64(u.of)), ".0") + " " + u.unit
		}
	}
	return fmt.Sprintf("%d bytes", bytes)
}
