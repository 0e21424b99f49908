package activities

import (
	"context"
	"fmt"
	"time"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/plan/compile"
	"github.com/varve-lake/varve/sources"
	"github.com/varve-lake/varve/tables"
)

// fileOptions says to package sources what a plan says of files.
func fileOptions(f plan.Files, loadedAt time.Time) (sources.Options, error) {
	declared, err := compile.Schema(f.Declared)
	if err != nil {
		return sources.Options{}, err
	}
	return sources.Options{
		Format: f.Format, Malformed: f.Malformed, SchemaMode: f.SchemaMode, Delimiter: f.Delimiter, Quote: f.Quote,
		NoHeader: f.NoHeader, NullValues: f.NullValues, SampleRows: f.SampleRows, MaxFileSize: f.MaxFileSize,
		MaxRowSize: f.MaxRowSize, HiveColumns: f.HiveColumns, LoadedAt: loadedAt, Declared: declared,
	}, nil
}

// loadedFiles is the set of files that a checkpoint says were loaded into a table.
func loadedFiles(ctx context.Context, t *tables.Table, c *tables.Checkpoint) (*sources.FileSet, error) {
	if t == nil || c == nil || c.Kind != sources.FilesKind {
		return &sources.FileSet{}, nil
	}
	set, err := sources.LoadFileSet(ctx, t.States(), c.Body)
	if err != nil {
		return nil, fmt.Errorf("files loaded into %s: %w", t.Name(), err)
	}
	return set, nil
}
