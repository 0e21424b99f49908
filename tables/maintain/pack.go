package maintain

import (
	"cmp"
	"slices"

	"github.com/apache/iceberg-go/table"
)

// pack puts files into groups of at most limit bytes, each of which makes one file, by first fit: the large ones first, the
// largest first, then the others, the oldest first. Writers change what came last most often, and a group that they have
// changed a file of is given up: so what is old is not lost with what is new.
func pack(tasks []table.FileScanTask, limit int64, o CompactOptions) []*group {
	slices.SortFunc(tasks, func(a, b table.FileScanTask) int {
		large := func(t table.FileScanTask) int64 {
			if size := t.File.FileSizeBytes(); size >= limit/2 {
				return size
			}
			return 0
		}
		return cmp.Or(cmp.Compare(large(b), large(a)), cmp.Compare(sequence(a), sequence(b)),
			cmp.Compare(b.File.FileSizeBytes(), a.File.FileSizeBytes()), cmp.Compare(a.File.FilePath(), b.File.FilePath()))
	})
	var groups []*group
	for _, t := range tasks {
		size := t.File.FileSizeBytes()
		i := slices.IndexFunc(groups, func(g *group) bool { return g.bytes+size <= limit })
		if i < 0 {
			i, groups = len(groups), append(groups, &group{})
		}
		groups[i].add(t, o)
	}
	return groups
}

func (g *group) add(t table.FileScanTask, o CompactOptions) {
	g.tasks, g.bytes, g.must = append(g.tasks, t), g.bytes+t.File.FileSizeBytes(), g.must || o.worn(t)
}

func sequence(t table.FileScanTask) int64 {
	if t.DataSequenceNumber == nil {
		return 0
	}
	return *t.DataSequenceNumber
}

// mostTogether bounds what is put together to so many limits.
const mostTogether = 16

// leastSpared is how many files less such a group has to make, since how many it makes is an estimate: it must not be made
// for nothing, and then again.
const leastSpared = 2

// together makes one group of those that have too few files each. Of files none of which fits on top of another, as those of
// six tenths of the limit, each would stay alone for ever; but their rows make fewer files.
func together(groups []*group, limit int64, o CompactOptions) []*group {
	var out []*group
	few := &group{}
	end := func() {
		if len(few.tasks) > 0 && few.spares(limit) {
			out = append(out, few)
		}
		few = &group{}
	}
	for _, g := range groups {
		if g.must || len(g.tasks) >= o.MinInputFiles {
			out = append(out, g)
			continue
		}
		if few.bytes+g.bytes > mostTogether*limit {
			end()
		}
		for _, t := range g.tasks {
			few.add(t, o)
		}
	}
	end()
	return out
}

// spares tells whether the group's rows make fewer files than they are in.
func (g *group) spares(limit int64) bool {
	return int64(len(g.tasks)) >= (g.bytes+limit-1)/limit+leastSpared
}
