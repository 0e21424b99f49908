package sql

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

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
	Unsupported Kind = "unsupported" // a type that DuckDB or Iceberg does not have
	Data        Kind = "data"        // a value failed: overflow, malformed cast, division
	Memory      Kind = "memory"      // more memory or temporary disk than allowed
	Internal    Kind = "internal"    // DuckDB's own fault
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

func errorAt(query string, offset int, kind Kind, format string, args ...any) *Error {
	e := &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Offset: -1}
	if offset >= 0 && offset <= len(query) {
		before := query[:offset]
		e.Offset = offset
		e.Line = strings.Count(before, "\n") + 1
		e.Column = utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	}
	return e
}

// translate makes an *Error of DuckDB's wording; other errors it returns as they are.
func translate(query string, err error) error {
	var native nativeError
	if !errors.As(err, &native) {
		return err
	}
	parsed, ok := native.parse()
	if !ok {
		return errorAt(query, -1, Internal, "%s", firstLine(string(native)))
	}
	at := -1
	if parsed.Position != "" {
		at = position(parsed.Position)
	}
	var moved shifted
	if errors.As(err, &moved) {
		at -= moved.by
	}
	e := errorAt(query, at, kindOf(parsed.Type), "%s", firstLine(parsed.Message))
	for _, candidate := range strings.Split(parsed.Candidates, ",") {
		if candidate = strings.TrimSpace(candidate); near(parsed.Name, candidate) {
			e.Hint = fmt.Sprintf("did you mean %q?", candidate)
			break
		}
	}
	return e
}

// exception is DuckDB's JSON of an error.
type exception struct {
	Type       string `json:"exception_type"`
	Message    string `json:"exception_message"`
	Position   string `json:"position"`
	Name       string `json:"name"` // that was not found
	Candidates string `json:"candidates"`
}

func (e nativeError) parse() (exception, bool) {
	var parsed exception
	at := strings.IndexByte(string(e), '{')
	ok := at >= 0 && json.Unmarshal([]byte(e[at:]), &parsed) == nil
	return parsed, ok
}

// near holds for names that a slip of the fingers makes of each other; DuckDB also offers what is not like it at all.
func near(name, candidate string) bool {
	a, b := []rune(strings.ToLower(name)), []rune(strings.ToLower(candidate))
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		diagonal := row[0]
		row[0] = i + 1
		for j := range b {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return len(b) > 0 && row[len(b)] <= max(1, len(a)/3)
}

func interrupted(err error) bool {
	var native nativeError
	if !errors.As(err, &native) {
		return false
	}
	parsed, ok := native.parse()
	return ok && parsed.Type == "INTERRUPT"
}

// shifted is an error of a text in which the statement begins at an offset.
type shifted struct {
	error
	by int
}

func (s shifted) Unwrap() error { return s.error }

func kindOf(exception string) Kind {
	switch exception {
	case "Parser", "Syntax":
		return Syntax
	case "Binder", "Catalog", "Parameter Not Resolved", "Parameter Not Allowed", "Mismatch Type", "Invalid Type", "Dependency", "Expression":
		return Binding
	case "Permission":
		return Refused
	case "Not implemented":
		return Unsupported
	case "Out of Memory", "Object Size":
		return Memory
	case "INTERNAL", "FATAL", "Executor", "Serialization", "IO", "Scheduler", "TransactionContext", "Connection", "INTERRUPT":
		return Internal
	}
	return Data
}

// firstLine is a message of DuckDB's in this project's style; what follows in it are pictures of the statement.
func firstLine(message string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(message), "\n")
	line = strings.TrimRight(line, "!.")
	if rest, ok := strings.CutPrefix(line, "Values list "); ok { // DuckDB's name for what is under an alias
		line = "table " + rest
	}
	first, size := utf8.DecodeRuneInString(line)
	if second, _ := utf8.DecodeRuneInString(line[size:]); unicode.IsUpper(first) && unicode.IsLower(second) {
		line = string(unicode.ToLower(first)) + line[size:]
	}
	return line
}
