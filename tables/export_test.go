package tables

import (
	"context"

	iceio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table"

	"github.com/varve-lake/varve/tables/commit"
)

// Config is what the lake was opened with.
func (l *Lake) Config() Config { return l.cfg }

// CommitThrough puts something between the lake's tables and its catalog.
func (l *Lake) CommitThrough(c commit.Catalog) { l.committer = c }

// ReadThrough puts something between the table and its store.
func (t *Table) ReadThrough(wrap func(iceio.WriteFileIO) iceio.IO) {
	t.tbl = StoredThrough(t.tbl, wrap)
}

// StoredThrough is a table with something between it and its store.
func StoredThrough(t *table.Table, wrap func(iceio.WriteFileIO) iceio.IO) *table.Table {
	return table.New(t.Identifier(), t.Metadata(), t.MetadataLocation(), func(ctx context.Context) (iceio.IO, error) {
		fs, err := t.FS(ctx)
		if err != nil {
			return nil, err
		}
		return wrap(fs.(iceio.WriteFileIO)), nil
	}, nil)
}
