// Package catalog opens the catalogs that a lake can live in, and classes their errors.
//
// The catalog of a lake that needs no setting up is the JDBC catalog on SQLite: the same two tables that Spark's
// JdbcCatalog and PyIceberg's SqlCatalog use, so that all three share one file.
package catalog

import (
	"context"
	"fmt"
	"strings"

	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/store"
)

// Name is the catalog's name in the JDBC catalog's tables, unless the configuration says otherwise.
const Name = "varve"

// Config says where the catalog is.
type Config struct {
	// Type is the kind of catalog. There is sql; rest, nessie and glue are names that a later version knows.
	Type string
	// URI is where the catalog is. For sql it is an SQLite file: sqlite:///path/catalog.db, or a plain path.
	URI string
	// Warehouse is the folder under which tables are created, as a file URI or a plain path.
	Warehouse string
	// Name is the catalog's name; empty means Name.
	Name string
	// Props are passed on to the catalog and its file IO.
	Props map[string]string
}

// UnsupportedError says that a kind of catalog or store cannot be opened by this version.
type UnsupportedError struct{ What, Value, Want string }

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s %q is not supported; this version supports %s", e.What, e.Value, e.Want)
}

// Open opens the catalog, and creates its tables where there are none.
func Open(ctx context.Context, cfg Config) (*Catalog, error) {
	if cfg.Name == "" {
		cfg.Name = Name
	}
	switch strings.ToLower(cfg.Type) {
	case "", "sql", "sqlite", "jdbc":
		return openSQL(ctx, cfg)
	}
	return nil, &UnsupportedError{What: "catalog type", Value: cfg.Type, Want: "sql (on SQLite)"}
}

// warehouseURI makes the warehouse a URI that every engine opens alike.
func warehouseURI(warehouse string) (string, error) {
	if warehouse == "" {
		return "", fmt.Errorf("catalog: no warehouse given")
	}
	path, err := store.Path(warehouse)
	if err != nil {
		return "", &UnsupportedError{What: "warehouse", Value: warehouse, Want: "local folders (file URIs and paths)"}
	}
	return store.URI(path)
}

// Catalog is an Iceberg catalog whose every error is classed by package fault. It is safe for concurrent use.
type Catalog struct {
	inner     icebergcatalog.Catalog
	warehouse string
	// classify is told whether the operation could have changed something before it failed.
	classify func(op string, err error, changing bool) error
	close    func() error
}

var _ icebergcatalog.Catalog = (*Catalog)(nil)

// Warehouse is the URI of the folder that tables are created in.
func (c *Catalog) Warehouse() string { return c.warehouse }

// Close releases the catalog's connections.
func (c *Catalog) Close() error { return c.close() }

// own gives a table whose later loads and commits come back through c, so that they are classed too.
func (c *Catalog) own(t *table.Table) *table.Table {
	return table.New(t.Identifier(), t.Metadata(), t.MetadataLocation(), t.FS, c)
}
