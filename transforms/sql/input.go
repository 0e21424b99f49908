package sql

import (
	"context"
	"fmt"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Input is the lake as a query sees it: tables by name ("namespace.name", as the query writes it).
// The engine calls it from several goroutines.
type Input interface {
	// Schema is the table's schema at its head. A table that does not exist is an error.
	Schema(ctx context.Context, table string) (*arrow.Schema, error)

	// Scan streams rows of the table at version, with exactly the named columns in that order, never empty.
	//
	// filters and limit are leave to read less, not a duty: a row may be left out only if one of the filters is
	// false or unknown for it, or if limit (above 0) rows that pass all filters were already given. The engine
	// evaluates every filter and limit again.
	Scan(ctx context.Context, table string, version Version, columns []string, filters []Filter, limit int64) (array.RecordReader, error)
}

// VersionedInput is an Input whose tables had other schemas in older versions.
type VersionedInput interface {
	Input
	// SchemaAt is the table's schema as of version.
	SchemaAt(ctx context.Context, table string, version Version) (*arrow.Schema, error)
}

// SizedInput is an Input that knows how many rows a table has without reading them; DuckDB orders joins by it.
type SizedInput interface {
	Input
	// Rows is the number of rows at version, false if it is not known.
	Rows(ctx context.Context, table string, version Version) (int64, bool)
}

// Version is the state of a table that a query names. The zero Version is the head; at most one field is set.
type Version struct {
	SnapshotID *int64     `json:"snapshot_id,omitempty"`
	Timestamp  *time.Time `json:"timestamp,omitempty"`
	Ref        string     `json:"ref,omitempty"` // a tag or branch
}

// String is the version as SQL writes it, "" for the head.
func (v Version) String() string {
	switch {
	case v.SnapshotID != nil:
		return fmt.Sprintf("FOR VERSION AS OF %d", *v.SnapshotID)
	case v.Timestamp != nil:
		return fmt.Sprintf("FOR TIMESTAMP AS OF '%s'", v.Timestamp.UTC().Format("2006-01-02 15:04:05.999999999Z07:00"))
	case v.Ref != "":
		return "FOR VERSION AS OF " + quoteString(v.Ref)
	}
	return ""
}

// Operator compares a column with a filter's values.
type Operator string

// The operators of a Filter. In has one or more values, IsNull and NotNull none, every other exactly one.
const (
	Equal          Operator = "="
	NotEqual       Operator = "!="
	Less           Operator = "<"
	LessOrEqual    Operator = "<="
	Greater        Operator = ">"
	GreaterOrEqual Operator = ">="
	In             Operator = "in"
	StartsWith     Operator = "starts with" // of a string
	IsNull         Operator = "is null"
	NotNull        Operator = "is not null"
)

// Filter is a condition on one top-level column, in SQL's logic: a null compares as unknown. Values have the Go type
// of the column: bool, int32 (int), int64 (long), string, arrow.Date32, arrow.Timestamp in µs (timestamp and
// timestamptz), decimal128.Num (in the column's scale) or [16]byte (uuid). There are none on columns of other types.
type Filter struct {
	Column string   `json:"column"`
	Op     Operator `json:"op"`
	Values []any    `json:"values,omitempty"`
}
