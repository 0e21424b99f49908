package merge

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/internal/rows"
)

// copyOnWrite writes a file's rows again, changed.
func (g *group) copyOnWrite(f *targetFile, verdicts []verdict, cur cursor) error {
	done, err := g.carry(f, verdicts, cur)
	if err == nil && !done {
		err = g.rewriteFile(f, verdicts, cur)
	}
	if err != nil {
		return err
	}
	g.out.removeData = append(g.out.removeData, f.task.File)
	g.out.removeDeletes = append(g.out.removeDeletes, ownDeletes(f.task)...)
	return nil
}

// rewriteFile passes all rows of a file through the writer.
func (g *group) rewriteFile(f *targetFile, verdicts []verdict, cur cursor) error {
	err := g.c.reader.scan(g.ctx, f, targetScope, g.c.stored(), nil, func(b block) error {
		n := 0
		for n < len(verdicts) && verdicts[n].position <= b.positions[b.n-1] {
			n++
		}
		mine := verdicts[:n]
		verdicts = verdicts[n:]
		return g.rewrite(f, b, mine, cur)
	})
	if err == nil && len(verdicts) > 0 {
		err = fmt.Errorf("%s: row %d is not there any more", f.task.File.FilePath(), verdicts[0].position)
	}
	return err
}

// ownDeletes are the delete files that concern no other file than the task's.
func ownDeletes(task table.FileScanTask) []iceberg.DataFile {
	out := slices.Clone(task.DeletionVectorFiles)
	for _, d := range task.DeleteFiles {
		if commit.ReferencedFile(d) == task.File.FilePath() {
			out = append(out, d)
		}
	}
	return out
}

// rewrite writes a block of rows, of which some are updated or deleted.
func (g *group) rewrite(f *targetFile, b block, verdicts []verdict, cur cursor) error {
	// refs names for each row that stays its place in the old columns (chunk 0)
	// or in the new ones (chunk 1).
	refs := make([]rows.Ref, 0, b.n)
	var updates []verdict
	var index []int32 // the updated rows in the block
	at, kept := 0, []int32{}
	for i, p := range b.positions {
		if at < len(verdicts) && verdicts[at].position == p {
			v := verdicts[at]
			at++
			if g.c.clauseOf(v).action == Delete {
				continue
			}
			refs = append(refs, rows.At(1, len(updates)))
			updates, index = append(updates, v), append(index, int32(i))
		} else {
			refs = append(refs, rows.At(0, i))
		}
		kept = append(kept, int32(i))
	}
	if at < len(verdicts) {
		return fmt.Errorf("row %d is not there any more", verdicts[at].position)
	}
	g.out.carried += int64(len(kept) - len(updates))
	columns, err := g.overlay(b, refs, updates, index, cur)
	if err != nil {
		return err
	}
	defer func() { rows.Release(columns) }()
	if g.c.lineage {
		isUpdated := make([]bool, b.n)
		for _, i := range index {
			isUpdated[i] = true
		}
		id, seq := lineageOf(f, b, func(i int) bool { return isUpdated[i] })
		for _, a := range []arrow.Array{id, seq} {
			stay := make([]rows.Ref, len(kept))
			for i, k := range kept {
				stay[i] = rows.At(0, int(k))
			}
			out, err := rows.Gather([]arrow.Array{a}, stay)
			a.Release()
			if err != nil {
				return err
			}
			columns = append(columns, out)
		}
	}
	return g.add(columns, len(refs))
}

// overlay puts the new values of updated rows in the place of the old ones.
func (g *group) overlay(b block, refs []rows.Ref, updates []verdict, index []int32, cur cursor) ([]arrow.Array, error) {
	old := b.columns[:g.c.target.NumFields()]
	var fresh []arrow.Array
	if len(updates) > 0 {
		source, target := g.c.needs(g.c.columns)
		names := &frame{n: b.n}
		for _, t := range target {
			names.add(targetScope+t, b.column(targetScope+t))
		}
		picked, err := names.pick(index)
		if err != nil {
			return nil, err
		}
		defer picked.release()
		s, err := cur.take(g.ctx, source, updates)
		if err != nil {
			return nil, err
		}
		defer s.release()
		if fresh, err = g.c.updated(g.ctx, s.join(picked), updates, g.c.columns); err != nil {
			return nil, err
		}
		defer rows.Release(fresh)
	}
	out := make([]arrow.Array, len(old))
	for c, a := range old {
		i := slices.Index(g.c.columns, c)
		switch {
		case len(refs) == b.n && (len(updates) == 0 || i < 0):
			a.Retain()
			out[c] = a
			continue
		case i < 0 || len(updates) == 0:
			// Of updated rows too the old value stays: read it from there.
			stay := slices.Clone(refs)
			for k, r := range stay {
				if r>>32 == 1 {
					stay[k] = rows.At(0, int(index[uint32(r)]))
				}
			}
			var err error
			if out[c], err = rows.Gather([]arrow.Array{a}, stay); err != nil {
				rows.Release(out)
				return nil, fmt.Errorf("column %s: %w", g.c.target.Field(c).Name, err)
			}
		default:
			var err error
			if out[c], err = rows.Gather([]arrow.Array{a, fresh[i]}, refs); err != nil {
				rows.Release(out)
				return nil, fmt.Errorf("column %s: %w", g.c.target.Field(c).Name, err)
			}
		}
	}
	return out, nil
}
