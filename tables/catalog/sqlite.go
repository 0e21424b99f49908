package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"

	icebergsql "github.com/apache/iceberg-go/catalog/sql"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/varve-lake/varve/internal/durable"
	"github.com/varve-lake/varve/tables/fault"
)

func openSQLite(ctx context.Context, cfg Config) (*Catalog, error) {
	path, err := sqlitePath(cfg.URI)
	if err != nil {
		return nil, err
	}
	op := "open catalog " + path
	if err := durable.MkdirAll(filepath.Dir(path)); err != nil {
		return nil, classifySQLite(op, err, false)
	}
	db, err := sql.Open("sqlite", dataSource(path))
	if err != nil {
		return nil, classifySQLite(op, err, false)
	}
	return openDatabase(ctx, cfg, op, db, icebergsql.SQLite, classifySQLite)
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
		return "", &UnsupportedError{What: "sql catalog", Value: redacted(uri), Want: "SQLite files (sqlite:///path/catalog.db) and PostgreSQL (postgresql://host/database)"}
	}
	if rest == "" || rest == "/" || strings.Contains(rest, ":memory:") {
		return "", &UnsupportedError{What: "sql catalog", Value: uri, Want: "SQLite files (sqlite:///path/catalog.db) and PostgreSQL (postgresql://host/database)"}
	}
	return filepath.Abs(filepath.Clean(rest))
}

// redacted keeps a password in a URI out of errors and logs.
func redacted(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || strings.Contains(u.Opaque, "@") {
		scheme, _, _ := strings.Cut(uri, ":")
		return scheme + ":…"
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
