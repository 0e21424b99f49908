package sql

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	duckdb "github.com/duckdb/duckdb-go-bindings"
)

// relations are the open relations of all sessions by the handle that varve_scan takes.
var (
	relations    sync.Map // int64 → *relation
	lastRelation atomic.Int64
)

// relation is one table at one version, as a query reads it, maybe several times.
type relation struct {
	session *session
	number  int   // in the session
	id      int64 // in the process
	table   string
	version Version
	within  string // the namespace
	view    string // its name within the namespace
	schema  *arrow.Schema
	rows    int64 // how many it has, -1 if unknown

	types     []duckdb.LogicalType // of the columns, for DuckDB
	converted []duckdb.ArrowConvertedSchema
	refused   []error // by column: why DuckDB cannot read it, nil if it can
	order     []int   // of the columns for DuckDB, the cheapest first: count(*) reads that one

	direct  bool     // DuckDB reads its files
	columns []string // that the plan reads
	filters []Filter // what every scan of it may leave out
	limit   int64
}

// open tells DuckDB's types of the columns. Each column has a converted schema of its own: DuckDB ties the memory of
// an Arrow batch to the first of its columns only.
func (r *relation) open(conn *connection) error {
	seen := map[string]string{}
	for i, field := range r.schema.Fields() {
		folded := strings.ToLower(field.Name)
		if other, ok := seen[folded]; ok {
			return fmt.Errorf("columns %q and %q differ by case only, which SQL does not tell apart", other, field.Name)
		}
		seen[folded] = field.Name
		field.Type, field.Nullable = r.readable(i, field.Type), true
		if err := r.openColumn(conn, field); err != nil {
			return fmt.Errorf("column %q of type %s: %w", field.Name, field.Type, err)
		}
	}
	if len(r.types) == 0 {
		return fmt.Errorf("no columns")
	}
	r.order = cheapestFirst(r.schema, r.refused)
	r.id = lastRelation.Add(1)
	relations.Store(r.id, r)
	return nil
}

// readable is the type as which column i is declared to DuckDB.
func (r *relation) readable(i int, t arrow.DataType) arrow.DataType {
	r.refused = append(r.refused, nil)
	if reason := unreadable(t); reason != "" {
		r.refused[i] = &Error{Kind: Unsupported, Offset: -1,
			Message: fmt.Sprintf("column %q of %s cannot be read by SQL: %s", r.schema.Field(i).Name, r.table, reason)}
		return arrow.FixedWidthTypes.Boolean
	}
	return t
}

func (r *relation) openColumn(conn *connection, field arrow.Field) error {
	schema := arrow.NewSchema([]arrow.Field{field}, nil)
	converted, failed := duckdb.SchemaFromArrow(conn.raw, schema)
	if err := takeError(failed); err != nil {
		return err
	}
	r.converted = append(r.converted, converted)
	empty := array.NewRecordBuilder(r.session.mem, schema).NewRecordBatch()
	defer empty.Release()
	chunk, failed := duckdb.DataChunkFromArrow(conn.raw, empty, converted)
	if err := takeError(failed); err != nil {
		return err
	}
	defer duckdb.DestroyDataChunk(&chunk)
	r.types = append(r.types, duckdb.VectorGetColumnType(duckdb.DataChunkGetVector(chunk, 0)))
	return nil
}

// columnName is column c's name as DuckDB has it below the view. It occurs in no statement, so that a name in a plan
// is known to be this column and not some alias.
func (r *relation) columnName(c int) string { return fmt.Sprintf("varve_%d_%d", r.number, c) }

var columnNames = regexp.MustCompile(`\bvarve_(\d+)_(\d+)\b`)

// nameColumns replaces the columns' inner names in a message.
func (s *session) nameColumns(message string) string {
	return columnNames.ReplaceAllStringFunc(message, func(name string) string {
		if r, c, ok := s.column(name); ok {
			return r.schema.Field(c).Name
		}
		return name
	})
}

// column is the inverse of columnName.
func (s *session) column(name string) (*relation, int, bool) {
	m := columnNames.FindStringSubmatch(name)
	if m == nil || m[0] != name {
		return nil, 0, false
	}
	number, _ := strconv.Atoi(m[1])
	c, _ := strconv.Atoi(m[2])
	if number >= len(s.relations) || c >= s.relations[number].schema.NumFields() {
		return nil, 0, false
	}
	return s.relations[number], c, true
}

// selectList gives the view the table's own names and order.
func (r *relation) selectList() string {
	list := make([]string, r.schema.NumFields())
	for c, field := range r.schema.Fields() {
		list[c] = r.columnName(c) + " AS " + quoteName(field.Name)
	}
	return strings.Join(list, ", ")
}

// makeView makes the view by which the statement reads the relation as a stream.
func (r *relation) makeView() error {
	return r.session.conn.exec(fmt.Sprintf("CREATE OR REPLACE VIEW %s.%s AS SELECT %s FROM %s(%d)",
		quoteName(r.within), quoteName(r.view), r.selectList(), scanFunction, r.id))
}

// close forgets the relation. No statement may be using it.
func (r *relation) close() {
	relations.Delete(r.id)
	for i := range r.types {
		duckdb.DestroyLogicalType(&r.types[i])
	}
	for i := range r.converted {
		duckdb.DestroyArrowConvertedSchema(&r.converted[i])
	}
}

// scan is one reading of a relation. DuckDB calls it from one thread at a time.
type scan struct {
	relation *relation
	columns  []int // of the relation, by position in DuckDB's chunk; -1 for a column that nobody looks at
	fields   []*arrow.Schema
	reader   array.RecordReader
	done     bool
	batch    arrow.RecordBatch // the reader's current one
	at       int64             // rows of batch already given
}

// chunkRows is DuckDB's vector size: no chunk may be larger.
var chunkRows = int64(duckdb.VectorSize())

// fill puts the next rows into a chunk of DuckDB's and returns how many; 0 at the end.
func (s *scan) fill(chunk duckdb.DataChunk) (int64, error) {
	for s.batch == nil || s.at >= s.batch.NumRows() {
		if ok, err := s.next(); !ok || err != nil {
			return 0, err
		}
	}
	n := min(chunkRows, s.batch.NumRows()-s.at)
	column := 0
	for i, c := range s.columns {
		if c < 0 {
			continue
		}
		if err := s.give(duckdb.DataChunkGetVector(chunk, duckdb.IdxT(i)), c, s.batch.Column(column), n); err != nil {
			return 0, s.relation.fail(fmt.Errorf("read %s: column %q: %w", s.relation.table, s.batch.ColumnName(column), err))
		}
		column++
	}
	s.at += n
	return n, nil
}

// give lends n rows of an Arrow column to a vector of DuckDB's, which keeps the memory as long as it needs it.
func (s *scan) give(vector duckdb.Vector, column int, values arrow.Array, n int64) error {
	slice := array.NewSlice(values, s.at, s.at+n)
	defer func() { slice.Release() }()
	if _, nested := slice.DataType().(arrow.NestedType); nested {
		// arrow-go exports a struct at an offset with fields that are shifted twice. A copy has no offsets anywhere.
		compact, err := array.Concatenate([]arrow.Array{slice}, s.relation.session.mem)
		if err != nil {
			return err
		}
		slice.Release()
		slice = compact
	}
	if s.fields[column] == nil {
		s.fields[column] = arrow.NewSchema([]arrow.Field{{Name: "", Type: slice.DataType(), Nullable: true}}, nil)
	}
	rows := array.NewRecordBatch(s.fields[column], []arrow.Array{slice}, n)
	defer rows.Release()
	chunk, failed := duckdb.DataChunkFromArrow(s.relation.session.conn.raw, rows, s.relation.converted[column])
	if err := takeError(failed); err != nil {
		return err
	}
	defer duckdb.DestroyDataChunk(&chunk)
	duckdb.VectorReferenceVector(vector, duckdb.DataChunkGetVector(chunk, 0))
	return nil
}

// next moves to the reader's next batch.
func (s *scan) next() (bool, error) {
	if s.done {
		return false, nil
	}
	if s.reader == nil {
		if err := s.openReader(); err != nil {
			s.close()
			return false, s.relation.fail(err)
		}
	}
	s.batch, s.at = nil, 0
	if s.reader.Next() {
		s.batch = s.reader.RecordBatch()
		return true, s.check()
	}
	err := s.reader.Err()
	s.close()
	if err == nil {
		// A stream that was cut by a cancelled context may not know it.
		err = s.relation.session.ctx.Err()
	}
	if err != nil {
		return false, s.relation.fail(fmt.Errorf("read %s: %w", s.relation.table, err))
	}
	return false, nil
}

func (s *scan) openReader() error {
	r := s.relation
	names, err := s.names()
	if err != nil {
		return err
	}
	s.fields = make([]*arrow.Schema, len(r.types))
	s.reader, err = r.session.in.Scan(r.session.ctx, r.table, r.version, names, r.filters, r.limit)
	if err != nil {
		return fmt.Errorf("read %s: %w", r.table, err)
	}
	return nil
}

// names are the columns to ask for. Rows cannot be counted without any: then it is the one that is the least to read.
func (s *scan) names() ([]string, error) {
	var names []string
	for _, c := range s.columns {
		if c < 0 {
			continue
		}
		if err := s.relation.refused[c]; err != nil {
			return nil, err
		}
		names = append(names, s.relation.schema.Field(c).Name)
	}
	if len(names) == 0 {
		names = []string{s.relation.schema.Field(s.relation.order[0]).Name}
	}
	return names, nil
}

// check holds the Input to what it promised: a column of another type would be read as garbage.
func (s *scan) check() error {
	names, _ := s.names()
	if int(s.batch.NumCols()) != len(names) {
		return s.relation.fail(fmt.Errorf("read %s: got %d columns, asked for %d", s.relation.table, s.batch.NumCols(), len(names)))
	}
	column := 0
	for _, c := range s.columns {
		if c < 0 {
			continue
		}
		want := s.relation.schema.Field(c)
		got := s.batch.Schema().Field(column)
		if got.Name != want.Name || !sameLayout(got.Type, want.Type) {
			return s.relation.fail(fmt.Errorf("read %s: got column %q of type %s, expected %q of type %s",
				s.relation.table, got.Name, got.Type, want.Name, want.Type))
		}
		column++
	}
	return nil
}

func (s *scan) close() {
	s.done, s.batch = true, nil
	if s.reader != nil {
		s.reader.Release()
		s.reader = nil
	}
}

// fail keeps err for the query's caller, who would else get its text only.
func (r *relation) fail(err error) error {
	r.session.mu.Lock()
	defer r.session.mu.Unlock()
	if r.session.inputErr == nil {
		r.session.inputErr = err
	}
	return err
}
