package datafile

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/RoaringBitmap/roaring/v2/roaring64"
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/cache"
)

const defaultBatchRows = 1 << 16

// ReadOptions say what of a data file is read.
type ReadOptions struct {
	// Schema is the schema to project to, by field id.
	Schema *iceberg.Schema
	// Columns names the top-level columns of Schema to read, in this order; nil is all. Without any, batches have rows only.
	Columns []string
	// Deleted holds positions to skip.
	Deleted *roaring64.Bitmap
	// RowGroups are the row groups to read, ascending; nil is all.
	RowGroups []int
	// Filter is evaluated exactly; row groups and pages that cannot match are not decoded, nor are other columns where no row
	// matches.
	Filter iceberg.BooleanExpression
	// Prune is a Filter that is not evaluated: row groups and pages that cannot match are not decoded, and of the others all
	// rows are returned.
	Prune iceberg.BooleanExpression
	// Rows, if set, are the only positions to return; pages without any are not decoded.
	Rows *roaring64.Bitmap
	// BatchRows bounds the rows of a batch. Default: 65,536.
	BatchRows int
	// NameMapping gives field ids to files written without them: the table's Metadata().NameMapping().
	NameMapping iceberg.NameMapping
	// Spec is the partition spec of the file, so that identity columns absent from the file are filled from its partition.
	Spec *iceberg.PartitionSpec
	// Parallelism is the number of columns decoded at once. Default: GOMAXPROCS.
	Parallelism int
	// Offset and Length are the bytes of the file whose row groups are read, as a FileScanTask's Start and Length name them: a
	// row group is read where its first byte lies. A Length of zero is all.
	Offset, Length int64
	// FirstRowID and SequenceNumber are those of the file's manifest entry (a FileScanTask's FirstRowID and
	// DataSequenceNumber), for a Schema that names columns of row lineage, as iceberg.SchemaWithRowLineage gives.
	FirstRowID, SequenceNumber *int64
	// Dictionaries asks for texts that lie in dictionary encoding as arrays of arrow's dictionary type, so that batches need not be
	// of the Reader's schema. It is for readings without a Filter.
	Dictionaries bool
	// ValidTexts ends the reading with a *TextError at a text that is not UTF-8; otherwise such a text is given as it is.
	ValidTexts bool
	// Cache keeps footers, and of remote files page indexes and Bloom filters, for other readers; nil keeps none.
	Cache *cache.Cache
	// Counters, if set, count what is read and left out.
	Counters *Counters
}

// Reader gives the rows of one data file, in the file's order. It is for one goroutine.
type Reader struct {
	ctx     context.Context
	uri     string
	source  *source
	footer  *footer
	props   *parquet.ReaderProperties
	parquet *file.Reader
	arrow   *pqarrow.FileReader
	opts    ReadOptions
	schema  *arrow.Schema
	columns []projected // those read: first the ones returned, then any that only the filter needs
	output  int         // number of those returned
	filter  *filter
	prune   *filter
	leaves  map[int]*pqarrow.SchemaField

	groups   []int
	starts   []int64 // first position of each row group of the file, and one past the last
	cursors  []*cursor
	pending  []span // of the current row group, counted from its first row
	start    int64  // first position of the current row group
	group    int    // the current row group
	wide     bool   // most of its rows may be wanted, rather than single pages
	rowBytes int64  // what a row takes in memory: by the footer, then by the batches seen

	batch     arrow.RecordBatch
	first     int64
	positions []int64
	err       error
	released  bool
}

// Open opens a data file for reading.
func Open(ctx context.Context, fs iceio.IO, df iceberg.DataFile, opts ReadOptions) (*Reader, error) {
	if df.FileFormat() != iceberg.ParquetFile {
		return nil, fmt.Errorf("read %s: format %s is not supported, only Parquet", df.FilePath(), df.FileFormat())
	}
	r := &Reader{ctx: ctx, uri: df.FilePath(), source: newSource(ctx, fs, df, opts), opts: opts}
	if err := protect(func() error { return r.open(df) }); err != nil {
		r.source.Close()
		return nil, fmt.Errorf("read %s: %w", df.FilePath(), err)
	}
	r.source.count(func(c *Counters) { c.Files.Add(1) })
	return r, nil
}

// protect turns a panic of a decoder over a hostile file into an error.
func protect(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("malformed file: %v", r)
		}
	}()
	return f()
}

func (r *Reader) open(df iceberg.DataFile) error {
	if r.opts.Schema == nil {
		return errors.New("no schema to read")
	}
	if r.opts.BatchRows <= 0 {
		r.opts.BatchRows = defaultBatchRows
	}
	if r.opts.Deleted != nil && r.opts.Deleted.IsEmpty() {
		r.opts.Deleted = nil // not to be asked for each row
	}
	if r.opts.Parallelism <= 0 {
		r.opts.Parallelism = runtime.GOMAXPROCS(0)
	}
	var err error
	if r.footer, err = r.source.readFooter(); err != nil {
		return err
	}
	r.source.data = r.footer.data
	r.props = parquet.NewReaderProperties(allocator)
	r.props.BufferSize = streamBuffer
	if !r.source.remote {
		r.props.BufferSize = localBuffer
	}
	if r.parquet, err = file.NewParquetReader(r.source, file.WithReadProps(r.props), file.WithMetadata(r.footer.meta)); err != nil {
		return err
	}
	meta := r.parquet.MetaData()
	if r.arrow, err = pqarrow.NewFileReader(r.parquet, pqarrow.ArrowReadProperties{PreAllocBinaryData: true}, allocator); err != nil {
		return err
	}
	if err := r.plan(df); err != nil {
		return err
	}
	r.starts = []int64{0}
	for i := range meta.NumRowGroups() {
		n := meta.RowGroup(i).NumRows()
		if n < 0 {
			return fmt.Errorf("row group %d has %d rows", i, n)
		}
		r.starts = append(r.starts, r.starts[i]+n)
	}
	return r.chooseGroups()
}

// plan projects the columns and binds the filter.
func (r *Reader) plan(df iceberg.DataFile) error {
	schema := r.opts.Schema
	if r.opts.Columns != nil {
		var err error
		if schema, err = selectColumns(schema, r.opts.Columns); err != nil {
			return err
		}
	}
	filter, err := bindFilter(r.opts.Schema, r.opts.Filter)
	if err != nil {
		return err
	}
	r.filter = filter
	if r.prune, err = bindFilter(r.opts.Schema, r.opts.Prune); err != nil {
		return err
	}
	if r.schema, err = table.SchemaToArrowSchema(schema, nil, false, false); err != nil {
		return err
	}
	p, err := newProjector(r.arrow.Manifest, r.opts.NameMapping, identityConstants(df, r.opts.Spec))
	if err != nil {
		return err
	}
	if err := r.project(p, schema.Fields(), r.schema); err != nil {
		return err
	}
	r.output = len(r.columns)
	if filter != nil || r.prune != nil {
		r.leaves = p.leavesByID()
	}
	if filter == nil {
		return nil
	}
	var more []string
	for _, name := range filter.columns {
		if !slices.ContainsFunc(r.columns, func(c projected) bool { return c.field.Name == name }) {
			more = append(more, name)
		}
	}
	extra, err := selectColumns(r.opts.Schema, more)
	if err != nil {
		return err
	}
	extraArrow, err := table.SchemaToArrowSchema(extra, nil, false, false)
	if err != nil {
		return err
	}
	return r.project(p, extra.Fields(), extraArrow)
}

func (r *Reader) project(p *projector, fields []iceberg.NestedField, schema *arrow.Schema) error {
	for i, f := range fields {
		c, err := p.column(f, schema.Field(i).Type)
		if err != nil {
			return err
		}
		r.columns = append(r.columns, c)
	}
	return nil
}

// identityConstants are the values of columns that a file's partition gives.
func identityConstants(df iceberg.DataFile, spec *iceberg.PartitionSpec) map[int]any {
	out := map[int]any{}
	if spec == nil {
		return out
	}
	values := df.Partition()
	for i := range spec.NumFields() {
		f := spec.Field(i)
		if _, identity := f.Transform.(iceberg.IdentityTransform); !identity {
			continue
		}
		if v, ok := values[f.FieldID]; ok {
			out[f.SourceID()] = v
		}
	}
	return out
}

func (r *Reader) chooseGroups() error {
	n := len(r.starts) - 1
	r.groups = r.opts.RowGroups
	if r.groups == nil {
		for i := range n {
			at, err := r.beginning(i)
			if err != nil {
				return err
			}
			if r.opts.Length <= 0 || at >= r.opts.Offset && at-r.opts.Offset < r.opts.Length {
				r.groups = append(r.groups, i)
			}
		}
		return nil
	}
	for i, g := range r.groups {
		if g < 0 || g >= n {
			return fmt.Errorf("row group %d of %d", g, n)
		}
		if i > 0 && g <= r.groups[i-1] {
			return fmt.Errorf("row group %d asked for after %d", g, r.groups[i-1])
		}
	}
	return nil
}

// beginning is the offset of a row group's first byte, which is what split offsets are made of.
func (r *Reader) beginning(group int) (int64, error) {
	meta := r.parquet.MetaData().RowGroup(group)
	if meta.NumColumns() == 0 {
		return 0, nil
	}
	chunk, err := meta.ColumnChunk(0)
	if err != nil {
		return 0, fmt.Errorf("row group %d: %w", group, err)
	}
	at := chunk.DataPageOffset()
	if chunk.HasDictionaryPage() && chunk.DictionaryPageOffset() > 0 {
		at = min(at, chunk.DictionaryPageOffset())
	}
	return at, nil
}

// Schema is the Arrow schema of the batches.
func (r *Reader) Schema() *arrow.Schema { return r.schema }

// Next advances to the next batch; false at the end or on an error.
func (r *Reader) Next() bool {
	r.drop()
	if r.err != nil || r.released {
		return false
	}
	var more bool
	err := protect(func() (err error) {
		more, err = r.advance()
		return err
	})
	if err != nil {
		r.err = fmt.Errorf("read %s: %w", r.uri, err)
		return false
	}
	return more
}

// advance makes the next batch that has a row.
func (r *Reader) advance() (bool, error) {
	for {
		if err := r.ctx.Err(); err != nil {
			return false, context.Cause(r.ctx)
		}
		if len(r.pending) == 0 {
			if len(r.groups) == 0 {
				return false, nil
			}
			group := r.groups[0]
			r.groups = r.groups[1:]
			if err := r.enter(group); err != nil {
				return false, fmt.Errorf("row group %d: %w", group, err)
			}
			continue
		}
		var window []span
		window, r.pending = cutSpans(r.pending, r.windowRows())
		found, err := r.read(window)
		if err != nil {
			return false, fmt.Errorf("rows from %d: %w", r.start+window[0].from, err)
		}
		if found {
			return true, nil
		}
	}
}

// enter begins a row group: what of it has to be looked at.
func (r *Reader) enter(group int) error {
	r.closeCursors()
	r.start = r.starts[group]
	whole := span{0, r.starts[group+1] - r.start}
	if whole.rows() == 0 {
		return nil
	}
	r.source.count(func(c *Counters) { c.RowGroups.Add(1) })
	r.pending = []span{whole}
	if r.opts.Rows != nil {
		r.pending = nil
		for _, s := range spansOf(r.opts.Rows, span{r.start, r.starts[group+1]}, seekGap) {
			r.pending = append(r.pending, span{s.from - r.start, s.to - r.start})
		}
	}
	for _, f := range []*filter{r.filter, r.prune} {
		if f != nil && len(r.pending) > 0 {
			p := &pruner{source: r.source, footer: r.footer, reader: r.parquet, leaves: r.leaves, group: group, whole: []span{whole}}
			r.pending = intersect(r.pending, p.spans(f.root))
		}
	}
	if len(r.pending) == 0 {
		r.source.count(func(c *Counters) { c.RowGroupsPruned.Add(1) })
		return nil
	}
	r.group, r.wide = group, spanRows(r.pending)*narrow >= whole.rows() && r.opts.Rows == nil
	if r.rowBytes == 0 {
		r.guessRowBytes(group, whole.rows())
	}
	return r.openCursors(group)
}

// guessRowBytes guesses a row's size by the row group's description. Dictionaries make it too small; batches correct it.
func (r *Reader) guessRowBytes(group int, rows int64) {
	meta := r.parquet.MetaData().RowGroup(group)
	total := int64(0)
	for _, c := range r.columns {
		for leaf := range c.leaves {
			if chunk, err := meta.ColumnChunk(leaf); err == nil {
				total += max(chunk.TotalUncompressedSize(), 0)
			}
		}
	}
	r.rowBytes = total / rows
}

// RecordBatch is the current batch, valid until the next call of Next.
func (r *Reader) RecordBatch() arrow.RecordBatch { return r.batch }

// Positions gives the positions in the file of the current batch's rows: first and nil when they are consecutive,
// else one position for each row. The slice is the caller's.
func (r *Reader) Positions() (first int64, positions []int64) { return r.first, r.positions }

// Err is the error that ended the rows early.
func (r *Reader) Err() error { return r.err }

// Release closes the file.
func (r *Reader) Release() {
	if r.released {
		return
	}
	r.released = true
	r.drop()
	r.closeCursors()
	r.source.Close()
}

func (r *Reader) drop() {
	if r.batch != nil {
		r.batch.Release()
		r.batch = nil
	}
	r.positions = nil
}
