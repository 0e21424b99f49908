package transforms

import (
	"context"
	"errors"
	"fmt"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Step is one row step; exactly one field is set.
type Step struct {
	Filter string   // an expression: rows where it is true stay
	Derive []Assign // Value is an expression
	Select []string
	Rename []Assign // Name is the old name, Value the new
	Cast   []Assign // Value is a type
	Drop   []string
}

// Assign is one `name: value` of a step.
type Assign struct{ Name, Value string }

// Expectation is a predicate that every row should fulfil; Otherwise is warn, drop, quarantine or fail.
type Expectation struct{ Name, That, Otherwise string }

// Rejected is a row that a chain took out of the stream, with the reason.
type Rejected struct {
	Reason      string
	Column      string // the column at fault, if it is one
	Expectation string // the expectation that quarantined the row; empty for a fault of the data
	Row         string // the row as JSON, as it stood when it was rejected
	SourceFile  string // _source_file of the row that entered the chain
	SourceRow   int64  // _source_row
}

// Observer hears of what a chain takes out of the stream. A nil function is not called, except that without Reject
// a rejected row is an error.
type Observer struct {
	Reject func(Rejected) error                  // an error stops the stream
	Warn   func(expectation string, rows int64) // once a batch
}

// Counts are the rows that a chain has seen so far.
type Counts struct {
	In          int64
	Out         int64
	Filtered    int64            // by filter steps
	Dropped     int64            // by expectations
	Quarantined int64            // by expectations
	Faulty      int64            // rejected since a step could not be computed for them
	Warned      map[string]int64 // by expectation
}

// StepError is a mistake in a step or, if Expectation is set, an expectation.
type StepError struct {
	Step        int // index in the steps or in the expectations
	Expectation bool
	Field       string // the assignment or column at fault, if it is one
	Err         error  // often an *expression.Error
}

func (e *StepError) Error() string {
	kind := "step"
	if e.Expectation {
		kind = "expectation"
	}
	if e.Field == "" {
		return fmt.Sprintf("%s %d: %v", kind, e.Step+1, e.Err)
	}
	return fmt.Sprintf("%s %d: %s: %v", kind, e.Step+1, e.Field, e.Err)
}

func (e *StepError) Unwrap() error { return e.Err }

// Chain is a checked sequence of row steps, followed by expectations.
type Chain struct {
	schema *arrow.Schema
}

// NewChain checks steps and expectations against the columns of in. The error is a *StepError.
func NewChain(in *arrow.Schema, steps []Step, expect []Expectation) (*Chain, error) {
	return nil, errors.New("chains are being built")
}

// Schema is that of the rows that leave the chain.
func (c *Chain) Schema() *arrow.Schema { return c.schema }

// Explain lists the parts of the chain's expressions that run on expr's VM.
func (c *Chain) Explain() []string { return nil }

// Apply streams rows through the chain. The result takes over the reference to rows. Steps run when Next is called.
func (c *Chain) Apply(ctx context.Context, rows array.RecordReader, obs Observer) array.RecordReader {
	return nil
}

// Counts adds up what all streams of the chain did so far.
func (c *Chain) Counts() Counts { return Counts{} }

// ExpectationError is a row that broke an expectation whose policy is fail.
type ExpectationError struct {
	Name string
	That string
	Row  Rejected
}

func (e *ExpectationError) Error() string {
	return fmt.Sprintf("expectation %q: %s", e.Name, e.Row.Reason)
}
