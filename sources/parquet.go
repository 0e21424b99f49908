package sources

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// parquetReader makes batches of a Parquet file's rows, a row group after another.
type parquetReader struct {
	ctx     context.Context
	in      *input
	file    *file.Reader
	arrow   *pqarrow.FileReader
	columns *columnar
	leaves  []int // of the wanted columns
	group   int   // the next row group
	left    int64 // rows of the current one
	rows    pqarrow.RecordReader
}

// maxPage bounds a page: what a header claims is allocated before it is read. Writers make pages of a megabyte, and
// larger ones for single values only.
const maxPage = 256 << 20

// openParquet reads the footer.
func openParquet(in *input, opts Options) (f *file.Reader, a *pqarrow.FileReader, fields []arrow.Field, err error) {
	defer guard(in, &err)
	if c := compressionOf(in.file.URI); c != "" {
		return nil, nil, nil, &BrokenFileError{File: in.file.URI, Reason: "a Parquet file compressed by " + c + " as a whole cannot be read: Parquet compresses its pages itself"}
	}
	props := parquet.NewReaderProperties(opts.Memory)
	props.BufferedStreamEnabled = true // pages as they are needed, not whole column chunks
	props.BufferSize = 256 << 10
	props.MaxCompressedPageSize, props.MaxUncompressedPageSize = maxPage, maxPage
	at := io.NewSectionReader(in, 0, in.file.Size)
	if f, err = file.NewParquetReader(at, file.WithReadProps(props)); err != nil {
		return nil, nil, nil, in.broken("is not a sound Parquet file", err)
	}
	if err = checkChunks(f, in.file.Size); err != nil {
		return nil, nil, nil, in.broken("is not a sound Parquet file", err)
	}
	if a, err = pqarrow.NewFileReader(f, pqarrow.ArrowReadProperties{BatchSize: batchRows(f)}, opts.Memory); err != nil {
		return nil, nil, nil, in.broken("is not a sound Parquet file", err)
	}
	schema, err := a.Schema()
	if err != nil {
		return nil, nil, nil, in.broken("is not a sound Parquet file", err)
	}
	return f, a, schema.Fields(), nil
}

// checkChunks looks at what the footer says of every column chunk, so that nonsense is found before it is followed.
func checkChunks(f *file.Reader, size int64) error {
	rows := int64(0)
	for g := range f.NumRowGroups() {
		group := f.MetaData().RowGroup(g)
		if group.NumRows() < 0 || group.NumColumns() != f.MetaData().Schema.NumColumns() {
			return fmt.Errorf("row group %d has %d rows and %d columns", g, group.NumRows(), group.NumColumns())
		}
		rows += group.NumRows()
		for c := range group.NumColumns() {
			chunk, err := group.ColumnChunk(c)
			if err != nil {
				return fmt.Errorf("row group %d, column %d: %w", g, c, err)
			}
			start, length := chunk.DataPageOffset(), chunk.TotalCompressedSize()
			if chunk.HasDictionaryPage() && chunk.DictionaryPageOffset() > 0 {
				start = min(start, chunk.DictionaryPageOffset())
			}
			if start < 0 || length < 0 || start > size || length > size-start || chunk.NumValues() < 0 {
				return fmt.Errorf("row group %d, column %d: it claims %d bytes at %d of a file of %d bytes", g, c, length, start, size)
			}
		}
		if group.NumColumns() > 0 {
			// Opened here, where a panic is caught: for nested columns the library does it in goroutines of its own.
			pages, err := f.RowGroup(g).GetColumnPageReader(0)
			if err != nil {
				return fmt.Errorf("row group %d: %w", g, err)
			}
			pages.Close()
		}
	}
	if rows != f.NumRows() {
		return fmt.Errorf("the footer counts %d rows, its row groups %d", f.NumRows(), rows)
	}
	return nil
}

// batchRows is how many rows make a batch of moderate size, by the average row of the widest row group.
func batchRows(f *file.Reader) int64 {
	rows := int64(maxRows)
	for g := range f.NumRowGroups() {
		group := f.MetaData().RowGroup(g)
		if n := group.NumRows(); n > 0 && group.TotalByteSize() > 0 {
			rows = min(rows, max(1, maxBytes/max(1, group.TotalByteSize()/n)))
		}
	}
	return rows
}

func newParquetReader(ctx context.Context, in *input, l *layout, opts Options, observer Observer, tell func([]arrow.Field)) (batches, error) {
	f, a, fields, err := openParquet(in, opts)
	if err != nil {
		return nil, err
	}
	columns, err := newColumnar(in, l, fields, opts, observer, tellFields(l, meantByParquet(a, fields), tell))
	if err != nil {
		return nil, err
	}
	p := &parquetReader{ctx: ctx, in: in, file: f, arrow: a, columns: columns}
	for _, i := range columns.wanted {
		p.leaves = leavesOf(&a.Manifest.Fields[i], p.leaves)
	}
	return p, nil
}

func leavesOf(f *pqarrow.SchemaField, leaves []int) []int {
	if f.IsLeaf() {
		return append(leaves, f.ColIndex)
	}
	for i := range f.Children {
		leaves = leavesOf(&f.Children[i], leaves)
	}
	return leaves
}

// meantByParquet are the file's fields with the types that a table should have for them: INT96, which Impala and older
// Sparks wrote for instants in UTC, has nanoseconds by its form and microseconds by its use.
func meantByParquet(a *pqarrow.FileReader, fields []arrow.Field) []arrow.Field {
	meant := append([]arrow.Field(nil), fields...)
	for i := range meant {
		leaf := &a.Manifest.Fields[i]
		if leaf.IsLeaf() && a.ParquetReader().MetaData().Schema.Column(leaf.ColIndex).PhysicalType() == parquet.Types.Int96 {
			meant[i].Type = &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"}
		}
	}
	return meant
}

func (p *parquetReader) close() {
	if p.rows != nil {
		p.rows.Release()
	}
	p.columns.layout.close()
}

func (p *parquetReader) next() (arrow.RecordBatch, error) {
	for p.left == 0 {
		if p.group == p.file.NumRowGroups() {
			return nil, io.EOF
		}
		if err := p.openGroup(); err != nil {
			return nil, err
		}
	}
	if len(p.leaves) == 0 { // rows of which nothing is wanted but where they come from
		n := min(p.left, maxRows)
		p.left -= n
		return p.columns.batch(nil, int(n))
	}
	if !p.rows.Next() {
		err := p.rows.Err()
		if err == nil || err == io.EOF {
			err = fmt.Errorf("it ends %d rows before what the footer says", p.left)
		}
		return nil, p.damaged(err)
	}
	batch := p.rows.RecordBatch()
	if p.left -= batch.NumRows(); p.left < 0 || batch.NumRows() == 0 {
		return nil, p.damaged(errors.New("it has other numbers of rows than the footer says"))
	}
	for _, c := range batch.Columns() { // a damaged file may well decode to columns that point nowhere
		if err := array.ValidateFull(c); err != nil {
			return nil, p.damaged(err)
		}
	}
	return p.columns.batch(batch.Columns(), int(batch.NumRows()))
}

func (p *parquetReader) damaged(err error) error {
	return p.in.broken(fmt.Sprintf("row group %d is damaged", p.group-1), err)
}

// openGroup starts with the next row group.
func (p *parquetReader) openGroup() error {
	p.left = p.file.MetaData().RowGroup(p.group).NumRows()
	p.group++
	if p.rows != nil {
		p.rows.Release()
		p.rows = nil
	}
	if p.left == 0 || len(p.leaves) == 0 {
		return nil
	}
	rows, err := p.arrow.GetRecordReader(p.ctx, p.leaves, []int{p.group - 1})
	if err != nil {
		return p.damaged(err)
	}
	p.rows = rows
	return nil
}
