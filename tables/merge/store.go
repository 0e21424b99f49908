package merge

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/tables/internal/rows"
)

// store holds columns of the source in memory, for access by row number. It is
// filled by one goroutine and then only read.
type store struct {
	fields []arrow.Field
	chunks [][]arrow.Array // of each column
	starts []uint32        // first row of each chunk, and the end
	bytes  int64
}

func newStore(schema *arrow.Schema, columns []string) *store {
	s := &store{chunks: make([][]arrow.Array, len(columns)), starts: []uint32{0}}
	for _, c := range columns {
		f, _ := fieldOf(schema, c)
		s.fields = append(s.fields, f)
	}
	return s
}

// append adds rows; columns are the store's own, in its order.
func (s *store) append(columns []arrow.Array, n int) {
	for i, c := range columns {
		c.Retain()
		s.chunks[i] = append(s.chunks[i], c)
		s.bytes += sizeOf(c.Data())
	}
	s.starts = append(s.starts, s.starts[len(s.starts)-1]+uint32(n))
}

func sizeOf(d arrow.ArrayData) int64 {
	n := int64(0)
	for _, b := range d.Buffers() {
		if b != nil {
			n += int64(b.Len())
		}
	}
	for _, c := range d.Children() {
		n += sizeOf(c)
	}
	return n
}

// refs names rows of the source as chunk and row.
func (s *store) refs(numbers []uint32) []rows.Ref {
	out := make([]rows.Ref, len(numbers))
	chunk := 0
	for i, n := range numbers {
		if n == noSource {
			out[i] = rows.Null
			continue
		}
		if n < s.starts[chunk] || n >= s.starts[chunk+1] {
			chunk = sort.Search(len(s.starts)-1, func(c int) bool { return s.starts[c+1] > n })
		}
		out[i] = rows.At(chunk, int(n-s.starts[chunk]))
	}
	return out
}

// take gathers rows of some of the columns. Their names get a prefix.
func (s *store) take(prefix string, columns []string, numbers []uint32) (*frame, error) {
	refs := s.refs(numbers)
	out := newFrame(len(numbers))
	for _, c := range columns {
		i := slices.IndexFunc(s.fields, func(f arrow.Field) bool { return f.Name == c })
		a, err := gather(s.fields[i].Type, s.chunks[i], refs)
		if err != nil {
			out.release()
			return nil, fmt.Errorf("source column %s: %w", c, err)
		}
		out.add(prefix+c, a)
	}
	return out, nil
}

// gather is rows.Gather, which needs a chunk to know the type by.
func gather(t arrow.DataType, chunks []arrow.Array, refs []rows.Ref) (arrow.Array, error) {
	if len(chunks) == 0 {
		return array.MakeArrayOfNull(memory.DefaultAllocator, t, len(refs)), nil
	}
	return rows.Gather(chunks, refs)
}

func (s *store) release() {
	for _, c := range s.chunks {
		rows.Release(c)
	}
	s.chunks = nil
}

// frame is a set of named columns of equal length, as expressions take them.
type frame struct {
	n       int
	names   []string
	columns []arrow.Array
}

func newFrame(n int) *frame { return &frame{n: n} }

// add takes over the column.
func (f *frame) add(name string, a arrow.Array) {
	f.names = append(f.names, name)
	f.columns = append(f.columns, a)
}

// column is a column by name, nil if there is none.
func (f *frame) column(name string) arrow.Array {
	if i := slices.Index(f.names, name); i >= 0 {
		return f.columns[i]
	}
	return nil
}

// join adds another frame's columns, which stay the other's.
func (f *frame) join(other *frame) *frame {
	out := &frame{n: f.n, names: slices.Clone(f.names), columns: slices.Clone(f.columns)}
	out.names, out.columns = append(out.names, other.names...), append(out.columns, other.columns...)
	return out
}

// pick gathers some rows of all columns.
func (f *frame) pick(index []int32) (*frame, error) {
	out := newFrame(len(index))
	refs := make([]rows.Ref, len(index))
	for i, x := range index {
		refs[i] = rows.At(0, int(x))
	}
	for i, c := range f.columns {
		a, err := rows.Gather([]arrow.Array{c}, refs)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", f.names[i], err)
		}
		out.add(f.names[i], a)
	}
	return out, nil
}

// concat lays frames of the same columns behind each other.
func concat(parts []*frame) (*frame, error) {
	n := 0
	var refs []rows.Ref
	for p, f := range parts {
		for i := range f.n {
			refs = append(refs, rows.At(p, i))
		}
		n += f.n
	}
	out := newFrame(n)
	if len(parts) == 0 {
		return out, nil
	}
	for c, name := range parts[0].names {
		chunks := make([]arrow.Array, len(parts))
		for p, f := range parts {
			chunks[p] = f.columns[c]
		}
		a, err := rows.Gather(chunks, refs)
		if err != nil {
			out.release()
			return nil, fmt.Errorf("column %s: %w", name, err)
		}
		out.add(name, a)
	}
	return out, nil
}

// batch is the frame as an Arrow record batch.
func (f *frame) batch() arrow.RecordBatch {
	var fields []arrow.Field
	var columns []arrow.Array
	for i, n := range f.names {
		if slices.Index(f.names, n) == i { // a column that was read twice is there once: an expression finds it by name
			fields = append(fields, arrow.Field{Name: n, Type: f.columns[i].DataType(), Nullable: true})
			columns = append(columns, f.columns[i])
		}
	}
	return array.NewRecordBatch(arrow.NewSchema(fields, nil), columns, int64(f.n))
}

func (f *frame) release() { rows.Release(f.columns) }

// eval computes an expression over the frame.
func (f *frame) eval(ctx context.Context, e Expression) (arrow.Array, error) {
	batch := f.batch()
	defer batch.Release()
	out, err := e.Eval(ctx, batch)
	if err != nil {
		return nil, err
	}
	if out.Len() != f.n {
		out.Release()
		return nil, fmt.Errorf("an expression gave %d values for %d rows", out.Len(), f.n)
	}
	return out, nil
}

// holds evaluates a condition: true where it is true, not where it is unknown.
func (f *frame) holds(ctx context.Context, e Expression) ([]bool, error) {
	a, err := f.eval(ctx, e)
	if err != nil {
		return nil, err
	}
	defer a.Release()
	out := make([]bool, f.n)
	if b, ok := a.(*array.Boolean); ok {
		for i := range out {
			out[i] = b.IsValid(i) && b.Value(i)
		}
	}
	return out, nil
}
