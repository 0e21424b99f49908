package maintain

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/planning"
)

// look is what a commit of rewritten groups has to know of a head: of the partitions that the groups lie in, and little of others.
type look struct {
	tasks map[string]table.FileScanTask // of the groups' inputs that are live, by path
	// deletes are the delete files of one data file each that are of one of the inputs, or in the partitions; and live which of those
	// data files there are, or may be.
	deletes []iceberg.DataFile
	live    map[string]bool

	inputs map[string]bool
	places *planning.Places // nil: anywhere
	since  int64            // deletes that are younger are looked for anywhere
}

// lookAt looks at a head. A delete file of one data file is in the partition of that, by the specification; who reads goes by the
// path alone. So nothing rests on where it lies: those that the groups had are looked for in their own partitions, those that
// came since in all, and one whose data file is missed in its own partition is of none only if no other has it.
func lookAt(ctx context.Context, head *table.Table, groups []*rewritten) (*look, error) {
	out := lookFor(head, groups)
	if err := out.findDeletes(ctx, head); err != nil {
		return nil, err
	}
	referred := map[string]bool{}
	for _, d := range out.deletes {
		referred[commit.ReferencedFile(d)] = true
	}
	var mu sync.Mutex
	plan, err := planFiles(ctx, head, planning.Options{Places: out.places, Since: out.since, Keep: func(f iceberg.DataFile) bool {
		path := f.FilePath()
		if referred[path] {
			mu.Lock()
			out.live[path] = true
			mu.Unlock()
		}
		return out.inputs[path]
	}})
	if err != nil {
		return nil, err
	}
	for _, t := range plan.Tasks {
		out.tasks[t.File.FilePath()] = t
	}
	maps.DeleteFunc(referred, func(path string, _ bool) bool { return out.live[path] })
	return out, out.lookElsewhere(ctx, head, referred)
}

// lookFor is a look that has not begun.
func lookFor(head *table.Table, groups []*rewritten) *look {
	out := &look{tasks: map[string]table.FileScanTask{}, live: map[string]bool{}, inputs: map[string]bool{}}
	var files []iceberg.DataFile
	known := true
	for i, g := range groups {
		for _, in := range g.inputs {
			out.inputs[in.Path] = true
		}
		files, known = append(files, g.place...), known && len(g.place) > 0
		if i == 0 || g.sequence < out.since {
			out.since = g.sequence
		}
	}
	if known {
		out.places = planning.PlacesOf(head.Metadata(), files...)
	}
	chain, _ := ancestry(head.Metadata())
	if !slices.ContainsFunc(chain, func(s *table.Snapshot) bool { return s.SequenceNumber == out.since }) {
		out.since = 0 // the head has not come from there, as far as is known: what is older may be new to it
	}
	return out
}

func (l *look) findDeletes(ctx context.Context, head *table.Table) error {
	fs, err := head.FS(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	o := planning.Options{Snapshot: head.CurrentSnapshot(), Places: l.places, Since: l.since}
	err = planning.Deletes(ctx, head.Metadata(), fs, o, func(d iceberg.DataFile) {
		if of := commit.ReferencedFile(d); of != "" && (l.inputs[of] || l.places == nil || l.places.Has(d)) {
			mu.Lock()
			l.deletes = append(l.deletes, d)
			mu.Unlock()
		}
	})
	slices.SortFunc(l.deletes, func(a, b iceberg.DataFile) int {
		return cmp.Or(cmp.Compare(a.FilePath(), b.FilePath()), cmp.Compare(commit.ReferencedFile(a), commit.ReferencedFile(b)))
	})
	return err
}

// lookElsewhere looks for data files that were missed in the partitions. In a large table they are taken for live: the removal of
// dangling deletes will go through all of it.
func (l *look) lookElsewhere(ctx context.Context, head *table.Table, missed map[string]bool) error {
	if len(missed) == 0 || l.places == nil {
		return nil
	}
	fs, err := head.FS(ctx)
	if err != nil {
		return err
	}
	all, err := head.CurrentSnapshot().Manifests(fs)
	if err != nil {
		return fmt.Errorf("manifests of snapshot %d: %w", head.CurrentSnapshot().SnapshotID, err)
	}
	manifests := l.places.Elsewhere(all, iceberg.ManifestContentData)
	if !planning.Few(manifests) {
		maps.Copy(l.live, missed)
		return nil
	}
	return planning.LookThrough(ctx, fs, manifests, func(f iceberg.DataFile) (more bool, err error) {
		if path := f.FilePath(); missed[path] {
			delete(missed, path)
			l.live[path] = true
		}
		return len(missed) > 0, nil
	})
}
