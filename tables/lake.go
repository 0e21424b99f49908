// Package tables is the door to the lake: Iceberg tables that are created, evolved, read, appended to, replaced, merged
// into and rolled back, every change by the one commit protocol of tables/commit.
//
// It knows nothing of pipelines or Temporal and is usable as a library of its own.
package tables

import (
	"context"
	"errors"

	"github.com/varve-lake/varve/tables/catalog"
)

var errNotBuilt = errors.New("tables: not built yet")

// Config says where the lake is.
type Config struct {
	Catalog catalog.Config
	// Parallelism bounds the files read or written at once; 0 means the number of processors.
	Parallelism int
	// MemoryLimit bounds, roughly, what one operation holds in memory; 0 means 1 GiB.
	MemoryLimit int64
	// TempDir is where operations spill; empty means the system's.
	TempDir string
}

// Lake is an open catalog of tables. It is safe for concurrent use.
type Lake struct {
	cfg Config
	cat *catalog.Catalog
}

// OpenLake opens the catalog and creates it where there is none.
func OpenLake(ctx context.Context, cfg Config) (*Lake, error) { return nil, errNotBuilt }

// Close releases the catalog's connections.
func (l *Lake) Close() error { return nil }

// Tables lists all tables as namespace.name, sorted.
func (l *Lake) Tables(ctx context.Context) ([]string, error) { return nil, errNotBuilt }

// Table loads a table; ErrNoSuchTable if there is none.
func (l *Lake) Table(ctx context.Context, name string) (*Table, error) { return nil, errNotBuilt }

// Drop removes the table from the catalog. With purge its files go too. Dropping an absent table is no error.
func (l *Lake) Drop(ctx context.Context, name string, purge bool) error { return errNotBuilt }
