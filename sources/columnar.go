package sources

import (
	"encoding/json"
	"fmt"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/sources/cell"
	"github.com/varve-lake/varve/sources/conform"
	"github.com/varve-lake/varve/sources/sniff"
)

// columnar turns batches as a typed file has them into batches as they were asked for.
type columnar struct {
	layout  *layout
	faults  *faults
	file    []arrow.Field // the file's columns
	wanted  []int         // those of them that are read, ascending
	targets []target      // beside wanted
	rescue  bool
	row     int64 // rows before the next batch
}

// target is what becomes of a column of the file.
type target struct {
	slot    int // -1: the schema lacks it
	convert conform.Convert
	rescue  bool // it goes to _rescued
}

func newColumnar(in *input, l *layout, fields []arrow.Field, opts Options, observer Observer, newColumns func([]string) error) (*columnar, error) {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	if err := checkNames(in.file, names); err != nil {
		return nil, err
	}
	c := &columnar{layout: l, faults: newFaults(in.file, opts, observer), file: fields, rescue: opts.SchemaMode == Rescue && l.rescue >= 0}
	var unknown []string // columns, and paths of nested fields
	for i, f := range fields {
		at, known := l.find(f.Name)
		t := target{slot: at}
		switch {
		case at >= 0:
			convert, err := conform.New(f.Type, l.slots[at].field.Type)
			if err != nil {
				return nil, &SchemaError{File: in.file.URI, Columns: []string{f.Name}, Reason: fmt.Sprintf("column %q: %v", f.Name, err)}
			}
			t.convert = convert
			for _, path := range sniff.Missing(l.slots[at].field.Type, f.Type) {
				unknown = append(unknown, f.Name+"."+path)
				t.rescue = c.rescue
			}
		case known:
			continue
		default:
			unknown = append(unknown, f.Name)
			if t.rescue = c.rescue; !c.rescue {
				continue
			}
		}
		c.wanted = append(c.wanted, i)
		c.targets = append(c.targets, t)
	}
	return c, unknownColumns(in.file, opts.SchemaMode, unknown, newColumns)
}

// batch converts the wanted columns of the next n rows; the caller keeps them.
func (c *columnar) batch(columns []arrow.Array, n int) (arrow.RecordBatch, error) {
	out := make([]arrow.Array, len(c.layout.slots))
	bad, err := c.convert(columns, out)
	if err == nil && c.rescue {
		out[c.layout.rescue] = c.rescued(columns, n)
	}
	numbers := make([]int64, n)
	for i := range numbers {
		numbers[i] = c.row + int64(i) + 1
	}
	c.row += int64(n)
	if err == nil && len(bad) > 0 {
		var faulty []int
		if faulty, err = c.reject(bad, columns); err == nil {
			err = leaveOut(out, faulty, c.layout)
			numbers = without(numbers, faulty)
		}
	}
	if err != nil {
		for _, a := range out {
			if a != nil {
				a.Release()
			}
		}
		return nil, err
	}
	return c.layout.assemble(out, numbers)
}

// convert fills the slots that columns of the file go to, and gives the first fault of each row that has one.
func (c *columnar) convert(columns, out []arrow.Array) (map[int]Rejected, error) {
	bad := map[int]Rejected{}
	for i, t := range c.targets {
		if t.slot < 0 {
			continue
		}
		name := c.file[c.wanted[i]].Name
		converted, err := t.convert(c.layout.mem, columns[i], func(row int, m *cell.Mismatch) {
			if _, already := bad[row]; !already {
				bad[row] = Rejected{Row: c.row + int64(row) + 1, Column: name, Reason: m.Error()}
			}
		})
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", name, err)
		}
		out[t.slot] = converted
	}
	return bad, nil
}

// reject reports the rows that have a value that does not fit, in their order.
func (c *columnar) reject(bad map[int]Rejected, columns []arrow.Array) ([]int, error) {
	faulty := make([]int, 0, len(bad))
	for row := range bad {
		faulty = append(faulty, row)
	}
	sort.Ints(faulty)
	for _, row := range faulty {
		if err := c.faults.row(bad[row], c.object(columns, row, func(int) bool { return true })); err != nil {
			return nil, err
		}
	}
	return faulty, nil
}

// rescued makes the column of the fields that the schema lacks.
func (c *columnar) rescued(columns []arrow.Array, n int) arrow.Array {
	b := array.NewStringBuilder(c.layout.mem)
	defer b.Release()
	for row := range n {
		// A column that the schema has is kept only where it holds something.
		extra := func(i int) bool {
			return c.targets[i].rescue && (c.targets[i].slot < 0 || columns[i].IsValid(row))
		}
		if object := c.object(columns, row, extra); len(object) > 0 {
			b.BinaryBuilder.Append(object)
		} else {
			b.AppendNull()
		}
	}
	return b.NewArray()
}

// object is a row as a JSON object, of those columns that are chosen; nil if there are none.
func (c *columnar) object(columns []arrow.Array, row int, choose func(int) bool) (object []byte) {
	for i := range c.targets {
		if !choose(i) {
			continue
		}
		object = append(object, "{,"[min(len(object), 1)])
		object = append(appendJSONString(object, c.file[c.wanted[i]].Name), ':')
		value, err := json.Marshal(columns[i].GetOneForMarshal(row))
		if err != nil { // NaN and infinity have no JSON
			value, _ = json.Marshal(columns[i].ValueStr(row))
		}
		object = append(object, value...)
	}
	if object == nil {
		return nil
	}
	return append(object, '}')
}

// tellFields reports what is new of a file's typed columns: whole ones, and those that have new fields inside.
func tellFields(l *layout, fields []arrow.Field, tell func([]arrow.Field)) func([]string) error {
	if tell == nil {
		return nil
	}
	return func([]string) error {
		var added []arrow.Field
		for _, f := range fields {
			at, known := l.find(f.Name)
			switch {
			case !known:
				added = append(added, arrow.Field{Name: f.Name, Type: columntype.Storable(f.Type), Nullable: true})
			case at >= 0 && len(sniff.Missing(l.slots[at].field.Type, f.Type)) > 0:
				extended := l.slots[at].field
				extended.Type = sniff.Extend(extended.Type, f.Type)
				added = append(added, extended)
			}
		}
		tell(added)
		return nil
	}
}
