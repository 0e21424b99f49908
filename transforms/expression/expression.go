package expression

import (
	"context"
	"errors"

	"github.com/apache/arrow-go/v18/arrow"
)

// Scope says which columns an expression may name. The schema under "" holds bare columns; one under "s" holds columns
// that are written s.name and that a batch calls "s.name".
type Scope map[string]*arrow.Schema

// Program is a compiled expression. It is immutable and safe for concurrent use.
type Program struct {
	source string
}

// Compile parses source, checks it against scope and lowers it to Arrow kernels. The error is an *Error.
func Compile(source string, scope Scope) (*Program, error) {
	return nil, &Error{Message: "expressions are being built"}
}

// Source is the text that was compiled.
func (p *Program) Source() string { return p.source }

// Type is the type of the result.
func (p *Program) Type() arrow.DataType { return arrow.Null }

// Columns names the columns that the expression needs, "x" or "s.x", sorted.
func (p *Program) Columns() []string { return nil }

// Explain lists the parts of the expression that no kernel covers and that expr's VM runs row by row.
func (p *Program) Explain() []string { return nil }

// Eval computes the expression for every row of batch, which holds at least Columns() by name. A row that the
// expression cannot be computed for is a *RowError. The caller releases the result.
func (p *Program) Eval(ctx context.Context, batch arrow.RecordBatch) (arrow.Array, error) {
	return nil, errors.New("expressions are being built")
}

// EvalRows is Eval, but a row that the expression cannot be computed for is null in the result and named in the faults,
// which are sorted by row, one a row.
func (p *Program) EvalRows(ctx context.Context, batch arrow.RecordBatch) (arrow.Array, []Fault, error) {
	return nil, nil, errors.New("expressions are being built")
}
