package sql_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/transforms/sql"
)

// pointing is an Input that says of its tables that they are a file.
type pointing struct {
	*lake
	path string
}

func (p pointing) Direct(_ context.Context, _ string, _ sql.Version, columns []string, _ []sql.Filter) (*sql.DirectFiles, error) {
	files := &sql.DirectFiles{Paths: []string{p.path}}
	for i := range columns {
		files.FieldIDs = append(files.FieldIDs, i+1)
	}
	return files, nil
}

// A file that cannot be read, or must not be, is no reason for a query to fail whose rows can be had otherwise.
func TestStreamsStandInForFiles(t *testing.T) {
	folder := t.TempDir()
	e := newEngine(t, sql.Options{Folders: []string{folder}})
	for _, path := range []string{filepath.Join(folder, "gone.parquet"), filepath.Join(t.TempDir(), "elsewhere.parquet"), folder + "/*.parquet", folder + "-2/f.parquet"} {
		in := smallLake(t)
		require.Equal(t, rows(t, e, smallLake(t), "SELECT number, carrier FROM silver.flights"),
			rows(t, e, pointing{in, path}, "SELECT number, carrier FROM silver.flights"), path)
		require.Len(t, in.scans, 1)
	}
}
