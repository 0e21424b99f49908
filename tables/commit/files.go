package commit

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// applyFiles stages a change's files by the call of the library that means what the change means.
func (s *staging) applyFiles(ctx context.Context, c *Change, summary iceberg.Properties) error {
	tx := s.tx
	if c.files() == 0 {
		return nil
	}
	switch c.Operation {
	case Append:
		if !c.onlyAdds() {
			return fmt.Errorf("an append adds data files and nothing else")
		}
		return addData(ctx, tx, c.AddData, summary)
	case Overwrite, RowDelta:
		switch {
		case c.onlyAdds():
			return addData(ctx, tx, c.AddData, summary)
		case len(c.AddDeletes) == 0:
			return s.replaceFiles(ctx, c.RemoveData, c.AddData, c.RemoveDeletes, summary)
		default:
			return s.rowDelta(ctx, c, summary)
		}
	case Rewrite:
		return s.rewriteFiles(ctx, c, summary)
	case Relist:
		return nil // see relist
	}
	return fmt.Errorf("operation %q with files", c.Operation)
}

// addData appends. The library's look through all manifests for the same paths is left out: a path has the writer's own
// uuid in it, and the token keeps the same work from being committed twice.
func addData(ctx context.Context, tx *table.Transaction, files []iceberg.DataFile, summary iceberg.Properties) error {
	files, err := withRowIDs(tx, files)
	if err != nil {
		return err
	}
	return tx.AddDataFiles(ctx, files, summary, table.WithoutAutoNameMapping(), table.WithoutDuplicateCheck())
}

func (s *staging) replaceFiles(ctx context.Context, removeData, addData, removeDeletes []iceberg.DataFile, summary iceberg.Properties) error {
	addData, err := withRowIDs(s.tx, addData)
	if err != nil {
		return err
	}
	return s.removing(ctx, slices.Concat(removeData, removeDeletes), func() error {
		return s.tx.ReplaceFiles(ctx, removeData, addData, removeDeletes, summary, table.WithoutAutoNameMapping())
	})
}

// rowDelta adds data and delete files. A row delta of the library removes deletion vectors that it replaces, and nothing
// else; what is left to remove goes into a second snapshot of the same transaction. Readers of the head never see the
// first one; who travels to it sees no row twice and none that was deleted.
func (s *staging) rowDelta(ctx context.Context, c *Change, summary iceberg.Properties) error {
	replaced := map[string]bool{}
	for _, f := range c.AddDeletes {
		if ref := f.ReferencedDataFile(); ref != nil && table.IsDeletionVector(f) {
			replaced[*ref] = true
		}
	}
	var superseded, rest []iceberg.DataFile
	for _, f := range c.RemoveDeletes {
		if ref := f.ReferencedDataFile(); ref != nil && table.IsDeletionVector(f) && replaced[*ref] {
			superseded = append(superseded, f)
		} else {
			rest = append(rest, f)
		}
	}
	if len(rest)+len(c.RemoveData) == 0 {
		return s.delta(ctx, c.AddData, c.AddDeletes, superseded, summary)
	}
	add, addLater := c.AddData, []iceberg.DataFile(nil)
	if len(c.RemoveData) > 0 {
		add, addLater = nil, c.AddData // they hold rows of the removed files
	}
	first := maps.Clone(summary)
	first[PartKey] = "1 of 2"
	if err := s.delta(ctx, add, c.AddDeletes, superseded, first); err != nil {
		return err
	}
	return s.replaceFiles(ctx, c.RemoveData, addLater, rest, summary)
}

func (s *staging) delta(ctx context.Context, rows, deletes, superseded []iceberg.DataFile, summary iceberg.Properties) error {
	return s.removing(ctx, superseded, func() error {
		return s.tx.NewRowDelta(summary).AddRows(rows...).AddDeletes(deletes...).RemoveDeletes(superseded...).Commit(ctx)
	})
}

func (s *staging) rewriteFiles(ctx context.Context, c *Change, summary iceberg.Properties) error {
	rewrite := s.tx.NewRewrite(summary)
	for _, f := range c.RemoveData {
		rewrite.DeleteFile(f)
	}
	for _, f := range c.RemoveDeletes {
		rewrite.DeleteFile(f)
	}
	for _, f := range c.AddData {
		rewrite.AddDataFile(f)
	}
	for _, f := range c.AddDeletes {
		if at, known := c.DeleteSequences[ReferencedFile(f)]; known {
			rewrite.AddDeleteFileWithDataSequenceNumber(f, at)
		} else {
			rewrite.AddDeleteFile(f)
		}
	}
	if c.DataSequence != nil {
		rewrite.DataSequenceNumber(*c.DataSequence)
	}
	commit := func() error { return rewrite.Commit(ctx) }
	if len(c.AddDeletes) > 0 {
		return commit() // the library looks for the data files that they are of
	}
	return s.removing(ctx, slices.Concat(c.RemoveData, c.RemoveDeletes), commit)
}

// withRowIDs gives data files of a v3 table the row ids that the next snapshot will assign in this order anyway. The
// library asks for them where files are added that it did not write itself. If another commit takes the range first, then
// the head has moved, and the files are numbered anew.
func withRowIDs(tx *table.Transaction, files []iceberg.DataFile) ([]iceberg.DataFile, error) {
	now, err := tx.StagedTable()
	if err != nil {
		return nil, err
	}
	meta := now.Metadata()
	if meta.Version() < 3 {
		return files, nil
	}
	next := meta.NextRowID()
	out := make([]iceberg.DataFile, len(files))
	for i, f := range files {
		if out[i], err = withFirstRowID(meta, f, next); err != nil {
			return nil, err
		}
		next += f.Count()
	}
	return out, nil
}

func withFirstRowID(meta table.Metadata, f iceberg.DataFile, id int64) (iceberg.DataFile, error) {
	spec := meta.PartitionSpecByID(int(f.SpecID()))
	if spec == nil {
		return nil, fmt.Errorf("%s: the table has no partition spec %d", f.FilePath(), f.SpecID())
	}
	b, err := iceberg.NewDataFileBuilder(*spec, f.ContentType(), f.FilePath(), f.FileFormat(), f.Partition(), nil, nil,
		f.Count(), f.FileSizeBytes())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.FilePath(), err)
	}
	b.ColumnSizes(f.ColumnSizes()).ValueCounts(f.ValueCounts()).NullValueCounts(f.NullValueCounts()).
		NaNValueCounts(f.NaNValueCounts()).LowerBoundValues(f.LowerBoundValues()).UpperBoundValues(f.UpperBoundValues()).
		FirstRowID(id)
	if offsets := f.SplitOffsets(); len(offsets) > 0 {
		b.SplitOffsets(offsets)
	}
	if order := f.SortOrderID(); order != nil {
		b.SortOrderID(*order)
	}
	if key := f.KeyMetadata(); len(key) > 0 {
		b.KeyMetadata(key)
	}
	return b.Build(), nil
}
