package pipelinetest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Result is what came of one test.
type Result struct {
	File        string       `json:"file"`
	Line        int          `json:"line"`
	Pipeline    string       `json:"pipeline"`
	Name        string       `json:"name"`
	Passed      bool         `json:"passed"`
	Failure     string       `json:"failure,omitempty"` // why a table could not be built
	Differences []Difference `json:"differences,omitempty"`
	Seconds     float64      `json:"seconds"`
}

// Difference is what a table has and what it should have.
type Difference struct {
	Table      string    `json:"table"`
	Expected   int       `json:"expected"` // rows
	Found      int       `json:"found"`
	Missing    []Missing `json:"missing,omitempty"`
	Unexpected []Row     `json:"unexpected,omitempty"`
}

// Missing is an expected row that is not there, and the unexpected row that is most like it.
type Missing struct {
	Line    int      `json:"line"`
	Row     Row      `json:"row"`
	Nearest Row      `json:"nearest,omitempty"`
	Differs []string `json:"differs,omitempty"` // columns in which the two differ
}

// Row is some columns of a row, in the table's order.
type Row []Cell

// Cell is a value and its column.
type Cell struct {
	Column string
	Value  json.RawMessage
}

// MarshalJSON writes the row as an object, which keeps the order of columns.
func (r Row) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, c := range r {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := json.Marshal(c.Column)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, name...), ':'), c.Value...)
	}
	return append(out, '}'), nil
}

const (
	maxShownRows  = 20 // of each kind, of a table
	maxShownValue = 80 // characters
)

// String is the row as a test would have it.
func (r Row) String() string {
	parts := make([]string, len(r))
	for i, c := range r {
		parts[i] = c.Column + ": " + yamlText(c.Value)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// Text says in lines for people what is wrong; it is empty for a test that passed.
func (r *Result) Text() string {
	var b strings.Builder
	if r.Failure != "" {
		fmt.Fprintf(&b, "  %s\n", strings.ReplaceAll(r.Failure, "\n", "\n  "))
	}
	for _, d := range r.Differences {
		d.write(&b)
	}
	return b.String()
}

// Place is the test's file and line.
func (r *Result) Place() string { return fmt.Sprintf("%s:%d", r.File, r.Line) }

func (d Difference) write(b *strings.Builder) {
	extra := len(d.Unexpected)
	for _, m := range d.Missing {
		if m.Nearest != nil {
			extra++
		}
	}
	fmt.Fprintf(b, "  %s has %s, %s expected: %d missing, %d unexpected\n", d.Table, rows(d.Found), numberWord(d.Expected), len(d.Missing), extra)
	for i, m := range d.Missing {
		if i == maxShownRows {
			fmt.Fprintf(b, "    and %d more are missing\n", len(d.Missing)-i)
			break
		}
		fmt.Fprintf(b, "    missing     %s (line %d)\n", m.Row, m.Line)
		if m.Nearest != nil {
			fmt.Fprintf(b, "    unexpected  %s (differs in %s)\n", m.Nearest, strings.Join(m.Differs, ", "))
		}
	}
	for i, row := range d.Unexpected {
		if i == maxShownRows {
			fmt.Fprintf(b, "    and %d more are unexpected\n", len(d.Unexpected)-i)
			break
		}
		fmt.Fprintf(b, "    unexpected  %s\n", row)
	}
}

func rows(n int) string {
	if n == 1 {
		return "1 row"
	}
	return numberWord(n) + " rows"
}

func numberWord(n int) string {
	if n == 0 {
		return "no"
	}
	return fmt.Sprint(n)
}

// value is an element as JSON, times in the form in which tests write them.
func value(a arrow.Array, i int) json.RawMessage {
	if a.IsNull(i) {
		return json.RawMessage("null")
	}
	v := a.GetOneForMarshal(i)
	if t, ok := a.(*array.Timestamp); ok {
		kind := t.DataType().(*arrow.TimestampType)
		layout := "2006-01-02T15:04:05.999999999"
		if kind.TimeZone != "" {
			layout = time.RFC3339Nano
		}
		v = t.Value(i).ToTime(kind.Unit).Format(layout)
	}
	text, err := toText(v)
	if err != nil {
		text, _ = toText(a.ValueStr(i)) // what JSON has no form for, such as NaN
	}
	return text
}

func toText(v any) (json.RawMessage, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return json.RawMessage(strings.TrimSpace(b.String())), nil
}

// plain texts need no quotes in a flow map of YAML, and are no numbers, booleans or nulls there.
var plain = regexp.MustCompile(`^[A-Za-z_/][A-Za-z0-9_./+-]*( [A-Za-z0-9_./+-]+)*$`)

// yamlText is a value as a test would have it, cut short.
func yamlText(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil && string(v) != "null" {
		switch strings.ToLower(s) {
		case "null", "true", "false":
		default:
			if plain.MatchString(s) {
				return cut(s)
			}
		}
	}
	return cut(string(v))
}

func cut(s string) string {
	if utf8.RuneCountInString(s) <= maxShownValue {
		return s
	}
	return string([]rune(s)[:maxShownValue-1]) + "…"
}
