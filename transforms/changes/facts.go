package changes

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/varve-lake/varve/internal/columntype"
	"github.com/varve-lake/varve/transforms"
	"github.com/varve-lake/varve/transforms/internal/rowkey"
	"github.com/varve-lake/varve/transforms/internal/vector"
	"github.com/varve-lake/varve/transforms/sql"
)

func number(n int64) string { return strconv.FormatInt(n, 10) }

// facts is what the queries are told of events, the table's rows and tombstones. Keys, sequences and contents are bytes
// that are equal, or in order, where the values are: so columns of every type can be keys, and compare as they do
// everywhere in Varve.
type facts struct {
	def Definition
	in  Input
}

// start is the type of the first column of the sequence, which of a history is where a state begins.
func (f *facts) start() arrow.DataType {
	at := f.in.Events.Schema().FieldIndices(f.def.Sequence[0])
	return f.in.Events.Schema().Field(at[0]).Type
}

// Schema implements sql.Input.
func (f *facts) Schema(_ context.Context, table string) (*arrow.Schema, error) {
	fields := []arrow.Field{
		{Name: "n", Type: arrow.PrimitiveTypes.Int64},
		{Name: "key", Type: arrow.BinaryTypes.Binary},
		{Name: "sequence", Type: arrow.BinaryTypes.Binary},
		{Name: "deletes", Type: arrow.FixedWidthTypes.Boolean},
		{Name: "content", Type: arrow.BinaryTypes.Binary},
	}
	if f.def.History {
		fields = append(fields, arrow.Field{Name: "start", Type: f.start(), Nullable: true})
		if table == heldTable {
			fields = append(fields,
				arrow.Field{Name: "stop", Type: f.start(), Nullable: true},
				arrow.Field{Name: "stop_sequence", Type: arrow.BinaryTypes.Binary})
		}
	}
	return arrow.NewSchema(fields, nil), nil
}

// Scan implements sql.Input.
func (f *facts) Scan(ctx context.Context, table string, _ sql.Version, columns []string, _ []sql.Filter, _ int64) (array.RecordReader, error) {
	whole, err := f.Schema(ctx, table)
	if err != nil {
		return nil, err
	}
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		fields[i] = whole.Field(whole.FieldIndices(c)[0])
	}
	schema := arrow.NewSchema(fields, nil)
	r := f.reading(table)
	if r.rows == nil {
		return array.NewRecordReader(schema, nil)
	}
	rows, err := r.rows.Open(ctx, r.columns())
	if err != nil {
		return nil, err
	}
	return transforms.Turn(ctx, rows, schema, func(ctx context.Context, batch arrow.RecordBatch) (arrow.RecordBatch, error) {
		return r.batch(ctx, batch, schema)
	}), nil
}

// reading turns rows of one of the tables into facts.
type reading struct {
	*facts
	table    string
	rows     transforms.Rewindable
	sequence []string // the columns that hold it
	next     int64    // number of the next row
}

func (f *facts) reading(table string) *reading {
	switch table {
	case heldTable:
		return &reading{facts: f, table: table, rows: f.in.Table, sequence: f.def.Kept}
	case tombstonesTable:
		return &reading{facts: f, table: table, rows: f.in.Tombstones, sequence: f.def.Kept}
	}
	return &reading{facts: f, table: table, rows: f.in.Events, sequence: f.def.Sequence, next: f.in.TableRows}
}

// columns are those to read.
func (r *reading) columns() []string {
	out := slices.Concat(r.def.Keys, r.sequence)
	if r.table != tombstonesTable && r.def.Ties != First {
		out = append(out, r.def.Content...)
	}
	if r.table == heldTable && r.def.History {
		out = append(out, r.def.ValidTo)
	}
	if r.table == eventsTable && r.def.Delete != nil {
		out = append(out, r.def.Delete.Columns()...)
	}
	slices.Sort(out)
	return slices.DeleteFunc(slices.Compact(out), func(c string) bool { return !r.rows.Schema().HasField(c) })
}

func (r *reading) batch(ctx context.Context, from arrow.RecordBatch, to *arrow.Schema) (arrow.RecordBatch, error) {
	n := int(from.NumRows())
	if r.table == eventsTable {
		if err := r.complete(from); err != nil {
			return nil, err
		}
	}
	deletes, err := r.deletes(ctx, from)
	if err != nil {
		return nil, err
	}
	columns := make([]arrow.Array, to.NumFields())
	for i, field := range to.Fields() {
		if columns[i], err = r.column(ctx, from, field, deletes); err != nil {
			return nil, err
		}
		defer columns[i].Release()
	}
	r.next += int64(n)
	return array.NewRecordBatch(to, columns, int64(n)), nil
}

func (r *reading) column(ctx context.Context, from arrow.RecordBatch, field arrow.Field, deletes vector.Bits) (arrow.Array, error) {
	n := int(from.NumRows())
	switch field.Name {
	case "n":
		numbers := vector.Alloc[int64](n)
		for i := range numbers {
			numbers[i] = r.next + int64(i)
		}
		return vector.FromValues(field.Type, numbers, nil), nil
	case "deletes":
		return vector.FromBools(deletes, n, nil), nil
	case "start":
		return r.converted(ctx, from, r.sequence[0], field.Type)
	case "stop":
		return r.converted(ctx, from, r.def.ValidTo, field.Type)
	case "key":
		return r.encoded(ctx, from, r.def.Keys, (*rowkey.Rows).Encode, nil)
	case "content":
		return r.content(ctx, from, deletes)
	case "stop_sequence":
		// Of a delete that only the end of a state tells of, the first column of the sequence is known. If there are more,
		// it comes after all of the key's events that agree in that.
		var suffix []byte
		if len(r.sequence) > 1 {
			suffix = []byte{0xff}
		}
		return r.encoded(ctx, from, []string{r.def.ValidTo}, order, suffix)
	}
	return r.encoded(ctx, from, r.sequence, order, nil)
}

func order(rows *rowkey.Rows, columns []arrow.Array, n int) error {
	return rows.EncodeOrder(columns, n, false)
}

// converted is a column, null if there is none, in a type.
func (r *reading) converted(ctx context.Context, from arrow.RecordBatch, name string, to arrow.DataType) (arrow.Array, error) {
	at := from.Schema().FieldIndices(name)
	if len(at) == 0 {
		return vector.Nulls(to, int(from.NumRows())), nil
	}
	a, err := vector.Convert(ctx, from.Column(at[0]), to)
	if err != nil {
		return nil, fmt.Errorf("column %q: %w", name, err)
	}
	return a, nil
}

// encode hands over columns in the types in which they are stored.
func (r *reading) encode(ctx context.Context, from arrow.RecordBatch, names []string, how func(*rowkey.Rows, []arrow.Array, int) error) (*rowkey.Rows, error) {
	columns := make([]arrow.Array, len(names))
	for i, name := range names {
		to := r.typeOf(name)
		a, err := r.converted(ctx, from, name, to)
		if err != nil {
			return nil, err
		}
		defer a.Release()
		columns[i] = a
	}
	rows := &rowkey.Rows{}
	return rows, how(rows, columns, int(from.NumRows()))
}

// typeOf is the type of a column in which events and table are compared: that of the events.
func (r *reading) typeOf(name string) arrow.DataType {
	events := r.in.Events.Schema()
	if name == r.def.ValidTo {
		name = r.def.Sequence[0]
	}
	if at := events.FieldIndices(r.def.event(name)); len(at) > 0 {
		return columntype.Storable(events.Field(at[0]).Type)
	}
	at := r.rows.Schema().FieldIndices(name)
	return columntype.Storable(r.rows.Schema().Field(at[0]).Type)
}

func (r *reading) encoded(ctx context.Context, from arrow.RecordBatch, names []string, how func(*rowkey.Rows, []arrow.Array, int) error, suffix []byte) (arrow.Array, error) {
	rows, err := r.encode(ctx, from, names, how)
	if err != nil {
		return nil, err
	}
	b := array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.Binary)
	defer b.Release()
	for i := range int(from.NumRows()) {
		if suffix == nil {
			b.Append(rows.Bytes(i))
		} else {
			b.Append(append(slices.Clone(rows.Bytes(i)), suffix...))
		}
	}
	return b.NewArray(), nil
}

// content is a digest of what an event says; that of a delete is empty.
func (r *reading) content(ctx context.Context, from arrow.RecordBatch, deletes vector.Bits) (arrow.Array, error) {
	b := array.NewBinaryBuilder(memory.DefaultAllocator, arrow.BinaryTypes.Binary)
	defer b.Release()
	n := int(from.NumRows())
	if r.table == tombstonesTable || r.def.Ties == First || len(r.def.Content) == 0 {
		for range n {
			b.Append(nil)
		}
		return b.NewArray(), nil
	}
	rows, err := r.encode(ctx, from, r.def.Content, (*rowkey.Rows).Encode)
	if err != nil {
		return nil, err
	}
	for i := range n {
		if deletes.Get(i) {
			b.Append([]byte{})
			continue
		}
		sum := sha256.Sum256(rows.Bytes(i))
		b.Append(sum[:16])
	}
	return b.NewArray(), nil
}

// deletes tells which events delete. A condition that is unknown does not hold.
func (r *reading) deletes(ctx context.Context, from arrow.RecordBatch) (vector.Bits, error) {
	n := int(from.NumRows())
	if r.table == tombstonesTable {
		return vector.Ones(n), nil
	}
	out := vector.NewBits(n)
	if r.table == heldTable || r.def.Delete == nil {
		return out, nil
	}
	a, err := r.def.Delete.Eval(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("delete_when: %w", err)
	}
	defer a.Release()
	if held, ok := a.(*array.Boolean); ok {
		for i := range n {
			if held.IsValid(i) && held.Value(i) {
				out.Set(i)
			}
		}
	}
	return out, nil
}

// complete makes sure that events have keys and sequences.
func (r *reading) complete(from arrow.RecordBatch) error {
	for _, column := range slices.Concat(r.def.Keys, r.sequence) {
		a := from.Column(from.Schema().FieldIndices(column)[0])
		if a.NullN() == 0 {
			continue
		}
		for i := range a.Len() {
			if a.IsNull(i) {
				return &NullError{Column: column, Event: describe(from, i, slices.Concat(r.def.Keys, r.sequence))}
			}
		}
	}
	return nil
}
