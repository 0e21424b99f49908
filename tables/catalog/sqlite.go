package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/apache/iceberg-go"
	icebergsql "github.com/apache/iceberg-go/catalog/sql"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/varve-lake/varve/tables/fault"
)

func openSQL(ctx context.Context, cfg Config) (*Catalog, error) {
	path, err := sqlitePath(cfg.URI)
	if err != nil {
		return nil, err
	}
	warehouse, err := warehouseURI(cfg.Warehouse)
	if err != nil {
		return nil, err
	}
	op := "open catalog " + path
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, classifySQLite(op, err, false)
	}
	db, err := sql.Open("sqlite", dataSource(path))
	if err != nil {
		return nil, classifySQLite(op, err, false)
	}
	props := iceberg.Properties{"init_catalog_tables": "false"}
	maps.Copy(props, cfg.stores.WithProps(cfg.Props))
	props["warehouse"] = warehouse
	inner, err := createAndOpen(ctx, cfg.Name, db, props)
	if err != nil {
		return nil, classifySQLite(op, errors.Join(err, db.Close()), false)
	}
	return &Catalog{
		inner:     inner,
		warehouse: warehouse,
		classify:  classifySQLite,
		close:     func() error { return errors.Join(inner.Close(), db.Close()) },
	}, nil
}

// createAndOpen creates the JDBC catalog's tables as Iceberg's Java code does (its primary keys, its lengths, the
// iceberg_type column of schema version 1), which iceberg-go's own DDL does not quite.
func createAndOpen(ctx context.Context, name string, db *sql.DB, props iceberg.Properties) (*icebergsql.Catalog, error) {
	for _, ddl := range []string{
		`CREATE TABLE IF NOT EXISTS iceberg_tables (
			catalog_name VARCHAR(255) NOT NULL,
			table_namespace VARCHAR(255) NOT NULL,
			table_name VARCHAR(255) NOT NULL,
			metadata_location VARCHAR(1000),
			previous_metadata_location VARCHAR(1000),
			iceberg_type VARCHAR(5),
			PRIMARY KEY (catalog_name, table_namespace, table_name))`,
		`CREATE TABLE IF NOT EXISTS iceberg_namespace_properties (
			catalog_name VARCHAR(255) NOT NULL,
			namespace VARCHAR(255) NOT NULL,
			property_key VARCHAR(255) NOT NULL,
			property_value VARCHAR(1000),
			PRIMARY KEY (catalog_name, namespace, property_key))`,
	} {
		if _, err := db.ExecContext(ctx, ddl); err != nil {
			return nil, err
		}
	}
	// A file that another engine made with schema version 0 is brought to 1, as Spark does with the same property.
	props[icebergsql.SchemaVersionKey] = icebergsql.SchemaVersionV1
	return icebergsql.NewCatalog(name, db, icebergsql.SQLite, props)
}

// sqlitePath takes the path out of the ways in which people write an SQLite file: sqlite:///a/b.db (and SQLAlchemy's
// four slashes), sqlite:a/b.db, jdbc:sqlite:a/b.db, file:///a/b.db or a plain path.
func sqlitePath(uri string) (string, error) {
	rest := strings.TrimPrefix(uri, "jdbc:")
	rest = strings.TrimPrefix(rest, "sql://")
	switch {
	case strings.HasPrefix(rest, "sqlite://"):
		rest = strings.TrimPrefix(rest, "sqlite://")
	case strings.HasPrefix(rest, "sqlite:"):
		rest = strings.TrimPrefix(rest, "sqlite:")
	case strings.HasPrefix(rest, "file://"):
		u, err := url.Parse(rest)
		if err != nil {
			return "", fmt.Errorf("catalog URI %q: %w", uri, err)
		}
		rest = u.Path
	case strings.Contains(rest, "://") || strings.HasPrefix(rest, "postgresql:"):
		return "", &UnsupportedError{What: "sql catalog", Value: redacted(uri), Want: "SQLite files (sqlite:///path/catalog.db)"}
	}
	if rest == "" || rest == "/" || strings.Contains(rest, ":memory:") {
		return "", &UnsupportedError{What: "sql catalog", Value: uri, Want: "SQLite files (sqlite:///path/catalog.db)"}
	}
	return filepath.Abs(filepath.Clean(rest))
}

// redacted keeps a password in a URI out of errors and logs.
func redacted(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return uri[:strings.Index(uri, ":")] + ":…"
	}
	u.RawQuery = ""
	return u.Redacted()
}

// dataSource configures every connection: write-ahead log, so that readers and the one writer do not block each other; a
// writer takes its lock when it begins, so that it waits its turn rather than fail when it commits; a commit is on disk
// when it returns, since the rows' exactly-once rests on it.
func dataSource(path string) string {
	q := url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"busy_timeout(20000)", "journal_mode(WAL)", "synchronous(FULL)"},
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

// classifySQLite classes by SQLite's result codes, then by what all catalogs share.
func classifySQLite(op string, err error, changing bool) error {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return classifyShared(op, err)
	}
	var class error
	switch se.Code() & 0xff { // the primary code of an extended one
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL:
		class = fault.ErrPassing // SQLite rolls the transaction back
	case sqlite3.SQLITE_CONSTRAINT:
		class = fault.ErrConflict
	case sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_CANTOPEN:
		class = fault.ErrDenied
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_ABORT:
		class = fault.ErrPassing
		if changing { // a commit may have reached the log before its sync failed
			class = fault.ErrUnknownOutcome
		}
	}
	return fault.New(class, op, err)
}
