package spec

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"
)

// Severity orders diagnostics; only an Error stops a compilation.
type Severity int

// The severities of a diagnostic.
const (
	Error Severity = iota
	Warning
)

func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// MarshalJSON writes the severity by its name.
func (s Severity) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Severity) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case `"error"`:
		*s = Error
	case `"warning"`:
		*s = Warning
	default:
		return fmt.Errorf("severity %s: expected \"error\" or \"warning\"", data)
	}
	return nil
}

// Diagnostic is one finding in a file: what was found, what was expected, and the nearest known name.
type Diagnostic struct {
	Pos
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	Hint     string   `json:"hint,omitempty"`   // a sentence without its full stop, such as: did you mean "tailnum"?
	Source   string   `json:"source,omitempty"` // the line of the file, for display; may be empty
}

// Error prints the diagnostic with its source line and a caret under its place.
func (d Diagnostic) Error() string {
	var b strings.Builder
	if d.Line > 0 {
		fmt.Fprintf(&b, "%s:%d:%d: ", d.File, d.Line, d.Column)
	} else if d.File != "" {
		fmt.Fprintf(&b, "%s: ", d.File)
	}
	fmt.Fprintf(&b, "%s: %s", d.Severity, d.Message)
	line, column := trimSource(d.Source, d.Column)
	switch {
	case line != "":
		fmt.Fprintf(&b, "\n   | %s\n   | %s^", line, strings.Repeat(" ", column-1))
		if d.Hint != "" {
			b.WriteString(" " + d.Hint)
		}
	case d.Hint != "":
		b.WriteString("; " + d.Hint)
	}
	return b.String()
}

// maxSourceWidth bounds the source line shown, in runes.
const maxSourceWidth = 160

// trimSource cuts a source line's indentation and its far ends, and says at which column of the rest the place is.
func trimSource(source string, column int) (string, int) {
	runes := []rune(strings.ReplaceAll(strings.TrimRight(source, " \t\r\n"), "\t", " "))
	at := min(max(column-1, 0), len(runes))
	indent := 0
	for indent < at && runes[indent] == ' ' {
		indent++
	}
	runes, at = runes[indent:], at-indent
	if at > maxSourceWidth-40 {
		cut := at - 40
		runes, at = runes[cut:], at-cut
	}
	if len(runes) > maxSourceWidth {
		runes = append(runes[:maxSourceWidth:maxSourceWidth], '…')
	}
	for i, r := range runes {
		if r < ' ' || r == utf8.RuneError {
			runes[i] = '·'
		}
	}
	return string(runes), at + 1
}

// Diagnostics are all findings of one file. As an error it prints each in the form
//
//	pipelines/flights.yaml:31:18: error: column "tailnumm" is not in bronze.flights
//	   | filter: tailnumm != nil
//	   |         ^ did you mean "tailnum"?
type Diagnostics []Diagnostic

func (ds Diagnostics) Error() string {
	parts := make([]string, len(ds))
	for i, d := range ds {
		parts[i] = d.Error()
	}
	return strings.Join(parts, "\n")
}

// Err is the diagnostics as an error if one of them is an Error, else nil.
func (ds Diagnostics) Err() error {
	for _, d := range ds {
		if d.Severity == Error {
			return ds
		}
	}
	return nil
}

// Errors are those that stop a compilation.
func (ds Diagnostics) Errors() Diagnostics { return ds.only(Error) }

// Warnings are those that do not.
func (ds Diagnostics) Warnings() Diagnostics { return ds.only(Warning) }

func (ds Diagnostics) only(severity Severity) Diagnostics {
	var out Diagnostics
	for _, d := range ds {
		if d.Severity == severity {
			out = append(out, d)
		}
	}
	return out
}

// Sort orders by file, position and severity, and keeps the order of equals.
func (ds Diagnostics) Sort() {
	sort.SliceStable(ds, func(i, j int) bool {
		a, b := ds[i], ds[j]
		switch {
		case a.File != b.File:
			return a.File < b.File
		case a.Line != b.Line:
			return a.Line < b.Line
		case a.Column != b.Column:
			return a.Column < b.Column
		}
		return a.Severity < b.Severity
	})
}

// WithSource fills in the source line of each diagnostic from the file's bytes.
func (ds Diagnostics) WithSource(data []byte) Diagnostics {
	lines := splitLines(string(data))
	for i := range ds {
		if ds[i].Source == "" && ds[i].Line >= 1 && ds[i].Line <= len(lines) {
			ds[i].Source = lines[ds[i].Line-1]
		}
	}
	return ds
}
