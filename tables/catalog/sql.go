package catalog

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/apache/iceberg-go"
	icebergsql "github.com/apache/iceberg-go/catalog/sql"
)

// openSQL opens the JDBC catalog in the database that the URI names.
func openSQL(ctx context.Context, cfg Config) (*Catalog, error) {
	if isPostgres(cfg.URI) {
		return openPostgres(ctx, cfg)
	}
	return openSQLite(ctx, cfg)
}

// openDatabase takes over the database.
func openDatabase(ctx context.Context, cfg Config, op string, db *sql.DB, dialect icebergsql.SupportedDialect,
	classify func(string, error, bool) error) (*Catalog, error) {
	warehouse, err := warehouseURI(cfg.Warehouse)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := createTables(ctx, db, dialect); err != nil {
		return nil, classify(op, errors.Join(err, db.Close()), false)
	}
	props := iceberg.Properties(cfg.stores.WithProps(cfg.Props))
	props["warehouse"] = warehouse
	props["init_catalog_tables"] = "false"
	// A database that another engine made with schema version 0 is brought to 1, as Spark does with the same property.
	props[icebergsql.SchemaVersionKey] = icebergsql.SchemaVersionV1
	inner, err := icebergsql.NewCatalog(cfg.Name, db, dialect, props)
	if err != nil {
		return nil, classify(op, errors.Join(err, db.Close()), false)
	}
	return &Catalog{
		inner: counted(inner), warehouse: warehouse, classify: classify, direct: true,
		close: func() error { return errors.Join(inner.Close(), db.Close()) },
	}, nil
}

// tablesOfJDBC are the JDBC catalog's tables as Iceberg's Java code makes them (its primary keys, its lengths, the
// iceberg_type column of schema version 1), which iceberg-go's own DDL does not quite.
var tablesOfJDBC = []string{
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
}

func createTables(ctx context.Context, db *sql.DB, dialect icebergsql.SupportedDialect) error {
	if dialect == icebergsql.Postgres {
		return createInPostgres(ctx, db)
	}
	_, err := db.ExecContext(ctx, strings.Join(tablesOfJDBC, ";"))
	return err
}
