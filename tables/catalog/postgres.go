package catalog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	icebergsql "github.com/apache/iceberg-go/catalog/sql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/varve-lake/varve/internal/patience"
	"github.com/varve-lake/varve/tables/fault"
)

// isPostgres knows the ways in which people write a PostgreSQL database: libpq's, JDBC's, SQLAlchemy's.
func isPostgres(uri string) bool {
	scheme, _, _ := strings.Cut(strings.TrimPrefix(uri, "jdbc:"), ":")
	scheme, _, _ = strings.Cut(scheme, "+")
	return scheme == "postgres" || scheme == "postgresql"
}

// openPostgres opens the database that the URI names. What the URI leaves out is taken from PostgreSQL's own variables and
// files (PGUSER, PGPASSFILE, …); the credential is the password.
func openPostgres(ctx context.Context, cfg Config) (*Catalog, error) {
	op := "open catalog " + redacted(strings.TrimPrefix(cfg.URI, "jdbc:"))
	_, rest, _ := strings.Cut(strings.TrimPrefix(cfg.URI, "jdbc:"), ":")
	at, err := pgx.ParseConfig("postgresql:" + rest)
	if err != nil {
		return nil, fmt.Errorf("%s: the uri is not one of PostgreSQL's (postgresql://user@host:5432/database)", op)
	}
	if cfg.Credential != "" {
		at.Password = cfg.Credential
	}
	if at.ConnectTimeout == 0 {
		at.ConnectTimeout = 30 * time.Second
	}
	at.DialFunc = pgconn.DialFunc(patience.Dial(patience.DialFunc(at.DialFunc), patience.Or(cfg.Patience)))
	at.DefaultQueryExecMode = pgx.QueryExecModeExec // nothing is prepared: poolers between share connections
	db := stdlib.OpenDB(*at)
	db.SetMaxOpenConns(8)
	db.SetConnMaxIdleTime(time.Minute)
	return openDatabase(ctx, cfg, op, db, icebergsql.Postgres, classifyPostgres)
}

// setupLock keeps two processes from creating the tables at once, which PostgreSQL answers with an error even to IF NOT
// EXISTS.
const setupLock = 0x7661727665 // "varve"

// createInPostgres looks first: who may use the tables may not be allowed to create any.
func createInPostgres(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	there := `SELECT to_regclass('iceberg_tables') IS NOT NULL AND to_regclass('iceberg_namespace_properties') IS NOT NULL`
	var done bool
	if err := tx.QueryRowContext(ctx, there).Scan(&done); err != nil || done {
		return err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", int64(setupLock))); err != nil {
		return err
	}
	for _, ddl := range tablesOfJDBC {
		if _, err := tx.ExecContext(ctx, ddl); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// classifyPostgres classes by PostgreSQL's SQLSTATE, then by what became of the connection, then by what all catalogs
// share.
func classifyPostgres(op string, err error, changing bool) error {
	lost := fault.ErrPassing
	if changing { // a commit may have been carried out before its answer was lost
		lost = fault.ErrUnknownOutcome
	}
	var answer *pgconn.PgError
	var connect *pgconn.ConnectError
	var network net.Error
	var class error
	switch {
	case errors.As(err, &answer):
		class = classOfSQLState(answer.Code, lost)
		if class == lost && errors.As(err, &connect) {
			class = fault.ErrPassing
		}
		// The statement's text, which pgx shows, says nothing that the code and message do not.
	case errors.As(err, &connect):
		class = fault.ErrPassing
	case fault.Cancelled(err):
		return fault.New(nil, op, err)
	// What pgx holds to be safe to send again is not known to have had no effect: a COMMIT whose connection broke before
	// its answer is among it.
	case pgconn.SafeToRetry(err), errors.Is(err, driver.ErrBadConn), errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, sql.ErrConnDone), errors.Is(err, sql.ErrTxDone):
		class = lost
	default:
		return classifyShared(op, err)
	}
	return fault.New(class, op, err)
}

// classOfSQLState is the class of an error that the server answered with. Unless it ended the connection, it rolled the
// transaction back.
func classOfSQLState(code string, lost error) error {
	switch {
	case code == "23505": // unique_violation: another one created it first
		return fault.ErrConflict
	case code == "42501", strings.HasPrefix(code, "28"): // insufficient_privilege, invalid_authorization
		return fault.ErrDenied
	// statement_completion_unknown; the server ends the connection; its disk or its data are at fault
	case code == "40003", code == "57P01", code == "57P02", code == "57P05", strings.HasPrefix(code, "08"), strings.HasPrefix(code, "58"), strings.HasPrefix(code, "XX"):
		return lost
	case strings.HasPrefix(code, "40"), strings.HasPrefix(code, "53"), strings.HasPrefix(code, "55"), code == "57P03", code == "57014":
		return fault.ErrPassing // serialization failures, deadlocks, no resources, locks, starting up, statement time-out
	}
	return nil
}
