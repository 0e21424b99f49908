package maintain

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/planning"
)

// look is what a commit of rewritten groups has to know of a head: of the partitions that the groups lie in, and no others.
type look struct {
	tasks map[string]table.FileScanTask // of the groups' inputs that are live, by path
	// deletes are the partitions' delete files that are of one data file each, and live which of those data files there are. A
	// delete file is of data of its own partition alone, by the specification.
	deletes []iceberg.DataFile
	live    map[string]bool
}

func lookAt(ctx context.Context, head *table.Table, groups []*rewritten) (*look, error) {
	out := &look{tasks: map[string]table.FileScanTask{}, live: map[string]bool{}}
	inputs := map[string]bool{}
	var files []iceberg.DataFile
	known := true
	for _, g := range groups {
		for _, in := range g.inputs {
			inputs[in.Path] = true
		}
		files, known = append(files, g.place...), known && len(g.place) > 0
	}
	var places *planning.Places // anywhere
	if known {
		places = planning.PlacesOf(head.Metadata(), files...)
	}
	if err := out.findDeletes(ctx, head, places); err != nil {
		return nil, err
	}
	referred := map[string]bool{}
	for _, d := range out.deletes {
		referred[commit.ReferencedFile(d)] = true
	}
	var mu sync.Mutex
	plan, err := planFiles(ctx, head, planning.Options{Places: places, Keep: func(f iceberg.DataFile) bool {
		path := f.FilePath()
		if referred[path] {
			mu.Lock()
			out.live[path] = true
			mu.Unlock()
		}
		return inputs[path]
	}})
	if err != nil {
		return nil, err
	}
	for _, t := range plan.Tasks {
		out.tasks[t.File.FilePath()] = t
	}
	return out, nil
}

func (l *look) findDeletes(ctx context.Context, head *table.Table, places *planning.Places) error {
	fs, err := head.FS(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	err = planning.Deletes(ctx, head.Metadata(), fs, planning.Options{Snapshot: head.CurrentSnapshot(), Places: places}, func(d iceberg.DataFile) {
		if commit.ReferencedFile(d) != "" && (places == nil || places.Has(d)) {
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
