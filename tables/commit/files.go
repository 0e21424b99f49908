package commit

import (
	"context"
	"fmt"
	"maps"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"
)

// applyFiles stages a change's files by the call of the library that means what the change means.
func applyFiles(ctx context.Context, tx *table.Transaction, c *Change, summary iceberg.Properties) error {
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
			return replaceFiles(ctx, tx, c.RemoveData, c.AddData, c.RemoveDeletes, summary)
		default:
			return rowDelta(ctx, tx, c, summary)
		}
	case Rewrite:
		return rewriteFiles(ctx, tx, c, summary)
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

func replaceFiles(ctx context.Context, tx *table.Transaction, removeData, addData, removeDeletes []iceberg.DataFile, summary iceberg.Properties) error {
	addData, err := withRowIDs(tx, addData)
	if err != nil {
		return err
	}
	return tx.ReplaceFiles(ctx, removeData, addData, removeDeletes, summary, table.WithoutAutoNameMapping())
}

// rowDelta adds data and delete files. A row delta of the library removes deletion vectors that it replaces, and nothing
// else; what is left to remove goes into a second snapshot of the same transaction. Readers of the head never see the
// first one; who travels to it sees no row twice and none that was deleted.
func rowDelta(ctx context.Context, tx *table.Transaction, c *Change, summary iceberg.Properties) error {
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
		return tx.NewRowDelta(summary).AddRows(c.AddData...).AddDeletes(c.AddDeletes...).RemoveDeletes(superseded...).Commit(ctx)
	}
	add, addLater := c.AddData, []iceberg.DataFile(nil)
	if len(c.RemoveData) > 0 {
		add, addLater = nil, c.AddData // they hold rows of the removed files
	}
	first := maps.Clone(summary)
	first[PartKey] = "1 of 2"
	err := tx.NewRowDelta(first).AddRows(add...).AddDeletes(c.AddDeletes...).RemoveDeletes(superseded...).Commit(ctx)
	if err != nil {
		return err
	}
	return replaceFiles(ctx, tx, c.RemoveData, addLater, rest, summary)
}

func rewriteFiles(ctx context.Context, tx *table.Transaction, c *Change, summary iceberg.Properties) error {
	rewrite := tx.NewRewrite(summary)
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
	return rewrite.Commit(ctx)
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
