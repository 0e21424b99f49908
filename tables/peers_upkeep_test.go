package tables_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/internal/random"
	"github.com/varve-lake/varve/tables/maintain"
	"github.com/varve-lake/varve/tables/merge"
)

// upkeepDone counts what maintenance came to, so that it is seen to have had something to do.
type upkeepDone struct{ copied, rows, snapshots, orphans, merged, manifests, dangling int64 }

// lastUpkeep are the kinds of maintenance that a table is left by.
var lastUpkeep = []struct {
	name string
	do   func(*machine, *upkeepDone)
}{
	{"join all files", func(m *machine, d *upkeepDone) { m.rewriteAll(maintain.BinPack, d) }},
	{"join files that were joined already, as bytes", func(m *machine, d *upkeepDone) {
		m.rewriteAll(maintain.BinPack, d)
		m.append()
		m.append()
		m.rewriteAll(maintain.BinPack, d)
	}},
	{"sort", func(m *machine, d *upkeepDone) { m.rewriteAll(maintain.Sort, d) }},
	{"Z-order", func(m *machine, d *upkeepDone) { m.rewriteAll(maintain.ZOrder, d) }},
	{"expire snapshots, then delete, merge-on-read", func(m *machine, d *upkeepDone) { m.expireAll(d); m.merge() }},
	{"erase: delete rows, and expire what held them", func(m *machine, d *upkeepDone) { m.erase(); m.expireAll(d) }},
	{"retain: drop what is past its time, whole files unread, and expire what held it", func(m *machine, _ *upkeepDone) { m.retain() }},
	{"remove orphans", (*machine).removeOrphans},
	{"merge deletes", (*machine).mergeDeletes},
	{"rewrite manifests", (*machine).rewriteManifests},
	{"remove dangling deletes", (*machine).removeDangling},
}

func (m *machine) maintainLast(d *upkeepDone) {
	kind := lastUpkeep[int(m.Seed)%len(lastUpkeep)]
	if m.version == 2 && m.Seed%3 == 0 { // the others have nothing to merge, and are more
		kind.name, kind.do = "merge deletes", (*machine).mergeDeletes
	}
	m.Note("at last, %s", kind.name)
	before, stays := moment{m.now.model.clone(), nil}, false // ids are compared while the program runs
	kind.do(m, d)
	m.check(before, stays)
}

func (m *machine) rewriteAll(how maintain.Strategy, d *upkeepDone) {
	o := maintain.CompactOptions{RewriteAll: true, Strategy: how, TempDir: m.t.TempDir()}
	for _, c := range m.now.model.columns {
		if how != maintain.BinPack && c.Kind.Key && len(o.Columns) < 3 {
			o.Columns = append(o.Columns, c.Name)
		}
	}
	_, err := m.do(fmt.Sprintf("rewrite all by %s %v", how, o.Columns), func(ctx context.Context, t *tables.Table, opts tables.CommitOptions) (tables.Result, error) {
		r, err := t.Compact(ctx, opts, o)
		d.copied, d.rows = d.copied+r.BytesCopied, d.rows+r.Rewritten
		return r.Result, err
	})
	require.NoError(m.t, err)
}

func (m *machine) expireAll(d *upkeepDone) {
	_, err := m.do("expire all but the head", func(ctx context.Context, t *tables.Table, opts tables.CommitOptions) (tables.Result, error) {
		r, err := t.Expire(ctx, opts, maintain.ExpireOptions{OlderThan: time.Nanosecond, KeepLast: 1, Now: func() time.Time { return time.Now().Add(time.Hour) }})
		d.snapshots += int64(r.Snapshots)
		return r.Result, err
	})
	require.NoError(m.t, err)
	clear(m.past)
}

// erase deletes rows so that no file of the head has them.
func (m *machine) erase() {
	columns := m.now.model.random()
	where := random.Condition(m.Rand, map[string][]random.Column{"t": columns})
	o := merge.Options{On: []string{"k"}, Strategy: merge.CopyOnWrite, NotMatchedBySource: []merge.Clause{{If: where, Action: merge.Delete}}}
	_, err := m.do("erase where "+where.SQL, func(ctx context.Context, t *tables.Table, opts tables.CommitOptions) (tables.Result, error) {
		return t.Delete(ctx, opts, tables.Rows{Where: where, Strategy: merge.CopyOnWrite})
	})
	require.NoError(m.t, err)
	m.now.model = m.now.model.clone()
	m.now.model.merge(&random.Source{Columns: columns[:1]}, o)
}

// removeOrphans removes what nothing names, of which there is some, when all files are old.
func (m *machine) removeOrphans(d *upkeepDone) {
	tbl := m.table()
	folder := strings.TrimPrefix(tbl.Location(), "file://")
	require.NoError(m.t, os.MkdirAll(filepath.Join(folder, "data"), 0o755))
	require.NoError(m.t, os.WriteFile(filepath.Join(folder, "data", "of-a-writer-that-died.parquet"), []byte("PAR1"), 0o600))
	then := time.Now().Add(-2 * time.Hour)
	require.NoError(m.t, filepath.WalkDir(folder, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			err = os.Chtimes(path, then, then)
		}
		return err
	}))
	plan, err := tbl.PlanOrphans(context.Background(), maintain.OrphanOptions{OlderThan: time.Hour})
	require.NoError(m.t, err)
	removed, err := tbl.RemoveOrphans(context.Background(), plan, nil)
	require.NoError(m.t, err)
	require.NotZero(m.t, removed.Files)
	d.orphans += int64(removed.Files)
}

// mergeDeletes puts together what some deletes, merge-on-read, leave.
func (m *machine) mergeDeletes(d *upkeepDone) {
	m.append()
	m.minor(1)
	d.merged += m.done.merged
}

func (m *machine) rewriteManifests(d *upkeepDone) {
	for range 3 {
		m.append()
		m.wear(1)
	}
	m.minor(2)
	d.manifests += m.done.manifests
}

// removeDangling has another engine drop a data file that has deletes, and leave these.
func (m *machine) removeDangling(d *upkeepDone) {
	m.append()
	m.wear(1)
	tbl := m.table()
	tasks, err := tbl.Iceberg().Scan().PlanFiles(context.Background())
	require.NoError(m.t, err)
	var gone []iceberg.DataFile
	for _, task := range datafile.WholeFiles(tasks) {
		if len(task.DeleteFiles)+len(task.DeletionVectorFiles) > 0 && gone == nil {
			gone = append(gone, task.File)
			m.dropRowsOf(task)
		}
	}
	if gone == nil {
		return
	}
	m.commits++
	_, err = commit.Commit(context.Background(), m.others.Catalog(), tbl.Iceberg().Identifier(), commit.ID{Writer: "other", Token: fmt.Sprint(m.commits)},
		func(context.Context, *table.Table, int) (*commit.Change, error) {
			return &commit.Change{Operation: commit.Overwrite, RemoveData: gone}, nil
		}, commit.Options{})
	require.NoError(m.t, err)
	r, err := m.table().RemoveDanglingDeletes(context.Background(), tables.CommitOptions{ID: commit.ID{Writer: "model", Token: "dangling"}}, maintain.DanglingOptions{})
	require.NoError(m.t, err)
	require.NotZero(m.t, r.Files())
	d.dangling += int64(r.Files())
}

// dropRowsOf takes the live rows of a file out of the model.
func (m *machine) dropRowsOf(task table.FileScanTask) {
	m.now.model = m.now.model.clone()
	for _, key := range m.keysOf(task) {
		delete(m.now.model.rows, key)
	}
}
