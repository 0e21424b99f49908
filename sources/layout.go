package sources

import (
	"fmt"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/sources/cell"
)

// role is where a column's values come from.
type role int

const (
	fromData role = iota // the file's content
	constant             // the same text in every row: the file's URI, a path part, the time of loading
	rowNumber
	rescued
)

// slot is a column that was asked for.
type slot struct {
	field    arrow.Field
	role     role
	value    []byte // of a constant; nil is null
	repeated arrow.Array
}

// layout is what a reader must deliver: the columns asked for, and where each comes from.
type layout struct {
	schema *arrow.Schema
	slots  []slot
	data   []int          // the slots that come from the file's content
	index  map[string]int // of those, by name
	rescue int            // the slot of _rescued, or -1
	mem    memory.Allocator
}

func newLayout(file File, schema *arrow.Schema, opts Options) (*layout, error) {
	l := &layout{schema: schema, index: map[string]int{}, rescue: -1, mem: opts.Memory}
	var parts map[string]string
	if opts.HiveColumns {
		parts = hiveParts(file.URI)
	}
	for i, f := range schema.Fields() {
		s := slot{field: f}
		part, inPath := parts[f.Name]
		switch {
		case f.Name == SourceFileColumn:
			s.role, s.value = constant, []byte(file.URI)
		case f.Name == LoadedAtColumn:
			s.role = constant
			if !opts.LoadedAt.IsZero() {
				s.value = []byte(stamp(opts.LoadedAt))
			}
		case f.Name == SourceRowColumn:
			s.role = rowNumber
			if f.Type.ID() != arrow.INT64 {
				return nil, &SchemaError{Columns: []string{f.Name}, Reason: "column " + f.Name + " is a long"}
			}
		case f.Name == RescuedColumn:
			s.role, l.rescue = rescued, i
			if f.Type.ID() != arrow.STRING {
				return nil, &SchemaError{Columns: []string{f.Name}, Reason: "column " + f.Name + " is a string"}
			}
		case inPath:
			s.role, s.value = constant, hiveValue(part)
		default:
			if _, twice := l.index[f.Name]; twice {
				return nil, &SchemaError{Columns: []string{f.Name}, Reason: fmt.Sprintf("column %q comes twice in the schema", f.Name)}
			}
			l.data = append(l.data, i)
			l.index[f.Name] = i
		}
		l.slots = append(l.slots, s)
	}
	return l, l.checkConstants(file)
}

// find gives the slot of a column of the file, or -1. Known is false for a column that the schema lacks; one that the
// path gives too is known and has no slot, since the path's value wins.
func (l *layout) find(name string) (at int, known bool) {
	if at, ok := l.index[name]; ok {
		return at, true
	}
	known = slices.ContainsFunc(l.slots, func(s slot) bool { return s.role == constant && s.field.Name == name })
	return -1, known
}

// checkNames checks the names of a file's columns.
func checkNames(file File, names []string) error {
	if len(names) > MaxColumns {
		return &SchemaError{File: file.URI, Reason: fmt.Sprintf("has %d columns, more than %d", len(names), MaxColumns)}
	}
	seen := make(map[string]int, len(names))
	for i, name := range names {
		if reserved[name] {
			return &SchemaError{File: file.URI, Columns: []string{name}, Reason: fmt.Sprintf("column %q has a name that is reserved for where a row comes from", name)}
		}
		if before, twice := seen[name]; twice {
			return &SchemaError{File: file.URI, Columns: []string{name}, Reason: fmt.Sprintf("columns %d and %d are both named %q", before+1, i+1, name)}
		}
		seen[name] = i
	}
	return nil
}

// reserved are the names of the columns that file sources add.
var reserved = map[string]bool{SourceFileColumn: true, SourceRowColumn: true, LoadedAtColumn: true, RescuedColumn: true}

// checkConstants makes each constant once, so that a folder's name that does not fit is found before any row is read.
func (l *layout) checkConstants(file File) error {
	for i := range l.slots {
		s := &l.slots[i]
		if s.role != constant {
			continue
		}
		if err := s.repeat(1, l.mem); err != nil {
			return &SchemaError{File: file.URI, Columns: []string{s.field.Name}, Reason: fmt.Sprintf("column %q of the path: %v", s.field.Name, err)}
		}
	}
	return nil
}

// repeat makes sure that a constant's array is at least n long.
func (s *slot) repeat(n int, mem memory.Allocator) error {
	if s.repeated != nil && s.repeated.Len() >= n {
		return nil
	}
	b := array.NewBuilder(mem, s.field.Type)
	defer b.Release()
	if s.value == nil {
		b.AppendNulls(n)
	} else {
		text, err := cell.NewText(b)
		if err != nil {
			return err
		}
		b.Reserve(n)
		for range n {
			if err := text(s.value); err != nil {
				return err
			}
		}
	}
	if s.repeated != nil {
		s.repeated.Release()
	}
	s.repeated = b.NewArray()
	return nil
}

// assemble makes a batch of the columns that are not generated, by slot, and the rows' numbers. It takes over the
// columns; a nil one is all null.
func (l *layout) assemble(columns []arrow.Array, numbers []int64) (arrow.RecordBatch, error) {
	n := len(numbers)
	defer func() {
		for _, c := range columns {
			if c != nil {
				c.Release()
			}
		}
	}()
	for i := range l.slots {
		s := &l.slots[i]
		switch {
		case s.role == constant:
			if err := s.repeat(max(n, min(2*n, maxRows)), l.mem); err != nil {
				return nil, err
			}
			columns[i] = array.NewSlice(s.repeated, 0, int64(n))
		case s.role == rowNumber:
			b := array.NewInt64Builder(l.mem)
			b.AppendValues(numbers, nil)
			columns[i] = b.NewArray()
			b.Release()
		case columns[i] == nil:
			columns[i] = array.MakeArrayOfNull(l.mem, s.field.Type, n)
		}
	}
	return array.NewRecordBatch(l.schema, columns, int64(n)), nil
}

func (l *layout) close() {
	for i := range l.slots {
		if a := l.slots[i].repeated; a != nil {
			a.Release()
			l.slots[i].repeated = nil
		}
	}
}
