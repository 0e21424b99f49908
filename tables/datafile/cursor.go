package datafile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// seekGap is the number of rows that are rather decoded and dropped than skipped by a seek, which opens the page anew. Tests
// make it small.
var seekGap int64 = 2048

// maxPreallocated is what may be allocated for a column on the word of a footer, beyond what its bytes make likely.
const maxPreallocated = 16 << 20

// cursor reads one column of one row group.
type cursor struct {
	column *projected
	reader columnReader // nil for a column that is not in the file, and before it is first read
	at     int64        // row of the group that is read next
	paged  bool         // the reader reads on as it goes, and not the whole column first
	// lineage completes a column of row lineage; nil for others.
	lineage func(arrow.Array, []span) arrow.Array
}

// openCursors makes cursors for the columns of a row group. They are opened when they are first read.
func (r *Reader) openCursors(group int) error {
	meta := r.parquet.MetaData().RowGroup(group)
	for i := range r.columns {
		c := &r.columns[i]
		cur := &cursor{column: c, lineage: r.lineageOf(c.field)}
		r.cursors = append(r.cursors, cur)
		if c.source < 0 {
			continue
		}
		// arrow-go reads struct members on goroutines of its own, whose panics nobody can catch: what makes it panic is
		// looked for before.
		for leaf := range c.leaves {
			chunk, err := meta.ColumnChunk(leaf)
			if err != nil {
				return fmt.Errorf("column %s: %w", c.field.Name, err)
			}
			size := r.parquet.MetaData().GetSourceFileSize()
			at, n := chunk.DataPageOffset(), chunk.TotalCompressedSize()
			if chunk.HasDictionaryPage() && chunk.DictionaryPageOffset() > 0 {
				at = min(at, chunk.DictionaryPageOffset())
			}
			if plain := chunk.TotalUncompressedSize(); plain < 0 || plain > 64*n+maxPreallocated {
				r.arrow.Props.PreAllocBinaryData = false // it takes the footer's word for how much there is
			}
			if at < 4 || n < 0 || at > size || n > size-at || chunk.NumValues() < 0 {
				return fmt.Errorf("column %s: its %d bytes at %d are not in a file of %d", c.field.Name, n, at, size)
			}
		}
	}
	return nil
}

// ready opens columns that are about to be read for the first time, whole or, where few rows are wanted, page by page. What is
// needed of a remote file is fetched together.
func (r *Reader) ready(cursors []*cursor, spans []span, wide bool) error {
	var unopened, paged []*cursor
	for _, c := range cursors {
		switch {
		case c.column.source < 0:
		case c.reader == nil:
			unopened = append(unopened, c)
		case c.paged:
			paged = append(paged, c)
		}
	}
	if !wide {
		paged = append(paged, unopened...)
	}
	if r.source.remote {
		if err := r.prefetch(unopened, paged, spans, wide); err != nil {
			return err
		}
	}
	r.props.BufferedStreamEnabled = !wide
	for _, c := range unopened {
		if err := r.openCursor(c, wide); err != nil {
			return fmt.Errorf("column %s: %w", c.column.field.Name, err)
		}
	}
	copied := wide && len(unopened) > 0
	for _, c := range unopened {
		switch c.reader.(type) {
		case *textReader, *dictionaryReader: // which may have to be begun anew
			copied = false
		}
	}
	if copied && r.source.remote {
		r.source.forget()
	}
	return nil
}

// prefetch fetches whole columns, or pages of them.
func (r *Reader) prefetch(unopened, paged []*cursor, spans []span, wide bool) error {
	var ranges []span
	rows := r.starts[r.group+1] - r.starts[r.group]
	if wide {
		spans = []span{{0, rows}}
	}
	of := paged
	if wide {
		of = append(slices.Clone(paged), unopened...)
	}
	for _, c := range of {
		for leaf := range c.column.leaves {
			for _, at := range pageRanges(r.parquet, r.group, leaf, spans, rows) {
				if !r.source.has(at) {
					ranges = append(ranges, at)
				}
			}
		}
	}
	if len(ranges) == 0 {
		return nil
	}
	return r.source.fetch(r.ctx, ranges)
}

func (r *Reader) openCursor(c *cursor, wide bool) (err error) {
	general := func() (columnReader, error) {
		reader, err := r.arrow.GetFieldReader(r.ctx, c.column.source, c.column.leaves, []int{r.group})
		if err != nil {
			return nil, err // not a nil reader in an interface that is not
		}
		return reader, nil
	}
	switch {
	case wide && r.plainText(r.group, c.column):
		c.reader, err = r.newTextReader(r.group, c.column, general)
	case wide && r.dictionaryText(r.group, c.column):
		c.reader, err = r.newDictionaryReader(r.group, c.column, general)
	default:
		c.reader, err = general()
	}
	c.paged = !wide
	return err
}

func (r *Reader) closeCursors() {
	for _, c := range r.cursors {
		if c.reader != nil {
			c.reader.Release()
		}
	}
	r.cursors = nil
	if r.source.remote {
		r.source.forget()
	}
}

// read returns the rows of ascending spans, one behind the other.
func (c *cursor) read(ctx context.Context, spans []span) (arrow.Array, error) {
	a, err := c.decode(ctx, spans)
	if err != nil || c.lineage == nil {
		return a, err
	}
	defer a.Release()
	return c.lineage(a, spans), nil
}

func (c *cursor) decode(ctx context.Context, spans []span) (arrow.Array, error) {
	rows := spanRows(spans)
	if c.column.source < 0 {
		return c.column.build(ctx, nil, int(rows))
	}
	chunks := make([]arrow.Array, 0, len(spans))
	defer func() { releaseAll(chunks) }()
	for _, s := range spans {
		if err := c.advance(s.from); err != nil {
			return nil, err
		}
		part, err := c.take(s.rows())
		if err != nil {
			return nil, err
		}
		chunks = append(chunks, part)
	}
	if err := c.oneType(chunks); err != nil {
		return nil, err
	}
	raw := chunks[0]
	if len(chunks) > 1 {
		var err error
		if raw, err = array.Concatenate(chunks, allocator); err != nil {
			return nil, err
		}
		defer raw.Release()
	}
	if raw.DataType().ID() == arrow.DICTIONARY {
		raw.Retain()
		return raw, nil
	}
	return c.column.build(ctx, raw, int(rows))
}

// oneType makes texts of what came as indices where not all did, in place.
func (c *cursor) oneType(chunks []arrow.Array) error {
	for _, a := range chunks {
		if arrow.TypeEqual(a.DataType(), chunks[0].DataType()) {
			continue
		}
		for i, a := range chunks {
			d, ok := a.(*array.Dictionary)
			if !ok {
				continue
			}
			texts, err := textsOf(d)
			if err != nil {
				return err
			}
			a.Release()
			chunks[i] = texts
		}
		return nil
	}
	return nil
}

// advance goes forward to a row. arrow-go's SeekToRow (v18.8.0) loses rows of repeated columns, which are never sought for
// that reason but decoded through.
func (c *cursor) advance(to int64) error {
	switch gap := to - c.at; {
	case gap == 0:
		return nil
	case gap > 0 && (gap < seekGap || c.column.repeated):
		skipped, err := c.take(gap)
		if err == nil {
			skipped.Release()
		}
		return err
	}
	c.at = to
	return c.reader.SeekToRow(to)
}

// take decodes the next rows.
func (c *cursor) take(rows int64) (arrow.Array, error) {
	chunked, err := c.reader.NextBatch(rows)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if chunked == nil {
		return nil, io.ErrUnexpectedEOF
	}
	defer chunked.Release()
	if int64(chunked.Len()) != rows {
		return nil, fmt.Errorf("column %s: %d rows where there should be %d", c.column.field.Name, chunked.Len(), rows)
	}
	c.at += rows
	if len(chunked.Chunks()) == 1 {
		out := chunked.Chunk(0)
		out.Retain()
		return out, nil
	}
	return array.Concatenate(chunked.Chunks(), allocator)
}

// readColumns reads the same spans of some columns, several at once.
func (r *Reader) readColumns(cursors []*cursor, spans []span, wide bool) ([]arrow.Array, error) {
	if err := r.ready(cursors, spans, wide); err != nil {
		return nil, err
	}
	out, errs := make([]arrow.Array, len(cursors)), make([]error, len(cursors))
	one := func(i int) {
		errs[i] = protect(func() (err error) {
			out[i], err = cursors[i].read(r.ctx, spans)
			return err
		})
	}
	if r.opts.Parallelism == 1 || len(cursors) < 2 {
		for i := range cursors {
			one(i)
		}
	} else {
		var wg sync.WaitGroup
		next := make(chan int, len(cursors))
		for i := range cursors {
			next <- i
		}
		close(next)
		for range min(r.opts.Parallelism, len(cursors)) {
			wg.Go(func() {
				for i := range next {
					one(i)
				}
			})
		}
		wg.Wait()
	}
	for i, err := range errs {
		if err != nil {
			releaseAll(out)
			return nil, fmt.Errorf("column %s: %w", cursors[i].column.field.Name, err)
		}
	}
	return out, nil
}
