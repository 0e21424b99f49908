// Package compile makes a plan.Plan from a spec.Pipeline: the DAG of its tables, with schemas carried through every
// step and every expression checked against them.
package compile

import (
	"context"
	"errors"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/plan"
	"github.com/varve-lake/varve/spec"
)

var (
	// ErrNoTable is what a Resolver answers for a table that is not in the lake.
	ErrNoTable = errors.New("no such table")
	// ErrNoFiles is what a Resolver answers when a glob matches nothing (yet).
	ErrNoFiles = errors.New("no files match")
)

// Resolver looks into the world for Compile. Its answers decide the plan: the same answers give the same bytes.
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
	Schema      *arrow.Schema
	Identifier  []string
	PartitionBy []string
}

// Query is what the analysis of a query gives.
type Query struct {
	Schema *arrow.Schema
	Reads  []string // tables, sorted
}

// QueryError is a fault of a query's text. Offset is the byte at which it was found, or -1.
type QueryError struct {
	Offset  int
	Message string
	Hint    string
}

func (e *QueryError) Error() string { return e.Message }

// Options of a compilation. The zero value is usable.
type Options struct {
	Source      []byte // the pipeline's file, for exact places and for the lines that diagnostics show
	Parameters  map[string]string
	Environment string
}

// Compile makes the plan, or says everything that stands against it. The plan is nil if a diagnostic is an error.
func Compile(ctx context.Context, p *spec.Pipeline, r Resolver, opts Options) (*plan.Plan, spec.Diagnostics) {
	return nil, spec.Diagnostics{{Pos: p.Pos, Message: "not compiled yet"}}
}
