package catalog_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/fault"
)

var (
	ctx    = context.Background()
	ident  = table.Identifier{"ns", "t"}
	schema = iceberg.NewSchema(0, iceberg.NestedField{ID: 1, Name: "id", Type: iceberg.PrimitiveTypes.Int64})
)

func open(t *testing.T, dir string) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(ctx, catalog.Config{URI: "sqlite://" + filepath.Join(dir, "catalog.db"), Warehouse: filepath.Join(dir, "ware house")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func withTable(t *testing.T) (*catalog.Catalog, string) {
	t.Helper()
	dir := t.TempDir()
	c := open(t, dir)
	require.NoError(t, c.CreateNamespace(ctx, ident[:1], nil))
	_, err := c.CreateTable(ctx, ident, schema, icebergcatalog.WithProperties(iceberg.Properties{"write.metadata.compression-codec": "gzip"}))
	require.NoError(t, err)
	return c, dir
}

func TestWhatIsNotSupportedSaysSo(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		cfg  catalog.Config
		want string
	}{
		{catalog.Config{Type: "hive"}, `catalog type "hive" is not supported`},
		{catalog.Config{Type: "rest", URI: "nessie.example/iceberg"}, "has a uri of http:// or https://"},
		{catalog.Config{Type: "glue"}, "no warehouse given"},
		{catalog.Config{Type: "glue", Warehouse: "s3://b/w", Credential: "a-secret-key"}, "access key as id:secret"},
		{catalog.Config{URI: "mysql://me:secret@host/db", Warehouse: dir}, `"mysql://me:xxxxx@host/db" is not supported`},
		{catalog.Config{URI: "postgresql://me:secret@host:port/db", Warehouse: dir}, "the uri is not one of PostgreSQL's"},
		{catalog.Config{URI: "sqlite://:memory:", Warehouse: dir}, "not supported"},
		{catalog.Config{URI: filepath.Join(dir, "c.db"), Warehouse: "abfs://bucket/x"}, `warehouse "abfs://bucket/x" is not supported`},
		{catalog.Config{URI: filepath.Join(dir, "c.db")}, "no warehouse"},
	} {
		_, err := catalog.Open(ctx, c.cfg)
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "secret@")
		require.NotContains(t, err.Error(), "a-secret-key")
	}
}

func TestWaysToWriteTheFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a b", "catalog.db")
	for _, uri := range []string{path, "sqlite://" + path, "sqlite:///" + path, "sqlite:" + path, "jdbc:sqlite:" + path, "file://" + strings.ReplaceAll(path, " ", "%20")} {
		c, err := catalog.Open(ctx, catalog.Config{Type: "sql", URI: uri, Warehouse: "file://" + dir + "/w"})
		require.NoError(t, err, uri)
		if exists, err := c.CheckNamespaceExists(ctx, ident[:1]); err == nil && !exists {
			require.NoError(t, c.CreateNamespace(ctx, ident[:1], nil))
			require.Equal(t, path, uri, "each name is the same file")
		}
		require.Equal(t, "file://"+dir+"/w", c.Warehouse())
		require.NoError(t, c.Close())
	}
}

// The file is the JDBC catalog's, as Iceberg's Java code makes it.
func TestTheFileIsTheJDBCCatalogs(t *testing.T) {
	_, dir := withTable(t)
	db, err := sql.Open("sqlite", filepath.Join(dir, "catalog.db"))
	require.NoError(t, err)
	defer db.Close()
	var name, ns, tbl, kind, location string
	require.NoError(t, db.QueryRow(`SELECT catalog_name, table_namespace, table_name, iceberg_type, metadata_location FROM iceberg_tables`).
		Scan(&name, &ns, &tbl, &kind, &location))
	require.Equal(t, []string{"varve", "ns", "t", "TABLE"}, []string{name, ns, tbl, kind})
	require.Regexp(t, `^file://.*/ware%20house/ns\.db/t/metadata/00000-.*\.gz\.metadata\.json$`, location)
	var mode string
	require.NoError(t, db.QueryRow(`PRAGMA journal_mode`).Scan(&mode))
	require.Equal(t, "wal", mode)
}

// A catalog of schema version 0, as older engines make it, is brought to version 1 and keeps its tables.
func TestAnOlderFileIsBroughtUp(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", filepath.Join(dir, "catalog.db"))
	require.NoError(t, err)
	_, err = db.Exec(`CREATE TABLE iceberg_tables (catalog_name VARCHAR(255) NOT NULL, table_namespace VARCHAR(255) NOT NULL,
		table_name VARCHAR(255) NOT NULL, metadata_location VARCHAR(1000), previous_metadata_location VARCHAR(1000),
		PRIMARY KEY (catalog_name, table_namespace, table_name));
		INSERT INTO iceberg_tables VALUES ('varve', 'old', 'one', 'file:///nowhere/00000-x.metadata.json', NULL)`)
	require.NoError(t, err)
	require.NoError(t, db.Close())
	c := open(t, dir)
	var names []string
	for id, err := range c.ListTables(ctx, table.Identifier{"old"}) {
		require.NoError(t, err)
		names = append(names, strings.Join(id, "."))
	}
	require.Equal(t, []string{"old.one"}, names)
	_, err = c.LoadTable(ctx, table.Identifier{"old", "one"})
	require.ErrorIs(t, err, fault.ErrAbsent, "its metadata file is gone")
}

func TestErrorsHaveTheirClass(t *testing.T) {
	c, dir := withTable(t)
	_, err := c.LoadTable(ctx, table.Identifier{"ns", "none"})
	require.ErrorIs(t, err, fault.ErrAbsent)
	require.ErrorIs(t, err, icebergcatalog.ErrNoSuchTable)
	_, err = c.LoadTable(ctx, table.Identifier{"none", "t"})
	require.ErrorIs(t, err, fault.ErrAbsent)
	for _, err := range c.ListTables(ctx, table.Identifier{"none"}) {
		require.ErrorIs(t, err, fault.ErrAbsent)
	}
	_, err = c.CreateTable(ctx, ident, schema)
	require.ErrorIs(t, err, fault.ErrConflict)
	require.ErrorIs(t, err, icebergcatalog.ErrTableAlreadyExists)
	require.ErrorIs(t, c.CreateNamespace(ctx, ident[:1], nil), fault.ErrConflict)
	require.ErrorIs(t, c.DropNamespace(ctx, ident[:1]), fault.ErrConflict, "it is not empty")
	require.ErrorIs(t, c.DropTable(ctx, table.Identifier{"ns", "none"}), fault.ErrAbsent)

	// A requirement that does not hold is a conflict, by looking again and not by its text.
	stale := int64(7)
	_, _, err = c.CommitTable(ctx, ident, []table.Requirement{table.AssertRefSnapshotID("main", &stale)},
		[]table.Update{table.NewSetPropertiesUpdate(iceberg.Properties{"a": "b"})})
	require.ErrorIs(t, err, fault.ErrConflict)
	// An update that makes no sense has no class: nothing was changed, and nothing will be.
	_, _, err = c.CommitTable(ctx, ident, nil, []table.Update{table.NewSetCurrentSchemaUpdate(99)})
	require.Error(t, err)
	require.NoError(t, fault.Class(err))

	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, _, err = c.CommitTable(cancelled, ident, nil, []table.Update{table.NewSetPropertiesUpdate(iceberg.Properties{"a": "b"})})
	require.ErrorIs(t, err, fault.ErrUnknownOutcome)
	require.ErrorIs(t, err, context.Canceled)

	// A file that cannot be written.
	_, err = catalog.Open(ctx, catalog.Config{URI: dir, Warehouse: dir})
	require.ErrorIs(t, err, fault.ErrDenied, "a folder is not a database")
}

func TestALockedFileIsAPassingFault(t *testing.T) {
	_, dir := withTable(t)
	other, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "catalog.db")+"?_txlock=exclusive")
	require.NoError(t, err)
	defer other.Close()
	tx, err := other.Begin()
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	busy := openImpatient(t, dir)
	_, err = busy.Exec(`DELETE FROM iceberg_tables`)
	require.ErrorIs(t, catalog.ClassifySQLite("commit", err), fault.ErrPassing)
}

func openImpatient(t *testing.T, dir string) *sql.DB {
	db, err := sql.Open("sqlite", filepath.Join(dir, "catalog.db")+"?_pragma=busy_timeout(1)")
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// What is loaded through the catalog commits through it too, so that its errors are classed.
func TestLoadedTablesComeBackThroughTheCatalog(t *testing.T) {
	c, _ := withTable(t)
	a, err := c.LoadTable(ctx, ident)
	require.NoError(t, err)
	b, err := c.LoadTable(ctx, ident)
	require.NoError(t, err)
	commit := func(tbl *table.Table, key string) error {
		tx := tbl.NewTransaction()
		require.NoError(t, tx.UpdateSchema(true, false).AddColumn([]string{key}, iceberg.PrimitiveTypes.String, "", false, nil).Commit())
		_, err := tx.Commit(ctx)
		return err
	}
	require.NoError(t, commit(a, "x"))
	require.ErrorIs(t, commit(b, "y"), fault.ErrConflict)
}

func TestManyConnectionsWaitForEachOther(t *testing.T) {
	_, dir := withTable(t)
	var wg sync.WaitGroup
	errs := make(chan error, 100)
	for n := range 5 {
		c := open(t, dir)
		wg.Go(func() {
			for i := range 5 {
				errs <- c.CreateNamespace(ctx, table.Identifier{fmt.Sprintf("n%d_%d", n, i)}, nil)
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	all, err := open(t, dir).ListNamespaces(ctx, nil)
	require.NoError(t, err)
	require.Len(t, all, 26)
	require.False(t, errors.Is(err, fault.ErrPassing))
}
