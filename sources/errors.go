package sources

import (
	"errors"
	"fmt"
	"strings"
)

// ErrChanged is in the chain of a BrokenFileError whose file is not the one that was listed, or changed while it was
// read. Listing again and reading again may succeed.
var ErrChanged = errors.New("the file changed")

// Rejected is a malformed row.
type Rejected struct {
	File   string // URI
	Row    int64  // the record's number in the file, from 1
	Line   int64  // where the field or record stands in the (decompressed) file, from 1; 0 for formats without lines
	Column string // the column's name, if the fault is one column's
	Reason string
	Raw    string // the record as the file has it, shortened
}

// MalformedError is a malformed row under the policy fail.
type MalformedError struct {
	File   string
	Row    int64
	Line   int64
	Column string
	Reason string
}

func (e *MalformedError) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	fmt.Fprintf(&b, ": row %d", e.Row)
	if e.Column != "" {
		fmt.Fprintf(&b, ": column %q", e.Column)
	}
	return b.String() + ": " + e.Reason
}

// BrokenFileError is a file that does not read: truncated, corrupt, not of its format, or changed meanwhile.
type BrokenFileError struct {
	File   string
	Reason string
	Err    error // may be nil
}

func (e *BrokenFileError) Error() string {
	if e.Err == nil {
		return e.File + ": " + e.Reason
	}
	return e.File + ": " + e.Reason + ": " + e.Err.Error()
}

func (e *BrokenFileError) Unwrap() error { return e.Err }

// SchemaError is a file whose columns do not go with what was asked: an unknown column in enforce mode, a reserved or
// repeated name, a type that a table cannot hold.
type SchemaError struct {
	File    string
	Columns []string // the columns at fault
	Reason  string
}

func (e *SchemaError) Error() string {
	if e.File == "" {
		return e.Reason
	}
	return e.File + ": " + e.Reason
}
