package maintain

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/planning"
)

// maxCandidates is how many files one plan takes, of partitions of which not all files are rewritten: their descriptions take some
// kilobytes each. Others are left to the next run.
const maxCandidates = 100_000

// candidates are the files of a head that a compaction may rewrite, and what it has to know of the partitions that they lie in. A table
// may have millions of others.
type candidates struct {
	tasks []table.FileScanTask
	last  map[string]bool    // partitions that the last snapshot that changed rows wrote to, by key
	deep  map[string]float64 // partitions that are to be clustered anew, with their depth
	light map[string]bool    // files of few deletes that are to be rewritten all the same, by path
	// deleted is how many rows are deleted from files of which manifests do not tell, or that may be light, by path.
	deleted map[string]int64

	// What there is no room for: partitions that are to be clustered anew, or a rest of files.
	left      int
	leftBytes int64
}

func keyOf(t table.FileScanTask) string {
	return datafile.PartitionKey(int(t.File.SpecID()), t.File.Partition())
}

// clusters says whether the strategy lays rows by their values.
func (o CompactOptions) clusters() bool { return o.Strategy == Sort || o.Strategy == ZOrder }

// findCandidates goes through the files of a head, and before, if rows are to be clustered, through them all once more: how well
// a partition's files are clustered depends on every one of them.
func findCandidates(ctx context.Context, head *table.Table, o CompactOptions) (*candidates, error) {
	out := &candidates{last: map[string]bool{}}
	if o.clusters() && !o.RewriteAll {
		if err := out.findDeep(ctx, head, o); err != nil {
			return nil, err
		}
	}
	spec := head.Metadata().PartitionSpec()
	c := &chooser{out: out, o: o, spec: spec.ID(), written: lastWritten(head), most: maxCandidates}
	for {
		c.begin()
		plan, err := planFiles(ctx, head, planning.Options{Choose: c.choose})
		if err != nil {
			return nil, err
		}
		if c.kept > c.most && !c.again { // what is alone in its partition must not take the place of what is not
			c.again = true
			continue
		}
		out.tasks = plan.Tasks
		break
	}
	if c.kept > c.most {
		out.left, out.leftBytes = out.left+1, out.leftBytes+c.over
	}
	fs, err := head.FS(ctx)
	if err == nil {
		err = c.light.count(ctx, fs)
	}
	if err != nil {
		return nil, err
	}
	out.deleted, o.deleted = c.light.rows, c.light.rows
	out.light = c.light.most(o)
	out.tasks = slices.DeleteFunc(out.tasks, func(t table.FileScanTask) bool {
		return c.light.only[t.File.FilePath()] && !out.light[t.File.FilePath()] && !o.worn(t)
	})
	return out, nil
}

// chooser looks at the files of a head, one at a time. Where there is no room for all, it does so again, knowing in which partitions
// there are enough small ones to be put together.
type chooser struct {
	out     *candidates
	o       CompactOptions
	spec    int
	written int64
	most    int

	mu    sync.Mutex
	kept  int
	over  int64 // bytes
	light *lightlyDeleted
	small map[string]int // by partition
	again bool
}

func (c *chooser) begin() {
	c.kept, c.over, c.light = 0, 0, &lightlyDeleted{}
	if !c.again {
		c.small = map[string]int{}
	}
}

// choose says whether a file is a candidate. Several goroutines ask.
func (c *chooser) choose(t table.FileScanTask) bool {
	key, small := keyOf(t), c.o.small(t)
	c.mu.Lock()
	defer c.mu.Unlock()
	if ofLast(t, c.written) {
		c.out.last[key] = true
	}
	switch {
	case c.o.RewriteAll || c.out.deep[key] > 0:
		return true
	case int(t.File.SpecID()) != c.spec:
		return false
	case !c.o.worn(t):
		is := c.light.add(t, c.o, small)
		if !small {
			return is
		}
		if c.again && c.small[key] < c.o.MinInputFiles {
			return is
		}
	}
	if small && !c.again {
		c.small[key]++
	}
	if c.kept++; c.kept > c.most {
		c.over += t.File.FileSizeBytes()
	}
	return c.kept <= c.most
}

// lightlyDeleted are files with few deletes, and those with many if all rows of the delete files that they share with others were
// theirs.
type lightlyDeleted struct {
	only  map[string]bool // those that nothing else makes worth a rewrite
	found []table.FileScanTask
	rows  map[string]int64 // deleted from each, by path
	heavy map[string]bool  // those that may have many, by path
	// sharers counts the files that have a delete file, by its path.
	sharers map[string]int64
}

// add says whether a file may be one.
func (l *lightlyDeleted) add(t table.FileScanTask, o CompactOptions, small bool) bool {
	heavy := o.many(t, deletedRows(t))
	if len(t.DeleteFiles)+len(t.DeletionVectorFiles) == 0 || t.File.FileSizeBytes() > o.CleanBytes && !heavy || len(l.found) == maxCandidates {
		return false
	}
	if heavy {
		if l.heavy == nil {
			l.heavy = map[string]bool{}
		}
		l.heavy[t.File.FilePath()] = true
	}
	if l.found = append(l.found, t); small {
		return true
	}
	if l.only == nil {
		l.only = map[string]bool{}
	}
	l.only[t.File.FilePath()] = true
	return true
}

// sharedRows bounds the rows of delete files of several data files that are read to find which these are.
const sharedRows = 4 << 20

// count finds how many rows are deleted from each, and leaves out those from which none is: a delete file that several data files
// share, as other engines write them, applies to all within the bounds of its paths, and may delete nothing from most of them. Such
// files are read. Where they are too many to be, each counts in equal parts for the files that may have many deleted rows by it, and
// not for others.
func (l *lightlyDeleted) count(ctx context.Context, fs iceio.IO) error {
	slices.SortFunc(l.found, func(a, b table.FileScanTask) int { return cmp.Compare(a.File.FilePath(), b.File.FilePath()) })
	l.rows = map[string]int64{}
	var shared []table.FileScanTask
	left, read := int64(sharedRows), map[string]bool{}
	for _, t := range l.found {
		path := t.File.FilePath()
		if l.rows[path] = rowsDeletedAlone(t); l.rows[path] > 0 && !l.heavy[path] {
			continue
		}
		all := true
		for _, d := range t.DeleteFiles {
			if _, seen := read[d.FilePath()]; !seen {
				if read[d.FilePath()] = d.Count() <= left; read[d.FilePath()] {
					left -= d.Count()
				}
			}
			all = all && read[d.FilePath()]
		}
		if all {
			shared = append(shared, t)
		} else if l.heavy[path] {
			l.rows[path] = l.inParts(t)
		}
	}
	err := datafile.DeletesOfAll(ctx, fs, shared, func(t table.FileScanTask, positions *roaring64.Bitmap) error {
		l.rows[t.File.FilePath()] = min(int64(positions.GetCardinality()), t.File.Count())
		return nil
	})
	l.found = slices.DeleteFunc(l.found, func(t table.FileScanTask) bool { return l.rows[t.File.FilePath()] == 0 })
	return err
}

// inParts is how many of a file's rows are deleted if each delete file that it shares deletes as many from all that have it.
func (l *lightlyDeleted) inParts(t table.FileScanTask) int64 {
	if l.sharers == nil {
		l.sharers = map[string]int64{}
		for _, t := range l.found {
			for _, d := range t.DeleteFiles {
				l.sharers[d.FilePath()]++
			}
		}
	}
	deleted := rowsDeletedAlone(t)
	for _, d := range t.DeleteFiles {
		if planning.DeletesFrom(d) == "" {
			deleted += d.Count() / l.sharers[d.FilePath()]
		}
	}
	return min(deleted, t.File.Count())
}

// most are those with the largest share of deleted rows that there is room for, of those that are not worn anyway.
func (l *lightlyDeleted) most(o CompactOptions) map[string]bool {
	budget := o.CleanBytes
	share := func(t table.FileScanTask) float64 {
		return float64(l.rows[t.File.FilePath()]) / float64(max(t.File.Count(), 1))
	}
	slices.SortFunc(l.found, func(a, b table.FileScanTask) int {
		return cmp.Or(cmp.Compare(share(b), share(a)), cmp.Compare(a.File.FilePath(), b.File.FilePath()))
	})
	out := map[string]bool{}
	for _, t := range l.found {
		if t.File.FileSizeBytes() > o.CleanBytes || o.worn(t) {
			continue
		}
		if budget -= t.File.FileSizeBytes(); budget < 0 {
			break
		}
		out[t.File.FilePath()] = true
	}
	return out
}

// findDeep finds the partitions in which values lie in too many files, and an eighth of whose bytes is in files that this clustering did
// not write: without that, what cannot be clustered any better, as rows that are all alike, would be rewritten for ever. The deepest
// are taken, as far as the budget goes.
func (c *candidates) findDeep(ctx context.Context, head *table.Table, o CompactOptions) error {
	type weight struct{ all, other int64 }
	meta := head.Metadata()
	spec, depths, weights := meta.PartitionSpec(), NewDepths(meta.CurrentSchema(), o.Order), map[string]*weight{}
	var mu sync.Mutex
	_, err := planFiles(ctx, head, planning.Options{Keep: func(f iceberg.DataFile) bool {
		if int(f.SpecID()) != spec.ID() {
			return false
		}
		key := datafile.PartitionKey(int(f.SpecID()), f.Partition())
		mu.Lock()
		defer mu.Unlock()
		w := weights[key]
		if w == nil {
			w = &weight{}
			weights[key] = w
		}
		w.all += f.FileSizeBytes()
		if name := f.FilePath()[strings.LastIndexByte(f.FilePath(), '/')+1:]; !strings.HasPrefix(name, o.prefix()+"-") {
			w.other += f.FileSizeBytes()
		}
		depths.Add(key, f)
		return false
	}})
	if err != nil {
		return err
	}
	deep := map[string]float64{}
	for key, w := range weights {
		if depth := depths.Depth(key); depth > o.MaxDepth && w.other*8 >= w.all {
			deep[key] = depth
		}
	}
	c.deep = map[string]float64{}
	spent := int64(0)
	deepest := slices.SortedFunc(maps.Keys(deep), func(a, b string) int { return cmp.Or(cmp.Compare(deep[b], deep[a]), cmp.Compare(a, b)) })
	for _, key := range deepest {
		bytes := weights[key].all
		if o.Budget.Bytes > 0 && len(c.deep) > 0 && spent+bytes > o.Budget.Bytes {
			c.left, c.leftBytes = c.left+1, c.leftBytes+bytes
			continue
		}
		spent += bytes
		c.deep[key] = deep[key]
	}
	return nil
}

// lastWritten is the sequence number of the last snapshot that changed rows; 0 if it has expired.
func lastWritten(head *table.Table) int64 {
	for s := head.CurrentSnapshot(); s != nil; {
		if s.Summary == nil || s.Summary.Operation != table.OpReplace {
			return s.SequenceNumber
		}
		if s.ParentSnapshotID == nil {
			return 0
		}
		s = head.SnapshotByID(*s.ParentSnapshotID)
	}
	return 0
}

// ofLast tells files of the last snapshot that changed rows, by its sequence number; none if that is 0.
func ofLast(t table.FileScanTask, written int64) bool {
	return written > 0 && t.DataSequenceNumber != nil && *t.DataSequenceNumber >= written
}
