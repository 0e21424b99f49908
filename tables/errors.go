package tables

import (
	"errors"
	"fmt"

	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/fault"
)

// The classes of errors, as in package fault.
var (
	ErrConflict       = fault.ErrConflict
	ErrUnknownOutcome = fault.ErrUnknownOutcome
	ErrAbsent         = fault.ErrAbsent
	ErrDenied         = fault.ErrDenied
	ErrPassing        = fault.ErrPassing
	// ErrNoBranches says that the catalog has no branches of its own.
	ErrNoBranches = catalog.ErrNoBranches
	// ErrSuperseded says that what the work of a commit rests on is no longer so; see commit.ID.
	ErrSuperseded = commit.ErrSuperseded
	// ErrSwept says that files of a commit that took long were removed as orphans before it came to be.
	ErrSwept = commit.ErrSwept
)

var (
	// ErrNoSuchTable says that the catalog has no table of that name.
	ErrNoSuchTable = errors.New("no such table")
	// ErrNoSuchSnapshot says that a snapshot, branch, tag or time is not in the table's metadata.
	ErrNoSuchSnapshot = errors.New("no such snapshot")
	// ErrIncompatible says that a table cannot be evolved to a definition; errors.As finds the *IncompatibleError.
	ErrIncompatible = errors.New("incompatible definition")
	// ErrRewritten says that rows were removed or changed since a snapshot, so that appends alone do not tell what is new.
	ErrRewritten = errors.New("rows were rewritten since")
	// ErrExpired says that the snapshot to read from is no longer in the table's metadata.
	ErrExpired = errors.New("snapshot has expired")
	// ErrMoved says that the table is no longer as it was when a merge was divided into groups: its schema or layout is
	// another, or files are gone.
	ErrMoved = errors.New("the table has moved on")
	// ErrDefinition says that a definition is not one that a table can be made from, or that rows do not have the
	// table's columns.
	ErrDefinition = errors.New("invalid definition")
)

// IncompatibleError names what of a table cannot become what a definition asks for.
type IncompatibleError struct {
	Table  string
	Column string // empty if it is not about one column
	Reason string
}

func (e *IncompatibleError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("%s: %s", e.Table, e.Reason)
	}
	return fmt.Sprintf("%s: column %s: %s", e.Table, e.Column, e.Reason)
}

func (e *IncompatibleError) Unwrap() error { return ErrIncompatible }

// definitionError is an ErrDefinition whose text is the reason alone.
type definitionError struct{ reason string }

func (e *definitionError) Error() string { return e.reason }
func (e *definitionError) Unwrap() error { return ErrDefinition }

func badDefinition(format string, args ...any) error {
	return &definitionError{fmt.Sprintf(format, args...)}
}
