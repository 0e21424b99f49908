// Package lakesql lets SQL queries read the lake: it is transforms/sql's Input over package tables.
package lakesql

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/iceberg-go"
	"github.com/google/uuid"

	"github.com/varve-lake/varve/tables"
	"github.com/varve-lake/varve/transforms/sql"
)

// Input reads tables of a lake. Each table is loaded once, so that a query that names it twice sees one version of it;
// Pinned versions take the place of the head.
type Input struct {
	lake   *tables.Lake
	pinned map[string]int64 // table: snapshot id; 0 is a table that had no snapshot
	// directRows is how many rows make it worth while to let DuckDB read files itself: looking into all their footers first costs
	// more than it saves for a few, and a stream reads single pages.
	directRows int64

	mu     sync.Mutex
	loaded map[string]*tables.Table
}

// New makes an Input. pinned may be nil; it names the snapshots to read in place of heads.
func New(lake *tables.Lake, pinned map[string]int64) *Input {
	return &Input{lake: lake, pinned: pinned, loaded: map[string]*tables.Table{}, directRows: 1 << 20}
}

var (
	_ sql.VersionedInput = (*Input)(nil)
	_ sql.SizedInput     = (*Input)(nil)
	_ sql.DirectInput    = (*Input)(nil)
)

// Folders are those of the lake that DuckDB may read files in, for sql.Options.
func Folders(lake *tables.Lake) []string {
	if folder, ok := lake.Folder(); ok {
		return []string{folder}
	}
	return nil
}

// Rows is what the snapshot's summary says of its rows; what position deletes mark is still in it, which is near enough
// to order joins by.
func (in *Input) Rows(ctx context.Context, table string, version sql.Version) (int64, bool) {
	t, v, err := in.at(ctx, table, version)
	if err != nil {
		return 0, false
	}
	s, err := t.At(v)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(s.Summary["total-records"], 10, 64)
	return n, err == nil
}

func (in *Input) table(ctx context.Context, name string) (*tables.Table, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if t, ok := in.loaded[name]; ok {
		return t, nil
	}
	t, err := in.lake.Table(ctx, name)
	if err != nil {
		return nil, err
	}
	in.loaded[name] = t
	return t, nil
}

// Schema is the schema of the table's head, or of the pinned snapshot.
func (in *Input) Schema(ctx context.Context, table string) (*arrow.Schema, error) {
	return in.SchemaAt(ctx, table, sql.Version{})
}

// SchemaAt is the schema that a version's rows are read with.
func (in *Input) SchemaAt(ctx context.Context, table string, version sql.Version) (*arrow.Schema, error) {
	t, v, err := in.at(ctx, table, version)
	if err != nil {
		return nil, err
	}
	return t.SchemaAt(v)
}

// at is the table to read a version from, and the version to read of it. One that had to be loaded from the past is kept.
func (in *Input) at(ctx context.Context, name string, version sql.Version) (*tables.Table, tables.Version, error) {
	t, err := in.table(ctx, name)
	if err != nil {
		return nil, tables.Version{}, err
	}
	v := in.version(t, version)
	key := name + " at " + v.String()
	in.mu.Lock()
	defer in.mu.Unlock()
	if then, ok := in.loaded[key]; ok {
		return then, tables.Version{}, nil
	}
	then, of, err := t.AsOf(ctx, v)
	if err == nil && then != t {
		in.loaded[key] = then
	}
	return then, of, err
}

// version is what to read of a table. A pinned snapshot that is still the head is read as the head: a column may have been
// added since without a snapshot of its own, and queries are checked against it.
func (in *Input) version(t *tables.Table, v sql.Version) tables.Version {
	out := tables.Version{SnapshotID: v.SnapshotID, Timestamp: v.Timestamp, Ref: v.Ref}
	id, pinned := in.pinned[t.Name()]
	if head, ok := t.Head(); pinned && out.IsHead() && id != 0 && !(ok && head.ID == id) {
		out.SnapshotID = &id
	}
	return out
}

// Scan streams rows, with as much of the filters as Iceberg can express. DuckDB takes texts for UTF-8 without a look, and some of its
// functions break on others: these are an error.
func (in *Input) Scan(ctx context.Context, table string, version sql.Version, columns []string, filters []sql.Filter, limit int64) (array.RecordReader, error) {
	t, v, err := in.at(ctx, table, version)
	if err != nil {
		return nil, err
	}
	if id, ok := in.pinned[table]; ok && id == 0 && version == (sql.Version{}) {
		return in.empty(t, columns)
	}
	schema, err := t.SchemaAt(v)
	if err != nil {
		return nil, err
	}
	filter, whole := predicate(filters, schema)
	if !whole {
		limit = 0 // rows that a left-out filter drops must not count
	}
	return t.Scan(ctx, tables.ScanOptions{Version: v, Columns: columns, Filter: filter, Limit: limit, ValidTexts: true})
}

// Direct gives the table's files where they are plain and many; see tables.Table.DirectFiles.
func (in *Input) Direct(ctx context.Context, table string, version sql.Version, columns []string, filters []sql.Filter) (*sql.DirectFiles, error) {
	t, v, err := in.at(ctx, table, version)
	if err != nil {
		return nil, err
	}
	if n, known := in.Rows(ctx, table, version); !known || n < in.directRows {
		return nil, nil
	}
	if id, ok := in.pinned[table]; ok && id == 0 {
		return nil, nil
	}
	schema, err := t.SchemaAt(v)
	if err != nil {
		return nil, err
	}
	filter, _ := predicate(filters, schema)
	files, err := t.DirectFiles(ctx, tables.ScanOptions{Version: v, Columns: columns, Filter: filter}, in.directRows)
	if files == nil || err != nil {
		return nil, err
	}
	return &sql.DirectFiles{Paths: files.Paths, FieldIDs: files.FieldIDs}, nil
}

// empty is a table as it was before its first snapshot.
func (in *Input) empty(t *tables.Table, columns []string) (array.RecordReader, error) {
	s, err := t.Schema()
	if err != nil {
		return nil, err
	}
	fields := make([]arrow.Field, len(columns))
	for i, c := range columns {
		f, ok := s.FieldsByName(c)
		if !ok {
			return nil, fmt.Errorf("table %s has no column %q", t.Name(), c)
		}
		fields[i] = f[0]
	}
	return array.NewRecordReader(arrow.NewSchema(fields, nil), nil)
}

// predicate gives the filters as one Iceberg expression, nil for none, and whether it lets
// through just the rows that all of them hold for.
func predicate(filters []sql.Filter, schema *arrow.Schema) (iceberg.BooleanExpression, bool) {
	var out iceberg.BooleanExpression
	whole := true
	for _, f := range filters {
		e := comparison(f, schema)
		if f.Op == sql.NotEqual {
			whole = false // Iceberg's != holds for nulls, SQL's does not
		}
		switch {
		case e == nil:
			whole = false
		case out == nil:
			out = e
		default:
			out = iceberg.NewAnd(out, e)
		}
	}
	return out, whole
}

func comparison(f sql.Filter, schema *arrow.Schema) iceberg.BooleanExpression {
	column := iceberg.Reference(f.Column)
	switch f.Op {
	case sql.IsNull:
		return iceberg.IsNull(column)
	case sql.NotNull:
		return iceberg.NotNull(column)
	}
	values := make([]iceberg.Literal, len(f.Values))
	for i, v := range f.Values {
		if values[i] = literal(v, f.Column, schema); values[i] == nil {
			return nil
		}
	}
	if f.Op == sql.In && len(values) > 8 {
		return iceberg.SetPredicate(iceberg.OpIn, column, values)
	}
	if f.Op == sql.In {
		var out iceberg.BooleanExpression
		for _, v := range values {
			e := iceberg.LiteralPredicate(iceberg.OpEQ, column, v)
			if out == nil {
				out = e
			} else {
				out = iceberg.NewOr(out, e)
			}
		}
		return out
	}
	op, ok := operations[f.Op]
	if !ok || len(values) != 1 {
		return nil
	}
	return iceberg.LiteralPredicate(op, column, values[0])
}

var operations = map[sql.Operator]iceberg.Operation{
	sql.Equal: iceberg.OpEQ, sql.NotEqual: iceberg.OpNEQ, sql.Less: iceberg.OpLT, sql.LessOrEqual: iceberg.OpLTEQ,
	sql.Greater: iceberg.OpGT, sql.GreaterOrEqual: iceberg.OpGTEQ, sql.StartsWith: iceberg.OpStartsWith,
}

func literal(v any, column string, schema *arrow.Schema) iceberg.Literal {
	switch v := v.(type) {
	case bool:
		return iceberg.NewLiteral(v)
	case int32:
		return iceberg.NewLiteral(v)
	case int64:
		return iceberg.NewLiteral(v)
	case string:
		return iceberg.NewLiteral(v)
	case arrow.Date32:
		return iceberg.NewLiteral(iceberg.Date(v))
	case arrow.Timestamp:
		return iceberg.NewLiteral(iceberg.Timestamp(v))
	case [16]byte:
		return iceberg.NewLiteral(uuid.UUID(v))
	case decimal128.Num:
		if at := schema.FieldIndices(column); len(at) == 1 {
			if t, ok := schema.Field(at[0]).Type.(*arrow.Decimal128Type); ok {
				return iceberg.NewLiteral(iceberg.Decimal{Val: v, Scale: int(t.Scale)})
			}
		}
	}
	return nil
}
