package merge

import (
	"context"
	"fmt"
	"slices"

	"github.com/varve-lake/varve/tables/internal/rows"
)

// drop leaves out the updates that would change no value of their row. They
// count as updated all the same.
func (g *group) drop(f *targetFile, verdicts []verdict) ([]verdict, error) {
	var unsure []verdict
	for _, v := range verdicts {
		if g.c.clauseOf(v).action == Delete {
			g.out.deleted++
			continue
		}
		g.out.updated++
		if !v.differs {
			unsure = append(unsure, v)
		}
	}
	if len(unsure) == 0 {
		return verdicts, nil
	}
	identical, err := g.c.identical(g.ctx, f, unsure, g.c.payload, g.c.columns)
	if err != nil || len(identical) == 0 {
		return verdicts, err
	}
	g.out.identical += int64(len(identical))
	same := make(map[uint32]bool, len(identical))
	for _, v := range identical {
		same[v.position] = true
	}
	return slices.DeleteFunc(verdicts, func(v verdict) bool { return same[v.position] }), nil
}

// identical finds the updates after which all of some columns would be as they
// were, bit for bit. It reads column after column, only for the rows still in doubt: as a
// rule the first one settles it.
func (c *changer) identical(ctx context.Context, f *targetFile, unsure []verdict, p payload, columns []int) ([]verdict, error) {
	for _, column := range columns {
		if len(unsure) == 0 {
			return nil, nil
		}
		cur, err := p.cursor(ctx, f)
		if err != nil {
			return nil, err
		}
		source, target := c.needs([]int{column})
		name := c.target.Field(column).Name
		if !slices.Contains(target, name) {
			target = append(target, name)
		}
		var left []verdict
		err = c.eachUpdate(ctx, f, cur, unsure, source, target, func(fr *frame, v []verdict, _ block) error {
			values, err := c.updated(ctx, fr, v, []int{column})
			if err != nil {
				return err
			}
			defer rows.Release(values)
			differs := make([]bool, len(v))
			if err := rows.Differ(values[0], fr.column(targetScope+name), differs); err != nil {
				return fmt.Errorf("column %s: %w", name, err)
			}
			for i, d := range differs {
				if !d {
					left = append(left, v[i])
				}
			}
			return nil
		})
		cur.close()
		if err != nil {
			return nil, err
		}
		unsure = left
	}
	return unsure, nil
}

// eachUpdate passes on the rows of update verdicts, with columns of the source
// and of the target, in blocks.
func (c *changer) eachUpdate(ctx context.Context, f *targetFile, cur cursor, verdicts []verdict, source, target []string, do func(*frame, []verdict, block) error) error {
	with := func(b block, v []verdict) error {
		s, err := cur.take(ctx, source, v)
		if err != nil {
			return err
		}
		defer s.release()
		return do(s.join(b.frame), v, b)
	}
	positions := make([]uint32, len(verdicts))
	for i, v := range verdicts {
		positions[i] = v.position
	}
	if len(target) == 0 {
		for len(verdicts) > 0 {
			n := min(len(verdicts), batchRows)
			if err := with(block{frame: newFrame(n), positions: positions[:n]}, verdicts[:n]); err != nil {
				return err
			}
			verdicts, positions = verdicts[n:], positions[n:]
		}
		return nil
	}
	return c.reader.scan(ctx, f, targetScope, target, bitmapOf(positions), func(b block) error {
		if b.n > len(verdicts) {
			return fmt.Errorf("%d rows more than the %d asked for", b.n-len(verdicts), len(verdicts))
		}
		v := verdicts[:b.n]
		verdicts = verdicts[b.n:]
		return with(b, v)
	})
}
