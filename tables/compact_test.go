package tables_test

import (
	"context"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/maintain"
)

// compactOptions are those of a step of the model.
func (m *machine) compactOptions() maintain.CompactOptions {
	o := maintain.CompactOptions{
		MinInputFiles: 1 + m.IntN(3), MaxDeleted: 0.1, MaxDeleteFiles: 1 + m.IntN(2), RewriteAll: m.IntN(4) == 0, TempDir: m.t.TempDir(),
	}
	switch m.IntN(3) {
	case 0:
		o.Strategy = maintain.BinPack
	case 1:
		o.Strategy = maintain.Sort
	default:
		o.Strategy = maintain.ZOrder
	}
	if o.Strategy == maintain.BinPack {
		return o
	}
	for _, c := range m.now.model.columns {
		if c.Kind.Key && (len(o.Columns) == 0 || m.IntN(2) == 0) {
			o.Columns = append(o.Columns, c.Name)
		}
	}
	if m.IntN(2) == 0 {
		o.MemoryLimit = 1 << 10 // rows are spilled
	}
	return o
}

// compactInGroups is a compaction whose plan and results travel between processes; now and then another writer comes before
// they are committed.
func (m *machine) compactInGroups(ctx context.Context, t *tables.Table, commit tables.CommitOptions, o maintain.CompactOptions) (tables.Result, error) {
	plan, err := t.PlanCompaction(ctx, o)
	if err != nil {
		return tables.Result{}, err
	}
	plan = travelled(m.t, plan)
	var done []maintain.Compacted
	for _, g := range plan.Groups {
		require.NotEmpty(m.t, g.Reason)
		c, err := m.table().CompactGroup(ctx, plan.WithoutGroups(), g)
		if err != nil {
			return tables.Result{}, err
		}
		done = append(done, travelled(m.t, c))
	}
	m.Note("  %d groups", len(done))
	if m.IntN(4) == 0 {
		m.overtake()
	}
	if t, err = t.Refresh(ctx); err != nil {
		return tables.Result{}, err
	}
	r, err := t.CommitCompaction(ctx, commit, plan, done)
	return r.Result, err
}
