package sql

import "fmt"

// Error is a mistake in a statement, or data that the statement cannot compute with.
type Error struct {
	Kind    Kind
	Message string
	Hint    string // what was perhaps meant; may be empty
	Offset  int    // byte offset in the statement, -1 if unknown
	Line    int    // 1-based, 0 if unknown
	Column  int    // 1-based, in characters; 0 if unknown
}

// Kind tells who is at fault.
type Kind string

// The kinds of an Error.
const (
	Syntax      Kind = "syntax"      // the statement does not parse
	Binding     Kind = "binding"     // unknown table, column or function; wrong types
	Refused     Kind = "refused"     // a statement or function that is not allowed here
	Unsupported Kind = "unsupported" // a result type that tables cannot hold
	Data        Kind = "data"        // a value failed: overflow, malformed cast, division
	Memory      Kind = "memory"      // more memory or temporary disk than allowed
)

func (e *Error) Error() string {
	s := e.Message
	if e.Line > 0 {
		s = fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, s)
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return "sql: " + s
}
