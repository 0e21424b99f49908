package merge

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/iceberg-go"
	icebergcatalog "github.com/apache/iceberg-go/catalog"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
	"github.com/stretchr/testify/require"

	"github.com/varve-lake/varve/tables/catalog"
	"github.com/varve-lake/varve/tables/commit"
	"github.com/varve-lake/varve/tables/datafile"
	"github.com/varve-lake/varve/tables/internal/rows"
)

// carryWorld is two tables with one history, except that the bytes of the second one's files never fit: its row groups count
// as too small to be kept. What copy-on-write makes of both has to be the same rows.
type carryWorld struct {
	t      *testing.T
	rng    *rand.Rand
	cat    *catalog.Catalog
	tables [2]table.Identifier
	tokens int
	nextID int
	log    []string
}

const (
	carriedTable = 0
	decodedTable = 1
	rowGroupKey  = "write.parquet.row-group-limit"
)

func carryColumns() *arrow.Schema {
	field := func(name string, t arrow.DataType) arrow.Field {
		return arrow.Field{Name: name, Type: t, Nullable: true}
	}
	return arrow.NewSchema([]arrow.Field{
		{Name: "id", Type: arrow.BinaryTypes.String},
		field("part", arrow.PrimitiveTypes.Int32),
		field("ts", &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}),
		field("name", arrow.BinaryTypes.String),
		field("f", arrow.PrimitiveTypes.Float64),
		field("g", arrow.PrimitiveTypes.Float32),
		field("dec", &arrow.Decimal128Type{Precision: 9, Scale: 2}),
		field("big", &arrow.Decimal128Type{Precision: 30, Scale: 4}),
		field("flag", arrow.FixedWidthTypes.Boolean),
		field("tags", arrow.ListOf(arrow.BinaryTypes.String)),
		field("st", arrow.StructOf(field("x", arrow.PrimitiveTypes.Int64), field("y", arrow.PrimitiveTypes.Float64))),
		field("m", arrow.MapOf(arrow.BinaryTypes.String, arrow.PrimitiveTypes.Int32)),
		field("bin", arrow.BinaryTypes.Binary),
	}, nil)
}

func newCarryWorld(t *testing.T, seed uint64) *carryWorld {
	w := &carryWorld{t: t, rng: rand.New(rand.NewPCG(seed, 11)), tables: [2]table.Identifier{{"ns", "carried"}, {"ns", "decoded"}}}
	dir := t.TempDir()
	var err error
	w.cat, err = catalog.Open(t.Context(), catalog.Config{URI: filepath.Join(dir, "catalog.db"), Warehouse: filepath.Join(dir, "warehouse")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.cat.Close()) })
	require.NoError(t, w.cat.CreateNamespace(t.Context(), table.Identifier{"ns"}, nil))
	schema, err := table.ArrowSchemaToIcebergWithFreshIDs(carryColumns(), false)
	require.NoError(t, err)
	version := []string{"2", "3"}[w.rng.IntN(2)]
	partition := [][2]string{{}, {"part", "identity"}, {"ts", "day"}, {"id", "bucket[3]"}, {"dec", "truncate[50]"}, {"name", "truncate[1]"}}[w.rng.IntN(6)]
	props := iceberg.Properties{"format-version": version, rowGroupKey: "8", "write.parquet.page-size-bytes": "64",
		"write.parquet.page-version": []string{"1", "2"}[w.rng.IntN(2)], "write.parquet.bloom-filter-enabled.column.id": "true", "read.split.target-size": "2000"}
	if w.rng.IntN(4) == 0 {
		props["write.target-file-size-bytes"] = "6000"
	}
	options := []icebergcatalog.CreateTableOpt{icebergcatalog.WithProperties(props)}
	if partition[0] != "" {
		transform, err := iceberg.ParseTransform(partition[1])
		require.NoError(t, err)
		spec, err := iceberg.NewPartitionSpecOpts(iceberg.AddPartitionFieldByName(partition[0], "p_"+partition[0], transform, schema, nil))
		require.NoError(t, err)
		options = append(options, icebergcatalog.WithPartitionSpec(&spec))
	}
	sorted := w.rng.IntN(4) == 0
	if sorted {
		order, err := table.NewSortOrder(1, []table.SortField{{SourceIDs: []int{schema.Field(3).ID}, Transform: iceberg.IdentityTransform{}, Direction: table.SortASC, NullOrder: table.NullsFirst}})
		require.NoError(t, err)
		options = append(options, icebergcatalog.WithSortOrder(order))
	}
	for _, ident := range w.tables {
		_, err = w.cat.CreateTable(t.Context(), ident, schema, options...)
		require.NoError(t, err)
	}
	w.note("format %s, partitioned by %s, sorted %v, target %s", version, partition, sorted, props["write.target-file-size-bytes"])
	return w
}

func (w *carryWorld) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf(format, args...))
}

func (w *carryWorld) load(which int) *table.Table {
	w.t.Helper()
	tbl, err := w.cat.LoadTable(w.t.Context(), w.tables[which])
	require.NoError(w.t, err)
	return tbl
}

func (w *carryWorld) commit(which int, plan commit.Planner) {
	w.t.Helper()
	w.tokens++
	_, err := commit.Commit(w.t.Context(), w.cat, w.tables[which], commit.ID{Writer: "test", Token: fmt.Sprint(w.tokens)}, plan, commit.Options{})
	require.NoError(w.t, err)
}

func (w *carryWorld) alter(do func(which int, tx *table.Transaction) error) {
	w.t.Helper()
	for which := range w.tables {
		w.commit(which, func(context.Context, *table.Table, int) (*commit.Change, error) {
			return &commit.Change{Alter: func(tx *table.Transaction) error { return do(which, tx) }}, nil
		})
	}
}

// limit sets how many rows a row group has; of the second table it is set so that no row group of before is worth keeping.
func (w *carryWorld) limit(decoded string) {
	w.alter(func(which int, tx *table.Transaction) error {
		return tx.SetProperties(iceberg.Properties{rowGroupKey: []string{"8", decoded}[which]})
	})
}

func (w *carryWorld) append(batch arrow.RecordBatch) {
	w.t.Helper()
	for which := range w.tables {
		w.commit(which, func(ctx context.Context, head *table.Table, _ int) (*commit.Change, error) {
			fs, err := head.FS(ctx)
			if err != nil {
				return nil, err
			}
			out, err := datafile.NewWriter(ctx, head.Metadata(), fs.(iceio.WriteFileIO), datafile.WriterOptions{})
			if err != nil {
				return nil, err
			}
			if err := out.Write(batch); err != nil {
				return nil, err
			}
			files, err := out.Close()
			return &commit.Change{Operation: commit.Append, AddData: files}, err
		})
	}
}

// columns are the table's columns now, as Arrow fields.
func (w *carryWorld) columns() *arrow.Schema {
	s, err := table.SchemaToArrowSchema(w.load(carriedTable).Schema(), nil, false, false)
	require.NoError(w.t, err)
	return s
}

// random makes rows of new ids.
func (w *carryWorld) random(schema *arrow.Schema, n int) arrow.RecordBatch {
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	for range n {
		for i, f := range schema.Fields() {
			if f.Name == "id" {
				b.Field(i).(*array.StringBuilder).Append(fmt.Sprintf("id%06d", w.nextID))
				w.nextID++
				continue
			}
			w.value(b.Field(i), f)
		}
	}
	return b.NewRecordBatch()
}

func (w *carryWorld) value(b array.Builder, f arrow.Field) {
	if f.Nullable && w.rng.IntN(5) == 0 {
		b.AppendNull()
		return
	}
	small := w.rng.IntN(4)
	floats := []float64{0, math.Copysign(0, -1), math.NaN(), math.Float64frombits(0x7ff8000000000123), 1.5, math.Inf(1)}
	switch b := b.(type) {
	case *array.Int32Builder:
		b.Append(int32(small))
	case *array.Int64Builder:
		b.Append(int64(small))
	case *array.TimestampBuilder:
		b.Append(arrow.Timestamp(int64(small) * 86_400_000_000 / 2))
	case *array.StringBuilder:
		b.Append([]string{"", "a", "bee", strings.Repeat("long ", 20)}[small])
	case *array.BinaryBuilder:
		b.Append([]byte{byte(small)})
	case *array.Float64Builder:
		b.Append(floats[w.rng.IntN(len(floats))])
	case *array.Float32Builder:
		b.Append(float32(floats[w.rng.IntN(len(floats))]))
	case *array.Decimal128Builder:
		b.Append(decimal128.FromI64(int64(small)*30 - 40))
	case *array.BooleanBuilder:
		b.Append(small > 1)
	case *array.StructBuilder:
		b.Append(true)
		for i, child := range f.Type.(*arrow.StructType).Fields() {
			w.value(b.FieldBuilder(i), child)
		}
	case *array.MapBuilder:
		b.Append(true)
		for i := range small {
			b.KeyBuilder().(*array.StringBuilder).Append(fmt.Sprint(i))
			w.value(b.ItemBuilder(), f.Type.(*arrow.MapType).ItemField())
		}
	case *array.ListBuilder:
		b.Append(true)
		for range small {
			w.value(b.ValueBuilder(), f.Type.(*arrow.ListType).ElemField())
		}
	default:
		w.t.Fatalf("no value for %T", b)
	}
}

// rows reads a table, in order of id. With row lineage, its columns are the last two.
func (w *carryWorld) rows(which int) arrow.RecordBatch {
	w.t.Helper()
	tbl := w.load(which)
	columns := columnNames(w.columns())
	if tbl.Metadata().Version() >= 3 {
		columns = append(columns, lineageColumns...)
	}
	r, err := datafile.Scan(w.t.Context(), tbl, datafile.ScanOptions{Columns: columns})
	require.NoError(w.t, err)
	defer r.Release()
	chunks := make([][]arrow.Array, r.Schema().NumFields())
	var refs []rows.Ref
	var ids []string
	for n := 0; r.Next(); n++ {
		batch := r.RecordBatch()
		for i, c := range batch.Columns() {
			c.Retain()
			chunks[i] = append(chunks[i], c)
		}
		for i := range int(batch.NumRows()) {
			refs = append(refs, rows.At(n, i))
			ids = append(ids, batch.Column(0).(*array.String).Value(i))
		}
	}
	require.NoError(w.t, r.Err())
	order := make([]int, len(ids))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(ids[a], ids[b]) })
	inOrder := make([]rows.Ref, len(refs))
	for i, o := range order {
		inOrder[i] = refs[o]
	}
	out := make([]arrow.Array, len(chunks))
	for i := range out {
		if len(chunks[i]) == 0 {
			out[i] = array.MakeArrayOfNull(memory.DefaultAllocator, r.Schema().Field(i).Type, 0)
			continue
		}
		out[i], err = rows.Gather(chunks[i], inOrder)
		require.NoError(w.t, err)
	}
	return array.NewRecordBatch(r.Schema(), out, int64(len(refs)))
}

// batchSource is a batch as the source of a merge, read by pieces.
type batchSource struct{ batch arrow.RecordBatch }

func (s batchSource) Schema() *arrow.Schema { return s.batch.Schema() }

func (s batchSource) Open(_ context.Context, names []string) (array.RecordReader, error) {
	var fields []arrow.Field
	var columns []arrow.Array
	for i, f := range s.batch.Schema().Fields() {
		if names == nil || slices.Contains(names, f.Name) {
			fields, columns = append(fields, f), append(columns, s.batch.Column(i))
		}
	}
	schema := arrow.NewSchema(fields, nil)
	whole := array.NewRecordBatch(schema, columns, s.batch.NumRows())
	var parts []arrow.RecordBatch
	for at := int64(0); at < whole.NumRows(); at += 16 {
		parts = append(parts, whole.NewSlice(at, min(at+16, whole.NumRows())))
	}
	return array.NewRecordReader(schema, parts)
}

// source mixes rows of the target, in which some values are others than there, with new rows. Its column sel is random.
func (w *carryWorld) source(target arrow.RecordBatch) batchSource {
	share := []float64{0.02, 0.1, 0.5, 1}[w.rng.IntN(4)]
	other := []float64{0, 0.01, 0.3}[w.rng.IntN(3)]
	columns := w.columns()
	random := w.random(columns, int(target.NumRows())+w.rng.IntN(10))
	refs := make([][]rows.Ref, columns.NumFields())
	n := int(random.NumRows())
	kept := 0
	for r := range n {
		if r < int(target.NumRows()) && w.rng.Float64() >= share {
			continue
		}
		kept++
		for c, f := range columns.Fields() {
			ref := rows.At(1, r)
			if r < int(target.NumRows()) && (f.Name == "id" || w.rng.Float64() >= other) {
				ref = rows.At(0, r)
			}
			refs[c] = append(refs[c], ref)
		}
	}
	fields, arrays := columns.Fields(), []arrow.Array{}
	for c := range fields {
		a, err := rows.Gather([]arrow.Array{target.Column(c), random.Column(c)}, refs[c])
		require.NoError(w.t, err)
		arrays = append(arrays, a)
	}
	sel := array.NewInt32Builder(memory.DefaultAllocator)
	for range kept {
		sel.Append(w.rng.Int32N(10))
	}
	fields = append(fields, arrow.Field{Name: "sel", Type: arrow.PrimitiveTypes.Int32})
	w.note("  source of %d rows, %v of the target's, %v of values others", kept, share, other)
	return batchSource{array.NewRecordBatch(arrow.NewSchema(fields, nil), append(arrays, sel.NewArray()), int64(kept))}
}

// carryExpression reads one column.
type carryExpression struct {
	column string
	kind   arrow.DataType
	eval   func(a arrow.Array) arrow.Array
}

func (e carryExpression) Columns() []string    { return []string{e.column} }
func (e carryExpression) Type() arrow.DataType { return e.kind }
func (e carryExpression) Eval(_ context.Context, batch arrow.RecordBatch) (arrow.Array, error) {
	return e.eval(batch.Column(batch.Schema().FieldIndices(e.column)[0])), nil
}

// below is column < n, for whole numbers.
func below(column string, n int64) Expression {
	return carryExpression{column, arrow.FixedWidthTypes.Boolean, func(a arrow.Array) arrow.Array {
		b := array.NewBooleanBuilder(memory.DefaultAllocator)
		for i := range a.Len() {
			if a.IsNull(i) {
				b.AppendNull()
				continue
			}
			v, _ := strconv.ParseInt(a.ValueStr(i), 10, 64)
			b.Append(v < n)
		}
		return b.NewArray()
	}}
}

func column(name string, t arrow.DataType) Expression {
	return carryExpression{name, t, func(a arrow.Array) arrow.Array { a.Retain(); return a }}
}

// clauses are random ones: any of updating all columns, some or none, and deleting.
func (w *carryWorld) options() Options {
	o := Options{On: []string{"id"}, Strategy: CopyOnWrite, NotMatched: []Clause{{Action: Insert, All: true}}, Parallelism: 1 + w.rng.IntN(3), TempDir: w.t.TempDir()}
	if w.rng.IntN(3) == 0 {
		o.Matched = append(o.Matched, Clause{If: below("s.sel", 2), Action: Delete})
	}
	update := Clause{Action: Update, All: w.rng.IntN(2) == 0}
	if w.rng.IntN(2) == 0 {
		update.If = below("s.sel", 8)
	}
	for _, f := range w.columns().Fields() {
		if !update.All && w.rng.IntN(3) == 0 || w.rng.IntN(12) == 0 {
			from := []string{"s.", "t."}[w.rng.IntN(2)]
			update.Set = append(update.Set, Assign{Column: f.Name, Value: column(from+f.Name, f.Type)})
		}
	}
	if !update.All && len(update.Set) == 0 {
		update.All = true
	}
	o.Matched = append(o.Matched, update)
	if w.rng.IntN(5) == 0 {
		o.NotMatchedBySource = []Clause{{If: below("t.part", 1), Action: []Action{Delete, Update}[w.rng.IntN(2)]}}
		if o.NotMatchedBySource[0].Action == Update {
			o.NotMatchedBySource[0].Set = []Assign{{Column: "name", Value: column("t.id", arrow.BinaryTypes.String)}}
		}
	}
	if w.rng.IntN(6) == 0 {
		o.MemoryLimit = 1 // the source's rows are read from disk, again and again
	}
	return o
}

func (w *carryWorld) merge(which int, source Source, o Options) Stats {
	w.t.Helper()
	plan, err := New(source, o)
	require.NoError(w.t, err)
	defer func() { require.NoError(w.t, plan.Close()) }()
	w.commit(which, plan.Change)
	return plan.Stats()
}

// evolve changes the schema or the partition spec.
func (w *carryWorld) evolve() {
	what := w.rng.IntN(4)
	w.note("  evolve %d", what)
	columns := columnNames(w.columns())
	w.alter(func(_ int, tx *table.Transaction) error {
		u := tx.UpdateSchema(true, true)
		switch {
		case what == 0 && slices.Contains(columns, "flag"):
			return u.RenameColumn([]string{"flag"}, "flagged").Commit()
		case what == 1 && !slices.Contains(columns, "more"):
			return u.AddColumn([]string{"more"}, iceberg.PrimitiveTypes.Int64, "", false, nil).Commit()
		case what == 2 && slices.Contains(columns, "bin"):
			return u.DeleteColumn([]string{"bin"}).Commit()
		case what == 3:
			return u.UpdateColumn([]string{"g"}, table.ColumnUpdate{FieldType: iceberg.Optional[iceberg.Type]{Val: iceberg.PrimitiveTypes.Float64, Valid: true}}).Commit()
		}
		return tx.SetProperties(iceberg.Properties{"evolved": "no"})
	})
}
