package sources

import (
	"fmt"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/varve-lake/varve/sources/cell"
)

// The bounds of a batch. A row counts for its text and for a word a column, roughly what it takes in Arrow.
const (
	maxRows  = 64 << 10
	maxBytes = 24 << 20
)

// rows gathers rows, for the formats that are read a row at a time. A row's values are appended to builders one by
// one; if one of them turns out not to fit, the row is marked and left out when the batch is made.
type rows struct {
	layout   *layout
	builders []array.Builder // by slot; nil for those that no one appends to
	numbers  []int64         // the records' numbers, of faulty rows too
	faulty   []int           // rows to leave out, ascending
	bytes    int
	last     int // rows of the last batch: room to reserve
	wide     int // bytes that a row takes whatever its text
}

func newRows(l *layout) *rows {
	r := &rows{layout: l, builders: make([]array.Builder, len(l.slots))}
	for i, s := range l.slots {
		if s.role == fromData || s.role == rescued {
			r.builders[i] = array.NewBuilder(l.mem, s.field.Type)
		}
	}
	r.wide = 8*len(l.slots) + 1
	return r
}

// room tells whether the batch takes another row.
func (r *rows) room() bool { return len(r.numbers) < maxRows && r.bytes < maxBytes }

// end ends a row of which every builder has got an element.
func (r *rows) end(number int64, size int) {
	r.numbers = append(r.numbers, number)
	r.bytes += size + r.wide
}

// skip counts a record of which nothing was appended, so that a batch ends, and its reader looks up, in bounded time.
func (r *rows) skip(size int) { r.bytes += size + r.wide }

// endFaulty ends a row that is to be left out.
func (r *rows) endFaulty(number int64, size int) {
	r.faulty = append(r.faulty, len(r.numbers))
	r.end(number, size)
}

// batch makes a batch of the rows gathered, and starts over. Builders in absent got no element and become null.
func (r *rows) batch(absent map[int]bool) (arrow.RecordBatch, error) {
	columns := make([]arrow.Array, len(r.builders))
	for i, b := range r.builders {
		if b == nil || absent[i] {
			continue
		}
		columns[i] = b.NewArray()
	}
	numbers := r.numbers
	if len(r.faulty) > 0 {
		numbers = without(numbers, r.faulty)
		if err := leaveOut(columns, r.faulty, r.layout); err != nil {
			return nil, err
		}
	}
	batch, err := r.layout.assemble(columns, numbers)
	r.last = len(r.numbers)
	r.numbers, r.faulty, r.bytes = r.numbers[:0], r.faulty[:0], 0
	return batch, err
}

// reserve makes room in the builders for as many rows as the last batch had.
func (r *rows) reserve() {
	for _, b := range r.builders {
		if b != nil && r.last > 0 {
			b.Reserve(r.last)
		}
	}
}

func (r *rows) close() {
	for _, b := range r.builders {
		if b != nil {
			b.Release()
		}
	}
	r.layout.close()
}

func without(numbers []int64, faulty []int) []int64 {
	kept := make([]int64, 0, len(numbers)-len(faulty))
	from := 0
	for _, i := range faulty {
		kept = append(kept, numbers[from:i]...)
		from = i + 1
	}
	return append(kept, numbers[from:]...)
}

// leaveOut takes rows out of columns: what lies between them is put together again.
func leaveOut(columns []arrow.Array, faulty []int, l *layout) error {
	for i, c := range columns {
		if c == nil {
			continue
		}
		kept, err := cut(c, faulty, l)
		if err != nil {
			return fmt.Errorf("column %q: leave malformed rows out: %w", l.slots[i].field.Name, err)
		}
		c.Release()
		columns[i] = kept
	}
	return nil
}

func cut(c arrow.Array, faulty []int, l *layout) (arrow.Array, error) {
	var parts []arrow.Array
	defer func() {
		for _, p := range parts {
			p.Release()
		}
	}()
	from := 0
	for _, i := range append(faulty[:len(faulty):len(faulty)], c.Len()) {
		if i > from {
			parts = append(parts, array.NewSlice(c, int64(from), int64(i)))
		}
		from = i + 1
	}
	switch len(parts) {
	case 0:
		return array.NewSlice(c, 0, 0), nil
	case 1:
		parts[0].Retain()
		return parts[0], nil
	}
	return array.Concatenate(parts, l.mem)
}

// shownRecord is how many characters of a rejected record are kept.
const shownRecord = 4096

// faults deals with malformed rows by the policy.
type faults struct {
	file   string
	policy string
	reject func(Rejected) error
}

func newFaults(file File, opts Options, observer Observer) *faults {
	return &faults{file: file.URI, policy: opts.Malformed, reject: observer.Reject}
}

// row reports a malformed row. Nil means that reading goes on without it.
func (f *faults) row(r Rejected, raw []byte) error {
	if f.policy == Fail {
		return &MalformedError{File: f.file, Row: r.Row, Line: r.Line, Column: r.Column, Reason: r.Reason}
	}
	if f.reject == nil {
		return nil
	}
	r.File = f.file
	r.Raw = strings.ToValidUTF8(cell.Shorten(raw, shownRecord), "\uFFFD")
	return f.reject(r)
}
