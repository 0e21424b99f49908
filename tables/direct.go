package tables

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync/atomic"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
	"golang.org/x/sync/errgroup"

	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/store"
)

// DirectFiles are Parquet files on this machine from which any reader of Parquet, that knows nothing of tables, gets the rows of a
// scan: nothing is deleted from them, and each has all columns asked for, under their field ids and with their types. There is no
// NaN in those columns: some readers hold it for the greatest number, others for none, and statistics leave it out.
type DirectFiles struct {
	Paths    []string
	FieldIDs []int // of the columns
}

// DirectFiles gives the files of a scan whose rows can be had without Scan, in its order; nil if they cannot. Files that the
// filter excludes by what the table's metadata say of them are not among them, but it is not evaluated. Limit is not considered.
// Files that have fewer than atLeast rows together are not looked into.
func (t *Table) DirectFiles(ctx context.Context, opts ScanOptions, atLeast int64) (*DirectFiles, error) {
	out, err := t.directFiles(ctx, opts, atLeast)
	if err != nil {
		return nil, fmt.Errorf("plan a scan of %s: %w", t.name, err)
	}
	return out, nil
}

func (t *Table) directFiles(ctx context.Context, opts ScanOptions, atLeast int64) (*DirectFiles, error) {
	opts.Limit = 0 // the rows are those of a statement, which counts them itself
	if len(opts.Columns) == 0 || opts.Files != nil || datafile.Remote(t.Location()) {
		return nil, nil
	}
	t, version, err := t.AsOf(ctx, opts.Version)
	if err != nil {
		return nil, err
	}
	opts.Version = version
	schema, err := t.schemaAt(version)
	if err != nil {
		return nil, err
	}
	out, floats := &DirectFiles{}, []int(nil)
	for _, name := range opts.Columns {
		f, ok := schema.FindFieldByName(name)
		if !ok {
			return nil, nil
		}
		if floating(f.Type) {
			floats = append(floats, f.ID)
		}
		out.FieldIDs = append(out.FieldIDs, f.ID)
	}
	plan, err := t.planFiles(ctx, opts, schema, floats...)
	if err != nil || plan.MayBeNaN {
		return nil, err
	}
	tasks, rows := datafile.WholeFiles(plan.Tasks), int64(0)
	for _, task := range tasks {
		path, local := localFile(task)
		if !local {
			return nil, nil
		}
		out.Paths = append(out.Paths, path)
		rows += task.File.Count()
	}
	if rows < atLeast {
		return nil, nil
	}
	if direct, err := t.allDirect(ctx, tasks, schema, opts.Columns); !direct || err != nil {
		return nil, err
	}
	return out, nil
}

// Folder is the warehouse's, where that is on this machine.
func (l *Lake) Folder() (path string, ok bool) {
	warehouse := l.cat.Warehouse()
	if warehouse == "" || datafile.Remote(warehouse) {
		return "", false
	}
	path, err := store.Path(warehouse)
	return filepath.Clean(path), err == nil && filepath.IsAbs(path)
}

func floating(t iceberg.Type) bool {
	switch t.(type) {
	case iceberg.Float32Type, iceberg.Float64Type:
		return true
	}
	return false
}

// localFile is the path of a file from which nothing is deleted.
func localFile(task table.FileScanTask) (string, bool) {
	if len(task.DeleteFiles)+len(task.DeletionVectorFiles)+len(task.EqualityDeleteFiles) > 0 || datafile.Remote(task.File.FilePath()) {
		return "", false
	}
	path, err := store.Path(task.File.FilePath())
	return filepath.Clean(path), err == nil && filepath.IsAbs(path)
}

func (t *Table) allDirect(ctx context.Context, tasks []table.FileScanTask, schema *iceberg.Schema, columns []string) (bool, error) {
	fs, err := t.tbl.FS(ctx)
	if err != nil {
		return false, err
	}
	opts := datafile.ReadOptions{Schema: schema, Columns: columns, Cache: t.lake.cache}
	var not atomic.Bool
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, task := range tasks {
		if not.Load() {
			break
		}
		g.Go(func() error {
			direct, err := datafile.Direct(ctx, fs, task.File, opts)
			if !direct {
				not.Store(true)
			}
			return err
		})
	}
	err = g.Wait()
	return !not.Load() && err == nil, err
}
