package sources

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/sources/cell"
	"github.com/varve-lake/varve/sources/jsontext"
	"github.com/varve-lake/varve/sources/lines"
)

// ndjsonReader makes batches of lines of JSON objects.
type ndjsonReader struct {
	in      *input
	lines   *lines.Scanner
	record  int64 // lines that are not blank
	rows    *rows
	object  *cell.Object
	names   []string // of the object's fields
	parser  jsontext.Parser
	faults  *faults
	mode    string
	rescue  *array.StringBuilder
	saved   []byte // the current row's unknown fields
	nested  bool   // the current field has unknown fields inside
	unknown *unknownFields
	limit   int64 // rows to read; for samples
}

func newNDJSONReader(in *input, l *layout, opts Options, observer Observer, unknown *unknownFields) (*ndjsonReader, error) {
	r, err := in.text()
	if err != nil {
		return nil, err
	}
	if in.file.Size == 0 && observer.Note != nil {
		observer.Note(in.file.URI + ": has no rows")
	}
	n := &ndjsonReader{
		in: in, lines: lines.NewScanner(r, opts.MaxRowSize), rows: newRows(l), faults: newFaults(in.file, opts, observer),
		mode: opts.SchemaMode, unknown: unknown, limit: -1,
	}
	var builders []array.Builder
	for _, i := range l.data {
		n.names = append(n.names, l.slots[i].field.Name)
		builders = append(builders, n.rows.builders[i])
	}
	if l.rescue >= 0 {
		n.rescue, _ = n.rows.builders[l.rescue].(*array.StringBuilder)
	}
	if n.object, err = cell.NewObject(n.names, builders, n.unknownField(l)); err != nil {
		n.rows.close()
		return nil, &SchemaError{File: in.file.URI, Reason: err.Error()}
	}
	if n.rescue != nil && n.mode == Rescue {
		n.object.Done = n.rescueNested
	}
	return n, nil
}

// unknownField gives what to do with a field that the schema lacks.
func (n *ndjsonReader) unknownField(l *layout) cell.Unknown {
	return func(path string, key, raw []byte) error {
		name := string(key)
		if path == "" {
			if reserved[name] {
				return &cell.Mismatch{Path: name, Reason: "the name is reserved for where a row comes from"}
			}
			if _, known := l.find(name); known {
				return nil
			}
		} else {
			name = path + "." + name
		}
		switch {
		case n.mode == Enforce:
			return &cell.Mismatch{Path: name, Reason: "unknown field"}
		case n.mode == Rescue && path != "":
			n.nested = true
		case n.mode == Rescue:
			n.save(name, raw)
		case n.unknown != nil:
			return n.unknown.add(path, string(key), raw)
		}
		return nil
	}
}

// save keeps a field for _rescued.
func (n *ndjsonReader) save(name string, raw []byte) {
	n.saved = append(n.saved, "{,"[min(len(n.saved), 1)])
	n.saved = append(append(appendJSONString(n.saved, name), ':'), raw...)
}

// rescueNested keeps a field whole that has unknown fields inside: where in it they were is not lost then.
func (n *ndjsonReader) rescueNested(field int, raw []byte) {
	if n.nested {
		n.save(n.names[field], raw)
		n.nested = false
	}
}

func (n *ndjsonReader) close() { n.rows.close() }

func (n *ndjsonReader) next() (arrow.RecordBatch, error) {
	n.rows.reserve()
	for n.rows.room() && n.record != n.limit {
		if !n.lines.Next() {
			break
		}
		line := bytes.TrimSpace(n.lines.Bytes())
		if len(line) == 0 {
			continue
		}
		n.record++
		if err := n.line(line); err != nil {
			return nil, err
		}
	}
	if err := n.lines.Err(); err != nil {
		return nil, n.in.broken("read", err)
	}
	if n.rows.bytes > 0 {
		return n.rows.batch(nil)
	}
	if n.unknown != nil {
		n.unknown.tell()
	}
	return nil, io.EOF
}

// line takes one record.
func (n *ndjsonReader) line(line []byte) error {
	switch {
	case n.lines.TooLong():
		return n.refuse("", fmt.Sprintf("the line is longer than %d bytes", n.lines.Max()), line)
	case line[0] == '[' && n.record == 1:
		return &BrokenFileError{File: n.in.file.URI, Reason: "begins with an array: ndjson has one object a line"}
	case !utf8.Valid(line):
		return n.refuse(n.invalidColumn(line), "invalid UTF-8", line)
	}
	n.parser.Reset(line)
	if k, err := n.parser.Peek(); err != nil || k != jsontext.Object {
		if err == nil {
			err = fmt.Errorf("expected an object, found %s", k)
		}
		return n.refuse("", err.Error(), line)
	}
	field, err := n.object.Append(&n.parser)
	if err == nil {
		err = n.parser.End()
	}
	n.endRescue()
	if err == nil {
		n.rows.end(n.record, len(line))
		return nil
	}
	n.rows.endFaulty(n.record, len(line))
	return n.malformed(field, err, line)
}

// endRescue gives the row its element of _rescued.
func (n *ndjsonReader) endRescue() {
	switch {
	case n.rescue == nil:
	case len(n.saved) == 0:
		n.rescue.AppendNull()
	default:
		n.rescue.BinaryBuilder.Append(append(n.saved, '}'))
	}
	n.saved, n.nested = n.saved[:0], false
}

func (n *ndjsonReader) malformed(field int, err error, line []byte) error {
	switch e := err.(type) {
	case *jsontext.SyntaxError:
		return n.reject("", e.Error(), line)
	case *cell.Mismatch:
		if field >= 0 {
			return n.reject(n.names[field], e.Error(), line)
		}
		return n.reject(e.Path, e.Reason, line)
	}
	return err
}

// refuse rejects a line of which nothing was appended.
func (n *ndjsonReader) refuse(column, reason string, line []byte) error {
	n.rows.skip(len(line))
	return n.reject(column, reason, line)
}

func (n *ndjsonReader) reject(column, reason string, line []byte) error {
	return n.faults.row(Rejected{Row: n.record, Line: n.lines.Number(), Column: column, Reason: reason}, line)
}

// invalidColumn finds the field whose value is not valid UTF-8.
func (n *ndjsonReader) invalidColumn(line []byte) string {
	p := &n.parser
	p.Reset(line)
	if k, err := p.Peek(); err != nil || k != jsontext.Object || p.Enter() != nil {
		return ""
	}
	for {
		key, ok, err := p.NextKey()
		if err != nil || !ok || !utf8.Valid(key) {
			return ""
		}
		name := strings.Clone(string(key))
		if raw, err := p.Skip(); err != nil || !utf8.Valid(raw) {
			return name
		}
	}
}
