package expression

import "fmt"

// Error is a mistake in the text of an expression.
type Error struct {
	Offset  int    // byte offset in the source
	Message string // what was found and what was expected
	Hint    string // what to do about it; may be empty
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "; " + e.Hint
}

// Fault is a row that an expression could not be computed for: an overflow, a division by zero, a malformed number.
type Fault struct {
	Row     int // in the batch, from 0
	Message string
}

// RowError is a Fault as an error.
type RowError struct {
	Fault
}

func (e *RowError) Error() string { return fmt.Sprintf("row %d of the batch: %s", e.Row, e.Message) }
