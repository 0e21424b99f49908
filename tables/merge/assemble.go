package merge

import (
	"github.com/RoaringBitmap/roaring/v2"
	"github.com/apache/iceberg-go"

	"github.com/varve-lake/varve/tables/commit"
)

// change puts together what the groups and the inserts made.
func (p *Plan) change() *commit.Change {
	out := &commit.Change{Operation: commit.Append}
	s := &p.stats
	s.Updated, s.Deleted, s.Identical, s.Carried, s.CarriedBytes = 0, 0, 0, 0, 0
	for _, g := range p.groupsInOrder() {
		out.AddData = append(out.AddData, g.out.addData...)
		out.RemoveData = append(out.RemoveData, g.out.removeData...)
		out.AddDeletes = append(out.AddDeletes, g.out.addDeletes...)
		out.RemoveDeletes = append(out.RemoveDeletes, g.out.removeDeletes...)
		s.Updated += g.out.updated
		s.Deleted += g.out.deleted
		s.Identical += g.out.identical
		s.Carried += g.out.carried
		s.CarriedBytes += g.out.carriedBytes
	}
	out.AddData = append(out.AddData, p.inserts.files...)
	applied := roaring.New()
	for _, f := range p.files {
		applied.Or(f.applied)
	}
	s.Inserted = p.inserts.rows
	s.Unchanged = int64(p.matched.GetCardinality()) - int64(applied.GetCardinality()) + p.inserts.without
	s.FilesScanned, s.Groups = len(p.files), len(p.groups)
	s.FilesAdded, s.FilesRemoved, s.DeleteFilesAdded = len(out.AddData), len(out.RemoveData), len(out.AddDeletes)
	s.BytesWritten = 0
	for _, files := range [][]iceberg.DataFile{out.AddData, out.AddDeletes} {
		for _, f := range files {
			s.BytesWritten += sizeOnDisk(f)
		}
	}
	switch {
	case len(out.AddData)+len(out.RemoveData)+len(out.AddDeletes)+len(out.RemoveDeletes) == 0:
		return nil
	case len(out.AddDeletes) > 0:
		out.Operation = commit.RowDelta
	case len(out.RemoveData) > 0:
		out.Operation = commit.Overwrite
	}
	out.Summary = s.summary(p.opts.Strategy)
	return out
}

// sizeOnDisk is a file's size; of a deletion vector, its share of the file.
func sizeOnDisk(f iceberg.DataFile) int64 {
	if n := f.ContentSizeInBytes(); n != nil {
		return *n
	}
	return f.FileSizeBytes()
}
