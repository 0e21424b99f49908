package datafile

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet/metadata"
	"github.com/apache/iceberg-go"
	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"
)

const (
	// A file whose row groups are mostly smaller than this part of the table's is better written anew as a whole: carried
	// groups stay as small as they are.
	smallGroup    = 8
	maxFooterSize = 256 << 20
)

// Carried is a data file being written anew. Several goroutines may make row groups, each its own; Add, Close and Abort are for
// one.
type Carried struct {
	carrier *Carrier
	ctx     context.Context
	df      iceberg.DataFile
	source  iceio.File
	footer  *metadata.FileMetaData
	end     int64       // of what is before the footer
	columns []leafRange // where the file has each of the table's columns; none where it has it in another form
	starts  []int64     // first position of each row group, and the end

	id    string
	open  *carriedFile
	files []*carriedFile
	bytes int64 // copied
}

// carriedFile is a file that takes the place of a Carried one, or of a part of it.
type carriedFile struct {
	uri       string
	sink      iceio.FileWriter
	out       *bufio.Writer
	assembler *assembler
	nans      map[int]int64
	described iceberg.DataFile
}

// readFooter reads the footer once, instead of by Parquet reader: its chunks' descriptions will be changed.
func (f *Carried) readFooter() error {
	size, err := f.source.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	tail := make([]byte, 8)
	if size < 12 {
		return errNotParquet
	}
	if _, err := f.source.ReadAt(tail, size-8); err != nil && err != io.EOF {
		return err
	}
	if string(tail[4:]) != parquetMagic { // "PARE": the footer is encrypted
		return fmt.Errorf("it does not end as a Parquet file: %w", errNotParquet)
	}
	length := int64(binary.LittleEndian.Uint32(tail))
	if length > maxFooterSize || length > size-12 {
		return fmt.Errorf("footer of %d bytes in a file of %d: %w", length, size, errNotParquet)
	}
	f.end = size - 8 - length
	raw := make([]byte, length)
	if _, err := f.source.ReadAt(raw, f.end); err != nil && err != io.EOF {
		return err
	}
	if f.footer, err = metadata.NewFileMetaData(raw, nil); err != nil {
		return fmt.Errorf("decode footer: %w", err)
	}
	f.starts = []int64{0}
	for i, rg := range f.footer.RowGroups {
		if rg.NumRows < 0 || len(rg.Columns) != f.footer.Schema.NumColumns() {
			return fmt.Errorf("row group %d has %d rows and %d columns: %w", i, rg.NumRows, len(rg.Columns), errNotParquet)
		}
		for c, chunk := range rg.Columns {
			if chunk.MetaData == nil {
				return fmt.Errorf("row group %d, column chunk %d: it has no metadata: %w", i, c, errNotParquet)
			}
		}
		f.starts = append(f.starts, f.starts[i]+rg.NumRows)
	}
	return nil
}

// CarriedGroup is a new version of a row group, encoded as far as it changed.
type CarriedGroup struct {
	file    *Carried
	number  int
	row     *metadata.FileMetaData
	fresh   [][]piece // of each of the table's columns that was encoded
	pieces  []piece   // of all, once the group is ended
	rows    int64
	size    int64 // in the file, about
	carried int64 // bytes that are copied
	nans    map[int]int64
}

// Begin begins a new version of a row group, of so many rows.
func (f *Carried) Begin(group int, rows int64) (*CarriedGroup, error) {
	row, err := f.carrier.blank()
	if err != nil {
		return nil, fmt.Errorf("rewrite %s: row group %d: %w", f.df.FilePath(), group, err)
	}
	return &CarriedGroup{file: f, number: group, row: row, fresh: make([][]piece, len(f.carrier.leaves)), rows: rows, nans: map[int]int64{}}, nil
}

// Encode encodes the values, in chunks, of some of the table's columns (by index, ascending); each column once. Only what is
// encoded is kept, so a wide row group can be made of a few columns at a time.
func (g *CarriedGroup) Encode(columns []int, values [][]arrow.Array) error {
	err := protect(func() error {
		fragment, pieces, err := g.file.carrier.encode(g.file.ctx, columns, values, g.rows)
		if err != nil {
			return err
		}
		for id, n := range fragment.nans {
			g.nans[id] += n
		}
		for _, c := range columns {
			n := g.file.carrier.leaves[c].to - g.file.carrier.leaves[c].from
			g.fresh[c], pieces = pieces[:n], pieces[n:]
		}
		return nil
	})
	return g.wrap(err)
}

func (g *CarriedGroup) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("rewrite %s: row group %d: %w", g.file.df.FilePath(), g.number, err)
}

// End makes the group whole: columns that were not encoded are carried, which takes that they fit and that no row is gone.
func (g *CarriedGroup) End() error { return g.wrap(protect(g.end)) }

func (g *CarriedGroup) end() error {
	f := g.file
	for i, encoded := range g.fresh {
		if encoded != nil {
			g.pieces = append(g.pieces, encoded...)
			continue
		}
		if !f.Fits(g.number, i) || g.rows != f.starts[g.number+1]-f.starts[g.number] {
			return fmt.Errorf("column %s cannot be carried", f.carrier.layout.arrow.Field(i).Name)
		}
		f.addNoNaNs(g.nans, i)
		for leaf := f.columns[i].from; leaf < f.columns[i].to; leaf++ {
			g.pieces = append(g.pieces, f.piece(g.number, leaf))
			g.carried += f.footer.RowGroups[g.number].Columns[leaf].MetaData.TotalCompressedSize
		}
	}
	for _, p := range g.pieces {
		g.size += p.meta.RowGroups[p.group].Columns[p.leaf].MetaData.TotalCompressedSize
	}
	return nil
}

// addNoNaNs counts no NaN for the floating-point columns below a column that is carried: with one, it would not fit.
func (f *Carried) addNoNaNs(nans map[int]int64, column int) {
	countFieldNaNs(nans, f.carrier.layout.arrow.Field(column), array.MakeArrayOfNull(allocator, f.carrier.layout.arrow.Field(column).Type, 0), nil)
}

// encode encodes the values of some columns of a row group.
func (c *Carrier) encode(ctx context.Context, columns []int, values [][]arrow.Array, rows int64) (fragment, []piece, error) {
	part := *c.layout
	fields := make([]arrow.Field, len(columns))
	chunks := make([][]arrow.Array, len(columns))
	defer func() {
		for _, c := range chunks {
			releaseAll(c)
		}
	}()
	for i, column := range columns {
		fields[i] = c.layout.arrow.Field(column)
		for _, a := range values[i] {
			conformed, err := conformArray(ctx, a, fields[i].Type)
			if err != nil {
				return fragment{}, nil, fmt.Errorf("column %s: %w", fields[i].Name, err)
			}
			chunks[i] = append(chunks[i], conformed)
			if path, ok := nullInRequired(fields[i].Name, fields[i], conformed, nil); !ok {
				return fragment{}, nil, fmt.Errorf("column %s is required and holds a null", path)
			}
		}
	}
	part.arrow = arrow.NewSchema(fields, nil)
	return part.encodePieces(ctx, chunks, rows)
}

// Add lays a row group into the file; they are to be added in order. A file that grew beyond the table's target is ended before.
func (f *Carried) Add(g *CarriedGroup) error {
	if f.open != nil && f.open.assembler.size()+g.size/2 > f.carrier.layout.targetBytes {
		if err := f.finish(); err != nil {
			return err
		}
	}
	if f.open == nil {
		if err := f.create(); err != nil {
			return err
		}
	}
	if err := f.ctx.Err(); err != nil {
		return context.Cause(f.ctx)
	}
	if err := f.open.assembler.splice(g.row, g.pieces, g.rows); err != nil {
		return fmt.Errorf("write %s: copy from %s: %w", f.open.uri, f.df.FilePath(), err)
	}
	for id, n := range g.nans {
		f.open.nans[id] += n
	}
	f.bytes += g.carried
	return nil
}

func (f *Carried) create() error {
	l := f.carrier.layout
	name := fmt.Sprintf("%s%s-%05d.parquet", prefixed(f.carrier.prefix), f.id, len(f.files))
	uri := l.place(f.partitionPath(), name)
	sink, err := f.carrier.fs.Create(uri)
	if err != nil {
		return fmt.Errorf("create %s: %w", uri, err)
	}
	f.open = &carriedFile{uri: uri, sink: sink, out: buffered(sink), nans: map[int]int64{}}
	f.files = append(f.files, f.open)
	f.open.assembler, err = newAssembler(f.open.out)
	return err
}

// partitionPath is the folder of a partition, which only helps the eye: for values that it cannot name there is none.
func (f *Carried) partitionPath() (path string) {
	l := f.carrier.layout
	if l.spec.NumFields() == 0 {
		return ""
	}
	if path = partitionPath(l.spec, l.schema, f.df.Partition()); path != "" {
		path += "/"
	}
	return path
}

// finish ends the file at hand, makes sure that its bytes are on disk, and describes it.
func (f *Carried) finish() error {
	o := f.open
	f.open = nil
	footer, err := o.assembler.finish(f.carrier.layout.keyValues)
	if err == nil {
		err = o.out.Flush()
	}
	sink := o.sink
	o.sink = nil
	giveBack(o.out)
	if err := conclude(sink, err); err != nil {
		return fmt.Errorf("write %s: %w", o.uri, err)
	}
	order := table.UnsortedSortOrderID
	if !f.carrier.layout.order.IsUnsorted() {
		order = f.carrier.layout.order.OrderID()
	}
	o.described, err = f.carrier.layout.describe(described{
		uri: o.uri, size: o.assembler.size(), footer: footer, partition: presentValues(f.df.Partition()), sortOrderID: order, nans: o.nans,
	})
	return err
}

// Close ends the new file and describes what takes the old one's place: usually one file, none if no row group was added.
// carried is the number of bytes copied. After an error call Abort.
func (f *Carried) Close() (files []iceberg.DataFile, carried int64, err error) {
	if f.open != nil {
		if err := f.finish(); err != nil {
			return nil, 0, err
		}
	}
	uris := make([]string, 0, len(f.files))
	for _, o := range f.files {
		files, uris = append(files, o.described), append(uris, o.uri)
	}
	if err := errors.Join(f.source.Close(), syncDirectories(uris, f.carrier.layout.location)); err != nil {
		return nil, 0, fmt.Errorf("rewrite %s: %w", f.df.FilePath(), err)
	}
	return files, f.bytes, nil
}

// Abort removes what was written.
func (f *Carried) Abort() error {
	_ = f.source.Close()
	var errs []error
	for _, o := range f.files {
		if o.sink != nil {
			abandon(o.sink)
		}
		if err := removeIfThere(f.carrier.fs, o.uri); err != nil {
			errs = append(errs, fmt.Errorf("remove %s: %w", o.uri, err))
		}
	}
	f.files, f.open = nil, nil
	return errors.Join(errs...)
}
