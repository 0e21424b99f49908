// Package changes resolves change data: events that say what rows of another database became, which may come twice and
// out of order. It finds which events count, against what a table holds of the same keys and against the deletes that are
// remembered, and makes of them the rows to merge.
//
// Two steps share the work. Decide reads the keys, sequences and a digest of each event, and nothing else, and gives a
// decision for each row that matters, sorted by DuckDB, which spills what does not fit in memory. Apply reads the rows
// themselves once, in their order, and makes of those decided about what is merged.
package changes

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/transforms"
	"github.com/varve-lake/varve/transforms/expression"
	"github.com/varve-lake/varve/transforms/sql"
)

// The ways to deal with different events of one key and sequence.
const (
	Fail  = "fail"
	First = "first"
	Last  = "last"
)

// Definition says how events are read.
type Definition struct {
	Keys     []string // of events and table
	Sequence []string // columns of the events, that order them
	Kept     []string // columns of the table that hold Sequence
	// Content are the columns, of events and table, in which events differ that are not the same event.
	Content []string
	Delete  *expression.Program // over an event: it deletes its row; nil: none does
	Ties    string
	// History keeps all states of a key, each from its own sequence to the next one's. ValidTo and IsCurrent are the
	// table's columns for that; the first of Kept is where a state begins.
	History            bool
	ValidTo, IsCurrent string
	// Deleted is the column of the rows to merge that tells those that leave the table.
	Deleted string
}

// Input is what is resolved. All of it is read twice.
type Input struct {
	Events transforms.Rewindable // in the order in which they came
	// Table is what the table holds: of a history all states of the events' keys; otherwise the rows that have an event's
	// key and sequence, which it may leave out if Ties is First. Nil is none.
	Table     transforms.Rewindable
	TableRows int64
	// Tombstones are the keys and sequences, in Keys and Kept, of the deletes that are remembered. Nil is none.
	Tombstones transforms.Rewindable
}

// What is decided about a row of Table or Events.
const (
	write    = 0 // it is written
	gone     = 1 // it leaves the table
	deletes  = 2 // it deletes, and no row of the table is it
	conflict = 3 // it and another event have equal sequences
)

// NullError says that an event has no key or no sequence.
type NullError struct {
	Column string
	Event  string
}

func (e *NullError) Error() string {
	return fmt.Sprintf("an event has no %s (%s): filter such events out, or let an expectation drop or quarantine them", e.Column, e.Event)
}

// TieError says that two different events of one key have equal sequences.
type TieError struct {
	Key      string // column = value, ...
	Sequence string
}

func (e *TieError) Error() string {
	return fmt.Sprintf("different events of %s have equal sequences, %s: add a column to sequence_by that tells them apart, or let ties be first or last", e.Key, e.Sequence)
}

// Decide gives the decisions: n, the number of a row, counted from 0 through Table and then Events, ascending; what; and of
// a history until, the end of its state.
func Decide(ctx context.Context, engine *sql.Engine, def Definition, in Input) (array.RecordReader, error) {
	if err := def.check(in); err != nil {
		return nil, err
	}
	f := &facts{def: def, in: in}
	query := def.latest(in.TableRows)
	if def.History {
		query = def.states(in.TableRows)
	}
	rows, err := engine.Run(ctx, query, f)
	if err != nil {
		return nil, fmt.Errorf("order events: %w", err)
	}
	return rows, nil
}

func (d *Definition) check(in Input) error {
	if len(d.Keys) == 0 || len(d.Sequence) == 0 || len(d.Sequence) != len(d.Kept) {
		return fmt.Errorf("order events: there must be keys and a sequence, and each of its columns is kept")
	}
	if d.Ties != Fail && d.Ties != First && d.Ties != Last {
		return fmt.Errorf("order events: ties %q", d.Ties)
	}
	schema := in.Events.Schema()
	for _, c := range slices.Concat(d.Keys, d.Sequence) {
		if !schema.HasField(c) {
			return fmt.Errorf("order events: they have no column %q", c)
		}
	}
	return nil
}

// arrival orders events of equal sequences so that the one that counts is the first. An event that came twice is the one
// that came first, n, and has come last when it came again.
func (d *Definition) arrival() string {
	if d.Ties == Last {
		return "came DESC"
	}
	return "n"
}

// fails is an SQL condition on the number of different events that have one key and sequence.
func (d *Definition) fails() string {
	if d.Ties == Fail {
		return "rivals > 1"
	}
	return "false"
}

// event is the column of the events that a column of the table comes from.
func (d *Definition) event(column string) string {
	if i := slices.Index(d.Kept, column); i >= 0 {
		return d.Sequence[i]
	}
	return column
}

// describe writes some columns of a row as text.
func describe(batch arrow.RecordBatch, row int, columns []string) string {
	parts := make([]string, 0, len(columns))
	for _, c := range columns {
		for _, at := range batch.Schema().FieldIndices(c) {
			value := "null"
			if a := batch.Column(at); a.IsValid(row) {
				value = a.ValueStr(row)
			}
			parts = append(parts, c+" = "+value)
		}
	}
	return strings.Join(parts, ", ")
}
