package tables

import (
	"context"

	"github.com/apache/arrow-go/v18/arrow"
)

// Definition is what a table shall be.
type Definition struct {
	Name string // namespace.name
	// Schema gives the columns in order. A field's metadata may hold "doc". Types are those of internal/columntype.
	Schema *arrow.Schema
	// Identifier names the columns that identify a row. They become required.
	Identifier []string
	// PartitionBy holds transforms: col, years(c), months(c), days(c), hours(c), bucket(n, c), truncate(n, c).
	PartitionBy []string
	// SortBy holds "column [asc|desc] [nulls first|nulls last]"; the column may be a transform.
	SortBy        []string
	Properties    map[string]string
	FormatVersion int // 2 or 3; 0 means 2
	Doc           string
	Owner         string
	// Evolve allows columns that are not in the table to be added, and types to be widened. Without it a difference
	// in columns is an IncompatibleError. Columns of the table that the definition lacks stay; they must not be required.
	Evolve bool
}

// Changes says what Ensure did.
type Changes struct {
	Created    bool
	Added      []string // columns, dotted for nested ones
	Widened    []string // "column: int to long"
	Relaxed    []string // columns that became optional
	Documented []string // columns whose doc changed
	Properties []string // keys that were set
	SortOrder  bool
	Partition  bool
	Identifier bool
}

// Any tells whether anything was changed.
func (c Changes) Any() bool {
	return c.Created || len(c.Added)+len(c.Widened)+len(c.Relaxed)+len(c.Documented)+len(c.Properties) > 0 ||
		c.SortOrder || c.Partition || c.Identifier
}

// Ensure creates the table, or evolves it to the definition. Two callers at once both succeed if their definitions
// agree.
func (l *Lake) Ensure(ctx context.Context, def Definition) (*Table, Changes, error) {
	return nil, Changes{}, errNotBuilt
}
