package tables

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/tables/merge"
)

// Matching streams columns of the rows whose keys are those of a row of the source, by the ON condition of m; see
// merge.Matching. It reads the loaded head.
func (t *Table) Matching(ctx context.Context, m merge.Options, source merge.Source, columns []string) (array.RecordReader, error) {
	m.MemoryLimit = firstOf(m.MemoryLimit, t.lake.cfg.MemoryLimit)
	m.Parallelism = firstOf(m.Parallelism, t.lake.cfg.Parallelism)
	m.TempDir = firstOf(m.TempDir, t.lake.cfg.TempDir)
	return merge.Matching(ctx, t.tbl, source, m, columns)
}
