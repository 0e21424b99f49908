package sources

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/sources/cell"
	"github.com/varve-lake/varve/sources/csv"
)

// csvFile is a CSV file whose header was read.
type csvFile struct {
	scanner *csv.Scanner
	names   []string // of the columns; nil if the file has no record
	pending bool     // the scanner stands on the first row already
	before  int64    // records before the first row: the header
}

// openCSV reads a CSV file's header. Without one, positional names the columns.
func openCSV(in *input, opts Options, positional []string) (*csvFile, error) {
	r, err := in.text()
	if err != nil {
		return nil, err
	}
	dialect := csv.Options{Delimiter: opts.Delimiter, Quote: opts.Quote[0], NoQuote: opts.Quote == noQuote, MaxRecord: opts.MaxRowSize}
	c := &csvFile{scanner: csv.NewScanner(r, dialect)}
	if !c.scanner.Next() {
		if err := c.scanner.Err(); err != nil {
			return nil, in.broken("read", err)
		}
		return c, nil
	}
	if opts.NoHeader {
		if f := c.scanner.Fault(); f != nil {
			return nil, &BrokenFileError{File: in.file.URI, Reason: "the first record, which tells the number of columns, cannot be read: " + f.Reason}
		}
		c.pending = true
		c.names = positionalNames(positional, len(c.scanner.Fields()))
		return c, checkNames(in.file, c.names)
	}
	c.before = 1
	if c.names, err = header(c.scanner); err != nil {
		return nil, &BrokenFileError{File: in.file.URI, Reason: "the header cannot be read", Err: err}
	}
	return c, checkNames(in.file, c.names)
}

func header(s *csv.Scanner) ([]string, error) {
	if f := s.Fault(); f != nil {
		return nil, fmt.Errorf("line %d, column %d: %s", f.Line, f.Column, f.Reason)
	}
	names := make([]string, len(s.Fields()))
	for i, f := range s.Fields() {
		switch {
		case !utf8.Valid(f):
			return nil, fmt.Errorf("the name of column %d is not valid UTF-8: %q", i+1, f)
		case strings.ContainsRune(string(f), '\r') && !strings.ContainsRune(string(f), '\n'):
			return nil, fmt.Errorf("its lines end with carriage returns alone, not with newlines")
		}
		if names[i] = string(f); names[i] == "" {
			names[i] = positionalName(i)
		}
	}
	return names, nil
}

func positionalName(i int) string { return fmt.Sprintf("column_%d", i+1) }

// positionalNames names n columns: the given names first, then by number.
func positionalNames(given []string, n int) []string {
	names := make([]string, n)
	for i := range names {
		if i < len(given) {
			names[i] = given[i]
		} else {
			names[i] = positionalName(i)
		}
	}
	return names
}

// csvReader makes batches of a CSV file's records.
type csvReader struct {
	in      *input
	file    *csvFile
	rows    *rows
	faults  *faults
	nulls   nulls
	columns []csvColumn
	absent  map[int]bool // slots that the file has no column for
	extra   []int        // columns that go to _rescued
	rescue  *array.StringBuilder
}

// csvColumn is where a field goes; text is nil for one that nobody wants.
type csvColumn struct {
	name    string
	builder array.Builder
	text    cell.Text
}

func newCSVReader(in *input, l *layout, opts Options, observer Observer, newColumns func([]string) error) (batches, error) {
	var positional []string
	for _, i := range l.data {
		positional = append(positional, l.slots[i].field.Name)
	}
	file, err := openCSV(in, opts, positional)
	if err != nil {
		return nil, err
	}
	if file.names == nil && observer.Note != nil {
		observer.Note(in.file.URI + ": has no header and no rows")
	}
	c := &csvReader{in: in, file: file, rows: newRows(l), faults: newFaults(in.file, opts, observer), nulls: newNulls(opts.NullValues)}
	if err = c.place(l, opts); err == nil {
		err = unknownColumns(in.file, opts.SchemaMode, c.unknown(), newColumns)
	}
	if err != nil {
		c.rows.close()
		return nil, err
	}
	return c, nil
}

// place finds the builder of each column of the file.
func (c *csvReader) place(l *layout, opts Options) error {
	c.absent = map[int]bool{}
	for _, i := range l.data {
		c.absent[i] = true
	}
	c.columns = make([]csvColumn, len(c.file.names))
	for i, name := range c.file.names {
		c.columns[i].name = name
		at, known := l.find(name)
		if at < 0 {
			if !known {
				c.extra = append(c.extra, i)
			}
			continue
		}
		text, err := cell.NewText(c.rows.builders[at])
		if err != nil {
			return &SchemaError{File: c.in.file.URI, Columns: []string{name}, Reason: fmt.Sprintf("column %q: %v", name, err)}
		}
		c.columns[i].builder, c.columns[i].text = c.rows.builders[at], text
		delete(c.absent, at)
	}
	if l.rescue >= 0 {
		c.absent[l.rescue] = true
		if text, ok := c.rows.builders[l.rescue].(*array.StringBuilder); ok && opts.SchemaMode == Rescue && len(c.extra) > 0 {
			c.rescue = text
			delete(c.absent, l.rescue)
		}
	}
	return nil
}

func (c *csvReader) unknown() (names []string) {
	for _, i := range c.extra {
		names = append(names, c.columns[i].name)
	}
	return names
}

func (c *csvReader) close() { c.rows.close() }

func (c *csvReader) next() (arrow.RecordBatch, error) {
	if c.file.names == nil {
		return nil, io.EOF
	}
	c.rows.reserve()
	s := c.file.scanner
	for c.rows.room() {
		if c.file.pending {
			c.file.pending = false
		} else if !s.Next() {
			break
		}
		if err := c.record(s); err != nil {
			return nil, err
		}
	}
	if err := s.Err(); err != nil {
		return nil, c.in.broken("read", err)
	}
	if c.rows.bytes == 0 {
		return nil, io.EOF
	}
	return c.rows.batch(c.absent)
}

// record takes the scanner's record.
func (c *csvReader) record(s *csv.Scanner) error {
	if f := s.Fault(); f != nil {
		c.rows.skip(len(s.Raw()))
		return c.faults.row(Rejected{Row: c.number(s), Line: f.Line, Column: c.name(f.Field), Reason: f.Reason}, s.Raw())
	}
	fields := s.Fields()
	if len(fields) != len(c.columns) {
		c.rows.skip(len(s.Raw()))
		reason := fmt.Sprintf("expected %d fields, found %d", len(c.columns), len(fields))
		return c.faults.row(Rejected{Row: c.number(s), Line: s.Line(), Reason: reason}, s.Raw())
	}
	bad, cause := -1, error(nil)
	for i, f := range fields {
		column := &c.columns[i]
		if column.text == nil {
			continue
		}
		if c.nulls.has(f) {
			column.builder.AppendNull()
		} else if err := column.text(f); err != nil && bad < 0 {
			bad, cause = i, err
		}
	}
	if c.rescue != nil {
		c.rescueFields(fields)
	}
	if bad < 0 {
		c.rows.end(c.number(s), len(s.Raw()))
		return nil
	}
	c.rows.endFaulty(c.number(s), len(s.Raw()))
	line, at := s.Position(bad)
	reason := fmt.Sprintf("%v, at character %d of the line", cause, at)
	return c.faults.row(Rejected{Row: c.number(s), Line: line, Column: c.columns[bad].name, Reason: reason}, s.Raw())
}

func (c *csvReader) number(s *csv.Scanner) int64 { return s.Record() - c.file.before }

func (c *csvReader) name(field int) string {
	if field < 0 || field >= len(c.columns) {
		return ""
	}
	return c.columns[field].name
}

// rescueFields keeps the fields that the schema has no column for as a JSON object.
func (c *csvReader) rescueFields(fields [][]byte) {
	object := make([]byte, 0, 64)
	for n, i := range c.extra {
		object = append(object, "{,"[min(n, 1)])
		object = appendJSONString(object, c.columns[i].name)
		object = append(object, ':')
		if c.nulls.has(fields[i]) {
			object = append(object, "null"...)
		} else {
			object = appendJSONString(object, string(fields[i]))
		}
	}
	c.rescue.BinaryBuilder.Append(append(object, '}'))
}

func appendJSONString(to []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // a string always marshals; invalid UTF-8 is replaced
	return append(to, quoted...)
}

// nulls are the texts that stand for null.
type nulls struct {
	empty   bool
	texts   []string
	longest int
}

func newNulls(values []string) (n nulls) {
	for _, v := range values {
		if v == "" {
			n.empty = true
			continue
		}
		n.texts = append(n.texts, v)
		n.longest = max(n.longest, len(v))
	}
	return n
}

func (n *nulls) has(field []byte) bool {
	if len(field) == 0 {
		return n.empty
	}
	if len(field) > n.longest {
		return false
	}
	for _, t := range n.texts {
		if string(field) == t {
			return true
		}
	}
	return false
}
