package tables

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/planning"
)

// ScanOptions says what to read.
type ScanOptions struct {
	Version Version
	Columns []string // nil means all
	// Filter is evaluated exactly. Manifests, files, row groups and pages that it excludes are not read.
	Filter      iceberg.BooleanExpression
	Limit       int64 // 0 means all rows
	Parallelism int
	Files       []table.FileScanTask // only these, as from AddedSince
	// ValidTexts ends the scan with an error that names the file, column and row group at a text that is not UTF-8, as other writers
	// may leave it there: for who cannot hold such a one. Otherwise it is given as it is.
	ValidTexts bool
}

// ScanReader gives the rows of a scan, and what reading them took.
type ScanReader struct {
	array.RecordReader
	planned planning.Counts
	read    *datafile.Counters
}

// ReadStats are what a scan looked at and what it left out.
type ReadStats struct {
	planning.Counts
	FilesRead       int64 `json:"files_read"`
	FilesPruned     int64 `json:"files_pruned_inside"` // by statistics and Bloom filters of their row groups
	RowGroups       int64 `json:"row_groups"`          // of the files that were looked into
	RowGroupsPruned int64 `json:"row_groups_pruned"`
	BloomNegatives  int64 `json:"bloom_negatives"` // Bloom filters that excluded a value
	Pages           int64 `json:"pages"`           // of the filter's columns, in row groups whose page index was asked
	PagesPruned     int64 `json:"pages_pruned"`
	Bytes           int64 `json:"bytes"` // of data files, with footers and indexes, less what was in the cache
	Requests        int64 `json:"requests"`
}

// Stats are those of what was read so far; after the last row, of all.
func (r *ScanReader) Stats() ReadStats {
	c := r.read
	return ReadStats{
		Counts: r.planned, FilesRead: c.Files.Load(), FilesPruned: c.FilesPruned.Load(), RowGroups: c.RowGroups.Load(),
		RowGroupsPruned: c.RowGroupsPruned.Load(), BloomNegatives: c.BloomNegatives.Load(), Pages: c.Pages.Load(),
		PagesPruned: c.PagesPruned.Load(), Bytes: c.Bytes.Load(), Requests: c.Requests.Load(),
	}
}

// Scan reads rows with the schema of the version that is read; see SchemaAt. Files are read in parallel but given in order; what
// waits is bounded by Parallelism.
func (t *Table) Scan(ctx context.Context, opts ScanOptions) (*ScanReader, error) {
	rows, err := t.scan(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("scan %s: %w", t.name, err)
	}
	return rows, nil
}

func (t *Table) scan(ctx context.Context, opts ScanOptions) (*ScanReader, error) {
	if opts.Parallelism == 0 {
		opts.Parallelism = t.lake.cfg.Parallelism
	}
	t, version, err := t.AsOf(ctx, opts.Version)
	if err != nil {
		return nil, err
	}
	opts.Version = version
	schema, err := t.schemaAt(opts.Version)
	if err != nil {
		return nil, err
	}
	out := &ScanReader{read: &datafile.Counters{}}
	files := opts.Files
	if files == nil {
		plan, err := t.planFiles(ctx, opts, schema)
		if err != nil {
			return nil, err
		}
		files, out.planned = plan.Tasks, plan.Counts
	}
	out.RecordReader, err = datafile.Scan(ctx, t.tbl, datafile.ScanOptions{
		Schema: schema, Columns: opts.Columns, Filter: opts.Filter, Limit: opts.Limit, Parallelism: opts.Parallelism,
		Files: files, Cache: t.lake.cache, Counters: out.read, ValidTexts: opts.ValidTexts,
	})
	return out, err
}

// planFiles finds the files that a scan has to look into, and whether there may be NaNs in the fields floats of them.
func (t *Table) planFiles(ctx context.Context, opts ScanOptions, schema *iceberg.Schema, floats ...int) (*planning.Plan, error) {
	snapshot := t.tbl.CurrentSnapshot()
	if !opts.Version.IsHead() {
		var err error
		if snapshot, err = t.at(opts.Version); err != nil {
			return nil, err
		}
	}
	fs, err := t.tbl.FS(ctx)
	if err != nil {
		return nil, err
	}
	plan, err := planning.Files(ctx, t.tbl.Metadata(), fs, planning.Options{
		Snapshot: snapshot, Schema: schema, Filter: opts.Filter, Parallelism: opts.Parallelism, Cache: t.lake.cache, Floats: floats, Limit: opts.Limit,
	})
	if err == nil && plan.Tasks == nil {
		plan.Tasks = []table.FileScanTask{} // none, which is not all
	}
	return plan, err
}
