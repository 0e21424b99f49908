package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// maxCell bounds the width of a column of a printed table, in characters.
const maxCell = 48

// printRows writes rows in the format asked for: table (aligned), csv, or json (an object a line). It returns how many.
func printRows(out io.Writer, rows array.RecordReader, format string) (int64, error) {
	var p rowPrinter
	switch format {
	case "table":
		p = &tablePrinter{out: out}
	case "csv":
		p = &csvPrinter{out: csv.NewWriter(out)}
	case "json":
		p = &jsonPrinter{out: json.NewEncoder(out)}
	default:
		return 0, usageError{fmt.Errorf("unknown format %q: expected table, csv or json", format)}
	}
	if err := p.begin(rows.Schema()); err != nil {
		return 0, err
	}
	var n int64
	for rows.Next() {
		batch := rows.RecordBatch()
		for i := 0; i < int(batch.NumRows()); i++ {
			if err := p.row(batch, i); err != nil {
				return n, err
			}
			n++
		}
	}
	if err := rows.Err(); err != nil {
		return n, err
	}
	return n, p.end()
}

type rowPrinter interface {
	begin(*arrow.Schema) error
	row(arrow.RecordBatch, int) error
	end() error
}

// tablePrinter holds rows back only until it knows the widths, from the first thousand rows.
type tablePrinter struct {
	out    io.Writer
	names  []string
	right  []bool
	held   [][]string
	widths []int
}

func (p *tablePrinter) begin(s *arrow.Schema) error {
	for _, f := range s.Fields() {
		p.names = append(p.names, f.Name)
		p.right = append(p.right, isNumber(f.Type))
	}
	return nil
}

func isNumber(t arrow.DataType) bool {
	return arrow.IsPrimitive(t.ID()) && (arrow.IsInteger(t.ID()) || arrow.IsFloating(t.ID())) || arrow.IsDecimal(t.ID())
}

func (p *tablePrinter) row(b arrow.RecordBatch, i int) error {
	cells := make([]string, b.NumCols())
	for c := range cells {
		cells[c] = cell(b.Column(c), i)
	}
	if p.widths != nil {
		return p.line(cells)
	}
	if p.held = append(p.held, cells); len(p.held) == 1000 {
		return p.flush()
	}
	return nil
}

func (p *tablePrinter) flush() error {
	p.widths = make([]int, len(p.names))
	for _, cells := range append([][]string{p.names}, p.held...) {
		for c, s := range cells {
			p.widths[c] = max(p.widths[c], utf8.RuneCountInString(s))
		}
	}
	rule := make([]string, len(p.names))
	for c, w := range p.widths {
		rule[c] = strings.Repeat("-", w)
	}
	for _, cells := range append([][]string{p.names, rule}, p.held...) {
		if err := p.line(cells); err != nil {
			return err
		}
	}
	p.held = nil
	return nil
}

func (p *tablePrinter) line(cells []string) error {
	var b strings.Builder
	for c, s := range cells {
		pad := strings.Repeat(" ", max(0, p.widths[c]-utf8.RuneCountInString(s)))
		if c > 0 {
			b.WriteString("  ")
		}
		if p.right[c] {
			b.WriteString(pad + s)
		} else if c == len(cells)-1 {
			b.WriteString(s)
		} else {
			b.WriteString(s + pad)
		}
	}
	_, err := fmt.Fprintln(p.out, b.String())
	return err
}

func (p *tablePrinter) end() error {
	if p.widths == nil {
		return p.flush()
	}
	return nil
}

func cell(a arrow.Array, i int) string {
	if a.IsNull(i) {
		return "null"
	}
	s := strings.Map(func(r rune) rune {
		if r < ' ' {
			return '·' // a line break or an escape sequence of the data must not reach the terminal
		}
		return r
	}, a.ValueStr(i))
	if utf8.RuneCountInString(s) > maxCell {
		s = string([]rune(s)[:maxCell-1]) + "…"
	}
	return s
}

type csvPrinter struct{ out *csv.Writer }

func (p *csvPrinter) begin(s *arrow.Schema) error {
	names := make([]string, s.NumFields())
	for i, f := range s.Fields() {
		names[i] = f.Name
	}
	return p.out.Write(names)
}

func (p *csvPrinter) row(b arrow.RecordBatch, i int) error {
	cells := make([]string, b.NumCols())
	for c := range cells {
		if a := b.Column(c); !a.IsNull(i) {
			cells[c] = a.ValueStr(i)
		}
	}
	return p.out.Write(cells)
}

func (p *csvPrinter) end() error {
	p.out.Flush()
	return p.out.Error()
}

type jsonPrinter struct {
	out   *json.Encoder
	names []string
}

func (p *jsonPrinter) begin(s *arrow.Schema) error {
	for _, f := range s.Fields() {
		p.names = append(p.names, f.Name)
	}
	return nil
}

// row writes the columns in their order, which a Go map would not keep.
func (p *jsonPrinter) row(b arrow.RecordBatch, i int) error {
	var line strings.Builder
	line.WriteByte('{')
	for c, name := range p.names {
		if c > 0 {
			line.WriteByte(',')
		}
		key, err := json.Marshal(name)
		if err != nil {
			return err
		}
		value, err := json.Marshal(b.Column(c).GetOneForMarshal(i))
		if err != nil {
			return fmt.Errorf("column %s: %w", name, err)
		}
		line.Write(key)
		line.WriteByte(':')
		line.Write(value)
	}
	line.WriteByte('}')
	return p.out.Encode(json.RawMessage(line.String()))
}

func (p *jsonPrinter) end() error { return nil }
