package maintain

import (
	"cmp"
	"maps"
	"slices"

	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
)

// MergeDeletesOptions say when position deletes are put together.
type MergeDeletesOptions struct {
	// MinInputFiles is how many position-delete files of one data file are worth it. Default: 3.
	MinInputFiles int
	// Parallelism is how many groups are written at once. Default: GOMAXPROCS.
	Parallelism int
}

// deleteGroup is position-delete files that are put together, and the data files that they delete from.
type deleteGroup struct {
	inputs  []*liveFile
	targets []*liveFile
	// of are the inputs that may delete from each of the targets, by its path.
	of map[string][]*liveFile
	// shared says that one of the inputs has positions in several data files.
	shared bool
}

// mergeable finds what is worth putting together, by data file; in the order of their paths, and of partitions. Where a
// position-delete file has positions in several data files, as some engines write them, all deletes of its partition that touch
// them go together into one file for each data file, if those are fewer.
//
// Of a data file that has a deletion vector nothing is looked at: it is in place of all others, which dangle.
func (c *census) mergeable(meta table.Metadata, least int) []*deleteGroup {
	scoped, shared := c.positionDeletes(meta)
	var out []*deleteGroup
	taken := map[string]bool{} // data files
	for _, partition := range slices.Sorted(maps.Keys(shared)) {
		g := c.together(partition, shared[partition], scoped)
		worth := len(g.inputs) > len(g.targets) && slices.ContainsFunc(g.targets, func(f *liveFile) bool {
			return len(g.of[f.file.FilePath()]) >= least
		})
		if worth {
			out = append(out, g)
		}
		if worth || meta.Version() >= 3 { // a deletion vector takes the place of all of a data file's deletes, and so of the shared ones
			for _, f := range c.beside[partition] {
				taken[f.file.FilePath()] = true
			}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(scoped)) {
		if len(scoped[path]) >= least && !taken[path] {
			out = append(out, &deleteGroup{inputs: scoped[path], targets: []*liveFile{c.named[path]}, of: map[string][]*liveFile{path: scoped[path]}})
		}
	}
	return out
}

// positionDeletes are those that apply to live data files: of one, by its path, and of several, by partition.
func (c *census) positionDeletes(meta table.Metadata) (scoped, shared map[string][]*liveFile) {
	scoped, shared = map[string][]*liveFile{}, map[string][]*liveFile{}
	for _, d := range c.deletes {
		of := commit.ReferencedFile(d.file)
		switch kindOf(meta, d.file) {
		case positionDelete:
			if f := c.named[of]; f != nil && !c.vectored[of] && d.sequence >= f.sequence {
				scoped[of] = append(scoped[of], d)
			}
		case sharedDelete:
			if d.sequence >= 0 {
				shared[d.partition] = append(shared[d.partition], d)
			}
		}
	}
	return scoped, shared
}

// together is the group of the position deletes of several data files in a partition, with those of one of these.
func (c *census) together(partition string, shared []*liveFile, scoped map[string][]*liveFile) *deleteGroup {
	g := &deleteGroup{inputs: slices.Clone(shared), of: map[string][]*liveFile{}, shared: true}
	for _, f := range c.beside[partition] {
		path := f.file.FilePath()
		if c.vectored[path] {
			continue
		}
		var of []*liveFile
		for _, d := range shared {
			if d.covers(f) {
				of = append(of, d)
			}
		}
		if len(of) == 0 {
			continue
		}
		g.inputs = append(g.inputs, scoped[path]...)
		g.targets, g.of[path] = append(g.targets, f), append(of, scoped[path]...)
	}
	slices.SortFunc(g.targets, func(a, b *liveFile) int { return cmp.Compare(a.file.FilePath(), b.file.FilePath()) })
	return g
}

// standing is what a group that was written at an earlier head is held against.
type standing struct {
	*census
	meta           table.Metadata
	live, data     map[string]bool // delete files, and data files that some of them may be about
	scoped, shared map[string][]*liveFile
}

func (c *census) standing(meta table.Metadata) *standing {
	s := &standing{census: c, meta: meta, live: map[string]bool{}, data: map[string]bool{}}
	s.scoped, s.shared = c.positionDeletes(meta)
	for _, d := range c.deletes {
		if kindOf(meta, d.file) != vectorDelete {
			s.live[d.file.FilePath()] = true
		}
	}
	for path := range c.named {
		s.data[path] = true
	}
	for _, files := range c.beside {
		for _, f := range files {
			s.data[f.file.FilePath()] = true
		}
	}
	return s
}

// holds tells whether what was written for a group is still what its inputs come to: they are all live, so are the data files,
// and there is no other that they may be about, as after a rollback.
func (s *standing) holds(g *deleteGroup) bool {
	within := map[string]bool{}
	for _, d := range g.inputs {
		if !s.live[d.file.FilePath()] {
			return false
		}
		within[d.file.FilePath()] = true
		if kindOf(s.meta, d.file) != sharedDelete {
			continue
		}
		for _, f := range s.beside[d.partition] {
			if g.of[f.file.FilePath()] == nil && d.covers(f) && !s.vectored[f.file.FilePath()] {
				return false
			}
		}
	}
	for _, f := range g.targets {
		path := f.file.FilePath()
		if !s.data[path] || s.vectored[path] {
			return false
		}
		if s.meta.Version() < 3 {
			continue
		}
		// A deletion vector takes the place of all of a data file's position deletes, so that none may be beside it.
		for _, d := range slices.Concat(s.scoped[path], s.shared[f.partition]) {
			if !within[d.file.FilePath()] {
				return false
			}
		}
	}
	return true
}
