// Package catalog opens the catalogs that a lake can live in, and classes their errors.
//
// The catalog of a lake that needs no setting up is the JDBC catalog on SQLite: the same two tables that Spark's
// JdbcCatalog and PyIceberg's SqlCatalog use, so that all three share one file.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	icebergcatalog "github.com/apache/iceberg-go/catalog"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/fault"
	"github.com/varve-lake/varve/tables/store"
)

// Name is the catalog's name in the JDBC catalog's tables, unless the configuration says otherwise.
const Name = "varve"

// Config says where the catalog is.
type Config struct {
	// Type is the kind of catalog: sql, rest or glue.
	Type string
	// URI is where the catalog is. For sql it is an SQLite file, sqlite:///path/catalog.db or a plain path, or a PostgreSQL
	// database, postgresql://user@host/database; for rest the server's address, without /v1; for glue an address that is not
	// Amazon's, if any.
	URI string
	// Warehouse is the folder under which tables are created, as a URI or a plain path; for rest it is the warehouse's name.
	Warehouse string
	// Branch is the branch of the whole catalog that is read and written; only Nessie has them. Empty is its default.
	Branch string
	// Staging is the folder, a URI, in which what belongs to no one table is staged. Empty is the warehouse, which a rest
	// catalog may not tell.
	Staging string
	// Name is the catalog's name; empty means Name.
	Name string
	// Credential is, for rest, a token, or client credentials as id:secret; for PostgreSQL the password; for
	// glue an access key as id:secret. It stands in no error and no log.
	Credential string
	// Props are passed on to the catalog and its file IO.
	Props map[string]string
	// Store says how the stores beside the local file system are reached. Without it each is reached by its own usual
	// means, or by what a rest catalog says.
	Store *store.Config
	// Patience is how long the catalog may be silent, in the midst of a request, before that is given up; a minute if zero.
	// A commit that was given up is looked for, and sent again if it is not there. SQLite is not silent.
	Patience time.Duration
	// Secrets, when set, fills in Credential and those of Store when the catalog is opened, so that they are held no
	// longer than that.
	Secrets func(*Config) error

	stores *store.Stores
}

// String keeps the credential, and those of the stores, out of errors and logs.
func (cfg Config) String() string {
	return fmt.Sprintf("catalog of type %q at %q, warehouse %q", cfg.Type, redacted(cfg.URI), cfg.Warehouse)
}

// GoString is String, so that %#v shows no secret either.
func (cfg Config) GoString() string { return cfg.String() }

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
	open, ok := kinds[strings.ToLower(cfg.Type)]
	if !ok {
		return nil, &UnsupportedError{What: "catalog type", Value: cfg.Type, Want: "sql, rest and glue"}
	}
	if kind := strings.ToLower(cfg.Type); cfg.Branch != "" && kind != "rest" && kind != "nessie" {
		return nil, fmt.Errorf("branch %q: %w", cfg.Branch, ErrNoBranches)
	}
	if cfg.Secrets != nil {
		if err := cfg.Secrets(&cfg); err != nil {
			return nil, fault.New(fault.ErrDenied, "open catalog", err)
		}
	}
	if cfg.Store != nil {
		cfg.stores = store.NewStores(*cfg.Store)
	}
	var c *Catalog
	err := again(ctx, reads, func() (err error) {
		c, err = open(ctx, cfg)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, cfg.stores.Close())
	}
	c.reads, c.stores, c.props = reads, cfg.stores, cfg.stores.WithProps(cfg.Props)
	return c, nil
}

var kinds = map[string]func(context.Context, Config) (*Catalog, error){
	"": openSQL, "sql": openSQL, "sqlite": openSQL, "jdbc": openSQL,
	"rest": openREST, "nessie": openREST,
	"glue": openGlue,
}

// warehouseURI makes the warehouse a URI that every engine opens alike.
func warehouseURI(warehouse string) (string, error) {
	if warehouse == "" {
		return "", fmt.Errorf("catalog: no warehouse given")
	}
	if scheme, _, found := strings.Cut(warehouse, "://"); found && !strings.EqualFold(scheme, "file") {
		if !store.Known(scheme) {
			return "", &UnsupportedError{What: "warehouse", Value: warehouse, Want: "folders in " + strings.Join(store.Schemes(), ", ")}
		}
		return strings.TrimRight(warehouse, "/"), nil
	}
	path, err := store.Path(warehouse)
	if err != nil {
		return "", err
	}
	return store.URI(path)
}

// Catalog is an Iceberg catalog whose every error is classed by package fault. It is safe for concurrent use.
type Catalog struct {
	inner     icebergcatalog.Catalog
	warehouse string
	stores    *store.Stores // nil where none are configured
	props     map[string]string
	nessie    bool
	api       *nessieAPI // nil where the catalog has no branches
	direct    bool       // nothing between here and it sends a request twice, so that what it answers is final
	reads     int        // how often a reading request is sent, at most; 0 is once
	// classify is told whether the operation could have changed something before it failed.
	classify func(op string, err error, changing bool) error
	close    func() error
}

var _ icebergcatalog.Catalog = (*Catalog)(nil)

// Warehouse is the URI of the folder that tables are created in, or, where the catalog does not tell that, in which what
// belongs to no one table is staged; "" if neither is known.
func (c *Catalog) Warehouse() string { return c.warehouse }

// HeadOnly tells that the catalog's metadata shows the current snapshot of a table alone, as Nessie's does: its history is
// the catalog's own.
func (c *Catalog) HeadOnly() bool { return c.nessie }

// Stores are the configured stores; nil where none are.
func (c *Catalog) Stores() *store.Stores { return c.stores }

// FS is the store that a URI lies in.
func (c *Catalog) FS(ctx context.Context, uri string) (iceio.IO, error) {
	return iceio.LoadFS(ctx, c.props, uri)
}

// Close releases the catalog's connections.
func (c *Catalog) Close() error { return errors.Join(c.close(), c.stores.Close()) }

// own gives a table whose later loads and commits come back through c, so that they are classed too, and whose files are
// reached as the configuration says, whatever the catalog or the table says.
func (c *Catalog) own(t *table.Table) *table.Table {
	open := t.FS
	if c.stores != nil {
		location := t.MetadataLocation()
		open = func(ctx context.Context) (iceio.IO, error) { return c.stores.FS(ctx, location) }
	}
	return table.New(t.Identifier(), t.Metadata(), t.MetadataLocation(), open, c)
}
