package datafile

import (
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// pageTexts is what readers of texts straight from the pages of a column chunk have in common: arrow-go's reader, general, takes over
// at the row reached where a page turns out to be something else, or rows are to be skipped.
type pageTexts struct {
	pages   file.PageReader
	levels  bool  // pages begin with definition levels
	row     int64 // next
	rows    int64 // of the row group
	general columnReader
	open    func() (columnReader, error)
}

// flatText is the leaf of a column of texts that is in no list or struct; nil of any other.
func (r *Reader) flatText(c *projected) *pqarrow.SchemaField {
	if len(c.leaves) != 1 || c.repeated {
		return nil
	}
	leaf := &r.arrow.Manifest.Fields[c.source]
	if !leaf.IsLeaf() || leaf.Field.Type.ID() != arrow.STRING && leaf.Field.Type.ID() != arrow.BINARY {
		return nil
	}
	column := r.parquet.MetaData().Schema.Column(leaf.ColIndex)
	if column.PhysicalType() != parquet.Types.ByteArray || column.MaxRepetitionLevel() > 0 || column.MaxDefinitionLevel() > 1 {
		return nil
	}
	return leaf
}

func (r *Reader) newPageTexts(group int, leaf *pqarrow.SchemaField, open func() (columnReader, error)) (pageTexts, error) {
	pages, err := r.parquet.RowGroup(group).GetColumnPageReader(leaf.ColIndex)
	if err != nil {
		return pageTexts{}, err
	}
	return pageTexts{
		pages: pages, open: open, rows: r.starts[group+1] - r.starts[group],
		levels: r.parquet.MetaData().Schema.Column(leaf.ColIndex).MaxDefinitionLevel() > 0,
	}, nil
}

func (p *pageTexts) Release() {
	if p.general != nil {
		p.general.Release()
	}
	_ = p.pages.Close()
}

func (p *pageTexts) SeekToRow(row int64) error {
	if err := p.generalise(); err != nil {
		return err
	}
	p.row = row
	return p.general.SeekToRow(row)
}

// generalise leaves the rest to arrow-go's reader.
func (p *pageTexts) generalise() error {
	if p.general != nil {
		return nil
	}
	general, err := p.open()
	if err != nil {
		return err
	}
	p.general = general
	if p.row > 0 {
		return general.SeekToRow(p.row)
	}
	return nil
}

// restOf reads on after pages turned out to be something else.
func (p *pageTexts) restOf(rows int64) (*arrow.Chunked, error) {
	if err := p.generalise(); err != nil {
		return nil, err
	}
	rest, err := p.general.NextBatch(rows)
	if err == nil && rest == nil {
		err = io.ErrUnexpectedEOF
	}
	return rest, err
}

// nextPage is the next page. There is one: the rows are not read to their end.
func (p *pageTexts) nextPage() (file.Page, error) {
	if p.pages.Next() {
		return p.pages.Page(), nil
	}
	if err := p.pages.Err(); err != nil {
		return nil, err
	}
	return nil, io.ErrUnexpectedEOF
}
