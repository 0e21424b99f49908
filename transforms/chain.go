package transforms

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Step is one row step; exactly one field is set.
type Step struct {
	Filter string   // an expression: rows where it is true stay
	Derive []Assign // Value is an expression; it sees the columns that come before it in the same step
	Select []string // the columns that stay, in this order
	Rename []Assign // Name is the old name, Value the new; all at once, so that names can be swapped
	Cast   []Assign // Value is a type in Iceberg's notation
	Drop   []string
}

// Assign is one `name: value` of a step.
type Assign struct{ Name, Value string }

// Expectation is a predicate that every row should fulfil; Otherwise is warn, drop, quarantine or fail.
type Expectation struct{ Name, That, Otherwise string }

// StepError is a mistake in a step or, if Expectation is set, an expectation.
type StepError struct {
	Step        int // index in the steps or in the expectations
	Expectation bool
	Field       string // the assignment or column at fault, if it is one
	Err         error  // an *expression.Error or *columntype.Error where the text of one is wrong
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

// Chain is a checked sequence of row steps, followed by expectations. It may run over several streams at once.
type Chain struct {
	schema       *arrow.Schema
	steps        []step
	expectations []expectation

	mu     sync.Mutex
	counts Counts
}

// step is a compiled row step.
type step interface {
	// apply replaces the frame's batch; rows that it takes out are counted.
	apply(ctx context.Context, f *frame) error
	explain() []string
}

// NewChain checks steps and expectations against the columns of in. The error is a *StepError.
func NewChain(in *arrow.Schema, steps []Step, expect []Expectation) (*Chain, error) {
	c := &Chain{schema: withoutMetadata(in)}
	for i, s := range steps {
		compiled, out, field, err := compileStep(c.schema, s)
		if err != nil {
			return nil, &StepError{Step: i, Field: field, Err: err}
		}
		c.steps, c.schema = append(c.steps, compiled), out
	}
	for i, e := range expect {
		compiled, err := compileExpectation(c.schema, e)
		if err != nil {
			return nil, &StepError{Step: i, Expectation: true, Field: e.Name, Err: err}
		}
		c.expectations = append(c.expectations, compiled)
	}
	return c, nil
}

// withoutMetadata drops what a field's metadata says of the table that it came from, such as field ids.
func withoutMetadata(in *arrow.Schema) *arrow.Schema {
	fields := make([]arrow.Field, in.NumFields())
	for i, f := range in.Fields() {
		fields[i] = arrow.Field{Name: f.Name, Type: f.Type, Nullable: f.Nullable}
	}
	return arrow.NewSchema(fields, nil)
}

// Schema is that of the rows that leave the chain.
func (c *Chain) Schema() *arrow.Schema { return c.schema }

// Explain lists the parts of the chain's expressions that run on expr's VM.
func (c *Chain) Explain() []string {
	var out []string
	for i, s := range c.steps {
		for _, line := range s.explain() {
			out = append(out, fmt.Sprintf("step %d: %s", i+1, line))
		}
	}
	for _, e := range c.expectations {
		for _, line := range e.that.Explain() {
			out = append(out, fmt.Sprintf("expectation %q: %s", e.Name, line))
		}
	}
	return out
}

// Counts adds up what all streams of the chain did so far.
func (c *Chain) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.counts
	out.Warned = maps.Clone(out.Warned)
	return out
}

func (c *Chain) add(n Counts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts.In += n.In
	c.counts.Out += n.Out
	c.counts.Filtered += n.Filtered
	c.counts.Dropped += n.Dropped
	c.counts.Quarantined += n.Quarantined
	c.counts.Faulty += n.Faulty
	for name, rows := range n.Warned {
		if c.counts.Warned == nil {
			c.counts.Warned = map[string]int64{}
		}
		c.counts.Warned[name] += rows
	}
}

// Apply streams rows through the chain. The result takes over the reference to rows. Steps run when Next is called.
func (c *Chain) Apply(ctx context.Context, rows array.RecordReader, obs Observer) array.RecordReader {
	return newStream(ctx, c.schema, rows, func(ctx context.Context, batch arrow.RecordBatch) (arrow.RecordBatch, error) {
		return c.run(ctx, batch, obs)
	})
}

// run takes one batch through all steps. The caller releases the result.
func (c *Chain) run(ctx context.Context, batch arrow.RecordBatch, obs Observer) (arrow.RecordBatch, error) {
	f := newFrame(batch, obs)
	defer f.release()
	f.counts.In = batch.NumRows()
	for i, s := range c.steps {
		if err := s.apply(ctx, f); err != nil {
			return nil, stepFailure(i, err)
		}
		if f.batch.NumRows() == 0 {
			break
		}
	}
	if f.batch.NumRows() > 0 {
		if err := c.expect(ctx, f); err != nil {
			return nil, err
		}
	}
	f.counts.Out = f.batch.NumRows()
	c.add(f.counts)
	if f.counts.Out == 0 {
		return nil, nil
	}
	return array.NewRecordBatch(c.schema, f.batch.Columns(), f.counts.Out), nil
}

// stepFailure names the step, unless the error is the row's own.
func stepFailure(i int, err error) error {
	var fault *FaultError
	if errors.As(err, &fault) {
		return err
	}
	return fmt.Errorf("step %d: %w", i+1, err)
}
