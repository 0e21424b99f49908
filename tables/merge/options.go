package merge

import (
	"context"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/iceberg-go"
)

// Expression is a typed, vectorised expression over the columns of a source
// row, named "s.column", and of a target row, named "t.column".
// transforms/expression.Program is one; this package imports no transforms.
type Expression interface {
	// Columns names the columns that Eval reads, as "s.x" or "t.x".
	Columns() []string
	// Type is the type of Eval's result.
	Type() arrow.DataType
	// Eval computes one value for each row of the batch, which has at least
	// Columns. A null condition is unknown, and so does not hold. The caller
	// releases the result. Eval may be called from several goroutines at once.
	Eval(ctx context.Context, batch arrow.RecordBatch) (arrow.Array, error)
}

// Source is what is merged into the table. It is read more than once: the keys
// first, the rows that are written later, and again after a conflict.
type Source interface {
	Schema() *arrow.Schema
	// Open reads the named columns (nil: all of them) of every row. Each call
	// gives the same rows in the same order.
	Open(ctx context.Context, columns []string) (array.RecordReader, error)
}

// Strategy says how a changed row leaves the file that it lies in.
type Strategy string

const (
	// CopyOnWrite rewrites the files that hold a changed row.
	CopyOnWrite Strategy = "copy-on-write"
	// MergeOnRead marks the row as deleted by a position delete (table format
	// v2) or a deletion vector (v3), and writes its new version elsewhere.
	MergeOnRead Strategy = "merge-on-read"
)

// NewColumns says what becomes of source columns that the target lacks, in
// clauses that update or insert all columns. Evolving the target is the door's
// business, before a merge is planned.
type NewColumns string

const (
	// IgnoreNewColumns leaves them out. It is the zero value's meaning.
	IgnoreNewColumns NewColumns = "ignore"
	// RefuseNewColumns makes them an error.
	RefuseNewColumns NewColumns = "error"
)

// Isolation says which concurrent commits a merge has to take into account.
type Isolation string

const (
	// Serializable also looks into data files that were added since, for rows
	// that the source matches. It is the zero value's meaning.
	Serializable Isolation = "serializable"
	// Snapshot looks only at files that the merge itself has changed.
	Snapshot Isolation = "snapshot"
)

// Action is what a clause does to a row.
type Action uint8

const (
	Update Action = iota + 1
	Delete
	Insert
)

func (a Action) String() string {
	switch a {
	case Update:
		return "update"
	case Delete:
		return "delete"
	case Insert:
		return "insert"
	}
	return fmt.Sprintf("action %d", uint8(a))
}

// Assign gives a target column a value.
type Assign struct {
	Column string
	Value  Expression
}

// Clause is one WHEN … THEN … of a MERGE. Of a list of clauses, the first one
// whose condition holds for a row applies to it, and the others do not.
type Clause struct {
	// If is the condition; nil always holds.
	If     Expression
	Action Action
	// All takes every target column from the source column of the same name:
	// "*". With Update, columns that the source lacks stay as they are; with
	// Insert they get their default or null. Set comes on top.
	All bool
	// Set gives values to columns. With Insert, the columns that neither All nor
	// Set names get their write default or null.
	Set []Assign
}

// Pair equates a source column with a target column in the ON condition.
type Pair struct {
	Source, Target string
}

// Options describes a MERGE: the ON condition, the clauses, and how to run it.
//
// The ON condition is the conjunction of On, OnPairs and Predicate. Keys compare
// as in Spark and DuckDB: -0.0 equals 0.0 and NaN equals NaN. Null keys match
// nothing unless NullSafe.
type Options struct {
	// On names key columns that source and target share.
	On []string
	// OnPairs equates columns of different names.
	OnPairs []Pair
	// Predicate is the part of the ON condition that is not an equality of
	// columns. Without On and OnPairs every source row is compared with every
	// target row: allowed, slow, and reported in Stats.Warnings.
	Predicate Expression
	// NullSafe makes null keys equal to each other (SQL's IS NOT DISTINCT FROM).
	NullSafe bool

	Strategy   Strategy   // default: CopyOnWrite
	NewColumns NewColumns // default: IgnoreNewColumns
	Isolation  Isolation  // default: Serializable

	Matched            []Clause // Update, Delete; over s and t
	NotMatched         []Clause // Insert; over s
	NotMatchedBySource []Clause // Update, Delete; over t

	// Within, when set, holds for every row that a NotMatchedBySource clause may
	// apply to, and Skip tells files that are not to be looked at for them: so a
	// merge without source rows, a delete, need not look into every file.
	Within iceberg.BooleanExpression
	Skip   func(iceberg.DataFile) bool

	// MemoryLimit bounds, roughly, what a merge holds in memory: source keys
	// beyond it are spilled to TempDir by key hash. Default 1 GiB.
	MemoryLimit int64
	TempDir     string // default: os.TempDir()
	Parallelism int    // default: GOMAXPROCS
}
