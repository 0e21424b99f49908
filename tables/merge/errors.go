package merge

import (
	"errors"
	"fmt"
	"strings"
)

// ErrOptions is in the chain of every error that says that the merge as it was
// asked for cannot be run on this table with this source. Trying again is no use.
var ErrOptions = errors.New("invalid merge")

// CardinalityError says that a target row is matched by more than one source
// row in a clause that changes it: which one should win is not defined.
type CardinalityError struct {
	Table   string
	Columns []string // the target's key columns; empty for a predicate without keys
	Key     []string // their values, as text; "null" for a null
}

func (e *CardinalityError) Error() string {
	if len(e.Columns) == 0 {
		return fmt.Sprintf("merge into %s: a row is matched by more than one source row", e.Table)
	}
	pairs := make([]string, len(e.Columns))
	for i, c := range e.Columns {
		pairs[i] = c + " = " + e.Key[i]
	}
	return fmt.Sprintf("merge into %s: more than one source row for %s: deduplicate the source by its key, as by a dedupe step, or let sequence_by of a cdc choose the last",
		e.Table, strings.Join(pairs, ", "))
}

// NullError says that a row to be written has no value for a required column.
type NullError struct {
	Table, Column string
}

func (e *NullError) Error() string {
	return fmt.Sprintf("merge into %s: column %s is required, and a row to be written has none", e.Table, e.Column)
}

// ValueError says that a value does not fit the column that it is written to.
type ValueError struct {
	Table, Column string
	Err           error
}

func (e *ValueError) Error() string {
	return fmt.Sprintf("merge into %s: column %s: %v", e.Table, e.Column, e.Err)
}

func (e *ValueError) Unwrap() error { return e.Err }
