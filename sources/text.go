package sources

import (
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"

	"github.com/varve-lake/varve/sources/cell"
	"github.com/varve-lake/varve/sources/lines"
)

// valueColumn is the one column of text files, as in Spark.
const valueColumn = "value"

// textReader makes batches of lines: each as it came, empty ones included, without its line end.
type textReader struct {
	in     *input
	lines  *lines.Scanner
	rows   *rows
	faults *faults
	value  cell.Text // nil if nobody wants the column
	absent map[int]bool
}

func newTextReader(in *input, l *layout, opts Options, observer Observer) (batches, error) {
	r, err := in.text()
	if err != nil {
		return nil, err
	}
	if in.file.Size == 0 && observer.Note != nil {
		observer.Note(in.file.URI + ": has no rows")
	}
	t := &textReader{
		in: in, lines: lines.NewScanner(r, opts.MaxRowSize), rows: newRows(l), faults: newFaults(in.file, opts, observer),
		absent: map[int]bool{},
	}
	for _, i := range l.data {
		t.absent[i] = true
	}
	if l.rescue >= 0 {
		t.absent[l.rescue] = true
	}
	if at, ok := l.index[valueColumn]; ok {
		if t.value, err = cell.NewText(t.rows.builders[at]); err != nil {
			t.rows.close()
			return nil, &SchemaError{File: in.file.URI, Columns: []string{valueColumn}, Reason: err.Error()}
		}
		delete(t.absent, at)
	}
	return t, nil
}

func (t *textReader) close() { t.rows.close() }

func (t *textReader) next() (arrow.RecordBatch, error) {
	t.rows.reserve()
	for t.rows.room() && t.lines.Next() {
		if err := t.line(t.lines.Bytes()); err != nil {
			return nil, err
		}
	}
	if err := t.lines.Err(); err != nil {
		return nil, t.in.broken("read", err)
	}
	if t.rows.bytes == 0 {
		return nil, io.EOF
	}
	return t.rows.batch(t.absent)
}

func (t *textReader) line(line []byte) error {
	number := t.lines.Number()
	if t.lines.TooLong() {
		t.rows.skip(len(line))
		reason := fmt.Sprintf("the line is longer than %d bytes", t.lines.Max())
		return t.faults.row(Rejected{Row: number, Line: number, Column: valueColumn, Reason: reason}, line)
	}
	if t.value != nil {
		if err := t.value(line); err != nil {
			t.rows.endFaulty(number, len(line))
			return t.faults.row(Rejected{Row: number, Line: number, Column: valueColumn, Reason: err.Error()}, line)
		}
	}
	t.rows.end(number, len(line))
	return nil
}
