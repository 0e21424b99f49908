package merge

import (
	"fmt"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/internal/rows"
)

// mergeOnRead marks changed rows as deleted and writes their new versions.
func (g *group) mergeOnRead(f *targetFile, verdicts []verdict, cur cursor) error {
	gone := make([]uint32, len(verdicts))
	var updates []verdict
	for i, v := range verdicts {
		gone[i] = v.position
		if g.c.clauseOf(v).action == Update {
			updates = append(updates, v)
		}
	}
	all := allColumns(g.c.target)
	source, target := g.c.needs(all)
	if g.c.lineage {
		target = append(target, lineageColumns...)
	}
	err := g.c.eachUpdate(g.ctx, f, cur, updates, source, target, func(fr *frame, v []verdict, b block) error {
		columns, err := g.c.updated(g.ctx, fr, v, all)
		if err != nil {
			return err
		}
		if g.c.lineage {
			id, seq := lineageOf(f, b, func(int) bool { return true })
			columns = append(columns, id, seq)
		}
		defer rows.Release(columns)
		return g.add(columns, len(v))
	})
	if err != nil {
		return err
	}
	return g.deletes(f, bitmapOf(gone))
}

func allColumns(s *arrow.Schema) []int {
	out := make([]int, s.NumFields())
	for i := range out {
		out[i] = i
	}
	return out
}

// deletes marks positions of a file as deleted: in format v3 by one vector that
// holds the former deletes too, in v2 by one more file of positions.
func (g *group) deletes(f *targetFile, gone *roaring64.Bitmap) error {
	if g.c.meta.Version() >= 3 {
		gone.Or(f.deleted)
		g.vectors = append(g.vectors, datafile.VectorDelete{DataFile: f.task.File, Positions: gone})
		g.out.removeDeletes = append(g.out.removeDeletes, f.task.DeletionVectorFiles...)
		return nil
	}
	file, err := datafile.WritePositionDeletes(g.ctx, g.c.meta, g.c.fs, f.task.File, gone)
	if err != nil {
		return fmt.Errorf("write position deletes of %s: %w", f.task.File.FilePath(), err)
	}
	g.out.addDeletes = append(g.out.addDeletes, file)
	return nil
}
