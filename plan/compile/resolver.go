package compile

import (
	"context"
	"errors"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/plan"
)

var (
	// ErrNoTable is what a Resolver answers for a table that is not in the lake.
	ErrNoTable = errors.New("no such table")
	// ErrNoFiles is what a Resolver answers when a glob matches nothing (yet) and no column is declared.
	ErrNoFiles = errors.New("no files match")
)

// Resolver looks into the world for Compile. Its answers decide the plan: the same answers give the same bytes.
//
// An error that is a *Mistake, or wraps one, is the user's and becomes a diagnostic. Any other but the sentinels above
// is a fault of the world and ends the compilation.
type Resolver interface {
	// FileSchema is the schema of the rows that a source reads, metadata columns included. Table names the table that
	// they are for, so that files not yet loaded can be looked at first.
	FileSchema(ctx context.Context, table string, files plan.Files) (*arrow.Schema, error)
	// TableSchema describes a table of the lake.
	TableSchema(ctx context.Context, name string) (*Existing, error)
	// Tables lists the tables of the lake, for nearest names.
	Tables(ctx context.Context) ([]string, error)
	// SQLSchema analyses a query. Lookup gives the schema of a table that the query names; its error ends the analysis
	// and is found in the chain of the error returned.
	SQLSchema(ctx context.Context, query string, lookup Lookup) (*Query, error)
}

// Lookup gives the schema of a table that is built by the pipeline or is in the lake.
type Lookup func(ctx context.Context, table string) (*arrow.Schema, error)

// Existing is a table as the lake has it.
type Existing struct {
	Schema *arrow.Schema
}

// Query is what the analysis of a query gives.
type Query struct {
	Schema *arrow.Schema
	Reads  []string // tables, sorted
}

// Mistake is something wrong with what the user wrote or points at: a query's text, a file. Offset is the byte of the
// query at which it was found, or -1.
type Mistake struct {
	Offset  int
	Message string
	Hint    string
}

func (e *Mistake) Error() string { return e.Message }
