// Package commit is the protocol by which a change reaches a table exactly once.
package commit

import (
	"context"
	"errors"
	"time"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/fault"
)

// The classes of errors that Commit returns, as in package fault.
var (
	ErrConflict       = fault.ErrConflict
	ErrUnknownOutcome = fault.ErrUnknownOutcome
	ErrAbsent         = fault.ErrAbsent
	ErrDenied         = fault.ErrDenied
	ErrPassing        = fault.ErrPassing
)

// Catalog is what the protocol needs of a catalog. Its errors are classed by package fault.
type Catalog interface {
	LoadTable(ctx context.Context, ident table.Identifier) (*table.Table, error)
	CommitTable(ctx context.Context, ident table.Identifier, reqs []table.Requirement, updates []table.Update) (table.Metadata, string, error)
}

// ID names one commit of one writer. Writer is stable over runs (a pipeline's build of a table, its maintenance);
// Token is new for each commit, and the same when the same work is tried again.
type ID struct{ Writer, Token string }

// Operation says how a Change reaches the table.
type Operation string

const (
	// None changes no rows: properties, schema or references only. No snapshot is made.
	None Operation = ""
	// Append adds data files. It conflicts with nothing.
	Append Operation = "append"
	// Overwrite removes data files and adds others whose rows differ: copy-on-write, replace.
	Overwrite Operation = "overwrite"
	// RowDelta adds data files and delete files, and may remove delete files that new ones supersede.
	RowDelta Operation = "row-delta"
	// Rewrite replaces files by others with the same rows: compaction.
	Rewrite Operation = "rewrite"
)

// Change is what a planner wants of the table at a given head.
type Change struct {
	Operation     Operation
	AddData       []iceberg.DataFile
	RemoveData    []iceberg.DataFile
	AddDeletes    []iceberg.DataFile
	RemoveDeletes []iceberg.DataFile

	// Summary goes into the snapshot's summary.
	Summary map[string]string
	// Properties are set, and RemoveProperties removed, in the same commit.
	Properties       map[string]string
	RemoveProperties []string
	// Alter, when set, applies schema, spec or reference changes to the same transaction, before the files.
	Alter func(tx *table.Transaction) error
}

// Planner decides what to change at head. It is called again whenever the head has moved; what did not conflict it
// keeps itself. A nil Change means that there is nothing to do, and no commit is made.
type Planner func(ctx context.Context, head *table.Table, attempt int) (*Change, error)

// Options bound the protocol. The zero value is usable.
type Options struct {
	MaxAttempts int           // commits tried before ErrConflict; 0 means 40
	MaxElapsed  time.Duration // 0 means 15 minutes
	BaseDelay   time.Duration // of the backoff; 0 means 25 ms
	MaxDelay    time.Duration // 0 means 5 s

	// Observe, when set, is told of every conflict and unknown outcome.
	Observe func(Event)
	// Sleep and Random replace the clock and the dice in tests and simulations.
	Sleep  func(ctx context.Context, d time.Duration) error
	Random func() float64
}

// Event is something that the protocol survived.
type Event struct {
	Attempt int
	Class   error // ErrConflict, ErrUnknownOutcome or ErrPassing
	Err     error
}

// Outcome is what Commit did.
type Outcome struct {
	Table            *table.Table
	SnapshotID       int64 // the snapshot of this commit; 0 if it made none
	Committed        bool  // this call changed the table
	AlreadyCommitted bool  // an earlier call with the same ID did
	Attempts         int
	Conflicts        int
	UnknownOutcomes  int
}

// Commit plans and commits one change exactly once.
func Commit(ctx context.Context, cat Catalog, ident table.Identifier, id ID, plan Planner, opts Options) (Outcome, error) {
	return Outcome{}, errors.New("commit: not built yet")
}
