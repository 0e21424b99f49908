package datafile

import (
	"context"
	"fmt"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/metadata"
)

// groupEncoder encodes row groups, each of many columns by itself: those of whole numbers and of texts, which most tables are
// made of, here, at less than half of what they take through arrow-go; all others through it. Any number of goroutines may use one.
type groupEncoder struct {
	*layout
	// template is the footer of a file of the layout that has one row group; each row group made begins as a copy of it.
	template func() ([]byte, error)
}

func newGroupEncoder(l *layout) *groupEncoder {
	return &groupEncoder{l, sync.OnceValues(l.template)}
}

// template is the footer of a file of the layout with one row group, which is empty.
func (l *layout) template() ([]byte, error) {
	empty := l.encodeFragment(background, nil)
	if empty.err != nil {
		return nil, empty.err
	}
	_, footer, err := parseFooter(empty.file)
	if err != nil {
		return nil, err
	}
	return empty.file[footer : len(empty.file)-8], nil
}

// chunkForm is how a column's chunk is encoded.
type chunkForm int

const (
	byArrow chunkForm = iota
	asIntegers
	asTexts
	asIndices
	asUUIDs // packed
)

// formOf chooses the form of a top-level column of a row group that has rows.
func (l *layout) formOf(f arrow.Field, chunks []arrow.Array, props *parquet.WriterProperties) chunkForm {
	if isPacked(chunks[0]) {
		return asUUIDs
	}
	if _, blooms := l.bloom[f.Name]; blooms || l.storeSchema || l.pageVersion != parquet.DataPageV1 || allNull(chunks) {
		return byArrow
	}
	if _, is := chunks[0].(*array.Dictionary); is {
		return asIndices
	}
	switch {
	case props.DictionaryEnabledFor(f.Name):
		return byArrow
	case f.Type.ID() == arrow.STRING || f.Type.ID() == arrow.BINARY:
		return asTexts
	case deltaEncodes(f.Type):
		return asIntegers
	}
	return byArrow
}

func allNull(chunks []arrow.Array) bool {
	for _, c := range chunks {
		if c.NullN() < c.Len() {
			return false
		}
	}
	return true
}

// encodeGroup encodes the rows of batches as one row group, of which some columns may be codes in the place of texts. It does not
// release them.
func (g *groupEncoder) encodeGroup(ctx context.Context, batches []arrow.RecordBatch, codes *textCodes) (f fragment) {
	columns, rows := columnsOf(batches, g.arrow.NumFields())
	fail := func(err error) fragment {
		f.release()
		return fragment{err: fmt.Errorf("encode row group: %w", err)}
	}
	columns, free, err := g.forEncoding(codes, columns, rows)
	if err != nil {
		return fail(err)
	}
	defer free()
	err = protect(func() error { return g.encode(ctx, &f, columns, rows) })
	if err != nil {
		return fail(err)
	}
	return f
}

func columnsOf(batches []arrow.RecordBatch, n int) (columns [][]arrow.Array, rows int64) {
	columns = make([][]arrow.Array, n)
	for _, b := range batches {
		rows += b.NumRows()
		for i, c := range b.Columns() {
			columns[i] = append(columns[i], c)
		}
	}
	return columns, rows
}

func (g *groupEncoder) encode(ctx context.Context, f *fragment, columns [][]arrow.Array, rows int64) error {
	template, err := g.template()
	if err != nil {
		return err
	}
	if f.row, err = metadata.NewFileMetaData(template, nil); err != nil {
		return err
	}
	f.rows, f.nans = rows, countNaNs(g.arrow, columns)
	leaves := leafRanges(f.row)
	f.pieces = make([]piece, f.row.Schema.NumColumns())
	indexed, _, paths := g.withDictionaries(columns, rows)
	props := g.writerProperties(columns, rows, paths)
	f.chunks = newChunkBuffer()
	scratch := chunkScratches.Get().(*chunkScratch)
	defer chunkScratches.Put(scratch)
	var rest []int
	for i, field := range g.arrow.Fields() {
		if err := ctx.Err(); err != nil {
			return err
		}
		form := g.formOf(field, indexed[i], props)
		if form == byArrow {
			rest = append(rest, i)
			continue
		}
		leaf := leaves[i].from
		column := f.row.RowGroups[0].Columns[leaf]
		column.MetaData.DictionaryPageOffset = nil // nobody takes it away from a chunk without a dictionary
		chunk := metadata.NewColumnChunkMetaDataBuilderWithContents(props, f.row.Schema.Column(leaf), column)
		w, err := newChunkWriter(f.chunks, props, f.row.Schema.Column(leaf), chunk, form.encoding(props), scratch)
		if err == nil {
			err = w.write(form, field.Type, indexed[i], g.pageBytes, props)
		}
		if err != nil {
			return fmt.Errorf("column %s: %w", field.Name, err)
		}
		f.pieces[leaf] = piece{from: f.chunks, meta: f.row, leaf: leaf}
	}
	size := f.chunks.Tell()
	for i := range f.pieces {
		f.pieces[i].size = size
	}
	return g.encodeRest(ctx, f, rest, leaves, indexed)
}

func (f chunkForm) encoding(props *parquet.WriterProperties) parquet.Encoding {
	switch f {
	case asIntegers:
		return parquet.Encodings.DeltaBinaryPacked
	case asIndices:
		return props.DictionaryIndexEncoding()
	}
	return parquet.Encodings.Plain
}

func (w *chunkWriter) write(form chunkForm, t arrow.DataType, chunks []arrow.Array, pageBytes int64, props *parquet.WriterProperties) error {
	switch form {
	case asIntegers:
		return w.integers(chunks, t, pageBytes)
	case asUUIDs:
		return w.uuids(chunks, t, pageBytes)
	case asIndices:
		return w.indexed(chunks[0].(*array.Dictionary), props.DictionaryPageEncoding())
	}
	return w.texts(chunks, pageBytes)
}

// encodeRest encodes some columns through arrow-go.
func (g *groupEncoder) encodeRest(ctx context.Context, f *fragment, rest []int, leaves []leafRange, columns [][]arrow.Array) error {
	if len(rest) == 0 {
		return nil
	}
	part := *g.layout
	fields, chunks := make([]arrow.Field, len(rest)), make([][]arrow.Array, len(rest))
	for i, column := range rest {
		fields[i], chunks[i] = g.arrow.Field(column), columns[column]
	}
	part.arrow = arrow.NewSchema(fields, nil)
	_, pieces, err := part.encodePieces(ctx, chunks, f.rows)
	if err != nil {
		return err
	}
	for _, column := range rest {
		n := leaves[column].to - leaves[column].from
		copy(f.pieces[leaves[column].from:], pieces[:n])
		pieces = pieces[n:]
	}
	return nil
}

// encodePieces encodes columns through arrow-go, as chunks that may be laid anywhere.
func (l *layout) encodePieces(ctx context.Context, columns [][]arrow.Array, rows int64) (fragment, []piece, error) {
	f := l.encodeColumns(ctx, columns, rows)
	if f.err != nil {
		return fragment{}, nil, f.err
	}
	meta, end, err := parseFooter(f.file)
	if err != nil {
		return fragment{}, nil, err
	}
	pieces := make([]piece, meta.Schema.NumColumns())
	for leaf := range pieces {
		pieces[leaf] = piece{from: &chunkBuffer{f.file}, size: end, meta: meta, leaf: leaf}
	}
	return f, pieces, nil
}
