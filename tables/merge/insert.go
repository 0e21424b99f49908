package merge

import (
	"context"
	"fmt"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"

	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/internal/rows"
)

// inserted is what the source rows without a match made.
type inserted struct {
	files []iceberg.DataFile
	rows  int64
	// without counts the source rows that matched nothing and were not inserted.
	without   int64
	elsewhere bool // another process has written it, or takes it over
}

// insert writes the source rows that are not in matched. The source's columns
// come from memory if they are there, else from the source itself.
func (c *changer) insert(ctx context.Context, source Source, memory *memoryPayload, rowCount int, matched *roaring.Bitmap) (*inserted, error) {
	out := &inserted{}
	unmatched := int64(rowCount) - int64(matched.GetCardinality())
	if len(c.notMatched) == 0 || unmatched == 0 {
		out.without = unmatched
		return out, nil
	}
	i := &inserter{changer: c, ctx: ctx, out: out}
	var err error
	if memory != nil {
		err = i.fromMemory(memory, rowCount, matched)
	} else {
		err = i.fromSource(source, matched)
	}
	if err == nil && i.writer != nil {
		out.files, err = i.writer.Close()
	}
	if err != nil {
		if i.writer != nil {
			_ = i.writer.Abort()
		}
		return nil, fmt.Errorf("merge into %s: insert: %w", c.table, err)
	}
	return out, nil
}

type inserter struct {
	*changer
	ctx    context.Context
	writer *datafile.Writer
	out    *inserted
}

func (i *inserter) fromMemory(memory *memoryPayload, rowCount int, matched *roaring.Bitmap) error {
	numbers := make([]uint32, 0, batchRows)
	flush := func() error {
		f, err := memory.rows(sourceScope, i.sourceInsert, numbers)
		if err != nil {
			return err
		}
		defer f.release()
		numbers = numbers[:0]
		return i.rows(f)
	}
	all := roaring.New()
	all.AddRange(0, uint64(rowCount))
	all.AndNot(matched)
	it := all.ManyIterator()
	for {
		n := it.NextMany(numbers[:cap(numbers)])
		if n == 0 {
			return nil
		}
		numbers = numbers[:n]
		if err := flush(); err != nil {
			return err
		}
	}
}

func (i *inserter) fromSource(source Source, matched *roaring.Bitmap) error {
	columns := i.sourceInsert
	if len(columns) == 0 {
		columns = []string{i.source.Field(0).Name}
	}
	first := uint32(0)
	return each(i.ctx, source, columns, func(all []arrow.Array, n int) error {
		f := newFrame(n)
		for c, a := range all {
			f.names, f.columns = append(f.names, sourceScope+columns[c]), append(f.columns, a)
		}
		var index []int32
		for r := range n {
			if !matched.Contains(first + uint32(r)) {
				index = append(index, int32(r))
			}
		}
		first += uint32(n)
		if len(index) == n {
			return i.rows(f)
		}
		picked, err := f.pick(index)
		if err != nil {
			return err
		}
		defer picked.release()
		return i.rows(picked)
	})
}

// rows inserts those rows of a frame that a clause wants.
func (i *inserter) rows(f *frame) error {
	if err := i.ctx.Err(); err != nil || f.n == 0 {
		return err
	}
	clauses, err := decide(i.ctx, f, i.notMatched)
	if err != nil {
		return err
	}
	index := map[int8][]int32{}
	for r, c := range clauses {
		if c >= 0 {
			index[c] = append(index[c], int32(r))
		} else {
			i.out.without++
		}
	}
	for c := range i.notMatched {
		mine := index[int8(c)]
		if len(mine) == 0 {
			continue
		}
		part := f
		if len(mine) < f.n {
			if part, err = f.pick(mine); err != nil {
				return err
			}
			defer part.release()
		}
		if err := i.write(&i.notMatched[c], part); err != nil {
			return err
		}
	}
	return nil
}

func (i *inserter) write(c *clause, f *frame) error {
	columns := make([]arrow.Array, i.target.NumFields())
	defer func() { rows.Release(columns) }()
	for t := range columns {
		var err error
		if columns[t], err = i.value(i.ctx, c, t, f); err != nil {
			return err
		}
	}
	if i.writer == nil {
		var err error
		if i.writer, err = i.openWriter(i.ctx, false); err != nil {
			return err
		}
	}
	batch := array.NewRecordBatch(i.target, columns, int64(f.n))
	defer batch.Release()
	i.out.rows += int64(f.n)
	return i.writer.Write(batch)
}
