package tables_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// retain deletes rows as a policy of retention does, and has the snapshots forgotten that have them, which no reader and no
// number of snapshots to keep may hold; all others stay.
func (m *machine) retain() {
	columns := m.now.model.random()
	source := &random.Source{Columns: columns[:1]}
	where := random.Condition(m.Rand, map[string][]random.Column{"t": columns})
	_, err := m.do("retain all but rows where "+where.SQL, func(ctx context.Context, t *tables.Table, opts tables.CommitOptions) (tables.Result, error) {
		opts.Summary = map[string]string{maintain.RetentionKey: "true"}
		return t.Delete(ctx, opts, tables.Rows{Where: where, Strategy: merge.CopyOnWrite})
	})
	require.NoError(m.t, err)
	m.now.model = m.now.model.clone()
	m.now.model.merge(source, merge.Options{On: []string{"k"}, NotMatchedBySource: []merge.Clause{{If: where, Action: merge.Delete}}})

	options := maintain.ExpireOptions{OlderThan: time.Nanosecond, KeepLast: 1000, Now: func() time.Time { return time.Now().Add(time.Hour) }}
	for _, s := range m.table().Snapshots() {
		options.Keep = append(options.Keep, s.ID)
	}
	m.commits++
	m.Note("expire what rows were deleted of")
	_, err = m.table().Expire(context.Background(), tables.CommitOptions{ID: commit.ID{Writer: "model", Token: fmt.Sprint(m.commits)}}, options)
	require.NoError(m.t, err)
	tbl := m.table().Iceberg()
	for s := tbl.CurrentSnapshot(); s != nil && s.ParentSnapshotID != nil; s = tbl.SnapshotByID(*s.ParentSnapshotID) {
		if s.Summary.Properties[maintain.RetentionKey] != "" {
			require.Nil(m.t, tbl.SnapshotByID(*s.ParentSnapshotID), "a snapshot with rows past their time stays")
		}
	}
	m.forget()
}

// orphans removes the files that nothing names, all of which are old enough; another writer may commit between the plan and
// the removal.
func (m *machine) orphans() {
	ctx := context.Background()
	root := localPath(m.t, m.table().Location())
	planted := filepath.Join(root, "data", "planted.parquet")
	require.NoError(m.t, os.MkdirAll(filepath.Dir(planted), 0o755))
	require.NoError(m.t, os.WriteFile(planted, []byte("of nobody"), 0o644))
	then := time.Now().Add(-48 * time.Hour)
	require.NoError(m.t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Chtimes(path, then, then)
		}
		return err
	}))
	plan, err := m.table().PlanOrphans(ctx, maintain.OrphanOptions{OlderThan: 2 * time.Hour})
	require.NoError(m.t, err)
	m.Note("remove orphans, of which there are %d", len(plan.Files))
	if m.IntN(2) == 0 {
		m.overtake()
	}
	removed, err := m.table().RemoveOrphans(ctx, plan, nil)
	require.NoError(m.t, err)
	require.Empty(m.t, removed.Left)
	require.NoFileExists(m.t, planted)
	plan, err = m.table().PlanOrphans(ctx, maintain.OrphanOptions{OlderThan: 2 * time.Hour})
	require.NoError(m.t, err)
	require.Empty(m.t, plan.Files, "another look finds nothing")
}

// minor puts deletes together, lays manifests by partition, or looks for deletes that dangle, of which there are none. No row and
// no file of rows changes; another writer may come between.
func (m *machine) minor(which int) {
	do := func(what string, op func(ctx context.Context, t *tables.Table, opts tables.CommitOptions) (tables.Result, error)) {
		_, err := m.do(what, op)
		require.NoError(m.t, err)
	}
	switch which {
	case 1:
		m.wear(3)
		do("merge deletes", func(ctx context.Context, t *tables.Table, opts tables.CommitOptions) (tables.Result, error) {
			r, err := t.MergeDeletes(ctx, opts, maintain.MergeDeletesOptions{MinInputFiles: 2})
			m.done.merged += int64(r.Removed)
			return r.Result, err
		})
	case 2:
		o := maintain.ManifestOptions{MinInputManifests: 2, TargetBytes: int64(1+m.IntN(4)) << 12}
		do(fmt.Sprintf("rewrite manifests, of %d bytes", o.TargetBytes), func(ctx context.Context, t *tables.Table, opts tables.CommitOptions) (tables.Result, error) {
			r, err := t.RewriteManifests(ctx, opts, o)
			m.done.manifests += int64(r.Removed)
			return r.Result, err
		})
	default:
		do("remove dangling deletes", func(ctx context.Context, t *tables.Table, opts tables.CommitOptions) (tables.Result, error) {
			r, err := t.RemoveDanglingDeletes(ctx, opts, maintain.DanglingOptions{})
			require.Zero(m.t, r.Files(), "this library leaves none")
			return r.Result, err
		})
	}
}

// wear deletes some rows of the file that has the most, one after the other, merge-on-read.
func (m *machine) wear(rows int) {
	defer func() { m.reserved = nil }()
	tasks, err := m.table().Iceberg().Scan().PlanFiles(context.Background())
	require.NoError(m.t, err)
	var keys []int64
	for _, task := range datafile.WholeFiles(tasks) {
		if in := m.keysOf(task); len(in) > len(keys) {
			keys = in
		}
	}
	for _, key := range keys[:min(rows, len(keys))] {
		m.reserved = append(m.reserved, []any{key})
		source := &random.Source{Columns: m.now.model.random()[:1], Rows: [][]any{{key}}, Batch: 1}
		m.run(fmt.Sprintf("delete row %d", key), source, merge.Options{
			On: []string{"k"}, Strategy: merge.MergeOnRead, TempDir: m.t.TempDir(), Matched: []merge.Clause{{Action: merge.Delete}},
		})
	}
}

// keysOf are those of the live rows of a file.
func (m *machine) keysOf(task table.FileScanTask) (out []int64) {
	rows, err := datafile.Scan(context.Background(), m.table().Iceberg(), datafile.ScanOptions{Columns: []string{"k"}, Files: []table.FileScanTask{task}})
	require.NoError(m.t, err)
	defer rows.Release()
	for rows.Next() {
		out = append(out, rows.RecordBatch().Column(0).(*array.Int64).Int64Values()...)
	}
	require.NoError(m.t, rows.Err())
	return out
}
